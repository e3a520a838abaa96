"""Entries of an HVM context that hold interrupt controllers and the wires to them."""

from __future__ import annotations

from construct import Array, BitsInteger, Bytes, Const, Int8ul, Int32ul, Int64ul, Struct
from construct.core import Construct

from .model import little_bits
from .payload_words import SAVE_H, Payload

_REDIRECTION = little_bits(
    "dest_id" / BitsInteger(8) * "Which processors take it.",
    "reserved_2" / BitsInteger(32) * "Reserved.",
    "reserved_1" / BitsInteger(7) * "Reserved.",
    "mask" / BitsInteger(1) * "1 if it is masked.",
    "trig_mode" / BitsInteger(1) * "1 if it is level-triggered.",
    "remote_irr" / BitsInteger(1) * "1 while a processor has it and has not said it is done.",
    "polarity" / BitsInteger(1) * "1 if it is active low.",
    "delivery_status" / BitsInteger(1) * "1 while it is on its way.",
    "dest_mode" / BitsInteger(1) * "1 if dest_id is a set of processors.",
    "delivery_mode" / BitsInteger(3) * "How it is delivered.",
    "vector" / BitsInteger(8) * "Its vector.",
)
_LAPIC: tuple[Construct, ...] = (
    "apic_base_msr"
    / little_bits(
        "base" / BitsInteger(52) * "Frame of its registers.",
        "enabled" / BitsInteger(1) * "1 if it is on (EN).",
        "x2apic" / BitsInteger(1) * "1 if it is in x2APIC mode (EXTD), for which it must be on.",
        "other_9" / BitsInteger(1) * "A bit without a meaning.",
        "bsp" / BitsInteger(1) * "1 on the processor that boots.",
        "other" / BitsInteger(8) * "Bits without a meaning.",
    )
    * "MSR APIC_BASE.",
    "disabled" / Int32ul * "Ways in which it is disabled, a bit each: 1 by hardware, 2 by software.",
    "timer_divisor" / Int32ul * "By what its timer divides.",
)
_TDT: tuple[Construct, ...] = ("tdt_msr" / Int64ul * "MSR TSC_DEADLINE.",)
_ESR: tuple[Construct, ...] = (
    "pending_esr" / Int32ul * "Errors that a write of ESR will show.",
    "pad" / Int32ul * "Padding.",
)
# Registers of a local APIC that have names, by where they lie: one each 16 bytes (Intel SDM volume 3, table 10-1).
APIC_REGISTERS = {
    0x20: "id",
    0x30: "version",
    0x80: "tpr",
    0x90: "apr",
    0xA0: "ppr",
    0xB0: "eoi",
    0xC0: "rrd",
    0xD0: "ldr",
    0xE0: "dfr",
    0xF0: "svr",
    0x280: "esr",
    0x2F0: "lvt_cmci",
    0x300: "icr_low",
    0x310: "icr_high",
    0x320: "lvt_timer",
    0x330: "lvt_thermal",
    0x340: "lvt_pmc",
    0x350: "lvt_lint0",
    0x360: "lvt_lint1",
    0x370: "lvt_error",
    0x380: "tmict",
    0x390: "tmcct",
    0x3E0: "tdcr",
    0x3F0: "self_ipi",
    **{0x100 + 16 * number: f"isr_{number}" for number in range(8)},
    **{0x180 + 16 * number: f"tmr_{number}" for number in range(8)},
    **{0x200 + 16 * number: f"irr_{number}" for number in range(8)},
}


def _apic_page() -> tuple[Construct, ...]:
    """Every 16 bytes of the page: a register and its gap, or what has no name."""
    found: list[Construct] = []
    for at in range(0, 1024, 16):
        name = APIC_REGISTERS.get(at)
        if name is None:
            found.append(f"reserved_{at:x}" / Bytes(16) * "No register.")
        else:
            found.append(name / Int32ul * f"Register at {at:#x}.")
            found.append(f"reserved_{at:x}" / Bytes(12) * "What lies between two registers.")
    return tuple(found)


