"""Checks of what captures of a migration have around a stream: xl's handshake, and text before everything."""

from __future__ import annotations

from struct import unpack

from .. import tables
from ..reader.fields import broken_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from .state import LayerState
    from .verifier import Verifier

LAYERS = ("xl-migrate", "text", "http")
# Bytes that are quoted of text, and of what stands where a message should.
_FIRST = 40
# The status of a failure that is not libxl's: return code 1, negated.
_OWN_FAILURE = 0xFF


def body(verifier: Verifier, state: LayerState, record: Record) -> Program | None:
    """Program that judges a message, or text; the head of an HTTP request is as it should be, or it were text."""
    if record.layer.name == "http":
        return None
    return _text(verifier, record) if record.layer.name == "text" else _message(verifier, state, record)


def _text(verifier: Verifier, record: Record) -> Program:
    size = min(record.length, _FIRST)
    yield size
    first = verifier.window.take(size).partition(b"\n")[0].rstrip().decode()
    message = f"{record.length:,} bytes of text come first, beginning {first!r}"
    verifier.report("STREAM-TEXT", record, message, offset=record.offset, length=record.length, field="text")


def _message(verifier: Verifier, state: LayerState, record: Record) -> Program:
    yield record.length
    raw = verifier.window.take(record.length)
    if record.type == tables.XL_MIGRATE_STATUS:
        (state.promise,) = unpack(tables.FORMATS[record.path], raw)
        return
    broken = broken_rules(record.path, raw, record.layer.order)
    for _, field, _, _, _, _, _, allowed in broken:
        expected = ascii(bytes(allowed).decode())
        found = ascii(raw[:_FIRST].decode("latin-1"))
        behind = f" behind status {state.promise}" if state.promise else ""
        verifier.report(
            "XL-MIGRATE-MESSAGE",
            record,
            f"there is {found}{behind}, expected {expected}",
            offset=record.offset,
            length=len(raw),
            field=field,
            expected=expected,
            actual=found,
        )
    if state.promise and not broken:
        # Told where the handshake is over, so that a broken one is told of as that alone.
        code = state.promise
        which = f"-{code} of libxl" if code < _OWN_FAILURE else "1 of xl's own"
        message = f"status {code} came before it: the guest does not run at the receiver (return code {which})"
        verifier.report("XL-MIGRATE-STATUS", record, message, offset=record.offset, length=len(raw))


def no_configuration(verifier: Verifier, record: Record) -> None:
    """The optional data of a migration has no configuration."""
    message = "the migration carries no configuration of the guest"
    place, size = tables.PLACES[record.path]["config_len"]
    at = record.body + place
    verifier.report("XL-MIGRATE-CONFIG", record, message, offset=at, length=size, field="config_len", actual=0)


def unfinished(verifier: Verifier, layer: Layer, at: int) -> None:
    """The input ends behind the stream and before the last message."""
    status = verifier.state(layer).promise
    behind = f", behind status {status}" if status else ""
    message = f"the capture ends at {at}, in the handshake{behind}: it does not show how the migration ended"
    verifier.report("XL-MIGRATE-UNFINISHED", layer, message, offset=at)


def trailing(verifier: Verifier, layer: Layer, at: int, count: int, head: bytes) -> None:
    """Bytes behind the last message."""
    message = f"{count:,} bytes follow the handshake, beginning {head[:16].hex(' ')}"
    verifier.report("XL-MIGRATE-AFTER", layer, message, offset=at, length=count, actual=f"{count} bytes")
