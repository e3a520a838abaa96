"""Values of keys in a record of strings, as faults of recipes change them."""

from __future__ import annotations

from dataclasses import replace

from ..codec.content import joined
from ..codec.decode import layouts
from ..writer.part import Part
from .bodies import part_of_body
from .parse import content
from .toml import Table

_PATH = "libxl.EMULATOR_XENSTORE_DATA"
_LIST = "pairs"


def with_value(part: Part, key: str, table: Table, order: str) -> Part | None:
    """The part with another value, which is `to` in a table, for a key; None if it is no such record.

    Lengths follow.  Raises RecipeError.
    """
    if part.path != _PATH or key in {row.path for row in layouts()[_PATH].fields}:
        return None
    if part.data is not None:
        part = replace(part, values=part_of_body(_PATH, joined((part.data,)), order).values, data=None)
    pairs = list(part.values.get(_LIST, ()))
    found = [number for number, pair in enumerate(pairs) if pair["key"] == key.encode()]
    table.spend("steps", len(pairs))
    if len(found) != 1:
        raise table.fail(f"of {key} there are {len(found)}", "field")
    value = joined((content(table, "to"),))
    if b"\0" in value:
        raise table.fail("a value has no NUL: one ends it", "to")
    pairs[found[0]] = {**pairs[found[0]], "value": value}
    return replace(part, values={**part.values, _LIST: pairs})
