"""The client of xenstore against a store that does anything: nothing is taken for what it is not."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine.waiting import READ, Waiter
from ..engine.xenstore.client import Client, Event, default_path
from ..engine.xenstore.server import in_thread
from ..engine.xenstore.wire import HEADER, Kind, Message, strings
from ..errors import LateError, LinkError, MigrationError, PeerError, StoreError

Peer = Callable[[socket.socket, tuple[int, int, int, int]], None]
EVENT = Message(Kind.WATCH_EVENT, 0, 0, strings("/a", "token")).encoded()


@contextmanager
def _against(folder: Path, peer: Peer) -> Iterator[Client]:
    """A client whose first request `peer` gets, with its header."""
    path = str(folder / "peer")
    Path(path).unlink(missing_ok=True)

    def serve() -> None:
        with suppress(OSError):
            found, _ = listener.accept()
            with found:
                found.settimeout(5)
                header = struct.unpack("<4I", found.recv(16, socket.MSG_WAITALL))
                found.recv(header[3], socket.MSG_WAITALL)
                peer(found, header)
                found.recv(1)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        client = Client(path, patience=0.3)
        try:
            yield client
        finally:
            client.close()
            thread.join(5)
    assert not thread.is_alive()


def _says(*data: bytes) -> Peer:
    def peer(found: socket.socket, _: object) -> None:
        for piece in data:
            found.sendall(piece)

    return peer


def _answers(payload: bytes, before: bytes = b"", kind: int | None = None, add: int = 0, cut: bool = False) -> Peer:
    def peer(found: socket.socket, header: tuple[int, int, int, int]) -> None:
        number = header[1] + add
        data = before + Message(header[0] if kind is None else kind, number, header[2], payload).encoded()
        for piece in (bytes((byte,)) for byte in data) if cut else (data,):
            found.sendall(piece)

    return peer


@pytest.mark.parametrize("cut", [False, True])
def test_events_before_an_answer_are_kept(tmp_path: Path, cut: bool) -> None:
    """However the bytes come, an event is never taken for an answer."""
    with _against(tmp_path, _answers(b"value", EVENT * 3, cut=cut)) as client:
        assert client.read("/a") == b"value"
        assert [client.take("other"), client.take("token"), client.take()] == [None, *[Event("/a", "token")] * 2]


@pytest.mark.parametrize(
    ("peer", "error", "text"),
    [
        (_answers(b"ENOENT\0", kind=Kind.ERROR), StoreError, "xenstore answers ENOENT to READ /a"),
        (_answers(b"x", kind=Kind.WRITE), PeerError, "with another answer"),
        (_answers(b"x", add=1), PeerError, "with another answer"),
        (_says(HEADER.pack(2, 1, 0, 4097)), PeerError, "announces 4,097 bytes"),
        (_says(Message(Kind.WATCH_EVENT, 0, 0, b"no token\0").encoded()), PeerError, "without a path and a token"),
        (lambda found, _: found.shutdown(socket.SHUT_RDWR), LinkError, "is gone"),
        (_says(b"\1\0\0"), LateError, "did not answer READ /a in time"),
        (_says(EVENT), LateError, "did not answer READ /a in time"),
    ],
)
def test_wrong_answers(tmp_path: Path, peer: Peer, error: type[Exception], text: str) -> None:
    """Each is a clear error, and after all but a refusal the connection is of no more use."""
    with _against(tmp_path, peer) as client:
        with pytest.raises(error, match=text):
            client.read("/a")
        if error is not StoreError:
            with pytest.raises(MigrationError):
                client.read("/a")


@given(data=st.binary(max_size=80))
@settings(max_examples=min(settings().max_examples, 25))
def test_any_bytes_for_an_answer(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Nothing but the errors of a migration comes of them."""

    def peer(found: socket.socket, _: object) -> None:
        found.sendall(data)
        found.shutdown(socket.SHUT_RDWR)

    with _against(tmp_path_factory.mktemp("any"), peer) as client, pytest.raises(MigrationError):
        client.read("/a")


def test_an_answer_nobody_waits_for(tmp_path: Path) -> None:
    """Two answers to one request are one too many."""
    twice = Message(Kind.READ, 1, 0, b"x").encoded() * 2
    with _against(tmp_path, _says(twice)) as client, pytest.raises(PeerError, match="nobody waits for"):
        client.read("/a")


def test_requests_while_an_event_is_waited_for(tmp_path: Path) -> None:
    """Others who are served meanwhile may ask, too: an event that comes with their answer is not overlooked."""
    path = str(tmp_path / "socket")
    waiter = Waiter()
    mine, its = socket.socketpair()
    with in_thread({0: path}), Client(path) as client, mine, its:
        client.watch("/a", "token")
        client.take()

        def other() -> None:
            its.recv(1)
            with Client(path) as writer:
                writer.write("/a", "1")
            assert client.read("/a") == b"1"

        waiter.serve(its.fileno(), READ, other)
        mine.send(b"x")
        began = waiter.clock()
        assert client.event("token", began + 5, waiter) == Event("/a", "token")
        assert waiter.clock() - began < 1
        waiter.close()


def test_many_clients_and_events(tmp_path: Path) -> None:
    """A request in answer to each event, while others write: all come to their end."""
    path = str(tmp_path / "socket")
    with in_thread({0: path}), Client(path) as client:
        client.mkdir("/n")
        client.watch("/n", "token")

        def writes(name: str) -> None:
            with Client(path) as writer:
                for number in range(50):
                    writer.write(f"/n/{name}", str(number))

        threads = [threading.Thread(target=writes, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        heard = 0
        while heard < 151:
            event = client.event("token", client.now() + 5)
            heard += 1
            assert client.find(event.path) is not None
        for thread in threads:
            thread.join()
        assert [client.read(f"/n/{name}") for name in "abc"] == [b"49"] * 3


def test_one_request_at_a_time(tmp_path: Path) -> None:
    """A second one while the first waits is a mistake of ours, and is said."""
    with _against(tmp_path, _answers(b"value", EVENT)) as client:
        pump = client.pump

        def pump_and_ask() -> None:
            pump()
            with pytest.raises(RuntimeError, match="READ /b while READ /a waits"):
                client.read("/b")

        client.pump = pump_and_ask  # type: ignore[method-assign]  # as a handler would come between
        assert client.read("/a") == b"value"


def test_where_xenstored_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As libxenstore looks for it."""
    monkeypatch.delenv("XENSTORED_PATH", raising=False)
    monkeypatch.delenv("XENSTORED_RUNDIR", raising=False)
    assert default_path() == "/var/run/xenstored/socket"
    monkeypatch.setenv("XENSTORED_RUNDIR", "/x")
    assert default_path() == "/x/socket"
    monkeypatch.setenv("XENSTORED_PATH", "/y")
    assert default_path() == "/y"
