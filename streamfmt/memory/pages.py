"""What page entries of a stream do to the memory of the guest that is restored from it.

What counts is what Xen's receivers do, by type: a page with content replaces what the frame had; XALLOC makes a frame
be there, zero until a page comes; BROKEN and XTAB leave a frame as it was.  Pages that come after VERIFY are compared
with what there is, and not taken; frames that only come then are there, and zero.
Source: tools/libs/guest/xg_sr_restore.c, process_page_data and populate_pfns.
"""

from __future__ import annotations

from .. import tables
from ..reader.events import PIECE
from .contents import Contents
from .frames import BROKEN, HERE, PAGE, PLACE, TYPE, Frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..reader.events import Body, Layer, Record, Run
    from ..reader.pump import Program
    from .collected import Collected

_TYPE, _PFN = tables.ENTRY_TYPE_SHIFT, tables.ENTRY_PFN_MASK
_NAMES = {name: kind for kind, name in tables.PAGE_TYPES.items()}
_BROKEN, _ALLOCATED = _NAMES["BROKEN"], _NAMES["XALLOC"]
# Entries of a record that are looked at together.
_TOGETHER = 4096
# Whether a page follows an entry, by its type.
PAGED = tuple(kind in tables.PAGE_TYPES_DATA for kind in range(TYPE + 1))


class Pages:
    """Follows the pages of one image; subclasses know its records.

    Pages that are read from the input later are taken when the next event shows that the stream had all of them.
    """

    def __init__(self, collector: Collected, layer: Layer) -> None:
        self.collector = collector
        self.layer = layer
        self.frames: Frames = collector.frames
        self.verifying = False
        self._held: tuple[Sequence[int], int, int] | None = None

    @property
    def contents(self) -> Contents:
        """Where contents are."""
        return self.collector.contents

    @property
    def about(self) -> str:
        """Which memory it is, if that has to be said."""
        return ""

    @property
    def missing(self) -> int:
        """How many frames the guest has that never came, where a stream says how many it has."""
        return 0

    def run(self, run: Run) -> None:
        """Clean batches."""
        raise NotImplementedError

    def record(self, record: Record) -> Program | None:
        """Any other record; a program that reads its body, if that matters."""
        raise NotImplementedError

    def closed(self) -> None:
        """The image has an end, or a checkpoint that is whole."""

    def finish(self) -> None:
        """The stream has ended, and this was the last checkpoint that is whole."""

    def hold(self, entries: Sequence[int], place: int, step: int = PAGE) -> None:
        """Entries, and where the first page of theirs lies in the input; the others are `step` bytes on each."""
        self._held = entries, place, step

    def settle(self, end: int | None = None) -> None:
        """Take what is held, as far as the input goes, which is to `end` if that is given."""
        held, self._held = self._held, None
        if held is None:
            return
        entries, place, step = held
        if end is not None:
            entries = _as_far(entries, max(end - place + step - PAGE, 0) // step)
        for at in range(0, len(entries), _TOGETHER):
            some = entries[at : at + _TOGETHER] if len(entries) > _TOGETHER else entries
            place = self._take(some, place, step)

    def _take(self, entries: Sequence[int], place: int, step: int) -> int:
        """Take some entries.  Returns where the page after theirs lies."""
        self.collector.came(entries, place)
        frames, count, first = self.frames, len(entries), entries[0]
        frames.at = place + PAGE - step  # of records of a page each that is their own offset, pages or not
        frames.entries += count
        row = entries[-1] - first == count - 1 and (count == 1 or tuple(entries) == tuple(range(first, first + count)))
        if row and not self.verifying and PAGED[first >> _TYPE]:
            frames.put_row(first & _PFN, count, place << PLACE | HERE | first >> _TYPE, step)
            return place + count * step
        if row and first >> _TYPE > _ALLOCATED:
            return place
        return self._each(entries, place, step)

    def _each(self, entries: Sequence[int], place: int, step: int) -> int:
        put, verifying = self.frames.put, self.verifying
        for entry in entries:
            kind = entry >> _TYPE
            if not PAGED[kind]:
                self.bare(kind, entry & _PFN)
                continue
            if verifying:
                self.compared(kind, entry & _PFN)
            else:
                put(entry & _PFN, place << PLACE | HERE | kind)
            place += step
        return place

    def bare(self, kind: int, pfn: int) -> None:
        """An entry without a page."""
        value = self.frames.value(pfn)
        if kind == _ALLOCATED and not value & HERE:
            self.frames.put(pfn, value | HERE)
        elif kind == _BROKEN:
            self.frames.put(pfn, value | BROKEN)

    def compared(self, kind: int, pfn: int) -> None:
        """An entry whose page is only compared."""
        value = self.frames.value(pfn)
        self.frames.put(pfn, value & ~TYPE | HERE | kind)

    def read_pages(self, body: Body, entries: Sequence[int]) -> Program:
        """Program that reads the pages of these entries, which come next in the body, and puts them by if it must."""
        self.frames.at = body.at
        self.frames.entries += len(entries)
        at, most = 0, PIECE // PAGE
        while at < len(entries):
            stop = at
            rows: list[tuple[int, int]] = []
            while stop < min(len(entries), at + _TOGETHER) and len(rows) < most:
                if PAGED[kind := entries[stop] >> _TYPE]:
                    rows.append((entries[stop] & _PFN, kind))
                elif rows:
                    break
                else:
                    self.bare(kind, entries[stop] & _PFN)
                stop += 1
            place = body.at
            data = yield from _whole(body, PAGE * len(rows))
            self.collector.came(_as_far(entries[at:stop], len(data) // PAGE), place)
            self.page_data(rows[: len(data) // PAGE], data, 0 if self.contents.keeps else place)
            if len(data) < PAGE * len(rows):
                return
            at = stop

    @property
    def reading(self) -> bool:
        """Whether contents are read as they come."""
        return self.contents.keeps or self.collector.looking

    def page_data(self, rows: Sequence[tuple[int, int]], data: bytes, place: int = 0) -> None:
        """Pages that have been read: frames, types, contents, and where these lie, or 0 if they are to be put by."""
        if self.collector.looking and data:
            self.collector.seen(data)
        for number, (pfn, kind) in enumerate(rows if self.verifying or place else ()):
            if self.verifying:
                self.compared(kind, pfn)
            else:
                self.frames.put(pfn, place + number * PAGE << PLACE | HERE | kind)
        if rows and not (self.verifying or place):
            self.contents.keep(self.frames, rows, data)


def _as_far(entries: Sequence[int], pages: int) -> Sequence[int]:
    """The entries as far as the pages go that have come."""
    for number, entry in enumerate(entries if len(entries) > pages else ()):
        if PAGED[entry >> _TYPE]:
            if not pages:
                return entries[:number]
            pages -= 1
    return entries


def _whole(body: Body, size: int) -> Generator[int, int, bytes]:
    """The next bytes, or as many whole pages as there are."""
    if not size or (yield from body.need(size)):
        return body.window.take(size)
    held = body.window.hi - body.window.lo
    return body.window.take(held - held % PAGE)
