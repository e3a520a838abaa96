"""The walk through keys and values of xenstore: strings that end with a NUL, of any length, in constant memory."""

from __future__ import annotations

from .. import tables
from .events import PIECE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .events import Body


class Pairs:
    """The strings of a body, in pieces as they come; the first begins at stream offset `begin`.

    A piece is `text` at stream offset `at`, of string number `strings`, which begins at `start` and of which `before`
    bytes came earlier; `whole` if the NUL comes after it.  After the last piece `strings` counts those that have ended,
    and `before` is the length of what has none.
    """

    __slots__ = ("_next", "_pieces", "at", "before", "begin", "body", "start", "strings", "text", "whole")

    def __init__(self, body: Body) -> None:
        self.body = body
        self._pieces: list[bytes] = []
        self._next = 0
        self.strings = 0
        self.begin = self.start = self.at = body.at
        self.before = 0
        self.text = b""
        self.whole = False

    @property
    def key(self) -> bool:
        """Whether the string is a key, not a value."""
        return self.strings % tables.PAIR_STRINGS == 0

    @property
    def pair(self) -> int:
        """Which pair the string is in."""
        return self.strings // tables.PAIR_STRINGS

    def next(self) -> Generator[int, int, bool]:
        """Go to the next piece.  Returns whether there is one; none come where the stream ends inside the body."""
        self.at += len(self.text) + self.whole
        if self.whole:
            self.strings += 1
            self.start, self.before = self.at, 0
        else:
            self.before += len(self.text)
        if self._next == len(self._pieces):
            raw = yield from self.body.piece()
            if not raw:
                self.text, self.whole = b"", False
                return False
            self._pieces, self._next = raw.split(b"\0"), 0
        self.text = self._pieces[self._next]
        self._next += 1
        self.whole = self._next < len(self._pieces)
        return True

    def count(self, most: int) -> Generator[int, int, int]:
        """How many strings end in the next `most` bytes, or as many as come, without looking at each."""
        found = 0
        end = self.body.at + most
        while self.body.at < end and (raw := (yield from self.body.take(PIECE))):
            found += raw.count(0)
        return found
