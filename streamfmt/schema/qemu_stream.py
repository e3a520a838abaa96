"""QEMU's migration stream and its record of devices: what frames there are, and what the memory is sent as.

A frame has its type before it, one octet, and nothing else; no length.  The memory, in sections of the name ram, is a
row of words, each with what belongs to it: words of one kind are one record here, which has a code of ours, above all
that a frame could have, and no header.  Integers are big-endian always.

Sources: QEMU migration/savevm.c, migration/ram.c and migration/vmstate.c of 5.2 to 10.2; others are named
row by row.
"""

from __future__ import annotations

from construct import (
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    Construct,
    Enum,
    GreedyRange,
    Int8ub,
    Int16ub,
    Int32ub,
    Int64ub,
    Struct,
    this,
)

from . import qemu
from .model import Allowed, RecordType, opaque

SAVEVM, RAM = "QEMU migration/savevm.c", "QEMU migration/ram.c"

HEADER = Struct(
    "magic" / Const(qemu.MAGIC, Bytes(len(qemu.MAGIC))) * "The letters QEVM.",
    "version" / Const(qemu.VERSION, qemu.NUMBER) * "Version of the format: 3 since QEMU 0.10.",
)
HEADER_SOURCE = f"{SAVEVM}, qemu_savevm_state_header"
RECORD_HEADER = Struct("type" / Int8ub * "Which frame it is.")
RECORD_HEADER_SOURCE = f"{SAVEVM}, QEMU_VM_*"

# Pages of x86, and of every guest whose stream says nothing of their size.
PAGE_BITS = 12
PAGE_SIZE = 1 << PAGE_BITS
# The name and the version of the memory's sections.
RAM_NAME, RAM_VERSION = b"ram", 4
# Subsections of the configuration: what each has after its name and version, in octets; None for a list.
BITS, CAPABILITIES = b"configuration/target-page-bits", b"configuration/capabilities"
UUID = b"configuration/uuid"
CONFIGURATIONS = {BITS: 4, CAPABILITIES: None, UUID: 16}
# The capabilities that a stream has to name, since both ends need them (should_validate_capability).
IGNORE_SHARED, MAPPED_RAM = b"x-ignore-shared", b"mapped-ram"
KNOWN_CAPABILITIES = (IGNORE_SHARED, MAPPED_RAM)
# Most blocks of memory, sections, and what is kept of those, that are read: no guest has as many.
BLOCKS_MAX, SECTIONS_MAX = 1 << 12, 1 << 16
# Octets of a section's payload that are one record; what is longer goes on in others.
PIECE = 64 << 10
# Words of one kind in a record at most: with content, and without.
PAGES_MOST, WORDS_MOST = 15, 4096


def _counted(what: str, of: str = "name") -> tuple[Construct, ...]:
    return (
        f"{of}_length" / Int8ub * "Octets of the name.",
        of / Bytes(getattr(this, f"{of}_length")) * what,
    )


# -- frames -----------------------------------------------------------------------------------------------------------

_LONG = (
    "section_id" / Int32ub * "Number of the section, by which later frames refer to it; each has its own.",
    *_counted("Whose section it is: a bus address and a slash for a device that has one, then a name.", "idstr"),
    "instance_id" / Int32ub * "Which of the devices of that name.",
    "version_id" / Int32ub * "Version of the layout of what follows.",
)
_PAYLOAD = opaque("payload", "State of the device, in the layout of its version, or the first of it; of ram nothing.")
_SHORT = ("section_id" / Int32ub * "Number of a section that has begun.",)

COMMANDS = {
    "OPEN_RETURN_PATH": 1,
    "PING": 2,
    "POSTCOPY_ADVISE": 3,
    "POSTCOPY_LISTEN": 4,
    "POSTCOPY_RUN": 5,
    "POSTCOPY_RAM_DISCARD": 6,
    "PACKAGED": 7,
    "ENABLE_COLO": 8,
    "POSTCOPY_RESUME": 9,
    "RECV_BITMAP": 10,
    "SWITCHOVER_START": 11,
}
# Lengths of the data that commands may have; of those that are not here any.
_LENGTHS: dict[str, tuple[int, ...]] = {
    "OPEN_RETURN_PATH": (0,),
    "PING": (4,),
    "POSTCOPY_ADVISE": (0, 16),
    "POSTCOPY_LISTEN": (0,),
    "POSTCOPY_RUN": (0,),
    "PACKAGED": (4,),
    "ENABLE_COLO": (0,),
    "POSTCOPY_RESUME": (0,),
    "SWITCHOVER_START": (0,),
}
COMMAND_LENGTHS = {COMMANDS[name]: lengths for name, lengths in _LENGTHS.items()}

