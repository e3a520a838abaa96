"""Backups around streams, written here from their formats' descriptions: XVA exports, VHDs, tar archives.

They are plain on purpose, and share no code with what reads them; GNU tar and qemu-img judge them too.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

import xxhash

from ...io.backups import Image
from ...io.sources import Source
from ...io.spans import Span

MIB = 1 << 20
SECTOR = 512


def tar(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of these files, by Python's tarfile."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def with_sum(header: bytes, change: dict[int, bytes]) -> bytes:
    """A header of tar with other bytes at some places, and a sum that fits."""
    block = bytearray(header)
    for at, value in change.items():
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


# -- XVA --------------------------------------------------------------------------------------------------------


def _value(value: object) -> str:
    if isinstance(value, dict):
        members = "".join(f"<member><name>{key}</name>{_value(one)}</member>" for key, one in value.items())
        return f"<value><struct>{members}</struct></value>"
    if isinstance(value, list):
        return f"<value><array><data>{''.join(map(_value, value))}</data></array></value>"
    return f"<value>{escape(str(value))}</value>"


def ova(suspended: str, name: str = "web & db", disks: Sequence[str] = (), state: str = "Suspended") -> bytes:
    """An ova.xml of a VM whose suspend VDI has that reference."""
    vm = {
        "uuid": "0d1e2f3a-0000-4000-8000-000000000001",
        "name_label": name,
        "power_state": state,
        "suspend_VDI": suspended,
        "other_config": {"name_label": "not this", "uuid": "nor this"},
        "VBDs": ["Ref:8", "Ref:9"],
    }
    objects = [{"class": "VM", "id": "Ref:0", "snapshot": vm}]
    objects += [{"class": "VDI", "id": disk, "snapshot": {"name_label": f"{name} {disk}"}} for disk in disks]
    text = _value({"version": {"hostname": "h", "export_vsn": 2}, "objects": objects})
    return f"<?xml version='1.0'?>{text}".encode()


def blocks(disk: bytes, size: int = MIB) -> dict[int, bytes]:
    """A disk's blocks by number: those of zeros are left out, but for the first and the last."""
    all_blocks = [disk[at : at + size] for at in range(0, len(disk), size)]
    last = len(all_blocks) - 1
    return {n: block for n, block in enumerate(all_blocks) if n in (0, last) or any(block)}


def xva(manifest: bytes, disks: dict[str, dict[int, bytes]], sums: str = ".xxhash") -> bytes:
    """An XVA export of disks whose blocks are given."""
    files = {"ova.xml": manifest}
    for folder, numbered in disks.items():
        for number, block in numbered.items():
            name = f"{folder}/{number:08}"
            files[name] = block
            digest = xxhash.xxh64_hexdigest(block).upper() if sums == ".xxhash" else hashlib.sha1(block).hexdigest()
            files[name + sums] = digest.encode()
    return tar(files, tarfile.USTAR_FORMAT)


# -- VHD --------------------------------------------------------------------------------------------------------


def _summed(raw: bytes, at: int) -> bytes:
    return raw[:at] + struct.pack(">I", ~sum(raw) & 0xFFFFFFFF) + raw[at + 4 :]


def footer(size: int, kind: int, data_offset: int) -> bytes:
    """A footer, whose checksum is right."""
    head = struct.pack(">8sIIQI4sI4s", b"conectix", 2, 0x10000, data_offset, 0, b"tap\0", 0x10003, b"\0\0\0\0")
    rest = struct.pack(">QQHBBI4x16s", size, size, 0, 16, 63, kind, b"u" * 16)
    return _summed((head + rest).ljust(SECTOR, b"\0"), 64)


def header(entries: int, block: int, table: int, parent: str = "") -> bytes:
    """The header of a dynamic or differencing disk."""
    raw = struct.pack(">8sQQIII4x16s8x", b"cxsparse", (1 << 64) - 1, table, 0x10000, entries, block, b"\0" * 16)
    return _summed((raw + parent.encode("utf-16-be")).ljust(2 * SECTOR, b"\0"), 36)


def fixed(disk: bytes) -> bytes:
    """A fixed VHD."""
    return disk + footer(len(disk), 2, (1 << 64) - 1)


