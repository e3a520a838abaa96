"""QMP between a saver and an emulator: ours on both sides, the real QEMU, and what is neither."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..conformance import qemu
from ..engine.emulator.monitor import GREETING, Session
from ..engine.local_sockets import listening
from ..engine.logdirty.forms import QMP_COMMAND
from ..engine.logdirty.qmp import LINE_MAX, Monitor, set_dirty_log
from ..engine.waiting import Waiter
from ..errors import LateError, LinkError, PeerError
from .support import peers

READY = b'{"return": {}, "id": 1}\r\n'


@contextmanager
def _saying(folder: Path, *lines: bytes) -> Iterator[str]:
    """The path of a monitor that says one of these whenever something comes, and the first at once."""
    path = str(folder / "qmp")

    def serve() -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                client.settimeout(5)
                for line in lines:
                    client.sendall(line)
                    if not client.recv(65536):
                        return
                if lines[-1:] != (b"",):
                    return
                client.recv(1)

    with listening(path) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            thread.join(6)
    Path(path).unlink()


def _told(path: str, on: bool = True) -> None:
    monitor = Monitor(path, patience=0.3)
    try:
        monitor.execute(QMP_COMMAND, enable=on)
    finally:
        monitor.close()


def test_events_between_are_no_answers(tmp_path: Path) -> None:
    """They are passed over."""
    event = b'{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}\r\n'
    with _saying(tmp_path, GREETING, event + READY, event * 3 + b'{"return": {}, "id": 2}\r\n') as path:
        _told(path)


@pytest.mark.parametrize(
    ("lines", "error", "text"),
    [
        ([b"SSH-2.0-x\r\n"], PeerError, "speaks no QMP"),
        ([b'{"hello": 1}\n'], PeerError, "is no monitor"),
        ([b"[" * 100_000 + b"\n"], PeerError, "speaks no QMP"),
        ([GREETING, b'{"return": {}, "id": 7}\n'], PeerError, "with something else"),
        ([GREETING, READY, b'{"error": {"class": "X", "desc": "no Xen here"}, "id": 2}\n'], PeerError, "no Xen here"),
        ([GREETING, READY, b'{"error": 7, "id": 2}\n'], PeerError, "refuses xen-set-global-dirty-log"),
        ([GREETING, READY, b""], LateError, r"did not answer xen-set-global-dirty-log within 0\.3 s"),
        ([GREETING], LinkError, "has closed the connection"),
    ],
    ids=lambda value: None,
)
def test_wrong_monitors(tmp_path: Path, lines: list[bytes], error: type[Exception], text: str) -> None:
    """Each is a clear error, in time."""
    with _saying(tmp_path, *lines) as path, pytest.raises(error, match=text):
        _told(path)


def test_no_monitor(tmp_path: Path) -> None:
    """It is said where it should be."""
    with pytest.raises(LinkError, match=r"no monitor at .*none"):
        Monitor(str(tmp_path / "none"))


def test_lines_without_an_end(tmp_path: Path) -> None:
    """Memory is bounded."""
    endless = b"x" * (LINE_MAX + 100_000)
    with _saying(tmp_path, endless) as path, pytest.raises(PeerError, match="sends a line of more than"):
        Monitor(path, patience=5)


# -- the emulator's side ----------------------------------------------------------------------------------------------


def _answered(session: Session, **asked: object) -> dict[str, object]:
    found = json.loads(session.feed(json.dumps(asked).encode() + b"\n"))
    assert isinstance(found, dict)
    return found


def test_a_session() -> None:
    """It wants its capabilities negotiated first, switches when asked to, and refuses what it does not know."""
    said: list[bool] = []
    session = Session(said.append, lambda: True)

    assert "QMP" in json.loads(GREETING)
    assert "negotiation" in str(_answered(session, execute=QMP_COMMAND, arguments={"enable": True}))
    assert _answered(session, execute="qmp_capabilities", id=[1]) == {"return": {}, "id": [1]}
    assert _answered(session, execute=QMP_COMMAND, arguments={"enable": True}) == {"return": {}}
    assert _answered(session, execute=QMP_COMMAND, arguments={"enable": False}) == {"return": {}}
    assert _answered(session, execute="query-status")["return"] == {"running": True, "status": "running"}
    wrongs: tuple[object, ...] = ({}, {"enable": 1}, {"enable": True, "x": 1}, [], None)
    for wrong in wrongs:
        assert "error" in _answered(session, execute=QMP_COMMAND, arguments=wrong)
    assert "error" in _answered(session, execute="quit")
    assert said == [True, False]
    with pytest.raises(PeerError, match="speaks no QMP"):
        session.feed(b"hello\n")


@given(data=st.binary(max_size=60), cut=st.integers(0, 60))
def test_any_bytes_for_a_session(data: bytes, cut: int) -> None:
    """Answers, or the end of the connection."""
    session = Session(lambda on: None, lambda: True)
    with suppress(PeerError):
        for piece in (data[:cut], data[cut:]):
            for line in session.feed(piece).splitlines():
                assert json.loads(line).keys() & {"return", "error"}


@pytest.mark.peer
@pytest.mark.parametrize("release", qemu.RELEASES)
def test_the_real_qemu(release: str, tmp_path: Path) -> None:
    """It takes the command from us; what it refuses, we say."""
    peers.require_qemu(release)
    path = str(tmp_path / "qmp")
    with qemu.Machine(release, "-M", "none", "-qmp", f"unix:{path},server=on,wait=off"):
        waiter = Waiter()
        set_dirty_log(path, True, waiter)
        set_dirty_log(path, False, waiter)
        monitor = Monitor(path, waiter)
        with pytest.raises(PeerError, match="refuses nonsense: The command nonsense has not been found"):
            monitor.execute("nonsense")
        monitor.close()
        waiter.close()
