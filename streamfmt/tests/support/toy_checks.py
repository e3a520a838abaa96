"""How the toys of `toy_schema` are judged, where tables do not say it."""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING

from ...checks import layer as base
from ...reader.events import Body, Record

if TYPE_CHECKING:
    from ...reader.pump import Program


class Crate(base.Checks):
    """A crate is no wider than it is high."""

    def body(self, record: Record) -> Program:
        return self._label(Body(self.context.window, record))

    def _label(self, body: Body) -> Program:
        fields = yield from self.fixed(body)
        if fields:
            width, height = unpack_from(">HH", fields)
            if width > height:
                message = f"it is {width} wide and {height} high"
                self.context.report_field("CRATE-WIDE", body.record, "size.width", message, f"at most {height}", width)


class Beads(base.Checks):
    """Beads need no more than their tables say."""
