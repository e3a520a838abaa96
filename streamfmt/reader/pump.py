"""The window, and the pump: it runs a layer's program on a window until that needs bytes that are not there.

A program is a generator.  It yields n > 0 for "I need n bytes in a row in the window" and is resumed with True,
or with False when the stream ends before; it yields -n for "n bytes go by unread" and is resumed with how many
did.  It reads the window itself in between, so it is written straight down, and what it finds cannot depend on
how the bytes were cut.  Bodies are read by the same protocol, which is how a consumer looks into them.  A body program
may also yield PAUSE: the pump's driver gets control back, and may look into the window until running it again.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, TypeAlias

    Program: TypeAlias = Generator[int, int, Any]


def _unseen(at: int, count: int) -> bytes:
    """What can be seen ahead where there is nothing to look with."""
    return b""


CAPACITY = 256 << 10
# What a window is widened to by a program that looks into little of what it holds: so much still stays in a cache.
WIDE = 2 << 20
# No window holds as many bytes, so a pause costs nothing where none happens.
PAUSE = 1 << 63


class Window:
    """Bytes `buf[lo:hi]` of the stream, which are in memory; `base` is the stream offset of `buf[0]`.

    A layer reads them and moves `lo`; a driver appends after `hi`.  The buffer is made once, and once more where it is
    widened, so memory does not depend on what a stream claims.

    `plain` is where compressed data has ended, with bytes after it that come as they are, and what compressed it.

    `look` gives `count` bytes of the stream from offset `at` on, wherever the reader stands; fewer, or none, where they
    are not there or cannot be seen from here.  Drivers that can look ahead put theirs there.
    """

    __slots__ = ("base", "buf", "eof", "hi", "lo", "look", "plain", "view")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.buf = bytearray(capacity)
        self.view = memoryview(self.buf)
        self.lo = 0
        self.hi = 0
        self.base = 0
        self.eof = False
        self.plain: tuple[int, str] | None = None
        self.look: Callable[[int, int], bytes] = _unseen

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

    def widen(self) -> None:
        """Hold more from now on.  What has been taken out of the buffer, or is a view of it, stays as it was."""
        if len(self.buf) >= WIDE:
            return
        unread = self.buf[self.lo : self.hi]
        self.base += self.lo
        self.lo, self.hi = 0, len(unread)
        self.buf = bytearray(WIDE)
        self.buf[: self.hi] = unread
        self.view = memoryview(self.buf)

    def close(self) -> None:
        """Let go of the bytes; where they lay is still known."""
        self.buf = bytearray()
        self.view = memoryview(self.buf)
        self.look = _unseen

    def head(self, count: int) -> bytes:
        """The next `count` bytes, or as many as are here; they stay unread."""
        return bytes(self.buf[self.lo : min(self.hi, self.lo + count)])

    def take(self, count: int) -> bytes:
        """The next `count` bytes, which are known to be there, as an object of their own."""
        lo = self.lo
        self.lo = lo + count
        return bytes(self.buf[lo : lo + count])


class Pump:
    """One program on one window; `done` once it has ended."""

    __slots__ = ("_skipped", "_want", "done", "program", "window")

    def __init__(self, program: Program, window: Window) -> None:
        self.program = program
        self.window = window
        self._want = next(program, 0)
        self._skipped = 0
        self.done = not self._want

    def run(self) -> int:
        """Go on as far as the window allows.

        Returns n > 0 if at least n more bytes are needed in the window, -n if n bytes that are not in it are to
        be skipped, PAUSE if the program pauses, 0 when it has ended.  Once `window.eof` is set it needs no more.
        """
        if self.done:
            return 0
        window = self.window
        send = self.program.send
        want = self._want
        try:
            while True:
                held = window.hi - window.lo
                if want > 0:
                    if held < want:
                        if want == PAUSE:
                            self._want = 0  # as if it had skipped nothing, it goes on when this is called again
                            return PAUSE
                        if not window.eof:
                            self._want = want
                            return want - held
                    want = send(held >= want)
                    continue
                # Skipping; `want` is 0 here once everything has gone by.
                count = min(held, -want)
                window.lo += count
                self._skipped += count
                want += count
                if want and not window.eof:
                    self._want = want
                    return want
                count, self._skipped = self._skipped, 0
                want = send(count)
        except StopIteration:
            self.done = True
        return 0

    def skip(self, count: int) -> None:
        """`count` of the bytes that :meth:`run` asked to skip went by outside the window, in which none is unread."""
        window = self.window
        window.base += window.hi + count
        window.lo = window.hi = 0
        self._skipped += count
        self._want += count

    def feed(self, data: bytes | bytearray | memoryview) -> bool:
        """Push bytes, in pieces of any size, at programs that never pause.  Returns whether more are wanted."""
        view = memoryview(data)
        while view:
            want = self.run()
            if not want:
                return False
            if want < 0:
                count = min(len(view), -want)
                self.skip(count)
            else:
                room = self.window.room()
                count = min(len(view), len(room))
                room[:count] = view[:count]
                self.window.hi += count
            view = view[count:]
        return self.run() != 0

    def close(self) -> None:
        """The program goes no further."""
        self.program.close()
        self.done = True

    def end(self) -> None:
        """The stream has ended: let the program finish."""
        self.window.eof = True
        self.run()
