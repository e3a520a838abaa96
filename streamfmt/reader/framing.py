"""Framing that all layers share: headers, bodies with their padding, and where a stream breaks off.

A layer's program returns how reading ended, and the layer whose end that was: what may follow its END is looked at
after that.
"""

from __future__ import annotations

from .. import tables
from .events import Layer as _Layer
from .fields import broken_rules, foreign, name_of, number
from .registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, TypeAlias

    from .events import Layer, Record, Sink
    from .identify import Identity
    from .pump import Window

    Ending: TypeAlias = tuple[str, Layer]

# Its END has come; reading stops here.
END, STOP = "END", "stop"


def read(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a whole layer: its row says which."""
    program: Generator[int, int, Ending] = load(layer.row.program)(window, sink, layer, exact)
    return program


def within(identity: Identity, parent: Layer | None = None) -> Layer:
    """The layer that was identified, inside `parent`."""
    layer = _Layer(identity.key, parent)
    layer.guest = identity.guest
    return layer


def header(window: Window, sink: Sink, layer: Layer, path: str, what: str) -> Generator[int, int, bytes | None]:
    """Program of the fixed header of schema path `path`: its bytes, None if the stream ends first."""
    size = tables.SIZES[path]
    if (yield size):
        return window.take(size)
    cut(window, sink, layer, size, what)
    return None


def opening(
    window: Window, sink: Sink, layer: Layer, what: str, learn: Callable[[Layer, bytes], None] | None = None
) -> Generator[int, int, bytes | None]:
    """Program of a layer's first header: its bytes, None if nothing after it can be read.

    `learn` takes from it what the layer is: version, byte order.
    """
    at = window.position
    path = f"{layer.name}.{layer.row.headers[0]}"
    raw = yield from header(window, sink, layer, path, what)
    if raw is None:
        return None
    if learn is not None:
        learn(layer, raw)
    broken = broken_rules(path, raw, layer.order)
    other = foreign(layer.row, broken, raw) or (_recoded(layer, broken, raw) if broken and layer.parent else [])
    if other and name_of(other[0]) in layer.row.magic:
        layer.version, layer.order = 0, "<"  # what is no such header announces nothing
    sink.header(layer, path, at, raw, other or broken)
    if other:
        sink.unsound(layer, at)
        return None
    return raw


def _recoded(layer: Layer, broken: list[tuple[Any, ...]], raw: bytes) -> list[tuple[Any, ...]]:
    """The rule of the magic, if a transfer has changed it: then it has changed all that follows, too."""
    from .damage import recoded  # most headers are as they should be

    magic = [row for row in broken if name_of(row) in layer.row.magic]
    return magic[:1] if magic and recoded(raw, layer.name) else []


def announced(layer: Layer, raw: bytes) -> None:
    """Take version and byte order from a header that is big-endian, whatever it announces."""
    path = f"{layer.name}.{layer.row.headers[0]}"
    layer.version = number(path, layer.row.version, raw, ">")
    big = any(name_of(row) == "options.endian" for row in broken_rules(path, raw, ">"))
    layer.order = ">" if big else "<"


def cut(window: Window, sink: Sink, layer: Layer, size: int, what: str) -> None:
    """Report that the stream ends inside `what`, of `size` bytes, of which those in the window are all."""
    sink.truncated(layer, None, window.base + window.hi, size - (window.hi - window.lo), what)


def body(window: Window, sink: Sink, record: Record) -> Generator[int, int, bool]:
    """Program of one record's body and padding.  Returns whether the stream had them whole, and they may be so long."""
    if 0 < record.layer.row.length_max < record.length:
        sink.oversize(record)
        return False
    program = sink.record(record)
    if program is not None:
        yield from program
    left = record.end - window.position
    if left:
        left -= yield -left
        if left:
            sink.truncated(record.layer, record, window.base + window.hi, left, "the body of a record")
            return False
    padding = record.padding
    if padding:
        if window.hi - window.lo < padding and not (yield padding):
            held = window.hi - window.lo
            sink.truncated(record.layer, record, window.base + window.hi, padding - held, "the padding of a record")
            return False
        at = window.position
        raw = window.take(padding)
        if raw.count(0) != padding:
            sink.padding(record, at, raw)
    return True
