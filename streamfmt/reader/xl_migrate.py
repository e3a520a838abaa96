"""What captures of a migration have around a stream: the handshake of `xl migrate`, and text before everything.

A capture of both directions has all of the handshake.  The sender's alone begins with xl's header, so it is an xl
file with a trailer; the receiver's alone has no stream and is named for what it is.
"""

from __future__ import annotations

from .. import tables
from . import backchannel, containers, libxc
from .events import Layer, Record, Sink
from .identify import Identity, peek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .window import Window


def text(window: Window, sink: Sink, layer: Layer, sizes: Sequence[int]) -> Generator[int, int, None]:
    """Program of the text before a stream: records of these sizes, which are in the window."""
    for kind, size in zip(tables.RECORDS[layer.name], sizes, strict=False):
        record = Record(layer, kind, window.position, 0)
        (unit,) = tables.UNITS.get(record.path, (0,))
        record.length = tables.SIZES[record.path] + size * unit
        layer.index += 1
        yield from libxc.body(window, sink, record)


def migration(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, containers.Outcome]:
    """Program of a capture of `xl migrate`, from the receiver's greeting on."""
    if (yield from containers.header(window, sink, layer)) is None:
        return libxc.STOP, layer
    path = f"{layer.name}.{tables.RECORDS[layer.name][tables.XL_MIGRATE_READY]}"
    yield tables.SIZES[path]
    head = _held(window, tables.SIZES[path])
    if not head:
        libxc.cut(window, sink, layer, tables.SIZES["xl.header"], "the capture, before xl's header")
        return libxc.STOP, layer
    if head == _message(path)[: len(head)]:
        name = "the receiver's side of a migration alone, without the sender's stream"
        first = head.decode().rstrip("\0")
        evidence = f"{first!r} at offset {window.position}"
        sink.inner(layer, window.position, Identity("", "one-sided", name, evidence), False)
        return libxc.STOP, layer
    outer = layer
    identity = yield from peek(window, exact, text=True)
    if identity.key == "back-channel":
        # Under COLO the receiver answers: this is its side alone.
        answers = Layer(identity.key, layer)
        return (yield from backchannel.channel(window, sink, answers, exact)), answers
    if identity.behind == "xl":
        outer = Layer(identity.key, layer)
        yield from text(window, sink, outer, identity.sizes)
    outcome, inner = yield from containers.PROGRAMS["xl"](window, sink, Layer("xl", outer), exact)
    if outcome != libxc.END or inner.checkpoints:
        # A checkpointed stream has no handshake: its receiver takes over when the stream stops.
        return outcome, inner
    return (yield from _handshake(window, sink, layer)), layer


def _handshake(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, str]:
    """Program of the messages behind a stream.  Those of both directions follow one another, since each waits."""
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
            libxc.cut(w, sink, layer, size, "the handshake")
            return libxc.STOP
        layer.index += 1
        yield from libxc.body(w, sink, record)
        if head != expected:
            sink.unsound(layer, record.offset, "message")
            return libxc.STOP
    sink.ended(layer, w.position)
    return libxc.END


def _message(path: str) -> bytes:
    """The fixed text of a message, as its field rule has it; empty for one that has none."""
    return next((bytes(row[7]) for row in tables.RULES.get(path, ())), b"")


def _held(window: Window, size: int) -> bytes:
    """The next `size` bytes, or as many as are in the window."""
    return bytes(window.buf[window.lo : min(window.hi, window.lo + size)])
