"""VHD disk images: the footer, the header of dynamic ones, and their table of blocks.

Source: Microsoft's Virtual Hard Disk Image Format Specification, version 1.0 of 2006.  Integers are big-endian.
"""

from __future__ import annotations

from itertools import takewhile

from construct import Array, Bytes, Construct, Int8ub, Int16ub, Int32ub, Int64ub, Struct

from .neighbours import VHD_COOKIE

COOKIE, DYNAMIC_COOKIE = VHD_COOKIE, b"cxsparse"
SECTOR = 512
# Types of disks that begin with a footer; a fixed one, of type 2, has it at its end alone.
DYNAMIC, DIFFERENCING = 3, 4
# What the table has where a block was never written.
UNUSED = 0xFFFFFFFF

FOOTER = Struct(
    "cookie" / Bytes(8) * "The letters that identify a VHD.",
    "features" / Int32ub * "Bit 1 is always set; bit 0 if the disk is temporary.",
    "version" / Int32ub * "1.0.",
    "data_offset" / Int64ub * "Where the header of a dynamic disk is; all ones for a fixed one.",
    "timestamp" / Int32ub * "Seconds since 2000.",
    "creator" / Bytes(4) * "Who made it.",
    "creator_version" / Int32ub * "Its version.",
    "creator_host" / Bytes(4) * "The system that ran it.",
    "original_size" / Int64ub * "Octets of the disk when it was made.",
    "current_size" / Int64ub * "Octets of the disk.",
    "cylinders" / Int16ub * "Of its geometry.",
    "heads" / Int8ub * "Of its geometry.",
    "sectors" / Int8ub * "Of its geometry.",
    "type" / Int32ub * "2 fixed, 3 dynamic, 4 differencing.",
    "checksum" / Int32ub * "One's complement of the sum of all other octets.",
    "uuid" / Bytes(16) * "Identifies the disk.",
    "saved" / Int8ub * "1 if its machine is in a saved state.",
    "reserved" / Bytes(427) * "Left zero.",
)

DYNAMIC_HEADER = Struct(
    "cookie" / Bytes(8) * "The letters that identify it.",
    "data_offset" / Int64ub * "All ones.",
    "table_offset" / Int64ub * "Where the table of blocks is.",
    "version" / Int32ub * "1.0.",
    "table_entries" / Int32ub * "Entries of the table, at least.",
    "block_size" / Int32ub * "Octets of a block's data, a power of two.",
    "checksum" / Int32ub * "One's complement of the sum of all other octets.",
    "parent_uuid" / Bytes(16) * "Of a differencing disk, its parent's.",
    "parent_timestamp" / Int32ub * "Of a differencing disk, its parent's.",
    "reserved1" / Int32ub * "Left zero.",
    "parent_name" / Bytes(512) * "Of a differencing disk, its parent's name in UTF-16.",
    "parent_locators" / Array(8, Bytes(24)) * "Of a differencing disk, where its parent may be.",
    "reserved2" / Bytes(256) * "Left zero.",
)
FOOTER_SIZE, DYNAMIC_HEADER_SIZE = FOOTER.sizeof(), DYNAMIC_HEADER.sizeof()
# An entry of the table: the sector at which a block's bitmap begins, after which its data does.
ENTRY = Int32ub


def _summed(layout: Construct) -> slice:
    """Where its checksum is."""
    ahead = takewhile(lambda it: it.name != "checksum", layout.subcons)
    start = sum(it.sizeof() for it in ahead)
    return slice(start, start + layout.checksum.sizeof())


_SUMS = {COOKIE: _summed(FOOTER), DYNAMIC_COOKIE: _summed(DYNAMIC_HEADER)}


def checksum(raw: bytes) -> int:
    """What the checksum of a footer or header should be, by which of the two it begins like."""
    own = next((place for cookie, place in _SUMS.items() if raw.startswith(cookie)), slice(0))
    return ~(sum(raw) - sum(raw[own])) & 0xFFFFFFFF
