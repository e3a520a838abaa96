"""The text of streamfmt/tables.py: a line for each literal, or for each entry of a mapping.

What is the same for two layers of one alias is written once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_HEADING = '''"""Tables of the reader and the checks, written by `python -m streamfmt.schema.compile`.  Do not edit.

Struct formats carry no byte order unless the layout has one of its own.  Offsets and sizes are bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The row that another layer has as well.
_same: Any
'''
_LONG = 100


def text(values: Mapping[str, Any], types: Mapping[str, str], twins: Mapping[str, str]) -> str:
    """The text for these values by name.

    `types` are those of the values of mappings that are too unlike to be inferred; `twins` has, by layer, the one that
    it shares much with.
    """
    lines = [_HEADING]
    for name, value in values.items():
        if isinstance(value, dict) and len(repr(value)) > _LONG:
            typed = f": dict[str, {types[name]}]" if name in types else ""
            lines += [f"{name}{typed} = {{", *_rows(value, twins), "}"]
        elif isinstance(value, tuple) and len(repr(value)) > _LONG:
            lines += [f"{name} = (", *(f"    {row!r}," for row in value), ")"]
        elif isinstance(value, frozenset):
            lines.append(f"{name} = frozenset({sorted(value)!r})")
        else:
            lines.append(f"{name} = {value!r}")
    return "\n".join(lines) + "\n"


def _rows(value: Mapping[Any, Any], twins: Mapping[str, str]) -> Iterator[str]:
    """The lines of one mapping: a line for each key, or for a layer's and its twin's where these have the same."""
    done: set[str] = set()
    for key, row in value.items():
        if key in done:
            continue
        layer, dot, rest = str(key).partition(".")
        same = [f"{twin}{dot}{rest}" for twin, first in twins.items() if first == layer]
        same = [twin for twin in same if value.get(twin) == row]
        done.update(same)
        also = "".join(f" {twin!r}: _same," for twin in same)
        yield f"    {key!r}: {f'(_same := {row!r})' if also else repr(row)},{also}"
