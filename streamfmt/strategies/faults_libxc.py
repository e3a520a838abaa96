"""How clauses of the libxc layer are broken where the schema alone does not say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from .. import tables
from ..schema import hvm, libxc, states
from ..writer import TOP_TABLE, Draft, Part, p2m, page_entries, pages, params, pv_info, record, vcpu
from . import records
from .conforming import made
from .edits import (
    Edit,
    Fault,
    after_end,
    at,
    big_endian,
    declaring,
    ill_padded,
    inserting,
    insertions,
    nth,
    of,
    rotated,
    swapping,
    to,
    truncated,
    unknowns,
)
from .from_schema import having

PAGE = "libxc.PAGE_DATA"
P2M = "libxc.X86_PV_P2M_FRAMES"
INFO = "libxc.X86_PV_INFO"
CONTEXT = "libxc.HVM_CONTEXT"
PARAMS = "libxc.HVM_PARAMS"
VCPU = tuple(f"libxc.{name}" for name in states.VCPU)
BASIC, EXTENDED = VCPU[:2]
LIMIT = libxc.RECORD_LENGTH_MAX


HVM = made(("libxc", "libxl", "xl"), ("hvm",), clean=True)
PV = made(("libxc", "libxl", "xl"), ("pv",), clean=True)
ANY = made(("libxc", "libxl", "xl"), clean=True)
# Of the frames of these all that is there is known.
PLAIN_PV = made(("libxc", "libxl"), ("pv",), modes=("plain",), clean=True)


def _padded(draw: st.DrawFn, part: Part) -> Part:
    """Extended context of a vcpu, in a record whose padding is not zero."""
    size = draw(st.integers(1, libxc.EXTENDED_MAX).filter(lambda size: size % 8))
    return ill_padded(draw, vcpu("EXTENDED", part.values["vcpu_id"], size))


def _of(guest: str) -> Edit:
    """A record that only the other kind of guest has."""
    return inserting(*(records.example(f"libxc.{row.name}") for row in libxc.RECORDS if row.guests == (guest,)))


# -- PV -------------------------------------------------------------------------------------------------------


def _combination(draw: st.DrawFn, _: Part) -> Part:
    numbers = st.sampled_from((0, 3, 4, 5, 8)) | st.integers(0, 255)
    return pv_info(*draw(st.tuples(numbers, numbers).filter(lambda row: row not in libxc.PV_COMBINATIONS)))


def _reversed(draw: st.DrawFn, _: Part) -> Part:
    start = draw(st.integers(1, 9) | st.integers(1, records.U32))
    return p2m(start, draw(st.integers(0, start - 1)), *draw(st.lists(st.just(1), max_size=2)))


def _late_start(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """A list that leaves out the first frames of a guest that is large enough for it."""
    per_frame = libxc.PAGE_SIZE // stream.part(INFO).values["guest_width"]
    end = draw(st.integers(per_frame, per_frame + 9))
    holes = [(pfn, "XTAB") for pfn in range(stream.part(P2M).values["end_pfn"] + 1, end + 1)]
    listed = p2m(draw(st.integers(per_frame, end)), end, draw(st.sampled_from((1, 0))))
    yield stream.swap(P2M, listed, pages(*holes))


def _one_page(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    kept = tuple(part for part in stream if part.path not in (PAGE, "libxc.VERIFY"))
    yield replace(stream, parts=kept).swap(P2M, p2m(0, 0, 0), pages((0, "NOTAB")))


def _wrong_frame(draw: st.DrawFn, part: Part) -> Part:
    beyond = part.values["end_pfn"] + 1
    wrong = draw(st.just(TOP_TABLE) | st.sampled_from((beyond, records.U64)) | st.integers(beyond, records.U64))
    frames = list(part.values["frames"])
    frames[draw(st.integers(0, len(frames) - 1))] = wrong
    return replace(part, values={**part.values, "frames": frames})


def _beyond(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    end = stream.part(P2M).values["end_pfn"]
    frame = draw(st.just(end + 1) | st.integers(end + 1, (1 << 52) - 1))
    yield from insertions(draw, stream, pages((frame, draw(records.kinds))))


def _uncovered(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """Without any page of one frame."""
    gone = draw(st.integers(TOP_TABLE, stream.part(P2M).values["end_pfn"]))
    parts = []
    for part in stream:
        if part.path == PAGE:
            entries = [row for row in page_entries(part) if row[0] != gone]
            if entries:
                parts.append(records.batch(entries))
        else:
            parts.append(part)
    yield replace(stream, parts=tuple(parts))


def _table(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """A page table one entry of which points beyond the guest."""
    end = stream.part(P2M).values["end_pfn"]
    slot = draw(st.integers(0, libxc.PAGE_SIZE // 8 - 1))
    frame = draw(st.just(end + 1) | st.integers(end + 1, (1 << 40) - 1))
    content = bytes(8 * slot) + (frame << tables.PTE_PFN[0] | tables.PTE_PRESENT).to_bytes(8, "little")
    kind = draw(st.sampled_from(records.TOP_TABLES[stream.part(INFO).values["guest_width"]]))
    bad = pages((TOP_TABLE, kind), content={TOP_TABLE: content.ljust(libxc.PAGE_SIZE, b"\0")})
    yield from insertions(draw, stream, bad)


def _without_vcpu_0(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    for number in rotated(draw, of(stream, BASIC)):
        part = stream.parts[number]
        if not part.values["vcpu_id"]:
            yield at(stream, number, drop=1)
            yield at(stream, number, replace(part, values={**part.values, "vcpu_id": 77}), drop=1)


def _vcpu_again(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    path = draw(st.sampled_from([path for path in VCPU if path in stream.paths]))
    yield from insertions(draw, stream, stream.part(path, nth(draw, stream, path)))


# -- memory ---------------------------------------------------------------------------------------------------


def _page_length(draw: st.DrawFn, part: Part) -> Part:
    more = draw(st.integers(0, 24))
    if not more:
        return record(PAGE, bytes(draw(st.integers(0, 7))))
    if draw(st.booleans()):
        return part.filled(more)
    count = draw(st.integers(1, records.U32).filter(lambda count: count != len(page_entries(part))))
    return replace(part, patches=(("count", count),))


def _page_type(draw: st.DrawFn, part: Part) -> Part:
    place = draw(st.integers(0, len(page_entries(part)) - 1))
    return replace(part, patches=((f"entries[{place}].type", draw(st.integers(5, 8))),))


# -- HVM ------------------------------------------------------------------------------------------------------

_BODY = {row.code: row for row in hvm.CONTEXT_TYPES if row.code not in (hvm.HEADER_TYPE, hvm.END_TYPE)}
_ROWS = st.sampled_from(sorted(_BODY)).map(_BODY.__getitem__)


def _entry(code: int, data: bytes = b"", instance: int = 0, length: int | None = None) -> bytes:
    """An entry of the HVM context, of as many bytes as it says unless another `length` is given."""
    numbers = ((code, 2), (instance, 2), (len(data) if length is None else length, 4))
    return b"".join(number.to_bytes(size, "little") for number, size in numbers) + data


_FIRST, _LAST = _entry(hvm.HEADER_TYPE, hvm.HEADER_DATA), _entry(hvm.END_TYPE)


def _context(last: st.SearchStrategy[bytes], first: Sequence[bytes] = (_FIRST,)) -> Edit:
    """With an HVM context of these entries, or other bytes, around some that are as they have to be."""
    some = st.lists(records.context_entry(), max_size=2)
    begins = st.sampled_from(first)

    def make(draw: st.DrawFn, _: Part) -> Part:
        inner = [_entry(code, data, instance) for code, instance, data in draw(some)]
        return record(CONTEXT, b"".join((draw(begins), *inner, draw(last))))

    return swapping(CONTEXT, make)


@st.composite
def _cut_entry(draw: st.DrawFn) -> bytes:
    row = draw(_ROWS)
    length = draw(st.sampled_from(row.lengths))
    data = (1 if row.counted else 0).to_bytes(4, "little") + bytes(length)
    return _entry(row.code, data[: draw(st.integers(4, length - 1))], length=length)


@st.composite
def _odd_entry(draw: st.DrawFn) -> bytes:
    """An entry of a length that its type has never had."""
    row = draw(_ROWS)
    near = st.sampled_from([size + off for size in row.lengths for off in (-1, 1)])

    def bad(size: int) -> bool:
        more = size - row.lengths[0]
        return size not in row.lengths and not (row.unit and more > 0 and not more % row.unit)

    return _entry(row.code, bytes(draw((near | st.integers(0, row.lengths[-1] + 40)).filter(bad)))) + _LAST


_NO_FIRST = (b"", _entry(hvm.HEADER_TYPE, hvm.HEADER_DATA, 1), _entry(hvm.HEADER_TYPE, bytes(16)), _entry(99))
# An END entry with an instance or data, if there is any.
_NO_LAST = st.tuples(st.integers(0, 3), st.sampled_from((0, 8))).map(
    lambda row: _entry(hvm.END_TYPE, bytes(row[1]), row[0]) if any(row) else b""
)
_UNKNOWN = st.builds(_entry, st.integers(max(_BODY) + 1, 0xFFFF), st.binary(max_size=9)).map(lambda data: data + _LAST)


def _param(indices: st.SearchStrategy[int]) -> Callable[[st.DrawFn, Part], Part]:
    """Parameters, one of which has such a number."""

    def make(draw: st.DrawFn, part: Part) -> Part:
        pairs = [(row["index"], row["value"]) for row in part.values["params"]]
        pairs.insert(draw(st.integers(0, len(pairs))), (draw(indices), draw(records.values)))
        return params(*pairs)

    return make


_TOO_LONG = st.sampled_from((LIMIT + 1, LIMIT + 8, records.U32)) | st.integers(LIMIT + 1, records.U32)
_INDICES = st.integers(hvm.PARAMS_END, hvm.PARAMS_END + 9) | st.integers(hvm.PARAMS_END, records.U64)

FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    # Page tables are the guest's own, in the order of its processor.
    "LIBXC-IHDR-ENDIAN": to(made(("libxc", "libxl"), clean=True, blank=True), big_endian("libxc")),
    "LIBXC-REC-PAD-ZERO": to(having(EXTENDED), swapping(EXTENDED, _padded)),
    "LIBXC-REC-LENGTH-MAX": to(ANY, declaring("libxc", _TOO_LONG)),
    "LIBXC-REC-TRUNC": truncated(ANY, "libxc"),
    "LIBXC-REC-UNKNOWN-MAND": to(ANY, inserting(unknowns("libxc", optional=False))),
    "LIBXC-REC-UNKNOWN-OPT": to(ANY, inserting(unknowns("libxc", optional=True))),
    "LIBXC-VERIFY-1": to(
        made(("libxc", "libxl"), modes=("remus", "colo"), clean=True), inserting(st.just(record("libxc.VERIFY")))
    ),
    "LIBXC-REC-WRONG-GUEST": (to(HVM, _of("pv")), to(PV, _of("hvm"))),
    "LIBXC-REC-NO-EMPTY": to(PV, inserting(st.integers(0, 3).map(lambda number: vcpu("BASIC", number, 0)))),
    "LIBXC-END-LAST": to(made(("libxc",), modes=("plain",), clean=True), after_end),
    "LIBXC-TOOLSTACK": to(ANY, inserting(records.example("libxc.TOOLSTACK"))),
    "LIBXC-DIRTY-FWD": to(ANY, inserting(records.example("libxc.CHECKPOINT_DIRTY_PFN_LIST"))),
    "LIBXC-PVINFO-COMBO": to(PV, swapping(INFO, _combination)),
    "LIBXC-P2M-RANGE": to(PV, swapping(P2M, _reversed)),
    "LIBXC-P2M-START": to(PLAIN_PV, _late_start),
    "LIBXC-P2M-E0": to(PLAIN_PV, _one_page),
    "LIBXC-P2M-ENTRY": to(PV, swapping(P2M, _wrong_frame)),
    "LIBXC-PAGE-COUNT": to(ANY, inserting(st.just(pages()))),
    "LIBXC-PAGE-LEN": to(having(PAGE), swapping(PAGE, _page_length)),
    "LIBXC-PAGE-TYPE": to(having(PAGE), swapping(PAGE, _page_type)),
    "LIBXC-PAGE-PFN-PV": to(PV, _beyond),
    "LIBXC-PAGE-COVER": to(PLAIN_PV, _uncovered),
    "LIBXC-PTE-PFN": to(PV, _table, deep=True),
    "LIBXC-VCPU-HDR": to(PV, inserting(st.builds(record, st.sampled_from(VCPU), st.integers(0, 7).map(bytes)))),
    "LIBXC-VCPU0-BASIC": to(PV, _without_vcpu_0),
    "LIBXC-VCPU-REPEAT": to(PV, _vcpu_again),
    "LIBXC-HVMCTX-HEADER": to(HVM, _context(st.just(_LAST), _NO_FIRST)),
    "LIBXC-HVMCTX-TILE": to(HVM, _context(st.integers(1, 7).map(bytes) | _cut_entry())),
    "LIBXC-HVMCTX-END": to(HVM, _context(_NO_LAST)),
    "LIBXC-HVMCTX-TAIL": to(HVM, _context(st.binary(min_size=1, max_size=16).map(lambda data: _LAST + data))),
    "LIBXC-HVMCTX-TYPE": to(HVM, _context(_UNKNOWN)),
    "LIBXC-HVMCTX-LEN": to(HVM, _context(_odd_entry())),
    "LIBXC-HVMPARAMS-PAE": to(
        made(("libxc", "libxl", "xl"), ("hvm",), (3,), clean=True, need=(PARAMS,)),
        swapping(PARAMS, _param(st.just(hvm.PARAM_PAE_ENABLED))),
    ),
    "LIBXC-HVMPARAMS-INDEX": to(having(PARAMS), swapping(PARAMS, _param(_INDICES))),
    "LIBXC-ERRATA-1": (
        to(having(PARAMS), swapping(PARAMS, lambda *_: params())),
        to(PV, inserting(st.builds(record, st.sampled_from(VCPU[1:]), vcpu_id=st.integers(0, 3)))),
    ),
}
