"""The libxl layer: stream header, records up to END, and the libxc image inside.

libxl cannot know where the image ends: LIBXC_CONTEXT hands the stream over, and it comes back after the image's
END, or after each CHECKPOINT, when libxl records follow up to CHECKPOINT_END.
"""

from __future__ import annotations

from struct import Struct

from .. import tables
from . import libxc
from .events import HEADER, Layer, Record, Sink
from .fields import broken_rules, foreign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .window import Window

STREAM_HEADER = Struct(tables.FORMATS["libxl.header"])
_RECORD_HEADER = {order: Struct(order + tables.FORMATS["libxl.record_header"]) for order in "<>"}


def stream(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, str]:
    """Program of a whole libxl stream."""
    at = window.position
    path = "libxl.header"
    raw = yield from libxc.header(window, sink, layer, path, "the stream header")
    if raw is None:
        return libxc.STOP
    _, layer.version, options = STREAM_HEADER.unpack(raw)
    broken = broken_rules(path, raw, ">")
    other = foreign(layer.name, broken, raw)
    sink.header(layer, path, at, raw, other or broken)
    if other:
        sink.unsound(layer, at)
        return libxc.STOP
    layer.order = ">" if options & tables.LIBXL_OPTIONS.get("endian", 0) else "<"
    return (yield from _records(window, sink, layer))


def _records(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, str]:
    w = window
    unpack_header = _RECORD_HEADER[layer.order].unpack_from
    image: Layer | None = None
    resume = False
    while True:
        if w.hi - w.lo < HEADER and not (yield HEADER):
            libxc.cut(w, sink, layer, HEADER, "a record header" if w.hi > w.lo else "the stream, before its END")
            return libxc.STOP
        kind, length = unpack_header(w.buf, w.lo)
        record = Record(layer, kind, w.position, length)
        layer.index += 1
        w.lo += HEADER
        if not (yield from libxc.body(w, sink, record)):
            return libxc.STOP
        if kind == tables.LIBXL_END:
            sink.ended(layer, w.position)
            return libxc.END
        if kind == tables.LIBXL_LIBXC_CONTEXT:
            image = Layer("libxc", layer)
            if (yield from libxc.image(w, sink, image, nested=True)) == libxc.STOP:
                return libxc.STOP
            layer.guest = image.guest
        elif kind == tables.LIBXL_CHECKPOINT_END and image is not None and image.checkpoints > layer.checkpoints:
            layer.checkpoints += 1
            resume = True
        if resume and image is not None and not (yield from _state_follows(w, layer)):
            resume = False
            if (yield from libxc.records(w, sink, image, nested=True)) == libxc.STOP:
                return libxc.STOP


def _state_follows(window: Window, layer: Layer) -> Generator[int, int, bool]:
    """Whether COLO's CHECKPOINT_STATE comes next, before the libxc records of the next checkpoint.

    libxc has another record of that number, but longer, and not for HVM guests, which COLO is for.
    """
    if not (yield HEADER):
        return False
    kind, length = _RECORD_HEADER[layer.order].unpack_from(window.buf, window.lo)
    short = length < tables.SIZES["libxc.X86_PV_VCPU_EXTENDED"]
    return bool(kind == tables.LIBXL_CHECKPOINT_STATE and (short or layer.guest == "hvm"))
