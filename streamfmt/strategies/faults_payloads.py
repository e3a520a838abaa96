"""How clauses are broken about what is inside entries of the HVM context and records of vcpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hypothesis import strategies as st

from .. import tables
from ..codec import encode
from ..codec.inside import put_at
from ..codec.payload import payloads
from ..schema import hvm, payload_rules
from ..schema.libxc import PAGE_SIZE, XCR0_SIZE, XSAVE_AREA_MIN
from ..schema.payloads import HVM_ENTRIES
from ..writer import TOP_TABLE, Draft, Part, pages, record
from ..writer.hvm_state import after_reset
from .edits import Edit, Fault, insertions, swapping, to
from .faults_libxc import CONTEXT, HVM, INFO, P2M, PV, VCPU
from .from_schema import having
from .records import TOP_TABLES

_SIZES = {row.path: row.size for row in HVM_ENTRIES}
_CODES = {row.name: row.code for row in hvm.CONTEXT_TYPES}
_FIRST = (hvm.HEADER_TYPE, 0, hvm.HEADER_DATA)
# What of an entry has to be as it is, if anything is judged of it.
_SOUND: dict[str, dict[str, int]] = {
    "CPU": {"cr0": 0x11},
    "PIC": {"modes.is_master": 1},
    "HPET": {"config.enabled": 1, "timers[1].config.enabled": 1, "timers[1].config.periodic": 1, "periods[1]": 9},
    "CPU_XSAVE": {"xcr0_accum.x87": 1},
}
_LOW = 1 << 32


def filled(path: str, fields: Mapping[str, int], size: int = 0) -> bytes:
    """A payload that is zero but for these fields."""
    raw = bytearray(_SIZES[path] or size)
    layout = payloads()[path]
    for name, value in fields.items():
        at, row = put_at(layout, len(raw), lambda _: raw, name)
        encode.put(raw, at, row, value, "<", name)
    return bytes(raw)


def _entries(*entries: tuple[int, int, bytes]) -> Part:
    rows = [{"typecode": kind, "instance": at, "length": len(data), "data": data} for kind, at, data in entries]
    return record(CONTEXT, context=[*rows, {"typecode": hvm.END_TYPE, "instance": 0, "length": 0, "data": b""}])


def _entry(form: str, choose: Callable[[st.DrawFn], Mapping[str, int]], size: int = 0) -> Fault:
    """With an entry of that form, in which these fields break a rule."""
    name = next(kind for kind in sorted(_CODES, key=len, reverse=True) if form.startswith(kind))

    def make(draw: st.DrawFn, _: Part) -> Part:
        data = filled(f"hvm.{form}", {**_SOUND.get(name, {}), **choose(draw)}, size)
        return _entries(_FIRST, (_CODES[name], 0, data))

    return to(HVM, swapping(CONTEXT, make), deep=True)


def _above(clause: str) -> tuple[Fault, ...]:
    """Each field that has a bound, beyond it; those of long bytes as a few of them."""
    found = []
    for path, rows in payload_rules.MOST.items():
        for name, (own, most) in rows.items():
            if own == clause and path in _SIZES and _SIZES[path] and name not in ("pad", "cmos_index"):
                head, _, rest = name.partition(".")
                listed = head in ("channels", "route")
                place = f"{head}[1]{'.' if rest else ''}{rest}" if listed else name
                more = _more(path, place, most)
                found.append(_entry(path.removeprefix("hvm."), more))
    return tuple(found)


def _more(path: str, place: str, most: int) -> Callable[[st.DrawFn], Mapping[str, int]]:
    _, row = put_at(payloads()[path], _SIZES[path], lambda _: bytearray(_SIZES[path]), place)
    top = (1 << row.bits) - 1

    def choose(draw: st.DrawFn) -> Mapping[str, int]:
        return {place: draw(st.sampled_from((most + 1, top)) | st.integers(most + 1, top))}

    return choose


def _padded(name: str) -> Fault:
    """With a byte of an entry's padding that is not zero."""

    def make(draw: st.DrawFn, _: Part) -> Part:
        raw = bytearray(_SIZES[f"hvm.{name}"])
        raw[draw(st.integers(9, 15))] = draw(st.integers(1, 255))
        return _entries(_FIRST, (_CODES["VIRIDIAN_VCPU"], 0, bytes(raw)))

    return to(HVM, swapping(CONTEXT, make), deep=True)


