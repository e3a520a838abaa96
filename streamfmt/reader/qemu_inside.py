"""A record of QEMU's devices inside another layer's record: a stream of its own, in a window of its own."""

from __future__ import annotations

from .. import tables
from ..errors import MalformedError
from .events import PIECE, Layer, Sink
from .pump import Pump, Window
from .registry import ROWS, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .events import Body, Record
    from .identify import Identity
    from .pump import Program

_LAYER = "qemu"
# Types of frames, with their layer; what headers and frames are called, frames without their layer too.
TYPES = frozenset((_LAYER, code) for code in tables.RECORDS[_LAYER])
_FRAMES = tuple(tables.RECORDS[_LAYER].values())
NAMED = frozenset((*_FRAMES, *(f"{_LAYER}.{name}" for name in (*ROWS[_LAYER].headers, *_FRAMES))))
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


class Hears(Sink):
    """A sink for a device record: `failure` is why that could not be read to its end, if it could not."""

    failure: MalformedError | None = None

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self.failure = MalformedError(at, f"the device model's state ends inside {what}")

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.failure = MalformedError(at, f"not a valid {layer.name} {what}, cannot continue")

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        self.failure = MalformedError(at, f"{identity.name}, which no device has")


def taken(body: Body, count: int) -> Generator[int, int, bytes]:
    """Program that takes the next `count` bytes of a body, of which no window need hold so many; fewer at its end."""
    found = bytearray()
    while len(found) < count and (raw := (yield from body.take(min(count - len(found), PIECE)))):
        found += raw
    return bytes(found)


def lies_in(record: Record) -> bool:
    """Whether such a record, or a piece of one, may lie in a record."""
    return record.path in tables.QEMU_HOLDERS or record.path in tables.QEMU_PIECES


class Inside:
    """Reads the device records that lie in a stream's records, each for the sink that `make` has for it.

    `make` is given the record around it.  `failure` is why the first that could not be read to its end could not.
    """

    def __init__(self, make: Callable[[Record], Hears]) -> None:
        self.failure: MalformedError | None = None
        self._make = make
        self._open: tuple[Hears, Pump] | None = None
        self._begun = False

    def read(self, body: Body) -> Program:
        """Program that reads what lies in a record's body, whatever its length."""
        record = body.record
        goes_on = record.path in tables.QEMU_PIECES
        if not (goes_on and self._begun):
            self._begun = goes_on
            yield from body.skip(min(tables.SIZES[record.path], body.left))
            at, head = body.at, (yield from body.take(len(tables.QEMU_MAGIC)))
            if head == tables.QEMU_MAGIC:
                sink = self._make(record)
                self._open = sink, reading(sink, within(record.layer), at)
                self._open[1].feed(head)
        while self._open is not None and (raw := (yield from body.take(PIECE))) and self._open[1].feed(raw):
            pass
        if not goes_on:
            self.end()

    def end(self) -> None:
        """The stream has ended, and so has what lies in it piece by piece."""
        if self._open is not None:
            sink, pump = self._open
            pump.end()
            self._open, self.failure = None, self.failure or sink.failure


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
