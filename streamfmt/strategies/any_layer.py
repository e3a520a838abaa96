"""Streams of any layer, as its row and its schema describe it: for layers that have no generator of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection

from hypothesis import strategies as st

from ..codec.decode import layouts
from ..reader.registry import FORMS, ROWS
from ..schema.layers import LAYERS
from ..writer import Draft, Part, header, record
from .values import values_of

_RECORDS = {layer.name: [f"{layer.name}.{row.name}" for row in layer.records] for layer in LAYERS}
# Records in one stream, at most, but for the last.
_MOST = 3


def any_layer(name: str, need: Collection[str], inside: Callable[[st.DrawFn, str], Draft]) -> st.SearchStrategy[Draft]:
    """Whole streams of layer `name` with the records of `need`; `inside` draws a stream of a layer that one may hold.

    They are framed as they should be; what else is asked of them is for verification to say.
    """

    @st.composite
    def drawn(draw: st.DrawFn) -> Draft:
        row = ROWS[name]
        heads = [_part(draw, f"{name}.{header}", header_part=True) for header in row.headers]
        if row.length:
            body = _part(draw, _RECORDS[name][0])
            heads[0] = header(heads[0].path, **{**heads[0].values, row.length: len(body.body("<"))})
            held = [inner for inner in row.holds if inner in FORMS]
            inner = inside(draw, draw(st.sampled_from(held))) if held else Draft(())
            return Draft((*heads, body, *inner))
        end = f"{name}.{row.end}"
        paths = [path for path in _RECORDS[name] if path != end]
        chosen = [path for path in need if path in paths] + draw(st.lists(st.sampled_from(paths), max_size=_MOST))
        bodies = [_part(draw, path) for path in draw(st.permutations(chosen))]
        return Draft((*heads, *bodies, *([record(end)] if row.end else [])))

    return drawn()


def _part(draw: st.DrawFn, path: str, header_part: bool = False) -> Part:
    """A header or a record with values that its schema allows."""
    values = draw(values_of(layouts()[path]))
    return header(path, **values) if header_part else record(path, **values)
