"""A record of QEMU's devices inside another layer's record: its frames, in words, in dumps and as values."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Protocol

from .. import tables
from ..reader.events import Body, Layer, Record, Sink
from ..reader.pump import Window
from ..reader.qemu_inside import reading, within
from ..schema import qemu

if TYPE_CHECKING:
    from ..reader.pump import Program

# Bytes of a record that is looked into, its frames that are kept, sections that are named, and bytes shown after it.
MOST = 1 << 20
_KEPT = 4096
_NAMED = 6
_SHOWN = 256
_SECTIONS = (tables.QEMU_SECTION_START, tables.QEMU_SECTION_FULL)


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


class _Frames(Sink):
    """Takes note of each frame: a record, whose section it is, and the record's bytes in `raw` from `at` on."""

    def __init__(self, parent: Layer, at: int) -> None:
        self.layer = within(parent)
        self.rows: list[tuple[Record, str]] = []
        self.broken = False
        self._pump = reading(self, self.layer, at)

    def feed(self, raw: bytes) -> bool:
        return self._pump.feed(raw)

    def end(self) -> int:
        self._pump.end()
        return self.window.position

    def record(self, record: Record) -> Program | None:
        section = self.layer.facts.section
        named = record.type in _SECTIONS and section is not None and not self.layer.facts.stray
        name = section.name.decode("latin-1") if named and section.name else ""
        if len(self.rows) < _KEPT:
            which = f" {section.instance}" if name and section.instance else ""
            self.rows.append((record, f"{ascii(name)[1:-1]}{which}"))
        return None

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.broken = True

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self.broken = True


def summary(body: Body, head: bytes) -> Generator[int, int, str]:
    """Program that says in a few words what is in the record that `head` and the rest of a body are."""
    frames = _Frames(body.record.layer, body.at - len(head))
    frames.feed(head)
    while raw := (yield from body.take(1 << 14)):
        if not frames.feed(raw):
            break
    frames.end()
    names = [name for _, name in frames.rows if name]
    if not names:
        return ""
    more = f", and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f": {len(names):,} section{'s' * (len(names) > 1)}, {', '.join(names[:_NAMED])}{more}"


def frames(parent: Layer, at: int, raw: bytes) -> list[tuple[Record, str, bytes]]:
    """The frames of a record whose bytes are `raw`, at stream offset `at`: each with its section's name, and its body.

    None if it is no such record.
    """
    if not raw.startswith(qemu.MAGIC):
        return []
    found = _Frames(parent, at)
    found.feed(raw)
    found.end()
    return [(record, name, raw[record.body - at : record.end - at]) for record, name in found.rows]


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
        for _ in to.record(record, window):
            pass  # all bytes are there
    end = rows[-1][0].end
    if end < at + len(raw):
        to.data(end, raw[end - at :][:_SHOWN], "after it")
    return True
