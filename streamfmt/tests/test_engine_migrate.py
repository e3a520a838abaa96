"""Guests move between two ends: they arrive whole, and what goes wrong is said on both sides."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from .. import verify
from ..codec.content import Buffer
from ..engine import configuration, handshake
from ..engine.configuration import Configuration
from ..engine.flow import Input
from ..engine.guest.model import Model
from ..engine.guest.model_workload import Workload
from ..engine.guest.models import model
from ..engine.interface import Guest
from ..engine.migrate import Asked, Patience, Restoring, Taking, receive, restore, save, send
from ..engine.orders import Orders
from ..engine.restorer import Restorer
from ..engine.statistics import Statistics
from ..engine.transport.ends import connect, listen
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import CancelledError, GuestError, InDoubtError, LateError, LinkError, MigrationError, PeerError
from ..writer import Draft, builders
from ..writer.part import record
from .support.moving import PAGES, QUICK, Kept, Moved, another, moved, way, working

SHORT = Patience(0.2, 0.2, 0.2, 0.2)


def paused(guest: Guest | None) -> Model:
    """What arrived, paused."""
    assert isinstance(guest, Model)
    guest.pause()
    return guest


def close(found: Moved) -> None:
    """End both copies."""
    for guest in (found.guest, found.sending.guest):
        if guest is not None:
            guest.close()


# -- they arrive ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 20_000.0, 1e6])
@pytest.mark.parametrize("live", [True, False], ids=["live", "non-live"])
@pytest.mark.parametrize("kind", ["hvm", "pv"])
def test_a_guest_arrives(kind: str, live: bool, rate: float) -> None:
    """The digests are equal, it runs over there and not here, no page was lost; what was sent conforms."""
    found = moved(working(kind, rate), way(live=live))
    assert found.errors == {}
    statistics = found.sending.statistics
    outcome = verify(io.BytesIO(found.stream), strict=True)

    assert found.digest == found.sending.guest.digest()
    assert found.guest is not None
    assert (found.guest.running, found.sending.guest.running) == (True, False)
    assert paused(found.guest).broken() == []
    assert (outcome.verdict, outcome.findings) == ("conforms", [])
    assert statistics.sent == len(found.stream)
    assert statistics.sent_frames == sum(row.frames for row in statistics.rounds) >= PAGES
    assert statistics.downtime is not None
    assert statistics.pause is not None
    assert 0 < statistics.downtime <= statistics.pause <= statistics.seconds
    assert (found.sending.machine.state, found.receiving.machine.state) == ("moved", "running")
    close(found)


@pytest.mark.parametrize("name", ["xen", "qemu", "qemu-2009", "rounds=2", "deadline=0.05", "non-live"])
def test_by_each_policy(name: str) -> None:
    """Each of them moves it whole, also where a round ends before all of it was sent."""
    found = moved(working("hvm", 50_000.0), way(name, orders=Orders(4e6, 0.05)))

    assert found.errors == {}
    assert found.digest == found.sending.guest.digest()
    assert paused(found.guest).broken() == []
    close(found)


def test_one_that_did_not_run_does_not_run() -> None:
    """Over there neither; and nothing is sent twice."""
    guest = working("hvm")
    guest.pause()
    found = moved(guest, way())

    assert found.errors == {}
    assert found.guest is not None
    assert not found.guest.running
    assert len(found.sending.statistics.rounds) == 1
    close(found)


@pytest.mark.parametrize("kind", ["hvm", "pv"])
def test_what_is_sent_again_is_compared(kind: str) -> None:
    """With verify all of it goes twice, and a reader of files finds nothing wrong with that."""
    found = moved(working(kind, 1e5), way(verify=True))
    outcome = verify(io.BytesIO(found.stream), strict=True)

    assert found.errors == {}
    assert outcome.verdict == "conforms"
    assert found.sending.statistics.sent_frames >= 2 * PAGES
    close(found)


@pytest.mark.parametrize("kind", ["hvm", "pv"])
def test_the_same_bytes_each_time(kind: str) -> None:
    """With a stopped clock and the same seed."""
    streams = []
    for _ in range(2):
        guest = working(kind, clock=lambda: 0.0, seed=7)
        guest.advance(0.25)
        found = moved(guest, way(), clock=lambda: 0.0)
        streams.append(found.stream)
        close(found)

    assert len(streams[0]) > PAGES * 8
    assert streams[0] == streams[1]


def test_through_a_file(tmp_path: Path) -> None:
    """Saved and restored, as xl does; the device model's state goes into a file of its own."""
    guest, path, waiter = working("hvm"), tmp_path / "guest.sav", Waiter()
    save(guest, connect(f"file:{path}", waiter), way())
    digests: list[str] = []
    taking = Taking(
        start=False, emulator=tmp_path / "emulator", inspect=lambda arrived: digests.append(arrived.digest())
    )
    arrived = restore(listen(f"file:{path}").accept(waiter), another, taking)

    assert digests == [guest.digest()]
    assert (arrived.running, guest.running) == (False, False)
    assert (tmp_path / "emulator").read_bytes() == guest.emulator() != b""
    assert verify(path).verdict == "conforms"
    for each in (arrived, guest):
        each.close()
    waiter.close()


