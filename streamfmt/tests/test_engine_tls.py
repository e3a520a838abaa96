"""TLS: bytes go both ways, ends are said; a certificate that does not fit is named, with the reason, on both sides."""

from __future__ import annotations

import datetime
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from ..engine.interface import End
from ..engine.transport import ends
from ..engine.transport.ends import connect, listen
from ..engine.transport.moving import last_words, part, receive_exactly, receive_some, send_all
from ..engine.transport.sockets import SocketEnd
from ..engine.transport.tls import Tls, TlsEnd
from ..engine.waiting import Waiter
from ..errors import LateError, LinkError, MigrationError

SECONDS = 20.0
HOST = "localhost"


class Certificates:
    """Certificates of two authorities, in files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authorities = trustme.CA(), trustme.CA()
        self.good = self.make("receiver", HOST, "127.0.0.1")
        self.sender = self.make("sender", "sender.example")

    def make(self, name: str, *hosts: str, authority: int = 0, age: int = 0) -> Tls:
        """A side's files, of a certificate for these hosts that expired `age` days ago, if it did."""
        ca = self.authorities[authority]
        ends = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=age) if age else None
        made = ca.issue_cert(*hosts, not_after=ends)
        paths = [str(self.folder / f"{name}.{kind}") for kind in ("cert", "key", "authority")]
        Path(paths[0]).write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        made.private_key_pem.write_to_path(paths[1])
        ca.cert_pem.write_to_path(paths[2])
        return Tls(paths[0], paths[1], paths[2])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    with closing(Waiter()) as made:
        yield made


def _both(
    receiver: Tls | None,
    sender: Tls | None,
    receive: Callable[[End, Waiter], None],
    send: Callable[[End, Waiter], None],
    host: str = HOST,
) -> dict[str, str]:
    """Run both sides over a new link; what went wrong, by side."""
    wrong: dict[str, str] = {}

    def side(name: str, make: Callable[[Waiter], End], work: Callable[[End, Waiter], None]) -> None:
        with closing(Waiter()) as waiter:
            try:
                with closing(make(waiter)) as end:
                    work(end, waiter)
            except MigrationError as error:
                wrong[name] = str(error)

    with closing(listen(f"tcp:{host}:0", tls=receiver)) as listener:
        runs = threading.Thread(
            target=side, args=("receiver", lambda its: listener.accept(its, its.clock() + SECONDS), receive)
        )
        runs.start()
        side("sender", lambda its: connect(listener.uri, its, its.clock() + SECONDS, sender), send)
        runs.join()
    return wrong


def _hears(end: End, waiter: Waiter) -> None:
    receive_exactly(end, memoryview(bytearray(5)), waiter, waiter.clock() + SECONDS, "the banner")


def _says(end: End, waiter: Waiter) -> None:
    send_all(end, [b"ready"], waiter, waiter.clock() + SECONDS)
    part(end, waiter)


@pytest.mark.parametrize("host", [HOST, "127.0.0.1"])
def test_certificates_that_fit(certificates: Certificates, host: str) -> None:
    """The host's name or address is what the certificate is for."""
    assert _both(certificates.good, certificates.sender, _says, _hears, host) == {}


def test_host_by_another_name(certificates: Certificates) -> None:
    """A receiver whose address is not its name is expected by the name that is given."""
    receiver = certificates.make("named", "target.example")
    assert _both(receiver, replace(certificates.sender, host="target.example"), _says, _hears) == {}


def _foreign(it: Certificates) -> Tls:
    """A certificate of an authority that the other side does not know, which knows the other side's."""
    return replace(it.make("foreign", HOST, authority=1), authority=it.good.authority)


