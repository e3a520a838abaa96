"""The memory in QEMU's stream, or in a file whose pages have places of their own (mapped-ram).

It is that of one block, the machine's own; those of firmware and of devices are left out.  Where the machine type is
known that says how its memory lies in the guest's addresses, pages are at these; else at their offsets in the block.
Sources: QEMU migration/ram.c, ram_load_precopy and read_ramblock_mapped_ram.
"""

from __future__ import annotations

from .. import tables
from ..errors import LimitError, MalformedError
from ..reader.events import PIECE, Body
from ..reader.qemu_ram import Words
from ..reader.qemu_sizes import WORD, size_of
from . import pages
from .contents import ZERO
from .frames import HERE, PAGE, PLACE
from .qemu_layout import is_ram, low_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..reader.events import Record, Run
    from ..reader.pump import Program
    from ..reader.qemu_state import State

_BITS, _PFN, _TYPE = tables.QEMU_PAGE_BITS, tables.ENTRY_PFN_MASK, tables.ENTRY_TYPE_SHIFT
# A frame that is there, and zero, as a page entry.
_EMPTY = next(kind for kind, name in tables.PAGE_TYPES.items() if name == "XALLOC") << _TYPE
_HIGH = (1 << 32) // PAGE
# Bytes of a bitmap that are looked at together, and pages of a file that are taken together.
_SOME, _TOGETHER = 4096, 4096
# Pages that a file may say of by a bit each: 1 TiB of memory, whose index has 2 GiB.
_MAPPED_MAX = 1 << 28
_NAMED = frozenset(
    (tables.QEMU_RAM_ZERO_OF, tables.QEMU_RAM_PAGE_OF, tables.QEMU_RAM_XBZRLE_OF, tables.QEMU_RAM_COMPRESSED_OF)
)
_ZEROS = (tables.QEMU_RAM_ZERO, tables.QEMU_RAM_ZERO_OF)
_WHOLE = (tables.QEMU_RAM_PAGE, tables.QEMU_RAM_PAGE_OF)
_CHANGES = (tables.QEMU_RAM_XBZRLE, tables.QEMU_RAM_XBZRLE_OF)
# What is before a page's changes, or what it is compressed to; the length is the last of it.
_AHEAD = {True: size_of("RAM_XBZRLE.pages", 0) - WORD, False: size_of("RAM_COMPRESSED.pages", 0) - WORD}


