"""Values for any layout of the catalogue, and streams of any layer made of them.

Of each field there is what its schema allows, of each part as much as is counted.  Streams are made as the layer's row
and its schema describe it: for layers that have no generator of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from .. import tables
from ..codec.decode import Scopes, layouts, referred
from ..reader.registry import FORMS, ROWS
from ..schema import model
from ..schema.model import TO_NUL, Block, Field, Item, Layout
from ..writer import Draft, Part, header, record

# The functions that say how often a part repeats, by name.
Rules = Mapping[str, Callable[[Any], int]]
# Records in one stream, at most, but for the last.
_MOST = 3


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
        elif isinstance(item, model.Part):
            scopes[0][item.name] = _content(draw, item, scopes, rules)
        else:
            _fill(draw, item.chosen(referred(item.on, scopes)), counting, scopes, rules)


def _content(draw: st.DrawFn, part: model.Part, scopes: Scopes, rules: Rules) -> Any:
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


def any_layer(name: str, need: Collection[str], inside: Callable[[st.DrawFn, str], Draft]) -> st.SearchStrategy[Draft]:
    """Whole streams of layer `name` with the records of `need`; `inside` draws a stream of a layer that one may hold.

    They are framed as they should be; what else is asked of them is for verification to say.
    """

    @st.composite
    def drawn(draw: st.DrawFn) -> Draft:
        def part(path: str, make: Callable[..., Part] = record) -> Part:
            return make(path, **draw(values_of(layouts()[path])))

        row = ROWS[name]
        known = [f"{name}.{record}" for record in tables.RECORDS[name].values()]
        heads = [part(f"{name}.{found}", header) for found in row.headers]
        if row.length:
            body = part(known[0])
            heads[0] = header(heads[0].path, **{**heads[0].values, row.length: len(body.body("<"))})
            held = [inner for inner in row.holds if inner in FORMS]
            inner = inside(draw, draw(st.sampled_from(held))) if held else Draft(())
            return Draft((*heads, body, *inner))
        end = f"{name}.{row.end}"
        paths = [path for path in known if path != end]
        chosen = [path for path in need if path in paths] + draw(st.lists(st.sampled_from(paths), max_size=_MOST))
        bodies = [part(path) for path in draw(st.permutations(chosen))]
        return Draft((*heads, *bodies, *([record(end)] if row.end else [])))

    return drawn()
