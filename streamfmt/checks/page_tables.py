"""--deep: what page tables of a PV image make together: where their entries lead.

No table leads to one that is not of the level below, none allows a page that is a table to be written, and no entry
leads to a frame that came as XTAB or BROKEN.  Tables are judged that Xen has to take when the guest is restored: those
that are pinned, those that vcpus name, and all that these lead to.  Others may be left over from tables that once
were, with types that mean nothing any more.
"""

from __future__ import annotations

from .. import tables
from .page_trees import ENTRIES_MAX
from .pv_memory import SEEN
from .vcpu_context import tops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .libxc import Checks
    from .page_trees import Trees
    from .pv_memory import Memory

_LEVEL, _WRITABLE, _EMPTY = "LIBXC-PTE-LEVEL", "LIBXC-PTE-WRITABLE", "LIBXC-PTE-EMPTY"
_SIZE = tables.SIZES["libxc.pte"]
_SHIFT, _MASK = tables.PTE_PFN
# Bits of an entry: whether it may be written through, whether it is itself of a large page.
_RW, _PSE = 1 << 1, 1 << 7
# What the map of frames holds of ordinary pages that have come.
_ORDINARY = bytes([SEEN | tables.PAGE_TYPE_PLAIN])
# Frames without memory: one that is allocated has some, of zeros.
_WITHOUT = frozenset(kind for kind, name in tables.PAGE_TYPES.items() if name in ("BROKEN", "XTAB"))


def judge(checks: Checks, memory: Memory, trees: Trees, end: int) -> None:
    """Follow the tables that Xen has to take, once all pages have come, of which `end` is the last."""
    why = f"page tables have more than {ENTRIES_MAX:,} entries to be followed"
    if not trees.known:
        for clause in (_LEVEL, _WRITABLE, _EMPTY):
            checks.context.abstain(clause, why)
        return
    taken = _tables(checks, memory, trees, end)
    if trees.leaves_known:
        for pfn in sorted(pfn for pfn, level in taken if level == 1):
            _leaves(checks, memory, trees, pfn, {pfn for pfn, _ in taken})
    else:
        for clause in (_WRITABLE, _EMPTY):
            checks.context.abstain(clause, why)


def _tables(checks: Checks, memory: Memory, trees: Trees, end: int) -> set[tuple[int, int]]:
    """Judge tables of level 2 and above.  Returns all that Xen has to take, and the level of each."""
    kinds, level_of = memory.pfns.type_of, tables.TABLE_LEVELS
    pinned = [(pfn, kinds(pfn) or 0) for pfn in (*trees.tables, *trees.leaves)]
    seen = {(pfn, level_of[kind]) for pfn, kind in pinned if kind in tables.PAGE_TYPES_PINNED}
    seen |= {(pfn, level) for pfn, level in tops(memory) if level_of.get(kinds(pfn) or 0) == level}
    waiting = sorted(seen)
    while waiting:
        pfn, level = waiting.pop()
        for at, slot, pte in trees.of(pfn):
            target = pte >> _SHIFT & _MASK
            if target > end or pte & _PSE:
                continue  # the one is reported, and the other no guest has
            kind = kinds(target)
            found = level_of.get(kind or 0)
            due = f"a page table of level {level - 1}"
            if found == level - 1:
                if (target, found) not in seen:
                    seen.add((target, found))
                    waiting.append((target, found))
            elif found is not None and (found != level or pte & _RW):
                written = " and may be written there" if found == level else ""
                _report(checks, _LEVEL, (pfn, level, slot), at, target, kind or 0, written, due)
            elif kind in _WITHOUT:
                _report(checks, _EMPTY, (pfn, level, slot), at, target, kind or 0, "", due)
    return seen


def _leaves(checks: Checks, memory: Memory, trees: Trees, pfn: int, taken: set[int]) -> None:
    """Judge a table of level 1: `taken` are the tables that Xen has to take."""
    types = memory.pfns.types
    for at, slot, first, count, writable in trees.runs(pfn):
        # Nearly all runs are of ordinary pages.
        if not types[first : first + count].translate(None, _ORDINARY):
            continue
        for place, target in enumerate(range(first, first + count)):
            kind = memory.pfns.type_of(target)
            where = (pfn, 1, slot + place), at + _SIZE * place, target
            if kind in _WITHOUT:
                _report(checks, _EMPTY, *where, kind, "", "a frame with a page")
            elif writable and target in taken:
                _report(checks, _WRITABLE, *where, kind or 0, " and may be written there", "no page table, or no RW")


def _report(
    checks: Checks,
    clause: str,
    source: tuple[int, int, int],
    at: int,
    target: int,
    kind: int,
    more: str,
    due: str,
) -> None:
    """One entry: the frame of its table, the level and slot there, and what it leads to."""
    if checks.context.findings.full(clause, checks.layer, at):
        return
    pfn, level, slot = source
    message = f"slot {slot} of the page table of level {level} in frame {pfn:#x} leads to frame {target:#x}, "
    message += f"which came as {tables.PAGE_TYPES.get(kind, kind)}{more}, expected {due}"
    actual = f"frame {target:#x}"
    checks.context.report(
        clause, checks.layer, message, offset=at, length=_SIZE, field="pages", expected=due, actual=actual
    )
