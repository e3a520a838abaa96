"""xl and libvirt save files: a header, one body, and the stream that is known by its own magic."""

from __future__ import annotations

from struct import Struct

from .. import tables
from . import framing
from .events import Layer, Record, Sink
from .fields import number
from .framing import STOP
from .identify import peek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .framing import Ending
    from .window import Window

_LIBVIRT_HEADER = Struct("<" + tables.FORMATS["libvirt.header"])
# The shortest header of what may be inside.
_SHORTEST = tables.SIZES["libxl.header"]


def xl(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of an xl save file."""
    if (raw := (yield from framing.opening(window, sink, layer, "the file header", _order))) is None:
        return STOP, layer
    return (yield from _file(window, sink, layer, exact, raw))


def libvirt(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a libvirt save file."""
    if (raw := (yield from framing.opening(window, sink, layer, "the file header"))) is None:
        return STOP, layer
    layer.version = number("libvirt.header", "version", raw, layer.order)
    return (yield from _file(window, sink, layer, exact, raw))


def _order(layer: Layer, raw: bytes) -> None:
    """The byte order is what the header's second field shows; little-endian if it shows none."""
    place, size = tables.PLACES["xl.header"]["byteorder"]
    layer.order = ">" if int.from_bytes(raw[place : place + size], "big") == tables.XL_BYTE_ORDER else "<"


def _file(window: Window, sink: Sink, layer: Layer, exact: bool, raw: bytes) -> Generator[int, int, Ending]:
    """Program of what follows the header `raw`."""
    place, size = tables.PLACES[f"{layer.name}.header"][layer.row.length]
    (kind,) = tables.RECORDS[layer.name]
    record = Record(layer, kind, window.position, int.from_bytes(raw[place : place + size], layer.byte_order))
    layer.index += 1
    if not (yield from framing.body(window, sink, record)):
        return STOP, layer
    identity = yield from peek(window, exact)
    if identity.kind == "empty" or (identity.kind == "unknown" and not (yield _SHORTEST)):
        what = "the header of its stream" if window.hi > window.lo else "the file"
        framing.cut(window, sink, layer, _SHORTEST, what)
        return STOP, layer
    known = identity.key in layer.row.holds
    sink.inner(layer, window.position, identity, known)
    if not known:
        return STOP, layer
    return (yield from framing.read(window, sink, Layer(identity.key, layer), exact))
