"""A channel of a QEMU migration with multifd: packets, up to the end of the input."""

from __future__ import annotations

from array import array

from .. import tables
from . import framing
from .events import Record
from .framing import END, STOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .events import Layer, Sink
    from .framing import Ending
    from .pump import Window

_PAGES, _STATE = tables.QEMU_MULTIFD_PAGES, tables.QEMU_MULTIFD_DEVICE_STATE
# The packets of a channel, or of several, whose numbers are kept; and the blocks.
PACKETS_MAX, BLOCKS_MAX = 1 << 20, tables.QEMU_BLOCKS_MAX


class Channel:
    """What a channel has said: who it is, and which pages it has brought.

    `blocks` are how many pages it has of each block, the highest offset of one, and where the packet is that has it.
    `numbers` are those of packets with pages; `waits` those of the others that say so by having no place for any, as
    QEMU writes them since 9.0.  `devices` are the numbers of packets of each device's state, by its name and instance,
    with whether they have the configuration.  `full` once more came than is kept.
    """

    __slots__ = ("blocks", "devices", "full", "id", "numbers", "uuid", "waits")

    def __init__(self) -> None:
        self.id = 0
        self.uuid = b""
        self.blocks: dict[bytes, tuple[int, int, int]] = {}
        self.numbers = array("Q")
        self.waits = array("Q")
        self.devices: dict[tuple[bytes, int], dict[int, bool]] = {}
        self.full = False


def program(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a whole channel."""
    w = window
    layer.facts = Channel()
    if (yield from framing.opening(w, sink, layer, "what a channel begins with")) is None:
        return STOP, layer
    while w.hi > w.lo or (yield 1):
        if not (yield from _packet(w, sink, layer)):
            return STOP, layer
    sink.ended(layer, w.position)
    return END, layer


def _packet(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, bool]:
    """Program of a packet.  Returns whether it was one, and whole."""
    w, kind = window, _PAGES
    first = _place(layer, kind, "pages_allocated")[0]
    if (w.hi - w.lo >= first or (yield first)) and _number(w, layer, kind, "flags.sync") & tables.QEMU_MULTIFD_STATE:
        kind = _STATE
    path = f"{layer.name}.{tables.RECORDS[layer.name][kind]}"
    size = tables.SIZES[path] + (tables.UNITS[path][0] * tables.QEMU_MULTIFD_OFFSETS if kind == _PAGES else 0)
    if w.hi - w.lo < size and not (yield size):
        framing.cut(w, sink, layer, size, "a packet")
        return False
    begun = w.head(len(tables.QEMU_MULTIFD_BEGIN)) == tables.QEMU_MULTIFD_BEGIN
    # Without pages the length is left over from an earlier packet.
    counted = begun and (kind == _STATE or _number(w, layer, kind, "normal_pages"))
    # The data is what the schema has last.
    unit = tables.UNITS[path][-1] or 1 if tables.UNITS.get(path) else 0
    record = Record(layer, kind, w.position, size + (_number(w, layer, kind, "data_size") * unit if counted else 0))
    layer.index += 1
    if not (yield from framing.body(w, sink, record)):
        return False
    if not begun:
        sink.unsound(layer, record.offset, "packet")
    return begun


def _place(layer: Layer, kind: int, name: str) -> tuple[int, int]:
    found: tuple[int, int] = tables.PLACES[f"{layer.name}.{tables.RECORDS[layer.name][kind]}"][name]
    return found


def _number(window: Window, layer: Layer, kind: int, name: str) -> int:
    """A field of the packet that begins in the window, or the integer that it is in."""
    place, size = _place(layer, kind, name)
    at = window.lo + place
    return int.from_bytes(window.buf[at : at + size], "big")
