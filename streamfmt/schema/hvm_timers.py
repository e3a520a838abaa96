"""Entries of an HVM context that hold timers and clocks."""

from __future__ import annotations

from construct import Array, BitsInteger, Bytes, Const, Int8ul, Int16ul, Int32ul, Int64sl, Int64ul, Struct
from construct.core import Construct

from .model import little_bits
from .payload_words import SAVE_H, Payload

_CHANNEL = Struct(
    "count" / Int32ul * "Where it counts from, at most 65536.",
    "latched_count" / Int16ul * "Count that was latched.",
    "count_latched" / Int8ul * "Bytes of it that are still to be read.",
    "status_latched" / Int8ul * "1 if its status was latched.",
    "status" / Int8ul * "That status.",
    "read_state" / Int8ul * "Which byte is read next.",
    "write_state" / Int8ul * "Which byte is written next.",
    "write_latch" / Int8ul * "The first of two bytes written.",
    "rw_mode" / Int8ul * "Which bytes are read and written.",
    "mode" / Int8ul * "How it counts; 255 if Xen before 4.19 was never asked to.",
    "bcd" / Int8ul * "1 if it counts in decimal.",
    "gate" / Int8ul * "1 if it is let count.",
)
_CMOS: tuple[Construct, ...] = (
    "cmos_data" / Array(14, Int8ul) * "Registers of the clock.",
    "cmos_index" / Int8ul * "Register that is selected, below 128.",
    "pad0" / Int8ul * "Padding.",
)
_HPET_TIMER = Struct(
    "config"
    / little_bits(
        "routes" / BitsInteger(32) * "Interrupts that it may be routed to, a bit each.",
        "other" / BitsInteger(16) * "Bits without a meaning.",
        "fsb_capable" / BitsInteger(1) * "1 if it can deliver interrupts as messages.",
        "fsb" / BitsInteger(1) * "1 if it does.",
        "route" / BitsInteger(5) * "Interrupt that it is routed to.",
        "mode32" / BitsInteger(1) * "1 if it counts with 32 bits.",
        "other_7" / BitsInteger(1) * "A bit without a meaning.",
        "set_value" / BitsInteger(1) * "1 if the next write of the comparator sets a periodic timer's accumulator.",
        "size64" / BitsInteger(1) * "1 if it has 64 bits.",
        "periodic_capable" / BitsInteger(1) * "1 if it can be periodic.",
        "periodic" / BitsInteger(1) * "1 if it is periodic, 0 if it fires once.",
        "enabled" / BitsInteger(1) * "1 if it interrupts.",
        "level" / BitsInteger(1) * "1 if its interrupt is level-triggered.",
        "other_0" / BitsInteger(1) * "A bit without a meaning.",
    )
    * "Configuration and capability register.",
    "comparator" / Int64ul * "Comparator register.",
    "fsb" / Int64ul * "Message and address of its interrupt.",
    "unused" / Int64ul * "No register.",
)
_TIMERS, _TIMERS_MAX = 3, 24

ENTRIES = (
    Payload(
        "hvm.PIT",
        "The interval timer of a PC.",
        f"{SAVE_H}, struct hvm_hw_pit",
        Struct(
            "channels" / Array(3, _CHANNEL) * "Its counters.",
            "speaker_data_on" / Int32ul * "1 if the loudspeaker is on.",
            "pad0" / Const(0, Int32ul) * "Padding, which loaders want to be 0.",
        ),
        56,
    ),
    Payload(
        "hvm.RTC",
        "The clock of a PC.",
        f"{SAVE_H}, struct hvm_hw_rtc",
        Struct(*_CMOS, "rtc_offset" / Int64sl * "Seconds by which it is ahead of the host's."),
        24,
        "4.14-",
    ),
    Payload(
        "hvm.RTC_16",
        "The same without an offset.",
        f"{SAVE_H} of 4.13, struct hvm_hw_rtc",
        Struct(*_CMOS),
        16,
        "-4.13",
    ),
    Payload(
        "hvm.HPET",
        "The high precision event timers.",
        f"{SAVE_H}, struct hvm_hw_hpet; IA-PC HPET specification 1.0a, section 2.3",
        Struct(
            "capability" / Int64ul * "General capabilities and ID register.",
            "unused" / Int64ul * "No register.",
            "config"
            / little_bits(
                "other" / BitsInteger(62) * "Bits without a meaning.",
                "legacy" / BitsInteger(1) * "1 if the first two timers replace PIT and RTC.",
                "enabled" / BitsInteger(1) * "1 if the counter runs.",
            )
            * "General configuration register.",
            "unused_2" / Int64ul * "No register.",
            "status" / Int64ul * "General interrupt status register.",
            "unused_3" / Bytes(25 * 8) * "No registers.",
            "counter" / Int64ul * "Main counter.",
            "unused_4" / Int64ul * "No register.",
            "timers" / Array(_TIMERS, _HPET_TIMER) * "Timers.",
            "unused_5" / Bytes(4 * 8 * (_TIMERS_MAX - _TIMERS)) * "Registers of timers that there are not.",
            "periods" / Array(_TIMERS, Int64ul) * "Period of each timer, in ticks.",
        ),
        1048,
    ),
    Payload(
        "hvm.PMTIMER",
        "The power management timer, and the events that ACPI has beside it.",
        f"{SAVE_H}, struct hvm_hw_pmtimer",
        Struct(
            "tmr_val" / Int32ul * "The counter.",
            "pm1a_sts" / Int16ul * "PM1a status register.",
            "pm1a_en" / Int16ul * "PM1a enable register.",
        ),
        8,
    ),
)
