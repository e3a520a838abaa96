"""Checks of COLO's back channel: what may be on it, and in which order."""

from __future__ import annotations

from .. import tables
from ..reader.events import Body
from ..reader.registry import Position
from . import layer as base
from .libxl import control_id
from .messages import ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from .layer import Context

_LIST = "libxc." + tables.RECORDS["libxc"][tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST]
_STATE = "libxl." + tables.RECORDS["libxl"][tables.LIBXL_CHECKPOINT_STATE]
_MACHINE = "back channel"


class Checks(base.Checks):
    """Judges the records of both layers that share the channel, by the machine that the secondary's answers follow."""

    def __init__(self, context: Context, layer: Layer) -> None:
        super().__init__(context, layer)
        self.position = Position(_MACHINE)
        # Where a recording begins, any answer may be the next.
        self.answers = [_name(path) for path in self.position.allowed()]

    @property
    def due(self) -> str:
        """The only answer that may come now; empty if that is not known."""
        due = self.position.allowed()
        return _name(due[0]) if len(due) == 1 else ""

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        """A header, which this channel has none of."""
        message = f"a header of a {layer.name} stream, on a back channel"
        self.context.report("LIBXL-BACK-NOHDR", layer, message, offset=at, length=len(raw), expected="a record")

    def record(self, record: Record) -> Program | None:
        mode = self.context.mode
        if self.layer.index == 1 and mode not in ("auto", "colo"):
            message = f"a back channel of a stream that is declared {mode}; only COLO has one"
            self.context.report("REMUS-BACK", self.layer, message, offset=0, expected="colo", actual=mode)
        if record.path == _LIST:
            self.length(record)
            due = self.due
            if not self.position.step(_LIST):
                message = f"a list of dirty frames comes where {due} should be"
                self.context.report("COLO-DIRTY-POS", record, message, expected=due, actual=record.name)
            return None
        if record.path != _STATE:
            message = f"{record.name} does not belong on a back channel"
            expected = f"{_name(_STATE)} or {_name(_LIST)}"
            self.context.report_header("LIBXL-BACK-TYPES", record, "type", message, expected, record.name)
            return None
        self.length(record)
        if record.length < tables.SIZES[record.path]:
            self.position = Position(_MACHINE)
            return None
        return self._state(Body(self.context.window, record))

    def _state(self, body: Body) -> Program:
        record = body.record
        name = yield from control_id(self, body)
        if name is None:
            return
        due, path = self.due, f"{_STATE} {name}"
        if name not in self.answers:
            self.position = Position(_MACHINE)
            if name:
                message = f"{name} belongs on the forward stream"
                known = ranges(number for number, it in tables.CHECKPOINT_STATES.items() if it in self.answers)
                self.context.report_field("COLO-NEW-FWD", record, "control_id", message, known, name)
            return
        if self.position.step(path):
            return
        if due == _name(_LIST):
            message = f"{name} comes where the list of dirty frames should be"
            self.context.report("COLO-DIRTY-POS", record, message, expected=due, actual=name)
        else:
            message = f"{name} comes where {due} should be"
            self.context.report_field("LIBXL-CKPTSTATE-ID", record, "control_id", message, due, name)
        self.position = Position(_MACHINE)
        self.position.step(path)

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        """The list's last frame lies after its body."""
        self.context.report(
            "COLO-DIRTY-HDR",
            record,
            "8 bytes of zeros lie between the list's header and its first frame, uncounted: the list ends 8 bytes late",
            offset=record.body,
            length=len(raw),
            expected="the first frame",
            actual=raw.hex(" ") if record.length < len(raw) else "zeros",
        )


def _name(path: str) -> str:
    """The last part of what a machine calls a record: its name, or that of the id it carries."""
    return path.rpartition(".")[2].rpartition(" ")[2]
