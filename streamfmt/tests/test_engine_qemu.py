"""Our two sides of a migration of QEMU with one another, and with sides that do what they should not."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamfmt

from ..engine import migrate_qemu, qemu_receiving, qemu_stored, return_path
from ..engine.framing_qemu import LOADED, SHAPES, render
from ..engine.migrate_qemu import Taking, Terms
from ..engine.orders import Orders
from ..engine.policies import policy
from ..engine.precopy import Settings
from ..engine.too_fast import remedy
from ..engine.transport.sockets import SocketEnd
from ..errors import (
    CancelledError,
    GuestError,
    InDoubtError,
    LateError,
    LinkError,
    MigrationError,
    PeerError,
    UnplayableError,
)
from ..writer import qemu
from ..writer.draft import Draft
from .support.qemu_moves import PAGE, PATIENCE, Guest, Recorded, Side, pair, received, sent, stream, waiter

PAGES = 24
TERMS = Terms(settings=Settings(policy("rounds=2"), remedy("go-on")), patience=PATIENCE)
TAKING = Taking(patience=PATIENCE)
WRITES = st.dictionaries(
    st.integers(0, PAGES - 1), st.sampled_from((bytes(PAGE), b"\1" * PAGE, bytes(99) + b"\2" * 3997))
)
SMALL_3 = {1: b"\1" * PAGE}
SMALL = {0: b"\1" * PAGE, 3: b"\2" * PAGE}


def _empty(pages: int) -> Guest:
    if pages > 1000:
        raise GuestError("there is not as much memory")
    return Guest(pages)


@given(
    contents=WRITES, rounds=st.lists(WRITES, max_size=4), release=st.sampled_from(sorted(SHAPES)), running=st.booleans()
)
def test_a_guest_moves(
    contents: Mapping[int, bytes], rounds: list[Mapping[int, bytes]], release: str, running: bool
) -> None:
    """Whatever it has and writes meanwhile, the same memory is at the other side, and one of the two runs if it did."""
    guest = Guest(PAGES, contents, rounds)
    guest.running = running
    recorded = Recorded()
    with pair() as (mine, other):
        side = Side(lambda: received(_empty, other, TAKING))
        statistics = sent(guest, mine, replace(TERMS, shape=SHAPES[release], watcher=recorded, orders=Orders()))
        found = side.done()

    assert isinstance(found, migrate_qemu.Received), found
    assert found.guest is not None
    assert bytes(found.guest.memory) == bytes(guest.memory)
    assert (guest.running, found.guest.running) == (False, running)
    assert found.state == ("running" if running else "paused")
    assert not guest.log.on
    assert statistics.sent == len(recorded.data) == found.size
    assert (statistics.downtime is not None, statistics.pause is not None) == (running, running)
    assert not streamfmt.verify(bytes(recorded.data)).findings


def test_a_stream_is_stored_and_played(tmp_path: Path) -> None:
    """What is stored is what was sent; it is played into a receiver, which gets the same memory, and is asked."""
    guest, recorded = Guest(PAGES, SMALL), Recorded()
    path = tmp_path / "stored"
    for watcher, way in ((recorded, True), (None, False)):
        with pair() as (mine, other), waiter() as waits:
            side = Side(lambda: migrate_qemu.store(other, path, waits, TAKING))
            sent(guest, mine, replace(TERMS, watcher=watcher, return_path=way))
            assert side.done().size == path.stat().st_size
        if watcher is not None:
            assert path.read_bytes() == bytes(recorded.data)
        # One opens the return path itself; into the other that is put.
        with pair() as (mine, other), waiter() as waits:
            side = Side(lambda: received(_empty, other, TAKING))
            size = migrate_qemu.play(path, mine, waits, patience=PATIENCE)
            assert bytes(side.done().guest.memory) == bytes(guest.memory)
        assert size == path.stat().st_size + 9 + (0 if way else len(qemu_stored.opening()))


def test_devices_come_along(tmp_path: Path) -> None:
    """Devices' state is given before the sender is told, stored as a record that conforms, and sent again."""
    rows = (qemu.Device("timer", bytes(range(24)), 2), qemu.Device("0000:00:02.0/e1000", bytes(9) + b"\7" * 70000, 2))
    path = tmp_path / "devices"
    with pair() as (mine, other):
        taking = replace(TAKING, devices=lambda rows: migrate_qemu.store_devices(path, rows))
        side = Side(lambda: received(_empty, other, taking))
        sent(Guest(2), mine, replace(TERMS, devices=rows))
        found = side.done()

    assert found.devices == rows == migrate_qemu.devices(path)
    assert streamfmt.verify(path).conforms


