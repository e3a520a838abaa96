"""An END that comes too early, in the midst of zeros: no record, but what a failed copy left in place of data."""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record
    from ..reader.pump import Program
    from .layer import Checks

# So many bytes after END are looked at, and so many zeros too many are taken for a hole even if others follow them.
_AHEAD, _HOLE = 64, 8


def end(checks: Checks, record: Record, owed: int) -> Program:
    """Program that judges END, before which records of the bits `owed` are missing: by what follows it is none.

    Layers around end with zeros as well, so a few may follow; they are not consumed.
    """
    window = checks.context.window
    outer = record.layer.parent
    closing = outer.header_size if outer is not None and outer.row.closes else 0
    yield _AHEAD
    head = window.head(_AHEAD)
    zeros = len(head) - len(head.lstrip(b"\0"))
    if not (zeros >= closing + _HOLE or len(head) == zeros > closing):
        program = checks.known(record)
        if program is not None:
            yield from program
        return
    layer = record.layer.name
    names = [tables.RECORDS[layer][kind] for kind, bit in tables.BITS[layer].items() if bit & owed]
    lost = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    message = f"zeros are where {lost} should be: data was lost here, and what reads as END is none"
    at = record.offset  # of what is no record
    checks.context.report("STREAM-ZEROS", record.layer, message, offset=at, expected=lost, actual="zeros")
    checks.context.lose(at, "zeros are where records should be")
