"""Checks of XAPI suspend images that tables cannot express."""

from __future__ import annotations

from ..reader import literals as L
from ..reader.events import Record, Unsized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.engine import Program
    from .verifier import LayerState, Verifier


def body(verifier: Verifier, state: LayerState, record: Record) -> Program | None:
    """Program that judges a record's body, if there is anything in it to judge."""
    if isinstance(record, Unsized) and record.claim:
        message = f"length is {record.claim}, expected 0: this record's end shows in its body only"
        verifier.header_fault("XAPI-LENGTH-ZERO", record, "length", message, 0, record.claim)
    return None


def oversize(verifier: Verifier, record: Record) -> None:
    """A length that no reader can hold."""
    verifier.stopped = record.at, "no reader takes a record of this length, so nothing after it can be trusted"
    message = f"length is {record.length:,}, expected 0 to {L.XAPI_LENGTH_MAX:,}"
    verifier.header_fault("XAPI-LENGTH", record, "length", message, f"0 to {L.XAPI_LENGTH_MAX}", record.length)