def _msrs(draw: st.DrawFn, _: Part) -> Part:
    """With an MSR that none sends so, or a reserved field that is not zero."""
    known = st.sampled_from(payload_rules.MSRS)
    words = st.integers(0, _LOW - 1)
    if draw(st.booleans()):
        row = draw(words.filter(lambda index: index not in payload_rules.MSRS)), 0
    else:
        row = draw(known), draw(st.integers(1, _LOW - 1))
    raw = (1).to_bytes(8, "little") + row[0].to_bytes(4, "little") + row[1].to_bytes(4, "little") + bytes(8)
    return _entries(_FIRST, (_CODES["CPU_MSR"], 0, raw))


def _magic(draw: st.DrawFn, _: Part) -> Part:
    raw = bytearray(hvm.HEADER_DATA)
    raw[draw(st.integers(0, 7))] ^= draw(st.integers(1, 255))
    return _entries((hvm.HEADER_TYPE, 0, bytes(raw)))


_WRONG_AREA = st.sampled_from(
    (
        {"xcr0": 4},
        {"xcr0": 2, "xcr0_accum.sse": 1},
        {"header.xstate_bv": 6},
        {"header.xcomp_bv": 1 << 63},
        {"xcr0_accum.avx": 1},
    )
)


def _pv_area(draw: st.DrawFn, part: Part) -> Part:
    """With masks and an area of a vcpu that do not go together."""
    masks = [draw(st.sampled_from(((7, 3), (2, 3), (3, 7))))]
    raw = b"".join(mask.to_bytes(XCR0_SIZE, "little") for mask in masks[0]) + bytes(XSAVE_AREA_MIN)
    return record(VCPU[2], vcpu_id=part.values["vcpu_id"], context=raw)


def _owner(draw: st.DrawFn, part: Part) -> Part:
    """With the number of another vcpu in the extended context of one, or another size."""
    number = part.values["vcpu_id"]
    said = draw(st.sampled_from(((number + 1, 64), (number, 40))))
    raw = b"".join(value.to_bytes(4, "little") for value in said) + bytes(56)
    return record(VCPU[1], vcpu_id=number, context=raw)


def _pic(draw: st.DrawFn) -> Mapping[str, int]:
    return draw(
        st.sampled_from(({"int_output": 1, "state.init_state": 3}, {"modes.is_master": 0, "irr": 1}, {"int_output": 9}))
    )


def _cpu(draw: st.DrawFn) -> Mapping[str, int]:
    return draw(
        st.sampled_from(
            (
                *({"cr0": value} for value in (0x80000010, 0x1, 0x80000001, 0x51, 1 << 32 | 0x11)),
                {"cr4": 1 << 15},
                {"cr4": 1 << 63},
                {"msr_efer": 2},
                {"msr_efer": 0x500},
                {"msr_efer": 0x400, "cr0": 0x80000011},
            )
        )
    )


_OF_VCPUS = [row for row in hvm.CONTEXT_TYPES if row.instances > 1 and row.name not in ("CPU_XSAVE", "CPU_MSR")]


def _nobodys(draw: st.DrawFn, _: Part) -> Part:
    """With an entry of a vcpu, or an interrupt controller, that no guest has."""
    row = draw(st.sampled_from(_OF_VCPUS))
    return _entries(_FIRST, (row.code, draw(st.integers(row.instances, 0xFFFF)), after_reset(row.name)))


def _twice(draw: st.DrawFn, _: Part) -> Part:
    """With two entries about the same."""
    row = draw(st.sampled_from(_OF_VCPUS + [row for row in hvm.CONTEXT_TYPES if row.name in ("HPET", "PIT", "RTC")]))
    instance = draw(st.integers(0, row.instances - 1))
    entry = row.code, instance, after_reset(row.name, instance=instance)
    return _entries(_FIRST, entry, entry)


