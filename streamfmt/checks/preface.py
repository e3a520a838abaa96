"""Checks of what stands before a stream: stray text.  The head of a request is as it should be, or it were text."""

from __future__ import annotations

from ..reader.body import Body
from . import layer as base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record
    from ..reader.pump import Program

# Bytes that are quoted of text.
QUOTED = 40


class Checks(base.Checks):
    """Judges text before a stream."""

    def body(self, record: Record) -> Program:
        return self._text(Body(self.context.window, record))

    def _text(self, body: Body) -> Program:
        record = body.record
        first = (yield from body.take(QUOTED)).partition(b"\n")[0].rstrip().decode()
        message = f"{record.length:,} bytes of text come first, beginning {first!r}"
        self.context.report("STREAM-TEXT", record, message, offset=record.offset, length=record.length, field="text")
