"""What a PV guest's vcpu records hold: Xen's contexts of 32-bit and 64-bit guests, and the areas of the processor."""

from __future__ import annotations

from collections.abc import Iterator

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct
from construct.core import Construct

from . import payload_xsave
from .payload_words import FXSAVE, XEN_H, Payload, registers

_DOMCTL_H = "xen/include/public/domctl.h"


def _selector(name: str, width: int) -> Iterator[Construct]:
    """A segment register and what fills its word up."""
    yield name / Int16ul * f"Segment register {name}."
    yield f"reserved_{name}" / Bytes(width - 2) * "Padding."


_TRAP_32 = Struct(
    "vector" / Int8ul * "Vector; a table ends with one that has no address.",
    "flags" / Int8ul * "Bits 0 and 1: least privileged ring that may raise it; bit 2: interrupts are masked.",
    "cs" / Int16ul * "Code segment of its handler.",
    "address" / Int32ul * "Where its handler is.",
)
_TRAP_64 = Struct(
    "vector" / Int8ul * "Vector; a table ends with one that has no address.",
    "flags" / Int8ul * "Bits 0 and 1: least privileged ring that may raise it; bit 2: interrupts are masked.",
    "cs" / Int16ul * "Code segment of its handler.",
    "reserved" / Int32ul * "Padding.",
    "address" / Int64ul * "Where its handler is.",
)


def _tables(word: Construct) -> Iterator[Construct]:
    """Descriptor tables, stacks and control registers, words of the guest."""
    yield from registers(word, "The LDT: {}.", "ldt_base", "ldt_ents")
    yield "gdt_frames" / Array(16, word) * "Frames of the GDT."
    yield "gdt_ents" / word * "Entries of the GDT."
    yield from registers(word, "Stack of the guest's kernel: {}.", "kernel_ss", "kernel_sp")
    yield "ctrlreg" / Array(8, word) * "Control registers; 3 names the top page table, 1 that for user code."
    yield "debugreg" / Array(8, word) * "Debug registers."


CONTEXT_64 = Struct(
    "fpu_ctxt" / FXSAVE * "x87, MMX and SSE registers as FXSAVE stores them.",
    "flags" / Int64ul * "Flags (VGCF_*).",
    "user_regs"
    / Struct(
        *registers(Int64ul, "Register {}.", "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8"),
        *registers(Int64ul, "Register {}.", "rax", "rcx"),
        "rdx" / Int64ul * "Register rdx; in vcpu 0 the frame of start_info.",
        *registers(Int64ul, "Register {}.", "rsi", "rdi"),
        "error_code" / Int32ul * "Of the last exception; 0 since Xen 4.21.",
        "entry_vector" / Int32ul * "Of the last exception; 0 since Xen 4.21.",
        "rip" / Int64ul * "Register rip.",
        "cs" / Int16ul * "Segment register cs.",
        "reserved_cs" / Int16ul * "Padding.",
        "saved_upcall_mask" / Int8ul * "Whether events were masked; 0 since Xen 4.21.",
        "reserved_mask" / Bytes(3) * "Padding.",
        "rflags" / Int64ul * "Register rflags.",
        "rsp" / Int64ul * "Register rsp.",
        *(each for name in ("ss", "es", "ds", "fs", "gs") for each in _selector(name, 8)),
    )
    * "Registers.",
    "trap_ctxt" / Array(256, _TRAP_64) * "Handlers of traps.",
    *_tables(Int64ul),
    *registers(Int64ul, "Entry point: {}.", "event_callback_eip", "failsafe_callback_eip", "syscall_callback_eip"),
    "vm_assist" / Int64ul * "Assists that the guest has on.",
    *registers(Int64ul, "Segment base: {}.", "fs_base", "gs_base_kernel", "gs_base_user"),
)
CONTEXT_32 = Struct(
    "fpu_ctxt" / FXSAVE * "x87, MMX and SSE registers as FXSAVE stores them.",
    "flags" / Int32ul * "Flags (VGCF_*).",
    "user_regs"
    / Struct(
        *registers(Int32ul, "Register {}.", "ebx", "ecx"),
        "edx" / Int32ul * "Register edx; in vcpu 0 the frame of start_info.",
        *registers(Int32ul, "Register {}.", "esi", "edi", "ebp", "eax"),
        "error_code" / Int16ul * "Of the last exception; 0 since Xen 4.21.",
        "entry_vector" / Int16ul * "Of the last exception; 0 since Xen 4.21.",
        "eip" / Int32ul * "Register eip.",
        "cs" / Int16ul * "Segment register cs.",
        "saved_upcall_mask" / Int8ul * "Whether events were masked; 0 since Xen 4.21.",
        "reserved_mask" / Int8ul * "Padding.",
        "eflags" / Int32ul * "Register eflags.",
        "esp" / Int32ul * "Register esp.",
        *(each for name in ("ss", "es", "ds", "fs", "gs") for each in _selector(name, 4)),
    )
    * "Registers.",
    "trap_ctxt" / Array(256, _TRAP_32) * "Handlers of traps.",
    *_tables(Int32ul),
    *registers(Int32ul, "Entry point: {}.", "event_callback_cs", "event_callback_eip"),
    *registers(Int32ul, "Entry point: {}.", "failsafe_callback_cs", "failsafe_callback_eip"),
    "vm_assist" / Int32ul * "Assists that the guest has on.",
)

