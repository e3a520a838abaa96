"""What records and entries carry for somebody else, decoded by the declarations of payloads when one is met.

A payload's integers lie as the processor has them, little-endian, whatever byte order the stream has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ..payload_tables import ENTRY_NAMES, FORMS, PLACES
from ..schema.model import Block, Field, Item, Layout, Part
from .decode import Scopes, referred, times, values_of

ORDER = "<"
# The block of a legacy stream's extended info that has a vcpu's registers.
_REGISTERS = b"vcpu"
# Gives a value of a field as it is to be shown.
Plain = Callable[[Field, Any], Any]


@cache
def payloads() -> dict[str, Layout]:
    """The layout of every payload by path, made once."""
    from ..schema.payloads import catalogue

    return catalogue()


def form(place: str, size: int) -> str:
    """The path of the payload that is so long, or of whatever length; empty if there is none."""
    forms = FORMS.get(place, {})
    return forms.get(size) or forms.get(0, "")


def within(path: str, item: str, values: Mapping[str, Any], size: int, width: int = 0) -> Layout | None:
    """The layout of what lies in a field or a part of a record or an element; None if that is not known.

    :param path: of the layout that has it.
    :param item: the field's or the part's path there.
    :param values: fields before it.
    :param size: its bytes.
    :param width: bytes of a PV guest's word, 0 if not known.
    """
    place = PLACES.get(path, {}).get(item)
    if place is None or values.get("id", _REGISTERS) != _REGISTERS:
        return None
    if not place:
        kind = ENTRY_NAMES.get(values.get("typecode", -1))
        found = form(f"hvm.{kind}", size) if kind else ""
    else:
        found = form(place, width if {*FORMS[place]} == {4, 8} else size)
    return payloads()[found] if found else None


def name(values: Mapping[str, Any]) -> str:
    """What an entry of an HVM context is called: by its type, and its instance where there may be several."""
    kind = ENTRY_NAMES.get(values["typecode"], f"type {values['typecode']}")
    return f"{kind}[{values['instance']}]" if values["instance"] else kind


def tree(layout: Layout, raw: bytes, plain: Plain) -> dict[str, Any]:
    """A payload's fields by name, as `plain` gives them, as far as `raw` has them whole; what is over is `excess`."""
    values: dict[str, Any] = {}
    end = _items(layout.items, raw, 0, values, ({},), plain)
    if 0 <= end < len(raw):
        values["excess"] = raw[end:].hex()
    return values


def _items(items: tuple[Item, ...], raw: bytes, at: int, into: dict[str, Any], scopes: Scopes, plain: Plain) -> int:
    """The values of items from `at` on; where they end, -1 if the bytes end first."""
    for item in items:
        if isinstance(item, Block):
            found = values_of(item.fields, raw[at : at + item.size], ORDER)
            scopes[0].update(found)
            into.update({row.path: plain(row, found[row.path]) for row in item.fields if row.path in found})
            at = at + item.size if at + item.size <= len(raw) else -1
        elif isinstance(item, Part):
            at = _part(item, raw, at, into, scopes, plain)
        else:
            at = _items(item.chosen(referred(item.on, scopes)), raw, at, into, scopes, plain)
        if at < 0:
            break
    return at


def _part(part: Part, raw: bytes, at: int, into: dict[str, Any], scopes: Scopes, plain: Plain) -> int:
    """The value of one part; where it ends, -1 if the bytes end first."""
    count = times(part, scopes)
    room = (len(raw) - at) // (part.unit or 1)
    there = room if count is None else min(count, room)
    end = at + there * part.unit
    if part.element is None:
        blocks = [raw[start : start + part.unit].hex() for start in range(at, end, part.unit)]
        into[part.name] = blocks if part.listed else raw[at:end].hex()
    else:
        found: list[Any] = []
        for place in range(at, end, part.unit):
            element: dict[str, Any] = {}
            _items(part.element.items, raw, place, element, ({}, *scopes), plain)
            found.append(element[""] if element.keys() == {""} else element)
        into[part.name] = found
    return end if count is None or there == count else -1