FRAMES = (
    RecordType(qemu.EOF, "EOF", Struct(), "Ends the sections; a description may follow.", f"{SAVEVM}, QEMU_VM_EOF"),
    RecordType(
        1,
        "SECTION_START",
        Struct(*_LONG, _PAYLOAD),
        "Begins a section that is sent in several parts while the guest runs.",
        f"{SAVEVM}, qemu_savevm_state_setup",
    ),
    RecordType(
        2,
        "SECTION_PART",
        Struct(*_SHORT, _PAYLOAD),
        "More of it.",
        f"{SAVEVM}, qemu_savevm_state_iterate",
    ),
    RecordType(
        3,
        "SECTION_END",
        Struct(*_SHORT, _PAYLOAD),
        "The last of it, with the guest stopped.",
        f"{SAVEVM}, qemu_savevm_state_complete_precopy",
    ),
    RecordType(
        4,
        "SECTION_FULL",
        Struct(*_LONG, _PAYLOAD),
        "A section that is sent at once.",
        f"{SAVEVM}, vmstate_save",
    ),
    RecordType(
        5,
        "SUBSECTION",
        Struct(*_counted("configuration/ and what is configured."), "version_id" / Int32ub * "1.", _PAYLOAD),
        "An optional part of the configuration; those of devices are in their sections' payloads.",
        "QEMU migration/vmstate.c, vmstate_subsection_save",
    ),
    RecordType(
        6,
        "VMDESCRIPTION",
        Struct("length" / Int32ub * "Octets of text that follow.", "text" / Bytes(this.length) * "JSON."),
        "What the sections' payloads consist of, field by field; no QEMU reads it.",
        f"{SAVEVM}, qemu_savevm_state_complete_precopy_non_iterable",
    ),
    RecordType(
        7,
        "CONFIGURATION",
        Struct(
            "length" / Int32ub * "Octets of the name.", "machine" / Bytes(this.length) * "Name of the machine type."
        ),
        "What the receiver's machine has to be.",
        f"{SAVEVM}, vmstate_configuration",
    ),
    RecordType(
        8,
        "COMMAND",
        Struct(
            "command" / Enum(Int16ub, **COMMANDS) * "What to do.",
            "length" / Int16ub * "Octets of data.",
            "data" / Bytes(this.length) * "What the command needs.",
        ),
        "A command to the receiver; after PACKAGED other frames follow, as many octets as its data says.",
        f"{SAVEVM}, qemu_savevm_command_send",
    ),
    RecordType(
        0x7E,
        "SECTION_FOOTER",
        Struct("section_id" / Int32ub * "Number of the section that ends."),
        "Ends each part of a section, unless the machine's properties say that there are none, as Xen's do.",
        f"{SAVEVM}, save_section_footer",
    ),
)

# -- memory -----------------------------------------------------------------------------------------------------------

# RAM_SAVE_FLAG_*.
ZERO, TOTAL, PAGE, EOS, CONTINUE = 0x002, 0x004, 0x008, 0x010, 0x020
XBZRLE, HOOK, COMPRESSED, FLUSH = 0x040, 0x080, 0x100, 0x200


def _word(flags: int | None) -> Construct:
    """A word of memory's sections."""
    kind = BitsInteger(PAGE_BITS) if flags is None else Allowed(BitsInteger(PAGE_BITS), (flags,))
    return "word" / BitStruct(
        "page" / BitsInteger(64 - PAGE_BITS) * "Page of the block that it is about, or of a total, how many pages.",
        "flags" / kind * "What it says, and what follows.",
    )


_NAME = _counted("Name of the block, which those words are about too that follow.")
_FILL = "fill" / Int8ub * "What all octets of the page are: 0."
_DATA = "data" / Bytes(PAGE_SIZE) * "Content of the page."
# ENCODING_FLAG_XBZRLE.
ENCODING = 1
_XBZRLE = (
    "encoding" / Const(ENCODING, Int8ub) * f"{ENCODING}.",
    "length" / Int16ub * "Octets of changes.",
    "changes" / Bytes(this.length) * "Runs that stay and runs that change, as changes to what the page was.",
)
_COMPRESSED = ("length" / Int32ub * "Octets of data.", "data" / Bytes(this.length) * "The page, compressed by zlib.")


