"""What does not change from one encoding of a layout to the next, worked out once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import NamedTuple

from ..schema.model import Block, Choice, Field, Item, Layout, Part, layouts_within

# struct's letters for integers, by their bytes.
_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Row(NamedTuple):
    """A fixed field in a :class:`Head`: which word it lies in and where in that, and the values that it can have."""

    path: str
    word: int
    shift: int
    mask: int
    least: int
    most: int
    raw: int  # bytes of a field that is no integer
    codes: dict[str, int]
    default: int | bytes | None
    counted: Part | None  # what it counts if that is of the same layout and always there
    counts: tuple[Route, ...]


class Head(NamedTuple):
    """What does not change from one encoding of a block to the next.

    `packs` packs all its fields at once, by byte order; it is empty where no one format has them.
    """

    layout: Layout
    block: Block
    rows: list[Row]
    words: list[int | bytes]
    packs: dict[str, Struct]


class Route(NamedTuple):
    """How to come from the values of a layout to what one of its fields counts: to `part`, or by `inner` into it.

    It is there if the choices in `cases` are for those items.
    """

    cases: tuple[tuple[Choice, tuple[Item, ...]], ...]
    part: Part
    inner: Route | None


class Plan(NamedTuple):
    """What does not change from one encoding of a layout to the next.

    `known` are all names that its values can have, `steps` its items, blocks as their heads, unless it has a choice,
    and `heads` what there is for each block, by its identity.  `chooses` says whether there is a choice within.
    """

    known: frozenset[str]
    steps: list[Head | Part]
    heads: dict[int, Head]
    counts: dict[str, tuple[Route, ...]]
    chooses: bool


def planned(layout: Layout) -> Plan:
    """The layout's plan, which is made once."""
    if not layout.kept:
        layout.kept.append(_plan(layout))
    found: Plan = layout.kept[0]
    return found


def _plan(layout: Layout) -> Plan:
    routes: dict[str, list[Route]] = {}
    for up, path, route in _routes(layout.items, ()):
        if not up:
            routes.setdefault(path, []).append(route)
    counts = {path: tuple(found) for path, found in routes.items()}
    heads = {id(block): _head_of(layout, block, counts) for block in _blocks(layout.items)}
    return Plan(
        frozenset(row.item.path for row in layout.rows),
        [heads[id(item)] if isinstance(item, Block) else item for item in layout.items if not isinstance(item, Choice)],
        heads,
        counts,
        any(isinstance(item, Choice) for inner in layouts_within(layout) for item in inner.items),
    )


def _blocks(items: tuple[Item, ...]) -> Iterator[Block]:
    for item in items:
        if isinstance(item, Block):
            yield item
        elif isinstance(item, Choice):
            for _, inner in item.all:
                yield from _blocks(inner)


def _routes(
    items: tuple[Item, ...], cases: tuple[tuple[Choice, tuple[Item, ...]], ...]
) -> Iterator[tuple[int, str, Route]]:
    """For each part within that a field counts: how many lists around these items, which field, and the way there."""
    for item in items:
        if isinstance(item, Part):
            if item.counted is not None:
                yield item.counted.up, item.counted.field.path, Route(cases, item, None)
            for up, path, route in _routes(item.element.items, ()) if item.element is not None else ():
                if up:
                    yield up - 1, path, Route(cases, item, route)
        elif isinstance(item, Choice):
            for _, inner in item.all:
                yield from _routes(inner, (*cases, (item, inner)))


def _head_of(layout: Layout, block: Block, routes: Mapping[str, tuple[Route, ...]]) -> Head:
    places = sorted({(row.offset, row.size, row.raw) for row in block.fields})
    rows = [
        Row(
            row.path,
            places.index((row.offset, row.size, row.raw)),
            row.shift,
            (1 << row.bits) - 1,
            -(1 << row.bits - 1) if row.signed else 0,
            (1 << row.bits - row.signed) - 1,
            row.size if row.raw else 0,
            {word: code for code, word in row.names.items()},
            implied(row),
            _direct(routes.get(row.path, ())),
            routes.get(row.path, ()),
        )
        for row in block.fields
    ]
    words: list[int | bytes] = [bytes(size) if raw else 0 for _, size, raw in places]
    return Head(layout, block, rows, words, _packs(block, places))


def _direct(routes: tuple[Route, ...]) -> Part | None:
    """The part that a field counts, if it is only one, of the same layout, and in no case."""
    return routes[0].part if len(routes) == 1 and routes[0].inner is None and not routes[0].cases else None


def _packs(block: Block, places: list[tuple[int, int, bool]]) -> dict[str, Struct]:
    orders = {row.big for row in block.fields if not row.raw and row.size > 1}
    # One order for all, and each integer of a size that struct has.
    if len(orders) > 1 or not all(raw or size in _LETTERS for _, size, raw in places):
        return {}
    letters = "".join(f"{size}s" if raw else _LETTERS[size] for _, size, raw in places)
    return {order: Struct((">" if True in orders else order) + letters) for order in "<>"}


def implied(row: Field) -> int | bytes | None:
    """What a field has that is not given; None if it must be."""
    if row.constant is not None:
        return row.constant
    if row.allowed is not None and len(row.allowed) == 1:
        return row.allowed[0]
    if row.reserved:
        return bytes(row.size) if row.raw else 0
    return None
