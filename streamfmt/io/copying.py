"""Copying what a reader passes over: a stream goes from a source to an output, less some of its bytes and with others.

A consumer of the reader's events (a Sink) keeps a :class:`Plan` of what becomes of the stream's bytes, by their offsets
in it, and :func:`copy` carries that out while it drives the reader's pump.  So a consumer never handles what it copies:
what the reader skips, a guest's pages above all, the kernel moves into a pipe or socket, and from file to file.  From a
pipe to a file one buffer, the reader's window, takes them: that is faster than splice().
"""

from __future__ import annotations

import os
import stat

from ..errors import UnreadableError, UnwritableError
from .sources import SEEK, reason, widen
from .transfer import Mover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from ..codec.content import Buffer
    from ..reader.pump import Window
    from .outputs import Output
    from .sources import Driven, Source
    from .spool import Spool

    Step: TypeAlias = Callable[["Copying"], None]


class Plan:
    """What becomes of a stream's bytes: copied or dropped, and what is put between them.

    What nothing is said of is copied, or with `copying` False dropped.  Offsets are those of the input.  Of bytes that
    the reader asked for in a row no more can be said once it has asked for bytes after them: an event's consumer may
    speak of the header or body that the event is about, and of all that follows.
    """

    __slots__ = ("_copying", "_turns", "at")

    def __init__(self, copying: bool = True) -> None:
        self._copying = copying
        # What happens at an offset: bytes are put there, from there on all is copied (True) or dropped, or else.
        self._turns: list[tuple[int, Buffer | Step | bool]] = []
        # As far as this everything has been done.
        self.at = 0

    def turn(self, at: int, copying: bool) -> None:
        """From offset `at` on all is copied, or dropped, until the next turn."""
        self._add(at, copying)

    def copy(self, start: int, stop: int) -> None:
        """Copy the bytes from `start` to `stop`, and none after them."""
        self._add(start, True)
        self._add(stop, False)

    def drop(self, start: int, stop: int) -> None:
        """Drop the bytes from `start` to `stop`, and none after them."""
        self._add(start, False)
        self._add(stop, True)

    def put(self, at: int, data: Buffer) -> None:
        """Put bytes into the output where the input is at `at`, after what was put there before."""
        if data:
            self._add(at, data)

    def do(self, at: int, what: Step) -> None:
        """Do something with the copy when it has come to `at` in the input."""
        self._add(at, what)

    def replace(self, start: int, stop: int, data: Buffer) -> None:
        """Put `data` into the place of the bytes from `start` to `stop`."""
        self._add(start, False)
        self._add(start, data)
        self._add(stop, True)

    def _add(self, at: int, what: Buffer | Step | bool) -> None:
        if at < self.at:
            raise ValueError(f"offset {at} has gone by; the output is at {self.at}")
        place = len(self._turns)
        while place and self._turns[place - 1][0] > at:
            place -= 1
        self._turns.insert(place, (at, what))

    def due(self, upto: int) -> tuple[list[Buffer | Step], bool, int]:
        """What is to be done next, with the input as far as `upto`.

        Returns what is put here, whether the bytes after it are copied, and as far as where: `upto` at most.
        """
        turns = self._turns
        put: list[Buffer | Step] = []
        while turns and turns[0][0] <= self.at:
            what = turns.pop(0)[1]
            if isinstance(what, bool):
                self._copying = what
            else:
                put.append(what)
        return put, self._copying, min(turns[0][0], upto) if turns else upto


class Unplanned(Plan):
    """A plan that nothing comes of, whatever is said."""

    def _add(self, at: int, what: Buffer | Step | bool) -> None:
        pass


