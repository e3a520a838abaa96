"""Sample streams of QEMU: migrations of whole pages, of zero pages, and a file whose pages have places of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from random import Random
from struct import pack_into

from ..codec.content import Made
from ..schema import qemu_stream as schema
from ..writer import qemu
from ..writer.draft import Draft
from ..writer.part import Part, raw

_PAGE = schema.PAGE_SIZE
# The least of a guest's memory: a page that names its block, and another.
_LEAST = 2
# As machine none has it: one block.
_MACHINE, _BLOCK = b"none", "ram"
_MEMORY, _DEVICE = 1, 2
_DEVICES = (qemu.Device("timer", bytes(24), 2),)
# Pages that are made at a time, which the kernel writes best in large pieces.
_AT_ONCE = 1024
_ALIGNED = 1 << 20


def _stream(size: int, flags: int, rest: bytes, first: Part) -> Draft:
    """A migration of `size` bytes of memory, each page of it sent as `rest` after a word with `flags`."""
    pages = max(size // _PAGE, _LEAST)
    made = partial(_words, pages, flags | schema.CONTINUE, rest)
    words = Made((pages - 1) * (8 + len(rest)), made)
    return Draft(
        (
            *qemu.opening(_MACHINE),
            *qemu.memory("SECTION_START", _MEMORY, qemu.blocks({_BLOCK: pages})),
            *qemu.memory("SECTION_END", _MEMORY, (first, raw(words))),
            *qemu.devices(_DEVICE, _DEVICES),
            qemu.frame("EOF"),
        )
    )


def _words(pages: int, flags: int, rest: bytes) -> Iterator[bytes]:
    """The words of all pages but the first."""
    step = 8 + len(rest)
    piece = bytearray((bytes(8) + rest) * _AT_ONCE)
    for first in range(1, pages, _AT_ONCE):
        count = min(pages - first, _AT_ONCE)
        for number in range(count):
            pack_into(">Q", piece, number * step, first + number << schema.PAGE_BITS | flags)
        yield bytes(piece[: count * step])


_DATA = Random(0).randbytes(_PAGE)


def whole(size: int) -> Draft:
    """A migration of whole pages."""
    return _stream(size, schema.PAGE, _DATA, qemu.page_of(_BLOCK, 0, _DATA))


def zero(size: int) -> Draft:
    """A migration of zero pages."""
    return _stream(size, schema.ZERO, bytes(1), qemu.zero_of(_BLOCK))


def mapped(size: int) -> Draft:
    """A file in which each page has its place, and content."""
    pages = max(size // _PAGE, _LEAST)
    begin = [*qemu.opening(_MACHINE, (schema.MAPPED_RAM,))]
    bitmap = (2**pages - 1).to_bytes(-(-pages // 64) * 8, "little")
    fixed = {"version": 1, "page_size": _PAGE, "bitmap_offset": 0, "pages_offset": 0}
    total, block = qemu.blocks({_BLOCK: pages}, "RAM_BLOCK_MAPPED", **fixed)
    head, *rest = qemu.memory("SECTION_START", _MEMORY, ())
    block = replace(block, values={**block.values, "bitmap": bitmap})
    end = sum(part.extent for part in (*begin, head, total, block))
    start = -(-end // _ALIGNED) * _ALIGNED
    places = {"bitmap_offset": end - len(bitmap), "pages_offset": start}
    block = replace(block, values={**block.values, **places})
    content = Made(start - end + pages * _PAGE, lambda: _pages(start - end, pages))
    return Draft(
        (
            *begin,
            head,
            total,
            block,
            qemu.frame("RAM_MAPPED_PAGES", pages=content),
            *rest,
            *qemu.memory("SECTION_END", _MEMORY, ()),
            *qemu.devices(_DEVICE, _DEVICES),
            qemu.frame("EOF"),
        )
    )


def _pages(ahead: int, pages: int) -> Iterator[bytes]:
    yield bytes(ahead)
    for first in range(0, pages, _AT_ONCE):
        yield _DATA * min(pages - first, _AT_ONCE)


SAMPLES = {"qemu": whole, "qemu-zero": zero, "qemu-mapped": mapped}
