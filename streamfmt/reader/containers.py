"""What is around a stream that has a magic: save files of xl and libvirt, text, captures of a migration."""

from __future__ import annotations

from .. import tables
from . import framing
from .events import Body, Layer, Record, Sink
from .fields import number
from .framing import END, STOP
from .identify import Identity, peek
from .registry import ALWAYS, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .framing import Ending
    from .pump import Window

# The shortest header of what may be inside.
_SHORTEST = tables.SIZES["libxl.header"]


def save_file(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a save file of xl, libvirt or xend, or XAPI's old image: a header, maybe one body, a stream."""
    path = f"{layer.name}.header"
    if (raw := (yield from framing.opening(window, sink, layer, "the file header", _order))) is None:
        return STOP, layer
    if "version" in tables.PLACES[path]:
        layer.version = number(path, "version", raw, layer.order)
    legacy, configured = promised(layer, raw), ""
    order = ">" if tables.FORMATS[path].startswith(">") else layer.order
    for kind in tables.RECORDS[layer.name]:
        record = Record(layer, kind, window.position, number(path, layer.row.length, raw, order))
        layer.index += 1
        if legacy:
            configured = yield from _configured(Body(window, record))
        if not (yield from framing.body(window, sink, record)):
            return STOP, layer
    return (yield from _inside(window, sink, layer, exact, legacy, configured))


def promised(layer: Layer, raw: bytes) -> bool:
    """Whether the container's header, which is `raw`, says that there is a legacy stream inside."""
    if not layer.row.legacy:
        return layer.row.legacy == ALWAYS
    field, mask, value = layer.row.legacy
    path = f"{layer.name}.{layer.row.headers[0]}"
    return number(path, field, raw, layer.order) & mask == value


def _configured(body: Body) -> Generator[int, int, str]:
    """Program that says which type of guest the configuration in `body` is for, and consumes nothing of it."""
    found = yield from load("reader.configuration:read")(body)
    return found.image if found is not None else ""


def _inside(
    window: Window, sink: Sink, layer: Layer, exact: bool, legacy: bool, configured: str
) -> Generator[int, int, Ending]:
    """Program of the stream inside a file that promises a `legacy` one, or another."""
    identity: Identity = yield from (
        load("reader.legacy_identity:inside")(window, exact, sink.guest, configured) if legacy else peek(window, exact)
    )
    if identity.kind == "empty" or (not identity.key and not (yield _SHORTEST)):
        what = "the header of its stream" if window.hi > window.lo else "the file"
        framing.cut(window, sink, layer, _SHORTEST, what)
        return STOP, layer
    known = identity.key in layer.row.holds
    sink.inner(layer, window.position, identity, known)
    if not known:
        return STOP, layer
    return (yield from framing.read(window, sink, framing.within(identity, layer), exact))


def _order(layer: Layer, raw: bytes) -> None:
    """The byte order is what the header's field for it shows; little-endian if it shows none."""
    place, size = tables.PLACES[f"{layer.name}.header"].get("byteorder", (0, 0))
    layer.order = ">" if int.from_bytes(raw[place : place + size], "big") == tables.XL_BYTE_ORDER else "<"


def preface(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of what stands before a stream and does not belong to it, stray text or the head of a request."""
    identity = yield from peek(window, exact, text=True)
    for kind, size in zip(tables.RECORDS[layer.name], identity.sizes, strict=False):
        record = Record(layer, kind, window.position, 0)
        (unit,) = tables.UNITS.get(record.path, (0,))
        record.length = tables.SIZES[record.path] + size * unit
        layer.index += 1
        yield from framing.body(window, sink, record)
    return (yield from framing.read(window, sink, Layer(identity.inner, layer), exact))


def xl_migrate(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a capture of `xl migrate`: the handshake around a stream, from the receiver's greeting on.

    A capture of both directions has all of it.  The sender's alone begins with xl's header, so it is an xl file with a
    trailer; the receiver's alone has no stream and is named for what it is.
    """
    if (yield from framing.opening(window, sink, layer, "the file header")) is None:
        return STOP, layer
    path = f"{layer.name}.{tables.RECORDS[layer.name][tables.XL_MIGRATE_READY]}"
    yield tables.SIZES[path]
    head = window.head(tables.SIZES[path])
    if not head:
        framing.cut(window, sink, layer, tables.SIZES["xl.header"], "the capture, before xl's header")
        return STOP, layer
    if head == _message(path)[: len(head)]:
        name = "the receiver's side of a migration alone, without the sender's stream"
        greeting = head.decode().rstrip("\0")
        evidence = f"{greeting!r} at offset {window.position}"
        sink.inner(layer, window.position, Identity("", "one-sided", name, evidence), False)
        return STOP, layer
    answers, sent = layer.row.holds
    identity = yield from peek(window, exact, text=True)
    if identity.key == answers:
        # Under COLO the receiver answers: this is its side alone.
        return (yield from framing.read(window, sink, Layer(answers, layer), exact))
    first = Layer(identity.key if identity.inner == sent else sent, layer)
    outcome, inner = yield from framing.read(window, sink, first, exact)
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
        head = w.head(size)
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