class Copying:
    """A copy on its way: `plan` says of what, and `written` counts the bytes of the output so far.

    Reading and writing raise UnreadableError and UnwritableError, and OSError never.
    """

    def __init__(self, source: Source, out: Output, plan: Plan) -> None:
        self._source = source
        self._out = self._whole = out
        self._plan = plan
        self.written = 0
        self._mover = _mover(source.place()[0], out.fd)
        # From a file all is there, so small pieces wait for others; what comes slowly is passed on as it comes.
        self._slow = source.size is None

    def run(self, pump: Driven, progress: Callable[[int], None] | None = None) -> None:
        """Run the pump's program on all that the source has, or until it wants no more.

        Raises what the program's consumer raises, too.  Nothing is finished: what was put together may still lie in
        the output's memory.
        """
        window = pump.window
        window.look = self._source.look
        while True:
            want = pump.run()
            self._settle(window)
            if not want:
                return
            if want > 0:
                if self._slow:
                    self.flush()
                window.eof = not self._read(self._source.fill, window, want)
            else:
                gone = self._pass(window, -want)
                if gone:
                    pump.skip(gone)
                window.eof = not gone
            if progress is not None:
                progress(window.position)

    def rest(self, window: Window, progress: Callable[[int], None] | None = None) -> None:
        """Do with all that the reader has left what the plan says, to the end of the input."""
        window.lo = window.hi
        self._settle(window)
        while gone := self._pass(window, 1 << 62):
            window.base += window.hi + gone
            window.lo = window.hi = 0
            if progress is not None:
                progress(window.position)

    def redirect(self, out: Output | None) -> None:
        """Have all that comes go to another output, or to the first one again; it is not counted as written."""
        self._out = out or self._whole

    def append(self, spool: Spool) -> None:
        """Write all that has been put by, which is empty then."""
        try:
            for piece in spool.pieces():
                self._write([piece])
            spool.clear()
        except OSError as error:
            raise UnwritableError(f"a temporary file: {reason(error)}") from error

    def flush(self) -> None:
        """Have everything so far written."""
        try:
            self._out.flush()
        except OSError as error:
            raise UnwritableError(reason(error)) from error

    def _settle(self, window: Window) -> None:
        """Do with the bytes that the reader has finished with, in the window still, what the plan says."""
        plan, position = self._plan, window.position
        ready: list[Buffer | Step] = []
        while True:
            put, copying, stop = plan.due(position)
            ready += put
            if stop == plan.at:
                break
            if copying:
                ready.append(window.view[plan.at - window.base : stop - window.base])
            plan.at = stop
        if ready:
            self._write(ready)

    def _pass(self, window: Window, count: int) -> int:
        """Let up to `count` bytes, none of which is in the window, go by; returns how many did, 0 at the end."""
        plan = self._plan
        put, copying, stop = plan.due(window.position + count)
        if put:
            self._write(put)
        count = stop - plan.at
        if not copying:
            gone = self._read(self._source.skip, window, count)
        else:
            gone = self._move(count) or self._carry(window, count)
        plan.at += gone
        return gone

    def _move(self, count: int) -> int:
        """Let the kernel move up to `count` bytes; 0 if it does not."""
        if self._mover is None or count < _WORTHWHILE or self._out is not self._whole:
            return 0
        self.flush()
        fd, offset = self._source.place()
        gone = self._mover.move(fd, self._out.fd, count, offset)
        self._source.passed(gone)
        self.written += gone
        self._out.begun |= gone > 0
        return gone

    def _carry(self, window: Window, count: int) -> int:
        """Let up to `count` bytes go by way of the window's memory."""
        room = window.room()[:count]
        gone = self._read(self._source.read_into, room)
        if gone:
            self._write([room[:gone]])
        return gone

    def _read(self, some: Callable[..., int], *words: object) -> int:
        """What `some` returns, which reads."""
        try:
            return some(*words)
        except OSError as error:
            raise UnreadableError(reason(error)) from error

    def _write(self, items: list[Buffer | Step]) -> None:
        """Write what is bytes, and do what is to be done in between."""
        some: list[Buffer] = []
        for item in items:
            if callable(item):
                self._send(some)
                some = []
                item(self)
            else:
                some.append(item)
        self._send(some)

    def _send(self, buffers: list[Buffer]) -> None:
        if not buffers:
            return
        try:
            self._out.write(buffers)
        except OSError as error:
            raise UnwritableError(reason(error)) from error
        if self._out is self._whole:
            self.written += sum(map(len, buffers))


# Fewer bytes are read and written: that is one call more, but then small pieces go out together.
_WORTHWHILE = SEEK


def _mover(fd: int, out: int) -> Mover | None:
    """What has the kernel move bytes between these descriptors; None where they have to go through memory."""
    if fd < 0 or out < 0:
        return None
    try:
        kinds = os.fstat(fd).st_mode, os.fstat(out).st_mode
    except OSError:
        return None  # reading or writing will say what is wrong
    for each, kind in zip((fd, out), kinds, strict=True):
        if stat.S_ISFIFO(kind):
            widen(each)
    # Into a file the kernel writes what a pipe holds page by page, which takes twice as long as one buffer does.
    moved = stat.S_ISFIFO(kinds[1]) or stat.S_ISSOCK(kinds[1]) or all(map(stat.S_ISREG, kinds))
    return Mover(*kinds) if moved else None