# -- receivers of what is wrong ---------------------------------------------------------------------------------------


def _told(end: SocketEnd) -> list[int | None]:
    """What a receiver has said that it ended with."""
    end.socket.setblocking(True)
    end.socket.settimeout(PATIENCE)
    raw = b""
    try:
        while data := end.socket.recv(4096):
            raw += data
    except ConnectionError:
        pass
    return [return_path.value(data) for name, data in return_path.Messages().feed(raw) if name == "SHUT"]


def _refused(data: bytes, taking: Taking = TAKING, make: Callable[[int], Guest] = _empty) -> tuple[Any, list[Any]]:
    """What comes of receiving these bytes and the end, and what the sender is told."""
    with pair() as (mine, other):
        side = Side(lambda: _closing(lambda: received(make, other, taking), other))
        try:
            mine.socket.setblocking(True)
            mine.socket.sendall(data)
        except OSError:
            pass  # it has seen enough
        mine.finish()
        told = _told(mine)
        return side.done(), told


def _closing(work: Callable[[], Any], end: SocketEnd) -> Any:
    try:
        return work()
    finally:
        end.close()


class Made:
    """Makes guests, and knows them."""

    def __init__(self) -> None:
        self.guests: list[Guest] = []

    def __call__(self, pages: int) -> Guest:
        self.guests.append(Guest(pages))
        return self.guests[-1]


CLOCK = (qemu.Device("timer", bytes(24), 2),)


def _stream(
    machine: bytes = b"none",
    blocks: Mapping[str, int] = {"ram": PAGES},
    devices: tuple[qemu.Device, ...] = CLOCK,
    ahead: tuple[Any, ...] = (),
    words: tuple[Any, ...] | None = None,
) -> bytes:
    """A stream with the return path open, with this and that in it."""
    if words is None:
        words = tuple(
            part for name, pages in blocks.items() for part in (qemu.zero_of(name), qemu.zeros(range(1, pages)))
        )
    parts = (
        *qemu.opening(machine),
        qemu.command("OPEN_RETURN_PATH"),
        qemu.command("PING", b"\0\0\0\1"),
        *ahead,
        *qemu.memory("SECTION_START", 2, qemu.blocks(blocks)),
        *qemu.memory("SECTION_END", 2, words),
        *qemu.devices(3, devices),
        qemu.frame("EOF"),
        qemu.description(devices),
    )
    return Draft(parts).render()


BAD_WORD = qemu.frame("RAM_WORD", **{"word.page": 0, "word.flags": 3})


