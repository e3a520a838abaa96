"""Batches of a legacy stream: which are clean, and how they are handed over."""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from .events import Headless, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .events import Layer, Record
    from .pump import Window

COUNT = 4
CODES = {4: "I", 8: "Q"}
# The byte of an entry that has its type, and in it the values that a guest's entries may have, and those without pages.
TOP = 3
_CLEAN = {guest: bytes(top for top in range(256) if top >> 4 in tables.LEGACY_TYPES[guest]) for guest in ("pv", "hvm")}
# What belongs to the frame of that byte, and what is the type.
_LOW = bytes(top & 0x0F for top in range(256))
_HIGH = bytes(top & 0xF0 for top in range(256))
_ENTRY = 8
_BARE = bytes(top for top in range(256) if top >> 4 in tables.LEGACY_NO_DATA)
_XTAB = tables.LEGACY_XTAB
_TYPE_MASK = 0xF << tables.LEGACY_TYPE_SHIFT
_MOVED = tables.ENTRY_TYPE_SHIFT - tables.LEGACY_TYPE_SHIFT


class Batch(Run):
    """A clean batch.  What :meth:`raw` gives are its entries as a libxc image has them."""

    __slots__ = ("word",)

    def __init__(self, layer: Layer, window: Window, size: int, entries: int, pages: int, word: int) -> None:
        super().__init__(layer, window, 1, size, entries, pages)
        self.word = word

    def record(self, entry: int = 0) -> Record:
        record = Headless(self.layer, tables.LEGACY_PAGE_BATCH, self.offset, self.size)
        record.index = self.index
        return record

    def raw(self) -> Sequence[int]:
        return as_image(unpack_from(f"<{self.entries}{CODES[self.word]}", self._window.buf, self._lo + COUNT))

    def data(self) -> bytes:
        lo = self._lo + COUNT
        return bytes(self._window.buf[lo : lo + self.word * self.entries])


def as_image(entries: Sequence[int]) -> list[int]:
    """Entries of a batch as a libxc image has them, the type in the highest bits; what lies above it is dropped."""
    mask, types = tables.LEGACY_PFN_MASK, _TYPE_MASK
    return [(entry & types) << _MOVED | entry & mask for entry in entries]


def row_as_image(data: bytes, word: int) -> bytes:
    """The same of all entries in `data` at once, as bytes."""
    types = data[TOP::word]
    if word == _ENTRY and not types.translate(None, _LOW):
        return data
    row = bytearray(len(types) * _ENTRY)
    for place in range(TOP):
        row[place::_ENTRY] = data[place::word]
    row[TOP::_ENTRY] = types.translate(_LOW)
    row[_ENTRY - 1 :: _ENTRY] = types.translate(_HIGH)
    return bytes(row)


def image_entries(data: bytes, word: int) -> tuple[list[int], bytes]:
    """The entries in `data` as a libxc image has them, and their types, of which one means an ordinary page to all."""
    entries = as_image(unpack_from(f"<{len(data) // word}{CODES[word]}", data))
    plain, paged = tables.PAGE_TYPE_PLAIN, tables.LEGACY_PAGEDTAB
    kinds = [entry >> tables.ENTRY_TYPE_SHIFT for entry in entries]
    return entries, bytes(plain if kind == paged else kind for kind in kinds)


def tops(window: Window, count: int, word: int) -> bytes:
    """The bytes with the types of the batch's entries; it begins where the window does, and they are all there."""
    first = window.lo + COUNT + TOP
    return bytes(window.buf[first : first + word * count : word])


def pages(types: bytes) -> int:
    """Entries with pages, as every reader of 4.3 and later counts them: all but those of three types."""
    return len(types.translate(None, _BARE))


def clean(window: Window, types: bytes, guest: str, p2m_size: int, word: int) -> bool:
    """Whether each entry of that batch has a type of such a guest's and a frame that it has, and nothing else."""
    if types.translate(None, _CLEAN[guest]):
        return False
    buf, count = window.buf, len(types)
    first = window.lo + COUNT
    end = first + word * count
    if any(buf[first + place : end : word].count(0) != count for place in range(TOP + 1, word)):
        return False
    entries = unpack_from(f"<{count}{CODES[word]}", buf, first)
    if max(entries) < p2m_size:
        return True
    frames = bytearray(buf[first:end])
    frames[TOP::word] = types.translate(_LOW)
    if max(unpack_from(f"<{count}{CODES[word]}", frames)) < p2m_size:
        return True
    mask, shift = tables.LEGACY_PFN_MASK, tables.LEGACY_TYPE_SHIFT
    return all(entry & mask < p2m_size or entry >> shift == _XTAB for entry in entries)
