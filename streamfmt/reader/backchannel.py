"""COLO's back channel, secondary to primary: records of both layers in turn, without any header.

libxl's CHECKPOINT_STATE and libxc's CHECKPOINT_DIRTY_PFN_LIST share it, since each side's two processes share one
descriptor.  The channel has no END: it may stop after any record.
"""

from __future__ import annotations

from .. import tables
from . import libxc
from .events import HEADER, Layer, Record, Sink
from .identify import peek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .window import Window

_PFN = tables.UNITS["libxc.CHECKPOINT_DIRTY_PFN_LIST"][0]
_STATE = libxc.RECORD_HEADER["<"].pack(tables.LIBXL_CHECKPOINT_STATE, tables.SIZES["libxl.CHECKPOINT_STATE"])
# Headers that a forward stream begins with, and this channel must not.
_HEADERS = {"libxl": ("header",), "libxc": ("image_header", "domain_header")}


def channel(window: Window, sink: Sink, outer: Layer, exact: bool) -> Generator[int, int, str]:
    """Program of a whole channel."""
    w = window
    layers = {name: Layer(name, outer) for name in ("libxl", "libxc")}
    if not exact:
        found = yield from peek(w, exact)
        for name in _HEADERS.get(found.key, ()):
            layer, path, at = layers[found.key], f"{found.key}.{name}", w.position
            raw = yield from libxc.header(w, sink, layer, path, "a header that should not be there")
            if raw is None:
                return libxc.STOP
            sink.header(layer, path, at, raw, ())
        if found.key in _HEADERS and (yield HEADER):
            kind, _ = libxc.RECORD_HEADER["<"].unpack_from(w.buf, w.lo)
            if kind not in (tables.LIBXL_CHECKPOINT_STATE, tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST):
                # A forward stream, headers and all.
                sink.unsound(outer, w.position, "record")
                return libxc.STOP
    while True:
        if w.hi - w.lo < HEADER and not (yield HEADER):
            if w.hi > w.lo or not outer.index:
                libxc.cut(w, sink, layers["libxl"], HEADER, "a record header" if w.hi > w.lo else "the first record")
                return libxc.STOP
            sink.ended(outer, w.position)
            return libxc.END
        kind, length = libxc.RECORD_HEADER["<"].unpack_from(w.buf, w.lo)
        layer = layers["libxc" if kind == tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST else "libxl"]
        record = Record(layer, kind, w.position, length)
        layer.index += 1
        outer.index += 1
        w.lo += HEADER
        if layer.name == "libxc" and length > tables.RECORD_LENGTH_MAX:
            sink.oversize(record)
            return libxc.STOP
        shifted = False
        if layer.name == "libxc" and not exact:
            shifted = yield from _begins_with_zeros(w, length)
        if not (yield from libxc.body(w, sink, record)):
            return libxc.STOP
        if shifted and (yield from _zeros_were_extra(w)):
            at = w.position
            sink.misplaced(record, at, w.take(_PFN))


def _begins_with_zeros(window: Window, length: int) -> Generator[int, int, bool]:
    """Whether eight zeros follow a dirty list's header, in its body or, if that is empty, behind it."""
    if window.hi - window.lo < _PFN and not (yield _PFN):
        return False
    return not any(window.buf[window.lo : window.lo + _PFN])


def _zeros_were_extra(window: Window) -> Generator[int, int, bool]:
    """Whether a dirty list's last frame lies behind its body, because eight zeros had been put before the first.

    Secondaries of 4.18 and later write them without counting them (commit efe8de1f91): what follows the body is then
    no header, but eight bytes further there is one, or the end.
    """
    w = window
    need = _PFN + len(_STATE)
    whole = w.hi - w.lo >= need or (yield need)
    here = w.buf[w.lo : w.lo + len(_STATE)]
    there = w.buf[w.lo + _PFN : min(w.lo + need, w.hi)]
    if here == _STATE:
        return False
    return there == _STATE if whole else w.hi - w.lo == _PFN
