"""What the tests of the Python interface share: what a plain sink lists, and what `open` shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamfmt
from streamfmt import aio

from ...reader.events import Layer, Record, Sink
from ...reader.reader import Reader
from .good_streams import GOOD

DATA = {name: stream.render() for name, stream in GOOD.items()}
Row = tuple[Any, ...]


class Plain(Sink):
    """A sink that lists headers and records, and where reading ended early."""

    every_page = True

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self.rows.append((layer.path, path.partition(".")[2], at, raw))

    def record(self, record: Record) -> None:
        self.rows.append((record.layer.path, record.index, record.name, record.type, record.offset, record.length))


def plainly(data: bytes, form: str) -> list[Row]:
    sink = Plain()
    reader = Reader(sink, form)
    reader.pump.feed(data)
    reader.pump.end()
    return sink.rows


def row(item: streamfmt.Header | streamfmt.Record | aio.Record) -> Row:
    if isinstance(item, streamfmt.Header):
        return item.layer, item.name, item.offset, item.data
    return item.layer, item.index, item.name, item.type, item.offset, item.length


def pulled(source: Any, look: Callable[[streamfmt.Record], object] = lambda _: None, **options: Any) -> list[Row]:
    """The items of a stream, each record being looked at; the error that ended it comes last."""
    rows: list[Row] = []
    try:
        with streamfmt.open(source, **options) as stream:
            for item in stream:
                rows.append(row(item))
                if isinstance(item, streamfmt.Record):
                    look(item)
    except streamfmt.StreamError as error:
        rows.append((type(error).__name__, str(error)))
    return rows


def items(rows: list[Row]) -> list[Row]:
    """Without the error at the end."""
    return [found for found in rows if len(found) != 2]
