"""Parts of the bytes that a stream has, by their fields where these make the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..codec.decode import layouts, whole
from ..codec.plan import implied
from ..errors import FieldError, LayoutError
from ..schema.model import Field, Layout
from ..writer.entries import SHAPES
from ..writer.part import Part


def part_of_body(path: str, body: bytes, order: str, **rest: Any) -> Part:
    """A part of these bytes, by its fields if these make the same."""
    layout = layouts().get(path)
    if layout is not None:
        try:
            values = whole(layout, body, order)
            if path in SHAPES:
                values["entries"] = list(map(SHAPES[path].word, values["entries"]))
        except LayoutError:
            return Part(path, data=body, **rest)
        for some in (_needed(layout, values), values):
            part = Part(path, some, **rest)
            try:
                if part.body(order) == body:
                    return part
            except FieldError:
                pass  # these are not enough, or not what the schema takes
    return Part(path, data=body, **rest)


def _needed(layout: Layout, values: Mapping[str, Any]) -> dict[str, Any]:
    """Field values without those that go without saying, if nothing is wrong with them."""
    known = {row.item.path: implied(row.item) for row in layout.rows if isinstance(row.item, Field)}
    return {
        name: it
        for name, it in values.items()
        if name not in layout.counting and (known.get(name) is None or it != known[name])
    }
