"""The contents of pages: in the input, where that can be read at any place, else put by in a file without a name."""

from __future__ import annotations

import os

from ..errors import TruncatedError, UnreadableError, UnwritableError
from ..io.sources import reason
from .frames import HERE, PAGE, PLACE, SPOOLED, Frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..io.sources import Reread

ZERO = bytes(PAGE)


class Spooled:
    """What has to be put by if the input cannot be read again: `reread` reads it at any place, or is None."""

    def __init__(self, reread: Reread | None) -> None:
        self.reread = reread
        self._spool = -1

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what was put by."""
        fd, self._spool = getattr(self, "_spool", -1), -1
        if fd >= 0:
            os.close(fd)

    @property
    def keeps(self) -> bool:
        """Whether what is needed later has to be put by as it comes."""
        return self.reread is None


class Contents(Spooled):
    """Where pages are read from."""

    def __init__(self, reread: Reread | None) -> None:
        super().__init__(reread)
        self._end = PAGE  # no place is 0
        self._free: list[int] = []

    # -- reading ---------------------------------------------------------------------------------------------------

    def page(self, value: int) -> bytes:
        """The page of that value, which says that it is there.  Raises UnreadableError, TruncatedError."""
        if not value >> PLACE:
            return ZERO
        room = bytearray(PAGE)
        self.read(memoryview(room), value)
        return bytes(room)

    def read(self, room: memoryview, value: int) -> None:
        """Pages from that of the value on, as many as there is room for.  Raises UnreadableError, TruncatedError."""
        at, done = value >> PLACE, 0
        try:
            while done < len(room):
                if value & SPOOLED:
                    got = os.preadv(self._spool, [room[done:]], at + done)
                else:
                    assert self.reread is not None, "what cannot be read again has been put by"
                    got = self.reread(room[done:], at + done)
                if not got:
                    raise TruncatedError(at + done, "a page that was there", len(room) - done)
                done += got
        except OSError as error:
            raise UnreadableError(reason(error)) from error

    # -- putting by ------------------------------------------------------------------------------------------------

    def keep(self, frames: Frames, rows: Sequence[tuple[int, int]], data: bytes) -> None:
        """Put pages by: frame and type of each, and their contents.  Raises UnwritableError, LimitError."""
        if self._spool < 0:
            self._spool = _spool()
        at = 0
        for start, places in _grouped([self._place(frames, pfn) for pfn, _ in rows]):
            piece = memoryview(data)[at : at + PAGE * places]
            _write(self._spool, piece, start)
            at += len(piece)
            for number in range(places):
                pfn, kind = rows[at // PAGE - places + number]
                frames.put(pfn, start + number * PAGE << PLACE | SPOOLED | HERE | kind)

    def _place(self, frames: Frames, pfn: int) -> int:
        """Where the frame's page goes: over what it had, if that is not wanted any more."""
        value = frames.value(pfn)
        if value & SPOOLED and not frames.keeping:
            return value >> PLACE
        if self._free:
            return self._free.pop()
        self._end += PAGE
        return self._end - PAGE

    def committed(self, frames: Frames) -> None:
        """A checkpoint is whole, and `frames` is about to forget what they were: that is not wanted any more."""
        if self._spool >= 0:
            before, now = ({v >> PLACE for v in values if v & SPOOLED} for values in frames.replaced())
            self._free += before - now


def _grouped(places: Sequence[int]) -> list[tuple[int, int]]:
    """Places, as first and number of those in a row."""
    found: list[tuple[int, int]] = []
    for place in places:
        if found and place == found[-1][0] + found[-1][1] * PAGE:
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((place, 1))
    return found


def _spool() -> int:
    from tempfile import TemporaryFile  # few inputs need it

    try:
        with TemporaryFile(buffering=0) as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise UnwritableError(f"a temporary file: {reason(error)}") from error


def _write(fd: int, data: memoryview, at: int) -> None:
    try:
        while data:
            done = os.pwrite(fd, data, at)
            data, at = data[done:], at + done
    except OSError as error:
        raise UnwritableError(f"a temporary file: {reason(error)}") from error
