"""--deep: checks of what is inside entries of an HVM context and records of vcpus, which Xen or the processor wrote."""

from __future__ import annotations

from _struct import Struct

from .. import tables
from ..payload_tables import BOUNDS, CONTEXT_MSRS, CPU_BITS, ENTRY_NAMES, FIELDS, FORMS, INSTANCES, LISTS, XSAVE_AREAS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..reader.events import Body, Record
    from ..reader.hvm_context import Entries
    from ..reader.pump import Program
    from .hvm import Context
    from .layer import Checks as Layered
    from .libxc import Checks

    # Where components of XSAVE areas end, by their bits.
    Areas = dict[int, int]
    # Clause, offset and length of what breaks it, what is wrong, what would be right.
    Breach = tuple[str, int, int, str, str]

# Bytes of a payload that are looked at: more than any processor's state has.
_MOST = 64 << 10
_XCR0 = 8
# Leaf 0xd of CPUID, whose subleaves are about a component each: its size and its offset in the area, in eax and ebx.
_LEAVES = "libxc.X86_CPUID_POLICY.leaves"
_XSTATE, _BITS = 0xD, 64
# The first component whose place a processor says.
_FIRST = 2
_COMPARED = 1 << 63
# Long mode in EFER: wanted, and on.
_LME, _LMA = 1 << 8, 1 << 10


def entry(checks: Layered, walk: Context, areas: Areas) -> Program:
    """Program that judges what the present entry of a context holds; `areas` are what the CPUID policy says."""
    name = ENTRY_NAMES[walk.kind]
    _instance(walk, name)
    forms = FORMS[f"hvm.{name}"]
    path = forms.get(walk.length) or forms.get(0, "")
    size = min(walk.length, _MOST)
    if not path or not size or not (yield from walk.body.need(size)):
        return
    window = walk.body.window
    raw = bytes(window.buf[window.lo : window.lo + size])
    at = window.position
    number, field = walk.number, f"context[{walk.number}].data"
    more = _MORE.get(name)
    for breach in (*_bounds(path, raw), *(more(path, raw, walk, areas) if more else ())):
        _report(checks, walk.body.record, breach, at, field, f"entry {number}, {name}")


def _instance(walk: Context, name: str) -> None:
    """The present entry is about a vcpu or device that there may be, and the only one about that."""
    most = INSTANCES[walk.kind]
    instance = walk.instance if most > 1 else 0
    which = f"entry {walk.number}, {name},"
    if instance >= most:
        message = f"{which} is of instance {instance}: there are at most {most}"
        walk.report("LIBXC-HVMCTX-INSTANCE", message, "instance", f"0 to {most - 1}", instance)
    elif (walk.kind, instance) in walk.seen:
        whose = f" of instance {instance}" if most > 1 else ""
        message = f"{which} is another one{whose}; Xen uses the last"
        walk.report("LIBXC-HVMCTX-REPEAT", message, "typecode", "one entry", "another")
    walk.seen.add((walk.kind, min(instance, most)))


def policy(checks: Checks, body: Body) -> Program:
    """Program that remembers where components of XSAVE areas end, as leaf 0xd of a CPUID policy says."""
    unit, order = tables.SIZES[_LEAVES], body.order
    leaf = Struct(order + tables.FORMATS[_LEAVES])
    while raw := (yield from body.piece(unit, _MOST)):
        for number, bit, size, offset, *_ in leaf.iter_unpack(raw):
            if number == _XSTATE and _FIRST <= bit < _BITS and size:
                checks.areas[bit] = offset + size


def vcpu(checks: Checks, body: Body, number: int) -> Program:
    """Program that judges what a record of vcpu `number` holds, other than its registers."""
    record, size = body.record, min(body.left, _MOST)
    more = _VCPU.get(record.type)
    if more is None or not size or not (yield from body.need(size)):
        return
    raw = bytes(body.window.buf[body.window.lo : body.window.lo + size])
    forms = FORMS["XSAVE"]
    path = forms.get(body.left, forms[0]) if record.type == tables.LIBXC_X86_PV_VCPU_XSAVE else ""
    for breach in (*(_bounds(path, raw) if path else ()), *more(raw, body.left, number, checks.areas)):
        _report(checks, record, breach, body.at, "context", f"vcpu {number}")


def saved_area(checks: Layered, body: Body, number: int) -> Program:
    """Program that judges the XSAVE area that a legacy stream has of a vcpu, which zeros may follow."""
    size = min(body.left, _MOST)
    if not size or not (yield from body.need(size)):
        return
    raw = bytes(body.window.buf[body.window.lo : body.window.lo + size])
    forms = FORMS["XSAVE"]
    found = _bounds(forms.get(body.left, forms[0]), raw) if size > 2 * _XCR0 else ()
    for breach in (*found, *_area("LIBXC-VCPU-XSAVE", raw, 0, body.left, {}, exact=False)):
        _report(checks, body.record, breach, body.at, "context", f"vcpu {number}")


