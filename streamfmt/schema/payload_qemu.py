"""The section "cpu" of QEMU's stream: a vcpu of an x86-64 guest, by the names that a core file's registers have here.

Integers are big-endian.  Source: QEMU target/i386/machine.c, vmstate_x86_cpu and vmstate_segment; the descriptions in
streams of 5.2 to 11.1 have the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from construct import Array, Bytes, Int16ub, Int32ub, Int64ub, Struct
from construct.core import Construct

NAME, VERSION = b"cpu", 12
_GENERAL = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip rflags"


def _segments(names: str) -> Iterator[Construct]:
    for name in names.split():
        yield name / Int32ub
        yield f"{name}.base" / Int64ub
        yield f"{name}.limit" / Int32ub
        yield f"{name}.flags" / Int32ub


# A section of 32 bits is shorter; one may go on with subsections.
CPU = Struct(
    *(name / Int64ub for name in _GENERAL.split()),
    "hflags" / Int32ub,
    "fpu_words" / Array(4, Int16ub),
    "fpu" / Array(8, Bytes(10)),
    *_segments("es cs ss ds fs gs ldtr tr gdt idt"),
    "sysenter_cs" / Int32ub,
    *(name / Int64ub for name in ("sysenter_esp", "sysenter_eip", "cr0", "cr2", "cr3", "cr4")),
    "dr" / Array(8, Int64ub),
    "a20_mask" / Int32ub,
    "mxcsr" / Int32ub,
    "xmm" / Array(16, Bytes(16)),
    *(name / Int64ub for name in ("efer", "star", "lstar", "cstar", "fmask", "gs.kernel")),
    "more" / Bytes(953),
)


def facts() -> dict[str, Any]:
    """The section's name, version and least length, and where its integers lie, with their sizes."""
    places: dict[str, tuple[int, int]] = {}
    at = 0
    for row in CPU.subcons:
        if row.subcon in (Int32ub, Int64ub):
            places[row.name] = at, row.sizeof()
        at += row.sizeof()
    return {"QEMU_CPU": (NAME, VERSION, at), "QEMU_CPU_FIELDS": places}
