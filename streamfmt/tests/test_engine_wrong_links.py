"""Bad input of a migration: each is a clear error, on both sides where there are two, in time; the guest goes on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from ..engine import handshake
from ..engine.interface import End
from ..engine.receiving import Receiving, Taking
from ..engine.sending import Sending
from ..engine.side import Asked, Patience
from ..engine.transport.ends import REFUSAL, connect, listen
from ..engine.transport.moving import part, receive_some
from ..engine.transport.tls import Tls
from ..engine.transport.uris import Uri
from ..engine.waiting import Waiter
from ..errors import MigrationError
from .support.good_streams import HVM
from .support.moving import another, way, working

# What every wait of both sides is limited to here; the rest is for a busy machine.
PATIENCE = Patience(0.4, 0.4, 0.4, 0.4)
MOST = 10.0
SECONDS = 20.0
HELLO = bytes((22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3))  # TLS's record of a handshake, and a client's greeting in it
HTTP = b"HTTP/1.1 400 Bad Request\r\nServer: something else\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    with closing(Waiter()) as made:
        yield made


def sent(uri: Uri | str, tls: Tls | None = None) -> tuple[str, bool]:
    """What a sender says went wrong, and whether its guest goes on."""
    guest = working()
    begin = time.monotonic()
    with closing(guest), closing(Waiter()) as waiter:
        try:
            end = connect(uri, waiter, waiter.clock() + PATIENCE.greeting, tls)
            with closing(end):
                Sending(guest, end, way(), Asked(waiter, PATIENCE)).send()
            wrong = ""
        except MigrationError as error:
            wrong = str(error)
        assert time.monotonic() - begin < MOST
        ran = guest.running
        guest.pause()
        assert guest.broken() == []
        return wrong, ran


def received(accept: Callable[[Waiter], End]) -> str:
    """What a receiver says went wrong."""
    with closing(Waiter()) as waiter:
        try:
            end = accept(waiter)
            with closing(end):
                Receiving(end, another, Taking(), Asked(waiter, PATIENCE)).receive().close()
        except MigrationError as error:
            return str(error)
    return ""


class Peer:
    """Somebody who listens, takes one connection, says something else than was expected, and hears what comes."""

    def __init__(self, says: bytes, hold: float = 0.0, family: int = socket.AF_INET) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), family=family)
        self.uri = f"tcp:127.0.0.1:{self._socket.getsockname()[1]}"
        self._says, self._hold = says, hold
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._socket, self._socket.accept()[0] as sock:
            sock.settimeout(SECONDS)
            try:
                sock.sendall(self._says)
                time.sleep(self._hold)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 16):
                    pass
            except OSError:
                pass  # the other side has gone

    def close(self) -> None:
        self._thread.join()


SENDERS: dict[str, tuple[bytes, float, str]] = {
    "silence": (b"", 1.5, "nothing has come for 0.4 seconds, inside greeting of xl's receiver"),
    "an end": (b"", 0.0, "closed by the other side, where its greeting of xl's receiver should come"),
    "HTTP": (HTTP, 0.0, "the other side sent no greeting of xl's receiver, but 'HTTP/1.1 400 Bad Request"),
    "SSH": (SSH, 0.0, "the other side sent no greeting of xl's receiver, but 'SSH-2.0-OpenSSH_9.2"),
    "half a greeting": (handshake.GREETING[:20], 0.0, "closed by the other side, where its greeting"),
    "another greeting": (handshake.GREETING[:-1] + b"\0", 0.0, "sent no greeting of xl's receiver, but"),
    "no room": (REFUSAL, 0.0, "but 'refused: the receiver here has a sender already"),
}


@pytest.mark.parametrize("peer", SENDERS)
def test_peers_of_a_sender(peer: str) -> None:
    """What somebody else says is shown, or that nobody says anything."""
    says, hold, wrong = SENDERS[peer]
    with closing(Peer(says, hold)) as made:
        found, runs = sent(made.uri)
    assert wrong in found
    assert runs


RECEIVERS: dict[str, tuple[bytes, str]] = {
    "silence": (b"", "nothing has come for 0.4 seconds, inside xl's header"),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "what came is no xl header, but 'GET / HTTP/1.1"),
    "TLS": (HELLO + bytes(500), "what came is no xl header, but a handshake of TLS"),
    "QEMU": (b"QEVM\0\0\0\3" + bytes(100), "what came is no xl header, but a migration of QEMU's: receive it with"),
    "an image alone": (bytes(HVM.render()), "what came is no xl header, but a libxc image without"),
}


@pytest.mark.parametrize("peer", RECEIVERS)
def test_peers_of_a_receiver(peer: str, tmp_path: Path) -> None:
    """What came is shown at both sides."""
    says, wrong = RECEIVERS[peer]
    errors: list[str] = []
    heard = bytearray()
    with closing(listen(f"unix:{tmp_path}/socket")) as listener:
        thread = threading.Thread(
            target=lambda: errors.append(received(lambda its: listener.accept(its, its.clock() + SECONDS)))
        )
        thread.start()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{tmp_path}/socket")
            sock.sendall(says)
            while data := _heard(sock):
                heard += data
        thread.join()
    assert wrong in errors[0]
    assert heard.startswith(handshake.GREETING + b"streamfmt: ")
    assert not says or b"no xl header" in heard


def _heard(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1000)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("uri", "wrong"),
    [
        ("tcp:localhost", "has no port; the form is tcp:HOST:PORT"),
        ("udp:localhost:1", "begins with 'udp:', which names no link"),
        ("tcp:127.0.0.1:1", "Connection refused; nobody listens there: start the receiver first"),
        ("unix:{}/none", "No such file or directory; nobody listens there: start the receiver first"),
        ("exec:exit 7", "the command ended with status 7"),
        ("fd:999", "this process has no descriptor 999"),
    ],
)
def test_links_that_cannot_be(uri: str, wrong: str, tmp_path: Path) -> None:
    """It is said what is wrong, and the right form is shown."""
    found, runs = sent(uri.format(tmp_path))
    assert wrong in found
    assert runs


def test_second_sender(tmp_path: Path) -> None:
    """It learns why it is refused, and both guests go on: one here, one over there."""
    notices: list[str] = []
    errors: list[str] = []
    with closing(listen(f"unix:{tmp_path}/socket", notice=notices.append)) as listener:
        first = socket.socket(socket.AF_UNIX)
        first.connect(f"{tmp_path}/socket")
        thread = threading.Thread(
            target=lambda: errors.append(received(lambda its: listener.accept(its, its.clock() + SECONDS)))
        )
        thread.start()
        assert first.recv(100) == handshake.GREETING
        found, runs = sent(f"unix:{tmp_path}/socket")
        first.close()
        thread.join()
    assert "refused: the receiver here has a sender already" in found
    assert runs
    assert "a second connection, from process" in notices[0]
    assert "closed by the other side, inside xl's header" in errors[0]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tls, Tls]:
    """One side's, and one of another authority that trusts the first."""
    folder = tmp_path_factory.mktemp("certificates")
    made = []
    for number in range(2):
        authority = trustme.CA()
        paths = [str(folder / f"{kind}{number}") for kind in ("certificate", "key", "authority")]
        own = authority.issue_cert("127.0.0.1")
        own.cert_chain_pems[0].write_to_path(paths[0])
        own.private_key_pem.write_to_path(paths[1])
        authority.cert_pem.write_to_path(paths[2])
        made.append(Tls(paths[0], paths[1], paths[2]))
    return made[0], Tls(made[1].certificate, made[1].key, made[0].authority)


