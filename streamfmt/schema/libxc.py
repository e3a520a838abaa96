"""libxc stream, image versions 2 and 3: layout and meaning of its headers and records.

Source: Xen's docs/specs/libxc-migration-stream.pandoc and tools/libs/guest/xg_sr_stream_format.h.
The image header is big-endian always; the domain header and the records follow the byte order it announces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from construct import (
    Array,
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    Enum,
    GreedyRange,
    Int8ul,
    Int16ub,
    Int16ul,
    Int32ub,
    Int32ul,
    Int64ul,
    Struct,
    this,
)

from . import hvm
from .model import LIBXC_SPEC, OPTIONAL_BIT, Allowed, RecordType, little_bits, opaque, reserved, reserved_bits

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
# The later one came with Xen 4.14, and with it static data: STATIC_DATA_END and the policies before that.
VERSION_FIRST, VERSION_STATIC = VERSIONS = (2, 3)
GUESTS = {"pv": 1, "hvm": 2}

# REC_LENGTH_MAX of tools/libs/guest/xg_sr_stream_format.h since 4.10 (8 MiB before); a length of exactly this is legal.
RECORD_LENGTH_MAX = 128 << 20
# MAX_BATCH_SIZE of the same file: what C writers put in one PAGE_DATA record.  Readers have no such limit.
BATCH_MAX = 1024

MARKER = b"\xff" * 8
IMAGE_HEADER = Struct(
    "marker" / Const(MARKER, Bytes(len(MARKER))) * "All ones; the first 8 octets of a legacy stream are never that.",
    "id" / Const(0x58454E46, Int32ub) * "The letters XENF.",
    "version" / Allowed(Int32ub, VERSIONS) * "Image version: 2 from Xen 4.6 to 4.13, 3 since 4.14.",
    "options"
    / BitStruct(
        "reserved" / reserved_bits(15) * "Reserved option bits.",
        "endian" / Allowed(BitsInteger(1), (0,)) * "Byte order of all that follows: 0 little-endian, 1 big-endian.",
    )
    * "Option bits.",
    "reserved_1" / Const(0, Int16ub) * "Reserved.",
    "reserved_2" / Const(0, Int32ub) * "Reserved.",
)
IMAGE_HEADER_SOURCE = f"{LIBXC_SPEC}, Image Header"

DOMAIN_HEADER = Struct(
    "type" / Allowed(Int32ul, tuple(GUESTS.values())) * "Kind of guest: 1 x86 PV, 2 x86 HVM (PVH too).",
    "page_shift" / Allowed(Int16ul, (PAGE_SHIFT,)) * "Page size as a power of two: 12 on x86.",
    "reserved" / Const(0, Int16ul) * "Reserved.",
    "xen_major" / Int32ul * "Major version of the Xen that saved the guest; 0 if the legacy converter wrote the image.",
    "xen_minor" / Int32ul * "Minor version of that Xen, or the converter's version.",
)
DOMAIN_HEADER_SOURCE = f"{LIBXC_SPEC}, Domain Header"

RECORD_HEADER = Struct(
    "type"
    / Int32ul
    * f"Record type; bit {OPTIONAL_BIT} marks a record that a reader may skip when it does not know it.",
    "length" / Int32ul * "Octets of the body, without this header and without the padding to a multiple of 8.",
)
RECORD_HEADER_SOURCE = f"{LIBXC_SPEC}, Records"


@dataclass(frozen=True, slots=True)
class PageType:
    """One value of a page entry's type: its name, and whether the page's content follows in the record.

    A page table has a `level`, and may be `pinned`: then it stays a table whether or not another points to it.
    """

    code: int
    name: str
    data: bool
    doc: str
    level: int = 0
    pinned: bool = False

    @property
    def table(self) -> bool:
        """Whether the page is a PV page table, whose entries the saver rewrites to PFNs."""
        return self.level > 0


def _page_table(code: int, level: int, *, pinned: bool = False) -> PageType:
    doc = f"page table, level {level}" + (", to be pinned" if pinned else "")
    return PageType(code, f"L{level}TAB" + ("_PINNED" if pinned else ""), True, doc, level, pinned)


# XEN_DOMCTL_PFINFO_* of xen/include/public/domctl.h, shifted right by 28.  5 to 8 are reserved.
PAGE_TYPES = (
    PageType(0x0, "NOTAB", True, "ordinary page"),
    _page_table(0x1, 1),
    _page_table(0x2, 2),
    _page_table(0x3, 3),
    _page_table(0x4, 4),
    _page_table(0x9, 1, pinned=True),
    _page_table(0xA, 2, pinned=True),
    _page_table(0xB, 3, pinned=True),
    _page_table(0xC, 4, pinned=True),
    PageType(0xD, "BROKEN", False, "page the hardware broke"),
    PageType(0xE, "XALLOC", False, "allocate, content comes later or never"),
    PageType(0xF, "XTAB", False, "hole, or content deferred"),
)
_PAGE_TYPE_NAMES = {row.name: row.code for row in PAGE_TYPES}

PAGE_ENTRY = little_bits(
    "type" / Enum(BitsInteger(4), **_PAGE_TYPE_NAMES) * "Kind of page, which says whether its content follows.",
    "reserved" / reserved_bits(8) * "Reserved.",
    "pfn" / BitsInteger(52) * "Guest page frame number.",
)
# No x86 processor addresses more than 52 bits (MAXPHYADDR), so no guest has a frame above this.
PFN_MAX = (1 << 52 - PAGE_SHIFT) - 1


def data_pages(context: Any) -> int:
    """Entries of this record whose type carries content."""
    carrying = {name for row in PAGE_TYPES if row.data for name in (row.code, row.name)}
    return sum(entry["type"] in carrying for entry in context.entries)


# struct xen_domctl_ext_vcpucontext has at most this many bytes (xg_sr_restore_x86_pv.c handle_x86_pv_vcpu_blob).
EXTENDED_MAX = 128
# Width of the guest in bytes and levels of its page tables: the pairs that exist.
PV_COMBINATIONS = ((4, 3), (8, 4))
_WIDTH_32, _WIDTH_64 = WIDTHS = tuple(width for width, _ in PV_COMBINATIONS)
# struct vcpu_guest_context of xen/include/public/arch-x86/xen.h, by width of the guest in bytes.
VCPU_CONTEXT_SIZES = {_WIDTH_32: 0xAF0, _WIDTH_64: 0x1430}
# The flag of a vcpu that runs (VGCF_online).
VCPU_ONLINE = 1 << 5
# Entries of a frame of its GDT, and how many there may be: those below the ones that Xen keeps for itself
# (FIRST_RESERVED_GDT_ENTRY).
GDT_FRAME_ENTRIES = PAGE_SIZE // 8
GDT_ENTRIES_MAX = 14 * GDT_FRAME_ENTRIES
# Bit 17 (VM) of eflags, virtual-8086 mode.
EFLAGS_VM = 1 << 17
# The Xen whose savers of its first two releases forgot r8 to r15 (commits 9f892f84c2 and bedbc17d84).
XEN_WITHOUT_R8 = (4, 21)
# An xsave blob begins with xcr0 and xcr0_accum (xg_sr_restore_x86_pv.c, 4.14+); the smallest area is the legacy region
# and its header.
XCR0_SIZE = 8
XSAVE_MIN = 2 * XCR0_SIZE
XSAVE_AREA_MIN = 512 + 64

_COUNT = "count" / Int32ul * "Entries that follow."
_RESERVED = "reserved" / Const(0, Int32ul) * "Reserved."
_VCPU = ("vcpu_id" / Int32ul * "Which vcpu the context belongs to.", _RESERVED)
_MSR = Struct(
    "index" / Int32ul * "MSR number.",
    "reserved" / Const(0, Int32ul) * "Reserved.",
    "value" / Int64ul * "Its value.",
)

RECORDS = (
    RecordType(0x00, "END", Struct(), "Ends the image.", f"{LIBXC_SPEC}, END"),
    RecordType(
        0x01,
        "PAGE_DATA",
        Struct(
            _COUNT,
            _RESERVED,
            "entries" / Array(this.count, PAGE_ENTRY) * "One for each page: its frame number and type.",
            "pages"
            / Array(data_pages, Bytes(PAGE_SIZE))
            * "Content of the pages whose type carries any, in the order of the entries.",
        ),
        "A batch of guest memory.",
        f"{LIBXC_SPEC}, PAGE_DATA",
        least=1,
    ),
    RecordType(
        0x02,
        "X86_PV_INFO",
        Struct(
            "guest_width" / Int8ul * "Octets of the guest's word: 4 or 8.",
            "pt_levels" / Int8ul * "Levels of the guest's page tables: 3 or 4.",
            "reserved" / reserved(6) * "Reserved.",
        ),
        "What kind of PV guest this is.",
        f"{LIBXC_SPEC}, X86_PV_INFO",
        guests=("pv",),
    ),
    RecordType(
        0x03,
        "X86_PV_P2M_FRAMES",
        Struct(
            "start_pfn" / Int32ul * "First frame number the list covers.",
            "end_pfn" / Int32ul * "Last frame number the list covers; the guest's highest.",
            "frames" / GreedyRange(Int64ul) * "Frame numbers of the guest's own p2m table, leaf by leaf.",
        ),
        "Where the guest keeps its p2m table.",
        f"{LIBXC_SPEC}, X86_PV_P2M_FRAMES",
        guests=("pv",),
    ),
    RecordType(
        0x04,
        "X86_PV_VCPU_BASIC",
        Struct(*_VCPU, opaque("context", "struct vcpu_guest_context with frame numbers for machine addresses.")),
        "Registers of one vcpu.",
        f"{LIBXC_SPEC}, X86_PV_VCPU_BASIC, EXTENDED, XSAVE, MSRS",
        guests=("pv",),
        lengths=tuple(VCPU_CONTEXT_SIZES.values()),
    ),
    RecordType(
        0x05,
        "X86_PV_VCPU_EXTENDED",
        Struct(*_VCPU, opaque("context", "struct xen_domctl_ext_vcpucontext, as long as its size field says.")),
        "System call entry points and machine-check state of one vcpu.",
        f"{LIBXC_SPEC}, X86_PV_VCPU_BASIC, EXTENDED, XSAVE, MSRS",
        guests=("pv",),
        least=1,
        most=EXTENDED_MAX,
    ),
    RecordType(
        0x06,
        "X86_PV_VCPU_XSAVE",
        Struct(*_VCPU, opaque("context", "xcr0, xcr0_accum, then the XSAVE area in standard format.")),
        "Extended processor state of one vcpu.",
        f"{LIBXC_SPEC}, X86_PV_VCPU_BASIC, EXTENDED, XSAVE, MSRS",
        guests=("pv",),
        least=XSAVE_MIN,
    ),
    RecordType(
        0x07,
        "SHARED_INFO",
        Struct("page" / Bytes(PAGE_SIZE) * "The guest's shared_info page, in the layout of its width."),
        "The shared info page.",
        f"{LIBXC_SPEC}, SHARED_INFO",
        guests=("pv",),
    ),
    RecordType(
        0x08,
        "X86_TSC_INFO",
        Struct(
            "mode" / Int32ul * "How the TSC behaves: 0 default, 1 always emulated, 2 never emulated, 3 PVRDTSCP.",
            "khz" / Int32ul * "Frequency the guest sees, in kHz.",
            "nsec" / Int64ul * "Nanoseconds the guest's TSC had run.",
            "incarnation" / Int32ul * "How often the guest has been restored.",
            _RESERVED,
        ),
        "State of the guest's time stamp counter.",
        f"{LIBXC_SPEC}, X86_TSC_INFO",
    ),
    RecordType(
        0x09,
        "HVM_CONTEXT",
        Struct("context" / hvm.CONTEXT * "Xen's own save format of virtual hardware."),
        "State of the virtual hardware that Xen emulates.",
        f"{LIBXC_SPEC}, HVM_CONTEXT",
        guests=("hvm",),
        least=1,
    ),
    RecordType(
        0x0A,
        "HVM_PARAMS",
        Struct(
            _COUNT,
            _RESERVED,
            "params"
            / Array(
                this.count,
                Struct(
                    "index" / Enum(Int64ul, **hvm.PARAMS) * "Which parameter.",
                    "value" / Int64ul * "Its value.",
                ),
            )
            * "Parameters whose value is not zero.",
        ),
        "HVM parameters: places of special pages, and modes.",
        f"{LIBXC_SPEC}, HVM_PARAMS",
        guests=("hvm",),
    ),
    RecordType(
        0x0B,
        "TOOLSTACK",
        Struct(opaque("data", "Whatever the toolstack put there.")),
        "Deprecated before the first release; must not appear.",
        f"{LIBXC_SPEC}, TOOLSTACK",
    ),
    RecordType(
        0x0C,
        "X86_PV_VCPU_MSRS",
        Struct(*_VCPU, "msrs" / GreedyRange(_MSR) * "Model-specific registers of the vcpu."),
        "Model-specific registers of one vcpu.",
        f"{LIBXC_SPEC}, X86_PV_VCPU_BASIC, EXTENDED, XSAVE, MSRS",
        guests=("pv",),
        least=1,
    ),
    RecordType(
        0x0D,
        "VERIFY",
        Struct(),
        "From here on page content is sent again only to be compared.",
        f"{LIBXC_SPEC}, VERIFY",
    ),
    RecordType(
        0x0E,
        "CHECKPOINT",
        Struct(),
        "Ends one checkpoint's libxc part; the stream goes back to the layer above.",
        f"{LIBXC_SPEC}, CHECKPOINT",
    ),
    RecordType(
        0x0F,
        "CHECKPOINT_DIRTY_PFN_LIST",
        Struct("pfns" / GreedyRange(Int64ul) * "Pages the COLO secondary has dirtied, in no order."),
        "Sent from a COLO secondary to its primary; never on a forward stream.",
        f"{LIBXC_SPEC}, CHECKPOINT_DIRTY_PFN_LIST",
    ),
    RecordType(
        0x10,
        "STATIC_DATA_END",
        Struct(),
        "All static data has been sent.",
        f"{LIBXC_SPEC}, STATIC_DATA_END",
        version=VERSION_STATIC,
    ),
    RecordType(
        0x11,
        "X86_CPUID_POLICY",
        Struct(
            "leaves"
            / GreedyRange(
                Struct(
                    "leaf" / Int32ul * "CPUID leaf (eax).",
                    "subleaf" / Int32ul * "Subleaf (ecx); all ones where the leaf has none.",
                    "eax" / Int32ul * "Result in eax.",
                    "ebx" / Int32ul * "Result in ebx.",
                    "ecx" / Int32ul * "Result in ecx.",
                    "edx" / Int32ul * "Result in edx.",
                )
            )
            * "CPUID leaves the guest was given."
        ),
        "CPUID policy of the guest.",
        f"{LIBXC_SPEC}, X86_CPUID_POLICY",
        version=VERSION_STATIC,
        least=1,
    ),
    RecordType(
        0x12,
        "X86_MSR_POLICY",
        Struct(
            "msrs"
            / GreedyRange(
                Struct(
                    "index" / Int32ul * "MSR number.",
                    "flags" / Const(0, Int32ul) * "No flag is defined.",
                    "value" / Int64ul * "Its value.",
                )
            )
            * "MSRs of the policy."
        ),
        "MSR policy of the guest.",
        f"{LIBXC_SPEC}, X86_MSR_POLICY",
        version=VERSION_STATIC,
        least=1,
    ),
)

# A page table holds such entries; the saver has put frame numbers of the guest in the place of the machine's.
PTE = little_bits(
    "high" / BitsInteger(12) * "Flags the hardware and the guest keep above the address.",
    "pfn" / BitsInteger(40) * "Frame number of the page pointed to, where the entry is present.",
    "flags" / BitsInteger(11) * "Flags the hardware and the guest keep below the address.",
    "present" / BitsInteger(1) * "Whether the entry points anywhere.",
)
PTE_SOURCE = f"{LIBXC_SPEC}, PAGE_DATA; tools/libs/guest/xg_sr_save_x86_pv.c normalise_pagetable"