def _report(checks: Layered, record: Record, breach: Breach, at: int, field: str, what: str) -> None:
    clause, offset, length, message, expected = breach
    actual = message.rpartition(" is ")[2].partition(",")[0]
    at += offset
    what = f"{what}: {message}"
    checks.context.report(clause, record, what, offset=at, length=length, field=field, expected=expected, actual=actual)


def _bounds(path: str, raw: bytes) -> Iterator[Breach]:
    """Fields that are more than they may be."""
    for first, count, unit, size, shift, mask, most, clause, name in BOUNDS.get(path, ()):
        times = count or -(-(len(raw) - first) // unit)
        for place in range(times):
            start = first + unit * place
            value = int.from_bytes(raw[start : start + size], "little") >> shift & mask
            if value > most:
                shown = f"{name.replace('.', f'[{place}].', 1) if unit and '.' in name else name}"
                shown += f"[{place}]" if unit and "." not in name else ""
                expected = f"at most {most:#x}" if most else "0"
                yield clause, start, size, f"{shown} is {value:#x}, expected {expected}", expected


def _value(path: str, name: str, raw: bytes, start: int = 0) -> int:
    """A field's value, by the generated places."""
    at, size, shift, bits, *_ = FIELDS[path][name]
    return int.from_bytes(raw[start + at : start + at + size], "little") >> shift & (1 << bits) - 1


def _place(path: str, name: str) -> tuple[int, int]:
    at, size, *_ = FIELDS[path][name]
    return at, size


# -- entries of an HVM context --------------------------------------------------------------------------------


def _cpu(path: str, raw: bytes, _: Entries, __: Areas) -> Iterator[Breach]:
    cr0, efer = _value(path, "cr0", raw), _value(path, "msr_efer", raw)
    paging, protected, present = cr0 >> 31 & 1, cr0 & 1, cr0 >> 4 & 1
    for name, known in CPU_BITS.items():
        if more := _value(path, name, raw) & ~known:
            message = f"{name} is {_value(path, name, raw):#x}, with bits that no processor has: {more:#x}"
            yield "LIBXC-HVMCTX-CPU", *_place(path, name), message, f"within {known:#x}"
    if paging and not protected:
        yield "LIBXC-HVMCTX-CPU", *_place(path, "cr0"), f"cr0 is {cr0:#x}, with paging (PG) but not PE", "PE with PG"
    elif not present:
        yield "LIBXC-HVMCTX-CPU", *_place(path, "cr0"), f"cr0 is {cr0:#x}, without ET", "bit 4 (ET) set"
    if efer & _LMA and not (efer & _LME and paging):
        message = f"msr_efer is {efer:#x}, in long mode (LMA), but {'without paging' if efer & _LME else 'LME is 0'}"
        yield "LIBXC-HVMCTX-CPU", *_place(path, "msr_efer"), message, "LMA only with LME and paging"


def _pic(path: str, raw: bytes, walk: Entries, _: Areas) -> Iterator[Breach]:
    master = _value(path, "modes.is_master", raw)
    if master == bool(walk.instance):
        which = "the slave" if walk.instance else "the master"
        expected = f"{int(not walk.instance)} in {which}"
        yield "LIBXC-HVMCTX-PIC", *_place(path, "modes.is_master"), f"is_master of {which} is {master}", expected
    if _value(path, "int_output", raw) and (state := _value(path, "state.init_state", raw)):
        message = f"it asks for an interrupt while init_state is {state}"
        yield "LIBXC-HVMCTX-PIC", *_place(path, "int_output"), message, "int_output 0 while it is initialised"


def _lapic(path: str, raw: bytes, _: Entries, __: Areas) -> Iterator[Breach]:
    if _value(path, "apic_base_msr.x2apic", raw) and not _value(path, "apic_base_msr.enabled", raw):
        message = "it is in x2APIC mode (EXTD), but enabled (EN) is 0"
        yield "LIBXC-HVMCTX-LAPIC", *_place(path, "apic_base_msr.enabled"), message, "EN with EXTD"


def _hpet(path: str, raw: bytes, _: Entries, __: Areas) -> Iterator[Breach]:
    """Timers that tick, and next tick later than a period from now."""
    if not _value(path, "config.enabled", raw):
        return
    first, unit, element, count = LISTS[path]["timers"]
    periods, word, *_rest = LISTS[path]["periods"]
    femtoseconds, counter = _value(path, "capability", raw) >> 32, _value(path, "counter", raw)
    for number in range(int(count)):
        start = first + unit * number
        if not (_value(element, "config.enabled", raw, start) and _value(element, "config.periodic", raw, start)):
            continue
        period = int.from_bytes(raw[periods + word * number : periods + word * (number + 1)], "little")
        at, size = _place(element, "comparator")
        ahead = (_value(element, "comparator", raw, start) - counter) % (2 * _COMPARED)
        if not period:
            message = f"periodic timer {number} has a period that is 0, so the guest gets no tick from it"
            yield "LIBXC-HVMCTX-HPET", periods + word * number, word, message, "a period"
        elif period < ahead < _COMPARED:
            wait = ahead * femtoseconds / 10**15
            message = f"periodic timer {number} ticks next in {wait:,.1f} s, until when the guest may hang"
            message += f"; its period is {period * femtoseconds / 10**12:,.3f} ms"
            yield "LIBXC-HVMCTX-HPET", start + at, size, message, "a comparator at most a period ahead"


def _viridian(path: str, raw: bytes, _: Entries, __: Areas) -> Iterator[Breach]:
    if "stimer_config_msr" not in LISTS.get(path, {}):
        return
    first, unit, element, count = LISTS[path]["stimer_config_msr"]
    counts, word, *_rest = LISTS[path]["stimer_count_msr"]
    for number in range(int(count)):
        start = first + unit * number
        ticking = _value(element, "enabled", raw, start) and _value(element, "periodic", raw, start)
        if ticking and not any(raw[counts + word * number : counts + word * (number + 1)]):
            message = f"timer {number} is enabled and periodic, and its count is 0"
            yield "LIBXC-HVMCTX-VIRIDIAN", counts + word * number, word, message, "a count of an enabled periodic timer"


def _msr(path: str, raw: bytes, _: Entries, __: Areas) -> Iterator[Breach]:
    first, unit, element, _to_end = LISTS[path]["msrs"]
    for start in range(first, len(raw) - unit + 1, unit):
        index = _value(element, "index", raw, start)
        if index not in CONTEXT_MSRS:
            at, size = _place(element, "index")
            yield "LIBXC-HVMCTX-MSR", start + at, size, f"an MSR's index is {index:#x}", "an MSR that Xen sends so"


def _xsave(path: str, raw: bytes, walk: Entries, areas: Areas) -> Iterator[Breach]:
    at, _ = _place(path, "xcr0")
    yield from _area("LIBXC-HVMCTX-XSAVE", raw, at, walk.length, areas, exact=False)


# -- XSAVE ----------------------------------------------------------------------------------------------------


def _due(accum: int, areas: Areas) -> tuple[int, bool]:
    """Bytes of an area with these components, and whether that is known; `areas` are where components end."""
    due, known, ends = XSAVE_AREAS[0][1], True, {**dict(XSAVE_AREAS), **areas}
    for bit in range(_FIRST, accum.bit_length()):
        if accum >> bit & 1:
            known = known and bit in ends
            due = max(due, ends.get(bit, XSAVE_AREAS[-1][1]))
    return due, known


def _area(clause: str, raw: bytes, at: int, length: int, areas: Areas, exact: bool) -> Iterator[Breach]:
    """XCR0, what a guest has ever had on, and an area: each within what the one before says."""
    xcr0, accum = (int.from_bytes(raw[place : place + _XCR0], "little") for place in (at, at + _XCR0))
    begin = at + 2 * _XCR0
    if xcr0 & ~accum:
        yield clause, at, _XCR0, f"xcr0 is {xcr0:#x}, more than xcr0_accum {accum:#x}", f"within {accum:#x}"
    elif xcr0 and not xcr0 & 1:
        yield clause, at, _XCR0, f"xcr0 is {xcr0:#x}, without x87", "bit 0 (x87) set"
    if length == begin:
        if accum:
            yield clause, at + _XCR0, _XCR0, f"xcr0_accum is {accum:#x}, and there is no area", "0 without an area"
        return
    present = int.from_bytes(raw[begin + 512 : begin + 512 + _XCR0], "little")
    if present & ~accum:
        message = f"xstate_bv is {present:#x}, more than xcr0_accum {accum:#x}"
        yield clause, begin + 512, _XCR0, message, f"within {accum:#x}"
    due, known = _due(accum, areas)
    least = begin + due
    wrong = length < least or (known and exact and length != least)
    if wrong or (known and any(raw[least:])):
        message = f"the area has {length - begin} bytes, and xcr0_accum is {accum:#x}"
        yield clause, at + _XCR0, _XCR0, message, f"{'' if known else 'at least '}{due} bytes for that"


def _pv_xsave(raw: bytes, length: int, _: int, areas: Areas) -> Iterator[Breach]:
    if length >= 2 * _XCR0:
        yield from _area("LIBXC-VCPU-XSAVE", raw, 0, length, areas, exact=True)


def _extended(raw: bytes, length: int, number: int, _: Areas) -> Iterator[Breach]:
    """The context says itself whose it is and how long."""
    for at, name, due in ((0, "vcpu", number), (4, "size", length)):
        value = int.from_bytes(raw[at : at + 4], "little")
        if length >= at + 4 and value != due:
            yield "LIBXC-VCPU-EXT", at, 4, f"{name} in the context is {value}", str(due)


_MORE: dict[str, Callable[[str, bytes, Entries, Areas], Iterator[Breach]]] = {
    "CPU": _cpu,
    "PIC": _pic,
    "LAPIC": _lapic,
    "HPET": _hpet,
    "VIRIDIAN_VCPU": _viridian,
    "CPU_XSAVE": _xsave,
    "CPU_MSR": _msr,
}
_VCPU: dict[int, Callable[[bytes, int, int, Areas], Iterator[Breach]]] = {
    tables.LIBXC_X86_PV_VCPU_EXTENDED: _extended,
    tables.LIBXC_X86_PV_VCPU_XSAVE: _pv_xsave,
}
