"""--deep: what page tables of a PV image make together: no table leads to one that is not of the level below.

Tables are judged that Xen has to take when the guest is restored: those that are pinned, those that vcpus name, and
all that these lead to.  Others may be left over from tables that once were, with types that mean nothing any more.
"""

from __future__ import annotations

from array import array
from struct import unpack_from

from .. import tables
from .vcpu_context import tops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .libxc import Checks
    from .pv_memory import Memory

_CLAUSE = "LIBXC-PTE-LEVEL"
_SIZE = tables.SIZES["libxc.pte"]
# Entries of tables of level 2 and above that are kept, eight bytes each.
ENTRIES_MAX = 1 << 20
_SHIFT, _MASK = tables.PTE_PFN
# Bits of an entry: whether it may be written through, whether it is itself of a large page.
_RW, _PSE = 1 << 1, 1 << 7
# Where the number of an entry's slot is kept, in bits of the entry that say nothing here.
_SLOT = 52
_KEPT = (1 << _SLOT) - 1


class Trees:
    """The present entries of page tables of level 2 and above, as they came last; not `known` if they are too many."""

    def __init__(self) -> None:
        self.known = True
        self._tables: dict[int, tuple[int, array[int]]] = {}
        self._entries = 0

    def note(self, pfn: int, at: int, raw: bytes) -> None:
        """Take in a table of level 2 or above, which lies at `at`."""
        old = self._tables.pop(pfn, None)
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
            self._tables.clear()
            return
        self._tables[pfn] = at, kept

    def judge(self, checks: Checks, memory: Memory, end: int) -> None:
        """Follow the tables that Xen has to take, once all pages have come, of which `end` is the last."""
        if not self.known:
            checks.context.abstain(_CLAUSE, f"page tables have more than {ENTRIES_MAX:,} entries to be followed")
            return
        kinds, level_of = memory.pfns.type_of, tables.TABLE_LEVELS
        pinned = [(pfn, kinds(pfn) or 0) for pfn in self._tables]
        seen = {(pfn, level_of[kind]) for pfn, kind in pinned if kind in tables.PAGE_TYPES_PINNED}
        seen |= {(pfn, level) for pfn, level in tops(memory) if level_of.get(kinds(pfn) or 0) == level}
        waiting = sorted(seen)
        while waiting:
            pfn, level = waiting.pop()
            for at, slot, pte in self._of(pfn):
                target = pte >> _SHIFT & _MASK
                if target > end or pte & _PSE:
                    continue  # the one is reported, and the other no guest has
                kind = kinds(target)
                found = level_of.get(kind or 0)
                if found == level - 1:
                    if found > 1 and (target, found) not in seen:
                        seen.add((target, found))
                        waiting.append((target, found))
                elif found is not None and (found != level or pte & _RW):
                    _report(checks, pfn, level, slot, at, target, kind or 0)

    def _of(self, pfn: int) -> Iterator[tuple[int, int, int]]:
        """Where the present entries of a table lie, their slots, and they."""
        at, kept = self._tables.get(pfn, (0, ()))
        for entry in kept:
            slot = entry >> _SLOT
            yield at + _SIZE * slot, slot, entry & _KEPT


def _report(checks: Checks, pfn: int, level: int, slot: int, at: int, target: int, kind: int) -> None:
    if checks.context.findings.full(_CLAUSE, checks.layer, at):
        return
    due = f"a page table of level {level - 1}"
    is_ = f"which came as {tables.PAGE_TYPES.get(kind, kind)}"
    if tables.TABLE_LEVELS[kind] == level:
        is_ += " and may be written there"
    message = f"slot {slot} of the page table of level {level} in frame {pfn:#x} leads to frame {target:#x}, {is_}"
    message += f", expected {due}"
    checks.context.report(
        _CLAUSE,
        checks.layer,
        message,
        offset=at,
        length=_SIZE,
        field="pages",
        expected=due,
        actual=f"frame {target:#x}",
    )
