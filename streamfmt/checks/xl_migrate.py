"""Checks of a capture of `xl migrate`: the messages after the stream, its configuration, and text before a stream."""

from __future__ import annotations

from struct import unpack

from .. import tables
from ..reader.events import Body
from ..reader.fields import broken_rules
from . import layer as base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record
    from ..reader.pump import Program

# Bytes that are quoted of text.
_QUOTED = 40


class Checks(base.Checks):
    """Judges a handshake; `status` is what the receiver reported."""

    status = 0
    trailer = ""
    last = "the handshake"

    def body(self, record: Record) -> Program:
        body = Body(self.context.window, record)
        raw = yield from body.take(record.length)
        if record.type == tables.XL_MIGRATE_STATUS:
            (self.status,) = unpack(tables.FORMATS[record.path], raw)
            return
        broken = broken_rules(record.path, raw, body.order)
        for _, field, _, _, _, _, _, allowed in broken:
            expected = ascii(bytes(allowed).decode())
            found = ascii(raw[:_QUOTED].decode("latin-1"))
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
            which = f"-{code} of libxl" if code < tables.XL_MIGRATE_OWN_FAILURE else "1 of xl's own"
            message = f"status {code} came before it: the guest does not run at the receiver (return code {which})"
            self.context.report("XL-MIGRATE-STATUS", record, message, offset=record.offset, length=len(raw))

    def bare(self, record: Record) -> bool:
        message = "the migration carries no configuration of the guest"
        if record.length:
            self.context.report_field("XL-MIGRATE-CONFIG", record, "config_len", message, actual=0)
        else:
            self.context.report_header("XL-MIGRATE-CONFIG", record, "length", message, actual=0)
        return True

    def unfinished(self, at: int) -> bool:
        after = f", after status {self.status}" if self.status else ""
        message = f"the capture ends at {at}, in the handshake{after}: it does not show how the migration ended"
        self.context.report("XL-MIGRATE-UNFINISHED", self.layer, message, offset=at)
        return True


class Text(base.Checks):
    """Judges text before a stream.  The head of a request is as it should be, or it were text."""

    def body(self, record: Record) -> Program:
        body = Body(self.context.window, record)
        first = (yield from body.take(_QUOTED)).partition(b"\n")[0].rstrip()
        come = "byte of text comes" if record.length == 1 else "bytes of text come"
        message = f"{record.length:,} {come} first, beginning {first.decode(errors='ignore')!r}"
        self.context.report("STREAM-TEXT", record, message, offset=record.offset, length=record.length, field="text")
