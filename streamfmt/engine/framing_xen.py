"""A guest's memory as PAGE_DATA records, straight from it, and from such records straight into it.

Full speed takes that nothing is done for each page: entries are slices of one prepared array, contents are slices of
the guest's memory, and a record whose entries are a slice of that array too is read with one call.  What is not like
that (scattered frames, types of PV guests) is looked at entry by entry.

Frames that were never written go as XALLOC: the format has it for frames that exist and have no contents yet, which a
reader takes as zeros.  So does a page of zeros the first time it is sent; later a reader would keep what it has.

Source: docs/specs/libxc-migration-stream.pandoc, PAGE_DATA; tools/libs/guest/xg_sr_restore.c, process_page_data.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Protocol, runtime_checkable

from .. import tables
from ..codec.content import Buffer
from ..errors import GuestError, PeerError
from . import frames
from .entries import Entries
from .interface import Guest
from .mapping import zero_pages

PAGE, BATCH = tables.PAGE_SIZE, tables.BATCH_MAX
_RECORD = Struct("<" + tables.FORMATS["libxc.record_header"])
_PAGES = Struct("<" + tables.FORMATS["libxc.PAGE_DATA"])
_HEAD = Struct(_RECORD.format + _PAGES.format[1:])
_ENTRY = tables.SIZES["libxc.PAGE_DATA.entries"]
_SHIFT, _PFN = tables.ENTRY_TYPE_SHIFT, tables.ENTRY_PFN_MASK
_CODES = {name: code for code, name in tables.PAGE_TYPES.items()}
XALLOC, XTAB = _CODES["XALLOC"], _CODES["XTAB"]
_DATA, _TABLES = tables.PAGE_TYPES_DATA, tables.PAGE_TYPES_TABLE
# Fewer pages in a row than this, on average, are read together and copied: a call for each run would take longer.
_SCATTERED = 16
# Frames of a memory file that are mapped as they come, 128 MiB: pages that are mapped are faster to receive again, as a
# working set is while its guest stands; but to map one takes longer than to receive it, so the rest goes through the
# file, each time.
_MAPPED = 32 << 10
# Entries of a record that are taken: more than any saver writes, and few enough to be held.
_MOST = 16 * BATCH


@runtime_checkable
class Translated(Protocol):
    """What a guest whose page tables hold machine frames has besides: a PV guest."""

    def contents(self, first: int, count: int) -> Buffer | None:
        """These frames as they go into a stream, frames of the guest in their tables; None: not now (deferred)."""

    def accept(self, first: int, kinds: Sequence[int], contents: Buffer) -> None:
        """Take over frames as they come in a stream, and their types.

        :raises GuestError: a table names a frame that the guest does not have.
        """


def _translated(guest: Guest) -> Translated | None:
    """The guest as one that translates, if it does: asked once, as the answer takes long to find."""
    return guest if isinstance(guest, Translated) else None


# A piece of a record: the first frame, how many, their entries, and their contents if they have some.
Piece = tuple[int, int, Buffer, Buffer | None]


class Framer:
    """Makes a guest's records of pages.  `deferred` are frames that could not be sent as they are, and have to be."""

    def __init__(self, guest: Guest) -> None:
        self.deferred = frames.NONE
        self._guest = guest
        self._translated = _translated(guest)
        self._plain, self._empty = Entries(), Entries(XALLOC)
        self._sent = frames.NONE
        self._populated: int | None = None

    def note(self, written: int) -> None:
        """These frames were written: from now on they have contents."""
        if self._populated is not None:
            self._populated |= written

    def records(self, which: int) -> Iterator[tuple[int, list[Buffer]]]:
        """The records of a set of frames: how many frames each has, and its bytes, which are the guest's memory.

        Frames that go for the first time have no contents if they have none.  Which do is asked once, when writes are
        logged already or the guest stands; those that get some later are to be noted.
        """
        if self._populated is None:
            self._populated = self._guest.populated()
        self._types = self._guest.types()
        fresh = which & ~self._sent
        self._sent |= which
        holes = fresh & ~self._populated
        self.deferred &= ~which
        yield from self._joined(self._pieces(which & ~holes, fresh))
        yield from self._joined(self._bare(holes))

    def _pieces(self, which: int, fresh: int) -> Iterator[Piece]:
        """The set's frames in pieces of one kind each; of those in `fresh`, zeros are not contents."""
        for first, count in _cut(frames.runs(which)):
            kinds = None if self._types is None else self._types[first : first + count]
            if kinds is not None and any(kinds):
                yield from self._typed(first, kinds)
                continue
            new = fresh >> first & (1 << count) - 1 if fresh else 0
            memory = self._guest.memory[first * PAGE : (first + count) * PAGE]
            zeros = zero_pages(memory) & new if new else 0
            if not zeros:
                yield first, count, self._plain.slice(first, count), memory
                continue
            for begin, many in _both(zeros, count):
                if zeros >> begin & 1:
                    yield first + begin, many, self._empty.slice(first + begin, many), None
                else:
                    contents = memory[begin * PAGE : (begin + many) * PAGE]
                    yield first + begin, many, self._plain.slice(first + begin, many), contents

    def _typed(self, first: int, kinds: Sequence[int]) -> Iterator[Piece]:
        """Frames of a guest that has types: one piece each."""
        translated = self._translated
        for frame, kind in enumerate(kinds, first):
            contents: Buffer | None = None
            if kind in _TABLES:
                contents = None if translated is None else translated.contents(frame, 1)
            elif kind in _DATA:
                contents = self._guest.memory[frame * PAGE : (frame + 1) * PAGE]
            if kind in _DATA and contents is None:
                self.deferred |= 1 << frame
                yield frame, 1, (XTAB << _SHIFT | frame).to_bytes(_ENTRY, "little"), None
            else:
                yield frame, 1, (kind << _SHIFT | frame).to_bytes(_ENTRY, "little"), contents

    def _bare(self, which: int) -> Iterator[Piece]:
        for first, count in _cut(frames.runs(which)):
            yield first, count, self._empty.slice(first, count), None

    def _joined(self, pieces: Iterable[Piece]) -> Iterator[tuple[int, list[Buffer]]]:
        """Pieces in records, each as full as may be."""
        entries: list[Buffer] = []
        contents: list[Buffer] = []
        total = full = 0
        for _, count, words, data in pieces:
            if total + count > BATCH:
                yield total, _record(total, full, entries, contents)
                entries, contents, total, full = [], [], 0, 0
            entries.append(words)
            total += count
            if data is not None:
                full += count
                contents.append(data)
        if total:
            yield total, _record(total, full, entries, contents)