ENTRIES = (
    Payload(
        "hvm.PIC",
        "One of the two interrupt controllers of a PC; instance 0 is the master, 1 the slave.",
        f"{SAVE_H}, struct hvm_hw_vpic",
        Struct(
            "irr" / Int8ul * "Lines that want an interrupt.",
            "imr" / Int8ul * "Lines that are masked.",
            "isr" / Int8ul * "Lines whose interrupt is in service.",
            "irq_base" / Int8ul * "Vector of the first line.",
            "state"
            / little_bits(
                "priority_add" / BitsInteger(4) * "Line of the highest priority.",
                "init_state" / BitsInteger(4) * "How far its initialisation is; 0 if none is going on.",
            )
            * "Initialisation and priority.",
            "modes"
            / little_bits(
                "unused" / BitsInteger(1) * "A bit without a meaning.",
                "is_master" / BitsInteger(1) * "1 in the master, 0 in the slave.",
                "special_mask_mode" / BitsInteger(1) * "1 if masked lines do not count for priority.",
                "special_fully_nested_mode" / BitsInteger(1) * "1 if lines of the slave do not hold back one another.",
                "rotate_on_auto_eoi" / BitsInteger(1) * "1 if priorities rotate at the end of an interrupt.",
                "auto_eoi" / BitsInteger(1) * "1 if interrupts end when they are taken.",
                "poll" / BitsInteger(1) * "1 if the next read polls.",
                "readsel_isr" / BitsInteger(1) * "1 if reads give ISR, 0 if they give IRR.",
            )
            * "Modes.",
            "elcr" / Int8ul * "Lines that are level-triggered.",
            "int_output" / Int8ul * "1 if it asks for an interrupt.",
        ),
        8,
    ),
    Payload(
        "hvm.IOAPIC",
        "The I/O APIC.",
        f"{SAVE_H}, struct hvm_hw_vioapic and union vioapic_redir_entry",
        Struct(
            "base_address" / Int64ul * "Where its registers are.",
            "ioregsel" / Int32ul * "Register that is selected.",
            "id" / Int32ul * "Its identity.",
            "redirtbl" / Array(48, _REDIRECTION) * "What becomes of each line's interrupt.",
        ),
        400,
    ),
    Payload(
        "hvm.LAPIC",
        "What one local APIC has beside its registers.",
        f"{SAVE_H} of 4.21, struct hvm_hw_lapic",
        Struct(*_LAPIC, *_TDT, *_ESR),
        32,
        "4.18.5, 4.19.2, 4.20.1, 4.21-",
    ),
    Payload(
        "hvm.LAPIC_24",
        "The same without pending_esr.",
        f"{SAVE_H} of 4.20.0, struct hvm_hw_lapic",
        Struct(*_LAPIC, *_TDT),
        24,
        "4.1-4.20.0",
    ),
    Payload(
        "hvm.LAPIC_16",
        "The same without tdt_msr either.",
        f"{SAVE_H} of 4.0, struct hvm_hw_lapic",
        Struct(*_LAPIC),
        16,
        "-4.0",
    ),
    Payload(
        "hvm.LAPIC_REGS",
        "Registers of one local APIC.",
        f"{SAVE_H}, struct hvm_hw_lapic_regs; Intel SDM volume 3, table 10-1",
        Struct(*_apic_page()),
        1024,
    ),
    Payload(
        "hvm.PCI_IRQ",
        "Interrupt lines of the PCI bus, a bit each: four for each device.",
        f"{SAVE_H}, struct hvm_hw_pci_irqs",
        Struct("asserted" / Array(2, Int64ul) * "Lines that are asserted."),
        16,
    ),
    Payload(
        "hvm.ISA_IRQ",
        "Interrupt lines of the ISA bus, a bit each.",
        f"{SAVE_H}, struct hvm_hw_isa_irqs",
        Struct("asserted" / Int64ul * "Lines that are asserted."),
        8,
    ),
    Payload(
        "hvm.PCI_LINK",
        "The router of PCI interrupts.",
        f"{SAVE_H}, struct hvm_hw_pci_link",
        Struct(
            "route" / Array(4, Int8ul) * "ISA interrupt that each link goes to.",
            "pad0" / Const(bytes(4)) * "Padding, which loaders want to be 0.",
        ),
        8,
    ),
)
