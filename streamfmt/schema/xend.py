"""xend save file, and the stream of its relocation (Xen 3.0 to 4.4): a header, the guest's configuration, and a legacy
stream.

Source: tools/python/xen/xend/XendCheckpoint.py of Xen 3.0 to 4.4.  The length is big-endian, unlike all else.
"""

from __future__ import annotations

from construct import Bytes, Const, Int32ub, Struct

from .model import RecordType, opaque

MAGIC = b"LinuxGuestRecord"
# It is a signed integer to the reader.
LENGTH_MAX = (1 << 31) - 1

HEADER = Struct(
    "magic" / Const(MAGIC, Bytes(len(MAGIC))) * "The letters LinuxGuestRecord, of HVM guests too.",
    "config_len" / Int32ub * "Octets of the configuration.",
)
HEADER_SOURCE = "tools/python/xen/xend/XendCheckpoint.py, save"

RECORDS = (
    RecordType(
        0,
        "CONFIG",
        Struct(
            opaque("config", "The guest's configuration, an S-expression that begins with (domain; no NUL ends it.")
        ),
        "The guest's configuration, between the header and the stream.",
        HEADER_SOURCE,
        least=1,
    ),
)
