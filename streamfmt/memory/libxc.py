"""The memory in a libxc image."""

from __future__ import annotations

from array import array

from .. import tables
from ..errors import MalformedError
from ..reader.events import ENTRY, PAGE, Body
from ..reader.page_data import PageData
from . import pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record, Run
    from ..reader.pump import Program

NONE = next(kind for kind, name in tables.PAGE_TYPES.items() if name == "XTAB")
_KEPT = (1 << 8 * ENTRY) - 1 - tables.ENTRY_RESERVED_MASK


class Pages(pages.Pages):
    """Follows PAGE_DATA."""

    def run(self, run: Run) -> None:
        entries = run.raw()
        if run.count == 1:
            self.hold(entries, run.offset + run.size - run.pages * PAGE)
        else:
            self.hold(entries, run.offset + run.size - PAGE, run.size)

    def record(self, record: Record) -> Program | None:
        if record.type == tables.LIBXC_PAGE_DATA:
            return self._batch(Body(self.collector.window, record))
        if record.type == tables.LIBXC_VERIFY:
            self.verifying = True
        return self.collector.state(record)

    def _batch(self, body: Body) -> Program:
        """Program of a record that is to be looked at."""
        walk, record = PageData(body), body.record
        if not (yield from walk.begin()):
            return self._wrong(record, "no room for its fixed fields")
        if not walk.fits:
            return self._wrong(record, f"room for {walk.room} of {walk.count} page entries")
        # What readers must ignore is: bits that are reserved.
        found = array("Q")
        while some := (yield from walk.entries()):
            found.extend([entry & _KEPT for entry in some])
        if walk.cut or not found:
            return self._wrong(record, "no page entries") if not walk.cut else None
        pages = walk.pages
        if walk.unknown:
            # The record's length shows whether pages follow such entries.
            followed = body.left == (pages + walk.unknown) * PAGE
            pages += walk.unknown * followed
            for number, entry in enumerate(found):
                if entry >> tables.ENTRY_TYPE_SHIFT not in tables.PAGE_TYPES:
                    kind = tables.PAGE_TYPE_PLAIN if followed else NONE
                    found[number] = entry & tables.ENTRY_PFN_MASK | kind << tables.ENTRY_TYPE_SHIFT
            self._wrong(record, f"{walk.unknown:,} page entries of types that are reserved", "they are taken as others")
        if body.left != pages * PAGE:
            return self._wrong(record, f"{body.left:,} bytes of contents for {pages:,} pages")
        if self.reading:
            yield from self.read_pages(body, found)
        else:
            self.hold(found, body.at)
        return None

    def _wrong(self, record: Record, what: str, so: str = "its pages are left out") -> None:
        self.collector.lose(MalformedError(record.offset, f"{record.name} has {what}; {so}"))
