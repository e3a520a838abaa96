"""The layers' rows and machines, as the schema has them.

The code that rows name is imported when it is first needed.
"""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ROOT = __package__.partition(".")[0]


class Row:
    """A layer's row: see schema.layer_type.LayerType.

    `headless` are the types of records without a header, in a layer whose others have one.  `headers` are the names of
    its headers but a record's, `opens` the layers that follow records of these types,
    `opening` the names of those, and `closes` the schema path of the record that closes a checkpoint; `configuration`
    is the path of the record that has the guest's.  `surveys` are the types of records that show what wrote the layer.
    """

    name: str
    program: str
    checks: str
    converts: str
    memory: str
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
    big: bool
    alias: str
    look: str
    target: tuple[str, str]
    legacy: tuple[str, int, int] | tuple[()] | None
    surveys: frozenset[int]
    headless: frozenset[int]
    end: str
    after_end: str
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

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self.__dict__ = values | {"name": name, "header_size": tables.SIZES.get(f"{name}.record_header", 0)}


ROWS = {name: Row(name, values) for name, values in tables.LAYERS.items()}
# What --as takes, beside "auto"; and all that is read, not only named.
FORMS = tuple(name for name, row in ROWS.items() if row.form)
READ = tuple(ROWS)
# The value of `legacy` of a layer that has nothing else inside.
ALWAYS = ()
# What --as takes beside those: names that several layers have in common, of which the bytes say which it is.
ALIASES = tuple(dict.fromkeys(row.alias for row in ROWS.values() if row.alias))
DECLARED = ("auto", *FORMS, *ALIASES)
GUESTS = tuple(tables.GUESTS.values())


_LOADED: dict[str, Any] = {}


def load(path: str) -> Any:
    """What a row names as "package.module:name"."""
    found = _LOADED.get(path)  # functools' cache would have to be loaded itself, at every start
    if found is None:
        module, _, name = path.partition(":")
        found = _LOADED[path] = getattr(__import__(f"{_ROOT}.{module}", fromlist=(name,)), name)
    return found


EITHER = "either"


class Position:
    """Where a stream is: a state of its protocol's machine `name` (schema.protocol says what they are)."""

    __slots__ = ("_rows", "_turns", "state")

    def __init__(self, name: str, mode: str = "auto") -> None:
        self._rows = tables.MACHINE_ROWS[name]
        self._turns = tables.MACHINE_TURNS.get(name, {})
        self.state = tables.MACHINE_STARTS[name][mode]

    @property
    def turn(self) -> str:
        """The layer whose records come now; "either" if the next record shows it, empty after the end."""
        return self._turns[self.state]

    def step(self, path: str) -> bool:
        """A record, by its schema path, has come.  Returns whether it may come here; else nothing changes."""
        row = self._rows[self.state]
        after = row.get(path, row.get(f"{path.partition('.')[0]}.*", self.state))
        self.state = after or self.state
        return after is not None

    def force(self, path: str, row: Row) -> None:
        """The same of a record after which a reader goes on as `row` says, be it in its place or not."""
        kind = path.partition(".")[2]
        if not self.step(path) and (kind == row.end or kind in row.opening):
            self.state = next(after for states in self._rows.values() if (after := states.get(path)) is not None)

    def allowed(self) -> list[str]:
        """Schema paths of the records that may come now."""
        return [path for path, after in self._rows[self.state].items() if after is not None]
