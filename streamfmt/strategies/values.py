"""Values for any layout of the catalogue: of each field what its schema allows, of each part as much as is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from ..codec.decode import Scopes, referred
from ..schema.model import TO_NUL, Block, Field, Item, Layout, Part

# The functions that say how often a part repeats, by name.
Rules = Mapping[str, Callable[[Any], int]]


@st.composite
def values_of(draw: st.DrawFn, layout: Layout, rules: Rules | None = None) -> dict[str, Any]:
    """Values of every field and part of a layout, as decoding gives them."""
    values: dict[str, Any] = {}
    _fill(draw, layout.items, layout.counting, (values,), rules or {})
    return values


def field_values(row: Field, few: bool) -> st.SearchStrategy[Any]:
    """What may stand in a field, `few` if it counts."""
    if row.raw:
        some = st.binary(min_size=1, max_size=8).map(lambda data: (data * row.size)[: row.size])
        return st.just(row.constant) if row.constant is not None else some
    if row.allowed is not None:
        return st.sampled_from(row.allowed)
    least = -(1 << row.bits - 1) if row.signed else 0
    most = (1 << row.bits - row.signed) - 1
    return st.integers(0, min(most, 3)) if few else st.integers(least, most) | st.integers(0, min(most, 3))


def _fill(draw: st.DrawFn, items: tuple[Item, ...], counting: frozenset[str], scopes: Scopes, rules: Rules) -> None:
    """Values for items, into the innermost scope."""
    for item in items:
        if isinstance(item, Block):
            for row in item.fields:
                scopes[0][row.path] = draw(field_values(row, row.path in counting))
        elif isinstance(item, Part):
            scopes[0][item.name] = _part(draw, item, scopes, rules)
        else:
            _fill(draw, item.chosen(referred(item.on, scopes)), counting, scopes, rules)


def _part(draw: st.DrawFn, part: Part, scopes: Scopes, rules: Rules) -> Any:
    if part.count == TO_NUL:
        return draw(st.binary(max_size=5).filter(lambda text: 0 not in text))
    if part.count in rules:
        context = SimpleNamespace(**{name.replace(".", "_"): value for name, value in scopes[0].items()})
        count = rules[part.count](context)
    elif part.times is not None:
        count = part.times
    else:
        count = draw(st.integers(0, 4)) if part.counted is None else referred(part.counted, scopes)
    if part.element is None:
        data = bytes(draw(st.integers(0, 255)) for _ in range(min(count, 4))).ljust(count * part.unit, b"\7")
        return [data[at : at + part.unit] for at in range(0, len(data), part.unit)] if part.listed else data
    return [_element(draw, part.element, scopes, rules) for _ in range(count)]


def _element(draw: st.DrawFn, layout: Layout, outer: Scopes, rules: Rules) -> Any:
    values: dict[str, Any] = {}
    _fill(draw, layout.items, layout.counting, (values, *outer), rules)
    return values[""] if values.keys() == {""} else values
