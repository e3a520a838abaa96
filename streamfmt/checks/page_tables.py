"""--deep: what page tables of a PV image make together: no table leads to one that is not of the level below.

Tables are judged that Xen has to take when the guest is restored: those that are pinned, those that vcpus name, and
all that these lead to.  Others may be left over from tables that once were, with types that mean nothing any more.
"""

from __future__ import annotations

from .. import tables
from .page_trees import ENTRIES_MAX
from .vcpu_context import tops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .libxc import Checks
    from .page_trees import Trees
    from .pv_memory import Memory

_CLAUSE = "LIBXC-PTE-LEVEL"
_SIZE = tables.SIZES["libxc.pte"]
_SHIFT, _MASK = tables.PTE_PFN
# Bits of an entry: whether it may be written through, whether it is itself of a large page.
_RW, _PSE = 1 << 1, 1 << 7


def judge(checks: Checks, memory: Memory, trees: Trees, end: int) -> None:
    """Follow the tables that Xen has to take, once all pages have come, of which `end` is the last."""
    if not trees.known:
        checks.context.abstain(_CLAUSE, f"page tables have more than {ENTRIES_MAX:,} entries to be followed")
        return
    kinds, level_of = memory.pfns.type_of, tables.TABLE_LEVELS
    pinned = [(pfn, kinds(pfn) or 0) for pfn in trees.tables]
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
            if found == level - 1:
                if found > 1 and (target, found) not in seen:
                    seen.add((target, found))
                    waiting.append((target, found))
            elif found is not None and (found != level or pte & _RW):
                _report(checks, pfn, level, slot, at, target, kind or 0)


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
