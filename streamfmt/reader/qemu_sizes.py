"""How long the records of QEMU's stream are by the schema, which is all that says it beside their own counts."""

from __future__ import annotations

from .. import tables


def size_of(path: str, *counts: int) -> int:
    """Bytes of a body, or an element, of that schema path without the layer: with so many of each part that varies.

    A part whose elements are not alike in size is counted in bytes.
    """
    path = f"qemu.{path}"
    units = tables.UNITS.get(path, ())
    fixed: int = tables.LEAST.get(path, tables.SIZES[path])
    return fixed + sum(count * (unit or 1) for count, unit in zip(counts, units, strict=True))


def field(path: str, name: str, raw: bytes | bytearray, at: int = 0) -> int:
    """The number of a field of the fixed ones that such a body begins with, which begins at `at` in `raw`."""
    place, size = tables.PLACES[f"qemu.{path}"][name]
    return int.from_bytes(raw[at + place : at + place + size], "big")


# Before a frame; a word of the memory's; what a section's header has after its name.
TYPE: int = tables.SIZES["qemu.record_header"]
WORD = size_of("RAM_EOS")
AFTER_NAME = size_of("SECTION_FULL", 0, 0) - tables.SIZES["qemu.SECTION_FULL"]
NUMBER = size_of("SECTION_FOOTER")
NAME_MAX = (1 << 8) - 1
