"""XAPI suspend images: a signature, then headers that each say what comes next."""

from __future__ import annotations

from struct import Struct

from .. import tables
from . import framing
from .events import Layer, Record, Sink
from .framing import END, STOP
from .identify import Identity
from .registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .framing import Ending
    from .pump import Window

_RECORD_HEADER = Struct("<" + tables.FORMATS["xapi.record_header"])


class Unsized(Record):
    """A record whose body's end only its own layer finds: `length` is 0, whatever `declared_length` the header has."""

    __slots__ = ("_declared",)

    def __init__(self, layer: Layer, kind: int, at: int, declared_length: int) -> None:
        super().__init__(layer, kind, at, 0)
        self._declared = declared_length

    @property
    def declared_length(self) -> int:
        return self._declared


def program(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a whole image."""
    w = window
    if (yield from framing.opening(w, sink, layer, "the file header")) is None:
        return STOP, layer
    layer.version = tables.XAPI_VERSION
    while True:
        if w.hi - w.lo < layer.header_size and not (yield layer.header_size):
            what = "a record header" if w.hi > w.lo else "the image, before its End_of_image"
            framing.cut(w, sink, layer, layer.header_size, what)
            return STOP, layer
        kind, length = _RECORD_HEADER.unpack_from(w.buf, w.lo)
        sized = kind in tables.XAPI_SIZED
        record = Record(layer, kind, w.position, length) if sized else Unsized(layer, kind, w.position, length)
        layer.index += 1
        w.lo += layer.header_size
        if sized and length < 0:
            sink.oversize(record)
            return STOP, layer
        if not (yield from framing.body(w, sink, record)):
            return STOP, layer
        if kind == tables.XAPI_END_OF_IMAGE:
            sink.ended(layer, w.position)
            return END, layer
        if kind in layer.row.opens:
            image = Layer(layer.row.opens[kind], layer)
            if image.row.alias:
                identity = yield from load("reader.legacy_identity:inside")(w, exact, sink.guest, "")
                known = identity.key in layer.row.holds
                sink.inner(layer, w.position, identity, known)
                if not known:
                    return STOP, layer
                image = framing.within(identity, layer)
            if (yield from framing.read(w, sink, image, exact))[0] != END:
                return STOP, image
            layer.guest = image.guest
        elif not sized:
            sink.inner(layer, w.position, _opaque(kind), False)
            return STOP, layer


def _opaque(kind: int) -> Identity:
    """Names what lies in a XAPI record whose end cannot be found here."""
    name = {
        tables.XAPI_LIBXL: "record reserved for a libxl stream, which no release writes",
        tables.XAPI_DEMU: "state of a virtual GPU (Demu), whose end only its own emulator finds",
    }.get(kind, "record of an unknown type")
    return Identity("", "opaque", name, f"record type {kind:#x}")
