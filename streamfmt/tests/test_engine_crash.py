"""Crashes: whatever is cut or killed, at any byte, one guest remains, sound, at one place, and nothing is left behind.

The parts are real processes over real sockets; the proxy between them knows at which byte to cut, or to kill.  More
cases: ``STREAMFMT_HYPOTHESIS=thorough python -m pytest streamfmt/tests/test_engine_crash.py``.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ..codec.content import Buffer
from ..engine import handshake
from ..engine.guest import makes
from ..engine.logdirty.forms import FORMS
from ..engine.places import Finder, Place
from ..engine.proxy import Direction, Faults, Proxy, Result
from ..engine.transport.ends import connect, listen
from ..engine.waiting import Waiter
from ..engine.xenstore.server import in_thread
from .support.crash_parties import SECONDS, Maker, Party
from .support.kill_points import wait_until

_END = Place(None, "END", 1, "libxl")
_END_SIZE = 8
_GO = len(handshake.GO)
# What the receiver sends, all in all.
_BACK = len(handshake.GREETING + handshake.READY + handshake.answer(handshake.STARTED))
# Of the stream of a guest of 256 pages, about.
_STREAM = 600_000
# What parts are to know of a case.
_GUEST = ("type", "live", "running", "policy", "rate", "pages", "kind", "handed", "form")
_THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"


@dataclass(frozen=True, slots=True)
class Case:
    """What happens: the `victim` is cut, or killed, when so many bytes have passed, from END on if it is `after`.

    If it is `back`, they are those that the receiver sends.
    """

    victim: str
    at: int
    after: bool = False
    back: bool = False
    type: str = "hvm"
    live: bool = True
    running: bool = True
    policy: str = "xen"
    rate: float = 3000.0
    pages: int = 256
    kind: str = "model"
    handed: bool = False  # its memory goes by descriptor
    form: str = ""  # how its emulator logs, if it has one
    reset: bool = False  # the link is TCP, and a cut is a reset

    @property
    def place(self) -> Place:
        """Where it happens."""
        return Place(_END_SIZE + self.at, "END", 1, "libxl") if self.after else Place(self.at)

    @property
    def cuts(self) -> bool:
        """Whether the link is the victim."""
        return self.victim == "link"


class Between:
    """The proxy between both sides, in a thread of its own, which cuts or kills at the place."""

    def __init__(self, case: Case, uri: str, target: str, kill: Callable[[], None]) -> None:
        self.happened = False
        self.result: Result | None = None
        self._case, self._target, self._kill, self._bytes = case, target, kill, 0
        self._waiter = Waiter()
        self._listener = listen(uri)
        self.uri = str(self._listener.uri)
        # To kill, the proxy stops at the place for no time, once all before it has gone.
        faults = Faults(cut=case.place) if case.cuts else Faults(stall=case.place, seconds=0.0)
        there, back = (Faults(), faults) if case.back else (faults, Faults())
        self._end = Finder((_END,))
        self._ways = Direction(there, self._end), Direction(back)
        way = self._ways[case.back]
        way.record = None if case.cuts else self._passed
        self._found = way.finder.found
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Wait for the source."""
        self._thread.start()

    def _passed(self, some: Buffer) -> None:
        self._bytes += len(some)
        self._look()

    def _look(self) -> None:
        if not self._case.cuts and not self.happened and self._found.get(self._case.place, 1 << 62) <= self._bytes:
            self.happened = True
            self._kill()

    def _run(self) -> None:
        with closing(self._waiter), closing(self._listener):
            left = self._listener.accept(self._waiter, self._waiter.clock() + SECONDS)
            right = connect(self._target, self._waiter, self._waiter.clock() + SECONDS)
            self._look()
            self.result = Proxy(left, right, *self._ways, self._waiter, self._case.reset).run()

    def join(self) -> None:
        """It is over."""
        self._thread.join(SECONDS)
        assert self.result is not None
        self.happened |= bool(self.result.cut)

    @property
    def handed(self) -> bool:
        """Whether all of GO has reached the destination, which owns the guest from then on."""
        assert self.result is not None
        end = self._end.found.get(_END)
        return end is not None and self.result.forward.bytes >= end + _GO


