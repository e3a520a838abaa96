"""A record of QEMU's devices inside another layer's record: its frames, in words, in dumps and as values."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from ..reader.events import Body, Layer, Record
from ..reader.pump import Pump, Window
from ..reader.qemu_inside import Frames, frames
from ..schema import qemu

# Bytes of a record that is looked into, sections that are named, and bytes shown after it.
MOST = 1 << 20
_NAMED = 6
_SHOWN = 256


def held(path: str, name: str, size: int) -> bool:
    """Whether that field of a record of that path, of so many bytes, holds such a record, and may be looked into."""
    return qemu.HOLDERS.get(path) == name and size <= MOST


class Dumper(Protocol):
    """What dumps records."""

    def header(self, layer: Layer, path: str, at: int, raw: bytes) -> None:
        """A header that has been read."""

    def heading(self, text: str, size: int) -> None:
        """What comes next, of so many bytes."""

    def record(self, record: Record, window: Window) -> Generator[int, int, None]:
        """Program that dumps a record."""

    def data(self, at: int, raw: bytes, label: str) -> None:
        """Bytes that belong to no layout."""


def summary(body: Body, head: bytes) -> Generator[int, int, str]:
    """Program that says in a few words what is in the record that `head` and the rest of a body are."""
    found = Frames(body.record.layer, body.at - len(head))
    found.feed(head)
    while raw := (yield from body.take(1 << 14)):
        if not found.feed(raw):
            break
    found.end()
    names = [name for _, name in found.rows if name]
    if not names:
        return ""
    more = f", and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f": {len(names):,} section{'s' * (len(names) > 1)}, {', '.join(names[:_NAMED])}{more}"


def dump(to: Dumper, parent: Layer, at: int, raw: bytes) -> bool:
    """Dump such a record frame by frame.  Returns whether it is one."""
    rows = frames(parent, at, raw)
    if not rows:
        return False
    window = Window(len(raw))
    window.buf[:] = raw
    window.base, window.hi, window.eof = at, len(raw), True
    layer = rows[0][0].layer
    to.header(layer, f"{layer.name}.{layer.row.headers[0]}", at, raw[: rows[0][0].offset - at])
    for record, name, _ in rows:
        to.heading(f"{record.path}{', ' if name else ''}{name}", record.length)
        window.lo = record.body - at
        Pump(to.record(record, window), window).run()  # all bytes are there, so it comes to its end
    end = rows[-1][0].end
    if end < at + len(raw):
        to.data(end, raw[end - at :][:_SHOWN], "after it")
    return True
