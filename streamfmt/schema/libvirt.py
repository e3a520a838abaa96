"""libvirt save file of its libxl driver: a header, the domain's XML, then a libxl or legacy stream.

Source: libvirt's src/libxl/libxl_conf.h (struct libxlSavefileHeader) and src/libxl/libxl_driver.c.  Integers are in the
host's byte order, which is little-endian wherever Xen's toolstack runs on x86.
"""

from __future__ import annotations

from construct import Bytes, Const, Int32ul, Struct

from .model import Allowed, RecordType, opaque, reserved

MAGIC = b"libvirt-xml\n \0 \r"
VERSION_LEGACY, VERSION_V2 = VERSIONS = (1, 2)

HEADER = Struct(
    "magic" / Const(MAGIC, Bytes(len(MAGIC))) * "The letters that identify a libvirt save file.",
    "version" / Allowed(Int32ul, VERSIONS) * "1 if a legacy stream follows, 2 if a libxl v2 stream does.",
    "xml_len" / Int32ul * "Octets of the XML with the NUL at its end.",
    "reserved" / reserved(40) * "Left zero.",
)
HEADER_SOURCE = "libvirt src/libxl/libxl_conf.h, struct libxlSavefileHeader"

RECORDS = (
    RecordType(
        0,
        "XML",
        Struct(opaque("xml", "The domain's XML with a NUL at its end.")),
        "The domain's description, between the header and the stream.",
        "libvirt src/libxl/libxl_domain.c",
        least=1,
    ),
)
