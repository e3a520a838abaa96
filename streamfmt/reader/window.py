"""The window: the bytes of a stream that are in memory, and where they lie in it.

A layer reads `buf[lo:hi]` and moves `lo`; a driver appends after `hi`.  The buffer is made once, so memory does
not depend on what a stream claims.
"""

from __future__ import annotations

CAPACITY = 256 << 10


class Window:
    """Bytes `buf[lo:hi]` of the stream; `base` is the stream offset of `buf[0]`.

    `plain` is where compressed data has ended, with bytes after it that come as they are, and what compressed it.
    """

    __slots__ = ("base", "buf", "eof", "hi", "lo", "plain", "view")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.buf = bytearray(capacity)
        self.view = memoryview(self.buf)
        self.lo = 0
        self.hi = 0
        self.base = 0
        self.eof = False
        self.plain: tuple[int, str] | None = None

    @property
    def position(self) -> int:
        """Offset in the stream of the next byte to be read."""
        return self.base + self.lo

    def room(self) -> memoryview:
        """Where new bytes go, after what is unread has been moved to the front."""
        unread = self.hi - self.lo
        if self.lo:
            self.buf[:unread] = self.buf[self.lo : self.hi]
            self.base += self.lo
            self.lo, self.hi = 0, unread
        return self.view[unread:]

    def close(self) -> None:
        """Let go of the bytes; where they lay is still known."""
        self.buf = bytearray()
        self.view = memoryview(self.buf)

    def head(self, count: int) -> bytes:
        """The next `count` bytes, or as many as are here; they stay unread."""
        return bytes(self.buf[self.lo : min(self.hi, self.lo + count)])

    def take(self, count: int) -> bytes:
        """The next `count` bytes, which are known to be there, as an object of their own."""
        lo = self.lo
        self.lo = lo + count
        return bytes(self.buf[lo : lo + count])