@pytest.mark.parametrize(
    ("ours", "theirs", "here", "there"),
    [
        (1, 0, "refuses our certificate", "the certificate of the sender does not fit"),
        (0, 1, "the certificate of the receiver does not fit", "refuses our certificate"),
        (None, 0, "", "the sender ended the link within the handshake; does it speak TLS?"),
        (0, None, "does not speak TLS", ""),
    ],
)
def test_tls_that_does_not_fit(
    ours: int | None, theirs: int | None, here: str, there: str, certificates: tuple[Tls, Tls]
) -> None:
    """Each side says whose certificate does not fit, or that the other does not speak TLS, and the guest goes on."""
    mine, its = (None if side is None else certificates[side] for side in (ours, theirs))
    errors: list[str] = []
    with closing(listen("tcp:127.0.0.1:0", tls=its)) as listener:
        thread = threading.Thread(
            target=lambda: errors.append(received(lambda waiter: listener.accept(waiter, waiter.clock() + 5)))
        )
        thread.start()
        found, runs = sent(listener.uri, mine)
        thread.join()
    assert here in found
    assert found
    assert there in errors[0]
    assert errors[0]
    assert runs


def test_link_that_ends_inside(waiter: Waiter) -> None:
    """A receiver that goes away while memory comes is an error at the source, whose guest goes on."""
    with closing(listen("tcp:127.0.0.1:0")) as listener:

        def leaves() -> None:
            end = listener.accept(waiter, waiter.clock() + SECONDS)
            end.send([handshake.GREETING])
            receive_some(end, memoryview(bytearray(1)), waiter, waiter.clock() + SECONDS)
            part(end, waiter, 0.0)

        thread = threading.Thread(target=leaves)
        thread.start()
        found, runs = sent(listener.uri)
        thread.join()
    assert found
    assert runs