# -- what goes wrong --------------------------------------------------------------------------------------------


def against(
    message: bytes, act: Callable[[SocketEnd], object], after: bytes = b"", finish: bool = True
) -> BaseException | None:
    """What one side raises whose other side says this, and once nothing more comes that; and then nothing."""
    here, there = socket.socketpair()
    here.setblocking(False)
    there.settimeout(0.05)
    there.sendall(message)
    if finish and not after:
        there.shutdown(socket.SHUT_WR)

    def listen_then_say() -> None:
        try:
            while there.recv(1 << 20):
                pass
        except TimeoutError:
            there.sendall(after)

    thread = threading.Thread(target=listen_then_say)
    if after:
        thread.start()
    end = SocketEnd(here, "here")
    try:
        act(end)
    except MigrationError as error:
        return error
    finally:
        if after:
            thread.join()
        end.close()
        there.close()
    return None


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (b"", LinkError, "closed by the other side, where its greeting"),
        (b"SSH-2.0-OpenSSH\r\n", PeerError, "SSH-2.0"),
        (handshake.GREETING[:20], LinkError, "greeting"),
        (handshake.GREETING[:20] + b"?", PeerError, "no greeting"),
        (b"refused: the receiver here has a sender already\n", PeerError, "has a sender already"),
        (handshake.GREETING + b"streamfmt: GuestError: no room\n", PeerError, "GuestError: no room"),
        (handshake.GREETING + handshake.READY, PeerError, "ready to unpause"),
        (handshake.GREETING, LinkError, "while the stream was sent"),
        ((handshake.GREETING, handshake.GO), PeerError, "no READY"),
        ((handshake.GREETING, b"streamfmt: no\n"), PeerError, "streamfmt: no"),
    ],
)
def test_a_peer_that_says_something_else(
    message: bytes | tuple[bytes, bytes], kind: type[MigrationError], words: str
) -> None:
    """What it says is said, and the guest goes on."""
    guest = working()
    first, after = message if isinstance(message, tuple) else (message, b"")
    error = against(first, lambda end: send(guest, end, way(), Asked(Waiter(), SHORT)), after)

    assert isinstance(error, kind)
    assert words in str(error)
    assert guest.running
    guest.close()


@pytest.mark.parametrize("said", [b"", handshake.GREETING[:9], handshake.GREETING])
def test_a_peer_that_says_nothing_more(said: bytes) -> None:
    """Is given up in time, and the guest goes on."""
    guest = working()
    error = against(said, lambda end: send(guest, end, way(), Asked(Waiter(), SHORT)), finish=False)

    assert isinstance(error, LateError)
    assert guest.running
    guest.close()


