"""Checks of xend's save file and of XAPI's old image: what is inside them is a legacy stream."""

from __future__ import annotations

from .. import tables
from ..reader.events import Body
from ..reader.registry import ROWS
from . import layer as base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record
    from ..reader.identify import Identity
    from ..reader.pump import Program


class XapiLegacy(base.Checks):
    """Judges a XAPI legacy image; `clause` is about what is inside."""

    clause = "XAPI-OLD-STREAM"

    def inner(self, at: int, identity: Identity) -> None:
        row = ROWS.get(identity.key)
        if identity.width is None and (row is None or not row.alias):
            message = f"a legacy stream should begin at {at}, and there is {identity.name} ({identity.evidence})"
            self.context.report(
                self.clause, self.layer, message, offset=at, expected="a legacy stream", actual=identity.name
            )


class Xend(XapiLegacy):
    """Judges a xend save file."""

    clause = "XEND-STREAM"

    def body(self, record: Record) -> Program:
        """Program that judges the configuration: a list, to its end."""
        body = Body(self.context.window, record)
        yield from self.configured(body)
        first, last = (yield from body.take(1)), b""
        (unit,) = tables.UNITS[record.path]
        rest = body.left // unit
        if rest and (yield from body.skip(rest - 1)) == rest - 1:
            last = yield from body.take(1)
        if body.left or (rest and not last):
            return
        if first != b"(" or last != b")":
            actual = f"{first.hex()} to {last.hex()}" if last else first.hex() or "nothing"
            message = f"the configuration is no list in parentheses: it goes from {actual}"
            self.context.report(
                "XEND-CONFIG-FORM",
                record,
                message,
                offset=record.body,
                length=record.length,
                field="config",
                expected="( to )",
                actual=actual,
            )
