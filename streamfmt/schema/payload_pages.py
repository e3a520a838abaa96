"""Pages of a PV guest whose layout is known: those that it shares with Xen, of either width, and page tables."""

from __future__ import annotations

from construct import Array, BitsInteger, Bytes, Int8sl, Int8ul, Int32ul, Int64ul, Struct
from construct.core import Construct

from .model import little_bits
from .payload_words import XEN_H, Payload

_XEN_H = "xen/include/public/xen.h"
_PAGE = 4096
_VCPUS = 32
_TIME = Struct(
    "version" / Int32ul * "Odd while it is written.",
    "pad0" / Int32ul * "Padding.",
    "tsc_timestamp" / Int64ul * "TSC when it was written.",
    "system_time" / Int64ul * "Nanoseconds since boot then.",
    "tsc_to_system_mul" / Int32ul * "Nanoseconds of a tick, as a fraction of 2^32.",
    "tsc_shift" / Int8sl * "By how many bits ticks are shifted before that.",
    "flags" / Int8ul * "Bit 0: the TSC is the same on all vcpus.",
    "pad1" / Bytes(2) * "Padding.",
)


def _vcpu_info(word: Construct, size: int) -> Struct:
    return Struct(
        "upcall_pending" / Int8ul * "1 if an event waits.",
        "upcall_mask" / Int8ul * "1 if events are masked.",
        "reserved" / Bytes(size - 2) * "Padding.",
        "pending_sel" / word * "Words of the bitmap in which events wait, a bit each.",
        "cr2" / word * "Address of the last page fault.",
        "reserved_2" / Bytes(32 - 3 * size) * "Padding.",
        "time" / _TIME * "The vcpu's time.",
    )


def _wall_clock() -> tuple[Construct, ...]:
    return (
        "wc_version" / Int32ul * "Odd while the wall clock is written.",
        "wc_sec" / Int32ul * "Seconds at boot, since 1970.",
        "wc_nsec" / Int32ul * "Nanoseconds beside.",
    )


def _arch(word: Construct) -> tuple[Construct, ...]:
    return (
        "max_pfn" / word * "How many frames the guest's p2m has.",
        "pfn_to_mfn_frame_list_list" / word * "Frame of the list of lists of its frames.",
        "nmi_reason" / word * "Why the last NMI came.",
        "p2m_cr3" / word * "Page table by which the p2m is found, 0 if by the list.",
        "p2m_vaddr" / word * "Where the p2m is there.",
        "p2m_generation" / word * "Odd while the guest changes the p2m.",
    )


_HIGH = "wc_sec_hi" / Int32ul * "Upper half of wc_sec."
SHARED_64 = Struct(
    "vcpu_info" / Array(_VCPUS, _vcpu_info(Int64ul, 8)) * "A part for each vcpu.",
    "evtchn_pending" / Array(64, Int64ul) * "Events that wait, a bit each.",
    "evtchn_mask" / Array(64, Int64ul) * "Events that are masked, a bit each.",
    *_wall_clock(),
    _HIGH,
    "arch" / Struct(*_arch(Int64ul)) * "What is about x86.",
    "rest" / Bytes(_PAGE - 0xC40) * "The rest of the page.",
)
SHARED_32 = Struct(
    "vcpu_info" / Array(_VCPUS, _vcpu_info(Int32ul, 4)) * "A part for each vcpu.",
    "evtchn_pending" / Array(32, Int32ul) * "Events that wait, a bit each.",
    "evtchn_mask" / Array(32, Int32ul) * "Events that are masked, a bit each.",
    *_wall_clock(),
    "arch" / Struct(*_arch(Int32ul), _HIGH) * "What is about x86.",
    "rest" / Bytes(_PAGE - 0x928) * "The rest of the page.",
)


