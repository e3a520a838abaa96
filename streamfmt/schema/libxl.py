"""libxl stream, format version 2: layout and meaning of its headers and records.

Source: Xen's docs/specs/libxl-migration-stream.pandoc and tools/libs/light/libxl_sr_stream_format.h.
The stream header is big-endian always; records follow the byte order it announces.
"""

from __future__ import annotations

from construct import (
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    Construct,
    Enum,
    GreedyBytes,
    GreedyRange,
    Int32ub,
    Int32ul,
    Int64ul,
    NullTerminated,
    Struct,
    this,
)

from . import qemu
from .model import LIBXL_SPEC, OPTIONAL_BIT, Allowed, RecordType, opaque, reserved_bits

MAGIC = b"LibxlFmt"
VERSION = 2

HEADER = Struct(
    "ident" / Const(MAGIC, Bytes(len(MAGIC))) * "The letters LibxlFmt, which identify a libxl stream.",
    "version" / Allowed(Int32ub, (VERSION,)) * "Format version; every release since Xen 4.6 writes 2.",
    "options"
    / BitStruct(
        "reserved" / reserved_bits(30) * "Reserved option bits.",
        "legacy" / BitsInteger(1) * "1 in the output of the legacy converter, else 0.",
        "endian" / Allowed(BitsInteger(1), (0,)) * "Byte order of all that follows: 0 little-endian, 1 big-endian.",
    )
    * "Option bits.",
)
HEADER_SOURCE = f"{LIBXL_SPEC}, Header"

RECORD_HEADER = Struct(
    "type"
    / Int32ul
    * f"Record type; bit {OPTIONAL_BIT} marks a record that a reader may skip when it does not know it.",
    "length" / Int32ul * "Octets of the body, without this header and without the padding to a multiple of 8.",
)
RECORD_HEADER_SOURCE = f"{LIBXL_SPEC}, Record Overview"

EMULATOR_IDS = {"UNKNOWN": 0, "QEMU_TRADITIONAL": 1, "QEMU_UPSTREAM": 2}
_EMULATOR = (
    "emulator_id"
    / Enum(Int32ul, **EMULATOR_IDS)
    * "Which emulator the body belongs to; 0 only where the legacy converter could not know.",
    "index" / Allowed(Int32ul, (0,)) * "Which instance of that emulator; every writer puts 0.",
)

_STRING = NullTerminated(GreedyBytes)
# What a xenstore key may consist of, and a value.
XENSTORE_KEY = b"-/0123456789@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
XENSTORE_VALUE = bytes(range(0x20, 0x7F))
# XENSTORE_PAYLOAD_MAX and XENSTORE_ABS_PATH_MAX of xen/include/public/io/xs_wire.h; and the least that comes before a
# key, the device model's directory of a domain of one digit whose device model runs in domain 0.
XENSTORE_PAYLOAD_MAX, XENSTORE_PATH_MAX = 4096, 3072
XENSTORE_ROOT_MIN = len("/local/domain/0/device-model/1/")

CHECKPOINT_STATES = {"NEW": 0, "SVM_SUSPENDED": 1, "SVM_READY": 2, "SVM_RESUMED": 3}

RECORDS = (
    RecordType(0x00, "END", Struct(), "Ends the stream.", f"{LIBXL_SPEC}, END"),
    RecordType(
        0x01,
        "LIBXC_CONTEXT",
        Struct(),
        "Hands the stream over: a complete libxc image follows at once and ends with its own END.",
        f"{LIBXL_SPEC}, LIBXC_CONTEXT",
    ),
    RecordType(
        0x02,
        "EMULATOR_XENSTORE_DATA",
        Struct(
            *_EMULATOR,
            "pairs"
            / GreedyRange(
                Struct(
                    "key" / _STRING * "Path below the device model's xenstore directory, NUL-terminated.",
                    "value" / _STRING * "Value of that key, NUL-terminated.",
                )
            )
            * "Keys and values of the emulator's xenstore state, packed without alignment.",
        ),
        "Xenstore keys the device model needs on the receiving side; in practice QEMU's physmap entries.",
        f"{LIBXL_SPEC}, EMULATOR_XENSTORE_DATA",
        guests=("hvm",),
    ),
    RecordType(
        0x03,
        "EMULATOR_CONTEXT",
        Struct(
            *_EMULATOR,
            opaque("context", f"The emulator's own state; QEMU's device record begins with {qemu.MAGIC.decode()}."),
        ),
        "The device model's state, as its own save command wrote it.",
        f"{LIBXL_SPEC}, EMULATOR_CONTEXT",
        guests=("hvm",),
    ),
    RecordType(
        0x04,
        "CHECKPOINT_END",
        Struct(),
        "Closes a checkpoint of a Remus or COLO stream; libxc records follow again.",
        f"{LIBXL_SPEC}, CHECKPOINT_END",
    ),
    RecordType(
        0x05,
        "CHECKPOINT_STATE",
        Struct("control_id" / Enum(Int32ul, **CHECKPOINT_STATES) * "Step of the COLO conversation."),
        "Keeps the two sides of a COLO pair in step.",
        f"{LIBXL_SPEC}, CHECKPOINT_STATE",
    ),
)

# The toolstack record of that draft had a version of its own.
DRAFT_VERSION = 1


def _draft(padding: int) -> Construct:
    """The July 2015 draft of type 2, as laid out by a toolstack whose entries carry `padding` bytes at their end."""
    return Struct(
        "version" / Const(DRAFT_VERSION, Int32ul) * "Version of the toolstack record.",
        "count" / Int32ul * "Entries that follow.",
        "entries"
        / GreedyRange(
            Struct(
                "phys_offset" / Int64ul * "Offset the device model gave the region.",
                "start_addr" / Int64ul * "Guest-physical address it is mapped at.",
                "size" / Int64ul * "Octets of the region.",
                "namelen" / Int32ul * "Octets of the name with its NUL; 0 for no name.",
                "name" / Bytes(this.namelen) * "Name of the region.",
                *["padding" / Bytes(n) * "Left over from the C structure's size; any value." for n in (padding,) if n],
            )
        )
        * "Physmap entries.",
    )


DRAFT_XENSTORE_DATA = {32: _draft(0), 64: _draft(4)}
DRAFT_SOURCE = "xen-devel, migration v2 series, July 2015 (replaced by commit 47801b0451)"