def _record(total: int, full: int, entries: list[Buffer], contents: list[Buffer]) -> list[Buffer]:
    length = _PAGES.size + _ENTRY * total + PAGE * full
    head = _HEAD.pack(tables.LIBXC_PAGE_DATA, length, total, 0)
    return [head, entries[0] if len(entries) == 1 else b"".join(entries), *contents]


def _cut(runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Runs of frames, cut where a multiple of a full record's frames is."""
    for first, count in runs:
        at, end = first, first + count
        while at < end:
            stop = min(end, (at // BATCH + 1) * BATCH)
            yield at, stop - at
            at = stop


def _both(which: int, count: int) -> Iterator[tuple[int, int]]:
    """The runs of `count` frames, of those that are in a set and of those that are not, in order."""
    at = 0
    for first, many in frames.runs(which):
        if first > at:
            yield at, first - at
        yield first, many
        at = first + many
    if at < count:
        yield at, count - at


# -- the other way ------------------------------------------------------------------------------------------------


class Source(Protocol):
    """Where a record's bytes come from, as :class:`.flow.Input` is."""

    def take(self, count: int, what: str) -> bytes:
        """The next bytes."""

    def into(self, view: memoryview, what: str) -> None:
        """Fill this with the next bytes."""

    def into_file(self, view: memoryview, descriptor: int, at: int, what: str) -> None:
        """The same by writing to a file, whose memory from `at` on this is."""


class Kept:
    """A record that was kept for later."""

    def __init__(self, body: bytes | bytearray) -> None:
        self._rest = memoryview(body)

    def take(self, count: int, what: str) -> bytes:
        data, self._rest = bytes(self._rest[:count]), self._rest[count:]
        return data

    def into(self, view: memoryview, what: str) -> None:
        view[:], self._rest = self._rest[: len(view)], self._rest[len(view) :]

    def into_file(self, view: memoryview, descriptor: int, at: int, what: str) -> None:
        self.into(view, what)


class Placer:
    """Puts records of pages into a guest.  `frames` counts entries, `placed` pages with contents.

    With `compare`, contents are compared with what the guest has, and `differing` counts the frames where they differ.
    """

    def __init__(self, guest: Guest, mapped: int = _MAPPED) -> None:
        self.frames = 0
        self.placed = 0
        self.compare = False
        self.differing = 0
        self._guest = guest
        self._translated = _translated(guest)
        self._plain, self._empty = Entries(), Entries(XALLOC)
        self._scratch = bytearray()
        # How many frames that were holes may still be mapped, and for each eight frames whether they are holes that
        # are not.
        self._mapped = mapped
        self._holes = _holes(guest)

    def take(self, source: Source, length: int) -> None:
        """Read the body of a PAGE_DATA record of that length from `source` into the guest.

        :raises PeerError: it is not a body of such a record, or names a frame that the guest does not have.
        :raises GuestError: the guest does not take the contents.
        """
        what = f"a PAGE_DATA record of {length} bytes"
        if length < _PAGES.size:
            raise PeerError(f"{what} has no room for its count")
        count, _ = _PAGES.unpack(source.take(_PAGES.size, what))
        if not count or length < _PAGES.size + count * _ENTRY:
            raise PeerError(f"{what} has no room for the entries of {count} frames")
        if count > _MOST:
            raise PeerError(
                f"a PAGE_DATA record has {count} entries; savers write {BATCH} at most, {_MOST} are taken here"
            )
        data = source.take(count * _ENTRY, what)
        size = length - _PAGES.size - len(data)
        first = int.from_bytes(data[:_ENTRY], "little")
        self.frames += count
        plain = first + count <= self._guest.pages and data == self._plain.slice(first, count)
        if plain and not self.compare:
            if size != count * PAGE:
                raise PeerError(f"{what} has {count} pages of contents by its entries, and room for {size} bytes")
            view = self._guest.memory[first * PAGE : (first + count) * PAGE]
            eights = slice(first >> 3, first + count + 7 >> 3)
            holes = self._holes[eights]
            unmapped = 2 * holes.count(1) > len(holes)
            if unmapped and self._mapped < count:
                source.into_file(view, self._guest.descriptor, first * PAGE, what)
            else:
                source.into(view, what)
                if unmapped:
                    self._mapped -= count
                    self._holes[eights] = bytes(len(holes))
            self.placed += count
            return
        if not size and self._translated is None and self._bare(first & _PFN, count, data):
            return
        entries = array("Q", data)
        kinds = [entry >> _SHIFT for entry in entries]
        pfns = [entry & _PFN for entry in entries]
        if max(pfns) >= self._guest.pages:
            raise PeerError(f"a PAGE_DATA record has frame {max(pfns)}, the guest has {self._guest.pages} of them")
        unknown = set(kinds) - tables.PAGE_TYPES.keys()
        if unknown:
            raise PeerError(f"a PAGE_DATA record has an entry of type {unknown.pop()}, which there is not")
        full = sum(kind in _DATA for kind in kinds)
        if size != full * PAGE:
            raise PeerError(f"{what} has {full} pages of contents by its entries, and room for {size} bytes")
        self.placed += full
        self._place(source, kinds, pfns, what)

    def _bare(self, first: int, count: int, data: bytes) -> bool:
        """Whether these are entries of frames in a row without contents, for which nothing is to be done."""
        return first + count <= self._guest.pages and data == self._empty.slice(first, count)

    def _place(self, source: Source, kinds: list[int], pfns: list[int], what: str) -> None:
        """Contents of entries that are not one run of plain ones."""
        runs = list(_runs(kinds, pfns))
        translated = self._translated
        if translated is None and _TABLES.intersection(kinds):
            raise GuestError("the stream has page tables, which this guest does not take")
        full = sum(len(row) for _, row in runs if row[0] in _DATA)
        if translated is None and full >= _SCATTERED * len(runs) and not self.compare:
            for first, row in runs:
                if row[0] in _DATA:
                    source.into(self._guest.memory[first * PAGE : (first + len(row)) * PAGE], what)
            return
        if len(self._scratch) < min(full, BATCH) * PAGE:
            self._scratch = bytearray(min(full, BATCH) * PAGE)
        room = memoryview(self._scratch)
        for group in _groups(runs):
            size = sum(len(row) for _, row in group if row[0] in _DATA) * PAGE
            source.into(room[:size], what)
            at = 0
            for first, row in group:
                end = at + len(row) * PAGE if row[0] in _DATA else at
                if self.compare:
                    self._compare(first, row, room[at:end])
                elif translated is not None:
                    translated.accept(first, row, room[at:end])
                elif end > at:
                    self._guest.memory[first * PAGE : (first + len(row)) * PAGE] = room[at:end]
                at = end

    def _compare(self, first: int, row: list[int], contents: memoryview) -> None:
        translated = self._translated
        for number, (frame, kind) in enumerate(zip(range(first, first + len(row)), row, strict=True)):
            own: Buffer | None = self._guest.memory[frame * PAGE : (frame + 1) * PAGE]
            if kind in _TABLES and translated is not None:
                own = translated.contents(frame, 1)
            came = contents[number * PAGE : (number + 1) * PAGE]
            self.differing += kind in _DATA and (own is None or bytes(own) != bytes(came))


_EMPTY = bytes((1, *bytes(255)))


def _holes(guest: Guest) -> bytearray:
    """For each eight frames of a guest 1 if they are a hole of its memory file; nothing if it has none."""
    if guest.descriptor < 0:
        return bytearray()
    return bytearray(frames.to_bitmap(guest.populated(), guest.pages).translate(_EMPTY))


# The first frame of a run, and the type of each frame in it: all with contents, or all without.
Run = tuple[int, list[int]]


def _runs(kinds: list[int], pfns: list[int]) -> Iterator[Run]:
    """The runs of entries whose frames follow one another."""
    first, row, full = 0, list[int](), False
    for kind, pfn in zip(kinds, pfns, strict=True):
        if pfn == first + len(row) and (kind in _DATA) == full and 0 < len(row) < BATCH:
            row.append(kind)
            continue
        if row:
            yield first, row
        first, row, full = pfn, [kind], kind in _DATA
    if row:
        yield first, row


def _groups(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Runs that a record of the usual size would hold."""
    group, total = list[Run](), 0
    for run in runs:
        if total + len(run[1]) > BATCH:
            yield group
            group, total = [], 0
        group.append(run)
        total += len(run[1])
    if group:
        yield group
