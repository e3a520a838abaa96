"""The entries of PAGE_DATA records, 8 bytes a frame: ready-made, as full speed takes that nothing is done for each."""

from __future__ import annotations

from functools import cache

from .. import tables
from ..codec.content import Buffer

_SIZE = tables.SIZES["libxc.PAGE_DATA.entries"]
# Entries that are prepared together: 128 KiB of them, for 64 MiB of memory.
_BLOCK = 16 << 10


class Entries:
    """Entries of frames in a row that have one type, as slices of arrays that are prepared a block at a time."""

    def __init__(self, kind: int = tables.PAGE_TYPE_PLAIN) -> None:
        self._kind = kind << tables.ENTRY_TYPE_SHIFT
        self._block = -1
        self._bytes = bytearray()

    def slice(self, first: int, count: int) -> Buffer:
        """The entries of `count` frames from `first` on."""
        block, at = divmod(first, _BLOCK)
        if block != self._block:
            self._bytes = _prepared(self._kind | block * _BLOCK)
            self._block = block
        left = _BLOCK - at
        if count <= left:
            return memoryview(self._bytes)[at * _SIZE : (at + count) * _SIZE]
        return bytes(self.slice(first, left)) + bytes(self.slice(first + left, count - left))


# What the second byte of a block's entries is, below the bits that the block itself has there.
_HIGH = tuple(range(_BLOCK // 256))


@cache
def _first() -> bytes:
    """The entries of the first block, without their second byte: each place of all of them is written in one step."""
    found = bytearray(_BLOCK * _SIZE)
    found[0::_SIZE] = bytes(range(256)) * len(_HIGH)
    return bytes(found)


def warm() -> None:
    """Prepare what all entries are made from."""
    _first()


def _prepared(begin: int) -> bytearray:
    """The entries of a block that begins with `begin`."""
    found = bytearray(_first())
    _, second, *others = begin.to_bytes(_SIZE, "little")
    found[1::_SIZE] = b"".join(bytes((second | byte,)) * 256 for byte in _HIGH)
    for place, byte in enumerate(others, 2):
        if byte:
            found[place::_SIZE] = bytes((byte,)) * _BLOCK
    return found
