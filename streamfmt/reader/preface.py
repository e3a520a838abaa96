"""What stands before a stream and does not belong to it: stray text, or the head of an HTTP request."""

from __future__ import annotations

from .. import tables
from . import framing
from .events import Layer, Record, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .window import Window


def program(window: Window, sink: Sink, layer: Layer, sizes: Sequence[int]) -> Generator[int, int, None]:
    """Program of the text before a stream: records of these sizes, which are in the window."""
    for kind, size in zip(tables.RECORDS[layer.name], sizes, strict=False):
        record = Record(layer, kind, window.position, 0)
        (unit,) = tables.UNITS.get(record.path, (0,))
        record.length = tables.SIZES[record.path] + size * unit
        layer.index += 1
        yield from framing.body(window, sink, record)
