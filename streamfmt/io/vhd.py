"""Dynamic VHD disk images as spans: pieces of the disk lie in blocks, a table says where.

A block begins with a bitmap of its sectors; those that it does not have are zeros, whatever lies in their place.
Fixed ones are a disk as it is, with a footer after it, and need nothing.
"""

from __future__ import annotations

from array import array
from sys import byteorder

from ..errors import DamagedError, UnopenedError
from ..schema import vhd
from .spans import Pieces, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Blocks of a disk: with those of 2 MiB that all writers have by default, what the format is good for.
_BLOCKS_MAX = 1 << 20
_BLOCK_MIN, _BLOCK_MAX = 4 << 10, 256 << 20
# Beyond the end of any file, as is an offset of all ones, which leads nowhere.
_FAR = 1 << 62
# Bytes of the table that are read at a time.
_TABLE_PIECE = 64 << 10


class Disk(Pieces):
    """The disk that a dynamic VHD is of.  Raises DamagedError and UnopenedError."""

    def __init__(self, base: Span) -> None:
        super().__init__(base)
        footer = _footer(base)
        if footer.type not in (vhd.DYNAMIC, vhd.DIFFERENCING):
            raise DamagedError(f"the VHD's footer at 0 has type {footer.type}, with which none can begin")
        header = _header(base, footer.data_offset)
        if footer.type == vhd.DIFFERENCING:
            raise UnopenedError(
                f"the VHD holds only what differs from its parent {_parent(header)}: merge them "
                "(qemu-img rebase, vhd-util coalesce), or export the whole disk (xe vdi-export format=raw)"
            )
        self._block = header.block_size
        self._table = _table(base, header, footer.current_size)
        self._bitmap_size = -(-self._block // vhd.SECTOR // 8 // vhd.SECTOR) * vhd.SECTOR or vhd.SECTOR
        self._check(header.table_offset + len(self._table) * vhd.ENTRY.sizeof())
        self.size = footer.current_size
        # The first block that the file does not have whole; the number of blocks if none is known to be so.
        self._missing = next((n for n, entry in enumerate(self._table) if self._lacks(n, entry)), len(self._table))
        # The block whose bitmap is at hand; where all its bits are set, that is not kept.
        self._known = -1
        self._bitmap: bytes | None = None

    def _check(self, first: int) -> None:
        """That blocks lie after the table, whose end is `first`, and each in a place of its own."""
        length = self._bitmap_size + self._block
        before = -length
        for sector in sorted(entry for entry in self._table if entry != vhd.UNUSED):
            at = sector * vhd.SECTOR
            if at < first:
                raise DamagedError(f"the VHD's table says that a block lies at {at}, before the table's end at {first}")
            if at < before + length:
                raise DamagedError(f"the VHD's table says that one block lies at {before}, and another at {at}, in it")
            before = at

    def _lacks(self, number: int, entry: int) -> bool:
        if self.base.size is None or entry == vhd.UNUSED:
            return False
        wanted = min(self._block, (self.size or 0) - number * self._block)
        end: int = entry * vhd.SECTOR + self._bitmap_size + wanted
        return end > self.base.size

    def read_into(self, room: memoryview, at: int) -> int:
        assert self.size is not None, "it is known"
        if at >= self.size:
            return 0
        number, inside = divmod(at, self._block)
        room = room[: min(self._block - inside, self.size - at)]
        sector = self._table[number]
        if sector == vhd.UNUSED:
            return self.zeros(room)
        place = sector * vhd.SECTOR
        if number != self._known:
            self._known, self._bitmap = number, self._bits(number, place)
        if self._bitmap is not None:
            there, length = self._run(self._bitmap, inside, len(room))
            room = room[:length]
            if not there:
                return self.zeros(room)
        self.hollow = 0
        got = self.base.read_into(room, place + self._bitmap_size + inside)
        if not got:
            raise _outside(number, place)
        return got

    def _bits(self, number: int, place: int) -> bytes | None:
        bitmap = self.base.read(place, self._bitmap_size)
        if len(bitmap) < self._bitmap_size:
            raise _outside(number, place)
        used = bitmap[: self._block // vhd.SECTOR // 8]
        return None if used.count(0xFF) == len(used) else bitmap

    @staticmethod
    def _run(bitmap: bytes, at: int, most: int) -> tuple[bool, int]:
        """Whether the block has the byte `at`, and for how many bytes that holds, up to `most`."""

        def there(sector: int) -> bool:
            return bool(bitmap[sector >> 3] & 0x80 >> (sector & 7))

        first = sector = at // vhd.SECTOR
        end = at + most
        while sector * vhd.SECTOR < end and there(sector) == there(first):
            sector += 1
        return there(first), min(sector * vhd.SECTOR, end) - at

    def reach(self, at: int) -> int:
        assert self.size is not None, "it is known"
        at = min(at, self.size)
        number, inside = divmod(max(at - 1, 0), self._block)
        if at and number >= self._missing:
            raise _outside(self._missing, self._table[self._missing] * vhd.SECTOR)
        if at and self.base.size is None and self._table[number] != vhd.UNUSED:
            place = self._table[number] * vhd.SECTOR
            end = place + self._bitmap_size + inside + 1
            if number != self._known:
                self._known, self._bitmap = number, self._bits(number, place)
            if self.base.reach(end) < end:
                raise _outside(number, place)
        return at

    def place(self, at: int) -> int:
        number, inside = divmod(at, self._block)
        sector = self._table[number] if number < len(self._table) else vhd.UNUSED
        return -1 if sector == vhd.UNUSED else self.base.place(sector * vhd.SECTOR + self._bitmap_size + inside)


def _outside(number: int, place: int) -> DamagedError:
    return DamagedError(
        f"block {number:,} of the VHD lies at {place} ({place:#x}) by its table, and the file ends before"
    )


def _footer(base: Span) -> Any:
    """The copy of the footer at the beginning; if that is damaged, the footer at the end where that can be had."""
    raw = base.read(0, vhd.FOOTER_SIZE)
    if len(raw) < vhd.FOOTER_SIZE:
        raise DamagedError(f"the VHD ends at {len(raw)}, inside its footer's copy")
    if _sound(raw):
        return vhd.FOOTER.parse(raw)
    other = base.read(base.size - vhd.FOOTER_SIZE, vhd.FOOTER_SIZE) if base.size and base.size > len(raw) else b""
    if len(other) == vhd.FOOTER_SIZE and other.startswith(vhd.COOKIE) and _sound(other):
        return vhd.FOOTER.parse(other)
    raise DamagedError("the VHD's footer is damaged: the copy at 0 has a wrong checksum, and none is at the end")


def _sound(raw: bytes) -> bool:
    return int(vhd.FOOTER.parse(raw).checksum) == vhd.checksum(raw)


def _header(base: Span, at: int) -> Any:
    """The header of a dynamic disk."""
    raw = base.read(at, vhd.DYNAMIC_HEADER_SIZE) if vhd.FOOTER_SIZE <= at < _FAR else b""
    if len(raw) < vhd.DYNAMIC_HEADER_SIZE or not raw.startswith(vhd.DYNAMIC_COOKIE):
        raise DamagedError(f"the VHD has no header at {at} ({at:#x}), where its footer says that it is")
    header = vhd.DYNAMIC_HEADER.parse(raw)
    if header.checksum != vhd.checksum(raw):
        raise DamagedError(f"the VHD's header at {at} ({at:#x}) is damaged: its checksum is wrong")
    return header


def _parent(header: Any) -> str:
    name = header.parent_name.decode("utf-16-be", "replace").split("\0", 1)[0]
    return repr(name) if name else f"{header.parent_uuid.hex()}, which it does not name"


def _table(base: Span, header: Any, size: int) -> array[int]:
    """The entries that the disk needs."""
    block, at = header.block_size, header.table_offset
    if block & block - 1 or not _BLOCK_MIN <= block <= _BLOCK_MAX:
        raise DamagedError(f"the VHD has blocks of {block:,} bytes, which no writer makes")
    count = -(-size // block)
    if at >= _FAR:
        raise DamagedError(f"the VHD's table is nowhere: at {at:#x}")
    if count > _BLOCKS_MAX:
        raise UnopenedError(f"the VHD is of a disk of {size:,} bytes in {count:,} blocks; the limit is {_BLOCKS_MAX:,}")
    if count > header.table_entries:
        raise DamagedError(f"the VHD's table has {header.table_entries:,} entries, and its disk needs {count:,}")
    table: array[int] = array("I")
    wanted = count * vhd.ENTRY.sizeof()
    while len(table) < count:
        done = len(table) * vhd.ENTRY.sizeof()
        piece = base.read(at + done, min(_TABLE_PIECE, wanted - done))
        if len(piece) < min(_TABLE_PIECE, wanted - done):
            raise DamagedError(f"the VHD's table of {count:,} blocks at {at} ({at:#x}) lies outside the file")
        table.frombytes(piece)
    if byteorder == "little":
        table.byteswap()
    return table
