"""What is replaced in the frames of QEMU's stream: what pages hold, states of devices, and the guest's UUID.

Names of devices, of blocks and of machines stay, and the description, which has no values.
"""

from __future__ import annotations

from .. import tables
from ..reader.qemu_sizes import WORD, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..io.spans import Span
    from ..reader.events import Record
    from .scrub_overlay import Row

    Body = Callable[[Span, Record, int], list[Row]]

_PAGE = tables.QEMU_PAGE_SIZE
# Bytes of a section's header before its name, the last of which is how long that is; and of a word before its block's.
_NAMED, _WORD_NAMED = (tables.SIZES[f"qemu.{path}"] for path in ("SECTION_FULL", "RAM_PAGE_OF"))
# Of a page's changes, and of one that is compressed: what is before its length, and bytes of that.
_LENGTHS = {tables.QEMU_RAM_XBZRLE: (1, 2), tables.QEMU_RAM_COMPRESSED: (0, 4)}
_LENGTHS |= {
    named: _LENGTHS[plain]
    for named, plain in (
        (tables.QEMU_RAM_XBZRLE_OF, tables.QEMU_RAM_XBZRLE),
        (tables.QEMU_RAM_COMPRESSED_OF, tables.QEMU_RAM_COMPRESSED),
    )
}
# What a channel's packet of pages has before these.
_OFFSETS = tables.SIZES["qemu-multifd.PAGES"] + tables.UNITS["qemu-multifd.PAGES"][0] * tables.QEMU_MULTIFD_OFFSETS


def _after(skip: int) -> Body:
    return lambda span, record, stop: [(record.body + skip, stop, None)]


def _begun(span: Span, record: Record, stop: int) -> list[Row]:
    """What comes after a section's header."""
    head = span.read(record.body, _NAMED)
    return [(record.body + size_of("SECTION_FULL", head[-1], 0), stop, None)] if len(head) == _NAMED else []


def _uuid(span: Span, record: Record, stop: int) -> list[Row]:
    head = span.read(record.body, size_of("SUBSECTION", len(tables.QEMU_UUID), 0))
    return [(record.body + len(head), stop, None)] if tables.QEMU_UUID in head else []


def _pages(span: Span, record: Record, stop: int) -> list[Row]:
    """What whole pages hold, each after a word."""
    return [(at + WORD, min(at + WORD + _PAGE, stop), None) for at in range(record.body, stop, WORD + _PAGE)]


def _packed(span: Span, record: Record, stop: int) -> list[Row]:
    """What pages hold that come as changes, or compressed, each after its length."""
    skip, size = _LENGTHS[record.type]
    found: list[Row] = []
    at = record.body
    while at < stop:
        start = at + WORD + skip + size
        at = start + int.from_bytes(span.read(start - size, size), "big")
        found.append((start, min(at, stop), None))
    return found


def _of_block(span: Span, record: Record, stop: int) -> list[Row]:
    """The same of one page, whose block has a name."""
    head = span.read(record.body, _WORD_NAMED)
    if len(head) < _WORD_NAMED:
        return []
    skip, size = _LENGTHS.get(record.type, (0, 0))
    return [(record.body + _WORD_NAMED + head[-1] + skip + size, stop, None)]


BODIES: dict[str, Body] = {
    f"qemu.{name}": rows
    for name, rows in {
        "SUBSECTION": _uuid,
        "SECTION_START": _begun,
        "SECTION_FULL": _begun,
        "SECTION_PART": _after(size_of("SECTION_PART", 0)),
        "SECTION_END": _after(size_of("SECTION_END", 0)),
        "SECTION_DATA": _after(0),
        "RAM_PAGE": _pages,
        "RAM_PAGE_OF": _of_block,
        "RAM_XBZRLE": _packed,
        "RAM_XBZRLE_OF": _of_block,
        "RAM_COMPRESSED": _packed,
        "RAM_COMPRESSED_OF": _of_block,
        "RAM_MAPPED_PAGES": _after(0),
    }.items()
} | {
    "qemu-multifd.PAGES": _after(_OFFSETS),
    "qemu-multifd.DEVICE_STATE": _after(tables.SIZES["qemu-multifd.DEVICE_STATE"]),
}
