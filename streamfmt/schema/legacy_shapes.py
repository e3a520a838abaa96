"""What the first bytes of a bare legacy libxc stream (Xen 3.0 to 4.5) may be: it has no magic, only a shape.

Sources: tools/libxc/xc_domain_save.c and xc_domain_restore.c of Xen 4.4, tools/libxc/xg_save_restore.h of Xen 4.5, and
for PV without extended info tools/libxc/xc_linux_save.c of Xen 3.0.  Integers are little-endian.  The reader has every
constant here as LEGACY_* of its tables.  What the records hold is in :mod:`legacy`.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import hvm, legacy, legacy_tail, legacy_tmem, libxc, states
from .catalogue import read
from .model import Layout, RecordType

_WORD_32, _WORD_64 = WORDS = tuple(legacy.WORDS)  # of the toolstack, in bytes
# An entry of a batch has 28 bits for the frame (xc_domain_save.c of Xen 4.0 and later), below its type
# (XEN_DOMCTL_PFINFO_LTAB_SHIFT of xen/include/public/domctl.h).
_ENTRY = {it.path: it for it in read("entry", "An entry.", legacy.SAVE, legacy.page_entry(_WORD_32)).fields}
TYPE_SHIFT = _ENTRY["type"].shift
PFN_MASK = (1 << _ENTRY["pfn"].bits) - 1
# The writer refuses bigger guests.
P2M_MAX = PFN_MASK
# Without extended info a 32-bit toolstack means a guest of at most 64 GiB, PAE's reach, which is also xend's bound
# in tools/python/xen/xend/XendCheckpoint.py of Xen 3.0.  As a side effect no ASCII text passes.
LISTED_MAX = {_WORD_32: 1 << 24, _WORD_64: P2M_MAX}
# MAX_BATCH_SIZE of tools/libxc/xg_save_restore.h.
BATCH_MAX = 1024

_CODES = {row.name: row.code for row in libxc.PAGE_TYPES}
XTAB = _CODES["XTAB"]
NO_DATA = frozenset(row.code for row in libxc.PAGE_TYPES if not row.data)

# Extended info consists of blocks, each with a tag and its length ahead; the first is always the vcpu's size.
VCPU_TAG = b"vcpu"
LENGTH_SIZE = legacy.BLOCK_LENGTH.sizeof()
BLOCK_HEADER = len(VCPU_TAG) + LENGTH_SIZE
EXTINFO_MAX = 64 << 10
VCPU_WIDTHS = {size: 8 * width for width, size in libxc.VCPU_CONTEXT_SIZES.items()}
# The permuted order of Xen 3.0 to 3.2 rotates the index by this many bits (permute() in xc_linux_save.c).
PERMUTE_BITS = 10

# Chunks that may stand between batches: XC_SAVE_ID_* of xg_save_restore.h, but compressed data, which comes after a
# first tail only.
_CHUNKS = {row.name: row.code for row in legacy.RECORDS[_WORD_64]}
VERIFY, VCPUS, TSC, TOOLSTACK = (_CHUNKS[name] for name in ("ENABLE_VERIFY_MODE", "VCPU_INFO", "TSC_INFO", "TOOLSTACK"))
TMEM, TMEM_EXTRA = _CHUNKS["TMEM"], _CHUNKS["TMEM_EXTRA"]
MARKS = (VERIFY, _CHUNKS["LAST_CHECKPOINT"], _CHUNKS["ENABLE_COMPRESSION"])  # of nothing but their id
PARAMS = tuple(legacy.PARAMS)
# What follows the ids, as struct has it: padding and a parameter; mode, nanoseconds, kHz and incarnation of the TSC;
# version of tmem, most pools, and flags that are all ones.
PARAM_FORMAT, TSC_FORMAT, TMEM_FORMAT = "<4sQ", "<IQII", "<II4s"
# Those a writer may put before the first batch; a PV stream that has them has extended info before them.
OPENING = {TMEM: "tmem", TSC: "TSC info"}
VCPU_ID_MAX, TMEM_VERSION_MAX, TSC_MODE_MAX = 4095, max(legacy_tmem.OID_SIZES), 3
TSC_KHZ_MIN = 10_000  # no processor that runs Xen ticks more slowly than 10 MHz

# -- what the reader goes by ------------------------------------------------------------------------------------------

# Of extended info: 128 bytes more of each vcpu, and bytes of XSAVE state.
EXTV_TAG, XCNT_TAG = b"extv", b"xcnt"
# Types that entries may have, by guest: an HVM guest has no types of page tables (xc_domain_save.c).
TYPES = {
    "pv": frozenset(row.code for row in legacy.PAGE_TYPES),
    "hvm": frozenset(row.code for row in legacy.PAGE_TYPES if not row.table),
}
# Numbers of chunks; and of those of the releases, from 4.1 on, that mark the last checkpoint (SINCE_LAST).
CHUNK_IDS = frozenset(row.code for row in legacy.RECORDS[_WORD_64] if row.code < 0)
# Those that another checkpoint's body may begin with: all but what comes once.
AGAIN = CHUNK_IDS - {_CHUNKS[name] for name in states.LEGACY_ONCE}
SINCE_LAST = frozenset(row.code for row in legacy.RECORDS[_WORD_64] if row.code in CHUNK_IDS and row.since >= "4.1")
# Bodies whose length only memory bounds are read to this length, which is what a record of a libxc image may have.
LENGTH_MAX = libxc.RECORD_LENGTH_MAX
# The count of unmapped frames that readers take since 4.0 (xc_domain_restore.c); and XSAVE state of any processor.
UNMAPPED_MAX, XSAVE_MAX = 1 << 28, 1 << 20
QEMU_PIECE = legacy_tail.PIECE


def _layout(row: RecordType) -> Layout:
    return read(row.name, row.doc, row.source, row.body, row)


def _signatures() -> Iterator[tuple[int, bytes, int, str]]:
    """Number of each device model's record, how it begins, and bytes and byte order of the length after that.

    0 bytes if its state goes on to the end of the input.
    """
    for row in legacy_tail.DEVICE_MODELS:
        fields = {it.path: it for it in _layout(row).fields}
        if "signature" in fields:
            length = fields.get("length")
            order = "big" if length and length.big else "little"
            yield row.code, fields["signature"].constant or b"", length.size if length else 0, order


# What begins with another's signature comes before that.
SIGNATURES = tuple(sorted(_signatures(), key=lambda row: -len(row[1])))
# The chunks of which a guest has both or neither; and the type of a page that was paged out, an ordinary one to all.
IOREQ_PAIR = tuple(row.code for row in legacy.RECORDS[_WORD_64] if "IOREQ_SERVER" in row.name)
PAGEDTAB = next(row.code for row in legacy.PAGE_TYPES if row.name == "PAGEDTAB")
OID_SIZES, ALL_ONES = legacy_tmem.OID_SIZES, legacy_tmem.ALL_ONES
# Where after the end of an HVM guest's body its context is, and how that begins.
HVM_CONTEXT_AT = sum(_layout(row).size for row in legacy_tail.TAILS if row.name in ("HVM_TAIL", "HVM_CONTEXT"))
HVM_BEGINS = hvm.BEGINS

# -- what the converter goes by ---------------------------------------------------------------------------------------

# Which HVM parameter a chunk has, and which the tail has, in its order.
PARAM_INDEX = legacy.PARAMS
TAIL_PARAMS = tuple(hvm.PARAMS[name] for name in ("IOREQ_PFN", "BUFIOREQ_PFN", "STORE_PFN"))
ACPI_IOPORTS, ACPI_IOPORTS_SET = hvm.PARAMS["ACPI_IOPORTS_LOCATION"], 1
IOREQ_PARAMS = tuple(legacy.PARAMS[code] for code in IOREQ_PAIR)
# VGCF_online in the flags of a vcpu's context (xen/include/public/arch-x86/xen.h): all have it who are saved, and
# readers set it where no map of vcpus says so.
VCPU_ONLINE = libxc.VCPU_ONLINE
TOOLSTACK_VERSION = legacy.TOOLSTACK_VERSION
