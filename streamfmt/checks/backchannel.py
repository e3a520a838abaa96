"""Checks of COLO's back channel: what may be on it, and in which order."""

from __future__ import annotations

from .. import tables
from ..reader.body import Body
from . import layer as base
from .libxl import control_id
from .messages import ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from .context import Context

_LIST = tables.BACK_CHANNEL[-1]
_NEXT = dict(zip(tables.BACK_CHANNEL, (*tables.BACK_CHANNEL[1:], tables.BACK_CHANNEL[0]), strict=True))

# Ids that belong here.
_IDS = [number for number, name in tables.CHECKPOINT_STATES.items() if name in _NEXT]


class Checks(base.Checks):
    """Judges the records of both layers that share the channel; `due` comes next, empty if that is not known."""

    def __init__(self, context: Context, layer: Layer) -> None:
        super().__init__(context, layer)
        self.due = ""

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        """A header, which this channel has none of."""
        message = f"a header of a {layer.name} stream, on a back channel"
        self.context.report("LIBXL-BACK-NOHDR", layer, message, offset=at, length=len(raw), expected="a record")

    def record(self, record: Record) -> Program | None:
        if self.layer.index == 1 and self.context.mode not in ("auto", "colo"):
            message = f"a back channel of a stream that is declared {self.context.mode}; only COLO has one"
            self.context.report("REMUS-BACK", self.layer, message, offset=0, expected="colo", actual=self.context.mode)
        if record.name == _LIST:
            self.length(record)
            if self.due not in ("", _LIST):
                message = f"a list of dirty frames comes where {self.due} should be"
                self.context.report("COLO-DIRTY-POS", record, message, expected=self.due, actual=_LIST)
            else:
                self.due = _NEXT[_LIST]
            return None
        if record.path != _STATE:
            message = f"{record.name} does not belong on a back channel"
            expected = f"CHECKPOINT_STATE or {_LIST}"
            self.context.report_header("LIBXL-BACK-TYPES", record, "type", message, expected, record.name)
            return None
        self.length(record)
        if record.length < tables.SIZES[record.path]:
            self.due = ""
            return None
        return self._state(Body(self.context.window, record))

    def _state(self, body: Body) -> Program:
        record = body.record
        name = yield from control_id(self, body)
        if name is None:
            return
        due, self.due = self.due, _NEXT.get(name, "")
        if name in _NEXT and due == _LIST:
            message = f"{name} comes where the list of dirty frames should be"
            self.context.report("COLO-DIRTY-POS", record, message, expected=_LIST, actual=name)
        elif name in _NEXT and due not in ("", name):
            message = f"{name} comes where {due} should be"
            self.report_field("LIBXL-CKPTSTATE-ID", record, "control_id", message, due, name)
        elif name and name not in _NEXT:
            message = f"{name} belongs on the forward stream"
            self.report_field("COLO-NEW-FWD", record, "control_id", message, ranges(_IDS), name)

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


_STATE = f"libxl.{tables.RECORDS['libxl'][tables.LIBXL_CHECKPOINT_STATE]}"
