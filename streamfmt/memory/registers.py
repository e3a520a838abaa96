"""Registers of a guest's vcpus, as the states in its image have them, for a core file.

A PV guest's CR3 has the frame of its page tables in its own order, as all addresses of the memory are.
"""

from __future__ import annotations

from struct import Struct

from .. import tables
from ..reader.events import Body
from ..reader.hvm_context import Entries
from ..reader.qemu_sizes import size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from ..reader.events import Record
    from ..reader.pump import Program
    from .collected import Collected

    # Values by name, those of segments too: "cs" is a selector, "cs.base", "cs.limit" and "cs.flags" the rest.
    Registers: TypeAlias = dict[str, int]

# So many vcpus are followed, which is what Xen gives a PV guest at most.
VCPUS_MAX = 8192
_GENERAL = ("rax", "rbx", "rcx", "rdx", "rbp", "rsi", "rdi", "rsp", *(f"r{number}" for number in range(8, 16)))
_MORE = ("rip", "rflags")
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss")
# Fields of a CPU entry by what they are called here; where they lie is the declaration's.
_HVM = {
    **{name: name for name in (*_GENERAL, *_MORE, "cr0", "cr2", "cr3", "cr4")},
    **{name: f"{name}_sel" for name in (*_SEGMENTS, "tr", "ldtr")},
    **{f"{name}.flags": f"{name}_arbytes" for name in (*_SEGMENTS, "tr", "ldtr")},
    **{f"{name}.{word}": f"{name}_{word}" for word in ("limit", "base") for name in (*_SEGMENTS, "tr", "ldtr")},
    **{f"{name}.{word}": f"{name}r_{word}" for word in ("limit", "base") for name in ("idt", "gdt")},
    "gs.kernel": "shadow_gs",
}
# Those of a PV guest's context, by the width of the guest, and the list that has the control registers.
_CONTROL = "ctrlreg"
_PV = {
    8: {
        **{name: f"user_regs.{name}" for name in (*_GENERAL, *_MORE, *_SEGMENTS)},
        "fs.base": "fs_base",
        "gs.kernel": "gs_base_kernel",
        "gs.base": "gs_base_user",
    },
    4: {
        **{name: f"user_regs.e{name[1:]}" for name in (*_GENERAL[:8], *_MORE)},
        **{name: f"user_regs.{name}" for name in _SEGMENTS},
    },
}
_WIDTHS = {size: width for width, size in tables.VCPU_CONTEXT_SIZES.items()}


class Vcpus:
    """Follows the states of vcpus in the image of a collector; `registers` are the latest of each."""

    def __init__(self, collector: Collected) -> None:
        self.registers: dict[int, Registers] = {}
        self._collector = collector
        self._numbers: list[int] = []

    def __call__(self, record: Record) -> Program | None:
        """What reads a record of the image, if it has such a state."""
        path = f"{record.layer.row.alias or record.layer.name}.{record.name}"
        if path == "legacy.END_OF_BODY":
            self._numbers = []
        read = _READ.get(path)
        return read(self, Body(self._collector.window, record)) if read is not None else None

    def _hvm(self, body: Body) -> Program:
        from ..payload_tables import FORMS  # few commands need it

        forms = FORMS[f"hvm.{tables.HVM_TYPES[tables.HVM_CPU][0]}"]
        # In legacy streams its length stands before it.
        yield from body.take(tables.SIZES[body.record.path])
        entries = Entries(body)
        while (yield from entries.next()):
            size = min(entries.length, entries.left)
            if entries.kind == tables.HVM_CPU and size >= min(forms):
                # Releases have added to its end.
                size = max(it for it in forms if it <= size)
                data = yield from body.take(size)
                if len(data) == size:
                    self._add(entries.instance, _values(forms[size], _HVM, data))

    def _pv(self, body: Body) -> Program:
        number = int.from_bytes((yield from body.take(tables.SIZES[body.record.path])), body.record.layer.byte_order)
        yield from self._context(body, number & 0xFFFFFFFF)

    def _legacy(self, body: Body) -> Program:
        online = body.record.layer.facts.vcpus
        place = len(self._numbers)
        number = online[place] if place < len(online) else place
        self._numbers.append(number)
        yield from self._context(body, number)

    def _device(self, body: Body) -> Program:
        from ..payload_tables import QEMU_CPU, QEMU_CPU_FIELDS

        section = body.record.layer.facts.section
        name, version, size = QEMU_CPU
        if section.name != name or section.version != version:
            return
        yield from body.take(size_of("SECTION_FULL", len(name), 0))
        data = yield from body.take(size)
        if len(data) < size:
            return
        found: Registers = {}
        for field, (at, length) in QEMU_CPU_FIELDS.items():
            value = int.from_bytes(data[at : at + length], "big")
            # Flags as Xen has them: those of a descriptor's second word, without what is between them.
            found[field] = value >> 8 & 0xFF | value >> 12 & 0xF00 if field.endswith(".flags") else value
        self._add(section.instance, found)

    def _context(self, body: Body, number: int) -> Program:
        size = body.left
        width = _WIDTHS.get(size)
        if width is None or not (yield from body.need(size)):
            return
        from ..payload_tables import FORMS

        data = body.window.head(size)
        found = _values(FORMS["BASIC"][size], _PV[width], data) | _controls(FORMS["BASIC"][size], data)
        cr3 = found["cr3"]
        # Of a 32-bit guest the lowest bits are the highest of the frame (xen_cr3_to_pfn_x86).
        found["cr3"] = cr3 if width == max(_PV) else (cr3 >> 12 | (cr3 & 0xFFF) << 20) << 12
        self._add(number, found)

    def _add(self, number: int, registers: Registers) -> None:
        if len(self.registers) < VCPUS_MAX or number in self.registers:
            self.registers[number] = registers


