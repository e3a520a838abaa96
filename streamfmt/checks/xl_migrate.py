"""Checks of a capture of `xl migrate`: the messages after the stream, and the configuration that it carries."""

from __future__ import annotations

from struct import unpack

from .. import tables
from ..reader.body import Body
from ..reader.fields import broken_rules
from . import layer as base
from .messages import follow
from .preface import QUOTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from .layer import Context

# The status of a failure that is not libxl's: return code 1, negated.
_OWN_FAILURE = 0xFF


class Checks(base.Checks):
    """Judges a handshake; `status` is what the receiver reported."""

    def __init__(self, context: Context, layer: Layer) -> None:
        super().__init__(context, layer)
        self.status = 0

    def body(self, record: Record) -> Program:
        return self._message(Body(self.context.window, record))

    def _message(self, body: Body) -> Program:
        record = body.record
        raw = yield from body.take(record.length)
        if record.type == tables.XL_MIGRATE_STATUS:
            (self.status,) = unpack(tables.FORMATS[record.path], raw)
            return
        broken = broken_rules(record.path, raw, body.order)
        for _, field, _, _, _, _, _, allowed in broken:
            expected = ascii(bytes(allowed).decode())
            found = ascii(raw[:QUOTED].decode("latin-1"))
            after = f" after status {self.status}" if self.status else ""
            self.context.report(
                "XL-MIGRATE-MESSAGE",
                record,
                f"there is {found}{after}, expected {expected}",
                offset=record.offset,
                length=len(raw),
                field=field,
                expected=expected,
                actual=found,
            )
        if self.status and not broken:
            # Reported where the handshake is over, so that of a broken one that alone is reported.
            code = self.status
            which = f"-{code} of libxl" if code < _OWN_FAILURE else "1 of xl's own"
            message = f"status {code} came before it: the guest does not run at the receiver (return code {which})"
            self.context.report("XL-MIGRATE-STATUS", record, message, offset=record.offset, length=len(raw))

    def bare(self, record: Record) -> None:
        message = "the migration carries no configuration of the guest"
        place, size = tables.PLACES[record.path]["config_len"]
        at = record.body + place
        self.context.report("XL-MIGRATE-CONFIG", record, message, offset=at, length=size, field="config_len", actual=0)

    def unfinished(self, at: int) -> bool:
        after = f", after status {self.status}" if self.status else ""
        message = f"the capture ends at {at}, in the handshake{after}: it does not show how the migration ended"
        self.context.report("XL-MIGRATE-UNFINISHED", self.layer, message, offset=at)
        return True

    def trailing(self, at: int, count: int, head: bytes, zero: bool) -> None:
        from ..reader.beginnings import following

        _, what = following(head, count, zero)
        message = f"{follow(count, 'the handshake')}: {what}"
        self.context.report(
            self.layer.row.trailing, self.layer, message, offset=at, length=count, actual=f"{count} bytes"
        )