@pytest.mark.parametrize(
    ("after", "states"),
    [
        (handshake.READY, "in doubt"),
        (handshake.READY + handshake.REPORT, "in doubt"),
        (handshake.READY + handshake.REPORT + b"\x03", "in doubt"),
        (handshake.READY + handshake.REPORT + b"\x03" + handshake.READY, "in doubt"),
        (handshake.READY + handshake.answer(3), "kept"),
        (handshake.READY + handshake.answer(0xFF), "kept"),
    ],
)
def test_after_it_was_handed_over(after: bytes, states: str) -> None:
    """What is not said is in doubt: the guest stays, paused.  Given back, it goes on."""
    guest = working()
    error = against(handshake.GREETING, lambda end: send(guest, end, way(), Asked(Waiter(), SHORT)), after)

    assert isinstance(error, InDoubtError if states == "in doubt" else PeerError)
    assert guest.running == (states == "kept")
    guest.close()


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (b"", LinkError, "inside xl's header"),
        (b"GET / HTTP/1.1\r\n" + bytes(60), PeerError, "no xl header"),
        (b"\xff" * 100, PeerError, "no xl header"),
    ],
)
def test_a_sender_that_sends_something_else(message: bytes, kind: type[MigrationError], words: str) -> None:
    """Is refused; no guest is made."""

    def make(image: str, config: Configuration) -> Guest:
        raise AssertionError

    error = against(message, lambda end: receive(end, make, asked=Asked(Waiter(), SHORT)))

    assert isinstance(error, kind)
    assert words in str(error)


def test_a_guest_that_cannot_be_made_is_said_on_both_sides() -> None:
    """Both callers hear why; the guest goes on at the source."""

    def make(image: str, config: Configuration) -> Guest:
        raise GuestError("there is no room for it")

    found = moved(working(), way(), make=make)

    assert isinstance(found.errors["destination"], GuestError)
    assert isinstance(found.errors["source"], PeerError)
    assert "no room for it" in str(found.errors["source"])
    assert found.sending.guest.running
    close(found)


def test_a_receiver_that_gives_up_early_is_heard_early() -> None:
    """Of a large guest little is sent then; over TCP, too, where a link that is closed takes back what was not read."""

    def make(image: str, config: Configuration) -> Guest:
        raise GuestError("there is no room for it")

    def between(here: socket.socket, there: socket.socket) -> tuple[socket.socket, socket.socket]:
        here.close()
        there.close()
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            return ours, server.accept()[0]

    guest = model(1 << 14)
    guest.boot(Workload(), filled=8000)
    guest.resume()
    found = moved(guest, way(orders=Orders(20e6)), make=make, between=between)

    assert "no room for it" in str(found.errors["source"])
    assert len(found.stream) < 16 << 20
    assert guest.running
    close(found)


def test_a_stream_for_another_type_of_guest_is_refused() -> None:
    """A receiver whose guests are of one type takes no other."""

    def make(image: str, config: Configuration) -> Guest:
        if image != "hvm":
            raise GuestError(f"guests here are hvm, this one is {image}")
        return another(image, config)

    found = moved(working("pv"), way(), make=make)

    assert "this one is pv" in str(found.errors["source"])
    assert found.sending.guest.running
    close(found)


def test_one_that_does_not_start_is_given_back() -> None:
    """Its copy over there is ended before it goes on here."""
    made: list[Model] = []

    def make(image: str, config: Configuration) -> Guest:
        guest = model(config.pages, image)
        guest.resume = _fails  # type: ignore[method-assign] # it cannot
        made.append(guest)
        return guest

    found = moved(working(), way(), make=make)

    assert isinstance(found.errors["source"], PeerError)
    assert "return code 1" in str(found.errors["source"])
    assert isinstance(found.errors["destination"], GuestError)
    assert (found.sending.machine.state, found.receiving.machine.state) == ("kept", "returned")
    assert found.sending.guest.running
    with pytest.raises(ValueError, match="released"):
        made[0].memory[0]
    close(found)


def _fails() -> None:
    raise GuestError("it does not start")


