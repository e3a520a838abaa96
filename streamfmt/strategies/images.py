"""Conforming libxc images: any legal choice of records, in any order that the order rules allow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from hypothesis import strategies as st

from .. import tables
from ..reader.registry import ROWS
from ..schema import libxc, protocol
from ..schema.machine import Machine, bound, of_image
from ..writer import RECORDS, TOP_TABLE, Part, record, unknown
from . import records

# Among what a plan needs: a checkpoint after the first, if the stream is checkpointed.
LATER = "a later checkpoint"
_GRAVE = ("error", "warning")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stream is to be.

    `clean` ones break no rule at all, not even one that is only noted.  `need` are schema paths that have to be in it,
    if its form, guest and version have them, and LATER.
    """

    form: str
    guest: str
    version: int
    mode: str
    big: bool = False
    unknown: bool = False
    clean: bool = False
    need: Collection[str] = ()
    width: int = 8
    blank: bool = False

    def wants(self, draw: st.DrawFn, path: str) -> bool:
        """Whether an optional record is to be there."""
        return path in self.need or draw(st.booleans())

    def allows(self, path: str) -> bool:
        """Whether a record can come in it, as far as its schema says and each machine by itself."""
        row = RECORDS.get(path)
        if row is not None and (self.guest not in row.guests or self.version < row.version):
            return False
        form = self.form if self.form in protocol.MACHINES else path.partition(".")[0]
        return all(machine.comes(path, self.mode) for machine in machines(form, self.guest, self.version, self.clean))


def ordered(draw: st.DrawFn, parts: Sequence[Part], plan: Plan) -> tuple[Part, ...]:
    """The records of a checkpoint in an order that the machines allow; that in which they are given has to be one.

    Memory stays in its own order: what a frame is last is what it is.
    """
    if len(parts) < 2 or not draw(st.booleans()):
        return tuple(parts)
    pairs = _pairs(plan.guest, plan.version, plan.clean)
    before: list[set[int]] = [set() for _ in parts]
    for there, later in enumerate(parts):
        for here, earlier in enumerate(parts[:there]):
            if (earlier.kind, later.kind) in pairs:
                before[there].add(here)
    left = list(range(len(parts)))
    found = []
    while left:
        free = [number for number in left if not before[number].intersection(left)]
        number = draw(st.sampled_from(free))
        left.remove(number)
        found.append(parts[number])
    return tuple(found)


def machines(form: str, guest: str, version: int, clean: bool) -> tuple[Machine, ...]:
    """What the records of a stream have to fit into; unless it is `clean`, nothing whose breach is only noted."""
    known = of_image(protocol.MACHINES.get(form, ()), guest, version)
    return tuple(row for row in known if clean or any(tables.SEVERITY.get(name) in _GRAVE for name in row.clauses))


@cache
def _pairs(guest: str, version: int, clean: bool) -> frozenset[tuple[str, str]]:
    """Records of a checkpoint of which the first must not come after the second."""
    memory = ("libxc.PAGE_DATA", "libxc.VERIFY")
    return bound(machines("libxl", guest, version, clean), protocol.CLOSING_PATHS) | set(product(memory, memory))


def contents(draw: st.DrawFn, plan: Plan) -> Iterator[tuple[Part, ...]]:
    """The records of each checkpoint of an image, without the END or CHECKPOINT that closes it, for ever."""
    end = _last_frame(draw, plan)
    first = True
    while True:
        parts = [*(_static(draw, plan, end) if first else ()), *_memory(draw, plan, end, first), *_tail(draw, plan)]
        if plan.unknown:
            code = ROWS["libxc"].optional | draw(st.integers(0, 0xFF))
            parts.append(unknown("libxc", code, draw(st.binary(max_size=9))))
        yield ordered(draw, parts, plan)
        first = False


def _last_frame(draw: st.DrawFn, plan: Plan) -> int:
    """The last frame of a PV guest; HVM images do not state theirs."""
    if plan.guest == "hvm":
        return 0
    return draw(st.integers(TOP_TABLE, 12) | st.integers(TOP_TABLE, 1200) if plan.big else st.integers(TOP_TABLE, 6))


def _static(draw: st.DrawFn, plan: Plan, end: int) -> list[Part]:
    found = []
    if plan.guest == "pv":
        found.append(records.width_info(plan.width))
    # Either version takes as many choices, so that examples do not shrink to the older one for having fewer.
    policies = [draw(make()) for make in (records.cpuid, records.msrs)]
    if plan.version >= libxc.VERSION_STATIC:
        found += [*policies, record("libxc.STATIC_DATA_END")]
    if plan.guest == "pv":
        found.append(draw(records.frame_list(plan.width, end)))
    return found


def _memory(draw: st.DrawFn, plan: Plan, end: int, first: bool) -> list[Part]:
    """Passes over memory, the first of a PV guest's over all of it."""
    entries = st.tuples(records.frames, records.kinds)
    found = []
    if plan.guest == "pv":
        # What vcpus and the frame list name are ordinary pages and a page table in every pass.
        fixed = {0: "NOTAB", 1: "NOTAB", TOP_TABLE: draw(st.sampled_from(records.TOP_TABLES[plan.width]))}
        entries = st.tuples(st.integers(0, end), records.kinds).map(lambda row: (row[0], fixed.get(row[0], row[1])))
        if first:
            few = draw(st.lists(records.kinds, min_size=1, max_size=4))
            whole = [(pfn, fixed.get(pfn, few[pfn % len(few)] if pfn < 64 else "XTAB")) for pfn in range(end + 1)]
            size = draw(st.sampled_from((libxc.BATCH_MAX, 2, 1))) if end < 64 else libxc.BATCH_MAX
            found += [records.batch(whole[at : at + size], plan.blank) for at in range(0, len(whole), size)]
    least = int(first and (plan.guest == "hvm" or "libxc.PAGE_DATA" in plan.need))
    some = st.lists(entries, min_size=1, max_size=40 if plan.big else 4)
    batches = draw(st.lists(some, min_size=least, max_size=10 if plan.big else 3))
    found += [records.batch(rows, plan.blank) for rows in batches]
    if plan.mode == "plain" and plan.wants(draw, "libxc.VERIFY"):
        found.append(record("libxc.VERIFY"))
        found += [records.batch(rows, plan.blank) for rows in batches]
    return found


def _tail(draw: st.DrawFn, plan: Plan) -> list[Part]:
    """The state of the machine."""
    found = [draw(records.tsc())]
    if plan.guest == "hvm":
        found.append(draw(records.hvm_params(plan.version)))
        return [*found, draw(records.hvm_context(20 if plan.big else 3))]
    found.append(record("libxc.SHARED_INFO", page=bytes(libxc.PAGE_SIZE)))
    for number in range(draw(st.integers(1, 40 if plan.big else 3))):
        found += draw(records.vcpu_records(plan.width, number, plan.need))
    return found