class Pages(pages.Pages):
    """Follows the pages of one block: `block` is its name, None before the list of blocks."""

    block: bytes | None = None
    _length = 0
    # Pages that lie where they are in the block; those above are at 4 GiB.
    _low: int | None = None
    _bitmap = b""
    _flushed = False

    @property
    def _facts(self) -> State:
        found: State = self.layer.facts
        return found

    @property
    def _ours(self) -> bool:
        return self.block is not None and self._facts.named == self.block

    @property
    def about(self) -> str:
        if self.block is None:
            return ""
        name = self.block.decode("ascii", "backslashreplace")
        where = "by guest-physical address"
        if self._low is None:
            machine = (self._facts.machine or b"").decode("ascii", "backslashreplace")
            unknown = f"machine {machine} is not known" if machine else "the stream names no machine"
            where = f"by offset in the block, since {unknown}"
        words = [f"block {name}, {where}"]
        others = len(self._facts.blocks) - 1
        if others > 0:
            words.append(f"{others} other block{'s' * (others != 1)} left out")
        if missing := self.missing:
            words.append(f"{missing:,} of its pages {'are' if missing > 1 else 'is'} not in the stream")
        return "; ".join(words)

    @property
    def missing(self) -> int:
        return max(0, -(-self._length // PAGE) - sum(count for _, count in self.frames.ranges()))

    def run(self, run: Run) -> None:
        if self._ours and isinstance(run, Words):
            frames = self._places(entry & _PFN for entry in run.raw())
            if run.kind == tables.QEMU_RAM_ZERO:
                self._zero(frames, run.offset)
            else:
                self.hold(frames, run.offset + WORD, run.size)

    def record(self, record: Record) -> Program | None:
        kind, body = record.type, Body(self.collector.window, record)
        if kind in _BLOCKS:
            return self._block(body, kind in _MAPPED)
        if kind == tables.QEMU_RAM_MAPPED_PAGES:
            return self._mapped(body)
        if kind in _ZEROS:
            return self._zero_words(body)
        if kind in _WHOLE:
            return self._page_words(body)
        if kind in _PACKED:
            return self._packed_words(body)
        if kind == tables.QEMU_RAM_FLUSH or (kind == tables.QEMU_RAM_EOS and not self._flushed):
            self._flushed = kind == tables.QEMU_RAM_FLUSH
            self.frames.round += 1
        return self.collector.state(record)

    # -- blocks ----------------------------------------------------------------------------------------------------

    def _block(self, body: Body, mapped: bool) -> Program:
        """Program of an entry of the list of blocks: the machine's own is the first, or the one that is called so."""
        raw = yield from body.take(1)
        raw = yield from body.take((raw[0] if raw else 0) + WORD)
        name, length = raw[:-WORD], int.from_bytes(raw[-WORD:], "big")
        self._bitmap = b""
        if self.block is not None and (is_ram(self.block) or not is_ram(name)):
            return
        if self.block is not None:
            self.frames.clear()
        self.block, self._length = name, length
        low = low_end(self._facts.machine, length)
        self._low = low // PAGE if low is not None else None
        if not mapped:
            return
        count = -(-length // PAGE)
        if count > _MAPPED_MAX:
            raise LimitError(body.record.offset, "pages of a block in a file", count, _MAPPED_MAX)
        size = -(-count // (8 * WORD)) * WORD
        if size > body.left:
            return  # it is shared, and left out
        yield from body.take(body.left - size)
        found = bytearray()
        while piece := (yield from body.piece()):
            found += piece
        self._bitmap = bytes(found)

    def lists(self, name: bytes) -> bool:
        """Whether the stream has a block of that name."""
        return name in self._facts.blocks

    def frame(self, offset: int) -> int | None:
        """The frame that is at an offset in the block; None if it has none there."""
        return self._place(offset // PAGE) if offset < self._length and not offset % PAGE else None

    def _place(self, page: int) -> int:
        return page if self._low is None or page < self._low else page - self._low + _HIGH

    def _places(self, found: Iterator[int]) -> list[int]:
        low = self._low
        if low is None:
            return list(found)
        return [page if page < low else page - low + _HIGH for page in found]

    # -- words -----------------------------------------------------------------------------------------------------

    def _zero(self, frames: Sequence[int], place: int) -> None:
        """Pages are zero."""
        self.collector.came([_EMPTY | frame for frame in frames], place)
        self.frames.at = place
        self.frames.entries += len(frames)
        first, count = frames[0], len(frames)
        if frames[-1] - first == count - 1 and list(frames) == list(range(first, first + count)):
            self.frames.put_row(first, count, HERE, 0)
            return
        for frame in frames:
            self.frames.put(frame, HERE)

    def _word(self, body: Body) -> Program:
        """Program of a word and its block's name: the frame, None if it is of no interest, -1 if no more come."""
        raw = yield from body.take(WORD)
        if len(raw) == WORD and body.record.type in _NAMED:
            raw += (length := (yield from body.take(1)))
            raw += yield from body.take(length[0] if length else 0)
        if len(raw) < WORD:
            return -1
        page = int.from_bytes(raw[:WORD], "big") >> _BITS
        if not self._ours:
            return None
        if page * PAGE >= self._length:
            self._wrong(body.record, f"page {page:#x}, beyond its block")
            return None
        return self._place(page)

    def _zero_words(self, body: Body) -> Program:
        """Program of words of pages of one byte."""
        place = body.at
        frames: list[int] = []
        while (frame := (yield from self._word(body))) != -1:
            fill = yield from body.take(1)
            if not fill:
                break
            if frame is not None and fill[0]:
                self._made(frame, fill * PAGE, place)
            elif frame is not None:
                frames.append(frame)
        if frames:
            self._zero(frames, place)

    def _page_words(self, body: Body) -> Program:
        """Program of words of whole pages."""
        place = body.at
        rows: list[tuple[int, int]] = []
        found = bytearray()
        places = []
        while (frame := (yield from self._word(body))) != -1:
            at = body.at
            if self.reading and frame is not None:
                data = yield from body.take(PAGE)
                gone = len(data)
                found += data if gone == PAGE else b""
            else:
                gone = yield from body.skip(PAGE)
            if gone < PAGE:
                break
            if frame is not None:
                rows.append((frame, 0))
                places.append(at)
        if not rows:
            return
        self.collector.came([frame for frame, _ in rows], place)
        self.frames.at = place
        self.frames.entries += len(rows)
        if self.contents.keeps:
            self.page_data(rows, bytes(found))
            return
        if self.collector.looking:
            self.collector.seen(bytes(found))
        for (frame, _), at in zip(rows, places, strict=True):
            self.frames.put(frame, at << PLACE | HERE)

    def _packed_words(self, body: Body) -> Program:
        """Program of words of pages that come as changes, or compressed."""
        from ..codec.qemu_pages import FormError, changed, inflated  # few streams have them

        changes = body.record.type in _CHANGES
        ahead = _AHEAD[changes]
        while (frame := (yield from self._word(body))) != -1:
            place = body.at
            raw = yield from body.take(ahead)
            size = int.from_bytes(raw[changes:], "big")
            if len(raw) < ahead or size > min(body.left, PIECE):
                break
            data = yield from body.take(size)
            if len(data) < size:
                break
            if frame is None:
                continue
            try:
                if changes and self.collector.counting:
                    self._made(frame, b"", place)
                elif changes:
                    self._made(frame, changed(self._before(frame), data), place)
                else:
                    page, _ = inflated(data)
                    # What is not there of it stays.
                    self._made(frame, page + (self._before(frame)[len(page) :] if len(page) < PAGE else b""), place)
            except FormError as error:
                self._wrong(body.record, str(error))

    def _before(self, frame: int) -> bytes:
        value = self.frames.value(frame)
        return self.contents.page(value) if value & HERE else ZERO

    def _made(self, frame: int, page: bytes, place: int) -> None:
        """A page that does not lie in the stream as it is."""
        self.collector.came([frame], place)
        self.frames.at = place
        self.frames.entries += 1
        if not self.collector.counting:
            self.page_data([(frame, 0)], page)
            return
        self.frames.put(frame, HERE)
        if page and self.collector.looking:
            self.collector.seen(page)

    def _wrong(self, record: Record, what: str) -> None:
        self.collector.lose(MalformedError(record.offset, f"{record.name} has {what}; it is left out"))

    # -- pages with places of their own ----------------------------------------------------------------------------

    def _mapped(self, body: Body) -> Program:
        """Program of the pages after a block's bitmap."""
        if not self._bitmap:
            return
        start = body.record.end - self._length
        if self.reading:
            yield from body.skip(start - body.at)
            yield from self._read_mapped(body)
            return
        at = body.at
        at += yield from body.skip(body.left)
        for first, count, there in rows(self._bitmap, -(-self._length // PAGE)):
            place = start + first * PAGE
            came = min(count, (at - place) // PAGE)
            if came <= 0:
                return
            self._row(first, came, place if there else 0, place)

    def _row(self, first: int, count: int, place: int, at: int) -> None:
        """So many pages, which lie there, or are zero if they lie at 0."""
        while count:
            low = self._low if self._low is not None and first < self._low else first + count
            some = min(count, low - first, _TOGETHER)
            frame = self._place(first)
            kind = 0 if place else _EMPTY
            self.collector.came(range(kind | frame, (kind | frame) + some), at)
            self.frames.at = at
            self.frames.entries += some
            self.frames.put_row(frame, some, place << PLACE | HERE, PAGE if place else 0)
            first, count, at = first + some, count - some, at + some * PAGE
            place = at if place else 0

    def _read_mapped(self, body: Body) -> Program:
        """Program that reads the pages, where they have to be."""
        for first, length, there in rows(self._bitmap, -(-self._length // PAGE)):
            at, stop = first, first + length
            if not there:
                gone = yield from body.skip(length * PAGE)
                if gone >= PAGE:
                    self._row(first, gone // PAGE, 0, body.at - gone)
                if gone < length * PAGE:
                    return
            while there and at < stop:
                count, place = min(stop - at, PIECE // PAGE), body.at
                data = yield from body.take(count * PAGE)
                count = len(data) // PAGE
                frames = self._places(iter(range(at, at + count)))
                if not frames:
                    return
                self.collector.came(frames, place)
                self.frames.at = place
                self.frames.entries += count
                known = 0 if self.contents.keeps else place
                self.page_data([(frame, 0) for frame in frames], data[: count * PAGE], known)
                at += count


_MAPPED = frozenset(kind for kind, name in tables.RECORDS["qemu"].items() if name.startswith("RAM_BLOCK_MAPPED"))
_BLOCKS = frozenset(kind for kind, name in tables.RECORDS["qemu"].items() if name.startswith("RAM_BLOCK"))
_PACKED = frozenset((*_CHANGES, tables.QEMU_RAM_COMPRESSED, tables.QEMU_RAM_COMPRESSED_OF))


def rows(bitmap: bytes, count: int) -> Iterator[tuple[int, int, bool]]:
    """Pages of a bitmap, in rows that are alike: the first, how many, and whether they are there."""
    for begin in range(0, len(bitmap), _SOME):
        some = bitmap[begin : begin + _SOME]
        bits = format(int.from_bytes(some, "little"), f"0{8 * len(some)}b")[::-1][: count - 8 * begin]
        at = 0
        while at < len(bits):
            stop = bits.find("0" if bits[at] == "1" else "1", at)
            stop = len(bits) if stop < 0 else stop
            yield 8 * begin + at, stop - at, bits[at] == "1"
            at = stop