def _start_info(word: Construct, size: int) -> Struct:
    """struct start_info, which Xen's builder writes; after it the page is the guest's."""
    pad = (Bytes(4),) if size == 8 else ()
    head = [
        "magic" / Bytes(32) * "The letters xen- and a version.",
        "nr_pages" / word * "Pages that the guest has.",
        "shared_info" / word * "Machine address of shared info.",
        "flags" / Int32ul * "Flags (SIF_*).",
        *("pad_flags" / each * "Padding." for each in pad),
        "store_mfn" / word * "Frame of xenstore's ring.",
        "store_evtchn" / Int32ul * "Its event channel.",
        *("pad_store" / each * "Padding." for each in pad),
        "console_mfn" / word * "Frame of the console's ring.",
        "console_evtchn" / Int32ul * "Its event channel.",
        *("pad_console" / each * "Padding." for each in pad),
        "pt_base" / word * "Where the first page table is.",
        "nr_pt_frames" / word * "Frames of page tables there.",
        "mfn_list" / word * "Where the list of the guest's frames is.",
        "mod_start" / word * "Where a module is, such as an initial disk.",
        "mod_len" / word * "Bytes of it.",
        "cmd_line" / Bytes(1024) * "Command line of the guest's kernel.",
        "first_p2m_pfn" / word * "First frame of that list.",
        "nr_p2m_frames" / word * "How many it has.",
    ]
    used = 32 + 1024 + 4 * 3 + size * 11 + len(pad) * 12
    return Struct(*head, "rest" / Bytes(_PAGE - used) * "The rest of the page.")


SHARED_INFO = (
    Payload("pv.SHARED_INFO_64", "Shared info of a 64-bit guest.", f"{_XEN_H}, struct shared_info", SHARED_64, _PAGE),
    Payload("pv.SHARED_INFO_32", "Shared info of a 32-bit guest.", f"{_XEN_H}; {XEN_H}, the same", SHARED_32, _PAGE),
)
START_INFO = (
    Payload(
        "pv.START_INFO_64",
        "Start info of a 64-bit guest, in the page that vcpu 0 names.",
        f"{_XEN_H}, struct start_info",
        _start_info(Int64ul, 8),
        _PAGE,
    ),
    Payload(
        "pv.START_INFO_32",
        "Start info of a 32-bit guest, in the page that vcpu 0 names.",
        f"{_XEN_H}, struct start_info",
        _start_info(Int32ul, 4),
        _PAGE,
    ),
)

# Bits of an entry by name, from the lowest; the frame's number lies between the last two.
_BITS = {
    "present": "1 if the entry leads anywhere.",
    "rw": "1 if it may be written through.",
    "user": "1 if user code may go through it.",
    "pwt": "1 for write-through caching.",
    "pcd": "1 for no caching.",
    "accessed": "1 if the processor has gone through it.",
    "dirty": "1 if it has been written through.",
    "pse": "1 if it is of a large page, which a guest of Xen's has not; in the lowest level a bit of the memory type.",
    "global": "1 if it stays when the processor changes page tables.",
    "avl_9": "For the system to use.",
    "avl_10": "For the system to use.",
    "avl_11": "For the system to use.",
}
_ENTRY = little_bits(
    "nx" / BitsInteger(1) * "1 if nothing may be executed there.",
    "other" / BitsInteger(11) * "For the system to use, or protection keys.",
    "frame" / BitsInteger(40) * "Frame of the guest that it leads to.",
    *(name / BitsInteger(1) * doc for name, doc in reversed(_BITS.items())),
)
PAGE_TABLE = (
    Payload(
        "pv.PAGE_TABLE",
        "A page table of any level, as a PAGE_DATA record has it: with frames of the guest.",
        "Intel SDM volume 3, section 4.5; tools/libs/guest/xg_sr_save_x86_pv.c normalise_pagetable",
        Struct("entries" / Array(_PAGE // 8, _ENTRY) * "What it leads to."),
        _PAGE,
    ),
)
