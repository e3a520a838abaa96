"""What is replaced in the bodies of records, by their paths: stretches with what comes into their place.

Registers that hold what a program computed are replaced, those that say how the processor runs are not; of device
models' states the header and the end stay.  What rules look at is kept by who asks, not here.
"""

from __future__ import annotations

from struct import Struct, unpack_from

from .. import tables
from ..reader.events import ENTRY, PAGE, PAGE_FIXED
from ..reader.qemu_inside import frames
from . import scrub_qemu
from .scrub_text import pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..io.spans import Span
    from ..reader.events import Record
    from .scrub_overlay import Row

# Bodies that are looked into are no longer; of longer ones all becomes zeros.
_MOST = 16 << 20
# How much of a device model's state, and of what is like it, says what it is.
_HEAD = 8
# Where Xen's vcpu contexts have registers that programs compute with, by their size: FPU state, and others with the
# size of each (xen/include/public/arch-x86/xen-x86_64.h, xen-x86_32.h); edx and rdx stay, which name a frame.
_FPU = 512
_REGISTERS = {
    size: [at for at in range(first, last, unit) if at != tables.VCPU_CONTEXT_DX[unit]]
    for unit, size in tables.VCPU_CONTEXT_SIZES.items()
    for first, last in [(516, 544) if unit == ENTRY // 2 else (520, 640)]
}
_UNITS = {size: unit for unit, size in tables.VCPU_CONTEXT_SIZES.items()}
# Of an HVM vcpu's entry: FPU state, then 16 registers (xen/include/public/arch-x86/hvm/save.h, hvm_hw_cpu).
_HVM_REGISTERS = 16 * 8
_XSAVE_MASKS, _XSAVE_HEADER, _XSAVE_CONTROL = 16, (512, 576), (24, 32)
_ENTRY = Struct("<" + tables.FORMATS["libxc.HVM_CONTEXT.context"])
_CPU = tables.HVM_CPU
_XSAVE = next(kind for kind, row in tables.HVM_TYPES.items() if row[0] == "CPU_XSAVE")


def page_stretches(span: Span, record: Record, size: int, keep_tables: bool) -> list[tuple[int, int]]:
    """Where a batch has contents of pages, by its entries; of one whose entries do not fit, all after them."""
    stop = min(record.end, size)
    if record.layer.row.alias:
        count = int.from_bytes(span.read(record.body, 4), "little")
        first = record.body + 4 + record.layer.facts.word * count
        return [(min(first, stop), stop)]
    order = record.layer.order
    raw = span.read(record.body, PAGE_FIXED)
    count = unpack_from(order + "I", raw)[0] if len(raw) == PAGE_FIXED else 0
    first = record.body + PAGE_FIXED + ENTRY * count
    if first >= stop or not keep_tables or count > 4 * tables.BATCH_MAX:
        return [(min(first, stop), stop)]
    entries = unpack_from(f"{order}{count}Q", span.read(record.body + PAGE_FIXED, ENTRY * count))
    found, at = [], first
    for kind in (entry >> tables.ENTRY_TYPE_SHIFT for entry in entries):
        if kind in tables.PAGE_TYPES_DATA:
            if kind not in tables.PAGE_TYPES_TABLE:
                found.append((at, min(at + PAGE, stop)))
            at += PAGE
    return [(start, last) for start, last in [*found, (at, stop)] if start < last]


def _zeros(span: Span, record: Record, stop: int) -> list[Row]:
    return [(record.body, stop, None)]


def _other(raw: bytes) -> bytes:
    """Zero if it is that, else ones: rules tell the two apart."""
    return b"\x01" * len(raw) if any(raw) else raw


def _context(at: int, body: bytes) -> Iterator[Row]:
    """Of a PV vcpu's context."""
    if len(body) in _REGISTERS:
        unit = _UNITS[len(body)]
        yield at, at + _FPU, None
        for place in _REGISTERS[len(body)]:
            yield at + place, at + place + unit, _other(body[place : place + unit])


def _vcpu(skip: int) -> Callable[[Span, Record, int], list[Row]]:
    def rows(span: Span, record: Record, stop: int) -> list[Row]:
        at = record.body + skip
        return list(_context(at, span.read(at, min(stop - at, _MOST)))) if at < stop else []

    return rows


def _area(at: int, length: int) -> list[Row]:
    """Of an XSAVE area: all but how the FPU is set, and which states there are."""
    keep = [_XSAVE_CONTROL, _XSAVE_HEADER, (length, length)]
    found: list[Row] = []
    start = 0
    for first, last in keep:
        if min(first, length) > start:
            found.append((at + start, at + min(first, length), None))
        start = last
    return found


def _xsave(span: Span, record: Record, stop: int) -> list[Row]:
    at = record.body + tables.SIZES[record.path] + _XSAVE_MASKS
    return _area(at, stop - at) if at < stop else []


def _hvm(skip: int) -> Callable[[Span, Record, int], list[Row]]:
    def rows(span: Span, record: Record, stop: int) -> list[Row]:
        body = span.read(record.body, min(stop - record.body, _MOST))
        found: list[Row] = []
        at = skip
        while at + _ENTRY.size <= len(body):
            kind, _, length = _ENTRY.unpack_from(body, at)
            at += _ENTRY.size
            start, last = record.body + at, record.body + min(at + length, len(body))
            if kind == _CPU:
                found.append((start, min(start + _FPU, last), None))
                registers = body[at + _FPU : at + min(_FPU + _HVM_REGISTERS, length)]
                found.append((start + _FPU, start + _FPU + len(registers), _other(registers)))
            elif kind == _XSAVE:
                found += _area(start + _XSAVE_MASKS, last - start - _XSAVE_MASKS)
            at += length
        # What no entry is, and what follows the last.
        return [row for row in found if row[0] < row[1]]

    return rows


def _state(skip: int) -> Callable[[Span, Record, int], list[Row]]:
    def rows(span: Span, record: Record, stop: int) -> list[Row]:
        """A device model's state, or firmware's: all but how it begins, and its last byte."""
        start = record.body + skip + _HEAD
        return [(start, stop - 1, None), (stop - 1, stop, None)] if start < stop else []

    return rows


def _devices(span: Span, record: Record, stop: int) -> list[Row]:
    """What the sections hold of a record of QEMU's devices, after fixed fields; what the sections are stays."""
    skip = tables.SIZES[record.path]
    start = record.body + skip
    raw = span.read(start, max(min(stop - start, _MOST), 0))
    if not raw.startswith(tables.QEMU_MAGIC):
        return _state(skip)(span, record, stop)
    found: list[Row] = []
    end = start + _HEAD
    for frame, _, _ in frames(record.layer, start, raw):
        end = min(frame.end, stop)
        if frame.path in scrub_qemu.BODIES:
            found += scrub_qemu.BODIES[frame.path](span, frame, end)
    return [row for row in [*found, (end, stop, None)] if row[0] < row[1]]


def _pairs(span: Span, record: Record, stop: int) -> list[Row]:
    at = record.body + tables.SIZES[record.path]
    old = span.read(at, max(min(stop - at, _MOST), 0))
    found: list[Row] = [(at, at + len(old), pairs(old))]
    if at + len(old) < stop:
        found.append((at + len(old), stop, None))
    return found


def _base64(span: Span, record: Record, stop: int) -> list[Row]:
    old = span.read(record.body, min(stop - record.body, _MOST))
    return [(record.body, record.body + len(old), bytes(byte if byte in b"=\r\n" else 65 for byte in old))]


def _extended(span: Span, record: Record, stop: int) -> list[Row]:
    """Of a legacy stream's extended information: the registers in its block for vcpu 0."""
    body = span.read(record.body, min(stop - record.body, _MOST))
    place = body.find(tables.LEGACY_VCPU_TAG)
    if place < 0 or place + 8 > len(body):
        return []
    size = int.from_bytes(body[place + 4 : place + 8], "little")
    return list(_context(record.body + place + 8, body[place + 8 : place + 8 + size]))


BODIES: dict[str, Callable[[Span, Record, int], list[Row]]] = {
    "libxc.X86_PV_VCPU_BASIC": _vcpu(8),
    "libxc.X86_PV_VCPU_XSAVE": _xsave,
    "libxc.SHARED_INFO": _zeros,
    "libxc.TOOLSTACK": _zeros,
    "libxc.HVM_CONTEXT": _hvm(0),
    "libxl.EMULATOR_XENSTORE_DATA": _pairs,
    "libxl.EMULATOR_CONTEXT": _devices,
    "xapi.QEMU_TRAD": _devices,
    "xapi.QEMU_XEN": _devices,
    "xapi.VARSTORED": _state(0),
    "xapi.SWTPM0": _base64,
    "xapi.SWTPM": _base64,
} | {
    f"{layer}.{name}": rows
    for layer in ("legacy-64", "legacy-32")
    for name, rows in {
        "EXTENDED_INFO": _extended,
        "VCPU": _vcpu(0),
        "VCPU_XSAVE": _state(24),
        "SHARED_INFO": _zeros,
        "HVM_CONTEXT": _hvm(4),
        "TMEM_PAGE_0": _state(24),
        "TMEM_PAGE_1": _state(40),
        "QEMU_TO_END": _state(0),
        "QEMU_STATE": _state(24),
        "QEMU_0002": _devices,
        "QEMU_REMUS": _devices,
        "QEMU_XAPI": _devices,
    }.items()
}
BODIES |= scrub_qemu.BODIES
