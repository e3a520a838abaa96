"""A channel of a QEMU migration with multifd: pages that its main stream does not have, in packets.

Each channel is a connection of its own, or a file; nothing ends it.  How many there are the main stream does not say.
Integers are big-endian.

Sources: QEMU migration/multifd.h and migration/multifd.c of 5.2 to 10.2.
"""

from __future__ import annotations

from construct import Array, BitsInteger, BitStruct, Bytes, Const, Int8ub, Int32ub, Int64ub, Struct

from .model import RecordType, opaque
from .qemu_stream import PAGE_SIZE

SOURCE = "QEMU migration/multifd.h"
# MULTIFD_MAGIC and MULTIFD_VERSION; a channel begins with both, and so does each packet.
MAGIC, VERSION = 0x11223344, 1
_MAGIC = "magic" / Const(MAGIC, Int32ub) * f"{MAGIC:#x}."
_VERSION = "version" / Const(VERSION, Int32ub) * f"{VERSION}."
BEGIN = Int32ub.build(MAGIC) + Int32ub.build(VERSION)
# MULTIFD_PACKET_SIZE, by pages: how many offsets a packet has, used or not.
OFFSETS = (512 << 10) // PAGE_SIZE
# Lengths of names, which zeros follow.
NAME_SIZE = 256
# How pages are compressed: MULTIFD_FLAG_*, without the bit below them.
METHODS = {0: "none", 1: "zlib", 2: "zstd", 4: "qpl", 8: "uadk", 16: "qatzip"}
_NAMED = ", ".join(f"{method} {name}" for method, name in METHODS.items() if method)

HEADER = Struct(
    _MAGIC,
    _VERSION,
    "uuid" / Bytes(16) * "The guest's UUID, or zeros.",
    "id" / Int8ub * "Number of the channel, from 0 on.",
    "unused" / Bytes(7 + 4 * 8) * "Zeros, which no reader looks at.",
)
HEADER_SOURCE = f"{SOURCE}, MultiFDInit_t"
_FLAGS = "flags" / BitStruct(
    "unknown" / BitsInteger(25) * "No flags that there are.",
    "device_state" / BitsInteger(1) * "Whether it is a device's state, since 10.0, and no pages.",
    "method" / BitsInteger(5) * f"How pages are compressed: 0 not, {_NAMED}.",
    "sync" / BitsInteger(1) * "Whether receivers wait here for the other channels.",
)
RECORDS = (
    RecordType(
        0,
        "PAGES",
        Struct(
            _MAGIC,
            _VERSION,
            _FLAGS,
            "pages_allocated" / Int32ub * f"Places for offsets: {OFFSETS}, or 0 if it only waits.",
            "normal_pages" / Int32ub * "Pages with content.",
            "data_size" / Int32ub * "Octets of content; without pages that have any it means nothing.",
            "packet_num" / Int64ub * "Number of the packet, over all channels.",
            "zero_pages" / Int32ub * "Zero pages, since 9.0.",
            "unused" / Bytes(4 + 3 * 8) * "Zeros, which no reader looks at.",
            "block" / Bytes(NAME_SIZE) * "Name of the pages' block, and zeros; without pages it means nothing.",
            "offsets" / Array(OFFSETS, Int64ub) * "Where in the block those pages are, then the zero ones.",
            opaque("data", "The pages, or what they are compressed to, together with those before."),
        ),
        "Pages of one block, or a place to wait.",
        f"{SOURCE}, MultiFDPacket_t",
    ),
    RecordType(
        1,
        "DEVICE_STATE",
        Struct(
            _MAGIC,
            _VERSION,
            _FLAGS,
            "device" / Bytes(NAME_SIZE) * "Name of the device, and zeros.",
            "instance_id" / Int32ub * "Which of the devices of that name.",
            "data_size" / Int32ub * "Octets of its state.",
            opaque("data", "A part of the device's state."),
        ),
        "State of a device, which VFIO sends beside the main stream.",
        f"{SOURCE}, MultiFDPacketDeviceState_t",
    ),
)
