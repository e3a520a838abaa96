"""Remus between two processes, of which one is killed, or the link cut, at any byte: one guest goes on, from a state
that both agree on, and nothing was seen that it has not done.

More cases: ``STREAMFMT_HYPOTHESIS=thorough python -m pytest streamfmt/tests/test_engine_remus_crash.py``.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .support.crash_parties import SECONDS, Maker
from .support.kill_points import wait_until

_THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"
# Of the stream up to the first checkpoint's end, and of a few more, about.
_FIRST, _SOME = 350_000, 900_000


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with closing(Maker()) as made:
        yield made


class _Between:
    """What stands between both sides: passes so many bytes on, or so many back, then kills, and cuts."""

    def __init__(self, path: str, target: str, at: int, back: bool, kill: Callable[[], None]) -> None:
        self._at, self._back, self._kill, self._target = at, back, kill, target
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1)
        self._listener.settimeout(SECONDS)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.happened = False

    def _run(self) -> None:
        with self._listener:
            left, _ = self._listener.accept()
        right = socket.socket(socket.AF_UNIX)
        right.connect(self._target)
        other = threading.Thread(target=self._pass, args=(right, left, self._at if self._back else 1 << 60))
        other.start()
        self._pass(left, right, 1 << 60 if self._back else self._at)
        other.join(SECONDS)
        for each in (left, right):
            each.close()

    def _pass(self, source: socket.socket, target: socket.socket, left: int) -> None:
        try:
            while left and (data := source.recv(min(left, 1 << 16))):
                target.sendall(data)
                left -= len(data)
        except OSError:
            pass
        if not left:
            self.happened = True
            self._kill()
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def join(self) -> None:
        self._thread.join(SECONDS)


@settings(max_examples=2000 if _THOROUGH else 10, deadline=None)
@given(
    victim=st.sampled_from(["primary", "standby", "link"]),
    at=st.integers(0, _SOME),
    back=st.sampled_from([False, False, False, True]),
    kind=st.sampled_from(["hvm", "hvm", "pv"]),
    rate=st.sampled_from([1000.0, 50_000.0]),
)
@example(victim="primary", at=_SOME, back=False, kind="hvm", rate=20_000.0)
@example(victim="standby", at=_SOME, back=False, kind="hvm", rate=20_000.0)
@example(victim="link", at=_SOME, back=False, kind="hvm", rate=20_000.0)
@example(victim="link", at=80, back=True, kind="hvm", rate=20_000.0)
@example(victim="primary", at=0, back=False, kind="hvm", rate=20_000.0)
def test_one_guest_goes_on(maker: Maker, victim: str, at: int, back: bool, kind: str, rate: float) -> None:
    """Wherever it happens."""
    at = at % 200 if back else at
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        folder = Path(name)
        pids: dict[str, int] = {}

        known = threading.Event()

        def kill() -> None:
            known.wait(SECONDS)  # it may have connected before its number is here
            if victim in pids:
                os.kill(pids[victim], 9)

        how: dict[str, Any] = {"folder": name, "type": kind, "rate": rate, "interval": 0.002}
        standby = maker.make("standby", uri=f"unix:{name}/b", **how)
        opened.callback(standby.close)
        standby.hear("listening")
        between = _Between(f"{name}/a", f"{name}/b", at, back, kill)
        pids["standby"] = standby.pid
        primary = maker.make("primary", uri=f"unix:{name}/a", **how)
        opened.callback(primary.close)
        pids["primary"] = primary.pid
        known.set()
        outcomes = {side: party.hear("outcome") for side, party in (("primary", primary), ("standby", standby))}
        between.join()
        assert between.happened
        alive = {
            side: party.ask("look")
            for side, party in (("primary", primary), ("standby", standby))
            if outcomes[side]["event"] == "outcome" and side != victim
        }
        _judge(folder, victim, outcomes, alive)
    wait_until(lambda: not maker.alive())


def _judge(folder: Path, victim: str, outcomes: dict[str, Any], alive: dict[str, Any]) -> None:
    def lines(name: str) -> list[str]:
        path = folder / name
        return path.read_text().splitlines() if path.exists() else []

    states, seen, taken = lines("states"), [int(line) for line in lines("seen")], lines("taken")
    runs = [side for side, found in alive.items() if found["running"]]
    assert all(found["broken"] == [] for found in alive.values())
    assert len(runs) <= 1, "two guests run"
    if not runs:
        # Nobody had more than the beginning when the primary died with the guest.
        assert victim == "primary"
        assert not taken
        assert seen == []
        return
    if runs == ["standby"]:
        count, digest = taken[-1].split()
        number = int(count) - 1
        assert digest == states[number].split()[0], "it goes on from no state that was"
        assert len(seen) <= number + 1, "output was seen that is undone"
    else:
        assert victim != "primary"
        assert outcomes["primary"]["outcome"] == "unprotected"
    assert seen == sorted(seen)
    made = [int(state.split()[1]) for state in states]
    assert all(number in made for number in seen[: len(made)])
