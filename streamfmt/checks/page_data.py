"""Checks of PAGE_DATA that is not clean, and of what a PV image's page entries say."""

from __future__ import annotations

from struct import unpack_from

from .. import tables
from ..reader.events import ENTRY, PAGE, PAGE_FIXED, PIECE, Body, Record, Run
from ..reader.fields import broken_rules
from ..reader.page_data import PageData
from ..reader.registry import load
from .messages import ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..reader.pump import Program
    from .libxc import Checks
    from .pv_memory import Memory

_PATH, _ENTRIES = "libxc.PAGE_DATA", "libxc.PAGE_DATA.entries"
_PTE = "libxc.pte"
BEYOND = "LIBXC-PAGE-PFN-PV"


def note_run(checks: Checks, memory: Memory, run: Run) -> None:
    """PV: frame numbers of clean records."""
    end = memory.end_pfn
    if end is not None and memory.pfns.note_row(run.data(), end):
        return
    raw = run.raw()
    _note(memory, raw)
    mask = tables.ENTRY_PFN_MASK
    if end is None or max([entry & mask for entry in raw]) <= end:
        return
    over = [number for number, entry in enumerate(raw) if entry & mask > end]
    findings = checks.context.findings
    while over and not findings.counted(BEYOND):
        number = over.pop(0)
        _beyond(checks, run.record(number), run.place(number)[2], raw[number] & mask, end)
    if over:
        last = run.record(over[-1])
        place = last.body + PAGE_FIXED + ENTRY * run.place(over[-1])[2] - last.offset
        findings.again(BEYOND, len(over), last, place)


def note_alike(memory: Memory, run: Run) -> int:
    """PV: frame numbers of records that are broken alike.  Of how many: the next one has to be judged by itself."""
    mask, end, near = tables.ENTRY_PFN_MASK, memory.end_pfn, memory.pfns.near
    raw = run.raw()
    most = max([entry & mask for entry in raw])
    if not near(most) or (end is not None and most > end):
        pfns = [entry & mask for entry in raw]
        raw = raw[: next(n for n, pfn in enumerate(pfns) if not near(pfn) or (end is not None and pfn > end))]
    _note(memory, raw)
    return len(raw)


def _note(memory: Memory, raw: Sequence[int]) -> None:
    if memory.end_pfn is not None:
        memory.pfns.note(raw, memory.end_pfn)
    elif memory.pfns.known:
        memory.pfns.give_up("pages come before the p2m list")


def _report(
    checks: Checks, clause: str, record: Record, place: int, field: str, message: str, expected: str, actual: object
) -> None:
    """A breach by the record's `place`-th entry."""
    at = record.body + PAGE_FIXED + ENTRY * place
    if not checks.context.findings.full(clause, record, at):
        message, prefix = f"entry {place} {message}", f"entries[{place}]."
        checks.context.report_field(clause, record, field, message, expected, actual, _ENTRIES, at, prefix)


def _beyond(checks: Checks, record: Record, place: int, pfn: int, end: int) -> None:
    message = f"is for frame {pfn:#x}, the guest's last is {end:#x}"
    _report(checks, BEYOND, record, place, "pfn", message, f"at most {end:#x}", f"{pfn:#x}")


def body(checks: Checks, record: Record) -> Program | None:
    """Program that judges one PAGE_DATA record, entry by entry."""
    if record.length < PAGE_FIXED:
        checks.context.report_length("LIBXC-PAGE-LEN", record, f"at least {PAGE_FIXED}")
        return None
    window = checks.context.window
    body = Body(window, record)
    if checks.context.deep or record.length > min(window.hi - window.lo, PIECE):
        return _body(checks, body)
    # The record is in the window whole: no program is needed, which is what floods of small records are short of.
    walk = PageData(body)
    walk.begins(window.take(PAGE_FIXED))
    if _fixed(checks, walk, record):
        _judge(checks, record, walk.unpacked(window.take(ENTRY * walk.count)), 0)
        _conclude(checks, record, walk)
    return None


def _fixed(checks: Checks, walk: PageData, record: Record) -> bool:
    """Judge the record's fixed fields; whether there are entries to be judged after them."""
    if walk.reserved:
        rows = broken_rules(_PATH, walk.head, record.layer.order)
        checks.context.report_rules(rows, record, walk.head, record.body)
    if not walk.count:
        message = "count is 0: the record carries no page"
        checks.context.report_field("LIBXC-PAGE-COUNT", record, "count", message, "at least 1", 0)
    elif not walk.fits:
        expected = f"at least {PAGE_FIXED + ENTRY * walk.count} for {walk.count} entries"
        checks.context.report_length("LIBXC-PAGE-LEN", record, expected)
    return walk.count > 0 and walk.fits


