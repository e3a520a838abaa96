"""The walk through an HVM context: entry after entry, to the one that ends it."""

from __future__ import annotations

from _struct import Struct  # struct would be a module more to find

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .events import Body

PATH = "libxc.HVM_CONTEXT.context"
# How a walk ended: at the END entry; at the end of the body, or with too few bytes there for an entry; at an entry that
# is longer than what is left; at the end of the stream.
END, NO_END, SHORT, BEYOND, CUT = "end", "no end", "short", "beyond", "cut"


class Entries:
    """The entries of a context, one at a time: `number` in the context, `at` in the stream, and what its header says.

    `left` are the bytes after that header, of which the entry's data are `length`; what is not read of those goes by.
    `ended` says how the walk ended.
    """

    __slots__ = ("_data_end", "_end", "_head", "at", "body", "ended", "instance", "kind", "left", "length", "number")

    def __init__(self, body: Body) -> None:
        self.body = body
        self._head = Struct(body.order + tables.FORMATS[PATH])
        self._data_end = 0
        self._end = body.record.end
        self.number = -1
        self.at = self.kind = self.instance = self.length = self.left = 0
        self.ended = ""

    def next(self) -> Generator[int, int, bool]:
        """Go to the next entry.  Returns whether there is one: that of END and one that is too long are entries too."""
        # Straight down, without the body's own programs: a context may have a hundred thousand of them.
        window, size = self.body.window, self._head.size
        if self.number >= 0:
            if self.kind == tables.HVM_END or self.length > self.left:
                self.ended = END if self.kind == tables.HVM_END else BEYOND
                return False
            rest = self._data_end - window.base - window.lo
            if rest <= window.hi - window.lo:
                window.lo += rest
            elif (yield -rest) < rest:
                self.ended = CUT
                return False
        at = window.base + window.lo
        left = self._end - at
        if left < size:
            self.ended = SHORT if left else NO_END
            return False
        if window.hi - window.lo < size and not (yield size):
            self.ended = CUT
            return False
        self.kind, self.instance, self.length = self._head.unpack_from(window.buf, window.lo)
        window.lo += size
        self.number += 1
        self.at, self.left, self._data_end = at, left - size, at + size + self.length
        return True
