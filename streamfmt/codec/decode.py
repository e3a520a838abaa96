"""Headers and bodies decoded by their descriptions, whatever values they hold.

Values that a rule forbids are decoded like others: judging is the verifier's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ..errors import LayoutError
from ..schema.model import Layout, Part, catalogue


@cache
def layouts() -> dict[str, Layout]:
    """The schema's description of every header and record, made once."""
    return catalogue()


def fixed(layout: Layout, raw: bytes, order: str) -> dict[str, Any]:
    """The layout's fixed fields that lie whole within `raw`; `order` is struct's byte order."""
    word = "big" if order == ">" else "little"
    return {
        row.path: raw[row.offset : row.offset + row.size] if row.raw else row.value(raw, word)
        for row in layout.fields
        if row.offset + row.size <= len(raw)
    }


def whole(layout: Layout, raw: bytes, order: str) -> dict[str, Any]:
    """All that the layout declares: fixed fields by name, and each variable part as octets or a list.

    Raises LayoutError where `raw` is not as long as its own counts and lengths say.
    """
    values, end = _values(layout, raw, 0, order)
    if end != len(raw):
        raise LayoutError(f"{len(raw) - end} octets more than its fields need", end)
    return values


def elements(layout: Layout, raw: bytes, order: str) -> Sequence[int]:
    """Where each element begins of the list that is the layout's first variable part, if it is whole."""
    part = layout.parts[0] if layout.parts else None
    if part is None or part.element is None:
        return ()
    count = fixed(layout, raw, order).get(part.count)
    if part.unit:
        whole = max(len(raw) - layout.size, 0) // part.unit
        return range(layout.size, layout.size + part.unit * min(whole, whole if count is None else count), part.unit)
    found: list[int] = []
    at = layout.size
    try:
        while at < len(raw) and (count is None or len(found) < count):
            start = at
            _, at = _values(part.element, raw, at, order)
            found.append(start)
    except LayoutError:
        pass  # the rest is not whole
    return found


def _values(layout: Layout, raw: bytes, at: int, order: str) -> tuple[dict[str, Any], int]:
    stop = at + layout.size
    if stop > len(raw):
        raise LayoutError(f"{stop - len(raw)} octets short of its fixed fields", at)
    values = fixed(layout, raw[at:stop], order)
    at = stop
    for part in layout.parts:
        values[part.name], at = _part(part, values, raw, at, order)
    return values, at


def _part(part: Part, values: dict[str, Any], raw: bytes, at: int, order: str) -> tuple[Any, int]:
    if part.count == "to a NUL":
        end = raw.find(b"\0", at)
        if end < 0:
            raise LayoutError(f"{part.name} has no NUL at its end", at)
        return raw[at:end], end + 1
    count = values.get(part.count)  # None where it goes to the end, or what comes before it says how often
    if count is not None and part.unit * count > len(raw) - at:
        raise LayoutError(f"{part.count} is {count}, and there are {len(raw) - at} octets", at)
    if part.element is None:
        end = len(raw) if count is None else at + part.unit * count
        if part.unit == 1:
            return raw[at:end], end
        last = end - (end - at) % part.unit
        return [raw[start : start + part.unit] for start in range(at, last, part.unit)], last
    found: list[Any] = []
    while at < len(raw) if count is None else len(found) < count:
        element, at = _values(part.element, raw, at, order)
        found.append(element[""] if element.keys() == {""} else element)
    return found, at
