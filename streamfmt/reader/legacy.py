"""The legacy stream: what comes before the first body, the bodies, and where it ends.  Tails are in legacy_tail.

Nothing in it says how long it is: what a chunk's number does not say its first bytes do, so these are looked at before
the chunk is handed over.  Batches whose entries are all sound are handed over without their pages being looked at.
"""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from . import framing, legacy_chunks, legacy_pages, legacy_tail
from .events import Headless, Layer, Sink
from .fields import broken_rules
from .framing import END, STOP
from .legacy_state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .framing import Ending
    from .pump import Window

_NUMBER = 4
_PV = "pv"


def program(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a whole stream, whose layer has its guest."""
    state = layer.facts = State(layer)
    path, at = f"{layer.name}.header", window.position
    raw = yield from framing.header(window, sink, layer, path, "the stream's header")
    if raw is None:
        return STOP, layer
    state.p2m_size = int.from_bytes(raw, "little")
    sink.header(layer, path, at, raw, broken_rules(path, raw, layer.order))
    if not 0 < state.p2m_size <= tables.LEGACY_P2M_MAX:
        sink.unsound(layer, at)
        return STOP, layer
    if layer.guest == _PV and not (yield from _beginning(window, sink, layer, state)):
        return STOP, layer
    tail = legacy_tail.pv if layer.guest == _PV else legacy_tail.hvm
    while True:
        if not (yield from _body(window, sink, layer, state)):
            return STOP, layer
        state.body_ends()
        if not (yield from tail(window, sink, layer, state)):
            return STOP, layer
        if not (yield from _goes_on(window, state, exact, sink.open_ended)):
            sink.ended(layer, window.position)
            return END, layer
        layer.close_checkpoint(window.position)
        sink.checkpoint(layer, window.position)


def _goes_on(window: Window, state: State, exact: bool, open_ended: bool) -> Generator[int, int, bool]:
    """Program that says whether another checkpoint follows.

    Releases before 4.1 do not say that one is the last.  What is to be read exactly is one checkpoint then, unless
    something in it shows a checkpointed stream.
    """
    if state.last or (exact and not open_ended and not state.recent and not state.remus):
        return False
    if window.hi - window.lo < _NUMBER and not (yield _NUMBER):
        # One that says so, or has a device model's record of checkpoints, is cut in the next.
        return window.hi > window.lo and (state.recent or state.remus)
    (number,) = unpack_from("<i", window.buf, window.lo)
    return number in tables.LEGACY_AGAIN or 0 < number <= tables.LEGACY_BATCH_MAX


def _beginning(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of what a PV guest's stream has before its first body.  Returns whether the body follows."""
    word = state.word
    if not (yield word):
        framing.cut(window, sink, layer, word, "the stream, before its list of frames")
        return False
    if window.head(word) == b"\xff" * word and not (yield from _extended(window, sink, layer, state)):
        return False
    kind = tables.LEGACY_P2M_FRAME_LIST
    length = legacy_chunks.size_of(layer, kind, state.frames)
    return (yield from legacy_chunks.hand_over(window, sink, layer, kind, length))


def _extended(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of extended info.  Returns whether it was whole."""
    fixed = legacy_chunks.size_of(layer, tables.LEGACY_EXTENDED_INFO, 0)
    if not (yield fixed):
        framing.cut(window, sink, layer, fixed, "the extended info")
        return False
    total = int.from_bytes(window.head(fixed)[state.word :], "little")
    size = fixed + total
    if total > tables.LEGACY_EXTINFO_MAX:
        legacy_chunks.refuse(window, sink, layer, tables.LEGACY_EXTENDED_INFO, size)
        return False
    if not (yield size):
        framing.cut(window, sink, layer, size, "the extended info")
        return False
    state.blocks(_blocks(layer, window.head(size)[fixed:]))
    return (yield from legacy_chunks.hand_over(window, sink, layer, tables.LEGACY_EXTENDED_INFO, size))


def _blocks(layer: Layer, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Tag and data of each block, as far as they are whole."""
    path = f"{layer.name}.{tables.RECORDS[layer.name][tables.LEGACY_EXTENDED_INFO]}.blocks"
    tag, header = len(tables.LEGACY_VCPU_TAG), tables.SIZES[path]
    (unit,) = tables.UNITS[path]
    while len(data) >= header:
        size = int.from_bytes(data[tag:header], "little") * unit
        if size > len(data) - header:
            return
        yield data[:tag], data[header : header + size]
        data = data[header + size :]


def _body(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of a body, to its end.  Returns whether a tail follows."""
    w = window
    while True:
        if w.hi - w.lo < _NUMBER and not (yield _NUMBER):
            what = "the number of a chunk" if w.hi > w.lo else "the body, before its end"
            framing.cut(w, sink, layer, _NUMBER, what)
            return False
        (number,) = unpack_from("<i", w.buf, w.lo)
        if number > 0:
            if not (yield from _batch(w, sink, layer, state, number)):
                return False
            continue
        if not (yield from legacy_chunks.chunk(w, sink, layer, state, number)):
            return False
        if number == tables.LEGACY_END_OF_BODY:
            return True


def _batch(window: Window, sink: Sink, layer: Layer, state: State, count: int) -> Generator[int, int, bool]:
    """Program of a batch.  Returns whether the stream had all of it."""
    w, word = window, state.word
    need = legacy_pages.COUNT + word * count
    if count > tables.LEGACY_BATCH_MAX:
        legacy_chunks.refuse(w, sink, layer, tables.LEGACY_PAGE_BATCH, need)
        return False
    if w.hi - w.lo < need and not (yield need):
        framing.cut(w, sink, layer, need, "the entries of a batch")
        return False
    types = legacy_pages.tops(w, count, word)
    pages = 0 if state.compressed else legacy_pages.pages(types)
    size = legacy_chunks.size_of(layer, tables.LEGACY_PAGE_BATCH, count, pages)
    guest = layer.guest or _PV
    if sink.every_page or not legacy_pages.clean(w, types, guest, state.p2m_size, word):
        return (yield from legacy_chunks.hand_over(w, sink, layer, tables.LEGACY_PAGE_BATCH, size))
    run = legacy_pages.Batch(layer, w, size, count, pages, word)
    sink.pages(run)
    layer.index += 1
    w.lo += need
    left = size - need
    left -= yield -left
    if left:
        record = Headless(layer, tables.LEGACY_PAGE_BATCH, run.offset, size)
        record.index = run.index
        sink.truncated(layer, record, w.base + w.hi, left, "the pages of a batch")
        return False
    return True
