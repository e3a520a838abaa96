"""A record's body while it is read: how much of it is left, and the next bytes of it.

The methods are programs for the pump: ``raw = yield from body.take(8)``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .events import Record
    from .window import Window

# Bytes of a long body that are looked at together, and of a list: a multiple of the size of every element.
PIECE = 32 << 10
LIST_PIECE = 48 << 10


class Body:
    """The rest of `record`'s body in `window`.  Nothing is read beyond it."""

    __slots__ = ("order", "record", "window")

    def __init__(self, window: Window, record: Record) -> None:
        self.window = window
        self.record = record
        self.order = record.layer.order

    @property
    def at(self) -> int:
        """Offset in the stream of the next byte."""
        return self.window.position

    @property
    def left(self) -> int:
        """Bytes that are left of the body, whether the stream has them or not."""
        return self.record.end - self.window.position

    def need(self, count: int) -> Generator[int, int, bool]:
        """Whether the next `count` bytes are there; then they are in the window, not yet consumed."""
        window = self.window
        return window.hi - window.lo >= count or bool((yield count))

    def take(self, count: int) -> Generator[int, int, bytes]:
        """The next `count` bytes, fewer where the body or the stream ends."""
        window = self.window
        count = min(count, self.record.end - window.position)
        if window.hi - window.lo < count and not (yield count):
            count = window.hi - window.lo
        return window.take(count)

    def piece(self, unit: int = 1, most: int = PIECE) -> Generator[int, int, bytes]:
        """The next bytes, about `most` and a multiple of `unit`; none where no more come, or the stream ends first.

        Of a body that breaks off the length may be what is wrong: then what is there belongs to other records.
        """
        window = self.window
        count = min(self.record.end - window.position, most) // unit * unit
        if window.hi - window.lo < count and not (yield count):
            return b""
        return window.take(count)

    def skip(self, count: int) -> Generator[int, int, int]:
        """Let the next `count` bytes go by.  Returns how many did."""
        return (yield -count) if count else 0
