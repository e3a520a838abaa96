"""Records of pages straight from a guest's memory and into another's."""

from __future__ import annotations

import socket
import struct
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import tables
from ..codec.content import Buffer
from ..engine import frames
from ..engine.entries import Entries
from ..engine.flow import Input
from ..engine.framing_xen import BATCH, PAGE, Framer, Kept, Placer, Translated
from ..engine.guest.memory import Memory
from ..engine.guest.models import model
from ..engine.interface import Guest
from ..engine.mapping import zero_pages
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import GuestError, MigrationError, PeerError
from ..writer import builders
from .support.moving import working

PAGES = 3000
_TYPE = tables.ENTRY_TYPE_SHIFT
CODES = {name: code for code, name in tables.PAGE_TYPES.items()}


class _Plain:
    """A guest that is only memory."""

    type, running = "hvm", False

    def __init__(self, pages: int = PAGES) -> None:
        self.pages = pages
        self._memory = Memory(pages)
        self.memory = self._memory.view
        self.descriptor = self._memory.descriptor

    def populated(self) -> int:
        return self._memory.populated()

    def types(self) -> Sequence[int] | None:
        return None

    def digest(self) -> str:
        return self._memory.digest()


def _plain(pages: int = PAGES) -> Guest:
    return _Plain(pages)  # type: ignore[return-value] # it is all of a guest that records of pages need


def _records(framer: Framer, which: int) -> Iterator[tuple[list[int], bytes]]:
    """Entries and contents of each record, as a reader of the specification finds them."""
    for count, buffers in framer.records(which):
        data = b"".join(buffers)
        code, length, entries, reserved = (int.from_bytes(data[at : at + 4], "little") for at in (0, 4, 8, 12))
        assert (code, reserved, entries) == (tables.LIBXC_PAGE_DATA, 0, count)
        assert length == len(data) - 8
        assert 0 < count <= BATCH
        words = array("Q", data[16 : 16 + 8 * count])
        yield list(words), data[16 + 8 * count :]


def _placed(framer: Framer, which: int, guest: Guest) -> Placer:
    placer = Placer(guest)
    for _, buffers in framer.records(which):
        body = b"".join(buffers)[8:]
        placer.take(Kept(body), len(body))
    return placer


runs = st.lists(st.tuples(st.integers(0, PAGES - 1), st.integers(1, 1500)), max_size=6)


