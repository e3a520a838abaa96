"""Headers and bodies decoded by their descriptions, whatever values they hold.

Values that a rule forbids are decoded like others: judging is the verifier's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, TypeAlias

from ..errors import LayoutError
from ..schema.catalogue import catalogue
from ..schema.model import TO_NUL, Block, Field, Item, Layout, Part, Reference

# The values of a layout so far, then those of the layouts whose lists it is in, from the inside out.
Scopes: TypeAlias = tuple[dict[str, Any], ...]


@cache
def layouts() -> dict[str, Layout]:
    """The schema's description of every header and record, made once."""
    return catalogue()


def fixed(layout: Layout, raw: bytes, order: str) -> dict[str, Any]:
    """The fields that the layout begins with and that lie whole within `raw`; `order` is struct's byte order."""
    return values_of(layout.fields, raw, order)


def values_of(fields: Iterable[Field], raw: bytes, order: str) -> dict[str, Any]:
    """The fields of a block that lie whole within `raw`, its bytes."""
    word = "big" if order == ">" else "little"
    return {
        row.path: raw[row.offset : row.offset + row.size] if row.raw else row.value(raw, word)
        for row in fields
        if row.offset + row.size <= len(raw)
    }


def whole(layout: Layout, raw: bytes, order: str) -> dict[str, Any]:
    """All that the layout declares: fixed fields by name, and each variable part as bytes or a list.

    Names within structures and the cases of a choice are dotted.  Raises LayoutError where `raw` is not as long as its
    own counts and lengths say.
    """
    values, end = element(layout, raw, 0, order, ())
    if end != len(raw):
        raise LayoutError(f"{len(raw) - end} bytes more than its fields need", end)
    return values


def element(layout: Layout, raw: bytes, at: int, order: str, outer: Scopes) -> tuple[dict[str, Any], int]:
    """What lies at `at` by that layout, and where it ends.  Raises LayoutError."""
    values: dict[str, Any] = {}
    return values, _items(layout.items, raw, at, order, (values, *outer))


def referred(ref: Reference, scopes: Scopes) -> Any:
    """The value of a field that counts or chooses."""
    return scopes[ref.up][ref.field.path]


def _items(items: tuple[Item, ...], raw: bytes, at: int, order: str, scopes: Scopes) -> int:
    """The values of items from `at` on, into the innermost scope; where they end."""
    for item in items:
        if isinstance(item, Block):
            if at + item.size > len(raw):
                raise LayoutError(f"{at + item.size - len(raw)} bytes short of its fixed fields", at)
            scopes[0].update(values_of(item.fields, raw[at : at + item.size], order))
            at += item.size
        elif isinstance(item, Part):
            scopes[0][item.name], at = part(item, raw, at, order, scopes)
        else:
            at = _items(item.chosen(referred(item.on, scopes)), raw, at, order, scopes)
    return at


def part(row: Part, raw: bytes, at: int, order: str, scopes: Scopes) -> tuple[Any, int]:
    """The value of a part that begins at `at`, and where it ends.  Raises LayoutError."""
    if row.count == TO_NUL:
        end = raw.find(b"\0", at)
        if end < 0:
            raise LayoutError(f"{row.name} has no NUL at its end", at)
        return raw[at:end], end + 1
    count = times(row, scopes)
    if count is not None and (row.unit or (row.element.least if row.element else 0)) * count > len(raw) - at:
        raise LayoutError(f"{row.count} is {count}, and there are {len(raw) - at} bytes", at)
    if row.element is None:
        end = len(raw) if count is None else at + row.unit * count
        if not row.listed:
            return raw[at:end], end
        last = end - (end - at) % row.unit
        return [raw[start : start + row.unit] for start in range(at, last, row.unit)], last
    found: list[Any] = []
    while at < len(raw) if count is None else len(found) < count:
        values, at = element(row.element, raw, at, order, scopes)
        found.append(values[""] if values.keys() == {""} else values)
    return found, at


def times(row: Part, scopes: Scopes) -> int | None:
    """How often a part's element is there; None where it goes as far as the bytes do."""
    if row.counted is None:
        return row.times
    count: int = referred(row.counted, scopes)
    return count
