"""The libxl layer: stream header, records up to END, and the libxc image inside.

libxl cannot know where the image ends: LIBXC_CONTEXT hands the stream over, and it comes back after the image's
END, or after each CHECKPOINT, when libxl records follow up to CHECKPOINT_END.
"""

from __future__ import annotations

from _struct import Struct  # struct would be a module more to find

from .. import tables
from . import framing
from .events import HEADER, Layer, Record, Sink
from .framing import END, STOP
from .registry import EITHER, Position

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .framing import Ending
    from .pump import Window

_RECORD_HEADER = {order: Struct(order + tables.FORMATS["libxl.record_header"]) for order in "<>"}


def program(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a whole libxl stream: records of both layers, whose turn it is by the machine of checkpoints."""
    w = window
    if (yield from framing.opening(w, sink, layer, "the stream header", framing.announced)) is None:
        return STOP, layer
    unpack_header = _RECORD_HEADER[layer.order].unpack_from
    known = tables.RECORDS[layer.name]
    position = Position("checkpoints")
    image: Layer | None = None
    while turn := position.turn:
        if image is not None and (turn == image.name or (turn == EITHER and not (yield from _state_follows(w, layer)))):
            ending, _ = yield from framing.read(w, sink, image, exact)
            if ending == STOP:
                return STOP, layer
            layer.guest = image.guest
            position.step(f"{image.name}.{ending}")
            continue
        if w.hi - w.lo < HEADER and not (yield HEADER):
            framing.cut(w, sink, layer, HEADER, "a record header" if w.hi > w.lo else "the stream, before its END")
            return STOP, layer
        kind, length = unpack_header(w.buf, w.lo)
        if kind not in known:
            from . import loss  # few streams have such

            if (yield from loss.row(w, sink, layer, exact)) == STOP:
                return STOP, layer
            continue
        record = Record(layer, kind, w.position, length)
        layer.index += 1
        w.lo += HEADER
        if not (yield from framing.body(w, sink, record)):
            return STOP, layer
        before = position.state
        position.force(record.path, layer.row)
        if kind in layer.row.opens:
            image = Layer(layer.row.opens[kind], layer)
        elif record.path == layer.row.closes and position.state != before:
            layer.close_checkpoint(w.position)
    sink.ended(layer, w.position)
    return END, layer


def _state_follows(window: Window, layer: Layer) -> Generator[int, int, bool]:
    """Whether COLO's CHECKPOINT_STATE comes next, before the libxc records of the next checkpoint.

    libxc has another record of that number, but longer, and not for HVM guests, which COLO is for.
    """
    if not (yield HEADER):
        return False
    kind, length = _RECORD_HEADER[layer.order].unpack_from(window.buf, window.lo)
    short = length < tables.SIZES["libxc.X86_PV_VCPU_EXTENDED"]
    return bool(kind == tables.LIBXL_CHECKPOINT_STATE and (short or layer.guest == "hvm"))
