"""A record of QEMU's devices inside another layer's record: a stream of its own, in a window of its own."""

from __future__ import annotations

from .events import Layer
from .pump import Pump, Window
from .registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .events import Sink

_LAYER = "qemu"


def within(parent: Layer) -> Layer:
    """The layer that such a record is, inside `parent`."""
    return Layer(_LAYER, parent)


def reading(sink: Sink, layer: Layer, at: int) -> Pump:
    """What reads such a record, whose first byte is at stream offset `at`, for `sink`; its bytes come by `feed`."""
    window = sink.window = Window()
    window.base = at
    return Pump(load(layer.row.program)(window, sink, layer, False), window)
