"""KVM's interface to user space, as tables: requests, structures, exits.

Their source is Linux, include/uapi/linux/kvm.h and arch/x86/include/uapi/asm/kvm.h.  Everything is little-endian.
Requests go through `fcntl.ioctl` with a mutable buffer, whose integer argument is a signed 32-bit one; so addresses
are passed inside structures.
"""

from __future__ import annotations

import ctypes
import fcntl
import struct
from dataclasses import dataclass

VERSION = 12  # KVM_GET_API_VERSION, forever

# Requests without a structure: the argument is a number.
GET_API_VERSION, CREATE_VM, CHECK_EXTENSION, GET_VCPU_MMAP_SIZE = 0xAE00, 0xAE01, 0xAE03, 0xAE04
CREATE_VCPU, SET_TSS_ADDR, CREATE_IRQCHIP, RUN, NMI = 0xAE41, 0xAE47, 0xAE60, 0xAE80, 0xAE9A
SET_TSC_KHZ, GET_TSC_KHZ = 0xAEA2, 0xAEA3
# Requests with one.
GET_SUPPORTED_CPUID, GET_MSR_INDEX_LIST = 0xC008AE05, 0xC004AE02
SET_USER_MEMORY_REGION, GET_DIRTY_LOG, SET_IDENTITY_MAP_ADDR = 0x4020AE46, 0x4010AE42, 0x4008AE48
CREATE_PIT2, SET_CPUID2, GET_MSRS, SET_MSRS = 0x4040AE77, 0x4008AE90, 0xC008AE88, 0x4008AE89

MEM_LOG_DIRTY_PAGES = 1
MEMORY_REGION = struct.Struct("<IIQQQ")  # slot, flags, guest's address, bytes, ours
DIRTY_LOG = struct.Struct("<IIQ")  # slot, padding, address of the bitmap
MSRS, MSR = struct.Struct("<II"), struct.Struct("<IIQ")  # how many, padding; index, reserved, value
CPUID, CPUID_ENTRY = struct.Struct("<II"), struct.Struct("<IIIIIII12x")  # leaf, subleaf, flags, eax, ebx, ecx, edx