MISFITS: dict[str, tuple[Callable[[Certificates], tuple[Tls, Tls]], str, str]] = {
    "of another host": (
        lambda it: (it.make("elsewhere", "elsewhere.example"), it.sender),
        "the certificate of the receiver does not fit: Hostname mismatch, certificate is not valid for 'localhost'",
        "refuses our certificate, {}/elsewhere.cert: it does not fit there",
    ),
    "receiver's, expired": (
        lambda it: (it.make("old", HOST, age=1), it.sender),
        "the certificate of the receiver does not fit: certificate has expired",
        "refuses our certificate, {}/old.cert: it has expired",
    ),
    "receiver's, unknown": (
        lambda it: (_foreign(it), it.sender),
        "the certificate of the receiver does not fit: unable to get local issuer certificate",
        "refuses our certificate, {}/foreign.cert: its authority does not know ours",
    ),
    # These come late: the sender's handshake is over.
    "sender's, expired": (
        lambda it: (it.good, it.make("old", "sender", age=1)),
        "refuses our certificate, {}/old.cert: it has expired",
        "the certificate of the sender does not fit: certificate has expired",
    ),
    "sender's, unknown": (
        lambda it: (it.good, _foreign(it)),
        "refuses our certificate, {}/foreign.cert: its authority does not know ours",
        "the certificate of the sender does not fit: unable to get local issuer certificate",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
@pytest.mark.parametrize("first", ["reads", "writes"])
def test_certificates_that_do_not_fit(certificates: Certificates, misfit: str, first: str) -> None:
    """Each side says whose does not fit, and why, be the sender's first act to read or to write a lot."""
    make, sender, receiver = MISFITS[misfit]

    def writes(end: End, waiter: Waiter) -> None:
        send_all(end, [bytes(4096)] * 20_000, waiter, waiter.clock() + SECONDS)
        end.finish()
        _hears(end, waiter)

    wrong = _both(*make(certificates), _says, _hears if first == "reads" else writes)

    assert sender.format(certificates.folder) in wrong["sender"]
    assert receiver.format(certificates.folder) in wrong["receiver"]


def test_sides_that_do_not_speak_it(certificates: Certificates) -> None:
    """One that speaks in the clear is said to, at once where it says anything."""
    wrong = _both(certificates.good, None, _hears, _says)
    assert "the other side does not speak TLS" in wrong["receiver"]
    wrong = _both(None, certificates.sender, _says, _hears)
    assert "the other side does not speak TLS" in wrong["sender"]


def test_silence(certificates: Certificates, waiter: Waiter) -> None:
    """A receiver that says nothing, and a sender that does not, are waited for no longer than asked."""
    mute = listen("tcp:127.0.0.1:0")
    with pytest.raises(LateError, match="the receiver did not finish the handshake in time; does it speak TLS"):
        connect(mute.uri, waiter, waiter.clock() + 0.1, certificates.sender)
    mute.close()
    listener = listen("tcp:127.0.0.1:0", tls=certificates.good)
    sender = connect(listener.uri, waiter)
    with pytest.raises(LateError, match="the sender did not finish"):
        listener.accept(waiter, waiter.clock() + 0.1)
    for it in (listener, sender):
        it.close()


def test_silence_of_a_sender_that_was_awaited_for_ever(
    certificates: Certificates, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is there, it has to speak."""
    monkeypatch.setattr(ends, "HANDSHAKE", 0.1)
    with closing(listen("tcp:127.0.0.1:0", tls=certificates.good)) as listener:
        sender = connect(listener.uri, waiter)
        with pytest.raises(LateError, match="the sender did not finish the handshake in time"):
            listener.accept(waiter, None)
        sender.close()


def test_second_connection(certificates: Certificates, waiter: Waiter) -> None:
    """It gets an alert that says so, before any handshake."""
    notices: list[str] = []
    with closing(listen("tcp:127.0.0.1:0", tls=certificates.good, notice=notices.append)) as listener:
        first: list[End] = []
        accepting = threading.Thread(target=lambda: first.append(listener.accept(waiter, waiter.clock() + SECONDS)))
        accepting.start()
        with closing(Waiter()) as its:
            one = connect(listener.uri, its, its.clock() + SECONDS, certificates.sender)
            accepting.join()
            refusing = threading.Thread(target=lambda: waiter.step(waiter.clock() + SECONDS))
            refusing.start()
            with pytest.raises(LinkError, match="the receiver has a sender already"):
                connect(listener.uri, its, its.clock() + SECONDS, certificates.sender)
            refusing.join()
            assert len(notices) == 1
            one.close()
        first[0].close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"certificate": "{}/none"}, "the certificate for TLS, {}/none, does not exist"),
        ({"key": "{}/sender.key"}, "receiver.cert and {}/sender.key: the key does not belong to the certificate"),
        ({"key": "{}/sender.cert"}, "no certificate and key in PEM form"),
        ({"key": "{}/encrypted"}, "the key is encrypted"),
        ({"authority": "{}/sender.key"}, "sender.key: no certificate of an authority in PEM form"),
    ],
)
def test_wrong_files(certificates: Certificates, change: dict[str, str], says: str) -> None:
    """Files that are not there, or do not fit each other, are named, and nobody is asked for a password."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(Path(certificates.good.key).read_bytes(), None)
    (certificates.folder / "encrypted").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    certificates.good.check()
    others: dict[str, Any] = {name: text.format(certificates.folder) for name, text in change.items()}
    changed = replace(certificates.good, **others)
    with pytest.raises(LinkError) as caught:
        changed.check()
    assert says.format(certificates.folder) in str(caught.value)


@pytest.fixture(scope="module")
def files(certificates: Certificates) -> tuple[Tls, Tls]:
    return certificates.good, certificates.sender


def _pair(files: tuple[Tls, Tls], narrow: int = 0) -> tuple[TlsEnd, TlsEnd, list[SocketEnd]]:
    """Both ends of TLS over a socket pair, which takes and gives few bytes at a time if asked to."""
    made: list[TlsEnd] = []
    below = [_Narrow(it, "pair", narrow) for it in socket.socketpair()]

    def accept() -> None:
        with closing(Waiter()) as waiter:
            made.append(files[0].accepted(below[0], waiter, waiter.clock() + SECONDS))

    thread = threading.Thread(target=accept)
    thread.start()
    with closing(Waiter()) as waiter:
        other = files[1].connected(below[1], HOST, waiter, waiter.clock() + SECONDS)
    thread.join()
    return made[0], other, list(below)


class _Narrow(SocketEnd):
    def __init__(self, sock: socket.socket, name: str, seed: int) -> None:
        super().__init__(sock, name)
        self._rng = Random(seed) if seed else None

    def receive_into(self, buffer: memoryview) -> int:
        return super().receive_into(buffer[: self._rng.choice((1, 50, 3_000, 20_000))] if self._rng else buffer)

    def send(self, buffers: object) -> int:
        assert isinstance(buffers, list)
        if self._rng is None:
            return super().send(buffers)
        if self._rng.random() < 0.3:
            raise BlockingIOError
        return super().send([b"".join(buffers)[: self._rng.choice((1, 50, 3_000, 20_000))]])


@settings(max_examples=25)
@given(
    there=st.lists(st.integers(0, 40_000), max_size=4),
    back=st.integers(0, 50_000),
    meanwhile=st.booleans(),
    seed=st.integers(0, 1 << 30),
)
def test_any_sizes_and_half_close(
    files: tuple[Tls, Tls], there: list[int], back: int, meanwhile: bool, seed: int
) -> None:
    """All of it arrives, whatever fits at a time, and one side may end while the other sends."""
    rng = Random(seed)
    buffers, answer = [rng.randbytes(size) for size in there], rng.randbytes(back)
    one, other, _ = _pair(files, seed)
    found: list[bytes] = []

    def answers() -> None:
        with closing(Waiter()) as waiter:
            if meanwhile:
                send_all(one, [answer], waiter, waiter.clock() + SECONDS)
            found.append(_everything(one, waiter))
            if not meanwhile:
                send_all(one, [answer], waiter, waiter.clock() + SECONDS)
            part(one, waiter)

    thread = threading.Thread(target=answers)
    thread.start()
    with closing(Waiter()) as waiter:
        send_all(other, buffers, waiter, waiter.clock() + SECONDS)
        other.finish()
        assert _everything(other, waiter) == answer
        other.close()
    thread.join()
    assert found == [b"".join(buffers)]


def _everything(end: End, waiter: Waiter) -> bytes:
    found, room = bytearray(), memoryview(bytearray(7000))
    while got := receive_some(end, room, waiter, waiter.clock() + SECONDS):
        found += room[:got]
    return bytes(found)


def test_cut(files: tuple[Tls, Tls], waiter: Waiter) -> None:
    """An end that nobody said is an error, not an end; so are bytes that were changed on the way."""
    one, other, below = _pair(files)
    send_all(one, [b"some"], waiter)
    below[0].close()
    assert bytes(last_words(other, waiter)) == b"some"
    with pytest.raises(LinkError, match="the link was cut: TLS says when a side has finished"):
        receive_some(other, memoryview(bytearray(1)), waiter, waiter.clock() + SECONDS)
    other.close()
    one, other, below = _pair(files)
    below[0].send([bytes((23, 3, 3, 0, 30)) + bytes(30)])
    with pytest.raises(LinkError, match="TLS failed: decryption failed or bad record mac"):
        receive_some(other, memoryview(bytearray(1)), waiter, waiter.clock() + SECONDS)
    for end in (one, other):
        end.close()


def test_retry_with_fewer_bytes(files: tuple[Tls, Tls], waiter: Waiter) -> None:
    """What did not fit may be given again in other pieces, as a pace does, and no byte goes twice."""
    one, other, _ = _pair(files)
    data = Random(1).randbytes(3_000_000)
    sent, received, rng = 0, bytearray(), Random(2)
    room = memoryview(bytearray(1 << 16))
    while len(received) < len(data):
        try:
            while sent < len(data):
                sent += one.send([data[sent : sent + rng.choice((1, 1000, 100_000))]])
        except BlockingIOError:
            pass
        try:
            received += room[: other.receive_into(room)]
        except BlockingIOError:
            pass
    assert received == data
    one.close()
    other.close()


def test_certificates_as_the_page_makes_them(tmp_path: Path) -> None:
    """The commands in docs/migrate-links.md make certificates that fit."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    page = (Path(streamfmt.__file__).parent.parent / "docs" / "migrate-links.md").read_text()
    commands = next(block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "openssl" in block)
    subprocess.run(["sh", "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True, timeout=SECONDS)
    ours, theirs = (
        Tls(str(tmp_path / f"{side}.pem"), str(tmp_path / f"{side}.key"), str(tmp_path / "authority.pem"))
        for side in ("sender", "receiver")
    )
    assert _both(theirs, replace(ours, host="target.example"), _says, _hears) == {}
    assert "not valid for 'localhost'" in _both(theirs, ours, _says, _hears)["sender"]
