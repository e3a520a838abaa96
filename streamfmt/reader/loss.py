"""Framing that is lost: what is read as records of unknown types, and is none, apart from a newer writer's records.

A record of an unknown type is that of a newer or patched writer where a sound one follows it, and such writers may put
several in a row.  Bytes that were lost or added leave the reader inside a page, or in what got in,
where every few bytes are a header, each of another type.  So each record of a row that no sound one ends counts by how
odd it is, and with :data:`ENOUGH` there have been no records since the row's first.  All that a row looks at are its
headers, so the result does not depend on how the bytes were cut, nor are bodies read for it.
"""

from __future__ import annotations

from struct import Struct

from .. import tables
from . import damage, framing
from .events import HEADER, Record
from .framing import STOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .events import Layer, Sink
    from .pump import Window

ENOUGH = 6
# A type that the row has not had, which readers must know; one whose number no specification comes near; a length that
# nothing has; no body, again or where there has to be one; a body that the input ends inside.
_NEW, _FAR, _LONG, _BARE, _CUT = 1, 2, 4, 1, 3
# New types follow the known ones.
_NEAR = 0x100
# The longest body that any layer's readers take, which is libxc's.
_LONGEST = tables.RECORD_LENGTH_MAX
# Bytes that are looked at to say what is there.
LOOK = 4096
_HEADER = {order: Struct(order + tables.FORMATS["libxc.record_header"]) for order in "<>"}


def row(
    window: Window,
    sink: Sink,
    layer: Layer,
    exact: bool,
    bodied: frozenset[int] = frozenset(),
    again: Callable[[Window, Sink, Record], None] | None = None,
) -> Generator[int, int, str]:
    """Program of the records that begin here, up to one that is of a known type, with a body if it is `bodied`.

    `again` takes those that are like one that has been read.  Returns STOP if nothing more is to be read.
    """
    known = tables.RECORDS[layer.name]
    w = window
    unpack = _HEADER[layer.order].unpack_from
    first: Record | None = None
    sample = b""
    points = 0
    kinds: set[int] = set()
    while w.hi - w.lo >= HEADER or (yield HEADER):
        kind, length = unpack(w.buf, w.lo)
        if kind in known and (length or kind not in bodied) and (first is None or length <= _LONGEST):
            break
        record = Record(layer, kind, w.position, length)
        other = length > _LONGEST and (yield from _something_else(w, exact))
        # After what a newer writer may have put there, it is here that something else begins.
        if first is None or (other and points <= _NEW):
            first, sample = record, (yield from _sample(w, exact))
            sink.doubted(record)
        points += _points(layer, kind, length, kinds)
        if other or points >= ENOUGH:
            _lose(sink, first, sample)
            return STOP
        layer.index += 1
        w.lo += HEADER
        if not (yield from framing.body(w, sink, record)):
            if w.eof and points + _CUT >= ENOUGH and length <= _LONGEST:
                _lose(sink, first, sample)
            return STOP
        if again is not None and length:  # without a body each counts
            again(w, sink, record)
    return ""


def _points(layer: Layer, kind: int, length: int, kinds: set[int]) -> int:
    """How odd the record is, in a row that has had these `kinds`."""
    bit = layer.row.optional
    new = kind not in kinds
    kinds.add(kind)
    if kind in tables.RECORDS[layer.name]:
        return _LONG if length > _LONGEST else 2 * _BARE
    far = _FAR * (kind & ~bit >= _NEAR)
    points = _LONG + far if length > _LONGEST else 0
    if kind & bit:
        return points  # of those that may be skipped a writer may have any
    if new:
        points += _NEW + (0 if points else far)
    if not length:
        points += _BARE + (not new)
    return points


def _something_else(window: Window, exact: bool) -> Generator[int, int, bool]:
    """Whether no record begins here, but text or another stream."""
    what, _ = damage.stranger((yield from _sample(window, exact)))
    return what != ""


def _sample(window: Window, exact: bool) -> Generator[int, int, bytes]:
    """What the next bytes are; of what others may read no more than the header that is there."""
    size = HEADER if exact else LOOK
    yield size
    return window.head(size)


def _lose(sink: Sink, first: Record, sample: bytes) -> None:
    first.layer.index = first.index
    sink.framing_lost(first, sample)
