"""The control socket of a migration."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..engine.control import COMMANDS, Control, ask
from ..engine.orders import Orders
from ..engine.waiting import Waiter
from ..errors import CancelledError, LateError, LinkError, PeerError
from .support.moving import moved, way, working


class Served:
    """A control socket, which is served in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.orders = Orders()
        self.cancelled = 0
        self._waiter = Waiter()
        self._control = Control(self.path, self._waiter, self.orders, lambda: {"sent": 5}, self._cancel)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _cancel(self) -> None:
        self.cancelled += 1

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._waiter.step(self._waiter.clock() + 0.02)

    def close(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(5)
        self._control.close()
        self._waiter.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """One that waits for commands."""
    found = Served(tmp_path / "control")
    yield found
    found.close()
    assert not os.path.exists(found.path)


def test_commands_change_orders(served: Served) -> None:
    """Each does what it says, and is answered."""
    assert ask(served.path, "info") == {"sent": 5}
    assert ask(served.path, "set-speed", "32m") == {}
    assert ask(served.path, "set-downtime", "20ms") == {}
    assert ask(served.path, "pause") == {}
    assert (served.orders.speed, served.orders.downtime, served.orders.stop) == (32 << 20, 0.02, True)
    assert not served.cancelled
    assert ask(served.path, "cancel", "lunch") == {}
    served.close()  # it was answered before its caller was
    assert (served.orders.cancelled, served.cancelled) == ("lunch", 1)
    assert {"info", "set-speed", "set-downtime", "pause", "cancel"} <= set(COMMANDS)


def test_it_is_for_its_owner(served: Served) -> None:
    """Nobody else may connect."""
    assert os.stat(served.path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("command", "value", "words"),
    [("set-speed", "fast", "is not a speed"), ("set-downtime", "-1", "is not a time"), ("dance", "", "is none of")],
)
def test_what_cannot_be_is_refused(served: Served, command: str, value: str, words: str) -> None:
    """With the reason; nothing is changed."""
    with pytest.raises(PeerError, match=words):
        ask(served.path, command, value)
    assert served.orders == Orders()


def _line(path: str, data: bytes) -> list[Any]:
    """What is answered to these bytes, all lines of it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(path)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while some := sock.recv(65536):
            answer += some
    return [json.loads(line) for line in answer.splitlines()]


def test_any_bytes_are_answered(tmp_path: Path) -> None:
    """Each line by an object with a result or an error; what is no line is no command."""
    served = Served(tmp_path / "control")

    @given(st.lists(st.binary(max_size=40).filter(lambda data: b"\n" not in data), max_size=4))
    def check(lines: list[bytes]) -> None:
        answers = _line(served.path, b"".join(line + b"\n" for line in lines))
        assert len(answers) == len(lines)
        assert all(len(answer.keys() & {"return", "error"}) == 1 for answer in answers)

    try:
        check()
        assert _line(served.path, b'{"command": "info"}\n' * 3) == [{"return": {"sent": 5}}] * 3
        assert _line(served.path, b'{"command": "info"}') == []
        assert "error" in _line(served.path, b"x" * 10_000)[0]
        assert served.orders == Orders()
    finally:
        served.close()


def test_nobody_there(tmp_path: Path) -> None:
    """Is said; one that does not answer is given up."""
    with pytest.raises(LinkError, match="no migration has its control socket there"):
        ask(str(tmp_path / "none"), "info")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "mute"))
        sock.listen()
        with pytest.raises(LateError, match="does not answer"):
            ask(str(tmp_path / "mute"), "info", seconds=0.1)


def test_a_path_that_is_taken_is_left_alone(served: Served) -> None:
    """Two do not serve at one place."""
    waiter = Waiter()
    with pytest.raises(LinkError, match="listens there already"):
        Control(served.path, waiter, Orders(), dict)
    waiter.close()
    assert ask(served.path, "info") == {"sent": 5}


def test_a_migration_is_cancelled_through_it(tmp_path: Path) -> None:
    """While memory goes; the source goes on soon."""
    orders, control, asked = Orders(2e6), list[Control](), list[threading.Thread]()
    begun: list[float] = []

    def cancel() -> None:
        begun.append(time.monotonic())
        ask(path, "cancel", "enough")

    path = str(tmp_path / "control")

    def look(found: Any) -> None:
        if not control:
            waiter = found.sending.waiter
            control.append(Control(path, waiter, orders, lambda: {"sent": found.sending.statistics.sent}))
            asked.append(threading.Thread(target=cancel))
            asked[0].start()

    guest = working("hvm", 1e5)
    found = moved(guest, way("rounds=1000", orders=orders), look=look)
    took = time.monotonic() - begun[0]
    asked[0].join(5)
    control[0].close()

    assert isinstance(found.errors["source"], CancelledError)
    assert str(found.errors["source"]) == "enough"
    assert guest.running
    assert took < 1.0  # a tenth of that, but for a busy machine
    guest.close()
