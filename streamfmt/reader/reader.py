"""The stack of layers: identifies a stream, runs the layers it consists of, looks at what follows their END."""

from __future__ import annotations

from . import framing
from .events import Layer, Sink
from .identify import Identity, following, forced, peek
from .pump import Pump, Window
from .registry import ALIASES, READ, ROWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .pump import Program

_TRAILER_HEAD = 64


class Reader:
    """A stream on its way through its layers into `sink`.

    `form` is "auto" or what the stream is to be taken for, and `guest` what guest's a legacy stream is, if that is
    declared.  With `exact` no byte past the outermost END is asked for.  `identity` is None until enough has arrived;
    bytes come in through `pump` or a driver.
    """

    __slots__ = ("exact", "form", "guest", "identity", "pump", "sink", "window")

    def __init__(self, sink: Sink, form: str = "auto", exact: bool = False, guest: str | None = None) -> None:
        self.sink = sink
        self.form = form
        self.guest = sink.guest = guest
        self.exact = sink.exact = exact
        self.identity: Identity | None = None
        self.window = sink.window = Window()
        self.pump = Pump(self._program(), self.window)

    def close(self) -> None:
        """Nothing more is to be read: let go of the window, which would stay until Python looks for cycles.

        What is known of the stream stays, `window.position` too.
        """
        self.pump.close()
        self.window.close()

    def _program(self) -> Program:
        window = self.window
        if self.form == "auto":
            self.identity = yield from peek(window, self.exact, text=True)
        elif self.form in ALIASES or ROWS[self.form].alias:
            from .legacy_identity import forced as legacy  # few streams are declared to be one

            self.identity = yield from legacy(self.form, window, self.exact)
        else:
            self.identity = forced(self.form)
        if self.guest and self.identity.width:
            from .legacy_identity import decide

            decide(self.identity, self.guest)
        if self.identity.key not in READ:
            return
        ending, layer = yield from framing.read(window, self.sink, framing.within(self.identity), self.exact)
        if ending == framing.END and not self.exact:
            yield from _trailing(window, self.sink, layer)


def _trailing(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, None]:
    """Look at what lies after END, to the end of the input."""
    at = window.position
    yield _TRAILER_HEAD
    head = window.head(_TRAILER_HEAD)
    if not head:
        return
    while zero := window.buf.count(0, window.lo, window.hi) == window.hi - window.lo:
        window.lo = window.hi
        if not (yield 1):
            break
    if not (zero or head[0]):
        head = yield from _after_zeros(window, head)
    yield -(1 << 62)
    sink.trailing(layer, at, window.position - at, head, zero)


def _after_zeros(window: Window, head: bytes) -> Generator[int, int, bytes]:
    """What follows zeros, if those are a disk's and it is known; else `head`, with which they begin."""
    held = window.head(window.hi - window.lo)
    window.lo += len(held) - len(held.lstrip(b"\0"))
    yield _TRAILER_HEAD
    found = window.head(_TRAILER_HEAD)
    return found if following(found, len(found), False)[0] else head
