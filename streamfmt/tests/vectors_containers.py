"""Vectors of the clauses about xl and libvirt save files."""

from __future__ import annotations

from ..writer import CONFIGURATION, Stream, in_libvirt, in_xl, raw
from .good import HVM, LIBVIRT_HVM, LIBXL_HVM, LIBXL_PV, LIBXL_REMUS, MIGRATION, PV, XL_HVM
from .paths import LIBVIRT_HEADER, XL_DATA, XL_HEADER, XML_BODY
from .vector import Table, Vector, rows

# What libvirt wrote before May 2016 on a host of Xen 4.6 or later.
_OLD_LIBVIRT = in_libvirt(LIBXL_HVM, version=1)


def _field(path: str, stream: Stream, field: str, value: int | bytes) -> Vector:
    return Vector(stream.patch(path, field, value))


ACCEPTING: Table = {
    "XL-BYTEORDER": {"little": Vector(XL_HVM)},
    "XL-OPTDATA-LEN": {"no-configuration": Vector(in_xl(LIBXL_HVM, b"", json=0))},
    "XL-CONFIG-LEN": {"whole": Vector(XL_HVM)},
    "XL-CONFIG-FORM": {
        "brace-after-space": Vector(in_xl(LIBXL_HVM, b"\n {}\0")),
        "long": Vector(in_xl(LIBXL_HVM, b'{"a": "' + b"x" * 300_000 + b'"}\0'), large=True),
    },
    "XL-CONFIG-JSON": {"none-to-be-json": Vector(in_xl(LIBXL_PV, b"", json=0))},
    "XL-OPTDATA-REST": {"none": Vector(XL_HVM)},
    "XL-FLAG-STREAM": {"remus": Vector(in_xl(LIBXL_REMUS))},
    "XL-TRUNC": {"whole": Vector(XL_HVM)},
    "LIBVIRT-XML": {"declaration": Vector(in_libvirt(LIBXL_HVM, b"<?xml version='1.0'?>\n<domain/>\0"))},
    "LIBVIRT-VERSION-STREAM": {"remus": Vector(in_libvirt(LIBXL_REMUS))},
}

BREAKING: Table = {
    "XL-MAGIC": {
        "other-letters": Vector(XL_HVM.patch(XL_HEADER, "magic", b"Xen saved domain, xm format\n \0 \r"), form="xl"),
        "noise-behind-greeting": Vector(MIGRATION.edit(XL_HEADER, octets=b"\xa5" * 48)),
        "no-control-characters": Vector(
            XL_HVM.patch(XL_HEADER, "magic", b"Xen saved domain, xl format\n   \r"), form="xl"
        ),
    },
    "XL-BYTEORDER": {
        "big": Vector(XL_HVM.big_endian("xl")),
        "none": _field(XL_HEADER, XL_HVM, "byteorder", 0x01020305),
        "zero": _field(XL_HEADER, XL_HVM, "byteorder", 0),
    },
    "XL-FLAGS": rows(lambda bit: XL_HVM.patch(XL_HEADER, "mandatory_flags.reserved", bit), bit_2=1, bit_31=1 << 29),
    "XL-FLAGS-OPT": rows(lambda bits: XL_HVM.patch(XL_HEADER, "optional_flags", bits), one=1, all=0xFFFFFFFF),
    "XL-OPTDATA-LEN": rows(
        lambda size: XL_HVM.swap(XL_DATA, raw(bytes(size))).patch(XL_HEADER, "optional_data_len", size),
        none=0,
        one=1,
        three=3,
    ),
    "XL-CONFIG-LEN": rows(
        lambda size: XL_HVM.patch(XL_DATA, "config_len", size),
        one_more=len(CONFIGURATION) + 1,
        negative=0x80000000,
        most=0xFFFFFFFF,
    ),
    "XL-CONFIG-FORM": {
        "no-nul": Vector(in_xl(LIBXL_HVM, b"{}")),
        "two-nuls": Vector(in_xl(LIBXL_HVM, b"{}\0\0")),
        "nul-inside": Vector(in_xl(LIBXL_HVM, b"{\0}\0")),
        "no-brace": Vector(in_xl(LIBXL_HVM, b"name = 'guest'\0")),
        "nul-alone": Vector(in_xl(LIBXL_HVM, b"\0")),
    },
    "XL-CONFIG-JSON": {"text": Vector(in_xl(LIBXL_HVM, b"name = 'guest'\n", json=0))},
    "XL-OPTDATA-REST": {"octet": Vector(in_xl(LIBXL_HVM, rest=b"\0")), "more": Vector(in_xl(LIBXL_HVM, rest=b"next"))},
    "XL-FLAG-STREAM": {
        "v2-without-flag": Vector(in_xl(LIBXL_HVM, stream_v2=0)),
        "bare-image": Vector(in_xl(HVM)),
        "bare-image-without-flag": Vector(in_xl(PV, stream_v2=0)),
    },
    "XL-TRUNC": {
        "in-header": Vector(XL_HVM.upto(XL_HEADER, extra=40)),
        "in-magic": Vector(XL_HVM.upto(XL_HEADER, extra=20)),
        "in-data": Vector(XL_HVM.upto("libxl.header", extra=-1)),
        "before-stream": Vector(XL_HVM.upto("libxl.header")),
        "in-magic-of-stream": Vector(XL_HVM.upto("libxl.header", extra=3)),
    },
    "LIBVIRT-MAGIC": {
        "other-letters": Vector(LIBVIRT_HVM.patch(LIBVIRT_HEADER, "magic", b"libvirt-XML\n \0 \r"), form="libvirt")
    },
    "LIBVIRT-VERSION": rows(
        lambda version: LIBVIRT_HVM.patch(LIBVIRT_HEADER, "version", version), zero=0, three=3, most=0xFFFFFFFF
    ),
    "LIBVIRT-XML-LEN": {"none": Vector(in_libvirt(LIBXL_HVM, b""))},
    "LIBVIRT-XML": {
        "no-nul": Vector(in_libvirt(LIBXL_HVM, b"<domain/>")),
        "nul-inside": Vector(in_libvirt(LIBXL_HVM, b"<domain\0/>\0")),
        "no-xml": Vector(in_libvirt(LIBXL_HVM, b"domain\0")),
    },
    "LIBVIRT-RSVD": {
        "first": _field(LIBVIRT_HEADER, LIBVIRT_HVM, "reserved", b"\1" + bytes(39)),
        "last": _field(LIBVIRT_HEADER, LIBVIRT_HVM, "reserved", bytes(39) + b"\x80"),
    },
    "LIBVIRT-VERSION-STREAM": {
        "v2-in-version-1": Vector(_OLD_LIBVIRT),
        "bare-image": Vector(in_libvirt(HVM)),
    },
    "LIBVIRT-TRUNC": {
        "in-header": Vector(LIBVIRT_HVM.upto(LIBVIRT_HEADER, extra=63)),
        "in-xml": Vector(LIBVIRT_HVM.upto(XML_BODY, extra=5)),
        "before-stream": Vector(LIBVIRT_HVM.upto("libxl.header")),
    },
}
