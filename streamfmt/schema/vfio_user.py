"""vfio-user: the messages by which a device in one process is used by another, over a Unix socket; little-endian.

Sources: docs/vfio-user.rst and include/vfio-user.h of libvfio-user, versions 0.1 to 0.9.2 of the protocol.
"""

from __future__ import annotations

import struct

MAJOR, MINOR = 0, 1
# Number of the message, command, bytes with this header, flags, error.
HEADER = struct.Struct("<HHIII")
COMMANDS = {
    "VERSION": 1,
    "DMA_MAP": 2,
    "DMA_UNMAP": 3,
    "DEVICE_GET_INFO": 4,
    "DEVICE_GET_REGION_INFO": 5,
    "DEVICE_GET_REGION_IO_FDS": 6,
    "DEVICE_GET_IRQ_INFO": 7,
    "DEVICE_SET_IRQS": 8,
    "REGION_READ": 9,
    "REGION_WRITE": 10,
    "DMA_READ": 11,
    "DMA_WRITE": 12,
    "DEVICE_RESET": 13,
    "REGION_WRITE_MULTI": 15,
    "DEVICE_FEATURE": 16,
    "MIG_DATA_READ": 17,
    "MIG_DATA_WRITE": 18,
}
# Flags of a message: a reply, one that wants none, one that failed; the lowest four bits are the type.
TYPE, REPLY, NO_REPLY, ERROR = 0xF, 1, 0x10, 0x20
# Bytes of data in one message, unless a side says otherwise; most, with what is before data.
TRANSFER = 1 << 20
MESSAGE_MOST = TRANSFER + (64 << 10)
PAGE_SIZE = 4096

VERSION = struct.Struct("<HH")
# argsz, flags, and regions and interrupts that there are.
INFO = struct.Struct("<IIII")
INFO_RESET, INFO_PCI = 1, 2
# argsz, flags, index, where capabilities are, size, offset.
REGION_INFO = struct.Struct("<IIIIQQ")
REGION_READABLE, REGION_WRITABLE = 1, 2
# argsz, flags, index, count.
IRQ_INFO = struct.Struct("<IIII")
# Regions and interrupts of a PCI device; those that ours has: its memory, and its configuration space.
REGIONS, IRQS, BAR0, SPACE = 9, 5, 0, 7
# Offset, region, bytes.
ACCESS = struct.Struct("<QII")
# argsz, flags, offset in what the descriptor is of, address, bytes.
DMA_MAP = struct.Struct("<IIQQQ")
DMA_READABLE, DMA_WRITABLE = 1, 2
# argsz, flags, address, bytes.
DMA_UNMAP = struct.Struct("<IIQQ")
# argsz; number of the feature, with what is to be done.
FEATURE = struct.Struct("<II")
FEATURE_INDEX = 0xFFFF
# Of features: flags; a state and a descriptor, which is none; the size of pages and the number of ranges; a range;
# a range and the size of pages, before a bitmap; bytes that there will be.
MIGRATION = struct.Struct("<Q")
STATE = struct.Struct("<Ii")
LOG_START = struct.Struct("<QII")
RANGE = struct.Struct("<QQ")
LOG_REPORT = struct.Struct("<QQQ")
DATA_SIZE = struct.Struct("<Q")
# argsz, bytes of data.
MIG_DATA = struct.Struct("<II")
