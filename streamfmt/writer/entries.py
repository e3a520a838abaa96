"""How entries of pages are laid out in records that have some: an image's, and a legacy stream's of either width."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..codec.decode import layouts
from ..schema import legacy, libxc
from .part import RECORDS

# Types of pages that have contents, by name.
DATA_TYPES = frozenset(row.name for row in (*libxc.PAGE_TYPES, *legacy.PAGE_TYPES) if row.data)


@dataclass(frozen=True, slots=True)
class Shape:
    """The entries of records of pages of one schema path.

    :param path: the record's.
    :param size: of an entry, in bytes.
    :param bits: of a frame's number, which is in the lowest.
    :param codes: types by name, in their place.
    :param names: the same the other way round.
    :param filled: those of them that have contents, in their place.
    :param kind: where in an entry the type is.
    :param fields: name, shift and bits of each field.
    """

    path: str
    size: int
    bits: int
    codes: dict[str, int]
    names: dict[int, str]
    filled: frozenset[int]
    kind: int
    fields: tuple[tuple[str, int, int], ...]

    def frame(self, entry: int) -> int:
        """An entry's frame."""
        return entry & (1 << self.bits) - 1

    def type(self, entry: int) -> str:
        """The name of an entry's type; empty if there is none of that number."""
        return self.names.get(entry & self.kind, "")

    def plain(self, entries: Iterable[int]) -> bool:
        """Whether entries have types that there are, and nothing where nothing has a meaning."""
        tops = {entry >> self.bits << self.bits for entry in entries}
        return tops <= self.names.keys()

    def with_contents(self, entries: Iterable[int]) -> list[int]:
        """Frames of those entries that contents belong to."""
        mask = (1 << self.bits) - 1
        return [entry & mask for entry in entries if entry & self.kind in self.filled]

    def values(self, entry: int) -> dict[str, Any]:
        """An entry's fields; its type by name if it has one."""
        found: dict[str, Any] = {}
        for name, shift, bits in self.fields:
            value = entry >> shift & (1 << bits) - 1
            if name == "type":
                found[name] = self.type(entry) or value
            elif value or name == "pfn":
                found[name] = value
        return found

    def word(self, values: dict[str, int]) -> int:
        """An entry of fields, all of them numbers."""
        return sum(values[name] << shift for name, shift, _ in self.fields)


def _shape(path: str) -> Shape:
    element = next(part.element for part in layouts()[path].parts if part.name == "entries")
    assert element is not None
    rows = {row.path: row for row in element.fields}
    kind = rows["type"]
    codes = {name: code << kind.shift for code, name in sorted(kind.names.items())}
    return Shape(
        path,
        element.size,
        rows["pfn"].bits,
        codes,
        {code: name for name, code in codes.items()},
        frozenset(code for name, code in codes.items() if name in DATA_TYPES),
        (1 << kind.bits) - 1 << kind.shift,
        tuple(
            (name, rows[name].shift, rows[name].bits) for name in sorted(rows, key=("type", "pfn", "reserved").index)
        ),
    )


# By the record's schema path.
SHAPES = {
    path: _shape(path) for path in RECORDS if {"entries", "pages"} <= {part.name for part in layouts()[path].parts}
}
IMAGE = SHAPES["libxc.PAGE_DATA"]
