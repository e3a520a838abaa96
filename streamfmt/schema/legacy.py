"""The legacy libxc stream (Xen 3.0 to 4.5), which has no magic, version, framing or end: its chunks and their bodies.

Widths are those of `unsigned long` in the toolstack that saved, so a layout that has such words is declared once for
either, by a function of that width; what is the same in both is declared once.  A chunk has its number before it, and
nothing else; what has none has a code of ours, above all that could be one, and no header.

Sources: tools/libxc/xc_domain_save.c, xc_domain_restore.c and xg_save_restore.h of Xen 3.1 to 4.5, for PV of Xen 3.0
xc_linux_save.c; further files row by row.  Integers are little-endian but for one length that XAPI wrote.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from construct import (
    Array,
    BitsInteger,
    Bytes,
    Const,
    Construct,
    Enum,
    GreedyBytes,
    GreedyRange,
    Int32sl,
    Int32ul,
    Int64ul,
    Struct,
    this,
)

from . import hvm, legacy_tail, legacy_tmem, libxc
from .legacy_numbers import NUMBERS
from .legacy_numbers import WORDS as WORD_SIZES
from .model import Allowed, RecordType, little_bits, reserved_bits

SAVE, RESTORE = "tools/libxc/xc_domain_save.c", "tools/libxc/xc_domain_restore.c"
CHUNKS = "tools/libxc/xg_save_restore.h"

# The releases that wrote such streams.
FIRST, LAST = "3.0", "4.5"
# Words of the toolstack, in bytes, and how they are declared.
WORDS = dict(zip(WORD_SIZES, (Int32ul, Int64ul), strict=True))
# The version of libxl's record.
TOOLSTACK_VERSION = 1
# The length of a block of extended info, and of them all.
BLOCK_LENGTH = Int32ul
# XEN_DOMCTL_PFINFO_*, as in a libxc image, and one of 4.0 to 4.2 that no reader knows from an ordinary page.
PAGE_TYPES = (*libxc.PAGE_TYPES, libxc.PageType(0x8, "PAGEDTAB", True, "ordinary page that was paged out"))
_PAGE_TYPE_NAMES = {row.name: row.code for row in PAGE_TYPES}
_WITHOUT_DATA = {name for row in PAGE_TYPES if not row.data for name in (row.code, row.name)}

RECORD_HEADER = Struct("type" / Int32sl * "Which chunk follows; 0 ends the body, and a positive number is a batch.")
RECORD_HEADER_SOURCE = CHUNKS


def header(word: int) -> Construct:
    """How a stream of that width begins."""
    return Struct("p2m_size" / WORDS[word] * "Entries of the guest's P2M: its highest frame number and one more.")


HEADER_SOURCE = f"{SAVE}, xc_domain_save"


def page_entry(word: int) -> Construct:
    """An entry of a batch: a word whose lowest 32 bits matter."""
    return little_bits(
        *["reserved" / reserved_bits(32) * "Zero." for _ in range(word // 8)],
        "type" / Enum(BitsInteger(4), **_PAGE_TYPE_NAMES) * "Kind of page, which says whether its content follows.",
        "pfn" / BitsInteger(28) * "Guest frame number; of an XTAB entry it may be anything.",
    )


def data_pages(context: Any) -> int:
    """Entries of this batch after which readers expect content: all but those of three types."""
    return sum(entry["type"] not in _WITHOUT_DATA for entry in context.entries)


def _beginning(word: int) -> tuple[RecordType, ...]:
    """What comes before the first body, of a PV guest."""
    ones = b"\xff" * word
    return (
        RecordType(
            NUMBERS["EXTENDED_INFO"],
            "EXTENDED_INFO",
            Struct(
                "signature" / Const(ones, Bytes(word)) * "All ones, in the place of the list's first frame.",
                "total" / BLOCK_LENGTH * "Octets of the blocks that follow.",
                "blocks"
                / GreedyRange(
                    Struct(
                        "id" / Bytes(4) * "What the block is: vcpu, extv or xcnt.",
                        "size" / BLOCK_LENGTH * "Octets of data that follow.",
                        "data" / Bytes(this.size) * "vcpu: its registers while it ran; xcnt: the size of XSAVE blobs.",
                    )
                )
                * "Blocks, one after the other.",
            ),
            "Extended info: what kind of PV guest this is, and what the tail has of each vcpu.",
            f"{SAVE}, save_extended_info; {RESTORE}, load_p2m_frame_list",
            guests=("pv",),
            since="3.0.3",
            headless=True,
        ),
        RecordType(
            NUMBERS["P2M_FRAME_LIST"],
            "P2M_FRAME_LIST",
            Struct("frames" / GreedyRange(WORDS[word]) * "Frame numbers of the guest's own P2M table, leaf by leaf."),
            "Where the guest keeps its P2M table.",
            f"{SAVE}, map_and_save_p2m_table",
            guests=("pv",),
            headless=True,
        ),
    )


def _batch(word: int) -> RecordType:
    return RecordType(
        NUMBERS["PAGE_BATCH"],
        "PAGE_BATCH",
        Struct(
            "count" / Int32ul * "Entries that follow, in the place of a chunk's number: 1 to 1024.",
            "entries" / Array(this.count, page_entry(word)) * "One for each page: its frame number and type.",
            "pages"
            / Array(data_pages, Bytes(libxc.PAGE_SIZE))
            * "Content of the pages whose type carries any; none where compressed data has them.",
        ),
        "A batch of guest memory.",
        f"{SAVE}, xc_domain_save",
        headless=True,
    )


def _mark(code: int, name: str, doc: str, since: str = "3.0") -> RecordType:
    """A chunk of nothing but its number."""
    return RecordType(code, name, Struct(), doc, CHUNKS, since=since)


def _param(code: int, name: str, doc: str, since: str) -> RecordType:
    """A chunk that has an HVM parameter."""
    body = Struct("reserved" / Const(0, Int32ul) * "Zero.", "value" / Int64ul * "Of the parameter; 0 changes nothing.")
    return RecordType(code, name, body, doc, CHUNKS, guests=("hvm",), since=since)


_CHUNKS = (
    _mark(0, "END_OF_BODY", "Ends the body of a checkpoint; the tail follows."),
    _mark(-1, "ENABLE_VERIFY_MODE", "From here on page content is sent again only to be compared."),
    RecordType(
        -2,
        "VCPU_INFO",
        Struct(
            "max_vcpu_id" / Int32ul * "The highest vcpu's number.",
            "map"
            / GreedyRange(Int64ul)
            * "A bit for each vcpu that is online, the lowest of the first word for vcpu 0.",
        ),
        "Which vcpus are online.",
        CHUNKS,
        since="3.1",
        least=1,
    ),
    _param(-3, "HVM_IDENT_PT", "Where the identity-mapped page table is.", "3.3"),
    _param(-4, "HVM_VM86_TSS", "Where the TSS for virtual-8086 mode is.", "3.4"),
    RecordType(
        -7,
        "TSC_INFO",
        Struct(
            "mode" / Int32ul * "How the TSC behaves: 0 default, 1 always emulated, 2 never emulated, 3 PVRDTSCP.",
            "nsec" / Int64ul * "Nanoseconds the guest's TSC had run.",
            "khz" / Int32ul * "Frequency the guest sees, in kHz.",
            "incarnation" / Int32ul * "How often the guest has been restored.",
        ),
        "State of the guest's time stamp counter.",
        f"{SAVE}, save_tsc_info",
        since="4.0",
    ),
    _param(-8, "HVM_CONSOLE_PFN", "Frame of the console's ring.", "4.1"),
    _mark(-9, "LAST_CHECKPOINT", "This checkpoint is the last, as of every save that is not checkpointed.", "4.1"),
    _param(-10, "HVM_ACPI_IOPORTS_LOCATION", "1 if the ACPI I/O ports are at 0xb000.", "4.1"),
    _param(-11, "HVM_VIRIDIAN", "Viridian interfaces: whether to 4.4, which in 4.5.", "4.1.3"),
    _mark(-13, "ENABLE_COMPRESSION", "From the next checkpoint on content comes in COMPRESSED_DATA.", "4.2"),
    _param(-14, "HVM_GENERATION_ID_ADDR", "Where the generation id is: a counter to 4.4, a GUID in 4.5.", "4.2"),
    _param(-15, "HVM_PAGING_RING_PFN", "Frame of the paging ring.", "4.2"),
    _param(-16, "HVM_ACCESS_RING_PFN", "Frame of the ring of memory accesses.", "4.2"),
    _param(-17, "HVM_SHARING_RING_PFN", "Frame of the memory sharing ring.", "4.2"),
    _param(-19, "HVM_IOREQ_SERVER_PFN", "First frame of the ioreq servers.", "4.5"),
    _param(-20, "HVM_NR_IOREQ_SERVER_PAGES", "How many frames they have.", "4.5"),
)
# Names that HVM parameters have now, where the chunk that has one kept the older.
_RENAMED = {"GENERATION_ID_ADDR": "VM_GENERATION_ID_ADDR", "ACCESS_RING_PFN": "MONITOR_RING_PFN"}
_PARAMS = {row.code: row.name.removeprefix("HVM_") for row in _CHUNKS if row.name.startswith("HVM_")}
# The HVM parameters that chunks have, by chunk.
PARAMS = {code: hvm.PARAMS[_RENAMED.get(name, name)] for code, name in _PARAMS.items()}


# Chunks whose bodies differ by the toolstack's words.
_COMPRESSED_DATA, _TOOLSTACK = -12, -18


def _compressed(word: int) -> RecordType:
    return RecordType(
        _COMPRESSED_DATA,
        "COMPRESSED_DATA",
        Struct(
            "length" / WORDS[word] * "Octets of data that follow.",
            "data"
            / Bytes(this.length)
            * "Pages, each as changes to what it had, or whole; a page may go on in the next.",
        ),
        "Content of the pages of batches, from the second checkpoint on.",
        f"{SAVE}, write_compressed; tools/libxc/xc_compression.c",
        since="4.2",
    )


def _toolstack(word: int) -> RecordType:
    return RecordType(
        _TOOLSTACK,
        "TOOLSTACK",
        Struct(
            "length" / Int32ul * "Octets of all that follows.",
            "version" / Allowed(Int32ul, (TOOLSTACK_VERSION,)) * "Version of the record.",
            "count" / Int32ul * "Entries that follow.",
            "entries"
            / Array(
                this.count,
                Struct(
                    "phys_offset" / Int64ul * "Offset the device model gave the region.",
                    "start_addr" / Int64ul * "Guest-physical address it is mapped at.",
                    "size" / Int64ul * "Octets of the region.",
                    "namelen" / Int32ul * "Octets of the name with its NUL; 0 for no name.",
                    "name" / Bytes(this.namelen) * "Name of the region.",
                    *[
                        "padding" / Bytes(4) * "Left over from the C structure's size; any value."
                        for _ in range(word // 8)
                    ],
                ),
            )
            * "Physmap entries.",
            "rest" / GreedyBytes * "Readers pass over it; no writer puts any.",
        ),
        "QEMU's physmap entries, which libxl took from xenstore before the save began.",
        "tools/libxl/libxl_dom.c of Xen 4.4, libxl__toolstack_save",
        since="4.2",
    )


def records(word: int) -> tuple[RecordType, ...]:
    """The records of a stream that a toolstack of that width wrote."""
    rows = (
        *_beginning(word),
        _batch(word),
        *_CHUNKS,
        _compressed(word),
        _toolstack(word),
        *legacy_tmem.RECORDS,
        legacy_tail.unmapped(WORDS[word]),
        *legacy_tail.TAILS,
        *legacy_tail.DEVICE_MODELS,
    )
    return tuple(replace(row, since=row.since or FIRST, until=row.until or LAST) for row in rows)


RECORDS = {word: records(word) for word in WORDS}
HEADERS = {word: header(word) for word in WORDS}
