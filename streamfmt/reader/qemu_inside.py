"""A record of QEMU's devices inside another layer's record: a stream of its own, in a window of its own."""

from __future__ import annotations

from .. import tables
from .events import Layer, Sink
from .pump import Pump, Window
from .registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .events import Record
    from .pump import Program

_LAYER = "qemu"
# Frames that are kept.
_KEPT = 4096
_SECTIONS = (tables.QEMU_SECTION_START, tables.QEMU_SECTION_FULL)


def within(parent: Layer) -> Layer:
    """The layer that such a record is, inside `parent`."""
    return Layer(_LAYER, parent)


def reading(sink: Sink, layer: Layer, at: int) -> Pump:
    """What reads such a record, whose first byte is at stream offset `at`, for `sink`; its bytes come by `feed`."""
    window = sink.window = Window()
    window.base = at
    return Pump(load(layer.row.program)(window, sink, layer, False), window)


class Frames(Sink):
    """Takes note of each frame of a record that begins at stream offset `at`: `rows` have it, and whose it is."""

    def __init__(self, parent: Layer, at: int) -> None:
        self.layer = within(parent)
        self.rows: list[tuple[Record, str]] = []
        self._pump = reading(self, self.layer, at)

    def feed(self, raw: bytes) -> bool:
        """Go on with more of it.  Returns whether more can be used."""
        return self._pump.feed(raw)

    def end(self) -> None:
        """There is no more of it."""
        self._pump.end()

    def record(self, record: Record) -> Program | None:
        section = self.layer.facts.section
        named = record.type in _SECTIONS and section is not None and not self.layer.facts.stray
        name = section.name.decode("latin-1") if named and section.name else ""
        if len(self.rows) < _KEPT:
            which = f" {section.instance}" if name and section.instance else ""
            self.rows.append((record, f"{ascii(name)[1:-1]}{which}"))
        return None


def frames(parent: Layer, at: int, raw: bytes) -> list[tuple[Record, str, bytes]]:
    """The frames of a record whose bytes are `raw`, at stream offset `at`: each with its section's name, and its body.

    None if it is no such record.
    """
    if not raw.startswith(tables.QEMU_MAGIC):
        return []
    found = Frames(parent, at)
    found.feed(raw)
    found.end()
    return [(record, name, raw[record.body - at : record.end - at]) for record, name in found.rows]