def test_a_stream_in_order_is_taken() -> None:
    """What the cases below are made of is taken as it is."""
    found, told = _refused(_stream())

    assert isinstance(found, migrate_qemu.Received)
    assert told == [0]


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        pytest.param(b"", LinkError, "0 bytes", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", PeerError, "no migration of QEMU", id="http"),
        pytest.param(b"LibxlFmt" + bytes(92), PeerError, "libxl", id="xen"),
        pytest.param(_stream(machine=b"pc-i440fx-7.2"), PeerError, "pc-i440fx-7.2", id="machine"),
        pytest.param(_stream(blocks={"ram": 4, "rom": 1}), PeerError, "more than one block", id="blocks"),
        pytest.param(_stream(devices=(*CLOCK, qemu.Device("i8254", bytes(108), 3))), PeerError, "i8254", id="device"),
        pytest.param(_stream(words=(qemu.zero_of("ram", PAGES),)), PeerError, "not of this guest", id="beyond"),
        pytest.param(_stream(words=(qemu.zero_of("rom"),)), PeerError, "not of this guest", id="block"),
        pytest.param(_stream(words=(qemu.zero_of("ram"),)), PeerError, "leaves memory out", id="memory"),
        pytest.param(_stream(ahead=(qemu.command("ENABLE_COLO"),)), PeerError, "ENABLE_COLO", id="colo"),
        pytest.param(_stream(ahead=tuple(qemu.begin(9, qemu.Device("slirp")))), PeerError, "slirp", id="live"),
        pytest.param(_stream(words=(BAD_WORD,)), PeerError, "QEMU-RAM-COMBO", id="word"),
    ],
)
def test_what_is_wrong_is_refused(data: bytes, error: type[MigrationError], words: str) -> None:
    """It is said what is wrong, the sender is told that it keeps its guest, and the one that was begun is closed."""
    made = Made()
    found, told = _refused(data, make=made)

    assert isinstance(found, error)
    assert words in str(found)
    assert 0 not in told
    assert all(guest.closed for guest in made.guests)


def test_a_guest_that_cannot_be_made() -> None:
    """A claim of memory is what is asked for, and not more; the guest's own error comes out, and the sender is told."""
    asked: list[int] = []

    def make(pages: int) -> Guest:
        asked.append(pages)
        raise GuestError("no")

    found, told = _refused(_stream(blocks={"ram": 1 << 40}, words=()), make=make)

    assert (str(found), asked, told) == ("no", [1 << 40], [1])


@given(data=st.data())
def test_a_stream_that_breaks_off(data: st.DataObject) -> None:
    """Wherever it does, no guest comes of it, and nobody is told that one did."""
    raw = stream(Guest(3, {1: b"\1" * PAGE}))
    body = raw[: raw.rindex(b"\6")]  # without the description, a stream is whole
    at = data.draw(st.integers(0, len(body) - 1))
    made = Made()
    found, told = _refused(raw[:at], make=made)

    assert isinstance(found, (LinkError, PeerError))
    assert 0 not in told
    assert all(guest.closed for guest in made.guests)


@given(data=st.data())
def test_a_stream_that_is_damaged(data: st.DataObject) -> None:
    """Whatever byte is another, there is a guest, or one of our errors."""
    raw = bytearray(stream(Guest(3, {1: b"\1" * PAGE})))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    found, _ = _refused(bytes(raw), replace(TAKING, patience=0.3))

    assert isinstance(found, (migrate_qemu.Received, MigrationError))


