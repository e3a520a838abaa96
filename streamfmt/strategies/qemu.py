"""Conforming streams of QEMU: records of devices, with footers or without, and migrations of each kind there is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from ..schema import qemu_stream as schema
from ..writer import Draft, Part
from ..writer import qemu as parts
from ..writer.qemu import Device
from .images import Plan
from .sample import Sample
from .vfio import sections

_PAGE = schema.PAGE_SIZE
_NAMES = ("timer", "i8259", "apic", "0000:00:02.0/vga", "cpu_common")
_BLOCKS = ("pc.ram", "pc.rom", "vga.vram")
# Records of a stream with devices alone.
_PLAIN = frozenset(f"qemu.{name}" for name in ("header", "SECTION_FULL", "SECTION_FOOTER", "EOF"))
_payloads = st.binary(max_size=24)


def stream(draw: st.DrawFn, plan: Plan) -> Draft:
    """A stream of one of the kinds that have what the plan needs."""
    kinds = [make for make, has in _KINDS.items() if set(plan.need) & _ALL <= has | _PLAIN]
    assume(kinds)
    found = Draft(tuple(draw(st.sampled_from(kinds))(draw)))
    # What a device's state is may be taken for the end of it.
    assume(Sample(found, "qemu").verify().findings == [])
    return found


def _devices(draw: st.DrawFn, first: int, least: int = 0) -> list[Device]:
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=least, max_size=3))
    return [Device(name, draw(_payloads), draw(st.integers(0, 4)), number) for number, name in enumerate(names, first)]


def _record(draw: st.DrawFn) -> Iterator[Part]:
    """A record of devices."""
    rows = _devices(draw, 0)
    # The end of a device without a footer is only seen by what follows.
    yield from parts.device_record(rows, draw(st.booleans()))


def _end(draw: st.DrawFn, first: int, described: bool = True) -> Iterator[Part]:
    """Devices, EOF, and maybe a description of them."""
    rows = _devices(draw, first)
    yield from parts.devices(first, rows)
    yield parts.frame("EOF")
    if described and draw(st.booleans()):
        yield parts.description(rows)


def _words(draw: st.DrawFn, name: str, pages: int) -> Iterator[Part]:
    """Words that bring all pages of a block."""
    page = 0
    while page < pages:
        count = draw(st.integers(1, pages - page))
        some = range(page, page + count)
        data = bytes([draw(st.integers(0, 255))]) * _PAGE
        if not page:
            yield parts.page_of(name, 0, data) if draw(st.booleans()) else parts.zero_of(name)
            some = range(1, count)
        if some:
            yield parts.pages(dict.fromkeys(some, data)) if draw(st.booleans()) else parts.zeros(some)
        page += count


def _sizes(draw: st.DrawFn) -> dict[str, int]:
    names = draw(st.lists(st.sampled_from(_BLOCKS), min_size=1, max_size=2, unique=True))
    return {name: draw(st.integers(1, 3)) for name in names}


def _migration(draw: st.DrawFn) -> Iterator[Part]:
    """A migration of whole pages, and of changes."""
    footers = draw(st.booleans())
    sizes = _sizes(draw)
    yield from parts.opening(draw(st.sampled_from((parts.MACHINE, b"none", None))))
    yield from parts.memory("SECTION_START", 2, parts.blocks(sizes), footers)
    inside = [part for name, pages in sizes.items() for part in _words(draw, name, pages)]
    yield from parts.memory("SECTION_PART", 2, inside, footers)
    if draw(st.booleans()):
        yield parts.command("SWITCHOVER_START")
    yield from parts.memory("SECTION_END", 2, _again(draw, [*sizes]), footers)
    rows = _devices(draw, 3)
    yield from parts.devices(3, rows, footers)
    yield parts.frame("EOF")
    if draw(st.booleans()):
        yield parts.description(rows)


def _again(draw: st.DrawFn, names: list[str]) -> Iterator[Part]:
    """Changes of pages, and what says that channels have to be waited for."""
    changes = b"\0\1" + bytes([draw(st.integers(0, 255))])
    if draw(st.booleans()):
        word = {"word.page": 0, "changes": changes}
        yield parts.frame("RAM_XBZRLE_OF", name=names[0].encode(), **word)
        yield parts.frame("RAM_XBZRLE", pages=[word])
    if draw(st.booleans()):
        yield parts.frame("RAM_FLUSH", **{"word.page": 0})


def _compressed(draw: st.DrawFn) -> Iterator[Part]:
    """A migration of compressed pages."""
    data = [zlib.compress(bytes([draw(st.integers(0, 255))]) * _PAGE) for _ in range(2)]
    yield from parts.opening()
    yield from parts.memory("SECTION_START", 2, parts.blocks({"pc.ram": 2}))
    words = [
        parts.frame("RAM_COMPRESSED_OF", name=b"pc.ram", data=data[0], **{"word.page": 0}),
        parts.frame("RAM_COMPRESSED", pages=[{"word.page": 1, "data": data[1]}]),
    ]
    yield from parts.memory("SECTION_END", 2, words)
    yield from _end(draw, 3)


def _configured(draw: st.DrawFn) -> Iterator[Part]:
    """A migration that leaves shared memory out."""
    yield from parts.opening(b"none", (schema.IGNORE_SHARED,))
    yield parts.subsection(schema.UUID, draw(st.binary(min_size=16, max_size=16)))
    sizes = _sizes(draw)
    yield from parts.memory("SECTION_START", 1, parts.blocks(sizes, "RAM_BLOCK_AT", address=0))
    words = [part for name, pages in sizes.items() if draw(st.booleans()) for part in _words(draw, name, pages)]
    yield from parts.memory("SECTION_END", 1, words)
    yield from _end(draw, 3)


def _postcopy(draw: st.DrawFn) -> Iterator[Part]:
    """A migration that might have ended by post-copy, and has its devices in a package."""
    shared = draw(st.booleans())
    yield from parts.opening(b"none", (schema.IGNORE_SHARED,) if shared else ())
    yield parts.command("OPEN_RETURN_PATH")
    yield parts.command("PING", draw(st.binary(min_size=4, max_size=4)))
    yield parts.command("POSTCOPY_ADVISE", _PAGE.to_bytes(8, "big") * 2)
    pages = draw(st.integers(1, 3))
    sized = draw(st.booleans())
    more = ({"page_size": 2 << 20} if sized else {}) | ({"address": 0} if shared else {})
    kind = f"RAM_BLOCK{'_SIZED' if sized else ''}{'_AT' if shared else ''}"
    listed = parts.blocks({"ram": pages}, kind, **more)
    yield from parts.memory("SECTION_START", 1, listed)
    words = [*_words(draw, "ram", pages)]
    yield from parts.memory("SECTION_PART", 1, words)
    yield parts.command("POSTCOPY_RAM_DISCARD", b"\0\3ram\0" + bytes(8) + _PAGE.to_bytes(8, "big"))
    package = [*parts.devices(2, _devices(draw, 2)), parts.frame("EOF")]
    yield parts.command("PACKAGED", sum(part.extent for part in package).to_bytes(4, "big"))
    yield from package
    yield from parts.memory("SECTION_END", 1, words)
    yield parts.frame("EOF")


def _live(draw: st.DrawFn) -> Iterator[Part]:
    """A migration with a section that is sent in parts, and a long one."""
    yield from parts.opening(b"none")
    yield from parts.begin(2, Device("dirty-bitmap", b"\x1c\1"))
    yield from parts.part(2, draw(_payloads))
    yield from parts.part(2, b"\x20\1", last=True)
    long = Device("e1000", bytes(schema.PIECE) + draw(st.binary(min_size=1, max_size=9)), 2)
    yield from parts.devices(3, [long])
    yield from _end(draw, 4, described=False)


def _mapped(draw: st.DrawFn) -> Iterator[Part]:
    """A file in which pages have places of their own."""
    shared = draw(st.booleans())
    begin = [*parts.opening(b"none", (*([schema.IGNORE_SHARED] if shared else []), schema.MAPPED_RAM))]
    pages = draw(st.integers(1, 2))
    hole = draw(st.integers(0, 9))
    sized = {"version": 1, "page_size": _PAGE, "bitmap_offset": 0, "pages_offset": 0} | (
        {"address": 0} if shared else {}
    )
    total, block = parts.blocks({"ram": pages}, f"RAM_BLOCK_MAPPED{'_AT' if shared else ''}", **sized)
    block = replace(block, values={**block.values, "bitmap": bytes(8)})
    head, *rest = parts.memory("SECTION_START", 1, ())
    bitmap = sum(part.extent for part in (*begin, head, total, block))
    bitmap -= 8  # which is the last of it
    yield from (*begin, head, total)
    yield replace(block, values={**block.values, "bitmap_offset": bitmap, "pages_offset": bitmap + 8 + hole})
    yield parts.frame("RAM_MAPPED_PAGES", pages=bytes(hole + pages * _PAGE))
    yield from rest
    yield from parts.memory("SECTION_END", 1, ())
    yield from _end(draw, 2)


def _has(*names: str) -> frozenset[str]:
    return frozenset(f"qemu.{name}" for name in names)


_MEMORY = _has("CONFIGURATION", "SECTION_START", "SECTION_END", "RAM_TOTAL", "RAM_EOS", "VMDESCRIPTION")
_ROWS = _has("SECTION_PART", "RAM_ZERO", "RAM_ZERO_OF", "RAM_PAGE", "RAM_PAGE_OF", "RAM_BLOCK")
# The smallest first: examples shrink towards it.  Each with the records that it has, or may have.
_KINDS: dict[Callable[[st.DrawFn], Iterator[Part]], frozenset[str]] = {
    _record: frozenset(),
    _migration: _MEMORY | _ROWS | _has("COMMAND", "RAM_FLUSH", "RAM_XBZRLE", "RAM_XBZRLE_OF"),
    _compressed: _MEMORY | _has("RAM_BLOCK", "RAM_COMPRESSED", "RAM_COMPRESSED_OF"),
    _configured: _MEMORY | _ROWS - _has("SECTION_PART", "RAM_BLOCK") | _has("SUBSECTION", "RAM_BLOCK_AT"),
    _postcopy: _MEMORY - _has("VMDESCRIPTION")
    | _ROWS
    | _has("COMMAND", "RAM_BLOCK_SIZED", "RAM_BLOCK_SIZED_AT", "RAM_BLOCK_AT"),
    _live: _has("CONFIGURATION", "SECTION_START", "SECTION_PART", "SECTION_END", "SECTION_DATA"),
    sections: _has("CONFIGURATION", "SECTION_START", "SECTION_PART", "SECTION_END"),
    _mapped: _MEMORY | _has("SUBSECTION", "RAM_BLOCK_MAPPED", "RAM_BLOCK_MAPPED_AT", "RAM_MAPPED_PAGES"),
}
_ALL = frozenset().union(*_KINDS.values())
