"""What captures of a migration have around a stream: the handshake of `xl migrate`.

A capture of both directions has all of the handshake.  The sender's alone begins with xl's header, so it is an xl
file with a trailer; the receiver's alone has no stream and is named for what it is.
"""

from __future__ import annotations

from .. import tables
from . import framing, preface
from .events import Layer, Record, Sink
from .framing import END, STOP
from .identify import Identity, peek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .framing import Ending
    from .window import Window


def program(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a capture of `xl migrate`, from the receiver's greeting on."""
    if (yield from framing.opening(window, sink, layer, "the file header")) is None:
        return STOP, layer
    path = f"{layer.name}.{tables.RECORDS[layer.name][tables.XL_MIGRATE_READY]}"
    yield tables.SIZES[path]
    head = _held(window, tables.SIZES[path])
    if not head:
        framing.cut(window, sink, layer, tables.SIZES["xl.header"], "the capture, before xl's header")
        return STOP, layer
    if head == _message(path)[: len(head)]:
        name = "the receiver's side of a migration alone, without the sender's stream"
        first = head.decode().rstrip("\0")
        evidence = f"{first!r} at offset {window.position}"
        sink.inner(layer, window.position, Identity("", "one-sided", name, evidence), False)
        return STOP, layer
    answers, sent = layer.row.holds
    identity = yield from peek(window, exact, text=True)
    if identity.key == answers:
        # Under COLO the receiver answers: this is its side alone.
        return (yield from framing.read(window, sink, Layer(answers, layer), exact))
    outer = layer
    if identity.inner == sent:
        outer = Layer(identity.key, layer)
        yield from preface.program(window, sink, outer, identity.sizes)
    outcome, inner = yield from framing.read(window, sink, Layer(sent, outer), exact)
    if outcome != END or inner.checkpoints:
        # A checkpointed stream has no handshake: its receiver takes over when the stream stops.
        return outcome, inner
    return (yield from _handshake(window, sink, layer)), layer


def _handshake(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, str]:
    """Program of the messages after a stream.  Those of both directions follow one another, since each waits."""
    w = window
    status = 0
    for kind in tables.RECORDS[layer.name]:
        if kind == tables.XL_MIGRATE_GIVE_BACK and not status:
            break
        record = Record(layer, kind, w.position, 0)
        size = tables.SIZES[record.path]
        whole = w.hi - w.lo >= size or (yield size)
        head = _held(w, size)
        record.length = len(head)
        expected = _message(record.path)
        if kind == tables.XL_MIGRATE_STATUS:
            expected, status = head, int.from_bytes(head, "little")
        if not whole and head == expected[: len(head)]:
            framing.cut(w, sink, layer, size, "the handshake")
            return STOP
        layer.index += 1
        yield from framing.body(w, sink, record)
        if head != expected:
            sink.unsound(layer, record.offset, "message")
            return STOP
    sink.ended(layer, w.position)
    return END


def _message(path: str) -> bytes:
    """The fixed text of a message, as its field rule has it; empty for one that has none."""
    return next((bytes(allowed) for *_, allowed in tables.RULES.get(path, ())), b"")


def _held(window: Window, size: int) -> bytes:
    """The next `size` bytes, or as many as are in the window."""
    return bytes(window.buf[window.lo : min(window.hi, window.lo + size)])