def _segments(pids: set[int]) -> set[str]:
    """The System V segments that these processes have made and left (proc_sysvipc_shm(5): the fifth is who made it)."""
    with open("/proc/sysvipc/shm") as file:
        return {row.split()[1] for row in list(file)[1:] if int(row.split()[4]) in pids}


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with closing(Maker()) as made:
        yield made


_CASES = st.builds(
    Case,
    victim=st.sampled_from(["link", "source", "destination"]),
    at=st.integers(0, _STREAM),
    type=st.sampled_from(["hvm", "hvm", "pv"]),
    live=st.booleans(),
    running=st.booleans(),
    policy=st.sampled_from(["xen", "qemu", "rounds=2"]),
    rate=st.sampled_from([0.0, 3000.0, 50_000.0]),
    reset=st.booleans(),
)
_EMULATORS = st.builds(
    Case,
    victim=st.sampled_from(["source", "link"]),
    at=st.integers(0, _STREAM),
    live=st.booleans(),
    rate=st.sampled_from([1.0, 3000.0]),
    form=st.sampled_from(sorted(FORMS)),
) | st.builds(
    Case,
    victim=st.just("emulator"),
    at=st.integers(0, _STREAM),
    live=st.booleans(),
    # That one has gone is seen only after 5 or 10 seconds where it talks through xenstore and is waited for.
    form=st.sampled_from(sorted(FORMS) if _THOROUGH else ["4.1", "4.3"]),
)
# Around the messages at the end, where a byte decides whose the guest is.
_LATE = st.builds(
    Case,
    victim=st.sampled_from(["link", "source", "destination"]),
    at=st.integers(0, _GO),
    after=st.just(True),
    live=st.booleans(),
    running=st.booleans(),
    reset=st.booleans(),
)
_ANSWERS = st.builds(
    Case,
    victim=st.sampled_from(["link", "source", "destination"]),
    at=st.integers(0, _BACK),
    back=st.just(True),
    reset=st.booleans(),
)