def dynamic(disk: bytes, block: int = 8 << 10, order: Sequence[int] = (), stale: bytes = b"\xaa") -> bytes:
    """A dynamic VHD, with blocks in that order; sectors of zeros are in no bitmap, and something else is in place."""
    count = -(-len(disk) // block)
    pieces = [disk[at : at + block].ljust(block, b"\0") for at in range(0, len(disk), block)]
    used = [n for n in order or range(count) if any(pieces[n])]
    bitmap_size = -(-block // SECTOR // 8 // SECTOR) * SECTOR or SECTOR
    table_at = 3 * SECTOR
    at = table_at + -(-4 * count // SECTOR) * SECTOR
    table, body = [0xFFFFFFFF] * count, b""
    for n in used:
        table[n] = (at + len(body)) // SECTOR
        sectors = [pieces[n][s : s + SECTOR] for s in range(0, block, SECTOR)]
        bits = "".join("1" if any(sector) else "0" for sector in sectors).ljust(8 * bitmap_size, "0")
        body += int(bits, 2).to_bytes(bitmap_size, "big")
        body += b"".join(sector if any(sector) else stale * SECTOR for sector in sectors)
    end = footer(len(disk), 3, SECTOR)
    packed = struct.pack(f">{count}I", *table).ljust(at - table_at, b"\xff")
    return end + header(count, block, table_at) + packed + body + end


def padded(stream: bytes, unit: int = SECTOR) -> bytes:
    """A disk that begins with the stream."""
    return stream.ljust(-(-len(stream) // unit) * unit, b"\0")


# -- how they come ----------------------------------------------------------------------------------------------


class MemorySpan(Span):
    """Bytes that can be read in any order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size: int = len(data)

    def read_into(self, room: memoryview, at: int) -> int:
        data = self._data[at : at + len(room)]
        room[: len(data)] = data
        return len(data)

    def reach(self, at: int) -> int:
        return min(at, self.size)

    def place(self, at: int) -> int:
        return at


class Dribble(Source):
    """Bytes that come in pieces of these sizes, again and again."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        self._data = memoryview(data)
        self._sizes = self._endless(sizes)

    @staticmethod
    def _endless(sizes: Sequence[int]) -> Iterator[int]:
        while True:
            yield from sizes

    def read_into(self, room: memoryview) -> int:
        got = min(len(room), next(self._sizes), len(self._data))
        room[:got] = self._data[:got]
        self._data = self._data[got:]
        return got


def drained(image: Image) -> int:
    """How many bytes the image has; all are read."""
    source, room, count = image.source(), memoryview(bytearray(1 << 16)), 0
    while got := source.read_into(room):
        count += got
    return count


def wrappers(stream: bytes) -> dict[str, tuple[bytes, bytes]]:
    """Backups of the stream, each with what its image is: the stream, with the zeros of a disk after it."""
    disk, other = padded(stream), b"\xeb\x63\x90" + bytes(4000) + b"\x55\xaa"
    manifest = ova("Ref:12", disks=("Ref:12", "Ref:7"))
    disks = {"Ref:12": blocks(disk, 4096), "Ref:7": blocks(other, 4096)}
    return {
        "tar": (tar({"readme": b"of today\n", "a/guest.sav": stream, "z": other}), stream),
        "gnu tar": (tar({"n" * 300: stream}, tarfile.GNU_FORMAT), stream),
        "tar of gzip": (tar({"guest.sav.gz": gzip.compress(stream, 1)}), stream),
        "tar of tar": (tar({"inner": tar({"x": other, "guest.sav": stream})}), stream),
        "vhd": (dynamic(disk), disk),
        "tar of vhd": (tar({"7f00.vhd": dynamic(disk)}), disk),
        "xva": (xva(manifest, disks), disk),
        "xva of sha1": (xva(manifest, disks, ".checksum"), disk),
        "tar of xva": (tar({"export.xva": xva(manifest, disks)}), disk),
    }


def examples(image: bytes, saved: bytes) -> dict[str, bytes]:
    """The backups of docs/examples by name, of a XAPI image and an xl file; `make_examples` writes them."""
    disks = {"Ref:12": blocks(padded(image), 4096), "Ref:7": blocks(b"\xeb\x63\x90" + bytes(9000), 4096)}
    manifest = ova("Ref:12", 'a "guest"', ("Ref:12", "Ref:7"))
    return {
        "vm.xva": xva(manifest, disks),
        "saves.tar": tar(
            {"saves/readme": b"of today\n", "saves/web.sav": saved, "saves/7f00.vhd": dynamic(padded(image))}
        ),
    }
