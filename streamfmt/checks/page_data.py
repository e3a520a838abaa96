"""Checks of PAGE_DATA that is not clean, and of what a PV image's page entries say."""

from __future__ import annotations

from struct import unpack_from

from .. import tables
from ..reader.events import ENTRY, PAGE, PAGE_FIXED, Record, Run
from ..reader.fields import broken_rules
from .messages import ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..reader.pump import Program
    from .state import LayerState
    from .verifier import Verifier

PATH = "libxc.PAGE_DATA"
# Entries read at once from a record of any size.
_PIECE = 4096


def note_run(verifier: Verifier, state: LayerState, run: Run) -> None:
    """PV: frame numbers of clean records."""
    end = state.end_pfn
    if end is not None and state.pfns.note_row(run.data(), end):
        return
    raw = run.raw()
    _note(state, raw)
    mask = tables.ENTRY_PFN_MASK
    if end is None or max([entry & mask for entry in raw]) <= end:
        return
    for number, entry in enumerate(raw):
        if entry & mask > end:
            index, at, place = run.place(number)
            record = Record(run.layer, tables.LIBXC_PAGE_DATA, at, 0)
            record.index = index
            _beyond(verifier, record, place, entry & mask, end)


def _note(state: LayerState, raw: Sequence[int]) -> None:
    if state.end_pfn is not None:
        state.pfns.note(raw, state.end_pfn)
    elif state.pfns.known and state.layer.guest == "pv":
        state.pfns.give_up("pages come before the p2m list")


def _entry_fault(
    verifier: Verifier, clause: str, record: Record, place: int, field: str, message: str, expected: str, actual: object
) -> None:
    """A breach by the record's `place`-th entry."""
    at = record.body + PAGE_FIXED + ENTRY * place
    name = f"entries[{place}].{field}"
    message = f"entry {place} {message}"
    verifier.report(clause, record, message, offset=at, length=ENTRY, field=name, expected=expected, actual=actual)


def _beyond(verifier: Verifier, record: Record, place: int, pfn: int, end: int) -> None:
    clause = "LIBXC-PAGE-PFN-PV"
    if not verifier.findings.full(clause, record, record.body + PAGE_FIXED + ENTRY * place):
        message = f"is for frame {pfn:#x}, the guest's last is {end:#x}"
        _entry_fault(verifier, clause, record, place, "pfn", message, f"at most {end:#x}", f"{pfn:#x}")


def _bad_type(verifier: Verifier, record: Record, place: int, kind: int) -> None:
    clause = "LIBXC-PAGE-TYPE"
    if not verifier.findings.full(clause, record, record.body + PAGE_FIXED + ENTRY * place):
        message = f"has page type {kind}, which is reserved"
        _entry_fault(verifier, clause, record, place, "type", message, ranges(tables.PAGE_TYPES), kind)


def _bad_reserved(verifier: Verifier, record: Record, place: int, entry: int) -> None:
    clause = "LIBXC-PAGE-ENT-RSVD"
    if not verifier.findings.full(clause, record, record.body + PAGE_FIXED + ENTRY * place):
        bits = f"{entry & tables.ENTRY_RESERVED_MASK:#x}"
        _entry_fault(verifier, clause, record, place, "reserved", f"has reserved bits set: {bits}", "zero", bits)


def body(verifier: Verifier, state: LayerState, record: Record) -> Program | None:
    """Judge one PAGE_DATA record entry by entry."""
    if record.length < PAGE_FIXED:
        _bad_length(verifier, record, f"at least {PAGE_FIXED}")
        return None
    w = verifier.window
    if verifier.deep or record.length > min(w.hi - w.lo, ENTRY * _PIECE):
        return _body(verifier, state, record)
    # The record is in the window whole: no program is needed, which is what floods of small records are short of.
    count = _fixed(verifier, record, bytes(w.buf[w.lo : w.lo + PAGE_FIXED]))
    if count:
        entries = unpack_from(f"{record.layer.order}{count}Q", w.buf, w.lo + PAGE_FIXED)
        _conclude(verifier, record, count, *_judge(verifier, state, record, entries, 0))
    w.lo += record.length
    return None


def _bad_length(verifier: Verifier, record: Record, expected: str) -> None:
    message = f"length is {record.length}, expected {expected}"
    verifier.header_fault("LIBXC-PAGE-LEN", record, "length", message, expected, record.length)


def _fixed(verifier: Verifier, record: Record, raw: bytes) -> int:
    """Judge the record's fixed fields; how many entries there are to be judged after them."""
    order = record.layer.order
    count, *reserved = unpack_from(order + tables.FORMATS[PATH], raw)
    if any(reserved):
        verifier.broken_rules(broken_rules(PATH, raw, order), record, raw, record.body)
    if count and PAGE_FIXED + ENTRY * count <= record.length:
        return int(count)
    if count:
        _bad_length(verifier, record, f"at least {PAGE_FIXED + ENTRY * count} for {count} entries")
        return 0
    offset, size = tables.PLACES[PATH]["count"]
    verifier.report(
        "LIBXC-PAGE-COUNT",
        record,
        "count is 0: the record carries no page",
        offset=record.body + offset,
        length=size,
        field="count",
        expected="at least 1",
        actual=0,
    )
    return 0