@settings(max_examples=2000 if _THOROUGH else 12)
@given(case=_CASES | _LATE | _ANSWERS | _EMULATORS)
@example(Case("link", 0))
@example(Case("link", _GO - 1, after=True))
@example(Case("link", _GO, after=True))
@example(Case("link", _GO, after=True, reset=True))
@example(Case("source", _GO, after=True))
@example(Case("destination", _BACK - 1, back=True))
@example(Case("emulator", 100_000, form="4.3"))
@example(Case("source", 100_000, form="3.2"))
@example(Case("none", 1 << 40))
def test_one_guest_remains(maker: Maker, case: Case) -> None:
    """Exactly one side has it: the destination if GO has come, else the source; and it is sound, and can run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pids: dict[str, int] = {}
        with ExitStack() as opened:
            _run(maker, case, folder, opened, pids)
        wait_until(lambda: not maker.alive())
        if case.victim == "destination" and (folder / "b").exists():
            # Nobody is left to remove a path; the next who listens there does.
            listen(f"unix:{folder}/b").close()
        assert not list(folder.iterdir())
        assert not _segments(set(pids.values()))


@pytest.fixture(scope="module")
def kinds() -> list[str]:
    """The kinds of guests that can be made here; in the usual run the one that starts at once."""
    return [kind for kind, why in makes.available().items() if not why] if _THOROUGH else ["model"]


@settings(max_examples=500 if _THOROUGH else 6)
@given(
    data=st.data(),
    victim=st.sampled_from(["source", "destination"]),
    moment=st.floats(0, 0.08),
    handed=st.booleans(),
    live=st.booleans(),
)
def test_at_any_moment(
    maker: Maker, kinds: list[str], data: st.DataObject, victim: str, moment: float, handed: bool, live: bool
) -> None:
    """A side is killed at some moment, with guests of all kinds, and with memory that both sides have."""
    case = Case(victim, 0, kind=data.draw(st.sampled_from(kinds)), handed=handed, live=live)
    how = {name: getattr(case, name) for name in _GUEST}
    with tempfile.TemporaryDirectory() as name:
        uri = f"unix:{name}/socket"
        with ExitStack() as opened:
            # Some guests take a while to be made, before their source connects.
            destination = maker.make("destination", uri=uri, wait=1.0 if case.kind == "model" else SECONDS / 2, **how)
            opened.callback(destination.close)
            destination.hear("listening")
            source = maker.make("source", uri=uri, **how)
            opened.callback(source.close)
            if case.kind != "model":
                source.hear("ready")
            time.sleep(moment)
            (source if victim == "source" else destination).kill()
            if victim == "source":
                _alone(destination)
            else:
                _stays(source, handed)
        wait_until(lambda: not maker.alive())
        Path(name, "socket").unlink(missing_ok=True)
        assert not os.listdir(name)


def _alone(destination: Party) -> None:
    """What the destination has once its source is gone: a guest that runs, or none, and it knows why."""
    outcome, there = destination.hear("outcome"), destination.ask("look")
    assert there["guest"] == there["running"] == (outcome["outcome"] == "running")
    assert there["broken"] == []
    assert there["guest"] or outcome["error"]


def _stays(source: Party, handed: bool) -> None:
    """What the source has once its destination is gone: its guest, which runs unless the destination had it."""
    outcome, here = source.hear("outcome"), source.ask("look")
    assert here["running"] == (outcome["outcome"] == "kept")
    assert here["broken"] == [] or (handed and outcome["outcome"] != "kept")
    # With memory that both had, it may be that the destination's guest has changed it before it was killed.
    if outcome["outcome"] == "in doubt" and not handed:
        assert source.ask("resume")["running"]
        assert source.ask("look")["broken"] == []


def _run(maker: Maker, case: Case, folder: Path, opened: ExitStack, pids: dict[str, int]) -> None:
    def kill() -> None:
        if case.victim in pids:
            os.kill(pids[case.victim], 9)

    def made(part: str, uri: str, **how: Any) -> Party:
        party = maker.make(part, uri=uri, folder=str(folder), **how)
        opened.callback(party.close)
        pids[part] = party.pid
        return party

    uris = ["tcp:127.0.0.1:0"] * 2 if case.reset else [f"unix:{folder}/{name}" for name in "ab"]
    how = {name: getattr(case, name) for name in _GUEST}
    destination = made("destination", uris[1], wait=SECONDS / 2, **how)
    between = Between(case, uris[0], destination.hear("listening")["uri"], kill)
    if case.form:
        opened.enter_context(in_thread({0: f"{folder}/store"}))
    source = made("source", between.uri, **how)
    if case.form:
        pids["emulator"] = source.hear("emulator", "outcome")["pid"]
    between.start()
    outcomes = {"source": source.hear("outcome"), "destination": destination.hear("outcome")}
    between.join()
    _judge(case, between, outcomes, source, destination)


def _judge(case: Case, between: Between, outcomes: dict[str, Any], source: Party, destination: Party) -> None:
    left, right = (outcomes[name].get("outcome", "killed") for name in ("source", "destination"))
    killed = case.victim if between.happened and not case.cuts else ""
    assert (left == "killed") <= (killed == "source")
    assert (right == "killed") <= (killed == "destination")
    # A side that was killed just after it said what came of it.
    here = {} if killed == "source" else source.ask("look")
    there = {} if killed == "destination" else destination.ask("look")

    assert not (here.get("running") and there.get("running")), "two guests run"
    # Memory that is shared has no name anywhere, so none can be left.
    assert not here.get("named")
    assert not there.get("named")
    assert here.get("broken", []) == there.get("broken", []) == []
    if there:
        assert there["guest"] == between.handed
        if there["guest"]:
            assert right == ("running" if case.running else "paused")
            assert there["running"] == case.running
        else:
            assert right == "none"
            assert outcomes["destination"]["error"]
    if not here:
        return
    if left == "moved":
        assert between.handed
        assert not here["running"]
    elif left == "kept":
        assert not between.handed
        assert here["running"] == case.running
        assert outcomes["source"]["error"]
    else:
        # It cannot know, and does not guess: the guest stands, and goes on if somebody says so.
        assert left == "in doubt"
        assert not here["running"]
        assert killed or case.cuts
        if not between.handed:
            assert source.ask("resume")["running"]
            assert source.ask("look")["broken"] == []
    if not between.happened:
        assert (left, between.handed) == ("moved", True)
