"""An END that comes too early, and is none: in the midst of zeros that a failed copy left, or in a page's contents."""

from __future__ import annotations

from struct import unpack_from

from .. import tables
from ..reader.events import HEADER, Record
from ..reader.identify import by_magic, following, neighbour
from . import loss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from ..reader.pump import Program
    from .layer import Checks, Context

# So many bytes after END are looked at, and so many zeros too many are taken for a hole even if others follow them.
_AHEAD, _HOLE = 64, 8
# Where END is followed by what it cannot be followed by: where a record should be, or after all layers.
_RECORD, _REST = "record", "rest"


def end(checks: Checks, record: Record, owed: int) -> Program:
    """Program that judges END, before which records of the bits `owed` are missing: by what follows it is none.

    Layers around end with zeros as well, so a few may follow; but for a body that END cannot have, nothing is consumed.
    """
    context, latest = checks.context, checks.context.latest
    standing = context.standing
    # Records of unknown types just before it are none either.
    row = isinstance(latest, Record) and latest.type not in tables.RECORDS[latest.layer.name]
    if standing is None or not row:
        standing = loss.Standing(context, record, latest)
    return _end(checks, record, owed, standing, row)


def _end(checks: Checks, record: Record, owed: int, standing: loss.Standing, row: bool) -> Program:
    context = checks.context
    whole = not record.length or (yield -record.length) == record.length
    hole = not row and not record.length and (yield from _among_zeros(checks, record))
    wrong = _RECORD if not whole else "" if hole else (yield from _wrong(checks, record))
    if wrong and (row or record.length or wrong == _RECORD):
        first = standing.doubted
        loss.judge(context, standing, first.type.to_bytes(4, "little") + first.length.to_bytes(4, "little"))
        if not row and not record.length:
            context.stopped = record.end, "the framing is lost"  # readers come as far
        context.lost = True
        return
    if hole or wrong:
        layer = record.layer.name
        names = [tables.RECORDS[layer][kind] for kind, bit in tables.BITS[layer].items() if bit & owed]
        lost = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        at = record.offset  # of what is no record
        begin, also = begins(context, record)
        message = f"zeros are where {lost} should be{also}: data was lost here, and what reads as END is none"
        context.report("STREAM-ZEROS", record.layer, message, offset=begin, expected=lost, actual="zeros")
        context.lose(at, "zeros are where records should be")
        return
    program = checks.known(record)
    if program is not None:
        yield from program


def early(checks: Checks, record: Record) -> Program:
    """Program of an END that has been reported: where zeros or nothing follow, what was just before it is lost too."""
    if (yield from _among_zeros(checks, record)) or not checks.context.window.head(1):
        begins(checks.context, record)


def begins(context: Context, record: Record) -> tuple[int, str]:
    """Take back what was found in the zeros before END, or in the record before them: it is a part of the same loss.

    Returns where that begins, and words for it if anything was found there.
    """
    if context.before is not None:
        begin, name = context.before
        if context.findings.forget_within(begin, record.offset):
            return begin - 1, f", and in {name} before that"
    return record.offset, ""


def _among_zeros(checks: Checks, record: Record) -> Generator[int, int, bool]:
    """Whether more zeros follow END than the layers around need for their own ends."""
    window, outer = checks.context.window, record.layer.parent
    closing = outer.header_size if outer is not None and outer.row.closes else 0
    yield _AHEAD
    head = window.head(_AHEAD)
    zeros = len(head) - len(head.lstrip(b"\0"))
    return zeros >= closing + _HOLE or len(head) == zeros > closing


def _wrong(checks: Checks, record: Record) -> Generator[int, int, str]:
    """Why what follows END, whose body has been read, is nothing that may, or "": no record of the layer around begins
    there, or what comes after all layers is nothing known.

    What ends before it says anything is not wrong.
    """
    window, layer = checks.context.window, record.layer
    yield record.padding + _AHEAD
    head = window.head(record.padding + _AHEAD)
    if len(head) < record.padding:
        return _RECORD
    head = head[record.padding :]
    outer = layer.parent
    if outer is not None and outer.row.closes:
        if len(head) < HEADER:
            return ""
        kind, length = unpack_from(outer.order + tables.FORMATS[f"{outer.name}.record_header"], head)
        if kind != tables.LIBXL_END:
            known = kind in tables.RECORDS[outer.name] or bool(kind & outer.row.optional)
            return "" if known and length <= tables.RECORD_LENGTH_MAX else _RECORD
        if length:
            return _RECORD
        head, layer, outer = head[HEADER:], outer, outer.parent
    while outer is not None:
        if outer.row.trailing:
            return ""  # what comes then is for that layer to judge
        outer = outer.parent
    trailer, _ = following(head, len(head), not any(head))
    good = trailer or not head or by_magic(head, False, 0) or neighbour(head, False, 0)
    return "" if good else _REST
