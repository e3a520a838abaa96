"""Checks of what X86_PV_VCPU_BASIC holds: the frames that a vcpu names, and registers that savers lost."""

from __future__ import annotations

from struct import Struct

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..reader.events import Body, Record
    from ..reader.pump import Program
    from .layer import Checks as Layered
    from .libxc import Checks
    from .pv_memory import Memory

_WIDTHS = {size: width for width, size in tables.VCPU_CONTEXT_SIZES.items()}
_LEVELS = dict(tables.PV_COMBINATIONS)
_NARROWEST = min(tables.VCPU_CONTEXT_SIZES)
_CLAUSE = "LIBXC-VCPU-PFN"
# What a context names, as it is kept until all pages have come: frame, offset in the stream, level of the page table.
_NAMED = Struct("<QQB")
_PLAIN = 0


def context(checks: Checks, body: Body, number: int) -> Program:
    """Program that judges the context of vcpu `number`, and remembers the frames it names."""
    record, size = body.record, body.left
    width, memory = _WIDTHS.get(size), checks.memory
    # One of the other width has been reported for its length.
    if width is None or memory is None or memory.guest_width not in (width, None):
        return
    if not (yield from body.need(size)):
        return
    window = body.window
    raw = bytes(window.buf[window.lo : window.lo + size])
    registers(checks, record, raw, width, body.at)
    found = [_NAMED.pack(frame, body.at + place, level) for frame, place, level in named(raw, width, number)]
    memory.named[number] = b"".join(found)
    entries = gdt_entries(raw, width)
    if entries > tables.GDT_ENTRIES_MAX:
        at = body.at + tables.VCPU_CONTEXT_GDT_ENTS[width]
        message = f"vcpu {number} has a GDT of {entries:,} entries, the last ones of which are Xen's"
        expected = f"at most {tables.GDT_ENTRIES_MAX}"
        _report(checks, record, _CLAUSE, message, at, width, expected, entries)


def gdt_entries(raw: bytes, width: int) -> int:
    """Entries of the GDT, as a context says."""
    return _word(raw, tables.VCPU_CONTEXT_GDT_ENTS[width], width)


def _word(raw: bytes, place: int, width: int) -> int:
    """A context is the processor's own structure, whatever order the stream's integers have."""
    return int.from_bytes(raw[place : place + width], "little")


def _report(
    checks: Layered, record: Record, clause: str, message: str, at: int, length: int, expected: str, actual: object
) -> None:
    checks.context.report(
        clause, record, message, offset=at, length=length, field="context", expected=expected, actual=actual
    )


def registers(checks: Layered, record: Record, raw: bytes, width: int, at: int) -> None:
    """Registers that must not be as they are, or that some savers lost."""
    place = tables.VCPU_CONTEXT_EFLAGS.get(width)
    if place is not None and (flags := _word(raw, place, width)) & tables.EFLAGS_VM:
        message = f"eflags is {flags:#x}: the vcpu is in virtual-8086 mode"
        _report(checks, record, "LIBXC-VCPU-EFLAGS-VM", message, at + place, width, "bit 17 (VM) clear", f"{flags:#x}")
    if width not in tables.VCPU_CONTEXT_R8_R11 or record.layer.xen != tables.XEN_WITHOUT_R8:
        return
    spans = tables.VCPU_CONTEXT_R12_R15[width], tables.VCPU_CONTEXT_R8_R11[width]
    if not any(any(raw[start : start + size]) for start, size in spans):
        first, length = spans[0]
        message = "r8 to r15 are all zero: Xen 4.21.0 and 4.21.1 lost them when they saved a guest"
        _report(checks, record, "LIBXC-VCPU-R8", message, at + first, length, "registers", "zero")


def named(raw: bytes, width: int, number: int) -> Iterator[tuple[int, int, int]]:
    """The frames that a context names, where, and as page tables of which level."""
    levels, shift = _LEVELS[width], tables.PAGE_SHIFT
    place = tables.VCPU_CONTEXT_CR3[width]
    top = _word(raw, place, width)
    # A register of 32 bits has the frame's upper bits in its lowest, where the other has flags.
    high = (top & (1 << shift) - 1) << 8 * width - shift if width == _NARROWEST else 0
    yield top >> shift | high, place, levels
    if width in tables.VCPU_CONTEXT_CR1 and (second := _word(raw, place := tables.VCPU_CONTEXT_CR1[width], width)) & 1:
        yield second >> shift, place, levels
    if not number:
        place = tables.VCPU_CONTEXT_DX[width]
        yield _word(raw, place, width), place, _PLAIN
    entries = min(gdt_entries(raw, width), tables.GDT_ENTRIES_MAX)
    for frame in range(-(-entries // tables.GDT_FRAME_ENTRIES)):
        place = tables.VCPU_CONTEXT_GDT_FRAMES[width] + width * frame
        yield _word(raw, place, width), place, _PLAIN


def tops(memory: Memory) -> Iterator[tuple[int, int]]:
    """The frames of the top page tables that vcpus name, and their level."""
    for packed in memory.named.values():
        yield from ((frame, level) for frame, _, level in _NAMED.iter_unpack(packed) if level)


def named_frames(checks: Checks, memory: Memory, end: int) -> None:
    """Judge the frames that vcpus name, once all pages have come, of which `end` is the last."""
    if not end:
        return  # a guest of one page, which cannot be all that it would have to be
    for number, packed in sorted(memory.named.items()):
        for frame, at, level in _NAMED.iter_unpack(packed):
            kind = memory.pfns.type_of(frame) if frame <= end else None
            right = kind == tables.PAGE_TYPE_PLAIN if not level else tables.TABLE_LEVELS.get(kind or 0) == level
            if right or checks.context.findings.full(_CLAUSE, checks.layer, at):
                continue
            what = f"the top page table of vcpu {number}" if level else f"a page that vcpu {number} names"
            due = f"a page table of level {level}" if level else "an ordinary page"
            if frame > end:
                is_ = f"the guest's last is {end:#x}"
            else:
                is_ = "which never came" if kind is None else f"which came as {tables.PAGE_TYPES.get(kind)}"
            message = f"{what} is frame {frame:#x}, {is_}, expected {due}"
            checks.context.report(
                _CLAUSE, checks.layer, message, offset=at, field="context", expected=due, actual=f"frame {frame:#x}"
            )
