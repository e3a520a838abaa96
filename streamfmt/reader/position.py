"""Where a stream is in one of its protocol's machines (schema.protocol says what they are)."""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .registry import Row

EITHER = "either"


class Position:
    """A state of machine `name`."""

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
