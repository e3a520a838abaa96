"""The layers' rows, as the schema has them, and the code that they name: it is imported when it is first needed."""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ROOT = __package__.partition(".")[0]


class Row:
    """A layer's row: see schema.layers.LayerType.

    `headers` are the names of its headers but a record's, `opens` the layers that follow records of these types,
    `opening` the names of those, and `closes` the schema path of the record that closes a checkpoint; `configuration`
    is the path of the record that has the guest's.
    """

    name: str
    program: str
    checks: str
    converts: str
    magic: tuple[str, ...]
    version: str
    headers: tuple[str, ...]
    align: int
    optional: int
    length: str
    length_max: int
    form: bool
    image: bool
    text: bool
    end: str
    holds: tuple[str, ...]
    opens: dict[int, str]
    opening: tuple[str, ...]
    closes: str
    configuration: str
    truncated: str
    unknown: tuple[str, ...]
    padding: str
    too_long: str
    trailing: str
    header_size: int
    __slots__ = tuple(__annotations__)

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self.name = name
        self.header_size = tables.SIZES.get(f"{name}.record_header", 0)
        for key, value in values.items():
            setattr(self, key, value)


ROWS = {name: Row(name, values) for name, values in tables.LAYERS.items()}
# What --as takes, beside "auto"; and all that is read, not only named.
FORMS = tuple(name for name, row in ROWS.items() if row.form)
READ = tuple(ROWS)


_LOADED: dict[str, Any] = {}


def load(path: str) -> Any:
    """What a row names as "package.module:name"."""
    found = _LOADED.get(path)  # functools' cache would have to be loaded itself, at every start
    if found is None:
        module, _, name = path.partition(":")
        found = _LOADED[path] = getattr(__import__(f"{_ROOT}.{module}", fromlist=(name,)), name)
    return found