def test_a_file_is_there_only_when_all_has_come(tmp_path: Path) -> None:
    """A stream that breaks off, or breaks a rule, leaves what was there before; the sender is told why not."""
    path = tmp_path / "stored"
    path.write_bytes(b"before")
    whole = _stream()
    for data in (whole[:-700], whole[:200] + b"\x55" + whole[201:], b"x" * 100):
        with pair() as (mine, other), waiter() as waits:
            side = Side(lambda: _closing(lambda: migrate_qemu.store(other, path, waits, TAKING), other))
            mine.socket.setblocking(True)
            mine.socket.sendall(data)
            mine.finish()
            assert 0 not in _told(mine)
            assert isinstance(side.done(), MigrationError)
        assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_sender_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes silent, sends nothing but empty parts, or asks and never takes an answer is given up."""
    monkeypatch.setattr(qemu_receiving, "LINGER", 0.05)
    head = _stream()[:60]
    empty = b"".join(render(part) for part in qemu.memory("SECTION_PART", 2, ()))
    begun = _stream(words=())
    begun = begun[: begun.index(b"\3\0\0\0\2")]
    ping = render(qemu.command("PING", b"\0\0\0\7"))
    for first, again, error, words in (
        (head, b"", LateError, "did not come in time"),
        (begun, empty, LateError, "switchover-ack"),
        (begun, ping * 500, PeerError, "takes none"),
    ):
        with pair() as (mine, other):
            side = Side(lambda: _closing(lambda: received(_empty, other, replace(TAKING, patience=0.2)), other))
            mine.socket.setblocking(True)
            mine.socket.settimeout(PATIENCE)
            try:
                mine.socket.sendall(first)
                while side.result is None:
                    mine.socket.sendall(again)
                    time.sleep(0 if again else 0.01)
            except OSError:
                pass  # it has gone
            mine.finish()
            found = side.done()
            assert isinstance(found, error)
            assert words in str(found)


# -- senders to what is wrong -----------------------------------------------------------------------------------------

PONG, SHUT_0, SHUT_1 = (return_path.message(*row) for row in (("PONG", 1), ("SHUT", 0), ("SHUT", 1)))
PONGS = PONG + return_path.message("PONG", LOADED)


class Stub:
    """A receiver that reads some bytes, says something, reads the rest, says something, and closes or does not."""

    def __init__(self, end: SocketEnd, first: bytes, last: bytes = b"", upto: int = -1, closes: bool = True) -> None:
        self._end, self._first, self._last, self._upto, self._closes = end, first, last, upto, closes

    def __call__(self) -> int:
        sock = self._end.socket
        sock.setblocking(True)
        sock.settimeout(PATIENCE)
        got = len(sock.recv(16))
        sock.sendall(self._first)
        sock.settimeout(0.15)
        try:
            while (self._upto < 0 or got < self._upto) and (data := sock.recv(1 << 16)):
                got += len(data)
        except TimeoutError:
            pass  # all is there
        sock.settimeout(PATIENCE)
        try:
            sock.sendall(self._last)
            if not self._closes:
                while sock.recv(1 << 16):
                    pass
        finally:
            self._end.close()
        return got


@pytest.mark.parametrize(
    ("first", "last", "upto", "closes", "error", "words", "runs"),
    [
        pytest.param(PONGS, SHUT_0, -1, True, None, "", False, id="loaded"),
        pytest.param(PONGS, SHUT_1, -1, True, PeerError, "status 1", True, id="refused"),
        pytest.param(PONGS, b"", -1, True, InDoubtError, "before word that the guest is loaded", False, id="closed"),
        pytest.param(PONGS, b"", -1, False, InDoubtError, "look there", False, id="silent"),
        pytest.param(PONG, b"", 100, True, LinkError, "", True, id="gone"),
        pytest.param(PONG + SHUT_1, b"", 100, True, PeerError, "status 1", True, id="refused early"),
        pytest.param(PONG, SHUT_1, -1, True, PeerError, "status 1", True, id="not loaded"),
        pytest.param(PONG, b"", -1, False, LateError, "memory and devices", True, id="no second answer"),
        pytest.param(PONG, b"", -1, True, LinkError, "memory and devices", True, id="gone with all"),
        pytest.param(b"", b"", -1, False, LateError, "an answer of the receiver", True, id="no answer"),
        pytest.param(b"HTTP/1.1 400", b"", -1, True, PeerError, "type 18516", True, id="http"),
        pytest.param(b"\0\3\0\4" + bytes(4), b"", -1, True, PeerError, "13 to 268", True, id="short"),
        pytest.param(b"\0\4\0\x0c" + bytes(12), b"", -1, True, PeerError, "no post-copy", True, id="asks"),
    ],
)
def test_a_receiver_that_fails(
    first: bytes, last: bytes, upto: int, closes: bool, error: type[MigrationError] | None, words: str, runs: bool
) -> None:
    """Whatever it does, the guest runs here or has gone; if that cannot be known, it stays as it is."""
    guest = Guest(200, dict.fromkeys(range(200), b"\1" * PAGE))
    guest.running = True
    with pair() as (mine, other):
        side = Side(Stub(other, first, last, upto, closes))
        try:
            # Only one that stays and says nothing has to be waited for.
            sent(guest, mine, replace(TERMS, patience=PATIENCE if closes else 0.4, orders=Orders()))
            found = None
        except MigrationError as caught:
            found = caught
        mine.close()
        side.done()

    assert found is error if error is None else isinstance(found, error)
    assert words in str(found)
    assert guest.running == runs
    assert not guest.log.on


@cache
def _whole() -> bytes:
    """The stream of the guest below."""
    recorded = Recorded()
    guest = Guest(3, SMALL_3)
    guest.running = True
    with pair() as (mine, other):
        side = Side(lambda: received(_empty, other, TAKING))
        sent(guest, mine, replace(TERMS, orders=Orders(), watcher=recorded))
        side.done()
    return bytes(recorded.data)


class Relay:
    """Stands between a sender and a receiver, and closes both links after so many bytes of one way."""

    def __init__(self, one: SocketEnd, other: SocketEnd, way: int, most: int) -> None:
        self._ends = (one, other)
        self._left = [1 << 30, 1 << 30]
        self._left[way] = most

    def __call__(self) -> None:
        first, second = (end.socket for end in self._ends)
        for sock in (first, second):
            sock.setblocking(True)
        with selectors.DefaultSelector() as waits:
            waits.register(first, selectors.EVENT_READ, (0, second))
            waits.register(second, selectors.EVENT_READ, (1, first))
            while waits.get_map() and min(self._left) > 0:
                for key, _ in waits.select(PATIENCE):
                    way, to = key.data
                    sock = first if way == 0 else second
                    data = sock.recv(min(self._left[way], 1 << 16))
                    self._left[way] -= len(data)
                    if not data:
                        waits.unregister(sock)
                        to.shutdown(socket.SHUT_WR)
                        continue
                    to.sendall(data)
        for end in self._ends:
            end.close()


@given(way=st.sampled_from([0, 1]), data=st.data())
def test_cut_anywhere(way: int, data: st.DataObject) -> None:
    """Whatever is lost, in either direction, never do both run; and if that is not in doubt, one does."""
    guest = Guest(3, SMALL_3)
    guest.running = True
    # As many bytes as there are: of the stream, and of the answers (two PONGs and SHUT).
    most = data.draw(st.integers(1, len(_whole()) + 5) if way == 0 else st.integers(1, 3 * 8 + 1))
    made = Made()
    with pair() as (mine, relay_in), pair() as (relay_out, other):
        relay = Side(Relay(relay_in, relay_out, way, most))
        there = Side(lambda: _closing(lambda: received(made, other, TAKING), other))
        error: MigrationError | None = None
        try:
            sent(guest, mine, replace(TERMS, orders=Orders()))
        except MigrationError as caught:
            error = caught
        mine.close()
        found = there.done()
        assert relay.done() is None or isinstance(relay.result, OSError)
    runs_there = [each for each in made.guests if each.running]

    assert not (guest.running and runs_there)
    assert isinstance(error, InDoubtError) or guest.running != bool(runs_there)
    assert bool(runs_there) == isinstance(found, migrate_qemu.Received)
    assert (error is None) == (not guest.running and not isinstance(error, InDoubtError))
    for each in runs_there:
        assert bytes(each.memory) == bytes(guest.memory)


def test_a_receiver_that_takes_nothing() -> None:
    """The guest runs on, and that is said in time; while it waits somebody may ask for the end."""
    for orders, error in ((Orders(), LateError), (Orders(cancelled="enough"), CancelledError)):
        guest = Guest(200, dict.fromkeys(range(200), b"\1" * PAGE))
        guest.running = True
        with pair() as (mine, _):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                mine.socket.setsockopt(socket.SOL_SOCKET, option, 4096)
            with pytest.raises(error):
                sent(guest, mine, replace(TERMS, patience=0.2, orders=orders))
        assert guest.running


def test_cancelled_while_it_waits() -> None:
    """A cancel reaches a sender whose receiver takes nothing, long before that is given up."""
    guest = Guest(400, dict.fromkeys(range(400), b"\1" * PAGE))
    guest.running = True
    orders = Orders()
    with pair() as (mine, _):
        moments: list[float] = []

        def cancel() -> None:
            moments.append(time.monotonic())
            orders.cancelled = "enough"

        timer = threading.Timer(0.1, cancel)
        timer.start()
        with pytest.raises(CancelledError, match="enough"):
            sent(guest, mine, replace(TERMS, orders=orders))
        ended = time.monotonic()
        timer.join()

    assert guest.running
    assert ended - moments[0] < PATIENCE / 10


def test_a_limit_is_kept() -> None:
    """With a speed that is ordered it takes as long as it has to."""
    guest = Guest(100, dict.fromkeys(range(100), b"\1" * PAGE))
    guest.running = True
    orders = Orders(speed=100 * PAGE / 0.3)
    begun = time.monotonic()
    with pair() as (mine, other):
        side = Side(lambda: received(_empty, other, TAKING))
        sent(guest, mine, replace(TERMS, settings=Settings(policy("rounds=1"), remedy("go-on")), orders=orders))
        side.done()

    assert 0.25 < time.monotonic() - begun < 2


@pytest.mark.parametrize("name", ["qemu-0.10", "qemu-2009", "qemu", "xen", "deadline=0.2", "non-live"])
def test_any_policy(name: str) -> None:
    """A guest that writes more in each of its first rounds arrives whole by every policy."""
    rounds = [{frame: bytes((at + 1,)) * PAGE for frame in range(at, 90)} for at in range(3)]
    guest = Guest(100, dict.fromkeys(range(100), b"\1" * PAGE), rounds)
    guest.running = True
    with pair() as (mine, other):
        side = Side(lambda: received(_empty, other, TAKING))
        orders = Orders(speed=8 << 20, downtime=0.03)
        sent(guest, mine, replace(TERMS, settings=Settings(policy(name), remedy("go-on")), orders=orders))
        found = side.done()

    assert bytes(found.guest.memory) == bytes(guest.memory)


# -- stored streams ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"Xen", "does not begin", id="other"),
        pytest.param(_stream()[:300], "does not conform", id="cut"),
        pytest.param(qemu.small_record(bytes(24)), "no memory", id="record"),
    ],
)
def test_what_cannot_be_played(data: bytes, words: str, tmp_path: Path) -> None:
    """Nothing is sent of it."""
    path = tmp_path / "stored"
    path.write_bytes(data)
    with pair() as (mine, other), waiter() as waits:
        with pytest.raises(UnplayableError, match=words):
            migrate_qemu.play(path, mine, waits)
        mine.close()
        other.socket.setblocking(True)
        assert other.socket.recv(1) == b""


@pytest.mark.parametrize(
    ("first", "last", "error"),
    [(PONG, SHUT_1, PeerError), (PONG, b"", LinkError), (PONGS, SHUT_1, PeerError), (PONGS, b"", InDoubtError)],
)
def test_a_player_says_how_it_ended(first: bytes, last: bytes, error: type[MigrationError], tmp_path: Path) -> None:
    """A receiver that refuses a stream has not loaded it, nor one that goes before the end; else that is not known."""
    path = tmp_path / "stored"
    path.write_bytes(stream(Guest(4, SMALL)))
    with pair() as (mine, other), waiter() as waits:
        side = Side(Stub(other, first, last))
        with pytest.raises(error):
            migrate_qemu.play(path, mine, waits, patience=PATIENCE)
        side.done()


# -- messages ---------------------------------------------------------------------------------------------------------


@given(
    rows=st.lists(st.sampled_from([("SHUT", 0), ("PONG", 77), ("SWITCHOVER_ACK", None), ("RESUME_ACK", 1 << 31)])),
    cuts=st.lists(st.integers(1, 9)),
)
def test_messages_come_in_any_pieces(rows: list[tuple[str, int | None]], cuts: list[int]) -> None:
    """However they are cut, the same ones are found."""
    raw = b"".join(return_path.message(name, value) for name, value in rows)
    messages = return_path.Messages()
    found = []
    for cut in [*cuts, len(raw)]:
        found += messages.feed(raw[:cut])
        raw = raw[cut:]

    assert found == [(name, b"" if value is None else struct.pack(">I", value)) for name, value in rows]