def _judge(checks: Checks, record: Record, entries: Sequence[int], first: int) -> None:
    """Judge entries, the first of which is the record's `first`-th."""
    end = checks.memory.end_pfn if checks.memory is not None else None
    hvm = checks.layer.guest == "hvm"
    if checks.memory is not None and checks.layer.guest == "pv":
        _note(checks.memory, entries)
    for place, entry in enumerate(entries, first):
        kind = entry >> tables.ENTRY_TYPE_SHIFT
        if kind not in tables.PAGE_TYPES:
            message = f"has page type {kind}, which is reserved"
            _report(checks, "LIBXC-PAGE-TYPE", record, place, "type", message, ranges(tables.PAGE_TYPES), kind)
        if reserved := entry & tables.ENTRY_RESERVED_MASK:
            message = f"has reserved bits set: {reserved:#x}"
            _report(checks, "LIBXC-PAGE-ENT-RSVD", record, place, "reserved", message, "zero", f"{reserved:#x}")
        if end is not None and (pfn := entry & tables.ENTRY_PFN_MASK) > end:
            _beyond(checks, record, place, pfn, end)
        if hvm and (pfn := entry & tables.ENTRY_PFN_MASK) > tables.PFN_MAX:
            message = f"is for frame {pfn:#x}, beyond what any x86 processor addresses"
            expected = f"at most {tables.PFN_MAX:#x}"
            _report(checks, "LIBXC-PAGE-PFN-MAX", record, place, "pfn", message, expected, f"{pfn:#x}")


def _conclude(checks: Checks, record: Record, walk: PageData) -> bool:
    """Judge the length by what the entries say; whether the pages lie where they should."""
    checks.context.page_entries += walk.count
    if walk.unknown:
        # Whether content follows an entry of unknown type is anybody's guess; the length says for how many it does.
        if record.length >= PAGE:
            rest = record.length - PAGE_FIXED - ENTRY * walk.count
            checks.context.carries(min(rest // PAGE, walk.pages + walk.unknown), record.end)
        return False
    if walk.pages:
        checks.context.carries(walk.pages, record.end)
    if record.length != walk.expected:
        expected = f"{walk.expected} for {walk.count} entries, {walk.pages} of them with content"
        checks.context.report_length("LIBXC-PAGE-LEN", record, expected)
    return record.length == walk.expected


def _body(checks: Checks, body: Body) -> Program:
    """Program that judges a record of any size, in pieces."""
    record, walk = body.record, PageData(body)
    if not (yield from walk.begin()) or not _fixed(checks, walk, record):
        return
    page_tables: list[tuple[int, int, int]] = []
    first = before = 0
    while walk.entries_left:
        entries = yield from walk.entries()
        if walk.cut:
            return
        _judge(checks, record, entries, first)
        if checks.context.deep and PAGE * before <= record.length:
            pfns = [entry & tables.ENTRY_PFN_MASK for entry in entries]
            both = zip(walk.kinds, pfns, strict=False)
            carried = [(kind, pfn) for kind, pfn in both if kind in tables.PAGE_TYPES_DATA]
            page_tables += [
                (place, pfn, tables.TABLE_LEVELS[kind])
                for place, (kind, pfn) in enumerate(carried, before)
                if kind in tables.PAGE_TYPES_TABLE
            ]
        first, before = first + len(entries), walk.pages
    memory = checks.memory
    if _conclude(checks, record, walk) and page_tables and memory is not None and memory.end_pfn is not None:
        yield from _page_tables(checks, body, memory, memory.end_pfn, page_tables)


def _page_tables(
    checks: Checks, body: Body, memory: Memory, end: int, page_tables: Sequence[tuple[int, int, int]]
) -> Generator[int, int, None]:
    """--deep: present entries of page tables point inside the guest; where to is judged when all pages have come.

    `page_tables` are which page of the record each is, its frame, and its level.
    """
    if memory.trees is None:
        memory.trees = load("checks.page_trees:Trees")()
    shift, mask = tables.PTE_PFN
    size = tables.SIZES[_PTE]
    start = body.at
    for page, frame, level in page_tables:
        gap = start + PAGE * page - body.at
        if (yield from body.skip(gap)) < gap or not (yield from body.need(PAGE)):
            return
        at = body.at
        # The guest's own memory: little-endian on x86, whatever the stream's integers are.
        raw = yield from body.take(PAGE)
        if frame <= end:
            memory.trees.note(frame, level, at, raw)
        for slot, pte in enumerate(unpack_from(f"<{PAGE // size}Q", raw)):
            pfn, where = pte >> shift & mask, at + size * slot
            if not pte & tables.PTE_PRESENT or pfn <= end:
                continue
            if not checks.context.findings.full("LIBXC-PTE-PFN", body.record, where):
                message = f"page {page} of the record is a page table whose slot {slot} points to frame {pfn:#x}"
                message += f", the guest's last is {end:#x}"
                expected, prefix = f"at most {end:#x}", f"pages[{page}][{slot}]."
                checks.context.report_field(
                    "LIBXC-PTE-PFN", body.record, "pfn", message, expected, f"{pfn:#x}", _PTE, where, prefix
                )
