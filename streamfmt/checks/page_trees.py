"""--deep: what the page tables of a PV image hold, kept until all pages have come and `page_tables` judges them."""

from __future__ import annotations

from array import array
from struct import unpack_from

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SIZE = tables.SIZES["libxc.pte"]
# Entries of tables of level 2 and above that are kept, and runs of entries of level 1, eight bytes each.
ENTRIES_MAX = 1 << 20
# Where the number of an entry's slot is kept, in bits of the entry that say nothing here.
_SLOT = 52
_KEPT = (1 << _SLOT) - 1
_SHIFT, _MASK = tables.PTE_PFN
# A run of level 1 is one number: frame and bit for writing of its first entry, as they lie there, the slot of that,
# and in bits below the frame how many entries come after it, each for the next frame.
_RW, _MORE = 1 << 1, 2
_RUN = _MASK << _SHIFT | _RW


class Trees:
    """The present entries of page tables, as they came last; not `known`, by level, if they are too many."""

    def __init__(self) -> None:
        self.known = self.leaves_known = True
        # Where each table lies, by its frame, and its entries, or runs of them.
        self.tables: dict[int, tuple[int, array[int]]] = {}
        self.leaves: dict[int, tuple[int, array[int]]] = {}
        self._entries = self._runs = 0

    def note(self, pfn: int, level: int, at: int, raw: bytes) -> None:
        """Take in a table, which lies at `at`; what came of the frame before is no more."""
        for level_1, held in ((False, self.tables), (True, self.leaves)):
            if old := held.pop(pfn, None):
                self._count(level_1, -len(old[1]))
        words = unpack_from(f"<{len(raw) // _SIZE}Q", raw)
        if level > 1 and self.known:
            present = tables.PTE_PRESENT
            self.tables[pfn] = (
                at,
                array("Q", [pte & _KEPT | slot << _SLOT for slot, pte in enumerate(words) if pte & present]),
            )
            self._count(False, len(self.tables[pfn][1]))
        elif level == 1 and self.leaves_known:
            self.leaves[pfn] = at, _runs(words)
            self._count(True, len(self.leaves[pfn][1]))

    def _count(self, level_1: bool, more: int) -> None:
        if level_1:
            self._runs += more
            if self._runs > ENTRIES_MAX:
                self.leaves_known = False
                self.leaves.clear()
        else:
            self._entries += more
            if self._entries > ENTRIES_MAX:
                self.known = False
                self.tables.clear()

    def of(self, pfn: int) -> Iterator[tuple[int, int, int]]:
        """Where the present entries of a table of level 2 or above lie, their slots, and they."""
        at, kept = self.tables.get(pfn, (0, ()))
        for entry in kept:
            slot = entry >> _SLOT
            yield at + _SIZE * slot, slot, entry & _KEPT

    def runs(self, pfn: int) -> Iterator[tuple[int, int, int, int, bool]]:
        """Runs of entries of a table of level 1: where one lies, its slot, its frame, how many, whether writable."""
        at, kept = self.leaves.get(pfn, (0, ()))
        for run in kept:
            slot = run >> _SLOT
            yield at + _SIZE * slot, slot, run >> _SHIFT & _MASK, (run >> _MORE & 0x1FF) + 1, bool(run & _RW)


def _runs(words: Sequence[int]) -> array[int]:
    """Present entries of a table of level 1, those for frames in a row as one."""
    kept = array("Q")
    due = -1
    for slot, pte in enumerate(words):
        if not pte & tables.PTE_PRESENT:
            due = -1
            continue
        found = pte & _RUN
        if found == due:
            kept[-1] += 1 << _MORE
        else:
            kept.append(found | slot << _SLOT)
        due = found + (1 << _SHIFT)
    return kept