def _hpet(draw: st.DrawFn) -> Mapping[str, int]:
    if draw(st.booleans()):
        return {"periods[1]": 0}
    return {"timers[1].comparator": draw(st.integers(10, 1 << 62))}


def _loop(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With a top page table that leads to itself, and may be written there."""
    slot = draw(st.integers(0, 3))
    content = bytes(8 * slot) + (TOP_TABLE << tables.PTE_PFN[0] | tables.PTE_PRESENT | 2).to_bytes(8, "little")
    kind = draw(st.sampled_from(TOP_TABLES[stream.part(INFO).values["guest_width"]]))
    bad = pages((TOP_TABLE, kind), content={TOP_TABLE: content.ljust(PAGE_SIZE, b"\0")})
    yield from insertions(draw, stream, bad)


def _last(stream: Draft) -> int:
    """The last frame of a PV guest."""
    return max(int(part.values["end_pfn"]) for part in stream.parts if part.path == P2M)


def _leaf(*kinds: str) -> Fault:
    """With a pinned table of level 1 that leads to the last frame, of one of these kinds, or to itself."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        last = _last(stream)
        rows = [(last, draw(st.sampled_from(kinds)))] if kinds else []
        target, rw = (last, draw(st.sampled_from((0, 2)))) if kinds else (last - 1, 2)
        entry = target << tables.PTE_PFN[0] | tables.PTE_PRESENT | rw
        content = (bytes(8 * draw(st.integers(0, 511))) + entry.to_bytes(8, "little")).ljust(PAGE_SIZE, b"\0")
        yield from insertions(draw, stream, pages((last - 1, "L1TAB_PINNED"), *rows, content={last - 1: content}))

    return to(PV.filter(lambda sample: _last(sample.stream) > TOP_TABLE + 1), edit, deep=True)


def _deep(edit: Edit, path: str) -> Fault:
    return to(having(path), edit, deep=True)


_LAPIC = {"apic_base_msr.x2apic": 1}
FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "LIBXC-HVMCTX-MAGIC": to(HVM, swapping(CONTEXT, _magic)),
    "LIBXC-HVMCTX-CPU": (*_above("LIBXC-HVMCTX-CPU"), _entry("CPU", _cpu)),
    "LIBXC-HVMCTX-INSTANCE": to(HVM, swapping(CONTEXT, _nobodys), deep=True),
    "LIBXC-HVMCTX-REPEAT": to(HVM, swapping(CONTEXT, _twice), deep=True),
    "LIBXC-HVMCTX-PIC": _entry("PIC", _pic),
    "LIBXC-HVMCTX-LAPIC": tuple(_entry(form, lambda _: _LAPIC) for form in ("LAPIC", "LAPIC_24", "LAPIC_16")),
    "LIBXC-HVMCTX-PCILINK": _above("LIBXC-HVMCTX-PCILINK")[:1],
    "LIBXC-HVMCTX-TIMER": _above("LIBXC-HVMCTX-TIMER"),
    "LIBXC-HVMCTX-HPET": _entry("HPET", _hpet),
    "LIBXC-HVMCTX-MTRR": _above("LIBXC-HVMCTX-MTRR"),
    "LIBXC-HVMCTX-XSAVE": _entry("CPU_XSAVE", lambda draw: draw(_WRONG_AREA), size=600),
    "LIBXC-HVMCTX-VIRIDIAN": tuple(map(_padded, ("VIRIDIAN_VCPU", "VIRIDIAN_VCPU_16"))),
    "LIBXC-HVMCTX-MSR": to(HVM, swapping(CONTEXT, _msrs), deep=True),
    "LIBXC-PTE-LEVEL": to(PV, _loop, deep=True),
    "LIBXC-PTE-WRITABLE": _leaf(),
    "LIBXC-PTE-EMPTY": _leaf("XTAB", "BROKEN"),
    "LIBXC-VCPU-EXT": _deep(swapping(VCPU[1], _owner), VCPU[1]),
    "LIBXC-VCPU-XSAVE": _deep(swapping(VCPU[2], _pv_area), VCPU[2]),
}
