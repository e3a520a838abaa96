"""The first bytes that identify containers and streams, and what they carry.

What else is given by mistake has its rows in :mod:`neighbours`, which are loaded when no stream is found.

Source: the file formats' own definitions, named row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import hvm, libvirt, libxl, protocol, qemu, vhd, xapi, xend, xl_migrate
from .layers import LAYERS


@dataclass(frozen=True, slots=True)
class Magic:
    """`data` at `offset` mean `name`; `kind` is what identify does about it.

    Kinds: "stream" is read by a layer of that `key`, "container" is named and peeled, "compressed" is opened,
    "payload" is something a stream carries; "foreign", which namesakes and neighbours are, is no migration stream.
    """

    key: str
    kind: str
    data: bytes
    name: str
    source: str
    offset: int = 0


# How requests to xenopsd begin.
REQUEST = b"PUT /services/xenops/"
_ALIGN = {layer.name: layer.align for layer in LAYERS}


def _back_channel() -> bytes:
    """The first record of a back channel, which is always the same, with its padding."""
    name, number = next(iter(protocol.BACK_RECORDS.values())).split()
    row = next(row for row in libxl.RECORDS if row.name == name)
    body = row.body.build({"control_id": number})
    head = libxl.RECORD_HEADER.build({"type": row.code, "length": len(body)})
    found: bytes = head + body + bytes(-len(body) % _ALIGN["libxl"])
    return found


MAGICS = (
    *(
        Magic(layer.name, layer.kind, layer.signature, layer.title.removeprefix("The "), layer.headers[0][2])
        for layer in LAYERS
        if layer.magic
    ),
    Magic("back-channel", "stream", _back_channel(), "COLO back channel", "tools/libs/light/libxl_colo_restore.c"),
    Magic(
        "xapi-http",
        "container",
        REQUEST,
        "request of XAPI's migration to the receiving xenopsd, without an image that could be read",
        "xen-api ocaml/xenopsd/lib/xenops_server.ml, VM_migrate",
    ),
    Magic(
        "xapi-vgpu",
        "payload",
        xapi.GPU_STREAM,
        "state of a virtual GPU (Demu), which XAPI sends beside the image, and which has no signature",
        "xen-api ocaml/xenopsd/xc/domain.ml, suspend_emu_manager",
    ),
    Magic("gzip", "compressed", b"\x1f\x8b", "gzip data", "RFC 1952"),
    Magic("xz", "compressed", b"\xfd7zXZ\0", "xz data", "tukaani.org xz file format 1.2"),
    Magic("zstd", "compressed", b"\x28\xb5\x2f\xfd", "zstd data", "RFC 8878"),
    Magic(
        "hvm-context",
        "payload",
        hvm.BEGINS,
        "HVM context, what the libxc record HVM_CONTEXT carries",
        "xen/include/public/arch-x86/hvm/save.h",
    ),
    *(
        Magic(
            "qemu-tail",
            "payload",
            data,
            "QEMU record of a legacy stream, without that stream",
            "tools/libxc/xc_domain_restore.c of Xen 4.4",
        )
        for data in qemu.TAILS
    ),
    Magic(
        "qemu-tail",
        "payload",
        qemu.REMUS_TAIL,
        "QEMU record of a legacy checkpoint, without its stream",
        "tools/libxc/xc_domain_restore.c of Xen 4.4",
    ),
)


@dataclass(frozen=True, slots=True)
class Namesake:
    """What begins with the magic of `of`, and is something else, by what follows: `pattern` from the beginning.

    `sign` says in words what the pattern shows, in `size` bytes.
    """

    of: str
    key: str
    kind: str
    pattern: bytes
    name: str
    sign: str
    size: int
    source: str


# Bytes that cloud-hypervisor's save file leaves between the length and the XML.
UNUSED = 44
NAMESAKES = (
    Namesake(
        "libvirt",
        "cloud-hypervisor",
        "foreign",
        # The XML's length, no less than that of "<a/>", then unused bytes, then the XML.  The Xen driver's files
        # have a version first, and never a length of 0.
        rb"(?s:.{%d}(?![\0-\3]\0\0\0).{4}\0{%d}<)" % (len(libvirt.MAGIC), UNUSED),
        "save file of libvirt's cloud-hypervisor driver, which holds no Xen stream",
        "then a length where the Xen driver has a version",
        len(libvirt.MAGIC) + 4 + UNUSED + 1,
        "libvirt src/ch/ch_saveimage.c",
    ),
    Namesake(
        "xend",
        "xend-2",
        "container",
        # The number of pages, of a host with 4 GiB at most, where later versions have a length and a list.
        rb"(?s:%s(?!\0{4}).{2}[\0-\x10]\0(?!\())" % xend.MAGIC,
        "save file of Xen 2.0 (xm save)",
        "then a number of pages and no configuration",
        len(xend.MAGIC) + 4 + 1,
        "tools/libxc/xc_linux_save.c of Xen 2.0",
    ),
)


@dataclass(frozen=True, slots=True)
class Preface:
    """What stands before a stream is a `key` if all of it is as `says`, and the stream is one of `before`, or any.

    `request` is the pattern of the first line if it is the head of a request; else it is text.
    """

    key: str
    request: bytes
    says: str
    before: tuple[str, ...]
    name: str
    source: str


# What counts as text is UTF-8 of these: printable ASCII, line ends, the escapes of colours, and all beyond ASCII.
TEXT = bytes((*b"\t\n\r\x1b", *range(0x20, 0x7F), *range(0x80, 0x100)))
# The reply that may have got between a request and what was asked for.
REPLY = next(row for row in xl_migrate.HTTP if row.name == "REPLY").body.build({})
# What a line of a request's head may have.
HEAD_LINE = bytes((*b"\t", *range(0x20, 0x7F)))
PREFACES = (
    Preface(
        "http",
        rb"%s(?:migrate/mem|memory)/[!-~]+ HTTP/1\.[01]\r\n" % REQUEST,
        "a line that matches this, lines of tabs and printable ASCII, an empty one, and maybe a reply of two zeros",
        ("xapi",),
        "HTTP request head",
        "xen-api ocaml/xenopsd/lib/xenops_server.ml, VM_migrate",
    ),
    Preface(
        "text",
        b"",
        "UTF-8 with no control characters but tab, line feed, carriage return and escape, and without DEL",
        (),
        "text",
        "what ssh and shells print",
    ),
)


@dataclass(frozen=True, slots=True)
class Trailer:
    """Bytes that known tools leave after the END of the outermost layer; `whole` if nothing more follows them."""

    data: bytes
    name: str
    whole: bool
    source: str


TRAILERS = (
    Trailer(
        xl_migrate.GO,
        "xl's go-ahead message, so this is a capture of xl migrate",
        True,
        "tools/xl/xl_migrate.c",
    ),
    Trailer(
        xl_migrate.READY,
        "the messages of xl migrate, so this is a capture of both directions without the receiver's greeting",
        False,
        "tools/xl/xl_migrate.c",
    ),
    Trailer(
        vhd.COOKIE,
        "zeros and the footer of a fixed VHD, which holds the stream",
        False,
        "VHD specification 1.0, Hard Disk Footer Format",
    ),
    *(
        Trailer(
            data,
            "the QEMU record that the legacy converter leaves after a libxc image",
            False,
            "tools/python/scripts/convert-legacy-stream",
        )
        for data in (*qemu.TAILS, qemu.REMUS_TAIL)
    ),
)