def _pages(code: int, name: str, flags: int, doc: str, *rest: Construct, until: str = "") -> tuple[RecordType, ...]:
    """The record of a word with a block's name, and that of words without, which are about the same block."""
    return (
        RecordType(code, f"{name}_OF", Struct(_word(flags), *_NAME, *rest), f"{doc}, of a block.", RAM, headless=True),
        RecordType(
            code + 1,
            name,
            Struct("pages" / GreedyRange(Struct(_word(flags | CONTINUE), *rest)) * "Pages of the block named before."),
            f"{doc}, one after another.",
            RAM,
            least=1,
            headless=True,
        ),
    )


_BLOCK = (*_counted("Name of the block."), "length" / Int64ub * "Octets of it that are in use.")
_SIZE = "page_size" / Int64ub * "Octets of the pages that its memory comes in on the host."
_ADDRESS = "address" / Int64ub * "Guest-physical address of the block."
_MAP = (
    "version" / Int32ub * "1.",
    "page_size" / Int64ub * "Octets of a page.",
    "bitmap_offset" / Int64ub * "Where the bitmap is in the file.",
    "pages_offset" / Int64ub * "Where the pages are in the file.",
    opaque("bitmap", "A bit for each page, in the order of the host's words: 0 for zero pages."),
)


def _block(code: int, name: str, doc: str, *fields: Construct) -> RecordType:
    return RecordType(code, name, Struct(*_BLOCK, *fields), doc, f"{RAM}, ram_save_setup", headless=True)


def _alone(code: int, name: str, flags: int | None, doc: str) -> RecordType:
    return RecordType(code, name, Struct(_word(flags)), doc, RAM, headless=True)


MEMORY = (
    _alone(0x100, "RAM_TOTAL", TOTAL, "How much memory there is; the blocks that it is in follow, until it is all."),
    _block(0x101, "RAM_BLOCK", "A block of memory."),
    _block(0x102, "RAM_BLOCK_AT", "A block of memory, where memory that is shared is left out.", _ADDRESS),
    _block(0x103, "RAM_BLOCK_SIZED", "A block of large pages, in a stream that may end in post-copy.", _SIZE),
    _block(0x104, "RAM_BLOCK_SIZED_AT", "Such a block, where memory that is shared is left out.", _SIZE, _ADDRESS),
    _block(0x105, "RAM_BLOCK_MAPPED", "A block whose pages have a place of their own in the file.", *_MAP),
    _block(0x106, "RAM_BLOCK_MAPPED_AT", "Such a block, where memory that is shared is left out.", _ADDRESS, *_MAP),
    RecordType(
        0x107,
        "RAM_MAPPED_PAGES",
        Struct(opaque("pages", "A hole, then the pages; what is there of zero pages means nothing.")),
        "The pages of the block before.",
        f"{RAM}, mapped_ram_setup_ramblock",
        headless=True,
    ),
    *_pages(0x110, "RAM_ZERO", ZERO, "Zero pages", _FILL),
    *_pages(0x112, "RAM_PAGE", PAGE, "Pages", _DATA),
    *_pages(0x114, "RAM_XBZRLE", XBZRLE, "Pages as changes to what they were", *_XBZRLE),
    *_pages(0x116, "RAM_COMPRESSED", COMPRESSED, "Compressed pages, which QEMU 2.4 to 9.0 could send", *_COMPRESSED),
    _alone(0x118, "RAM_FLUSH", FLUSH, "What the channels of multifd have sent has to come before what follows."),
    _alone(0x119, "RAM_HOOK", HOOK, "For a transport of its own, such as RDMA."),
    _alone(0x11A, "RAM_EOS", EOS, "Ends the memory of this section."),
    _alone(0x11B, "RAM_WORD", None, "A word whose flags mean nothing together."),
    RecordType(
        0x11C,
        "SECTION_DATA",
        Struct(opaque("payload", "State of the device.")),
        f"The next {PIECE >> 10} KiB of a section's payload, or what is left of it.",
        SAVEVM,
        least=1,
        most=PIECE,
        headless=True,
    ),
)
RECORDS = (*FRAMES, *MEMORY)
