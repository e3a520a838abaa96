"""What legacy streams are wrapped in, in plain struct calls: xend, xl, libvirt and XAPI; nothing of the product."""

from __future__ import annotations

import struct

XEND_MAGIC = b"LinuxGuestRecord"
XL_MAGIC = b"Xen saved domain, xl format\n \0 \r"
LIBVIRT_MAGIC = b"libvirt-xml\n \0 \r"
XAPI_MAGIC = b"XenSavedDomain\n"
XAPI_V2_MAGIC = b"XenSavedDomv2-\n"
XENOPS, LIBXC_LEGACY, XAPI_QEMU, XAPI_END = 0x000F, 0x00F2, 0x0F00, 0xFFFF
# The mandatory flag of an xl file that says that libxl's stream follows.
XL_V2 = 2

SXP = b"(domain (domid 3) (vcpus 2) (name guest) (image (%s (kernel /boot/vmlinuz))))"
CONFIGURATION = b'name = "guest"\nmemory = 1\nvcpus = 2\n'
JSON = b'{"c_info": {"type": "hvm", "name": "guest"}, "b_info": {"max_vcpus": 2}}\0'
XML = b"<domain type='xen'>\n  <name>guest</name>\n</domain>\n\0"


def xend(inner: bytes, config: bytes = SXP % b"linux", length: int | None = None) -> bytes:
    """A file of `xm save`; the length is big-endian."""
    return XEND_MAGIC + struct.pack(">i", len(config) if length is None else length) + config + inner


def xl(
    inner: bytes, config: bytes | None = CONFIGURATION, flags: int = 0, optional: int = 0, trailing: bytes = b""
) -> bytes:
    """A file of `xl save`; no configuration is None, one of no bytes still has its length."""
    data = b"" if config is None else struct.pack("<I", len(config)) + config + trailing
    return XL_MAGIC + struct.pack("<IIII", 0x01020304, flags, optional, len(data)) + data + inner


def libvirt(inner: bytes, xml: bytes = XML, version: int = 1) -> bytes:
    """A file of libvirt's libxl driver."""
    return LIBVIRT_MAGIC + struct.pack("<II", version, len(xml)) + bytes(40) + xml + inner


def xapi(inner: bytes) -> bytes:
    """A suspend image of XAPI before it had records."""
    return XAPI_MAGIC + inner


def xapi_records(inner: bytes, xenops: bytes = b"((time 20150219T17:16:27Z)(word_size 32))") -> bytes:
    """A suspend image of XAPI whose record is a legacy stream."""
    return (
        XAPI_V2_MAGIC
        + (struct.pack("<qq", XENOPS, len(xenops)) + xenops)
        + (struct.pack("<qq", LIBXC_LEGACY, 0) + inner)
        + struct.pack("<qq", XAPI_END, 0)
    )


def inside(data: bytes) -> bytes:
    """What is in a file of any of these, up to its end; bytes that are in none are given back."""
    if data.startswith(XEND_MAGIC):
        return data[20 + struct.unpack_from(">i", data, 16)[0] :]
    if data.startswith(XL_MAGIC):
        return data[48 + struct.unpack_from("<I", data, 44)[0] :]
    if data.startswith(LIBVIRT_MAGIC):
        return data[64 + struct.unpack_from("<I", data, 20)[0] :]
    if data.startswith(XAPI_MAGIC):
        return data[len(XAPI_MAGIC) :]
    if data.startswith(XAPI_V2_MAGIC):
        kind, length = struct.unpack_from("<qq", data, len(XAPI_V2_MAGIC))
        assert kind == XENOPS
        return data[len(XAPI_V2_MAGIC) + 32 + length :]
    return data
