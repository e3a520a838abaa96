"""HVM context (what the libxc record HVM_CONTEXT carries): framing, entry types and their lengths; HVM parameters.

Source: Xen's xen/include/public/arch-x86/hvm/save.h and xen/include/public/hvm/params.h.
What an entry holds is declared beside: hvm_cpu, hvm_interrupts, hvm_timers and hvm_system.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Bytes, GreedyRange, Int16ul, Int32ul, Struct, this

CONTEXT = GreedyRange(
    Struct(
        "typecode" / Int16ul * "What the entry holds.",
        "instance" / Int16ul * "Which vcpu or device; 0 where there is only one.",
        "length" / Int32ul * "Octets of data that follow.",
        "data" / Bytes(this.length) * "The entry, as Xen's structure lays it out.",
    )
)
CONTEXT_SOURCE = "xen/include/public/arch-x86/hvm/save.h, struct hvm_save_descriptor"


@dataclass(frozen=True, slots=True)
class ContextType:
    """One entry type: its lengths by release, oldest first, or for variable ones the least length and the unit."""

    code: int
    name: str
    lengths: tuple[int, ...]
    unit: int = 0
    history: str = ""
    counted: bool = False
    instances: int = 1


# Vcpus that an HVM guest has at most (HVM_MAX_VCPUS in xen/include/public/hvm/hvm_info_table.h), in all releases.
_VCPUS = 128
# A `unit` makes the length least + n * unit, where `lengths` holds the least; a `counted` entry begins with the
# number of its units, 32 bits.  There are `instances` of what an entry is about; where it is one, loaders do not look
# at its number.  Codes 22 to 34 are kept for a downstream user and unknown to every released Xen.
CONTEXT_TYPES = (
    ContextType(0, "END", (0,)),
    ContextType(1, "HEADER", (24,)),
    ContextType(2, "CPU", (1016, 1024, 1032), history="1016 before 3.4, 1024 to 4.6, 1032 since 4.7", instances=_VCPUS),
    ContextType(3, "PIC", (8,), instances=2),
    ContextType(4, "IOAPIC", (400,)),
    ContextType(
        5,
        "LAPIC",
        (16, 24, 32),
        history="16 to 4.0, 24 since 4.1, 32 since 4.18.5, 4.19.2, 4.20.1 and 4.21",
        instances=_VCPUS,
    ),
    ContextType(6, "LAPIC_REGS", (1024,), instances=_VCPUS),
    ContextType(7, "PCI_IRQ", (16,)),
    ContextType(8, "ISA_IRQ", (8,)),
    ContextType(9, "PCI_LINK", (8,)),
    ContextType(10, "PIT", (56,)),
    ContextType(11, "RTC", (16, 24), history="16 to 4.13, 24 since 4.14"),
    ContextType(12, "HPET", (1048,)),
    ContextType(13, "PMTIMER", (8,)),
    ContextType(14, "MTRR", (240,), instances=_VCPUS),
    ContextType(15, "VIRIDIAN_DOMAIN", (16, 24, 32), history="16 to 4.4, 24 in 4.5, 32 since 4.6"),
    ContextType(16, "CPU_XSAVE", (600,), unit=1, history="24 octets and the XSAVE area", instances=_VCPUS),
    ContextType(17, "VIRIDIAN_VCPU", (8, 16, 216), history="8 to 4.6, 16 to 4.12, 216 since 4.13", instances=_VCPUS),
    ContextType(18, "VMCE_VCPU", (8, 24, 32), history="8 in 4.2, 24 to 4.9, 32 since 4.10", instances=_VCPUS),
    ContextType(19, "TSC_ADJUST", (8,), instances=_VCPUS),
    ContextType(20, "CPU_MSR", (24,), unit=16, history="8 octets and 16 for each MSR", counted=True, instances=_VCPUS),
)
_TYPES = {row.name: row for row in CONTEXT_TYPES}
END_TYPE, HEADER_TYPE, CPU_TYPE = _TYPES["END"].code, _TYPES["HEADER"].code, _TYPES["CPU"].code
# HVM_FILE_MAGIC and HVM_FILE_VERSION, with which a header's entry begins.  Xen refuses a context without them.
MAGIC, VERSION = 0x54381286, 1
_HEADER_SIZE = _TYPES["HEADER"].lengths[0]
HEADER_BEGINS = MAGIC.to_bytes(4, "little") + VERSION.to_bytes(4, "little")
# What its entry holds: these, no changeset, and cpuid, TSC frequency and spare of 0 (struct hvm_save_header).
HEADER_DATA = (HEADER_BEGINS + b"\xff" * 8).ljust(_HEADER_SIZE, b"\0")
# How a context begins as far as the magic number.
BEGINS = CONTEXT.build([{"typecode": HEADER_TYPE, "instance": 0, "length": _HEADER_SIZE, "data": HEADER_DATA}])[
    : 4 - _HEADER_SIZE
]

# What is not 0 in a machine that has just been reset, by the fields of an entry (Intel SDM volume 3, section 10.1.1).
_FLAT = {f"{name}_limit": 0xFFFF for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr", "idtr", "gdtr")}
RESET: dict[str, dict[str, int]] = {
    "CPU": {
        "fpu_regs.fcw": 0x40,
        "fpu_regs.mxcsr": 0x1F80,
        "rdx": 0x600,
        "rip": 0xFFF0,
        "rflags": 2,
        "cr0": 0x60000010,
        "dr6": 0xFFFF0FF0,
        "dr7": 0x400,
        "cs_sel": 0xF000,
        "cs_base": 0xFFFF0000,
        **_FLAT,
        "cs_arbytes": 0x9B,
        **{f"{name}_arbytes": 0x93 for name in ("ds", "es", "fs", "gs", "ss")},
        "tr_arbytes": 0x8B,
        "ldtr_arbytes": 0x82,
    },
    "PIC": {"modes.is_master": 1},
}
# Whose other instances differ: a PC's second interrupt controller is the slave.
RESET_FIRST = ("PIC",)

# HVM_PARAM_*; numbers missing here were never given out on x86.
PARAMS = {
    "CALLBACK_IRQ": 0,
    "STORE_PFN": 1,
    "STORE_EVTCHN": 2,
    "PAE_ENABLED": 4,
    "IOREQ_PFN": 5,
    "BUFIOREQ_PFN": 6,
    "VIRIDIAN": 9,
    "TIMER_MODE": 10,
    "HPET_ENABLED": 11,
    "IDENT_PT": 12,
    "DM_DOMAIN": 13,
    "ACPI_S_STATE": 14,
    "VM86_TSS": 15,
    "VPT_ALIGN": 16,
    "CONSOLE_PFN": 17,
    "CONSOLE_EVTCHN": 18,
    "ACPI_IOPORTS_LOCATION": 19,
    "MEMORY_EVENT_CR0": 20,
    "MEMORY_EVENT_CR3": 21,
    "MEMORY_EVENT_CR4": 22,
    "MEMORY_EVENT_INT3": 23,
    "NESTEDHVM": 24,
    "MEMORY_EVENT_SINGLE_STEP": 25,
    "BUFIOREQ_EVTCHN": 26,
    "PAGING_RING_PFN": 27,
    "MONITOR_RING_PFN": 28,
    "SHARING_RING_PFN": 29,
    "MEMORY_EVENT_MSR": 30,
    "TRIPLE_FAULT_REASON": 31,
    "IOREQ_SERVER_PFN": 32,
    "NR_IOREQ_SERVER_PAGES": 33,
    "VM_GENERATION_ID_ADDR": 34,
    "ALTP2M": 35,
    "X87_FIP_WIDTH": 36,
    "VM86_TSS_SIZED": 37,
    "MCA_CAP": 38,
}
# HVM_NR_PARAMS: the first number that is no parameter.
PARAMS_END = max(PARAMS.values()) + 1
# Refused or dropped by receivers since 4.14 (commit 1a16fee21c): hypervisors always had PAE by then.
PARAM_PAE_ENABLED = PARAMS["PAE_ENABLED"]
# Which Viridian interfaces the guest sees, a bit each; savers leave it out where it is 0.
PARAM_VIRIDIAN = PARAMS["VIRIDIAN"]
