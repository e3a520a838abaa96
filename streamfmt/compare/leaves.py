"""A body as leaves: every field that the schema knows, by its path, down into what is inside payloads.

An element of a list is called by what says which it is, where something does: so lists that say the same in another
order have the same leaves.  What does not fit its layout is one leaf of bytes: nothing here judges.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ..codec.decode import Scopes, layouts, referred, times, values_of
from ..codec.payload import ORDER, within
from ..codec.payload import name as entry_name
from ..schema import features, hvm_params
from ..schema.model import TO_NUL, Block, Choice, Field, Item, Layout, Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Value: TypeAlias = int | str | bytes
    # A name, the lowest bit that it is about, and how many.
    Bits: TypeAlias = tuple[str, int, int]
    Leaves: TypeAlias = dict[str, "Leaf"]

# Leaves that are kept of one body; what comes after them is one leaf of bytes.
LEAVES_MAX = 1 << 14
# Names of fields that say nothing where they are zero.
_NOTHING = ("reserved", "pad", "_pad", "unused", "other")
_REST, _EXCESS, _COUNT = "rest", "excess", "count"
# How paths begin of payloads, and end of lists of MSRs.
_PAYLOADS, _MSRS = ("hvm.", "pv."), ".msrs"
# Where an entry of an HVM context has what is known by its type.
_DATA = "data."


class Leaf(NamedTuple):
    """A value; `row` is the field that it is of, if it is of one, and `bits` what its bits are called."""

    value: Value
    row: Field | None = None
    bits: tuple[Bits, ...] = ()


def leaves(path: str, raw: bytes, order: str, width: int = 0) -> Leaves:
    """The leaves of a record's body, of the schema path `path`.

    :param width: bytes of a PV guest's word, 0 if not known.
    """
    walk = _Walk(raw, width)
    layout = layouts().get(path)
    end = walk.items(layout, layout.items, 0, order, "", ({},)) if layout is not None else 0
    if end < len(raw):
        walk.found[_EXCESS if layout is not None else "body"] = Leaf(raw[end:])
    return walk.found


def of_payload(layout: Layout, raw: bytes, width: int = 0) -> Leaves:
    """The leaves of what lies inside a record for somebody else."""
    walk = _Walk(raw, width)
    end = walk.items(layout, layout.items, 0, ORDER, "", ({},))
    if end < len(raw):
        walk.found[_EXCESS] = Leaf(raw[end:])
    return walk.found


class _Walk:
    """Goes through bytes by their layout; `found` are the leaves."""

    def __init__(self, raw: bytes, width: int) -> None:
        self.found: Leaves = {}
        # How many there were of those that came more than once, so that many of them take no longer.
        self._times: dict[str, int] = {}
        self._raw = raw
        self._width = width

    def items(self, layout: Layout, items: tuple[Item, ...], at: int, order: str, path: str, scopes: Scopes) -> int:
        """The leaves of items from `at` on; where what could be read of them ends."""
        for item in items:
            if isinstance(item, Choice):
                chosen = item.chosen(referred(item.on, scopes))
                at = self.items(layout, chosen, at, order, path, scopes)
                continue
            block = isinstance(item, Block)
            if isinstance(item, Block):
                end = self._block(layout, item, at, order, path, scopes)
            else:
                end = self._part(layout, item, at, order, path, scopes)
            if end < 0:
                return at if block else len(self._raw)
            at = end
        return at

    def _put(self, path: str, leaf: Leaf) -> None:
        name, number = path, self._times.get(path, 1)
        while name in self.found:
            number += 1
            name = f"{path} ({number})"
        if number > 1:
            self._times[path] = number
        self.found[name] = leaf

    def _block(self, layout: Layout, block: Block, at: int, order: str, path: str, scopes: Scopes) -> int:
        raw = self._raw[at : at + block.size]
        if len(raw) < block.size:
            return -1
        values = values_of(block.fields, raw, order)
        scopes[0].update(values)
        for row in block.fields:
            value = values[row.path]
            if row.path in layout.counting or _says_nothing(row, value):
                continue
            inner = within(layout.path, row.path, scopes[0], row.size, self._width) if row.raw else None
            name = _joined(path, row.path)
            if inner is None:
                self._put(name, Leaf(value, row, register_bits(layout.path, row.path)))
            else:
                self._inside(inner, raw[row.offset : row.offset + row.size], name)
        return at + block.size

    def _part(self, layout: Layout, part: Part, at: int, order: str, path: str, scopes: Scopes) -> int:
        name, raw = _joined(path, part.name), self._raw
        if part.count == TO_NUL:
            end = raw.find(b"\0", at)
            text = raw[at : end if end >= 0 else len(raw)]
            scopes[0][part.name] = text
            self._put(name, Leaf(text.decode(errors="backslashreplace")))
            return end + 1 if end >= 0 else -1
        count = times(part, scopes)
        if part.element is not None:
            return self._list(part, part.element, at, order, name, count, scopes)
        size = len(raw) - at if count is None else min(count * part.unit, len(raw) - at)
        data = raw[at : at + size]
        scopes[0][part.name] = data
        inner = within(layout.path, part.name, scopes[0], size, self._width) if data else None
        if inner is not None:
            self._inside(inner, data, name)
        elif data:
            self._put(name, Leaf(data))
        return at + size if count is None or size == count * part.unit else self._short(name, count)

    def _short(self, path: str, count: int | None) -> int:
        """The body ends before as much of a part has come as there should be."""
        if count is not None:
            self._put(_joined(path, _COUNT), Leaf(count))
        return -1

    def _inside(self, layout: Layout, raw: bytes, path: str) -> None:
        """What lies there for somebody else."""
        for name, leaf in of_payload(layout, raw, self._width).items():
            self._put(_joined(path, name), leaf)

    def _list(
        self, part: Part, element: Layout, at: int, order: str, path: str, count: int | None, scopes: Scopes
    ) -> int:
        raw, place = self._raw, 0
        while at < len(raw) if count is None else place < count:
            if len(self.found) > LEAVES_MAX:
                self._put(_joined(path, _REST), Leaf(raw[at:]))
                return len(raw)
            base = at if part.unit else 0
            walk = _Walk(raw[at : at + part.unit] if part.unit else raw, self._width)
            values: dict[str, Any] = {}
            end = base + walk.items(element, element.items, at - base, order, "", (values, *scopes))
            if end <= at or end < at + part.unit:
                if at < len(raw):
                    self._put(_joined(path, _REST), Leaf(raw[at:]))
                return self._short(path, count)
            self._element(element, values, walk.found, path, place)
            at, place = end, place + 1
        return at

    def _element(self, element: Layout, values: dict[str, Any], found: Leaves, path: str, place: int) -> None:
        """An element by what says which it is; one that is a name and its value by that name alone."""
        fields = {row.path: row for row in element.fields}
        if "index" in values and "value" in values:
            index, value = values["index"], values["value"]
            path = fields["index"].names.get(index) or _by_number(element.path, index)
            if value or not fields["index"].names:
                # A parameter that is zero is one that nothing has set, and savers leave those out.
                self._put(path, Leaf(value, fields["value"], number_bits(element.path, index)))
            found = {key: leaf for key, leaf in found.items() if key not in ("index", "value") and leaf.value}
        elif "leaf" in values and "subleaf" in values:
            # So is a leaf of zeros.
            path = leaf_name(values["leaf"], values["subleaf"])
            for key, leaf in found.items():
                if key not in ("leaf", "subleaf") and leaf.value:
                    bits = leaf_bits(values["leaf"], values["subleaf"], key)
                    self._put(f"{path} {key}", leaf._replace(bits=bits))
            return
        elif "typecode" in values:
            path = entry_name(values)
            found = {
                key.removeprefix(_DATA): leaf for key, leaf in found.items() if key not in ("typecode", "instance")
            }
        elif isinstance(values.get("key"), bytes) and "value" in found:
            self._put(values["key"].decode(errors="backslashreplace"), found["value"])
            return
        else:
            path = f"{path}[{place}]"
        for key, leaf in found.items():
            self._put(_joined(path, key), leaf)


# -- names ---------------------------------------------------------------------------------------------------------


def _by_number(path: str, index: int) -> str:
    """What an MSR is called, or another thing that only has a number."""
    return f"{index:#x} {features.MSR_NAMES.get(index, '') if path.endswith(_MSRS) else ''}".strip()


def leaf_name(leaf: int, subleaf: int) -> str:
    """What a leaf of CPUID is called: "leaf 0x7.0"."""
    return f"leaf {leaf:#x}" + ("" if subleaf == features.NONE else f".{subleaf}")


@cache
def _by_place() -> dict[tuple[object, ...], tuple[Bits, ...]]:
    """What each register of each leaf has."""
    found: dict[tuple[object, ...], list[Bits]] = {}
    for row in features.FEATURES:
        found.setdefault(row[:3], []).append((row.name, row.shift, row.bits))
    return {place: tuple(rows) for place, rows in found.items()}


def leaf_bits(leaf: int, subleaf: int, register: str) -> tuple[Bits, ...]:
    """What a leaf has in a register."""
    return _by_place().get((leaf, subleaf, register), ())


@cache
def number_bits(path: str, index: int) -> tuple[Bits, ...]:
    """What an MSR's value has, or that of another thing that only has a number."""
    if path.endswith(_MSRS):
        return tuple((name, bit, 1) for bit, name in features.MSR_BITS.get(index, {}).items())
    # A parameter that is more than bits says most as a whole.
    rows = hvm_params.FIELDS.get(index, ())
    return tuple((row.name, row.shift, 1) for row in rows) if all(row.bits == 1 for row in rows) else ()


@cache
def register_bits(path: str, field: str) -> tuple[Bits, ...]:
    """What a register of a payload has."""
    names = features.FIELD_BITS.get(path, {}).get(field)
    if names is None and path.startswith(_PAYLOADS):
        names = features.REGISTER_BITS.get(field.rpartition(".")[2])
    return tuple((name, bit, 1) for bit, name in (names or {}).items())


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _says_nothing(row: Field, value: int | bytes) -> bool:
    """Whether a field is reserved, and zero."""
    last = row.path.rpartition(".")[2]
    return last.startswith(_NOTHING) and not (any(value) if isinstance(value, bytes) else value)