@settings(max_examples=25)
@given(runs, runs)
def test_memory_arrives(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    """Any sets of frames, sent twice with writes between, are there afterwards, and nothing else is touched."""
    source, target = _plain(), _plain()
    sets = [0, 0]
    for number, rows in enumerate((first, second)):
        for at, count in rows:
            sets[number] |= frames.run(at, min(count, PAGES - at))
    framer = Framer(source)
    for number, which in enumerate(sets):
        for at, _ in frames.runs(which):
            source.memory[at * PAGE] = number + 1
            source.memory[(at + 1) * PAGE - 1] = number + 1
        framer.note(which)
        _placed(framer, which, target)

    assert target.digest() == source.digest()


def test_what_a_record_holds() -> None:
    """Frames ascend in full records; one without contents has none, and so has one of zeros the first time only."""
    guest = _plain()
    for frame in (0, 5, 2999):
        guest.memory[frame * PAGE : (frame + 1) * PAGE] = bytes([7]) * PAGE
    guest.memory[6 * PAGE : 7 * PAGE] = bytes(PAGE)  # a page, of zeros
    framer = Framer(guest)
    first = list(_records(framer, frames.run(0, PAGES)))
    again = list(_records(framer, 1 << 6 | 1 << 7))

    entries = [entry for words, _ in first for entry in words]
    assert sorted(entry & tables.ENTRY_PFN_MASK for entry in entries) == list(range(PAGES))
    assert {entry for entry in entries if entry >> _TYPE == 0} == {0, 5, 2999}
    assert {entry >> _TYPE for entry in entries} == {0, CODES["XALLOC"]}
    assert [len(contents) for _, contents in first if contents] == [3 * PAGE]
    assert again == [([6, 7], bytes(2 * PAGE))]


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 2048])
def test_a_record_is_full_or_the_last(count: int) -> None:
    """Of frames with contents, as savers do."""
    guest = _plain()
    for frame in range(count):
        guest.memory[frame * PAGE] = 1
    sizes = [len(words) for words, _ in _records(Framer(guest), frames.run(0, count))]

    assert sizes == [BATCH] * (count // BATCH) + [count % BATCH] * (count % BATCH > 0)


@given(st.sets(st.integers(0, 63)), st.sets(st.integers(0, 63)))
def test_zeros_are_found(ends: set[int], begins: set[int]) -> None:
    """A page is of zeros if each of its bytes is, wherever the only other one may be."""
    data = bytearray(64 * PAGE)
    for page in ends:
        data[(page + 1) * PAGE - 1] = 1
    for page in begins:
        data[page * PAGE] = 1

    assert zero_pages(memoryview(data)) == frames.of(set(range(64)) - ends - begins, 64)


@given(st.integers(0, 200_000), st.integers(1, 3000))
def test_entries_are_slices(first: int, count: int) -> None:
    """Also where they cross what is prepared together."""
    assert array("Q", bytes(Entries(9).slice(first, count))).tolist() == [
        9 << _TYPE | at + first for at in range(count)
    ]


def test_a_pv_guest_has_other_machine_frames_over_there() -> None:
    """Page tables go with its own frames, and types arrive."""
    source, target = working("pv"), model(256, "pv", host=3)
    source.pause()
    _placed(Framer(source), frames.run(0, source.pages), target)
    types = source.types()
    tabs = [frame for frame, kind in enumerate(types or ()) if kind in tables.PAGE_TYPES_TABLE]

    assert list(target.types() or ()) == list(types or ())
    assert len(tabs) > 3
    for frame in tabs:
        place = slice(frame * PAGE, (frame + 1) * PAGE)
        ours, theirs = (_contents(guest, frame) for guest in (source, target))
        assert ours == theirs
        assert bytes(source.memory[place]) != bytes(target.memory[place])
    source.close()
    target.close()


def _contents(guest: object, frame: int) -> bytes:
    assert isinstance(guest, Translated)
    return bytes(guest.contents(frame, 1) or b"")


def test_a_table_in_flux_is_deferred() -> None:
    """It goes without contents while it cannot be sent, and is named as what is still to be sent."""

    class Flux:
        type, running, pages = "pv", True, 4
        memory = memoryview(bytearray(4 * PAGE))
        ready = False

        def types(self) -> Sequence[int]:
            return [0, CODES["L1TAB"], 0, 0]

        def populated(self) -> int:
            return 0b1111

        def contents(self, first: int, count: int) -> Buffer | None:
            return bytes(count * PAGE) if self.ready else None

        def accept(self, first: int, kinds: Sequence[int], contents: Buffer) -> None:
            raise AssertionError

    guest = Flux()
    framer = Framer(guest)  # type: ignore[arg-type] # as above
    first = [entry for words, _ in _records(framer, 0b1111) for entry in words]
    assert framer.deferred == 0b10
    assert CODES["XTAB"] << _TYPE | 1 in first
    guest.ready = True
    assert [words for words, _ in _records(framer, framer.deferred)] == [[CODES["L1TAB"] << _TYPE | 1]]
    assert not framer.deferred


def test_what_is_sent_again_is_compared() -> None:
    """Frames that differ are counted, and stay as they are."""
    source, target = _plain(64), _plain(64)
    source.memory[: 3 * PAGE] = bytes([1]) * 3 * PAGE
    framer = Framer(source)
    _placed(framer, frames.run(0, 64), target)
    target.memory[PAGE] = 9
    placer = Placer(target)
    placer.compare = True
    for _, buffers in framer.records(frames.run(0, 64)):
        body = b"".join(buffers)[8:]
        placer.take(Kept(body), len(body))

    assert placer.differing == 1
    assert target.memory[PAGE] == 9


def _body(*entries: int, contents: int = 0, count: int | None = None) -> bytes:
    words = (len(entries) if count is None else count).to_bytes(4, "little") + bytes(4)
    return words + array("Q", entries).tobytes() + bytes(contents)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\1\0\0", "no room for its count"),
        (_body(), "no room for the entries"),
        (_body(0, count=2), "no room for the entries"),
        (_body(0, count=1 << 31), "no room for the entries"),
        (_body(0, 1, contents=PAGE), "room for 4096 bytes"),
        (_body(0, 1, contents=2 * PAGE + 1), "room for 8193 bytes"),
        (_body(1, 0, contents=3 * PAGE), "room for 12288 bytes"),
        (_body(64, contents=PAGE), "frame 64"),
        (_body(tables.ENTRY_PFN_MASK, contents=PAGE), "the guest has 64"),
        (_body(5 << _TYPE), "type 5"),
        (_body(1 << _TYPE, contents=PAGE), "page tables"),
        (_body(*range(17000)), "17000 entries"),
    ],
)
def test_bodies_that_cannot_be_are_refused(body: bytes, words: str) -> None:
    """With what is wrong; nothing is written beyond the guest."""
    with pytest.raises(MigrationError, match=words) as raised:
        Placer(_plain(64)).take(Kept(body), len(body))
    assert isinstance(raised.value, (PeerError, GuestError))


