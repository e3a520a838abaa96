"""How clauses of the libxc layer are broken where the schema alone does not say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from hypothesis import strategies as st

from .. import tables
from ..reader.registry import ROWS
from ..schema import hvm, libxc
from ..writer import RECORDS, TOP_TABLE, Draft, Part, context, p2m, page_entries, pages, params, pv_info, record, vcpu
from . import records
from .conforming import made
from .edits import at, insertions, nth, of, rotated
from .fault import Edit, Fault, after_end, ending, inserting, swapping, to, unknowns
from .from_schema import having

PAGE = "libxc.PAGE_DATA"
P2M = "libxc.X86_PV_P2M_FRAMES"
INFO = "libxc.X86_PV_INFO"
CONTEXT = "libxc.HVM_CONTEXT"
PARAMS = "libxc.HVM_PARAMS"
BASIC, EXTENDED, XSAVE, MSRS = (f"libxc.X86_PV_VCPU_{kind}" for kind in ("BASIC", "EXTENDED", "XSAVE", "MSRS"))
LIMIT = libxc.RECORD_LENGTH_MAX
KNOWN = max(row.code for path, row in RECORDS.items() if path.startswith("libxc."))


HVM = made(("libxc", "libxl", "xl"), ("hvm",), clean=True)
PV = made(("libxc", "libxl", "xl"), ("pv",), clean=True)
ANY = made(("libxc", "libxl", "xl"), clean=True)
# Of the frames of these all that is there is known.
PLAIN_PV = made(("libxc", "libxl"), ("pv",), modes=("plain",), clean=True)


# -- framing --------------------------------------------------------------------------------------------------


def _padding(draw: st.DrawFn, part: Part) -> Part:
    """Extended context of a vcpu, in a record whose padding is not zero."""
    size = draw(st.integers(1, libxc.EXTENDED_MAX).filter(lambda size: size % 8))
    count = -size % 8
    wrong = draw(st.integers(0, count - 1))
    padding = bytes(wrong) + bytes([draw(st.integers(1, 255))]) + bytes(count - 1 - wrong)
    return replace(vcpu("EXTENDED", part.values["vcpu_id"], size), padding=padding)


def _too_long(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    known = [number for number, part in enumerate(stream.parts) if part.layer == "libxc" and part.is_record]
    number = draw(st.sampled_from(known))
    declared_length = draw(st.sampled_from((LIMIT + 1, LIMIT + 8, records.U32)) | st.integers(LIMIT + 1, records.U32))
    yield at(stream, number, replace(stream.parts[number], declared_length=declared_length), drop=1)


def _wrong_guest(guest: str) -> Edit:
    return inserting(
        *(
            records.example(path)
            for path, row in RECORDS.items()
            if path.startswith("libxc.") and row.guests == (guest,)
        )
    )


def _big_endian(layer: str) -> Fault:
    forms = ("libxc", "libxl") if layer == "libxc" else ("libxl",)
    # Page tables are the guest's own, in the order of its processor.
    base = made(forms, clean=True, blank=True)
    return to(base, lambda _, stream: iter([stream.big_endian(layer)]))


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


def _headless_vcpu(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    path = draw(st.sampled_from((BASIC, EXTENDED, XSAVE, MSRS)))
    return insertions(draw, stream, record(path, bytes(draw(st.integers(0, 7)))))


def _without_vcpu_0(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    for number in rotated(draw, of(stream, BASIC)):
        part = stream.parts[number]
        if not part.values["vcpu_id"]:
            yield at(stream, number, drop=1)
            yield at(stream, number, replace(part, values={**part.values, "vcpu_id": 77}), drop=1)


def _vcpu_again(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    path = draw(st.sampled_from([path for path in (BASIC, EXTENDED, XSAVE, MSRS) if path in stream.paths]))
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

ENTRIES = st.lists(records.context_entry(), max_size=2)
_BODY = {row.code: row for row in hvm.CONTEXT_TYPES if row.code not in (hvm.HEADER_TYPE, hvm.END_TYPE)}


def blob(*entries: tuple[int, int, bytes], tail: bytes = b"") -> Part:
    """HVM_CONTEXT of these entries, then other bytes."""
    return record(CONTEXT, context(*entries).body("<") + tail)


def head(code: int, instance: int, length: int) -> bytes:
    """Only what stands before an entry's data."""
    return code.to_bytes(2, "little") + instance.to_bytes(2, "little") + length.to_bytes(4, "little")


def _no_header(draw: st.DrawFn, _: Part) -> Part:
    entries = draw(ENTRIES)
    wrong = draw(
        st.sampled_from((None, (hvm.HEADER_TYPE, 1, hvm.HEADER_DATA), (hvm.HEADER_TYPE, 0, bytes(16)), (99, 0, b"")))
    )
    return blob(*((wrong,) if wrong else ()), *entries, records.END_ENTRY)


def _untiled(draw: st.DrawFn, _: Part) -> Part:
    entries = draw(ENTRIES)
    if draw(st.booleans()):
        return blob(records.HEADER_ENTRY, *entries, tail=bytes(draw(st.integers(1, 7))))
    row = _BODY[draw(st.sampled_from(sorted(_BODY)))]
    length = draw(st.sampled_from(row.lengths))
    data = (1 if row.counted else 0).to_bytes(4, "little") + bytes(length)
    return blob(
        records.HEADER_ENTRY, *entries, tail=head(row.code, 0, length) + data[: draw(st.integers(4, length - 1))]
    )