# What reads a record that has such a state.
_READ: dict[str, Callable[[Vcpus, Body], Program]] = {
    "libxc.HVM_CONTEXT": Vcpus._hvm,
    "legacy.HVM_CONTEXT": Vcpus._hvm,
    "libxc.X86_PV_VCPU_BASIC": Vcpus._pv,
    "legacy.VCPU": Vcpus._legacy,
    "qemu.SECTION_FULL": Vcpus._device,
}


def _values(path: str, names: Mapping[str, str], data: bytes) -> Registers:
    """Fields of a payload, by what they are called here."""
    from ..payload_tables import FIELDS

    fields = FIELDS[path]
    return {
        name: int.from_bytes(data[(at := fields[field][0]) : at + fields[field][1]], "little")
        for name, field in names.items()
    }


def _controls(path: str, data: bytes) -> Registers:
    from ..payload_tables import LISTS

    first, unit, _, count = LISTS[path][_CONTROL]
    places = (first + unit * number for number in range(int(count)))
    return {f"cr{number}": int.from_bytes(data[at : at + unit], "little") for number, at in enumerate(places)}


# -- notes of a core file ------------------------------------------------------------------------------------------

# struct elf_prstatus of Linux for x86-64: what comes before the registers, which is 0 but for the number of the thread;
# they, in the order of struct user_regs_struct; and whether those of the FPU follow, which they do not.
_STATUS = Struct("<32xI76x27Q8x")
_ORDER = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi - rip cs rflags rsp ss fs.base gs.base ds es fs gs"
NT_PRSTATUS = 1
# The note that QEMU's dump-guest-memory writes for each vcpu (struct QEMUCPUState of version 1): it alone has control
# registers and the segments' bases.
_QEMU_HEAD, _QEMU_GENERAL = Struct("<II"), Struct("<18Q")
_QEMU_SEGMENT, _QEMU_END = Struct("<IIIIQ"), Struct("<5QQ")
_QEMU_ORDER = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags"
_QEMU_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "ldtr", "tr", "gdt", "idt")


def notes(vcpus: Mapping[int, Registers]) -> bytes:
    """The notes of an ELF core about these vcpus: NT_PRSTATUS of all, then QEMU's."""
    found = b""
    ordered = sorted(vcpus.items())
    for number, registers in ordered:
        found += _note(b"CORE", NT_PRSTATUS, _status(number, registers))
    for _, registers in ordered:
        found += _note(b"QEMU", 0, _qemu(registers))
    return found


def _note(name: bytes, kind: int, data: bytes) -> bytes:
    words = len(name) + 1, len(data), kind
    return b"".join((Struct("<3I").pack(*words), name.ljust(8, b"\0"), data, bytes(-len(data) % 4)))


def _status(number: int, registers: Registers) -> bytes:
    return _STATUS.pack(number + 1, *(registers.get(name, 0) for name in _ORDER.split()))


def _qemu(registers: Registers) -> bytes:
    get = registers.get
    general = _QEMU_GENERAL.pack(*(get(name, 0) for name in _QEMU_ORDER.split()))
    segments = b"".join(
        # Of their flags Xen keeps bits 8 to 15 and 20 to 23 of a descriptor's second word together.
        _QEMU_SEGMENT.pack(
            get(name, 0) & 0xFFFFFFFF,
            get(f"{name}.limit", 0),
            (flags := get(f"{name}.flags", 0)) << 8 & 0xFF00 | flags << 12 & 0xF00000,
            0,
            get(f"{name}.base", 0),
        )
        for name in _QEMU_SEGMENTS
    )
    end = _QEMU_END.pack(*(get(name, 0) for name in ("cr0", "cr1", "cr2", "cr3", "cr4", "gs.kernel")))
    size = _QEMU_HEAD.size + len(general) + len(segments) + len(end)
    return _QEMU_HEAD.pack(1, size) + general + segments + end
