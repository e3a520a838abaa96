"""Fields and lists at places that are always the same: what those need who overwrite fields, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .model import Field, Layout, Part

_HEADING = '''"""Where fields and lists lie, written by `python -m streamfmt.schema.compile`.  Do not edit.

They are apart from `tables`, which every command loads.  `schema.places` says what the values are.
"""

from __future__ import annotations
'''
_TYPES = {
    "FIELDS": "dict[str, dict[str, tuple[int, int, int, int, bool, bool, bool, dict[int, str] | None]]]",
    "LISTS": "dict[str, dict[str, tuple[int, int, str, int | str]]]",
}


_PAYLOAD_HEADING = '''"""Where fields of payloads lie, written by `python -m streamfmt.schema.compile`.  Do not edit.

They are apart from `field_tables`, which every edit loads.  `schema.payloads` says what the other values are.
"""

from __future__ import annotations
'''


def payload_source(layouts: Iterable[Layout], facts: Mapping[str, Any]) -> str:
    """The text of streamfmt/payload_tables.py, with facts beside the places."""
    lines = [source(layouts, _PAYLOAD_HEADING)]
    for name, it in facts.items():
        if isinstance(it, dict):
            lines += [f"{name} = {{", *(f"    {key!r}: {row!r}," for key, row in it.items()), "}"]
        else:
            lines.append(f"{name} = {it!r}")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def source(layouts: Iterable[Layout], heading: str = _HEADING) -> str:
    """The text of streamfmt/field_tables.py."""
    every = list(layouts)
    lines = [heading]
    for name, of in (("FIELDS", placed), ("LISTS", lists)):
        rows = [f"    {row.path!r}: {found!r}," for row in every if (found := of(row))]
        lines += [f"{name}: {_TYPES[name]} = {{", *rows, "}"]
    return "\n".join(lines) + "\n"


def placed(layout: Layout) -> dict[str, tuple[Any, ...]]:
    """Fields at places that are always the same, for those who overwrite them.

    Offset, size, shift and bits; whether it is big-endian always, bytes, signed; and the names of its values, None if
    they have none.
    """
    return {
        row.item.path: (
            *(row.offset, row.item.size, row.item.shift, row.item.bits, row.item.big, row.item.raw, row.item.signed),
            # Without a dict in it a row is a constant, which is loaded in half of the time.
            row.item.names or None,
        )
        for row in layout.rows
        if isinstance(row.item, Field) and row.offset is not None and not row.when
    }


def lists(layout: Layout) -> dict[str, tuple[int, int, str, int | str]]:
    """Lists of elements of one size at places that are always the same.

    Offset, size of an element, its layout, and how many there are: a number, the field that has it, or "" to the end.
    """
    found = {}
    for row in layout.rows:
        part = row.item
        if (
            isinstance(part, Part)
            and part.element is not None
            and part.unit
            and row.offset is not None
            and not row.when
        ):
            inner = part.counted is None or not part.counted.up
            if inner and (part.times is not None or part.counted is not None or part.open):
                count = part.counted.field.path if part.counted is not None else part.times
                found[part.name] = row.offset, part.unit, part.element.path, "" if count is None else count
    return found