def _no_end(draw: st.DrawFn, _: Part) -> Part:
    entries = draw(ENTRIES)
    instance, length = draw(st.integers(0, 3)), draw(st.sampled_from((0, 8)))
    tail = head(hvm.END_TYPE, instance, length) + bytes(length) if instance or length else b""
    return blob(records.HEADER_ENTRY, *entries, tail=tail)


def _after_end_entry(draw: st.DrawFn, _: Part) -> Part:
    tail = draw(st.binary(min_size=1, max_size=16))
    return blob(records.HEADER_ENTRY, *draw(ENTRIES), records.END_ENTRY, tail=tail)


def _unknown_entry(draw: st.DrawFn, _: Part) -> Part:
    first = max(_BODY) + 1
    code = draw(st.integers(first, 0xFFFF))
    return blob(records.HEADER_ENTRY, *draw(ENTRIES), (code, 0, draw(st.binary(max_size=9))), records.END_ENTRY)


def _entry_length(draw: st.DrawFn, _: Part) -> Part:
    row = _BODY[draw(st.sampled_from(sorted(_BODY)))]
    near = st.sampled_from([size + off for size in row.lengths for off in (-1, 1)])

    def bad(size: int) -> bool:
        more = size - row.lengths[0]
        return size not in row.lengths and not (row.unit and more > 0 and not more % row.unit)

    size = draw((near | st.integers(0, row.lengths[-1] + 40)).filter(bad))
    return blob(records.HEADER_ENTRY, *draw(ENTRIES), (row.code, 0, bytes(size)), records.END_ENTRY)


def _param(indices: st.SearchStrategy[int]) -> Callable[[st.DrawFn, Part], Part]:
    """Parameters, one of which has such a number."""

    def make(draw: st.DrawFn, part: Part) -> Part:
        pairs = [(row["index"], row["value"]) for row in part.values["params"]]
        pairs.insert(draw(st.integers(0, len(pairs))), (draw(indices), draw(records.values)))
        return params(*pairs)

    return make


def _errata(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    path = draw(st.sampled_from((EXTENDED, XSAVE, MSRS)))
    empty = record(path, vcpu_id=draw(st.integers(0, 3)))
    yield from insertions(draw, stream, empty)


_INDICES = st.integers(hvm.PARAMS_END, hvm.PARAMS_END + 9) | st.integers(hvm.PARAMS_END, records.U64)

FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "LIBXC-IHDR-ENDIAN": _big_endian("libxc"),
    "LIBXL-HDR-ENDIAN": _big_endian("libxl"),
    "LIBXC-REC-PAD-ZERO": to(having(EXTENDED), swapping(EXTENDED, _padding)),
    "LIBXC-REC-LENGTH-MAX": to(ANY, _too_long),
    "LIBXC-REC-TRUNC": ending("libxc"),
    "LIBXC-REC-UNKNOWN-MAND": to(ANY, inserting(unknowns("libxc", KNOWN + 1, ROWS["libxc"].optional - 1))),
    "LIBXC-REC-UNKNOWN-OPT": to(ANY, inserting(unknowns("libxc", ROWS["libxc"].optional, records.U32))),
    "LIBXC-VERIFY-1": to(
        made(("libxc", "libxl"), modes=("remus", "colo"), clean=True), inserting(st.just(record("libxc.VERIFY")))
    ),
    "LIBXC-REC-WRONG-GUEST": (to(HVM, _wrong_guest("pv")), to(PV, _wrong_guest("hvm"))),
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
    "LIBXC-VCPU-HDR": to(PV, _headless_vcpu),
    "LIBXC-VCPU0-BASIC": to(PV, _without_vcpu_0),
    "LIBXC-VCPU-REPEAT": to(PV, _vcpu_again),
    "LIBXC-HVMCTX-HEADER": to(HVM, swapping(CONTEXT, _no_header)),
    "LIBXC-HVMCTX-TILE": to(HVM, swapping(CONTEXT, _untiled)),
    "LIBXC-HVMCTX-END": to(HVM, swapping(CONTEXT, _no_end)),
    "LIBXC-HVMCTX-TAIL": to(HVM, swapping(CONTEXT, _after_end_entry)),
    "LIBXC-HVMCTX-TYPE": to(HVM, swapping(CONTEXT, _unknown_entry)),
    "LIBXC-HVMCTX-LEN": to(HVM, swapping(CONTEXT, _entry_length)),
    "LIBXC-HVMPARAMS-PAE": to(
        made(("libxc", "libxl", "xl"), ("hvm",), (3,), clean=True, need=(PARAMS,)),
        swapping(PARAMS, _param(st.just(hvm.PARAM_PAE_ENABLED))),
    ),
    "LIBXC-HVMPARAMS-INDEX": to(having(PARAMS), swapping(PARAMS, _param(_INDICES))),
    "LIBXC-ERRATA-1": (to(having(PARAMS), swapping(PARAMS, lambda _, part: params())), to(PV, _errata)),
}
