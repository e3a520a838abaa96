"""Bodies of records, to be read when both streams are known: in the input, or put by in a file without a name.

What is put by does not grow with a stream that sends the same records again and again: room that is not wanted any more
is used again.
"""

from __future__ import annotations

import os

from ..errors import UnreadableError, UnwritableError
from ..io.sources import reason
from ..memory.contents import Spooled
from ..reader.events import PIECE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ..io.sources import Reread
    from ..reader.events import Body

# Bytes of a body that are looked at together.
TOGETHER = 256 << 10
# Room that is remembered to be free; more is left unused.
_FREE_MAX = 1024


class Bodies(Spooled):
    """Where bodies are read from."""

    def __init__(self, reread: Reread | None) -> None:
        super().__init__(reread)
        self._end = 0
        self._free: list[tuple[int, int]] = []

    def put(self, body: Body) -> Generator[int, int, int]:
        """Program that puts the rest of a body by; where it is then.  Raises UnwritableError."""
        start = at = self._room(body.left)
        try:
            while piece := (yield from body.take(PIECE)):
                view = memoryview(piece)
                while view:
                    done = os.pwrite(self._spool, view, at)
                    view, at = view[done:], at + done
        except OSError as error:
            raise UnwritableError(f"a temporary file: {reason(error)}") from error
        return start

    def free(self, at: int, size: int) -> None:
        """What was put by there is not wanted any more."""
        if self.keeps and size and len(self._free) < _FREE_MAX:
            self._free.append((size, at))

    def _room(self, size: int) -> int:
        """Where so many bytes may go, if as many come."""
        if self._spool < 0:
            from tempfile import TemporaryFile  # few inputs need it

            try:
                with TemporaryFile(buffering=0) as file:
                    self._spool = os.dup(file.fileno())
            except OSError as error:
                raise UnwritableError(f"a temporary file: {reason(error)}") from error
        for number, (most, at) in enumerate(self._free):
            if size <= most:
                del self._free[number]
                return at
        self._end += size
        return self._end - size

    def read(self, at: int, size: int) -> bytes:
        """Bytes of a body, fewer where the input ends.  Raises UnreadableError."""
        room = bytearray(size)
        done = 0
        try:
            while done < size:
                rest = memoryview(room)[done:]
                got = self.reread(rest, at + done) if self.reread else os.preadv(self._spool, [rest], at + done)
                if not got:
                    break
                done += got
        except OSError as error:
            raise UnreadableError(reason(error)) from error
        return bytes(room[:done])

    def pieces(self, at: int, size: int) -> Iterator[bytes]:
        """All of a body, a piece at a time."""
        while size > 0 and (piece := self.read(at, min(size, TOGETHER))):
            yield piece
            at += len(piece)
            size -= len(piece)
