"""The memory in a legacy stream, pages that come compressed too.

A compressed page says what becomes of the page that its frame has, so pages are put together as they come, and put by.
"""

from __future__ import annotations

from array import array
from struct import unpack_from

from .. import tables
from ..errors import MalformedError
from ..reader.events import Body
from ..reader.legacy_compressed import EMPTY, FULL, RUN_MASK, STAY, WORD
from ..reader.legacy_pages import CODES, COUNT, as_image
from . import pages
from .contents import ZERO
from .frames import HERE, PAGE
from .pages import PAGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..reader.events import Record, Run
    from ..reader.legacy_state import State
    from ..reader.pump import Program

_TYPE, _PFN = tables.ENTRY_TYPE_SHIFT, tables.ENTRY_PFN_MASK
_TAB = tables.LEGACY_PAGEDTAB
# A page that changes takes at most as many bytes: a marker for each word.
_CODED_MAX = PAGE + PAGE // WORD


class Pages(pages.Pages):
    """Follows batches, and what says which frames are gone at the end."""

    # Entries whose pages have not come, from the one that is next.
    _queue: array[int] = array("Q")
    _next = 0
    _raw = b""
    _gone: array[int] = array("Q")
    _freed = _gone
    _lost = False

    @property
    def _facts(self) -> State:
        found: State = self.layer.facts
        return found

    def run(self, run: Run) -> None:
        self._come(run.raw(), run.offset + run.size - run.pages * PAGE)

    def record(self, record: Record) -> Program | None:
        kind, body = record.type, Body(self.collector.window, record)
        if kind == tables.LEGACY_PAGE_BATCH:
            return self._batch(body)
        if kind == tables.LEGACY_COMPRESSED_DATA and self._facts.compressed:
            return self._compressed(body)
        if kind == tables.LEGACY_UNMAPPED:
            return self._unmapped(body)
        if kind == tables.LEGACY_ENABLE_VERIFY_MODE:
            self.verifying = True
        if kind == tables.LEGACY_END_OF_BODY:
            self._body_ends(record)
        return self.collector.state(record)

    def closed(self) -> None:
        self._freed = self._gone

    def finish(self) -> None:
        for pfn in self._freed:
            if self.frames.value(pfn):
                self.frames.put(pfn, 0)

    def _come(self, entries: Sequence[int], place: int) -> None:
        """Entries as a libxc image has them, and where their pages lie, if they have come with them."""
        if max(entries) >> _TYPE >= _TAB:
            # Pinned, but no page table: a page like others.
            entries = [entry & _PFN if entry >> _TYPE == _TAB else entry for entry in entries]
        if self._facts.compressed:
            if self._next or not self._queue:
                self._queue, self._next = self._queue[self._next :], 0
            self._queue.extend(entries)
            self.collector.came(entries, place)
            self.frames.entries += len(entries)
            self._bare()
        else:
            self.hold(entries, place)

    def _batch(self, body: Body) -> Program:
        """Program of a batch that is to be looked at."""
        word = self._facts.word
        count = int.from_bytes((yield from body.take(COUNT)), "little")
        raw = yield from body.take(word * count)
        if len(raw) < word * count or not count:
            return
        entries = as_image(unpack_from(f"<{count}{CODES[word]}", raw))
        kinds = {entry >> _TYPE for entry in entries} - tables.LEGACY_NO_DATA - {_TAB}
        if not all(PAGED[kind] for kind in kinds):
            self._wrong(body.record, "an entry of a type that is reserved")
        elif self.reading and not self._facts.compressed:
            tab = [entry & _PFN if entry >> _TYPE == _TAB else entry for entry in entries]
            yield from self.read_pages(body, tab)
        else:
            self._come(entries, body.at)

    def _unmapped(self, body: Body) -> Program:
        """Program of the frames that a receiver frees again at the end, if this checkpoint is the last."""
        word = self._facts.word
        yield from body.take(tables.SIZES[body.record.path])
        found = array("Q")
        while raw := (yield from body.piece(word)):
            found.extend(unpack_from(f"<{len(raw) // word}{CODES[word]}", raw))
        self._gone = found

    # -- compressed ------------------------------------------------------------------------------------------------

    def _compressed(self, body: Body) -> Program:
        """Program of contents that have come apart from their entries."""
        record = body.record
        self.frames.at = record.offset
        yield from body.take(self._facts.word)
        while not self._lost and (raw := (yield from body.piece())):
            self._raw += raw
            try:
                self._decode()
            except ValueError as error:
                self._lost = True
                self._wrong(record, str(error))

    def _bare(self) -> None:
        """Entries without a page that are next."""
        queue = self._queue
        while self._next < len(queue) and not PAGED[(entry := queue[self._next]) >> _TYPE]:
            self.bare(entry >> _TYPE, entry & _PFN)
            self._next += 1

    def _decode(self) -> None:
        """Take the pages that are whole.  Raises ValueError."""
        raw, at, queue = self._raw, 0, self._queue
        while self._next < len(queue):
            kind, pfn = queue[self._next] >> _TYPE, queue[self._next] & _PFN
            value = self.frames.value(pfn)
            end, page = decoded(raw, at, self.contents.page(value) if value & HERE else ZERO)
            if not end:
                break
            at = end
            self._next += 1
            self.page_data([(pfn, kind)], page)
            self._bare()
        self._raw = raw[at:]
        if len(self._raw) > _CODED_MAX and self._next == len(queue):
            raise ValueError("compressed data after the last page")

    def _body_ends(self, record: Record) -> None:
        left = len(self._queue) - self._next
        if left and not self._lost:
            self._wrong(record, f"{left:,} entries before it whose pages have not come")
        elif self._raw and not self._lost:
            self._wrong(record, f"{len(self._raw):,} bytes before it that belong to no page")
        self._queue, self._next, self._raw, self._lost = array("Q"), 0, b"", False

    def _wrong(self, record: Record, what: str) -> None:
        self.collector.lose(MalformedError(record.offset, f"{record.name} has {what}; pages are left out"))


def decoded(raw: bytes, at: int, before: bytes) -> tuple[int, bytes]:
    """A page whose coding begins at `at`, which was `before`, and where that ends; 0 if it is not there whole.

    Raises ValueError if no page is like this.
    """
    first = raw[at : at + 1]
    if not first:
        return 0, b""
    if first[0] == EMPTY:
        return at + 1, before
    if first[0] == FULL:
        end = at + 1 + PAGE
        return (end, raw[at + 1 : end]) if end <= len(raw) else (0, b"")
    page, place = bytearray(before), 0
    while place < PAGE:
        if at >= len(raw):
            return 0, b""
        marker = raw[at]
        length = WORD * (marker & RUN_MASK)
        at += 1
        if not length or place + length > PAGE:
            raise ValueError(f"a run of {length} bytes at byte {place:,} of a page")
        if not marker & STAY:
            if at + length > len(raw):
                return 0, b""
            page[place : place + length] = raw[at : at + length]
            at += length
        place += length
    return at, bytes(page)