_EXTENDED: tuple[Construct, ...] = (
    "vcpu" / Int32ul * "Which vcpu it belongs to, as the record says.",
    "size" / Int32ul * "Bytes of it that say something.",
    *registers(Int64ul, "Entry point: {}.", "syscall32_callback_eip", "sysenter_callback_eip"),
    *registers(Int16ul, "Segment of an entry point: {}.", "syscall32_callback_cs", "sysenter_callback_cs"),
    *registers(Int8ul, "Whether events are masked there: {}.", "syscall32_disables_events", "sysenter_disables_events"),
    "pad" / Int16ul * "Padding.",
)
_VMCE = "Machine check register: {}."

CONTEXTS = (
    Payload(
        "pv.VCPU_64",
        "Registers of a 64-bit guest's vcpu; frame numbers stand for machine addresses.",
        f"{XEN_H}, struct vcpu_guest_context; xen/include/public/arch-x86/xen-x86_64.h",
        CONTEXT_64,
        CONTEXT_64.sizeof(),
    ),
    Payload(
        "pv.VCPU_32",
        "Registers of a 32-bit guest's vcpu; frame numbers stand for machine addresses.",
        f"{XEN_H}, struct vcpu_guest_context; xen/include/public/arch-x86/xen-x86_32.h",
        CONTEXT_32,
        CONTEXT_32.sizeof(),
    ),
)
EXTENDED = (
    Payload(
        "pv.EXTENDED",
        "What a vcpu has beside its registers.",
        f"{_DOMCTL_H}, struct xen_domctl_ext_vcpucontext",
        Struct(*_EXTENDED, *registers(Int64ul, _VMCE, "caps", "mci_ctl2_bank0", "mci_ctl2_bank1", "mcg_ext_ctl")),
        64,
        "4.10-",
    ),
    Payload(
        "pv.EXTENDED_56",
        "The same without MCG_EXT_CTL.",
        f"{_DOMCTL_H} of 4.9, struct xen_domctl_ext_vcpucontext",
        Struct(*_EXTENDED, *registers(Int64ul, _VMCE, "caps", "mci_ctl2_bank0", "mci_ctl2_bank1")),
        56,
        "4.3-4.9",
    ),
    Payload(
        "pv.EXTENDED_40",
        "The same with nothing but MCG_CAP.",
        f"{_DOMCTL_H} of 4.2, struct xen_domctl_ext_vcpucontext",
        Struct(*_EXTENDED, *registers(Int64ul, _VMCE, "caps")),
        40,
        "4.2",
    ),
    Payload(
        "pv.EXTENDED_32",
        "The same without machine check state.",
        f"{_DOMCTL_H} of 4.1, struct xen_domctl_ext_vcpucontext",
        Struct(*_EXTENDED),
        32,
        "4.0-4.1",
    ),
)
_XCR0_FIELDS = (
    "xcr0" / Int64ul * "XCR0 of the guest.",
    "xcr0_accum" / Int64ul * "Components that the guest has ever had on.",
)
XSAVE = (
    *payload_xsave.payloads(
        "pv.XSAVE",
        "Extended state of a vcpu.",
        "tools/libs/guest/xg_sr_save_x86_pv.c write_one_vcpu_xsave",
        _XCR0_FIELDS,
    ),
    Payload(
        "pv.XSAVE_16",
        "The same of a vcpu that has used none.",
        "tools/libs/guest/xg_sr_restore_x86_pv.c, xen commit 0729830cc4",
        Struct(*_XCR0_FIELDS),
        16,
    ),
)
