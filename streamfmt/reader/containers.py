"""The layers around streams: xl and libvirt save files, XAPI suspend images.

A container's program reads its header and what it carries beside the guest, says what its stream is, and runs the
program of that.  It returns how reading ended and the layer whose end that was, behind which trailers are looked for.
"""

from __future__ import annotations

from struct import Struct

from .. import tables
from . import libxc, libxl
from .events import Layer, Record, Sink, Unsized
from .fields import MAGIC, broken_rules, damaged
from .identify import Identity, peek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeAlias

    from .window import Window

    Outcome: TypeAlias = tuple[str, Layer]
    Container: TypeAlias = Callable[[Window, Sink, Layer, bool], Generator[int, int, Outcome]]

_LIBVIRT_HEADER = Struct("<" + tables.FORMATS["libvirt.header"])
_XAPI_RECORD = Struct("<" + tables.FORMATS["xapi.record_header"])


def header(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, bytes | None]:
    """Program of a container's header: its bytes, None if nothing can be read behind it."""
    at = window.position
    path = f"{layer.name}.header"
    raw = yield from libxc.header(window, sink, layer, path, "the file header")
    if raw is None:
        return None
    if path == "xl.header":
        layer.order = _xl_order(raw)
    broken = broken_rules(path, raw, layer.order)
    # What is not that header at all breaks no other rule of it.
    other = [] if damaged(layer.name, raw) else [row for row in broken if row[1] in MAGIC]
    sink.header(layer, path, at, raw, other or broken)
    if other:
        sink.unsound(layer, at)
        return None
    return raw


def _xl_order(raw: bytes) -> str:
    """The byte order that an xl header's second field shows; little-endian if it shows none."""
    place, size = tables.PLACES["xl.header"]["byteorder"]
    return ">" if int.from_bytes(raw[place : place + size], "big") == tables.XL_BYTE_ORDER else "<"


def _single(window: Window, sink: Sink, layer: Layer, length: int) -> Generator[int, int, bool]:
    """Program of the one body that follows a file header.  Returns whether the input had it whole."""
    (kind,) = tables.RECORDS[layer.name]
    record = Record(layer, kind, window.position, length)
    layer.index += 1
    return (yield from libxc.body(window, sink, record))


def _inner(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Outcome]:
    """Program of the stream that ends a container: told apart by its own magic, whatever the container says."""
    identity = yield from peek(window, exact)
    size = tables.SIZES["libxl.header"]
    if identity.kind == "empty" or (identity.kind == "unknown" and not (yield size)):
        libxc.cut(window, sink, layer, size, "the header of its stream" if window.hi > window.lo else "the file")
        return libxc.STOP, layer
    sink.inner(layer, window.position, identity, identity.key in ("libxl", "libxc"))
    if identity.key == "libxl":
        inner = Layer("libxl", layer)
        return (yield from libxl.stream(window, sink, inner)), inner
    if identity.key == "libxc":
        inner = Layer("libxc", layer)
        return (yield from libxc.image(window, sink, inner, nested=False)), inner
    return libxc.STOP, layer


def _xl(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Outcome]:
    raw = yield from header(window, sink, layer)
    if raw is None:
        return libxc.STOP, layer
    *_, length = Struct(layer.order + tables.FORMATS["xl.header"]).unpack(raw)
    if not (yield from _single(window, sink, layer, length)):
        return libxc.STOP, layer
    return (yield from _inner(window, sink, layer, exact))


def _libvirt(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Outcome]:
    raw = yield from header(window, sink, layer)
    if raw is None:
        return libxc.STOP, layer
    _, layer.version, length, _ = _LIBVIRT_HEADER.unpack(raw)
    if not (yield from _single(window, sink, layer, length)):
        return libxc.STOP, layer
    return (yield from _inner(window, sink, layer, exact))


def _xapi(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Outcome]:
    w = window
    if (yield from header(w, sink, layer)) is None:
        return libxc.STOP, layer
    layer.version = 2
    while True:
        if w.hi - w.lo < layer.header_size and not (yield layer.header_size):
            what = "a record header" if w.hi > w.lo else "the image, before its End_of_image"
            libxc.cut(w, sink, layer, layer.header_size, what)
            return libxc.STOP, layer
        kind, length = _XAPI_RECORD.unpack_from(w.buf, w.lo)
        sized = kind in tables.XAPI_SIZED
        record = Record(layer, kind, w.position, length) if sized else Unsized(layer, kind, w.position, length)
        layer.index += 1
        w.lo += layer.header_size
        if sized and not 0 <= length <= tables.XAPI_LENGTH_MAX:
            sink.oversize(record)
            return libxc.STOP, layer
        if not (yield from libxc.body(w, sink, record)):
            return libxc.STOP, layer
        if kind == tables.XAPI_END_OF_IMAGE:
            sink.ended(layer, w.position)
            return libxc.END, layer
        if kind == tables.XAPI_LIBXC:
            image = Layer("libxc", layer)
            if (yield from libxc.image(w, sink, image, nested=False)) != libxc.END:
                return libxc.STOP, image
            layer.guest = image.guest
        elif not sized:
            sink.inner(layer, w.position, (yield from _opaque(w, kind, exact)), False)
            return libxc.STOP, layer


def _opaque(window: Window, kind: int, exact: bool) -> Generator[int, int, Identity]:
    """Program that names what lies in a XAPI record whose end nobody here can find."""
    name = {
        tables.XAPI_LIBXL: "record reserved for a libxl stream, which no release writes",
        tables.XAPI_DEMU: "state of a virtual GPU (Demu), whose end only its own emulator finds",
    }.get(kind, "record of a type nobody knows")
    if kind == tables.XAPI_LIBXC_LEGACY:
        inside = yield from peek(window, exact)
        known = f"which holds a {inside.name}" if inside.key else "but nothing in it looks like one"
        return Identity("", "opaque", f"record for a legacy stream, {known}", inside.evidence)
    return Identity("", "opaque", name, f"record type {kind:#x}")


PROGRAMS: dict[str, Container] = {"xl": _xl, "libvirt": _libvirt, "xapi": _xapi}