@settings(max_examples=30)
@given(st.data())
def test_records_of_other_writers_are_taken(data: st.DataObject) -> None:
    """Any order of frames, any types: contents go where the entries say, the last of a frame wins."""
    rows = data.draw(st.lists(st.tuples(st.integers(0, 63), st.sampled_from(["NOTAB", "XTAB", "XALLOC"])), min_size=1))
    guest, expected = _plain(64), bytearray(64 * PAGE)
    contents = {}
    for number, (pfn, kind) in enumerate(rows):
        if kind == "NOTAB":
            contents[number] = bytes([number % 255 + 1]) * PAGE
            expected[pfn * PAGE : (pfn + 1) * PAGE] = contents[number]
    pages = list(contents.values())
    part = builders.page_data([pfn for pfn, _ in rows], [kind for _, kind in rows], pages)
    body = b"".join(part.buffers("<"))[8:]
    placer = Placer(guest)
    placer.take(Kept(body), len(body))

    assert [at for at in range(len(expected)) if guest.memory[at] != expected[at]][:4] == []
    assert (placer.frames, placer.placed) == (len(rows), len(pages))


@settings(max_examples=40)
@given(st.data())
def test_holes_are_filled_through_their_file(data: st.DataObject) -> None:
    """Records of frames in a row come whole, into holes or pages, however the link cuts them."""
    pages = 3 * BATCH
    guest = _plain(pages)
    there = data.draw(st.sets(st.integers(0, pages - 1), max_size=4))
    for frame in there:
        guest.memory[frame * PAGE] = 9
    runs = data.draw(st.lists(st.tuples(st.integers(0, pages - 1), st.integers(1, BATCH)), min_size=1, max_size=4))
    runs = [(first, min(count, pages - first)) for first, count in runs]
    exact, mapped = data.draw(st.booleans()), data.draw(st.sampled_from([0, 700, pages]))
    here, link = socket.socketpair()
    with here, link, closing(Waiter()) as waiter:
        source = Input(SocketEnd(link, "a link"), waiter, exact=exact)
        placer = Placer(guest, mapped)
        for number, (first, count) in enumerate(runs, 1):
            contents = Random(number).randbytes(count * PAGE)
            body = struct.pack("<II", count, 0) + bytes(Entries().slice(first, count)) + contents
            sender = threading.Thread(target=here.sendall, args=(body,))
            sender.start()
            placer.take(source, len(body))
            sender.join()
            assert bytes(guest.memory[first * PAGE : (first + count) * PAGE]) == contents
        assert source.received == sum(8 + count * (8 + PAGE) for _, count in runs)
    covered = {frame for first, count in runs for frame in range(first, first + count)}
    assert all(guest.memory[frame * PAGE] == 9 for frame in there - covered)
    assert guest.populated() == frames.of(there | covered, pages)