# What is asked of CHECK_EXTENSION: without the first, a guest cannot be made; capabilities are KVM_CAP_*.
NEEDED = {"an interrupt controller in the kernel": 0, "its interval timer": 33, "memory of ours": 3}
CAP_IMMEDIATE_EXIT, CAP_MAX_VCPUS, CAP_XSAVE2, CAP_TSC_CONTROL = 136, 66, 208, 60


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a machine's state: what reads and what writes it, and its bytes.

    `select` is what its structure must begin with when it is read: the number of the chip.
    """

    name: str
    read: int
    write: int
    size: int
    select: int | None = None


# Of a vcpu, in the order in which they are written: those after may depend on those before (CR4 and EFER decide what
# XCR0 and XSAVE may be, the local APIC's mode is in SREGS; events come last, since all before may alter them).
VCPU = (
    Piece("regs", 0x8090AE81, 0x4090AE82, 144),
    Piece("sregs", 0x8138AE83, 0x4138AE84, 312),
    Piece("xcrs", 0x8188AEA6, 0x4188AEA7, 392),
    Piece("xsave", 0x9000AEA4, 0x5000AEA5, 4096),
    Piece("debugregs", 0x8080AEA1, 0x4080AEA2, 128),
    Piece("lapic", 0x8400AE8E, 0x4400AE8F, 1024),
    Piece("mp_state", 0x8004AE98, 0x4004AE99, 4),
    Piece("events", 0x8040AE9F, 0x4040AEA0, 64),
)
# Of a machine.
MACHINE = (
    Piece("pic_master", 0xC208AE62, 0x8208AE63, 520, 0),
    Piece("pic_slave", 0xC208AE62, 0x8208AE63, 520, 1),
    Piece("ioapic", 0xC208AE62, 0x8208AE63, 520, 2),
    Piece("pit", 0x8070AE9F, 0x4070AEA0, 112),
)
CHIP = 8  # where the chip's own structure begins in those of the first three

# struct kvm_regs and kvm_sregs: names in order.  All of the first are 64-bit.
REGS = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp",
    *(f"r{number}" for number in range(8, 16)),
    "rip", "rflags",
)  # fmt: skip
REGS_FORM = struct.Struct(f"<{len(REGS)}Q")
SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr")
SEGMENT_FIELDS = ("base", "limit", "sel", "type", "present", "dpl", "db", "s", "l", "g", "avl", "unusable")
SEGMENT_FORM = struct.Struct("<QIH9Bx")
TABLES = ("gdtr", "idtr")
TABLE_FORM = struct.Struct("<QH6x")  # base, limit
CONTROLS = ("cr0", "cr2", "cr3", "cr4", "cr8", "efer", "apic_base")
CONTROLS_FORM = struct.Struct(f"<{len(CONTROLS)}Q")
INTERRUPTS_FORM = struct.Struct("<4Q")  # the vector that was injected and not delivered, a bit each
SREGS_TABLES = len(SEGMENTS) * SEGMENT_FORM.size
SREGS_CONTROLS = SREGS_TABLES + len(TABLES) * TABLE_FORM.size
SREGS_INTERRUPTS = SREGS_CONTROLS + CONTROLS_FORM.size
# struct kvm_vcpu_events.
EVENTS = (
    "exception_injected", "exception_nr", "exception_has_error_code", "exception_pending", "exception_error_code",
    "interrupt_injected", "interrupt_nr", "interrupt_soft", "interrupt_shadow",
    "nmi_injected", "nmi_pending", "nmi_masked", "sipi_vector", "flags",
    "smi_smm", "smi_pending", "smi_inside_nmi", "smi_latched_init", "triple_fault_pending",
    "exception_has_payload", "exception_payload",
)  # fmt: skip
EVENTS_FORM = struct.Struct("<4BI4B3BxII4BB26xBQ")
# Which of them are to be taken over: NMI, SIPI, shadow, SMM (KVM_VCPUEVENT_VALID_*).
EVENTS_VALID = 0x1 | 0x2 | 0x4 | 0x8
DEBUGREGS = ("dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
DEBUGREGS_FORM = struct.Struct("<6Q")
XCRS_FORM = struct.Struct("<IIIIQ")  # how many, flags; index, reserved, value of the first: XCR0
# struct kvm_pic_state, kvm_ioapic_state, kvm_pit_state2.
PIC = (
    "last_irr", "irr", "imr", "isr", "priority_add", "irq_base", "read_reg_select", "poll", "special_mask",
    "init_state", "auto_eoi", "rotate_on_auto_eoi", "special_fully_nested_mode", "init4", "elcr", "elcr_mask",
)  # fmt: skip
PIC_FORM = struct.Struct("<16B")
IOAPIC_PINS = 24
IOAPIC_FORM = struct.Struct(f"<QIIII{IOAPIC_PINS}Q")  # base_address, ioregsel, id, irr, padding, redirtbl
PIT_CHANNEL = (
    "count", "latched_count", "count_latched", "status_latched", "status", "read_state", "write_state", "write_latch",
    "rw_mode", "mode", "bcd", "gate", "count_load_time",
)  # fmt: skip
PIT_CHANNEL_FORM = struct.Struct("<IH10Bq")
PIT_CHANNELS = 3
PIT_FLAGS = PIT_CHANNELS * PIT_CHANNEL_FORM.size
PIT_FLAGS_FORM = struct.Struct("<I")
PIT_SPEAKER_ON = 2  # KVM_PIT_FLAGS_SPEAKER_DATA_ON

# mp_state: KVM_MP_STATE_*.
RUNNABLE, UNINITIALIZED, INIT_RECEIVED, HALTED, SIPI_RECEIVED = range(5)

# struct kvm_run: what asks for an exit, and what an exit says.
RUN_IMMEDIATE_EXIT, RUN_EXIT_REASON, RUN_EXIT = 1, 8, 32
EXIT_IO, EXIT_HLT, EXIT_MMIO, EXIT_SHUTDOWN, EXIT_INTR = 2, 5, 6, 8, 10
IO = struct.Struct("<BBHIQ")  # direction, bytes, port, count, where the data is in the run area
IO_IN = 0
MMIO = struct.Struct("<Q8sIB")  # address, data, bytes, whether it is a write
MMIO_DATA = 8
# Exits after which a machine does not go on, in words.
FATAL = {
    1: "an exception",
    8: "a triple fault",
    9: "its entry failed",
    17: "an internal error of KVM",
    0: "an unknown exit",
}


def read(descriptor: int, piece: Piece) -> bytes:
    """A piece of a state, as it is.  Raises OSError."""
    buffer = bytearray(piece.size)
    if piece.select is not None:
        buffer[0] = piece.select
    fcntl.ioctl(descriptor, piece.read, buffer)
    return bytes(buffer)


def write(descriptor: int, piece: Piece, data: bytes) -> None:
    """Set a piece of a state.  Raises OSError."""
    fcntl.ioctl(descriptor, piece.write, bytearray(data))


def supported_cpuid(descriptor: int) -> bytes:
    """What this KVM can give vcpus as CPUID, as SET_CPUID2 takes it."""
    most = 256
    buffer = bytearray(CPUID.pack(most, 0)) + bytearray(most * CPUID_ENTRY.size)
    fcntl.ioctl(descriptor, GET_SUPPORTED_CPUID, buffer)
    count, _ = CPUID.unpack_from(buffer)
    return bytes(buffer[: CPUID.size + count * CPUID_ENTRY.size])


def msr_indices(descriptor: int) -> list[int]:
    """The MSRs that are part of a vcpu's state here."""
    most = 1024
    buffer = bytearray(struct.pack("<I", most)) + bytearray(4 * most)
    fcntl.ioctl(descriptor, GET_MSR_INDEX_LIST, buffer)
    (count,) = struct.unpack_from("<I", buffer)
    return list(struct.unpack_from(f"<{count}I", buffer, 4))


def get_msrs(vcpu: int, indices: list[int]) -> dict[int, int]:
    """The values of these MSRs; one that cannot be read is left out."""
    found: dict[int, int] = {}
    left = indices
    while left:
        buffer = bytearray(MSRS.pack(len(left), 0) + b"".join(MSR.pack(index, 0, 0) for index in left))
        done = fcntl.ioctl(vcpu, GET_MSRS, buffer)
        found.update((index, value) for index, _, value in MSR.iter_unpack(buffer[MSRS.size :][: done * MSR.size]))
        left = left[done + 1 :]  # the one at which it stopped cannot be read
    return found


def set_msrs(vcpu: int, values: dict[int, int]) -> list[int]:
    """Set MSRs; returns those that this KVM does not take."""
    refused: list[int] = []
    left = list(values.items())
    while left:
        buffer = bytearray(MSRS.pack(len(left), 0) + b"".join(MSR.pack(index, 0, value) for index, value in left))
        done = fcntl.ioctl(vcpu, SET_MSRS, buffer)
        refused += [index for index, _ in left[done : done + 1]]
        left = left[done + 1 :]
    return refused


def address(buffer: bytearray) -> int:
    """Where a buffer is, for a structure that points to it; it must not be resized meanwhile."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