class _Cuts:
    """A watcher that has something happen once so many bytes have passed."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self._left, self._act = at, act

    def see(self, buffers: Sequence[Buffer]) -> None:
        self._left -= sum(map(len, buffers))
        if self._left <= 0:
            self._act()


def test_it_is_cancelled() -> None:
    """In the middle: the source goes on at once, the other side is left without a guest, both say so."""
    orders = Orders()

    def cancel() -> None:
        orders.cancelled = "somebody wanted that"

    found = moved(working("hvm", 1e5), way("rounds=1000", orders=orders), watcher=_Cuts(100_000, cancel))

    assert isinstance(found.errors["source"], CancelledError)
    assert isinstance(found.errors["destination"], LinkError)
    assert found.sending.guest.running
    assert found.guest is None
    close(found)


def test_it_is_cancelled_at_the_last_moment() -> None:
    """When all has gone, but GO has not: nobody is in doubt, and the source goes on."""
    orders = Orders()

    def cancel(_: Guest) -> None:
        orders.cancelled = "somebody wanted that"

    found = moved(working(), way(orders=orders), taking=Taking(inspect=cancel))

    assert isinstance(found.errors["source"], CancelledError)
    assert found.sending.machine.state == "kept"
    assert found.sending.guest.running
    assert found.guest is None
    close(found)


def test_what_raises_in_between_ends_it() -> None:
    """Also what is no error of ours."""

    def crash() -> None:
        raise KeyboardInterrupt

    found = moved(working(), way(), watcher=_Cuts(50_000, crash))

    assert isinstance(found.errors["source"], KeyboardInterrupt)
    assert isinstance(found.errors["destination"], LinkError)
    assert found.sending.guest.running
    close(found)


@settings(max_examples=12)
@given(st.data())
def test_a_link_cut_anywhere_in_the_stream(data: st.DataObject) -> None:
    """Leaves the guest at the source, running, and none at the destination."""
    at = data.draw(st.integers(1, 170_000))  # of 174,832

    def between(here: socket.socket, there: socket.socket) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        threading.Thread(target=_pump, args=(ours, here, at), daemon=True).start()
        return theirs, there

    found = moved(working(clock=lambda: 0.0), way(), between=between)

    assert found.sending.guest.running
    assert found.guest is None
    assert {type(error) for error in found.errors.values()} <= {LinkError, PeerError}
    assert len(found.errors) == 2
    close(found)


def _pump(sender: socket.socket, receiver: socket.socket, count: int) -> None:
    """Bytes of a receiver as they come, those of a sender up to so many."""
    receiver.setblocking(True)
    with sender, receiver:
        sender.sendall(receiver.recv(100))
        while count > 0 and (some := sender.recv(min(count, 65536))):
            count -= len(some)
            receiver.sendall(some)


def test_what_differs_when_it_is_compared_is_refused() -> None:
    """Libxenguest only logs it; a guest whose memory is not what was sent is none to be started."""
    image = [*builders.image_headers("hvm"), record("libxc.STATIC_DATA_END")]
    image += [builders.page_data([1, 2], "NOTAB", [bytes(4096), b"\1" * 4096]), record("libxc.VERIFY")]
    image += [builders.page_data([1, 2], "NOTAB", [bytes(4096), b"\2" * 4096]), record("libxc.END")]
    stream = builders.in_libxl(Draft(tuple(image))).render()
    source, sock = _input(stream)
    guest = _Noting()
    with pytest.raises(PeerError, match="1 frames came again"):
        Restorer(source, lambda image: guest).run()  # type: ignore[arg-type, return-value] # it is all that it needs
    sock.close()

    assert guest.closed
    assert not guest.loads


# -- streams that somebody broke ----------------------------------------------------------------------------------


def _stream() -> bytes:
    guest, kept = working(clock=lambda: 0.0), Kept()
    guest.pause()
    with Path("/dev/null").open("wb") as file:
        waiter = Waiter()
        save(guest, connect(f"fd:{file.fileno()}", waiter), way(), Asked(waiter, watcher=kept))
        waiter.close()
    guest.close()
    return bytes(kept.data)


STREAM: list[bytes] = []


@settings(max_examples=60)
@given(st.data())
def test_a_broken_stream_is_refused_or_taken(data: st.DataObject) -> None:
    """Any byte overwritten, anything cut or put in: an error of ours, and the guest that was begun is closed."""
    if not STREAM:
        STREAM.append(_stream())
    stream = bytearray(STREAM[0])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 1500) | st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    made: list[Guest] = []

    def make(image: str, config: Configuration) -> Guest:
        if config.pages > 1 << 21:
            raise GuestError("too large")
        made.append(another(image, config))
        return made[-1]

    error: BaseException | None = None
    here, there = socket.socketpair()
    writer = threading.Thread(target=_write, args=(there, bytes(stream)))
    writer.start()
    here.setblocking(False)
    end, waiter = SocketEnd(here, "here"), Waiter()
    try:
        guest = restore(end, make, Taking(False), Asked(waiter, QUICK))
        guest.close()
    except MigrationError as raised:
        error = raised
    finally:
        end.close()
        writer.join()
        waiter.close()
    if error is not None:
        for guest in made:
            with pytest.raises(ValueError, match="released"):
                guest.memory[0]


def _write(sock: socket.socket, data: bytes, again: bytes = b"") -> None:
    with sock:
        try:
            sock.sendall(data)
            while again:
                sock.sendall(again)
        except OSError:
            pass  # it was refused before its end


def _input(data: bytes) -> tuple[Input, socket.socket]:
    here, there = socket.socketpair()
    here.setblocking(False)
    _write(there, data)
    return Input(SocketEnd(here, "here"), Waiter(), 0.2), here


def test_a_checkpoint_that_is_not_whole_is_gone_back_from() -> None:
    """A stream of two checkpoints that ends in a third is the guest of the second; of one without any, nothing is."""
    from .support.good_streams import GOOD

    remus = GOOD["libxl-remus-hvm"].render()
    guest = _Noting()
    source, sock = _input(remus)
    restorer = Restorer(source, lambda image: guest)  # type: ignore[arg-type, return-value] # all that it needs
    restorer.run()
    checkpoints = guest.loads
    source, again = _input(remus[: remus.rindex(b"\x04\0\0\0\0\0\0\0")])
    fewer = Restorer(source, lambda image: guest)  # type: ignore[arg-type, return-value] # as above
    fewer.run()

    assert checkpoints >= 2
    assert guest.loads == 2 * checkpoints - 1
    assert isinstance(fewer.lost, LinkError)
    source, none = _input(remus[: remus.index(b"\x0e\0\0\0\0\0\0\0") + 8])
    with pytest.raises(MigrationError):
        Restorer(source, lambda image: guest).run()  # type: ignore[arg-type, return-value] # as above
    assert guest.closed
    for each in (sock, again, none):
        each.close()


def _after(data: bytes, name: str) -> int:
    """Where the first record of a name ends."""
    with streamfmt.open(data) as items:
        found = [(item.name, item.offset) for item in items]
    names = [row[0] for row in found]
    return found[names.index(name) + 1][1]


_EMULATOR = b"".join(builders.emulator(bytes(1 << 20)).buffers("<"))
_PAGE = b"".join(builders.page_data([1], "NOTAB", [bytes(4096)]).buffers("<"))
_STATE = b"".join(record("libxc.HVM_PARAMS", bytes(1 << 20)).buffers("<"))


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("CHECKPOINT", _EMULATOR, "in 64 records"),
        ("CHECKPOINT_END", _PAGE, "a checkpoint of more than"),
        ("STATIC_DATA_END", _STATE, "no guest's state has"),
    ],
)
def test_what_waits_is_bounded(name: str, more: bytes, words: str) -> None:
    """Records of a checkpoint that never ends, and of a tail that never ends, are refused at some point."""
    from .support.good_streams import GOOD

    remus, guest = GOOD["libxl-remus-hvm"].render(), _Noting()
    here, there = socket.socketpair()
    here.setblocking(False)
    writer = threading.Thread(target=_write, args=(there, remus[: _after(remus, name)], more))
    writer.start()
    waiter = Waiter()
    restorer = Restorer(Input(SocketEnd(here, "here"), waiter, 2.0), lambda image: guest)  # type: ignore[arg-type, return-value] # as above
    try:
        restorer.run()
    except PeerError:
        assert guest.closed
    here.close()
    writer.join()
    waiter.close()

    assert words in str(restorer.lost or restorer.machine.error)


class _Noting:
    """A guest that notes what is done to it."""

    type, running, pages, descriptor = "hvm", False, 1 << 20, -1

    def __init__(self) -> None:
        self.loads, self.closed = 0, False
        self.names: list[str] = []
        self.memory = memoryview(bytearray(1 << 20))
        self.pages = len(self.memory) // 4096

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        self.loads += 1
        self.names = [name for name, _ in records]

    def contents(self, first: int, count: int) -> Buffer | None:
        return self.memory[first * 4096 : (first + count) * 4096]

    def accept(self, first: int, kinds: Sequence[int], contents: Buffer) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("name", ["hvm", "hvm-32", "pv", "pv-32", "hvm-late"])
def test_a_legacy_stream_is_converted_on_its_way(name: str) -> None:
    """What arrives is what our converter makes of it, records and frames; nothing is read after its end."""
    from .support.good_streams import GOOD

    stream, guest = GOOD[f"legacy-{name}"].render(), _Noting()
    text = b"name = 'old'\nmemory = 4\n" + (b"builder = 'hvm'\n" if "hvm" in name else b"")
    head = builders.in_xl(Draft(()), text, json=0, stream_v2=0).render()
    source, sock = _input(head + stream)
    end, waiter = source._end, Waiter()
    restoring = Restoring(end, lambda image, config: guest, Taking(False), Asked(waiter, QUICK))  # type: ignore[arg-type, return-value] # as above
    restoring.stream()

    assert guest.loads == 1
    assert ("HVM_CONTEXT" if "hvm" in name else "SHARED_INFO") in guest.names
    assert restoring.configuration is not None
    assert restoring.configuration.name == "old"
    sock.close()
    waiter.close()


def test_a_legacy_stream_that_is_cut_is_refused() -> None:
    """With what the converter says; nothing is left of it."""
    from .support.good_streams import GOOD

    before = threading.active_count()
    stream = GOOD["legacy-hvm"].render()
    head = builders.in_xl(Draft(()), b"name = 'old'\nbuilder = 'hvm'\n", json=0, stream_v2=0).render()
    source, sock = _input(head + stream[:5000])
    guest, waiter = _Noting(), Waiter()
    restoring = Restoring(source._end, lambda image, config: guest, Taking(False), Asked(waiter, QUICK))  # type: ignore[arg-type, return-value] # as above
    with pytest.raises(PeerError, match="legacy"):
        restoring.stream()

    assert threading.active_count() == before
    sock.close()
    waiter.close()


# -- configurations -----------------------------------------------------------------------------------------------


@given(
    st.builds(
        Configuration,
        st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20),
        st.sampled_from(["hvm", "pvh", "pv"]),
        st.integers(1, 1 << 30),
        st.integers(1, 128),
        st.booleans(),
        st.sampled_from(["", "kvm"]),
    )
)
def test_a_configuration_arrives(config: Configuration) -> None:
    """As it was."""
    assert configuration.parse(config.json()) == config


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"c_info": {}, "b_info": {}}).encode(),
        json.dumps({"c_info": {"type": "arm"}, "b_info": {}}).encode(),
        b"name = 'guest",
        b"<domain><name>x</name></domain>",
        json.dumps({"c_info": {"type": "pv"}, "b_info": {"max_memkb": 1 << 60}}).encode(),
        json.dumps({"c_info": {"type": "pv", "xsdata": {"streamfmt/pages": "x"}}, "b_info": {}}).encode(),
        json.dumps({"c_info": {"type": "pv", "uuid": "x"}, "b_info": {}}).encode(),
    ],
)
def test_a_configuration_that_cannot_be(words: bytes) -> None:
    """Is an error of the peer's."""
    with pytest.raises(PeerError):
        configuration.parse(words)


def test_configurations_of_xl_have_room_below_4_gib() -> None:
    """Special pages of Xen's HVM guests are there, however little memory they have."""
    words = json.dumps({"c_info": {"type": "hvm"}, "b_info": {"max_memkb": 4096}}).encode()

    assert configuration.parse(words).pages == (1 << 20) + 1024


def test_statistics_at_any_moment() -> None:
    """What was sent and how long it took only grow; what the guest has is known from the beginning."""
    seen: list[Statistics] = []
    found = moved(working("hvm", 1e5), way("rounds=3"), look=lambda found: seen.append(found.sending.statistics))
    seen.append(found.sending.statistics)

    assert len(seen) > 4
    assert {row.frames for row in seen} == {PAGES}
    assert all(row.bandwidth and row.expected_downtime is not None for row in seen if row.sent)
    for before, after in pairwise(seen):
        assert before.sent <= after.sent
        assert before.seconds <= after.seconds
        assert before.iteration <= after.iteration
    close(found)
