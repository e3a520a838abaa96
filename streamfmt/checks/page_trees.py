"""--deep: what the page tables of a PV image hold, kept until all pages have come and `page_tables` judges them."""

from __future__ import annotations

from array import array
from struct import unpack_from

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = tables.SIZES["libxc.pte"]
# Entries of tables of level 2 and above that are kept, eight bytes each.
ENTRIES_MAX = 1 << 20
# Where the number of an entry's slot is kept, in bits of the entry that say nothing here.
_SLOT = 52
_KEPT = (1 << _SLOT) - 1


class Trees:
    """The present entries of page tables of level 2 and above, as they came last; not `known` if they are too many."""

    def __init__(self) -> None:
        self.known = True
        # Where each table lies, by its frame, and its entries.
        self.tables: dict[int, tuple[int, array[int]]] = {}
        self._entries = 0

    def note(self, pfn: int, at: int, raw: bytes) -> None:
        """Take in a table of level 2 or above, which lies at `at`."""
        old = self.tables.pop(pfn, None)
        if old is not None:
            self._entries -= len(old[1])
        if not self.known:
            return
        present = tables.PTE_PRESENT
        words = unpack_from(f"<{len(raw) // _SIZE}Q", raw)
        kept = array("Q", [pte & _KEPT | slot << _SLOT for slot, pte in enumerate(words) if pte & present])
        self._entries += len(kept)
        if self._entries > ENTRIES_MAX:
            self.known = False
            self.tables.clear()
            return
        self.tables[pfn] = at, kept

    def of(self, pfn: int) -> Iterator[tuple[int, int, int]]:
        """Where the present entries of a table lie, their slots, and they."""
        at, kept = self.tables.get(pfn, (0, ()))
        for entry in kept:
            slot = entry >> _SLOT
            yield at + _SIZE * slot, slot, entry & _KEPT
