"""xl save file: the header that xl puts before a libxl or legacy stream, and the guest's configuration in it.

Source: Xen's tools/xl/xl.h (struct save_file_header) and tools/xl/xl_saverestore.c.  Integers follow the byte order
that the header's second field shows.
"""

from __future__ import annotations

from construct import BitsInteger, Bytes, Const, GreedyBytes, Int32ul, Struct, this

from .model import Allowed, RecordType, little_bits, reserved_bits

MAGIC = b"Xen saved domain, xl format\n \0 \r"
BYTE_ORDER = 0x01020304
# From here on no guest has a domain id (xen/include/public/xen.h).
DOMID_FIRST_RESERVED = 0x7FF0

# The flag of a libxl stream, in the integer that the flags are.
STREAM_V2 = 1 << 1

HEADER = Struct(
    "magic" / Const(MAGIC, Bytes(len(MAGIC))) * "The letters that identify an xl save file.",
    "byteorder" / Allowed(Int32ul, (BYTE_ORDER,)) * "The number 0x01020304 in the byte order of the saving host.",
    "mandatory_flags"
    / little_bits(
        "reserved" / reserved_bits(30) * "Flags that no release has given a meaning.",
        "stream_v2" / BitsInteger(1) * "1 if a libxl v2 stream follows, 0 if a legacy stream does.",
        "json" / BitsInteger(1) * "1 if the configuration is JSON, 0 if it is the text of an xl configuration file.",
    )
    * "Flags that a reader must know.",
    "optional_flags" / Allowed(Int32ul, (0,)) * "Flags that a reader may pass over; no release writes any.",
    "optional_data_len" / Int32ul * "Octets of what follows this header and comes before the stream.",
)
HEADER_SOURCE = "tools/xl/xl.h, struct save_file_header"

RECORDS = (
    RecordType(
        0,
        "OPTIONAL_DATA",
        Struct(
            "config_len" / Int32ul * "Octets of the configuration; 0 if there is none.",
            "config"
            / Bytes(this.config_len)
            * "The guest's configuration: JSON with a NUL at its end, or text, by the flag.",
            "rest" / GreedyBytes * "What a later release may put here; readers pass over it.",
        ),
        "The guest's configuration, between the header and the stream.",
        "tools/xl/xl_saverestore.c save_domain_core_writeconfig",
    ),
)
