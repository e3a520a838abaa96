"""COLO's back channel, secondary to primary: records of both layers in turn, without any header.

libxl's CHECKPOINT_STATE and libxc's CHECKPOINT_DIRTY_PFN_LIST share it, since each side's two processes share one
descriptor.  The channel has no END: it may stop after any record.
"""

from __future__ import annotations

from .. import tables
from . import framing
from .events import HEADER, Layer, Record, Sink
from .framing import END, STOP
from .identify import peek
from .libxc import RECORD_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .framing import Ending
    from .pump import Window

_PFN = tables.UNITS["libxc.CHECKPOINT_DIRTY_PFN_LIST"][0]
_STATE = RECORD_HEADER["<"].pack(tables.LIBXL_CHECKPOINT_STATE, tables.SIZES["libxl.CHECKPOINT_STATE"])


def program(window: Window, sink: Sink, outer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a whole channel."""
    w = window
    layers = {name: Layer(name, outer, judge=outer) for name in outer.row.holds}
    state, dirty = layers.values()
    if not exact:
        found = yield from peek(w, exact)
        # Headers that a forward stream begins with, and this channel must not.
        headers = layers[found.key].row.headers if found.key in layers else ()
        for name in headers:
            layer, path, at = layers[found.key], f"{found.key}.{name}", w.position
            raw = yield from framing.header(w, sink, layer, path, "a header that should not be there")
            if raw is None:
                return STOP, outer
            sink.header(layer, path, at, raw, ())
        if headers and (yield HEADER):
            kind, _ = RECORD_HEADER["<"].unpack_from(w.buf, w.lo)
            if kind not in (tables.LIBXL_CHECKPOINT_STATE, tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST):
                # A forward stream, headers and all.
                sink.unsound(outer, w.position, "record")
                return STOP, outer
    while True:
        if w.hi - w.lo < HEADER and not (yield HEADER):
            if w.hi > w.lo or not outer.index:
                framing.cut(w, sink, state, HEADER, "a record header" if w.hi > w.lo else "the first record")
                return STOP, outer
            sink.ended(outer, w.position)
            return END, outer
        kind, length = RECORD_HEADER["<"].unpack_from(w.buf, w.lo)
        layer = dirty if kind == tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST else state
        record = Record(layer, kind, w.position, length)
        layer.index += 1
        outer.index += 1
        w.lo += HEADER
        shifted = False
        if layer is dirty and not exact:
            shifted = yield from _begins_with_zeros(w, length)
        if not (yield from framing.body(w, sink, record)):
            return STOP, outer
        if shifted and (yield from _zeros_were_extra(w)):
            at = w.position
            sink.misplaced(record, at, w.take(_PFN))


def _begins_with_zeros(window: Window, length: int) -> Generator[int, int, bool]:
    """Whether eight zeros follow a dirty list's header, in its body or, if that is empty, after it."""
    if window.hi - window.lo < _PFN and not (yield _PFN):
        return False
    return not any(window.buf[window.lo : window.lo + _PFN])


def _zeros_were_extra(window: Window) -> Generator[int, int, bool]:
    """Whether a dirty list's last frame lies after its body, because eight zeros had been put before the first.

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
