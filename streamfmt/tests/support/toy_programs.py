"""How the toys of `toy_schema` are read."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from ... import tables
from ...reader import framing
from ...reader.events import Layer, Record, Sink
from ...reader.framing import END, STOP
from ...reader.identify import peek

if TYPE_CHECKING:
    from collections.abc import Generator

    from ...reader.framing import Ending
    from ...reader.pump import Window

_HEADER = Struct("<" + tables.FORMATS["beads.record_header"])


def crate(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a crate: its label, then what is inside."""
    raw = yield from framing.opening(window, sink, layer, "the crate's header")
    if raw is None:
        return STOP, layer
    place, size = tables.PLACES["crate.header"][layer.row.length]
    record = Record(layer, 0, window.position, int.from_bytes(raw[place : place + size], "little"))
    layer.index += 1
    if not (yield from framing.body(window, sink, record)):
        return STOP, layer
    identity = yield from peek(window, exact)
    sink.inner(layer, window.position, identity, identity.key in layer.row.holds)
    if identity.key not in layer.row.holds:
        return STOP, layer
    return (yield from framing.read(window, sink, Layer(identity.key, layer), exact))


def beads(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of beads, up to END."""
    if (yield from framing.opening(window, sink, layer, "the beads' header")) is None:
        return STOP, layer
    while True:
        if not (yield layer.header_size):
            framing.cut(window, sink, layer, layer.header_size, "a record header")
            return STOP, layer
        kind, length = _HEADER.unpack_from(window.buf, window.lo)
        record = Record(layer, kind, window.position, length)
        layer.index += 1
        window.lo += layer.header_size
        if not (yield from framing.body(window, sink, record)):
            return STOP, layer
        if record.name == layer.row.end:
            sink.ended(layer, window.position)
            return END, layer