def _judge(
    verifier: Verifier, state: LayerState, record: Record, entries: Sequence[int], first: int
) -> tuple[int, int]:
    """Judge entries, the first of which is the record's `first`-th; how many carry content, and of unknown type."""
    _note(state, entries)
    pages = unknown = 0
    for place, entry in enumerate(entries, first):
        kind = entry >> tables.ENTRY_TYPE_SHIFT
        if kind in tables.PAGE_TYPES_DATA:
            pages += 1
        elif kind not in tables.PAGE_TYPES:
            unknown += 1
            _bad_type(verifier, record, place, kind)
        if entry & tables.ENTRY_RESERVED_MASK:
            _bad_reserved(verifier, record, place, entry)
        if state.end_pfn is not None and entry & tables.ENTRY_PFN_MASK > state.end_pfn:
            _beyond(verifier, record, place, entry & tables.ENTRY_PFN_MASK, state.end_pfn)
    return pages, unknown


def _conclude(verifier: Verifier, record: Record, count: int, pages: int, unknown: int) -> bool:
    """Judge the length by what the entries say; whether the pages lie where they should."""
    verifier.page_entries += count
    if unknown:
        # Whether content follows an entry of unknown type is anybody's guess; the length says for how many it does.
        if record.length >= PAGE:
            rest = record.length - PAGE_FIXED - ENTRY * count
            verifier.carries(min(rest // PAGE, pages + unknown), record.end)
        return False
    if pages:
        verifier.carries(pages, record.end)
    expected = PAGE_FIXED + ENTRY * count + PAGE * pages
    if record.length != expected:
        _bad_length(verifier, record, f"{expected} for {count} entries, {pages} of them with content")
    return record.length == expected


def _body(verifier: Verifier, state: LayerState, record: Record) -> Program:
    """Program that judges a record of any size, in pieces."""
    w = verifier.window
    if w.hi - w.lo < PAGE_FIXED and not (yield PAGE_FIXED):
        return
    count = _fixed(verifier, record, w.take(PAGE_FIXED))
    if not count:
        return
    page_tables: list[int] = []
    pages = unknown = 0
    for first in range(0, count, _PIECE):
        number = min(_PIECE, count - first)
        if w.hi - w.lo < ENTRY * number and not (yield ENTRY * number):
            return
        entries = unpack_from(f"{record.layer.order}{number}Q", w.buf, w.lo)
        w.lo += ENTRY * number
        if verifier.deep and PAGE * pages <= record.length:
            page_tables += _tables(entries, pages)
        found = _judge(verifier, state, record, entries, first)
        pages, unknown = pages + found[0], unknown + found[1]
    if _conclude(verifier, record, count, pages, unknown) and page_tables and state.end_pfn is not None:
        yield from _page_tables(verifier, state, record, page_tables)


def _tables(entries: Sequence[int], pages: int) -> list[int]:
    """Which pages of the record's content are page tables, `pages` being those before these entries."""
    kinds = [entry >> tables.ENTRY_TYPE_SHIFT for entry in entries]
    carried = [kind for kind in kinds if kind in tables.PAGE_TYPES_DATA]
    return [place for place, kind in enumerate(carried, pages) if kind in tables.PAGE_TYPES_TABLE]


def _page_tables(
    verifier: Verifier, state: LayerState, record: Record, page_tables: Sequence[int]
) -> Generator[int, int, None]:
    """--deep: present entries of page tables point inside the guest."""
    w = verifier.window
    shift, mask = tables.PTE_PFN
    end = state.end_pfn or 0
    size = tables.SIZES["libxc.pte"]
    start = w.position
    for page in page_tables:
        gap = start + PAGE * page - w.position
        if gap and (yield -gap) < gap:
            return
        if w.hi - w.lo < PAGE and not (yield PAGE):
            return
        at = w.position
        # The guest's own memory: little-endian on x86, whatever the stream's integers are.
        for slot, pte in enumerate(unpack_from(f"<{PAGE // size}Q", w.take(PAGE))):
            clause = "LIBXC-PTE-PFN"
            if not pte & tables.PTE_PRESENT or pte >> shift & mask <= end:
                continue
            if not verifier.findings.full(clause, record, at + size * slot):
                verifier.report(
                    clause,
                    record,
                    f"page {page} of the record is a page table whose slot {slot} points to frame "
                    f"{pte >> shift & mask:#x}, the guest's last is {end:#x}",
                    offset=at + size * slot,
                    length=size,
                    field=f"pages[{page}][{slot}].pfn",
                    expected=f"at most {end:#x}",
                    actual=f"{pte >> shift & mask:#x}",
                )
