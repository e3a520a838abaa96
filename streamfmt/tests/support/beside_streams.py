"""Tiny headers of what is no stream, a row of schema.neighbours each: facts only, and zeros."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

from ...schema.neighbours import NEIGHBOURS, Neighbour

SIZE = 512


def _tar() -> dict[int, bytes]:
    """A header of the oldest form, whose checksum is right."""
    fields = {0: b"guest.sav", 100: b"0000644\0", 124: b"00000000000\0", 148: b" " * 8}
    total = sum(map(sum, fields.values()))
    return fields | {148: b"%06o\0 " % total}


def xen_core(kind: int = 0x2000000, name: bytes = b"Xen\0", order: str = "<", wide: bool = True) -> bytes:
    """The beginning of a core: an ELF header, three section headers of which the last is of notes, a note."""
    size, header = (64, 64) if wide else (40, 52)
    note = header + 3 * size
    head = pack(
        order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), 4, 62, 1, 0, 0, header, 0, header, 0, 0, size, 3, 1
    )
    section = pack(order + ("IIQQQQ" if wide else "IIIIII"), 0, 7, 0, 0, note, 16).ljust(size, b"\0")
    data = b"\x7fELF" + bytes((1 + wide, 1 + (order == ">"), 1)).ljust(12, b"\0") + head
    return data + bytes(2 * size) + section + pack(order + "III", len(name), 0, kind) + name


# What rows with a check need beside their marks.
_MORE = {
    "": {},
    "tar": _tar(),
    "lzma": {3: b"\x80\0" + b"\xff" * 8},
    "cloud_hypervisor": {16: pack("<QQ", 2, 20) + b"{"},
    "xen_note": {4: xen_core()[4:]},
}


def example(row: Neighbour) -> bytes:
    """What has the row's marks, and passes its check."""
    data = bytearray(SIZE)
    for at, part in (*_MORE[row.check].items(), *((mark.offset, mark.data) for mark in row.marks)):
        data[at : at + len(part)] = part
    return bytes(data)


def examples(rows: Sequence[Neighbour]) -> dict[str, tuple[Neighbour, bytes]]:
    """Each row with what it is about, by its place and key."""
    return {f"{place}-{row.key}": (row, example(row)) for place, row in enumerate(rows)}


EXAMPLES = examples(NEIGHBOURS)


def qemu(*frames: bytes, version: int = 3) -> bytes:
    """A QEMU record or stream of these frames."""
    return b"QEVM" + version.to_bytes(4, "big") + b"".join(frames)


CONFIGURATION = b"\7\0\0\0\4none"
SUBSECTION = b"\5\x1aconfiguration/capabilities\0\0\0\1\0\0\0\1"
MEMORY = b"\1\0\0\0\2\3ram\0\0\0\0\0\0\0\4"
DEVICE = b"\4\0\0\0\0\5timer\0\0\0\0\0\0\0\2" + bytes(24)


def xend(text: bytes = b"(domain (domid 7) (name web01) (memory 384))", rest: bytes = b"") -> bytes:
    """A save file of xend whose configuration that is."""
    return b"LinuxGuestRecord" + len(text).to_bytes(4, "big") + text + rest


def libvirt_qemu(magic: bytes = b"LibvirtQemudSave") -> bytes:
    """A save file of libvirt's QEMU driver, or one that did not finish."""
    text = b"<domain type='kvm'><name>web01</name></domain>\0"
    return magic + pack("<19I", 2, len(text), 1, *bytes(16)) + text + qemu(CONFIGURATION, MEMORY)
