"""Bytes through one end of a link: all of them or an error, with a time limit for each wait.

An end never blocks and takes or gives what it can; here is what waits for the rest.  The time limit is for progress: a
slow link is no failure, one on which nothing moves is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ..codec.content import Buffer
from ..errors import LateError, LinkError
from .interface import End
from .waiting import READ, WRITE, Waiter

# Seconds without any progress, where nothing else is asked for.
PATIENCE = 30.0
# Bytes that are sent together: small records go with what follows them.
_TOGETHER = 256 << 10
# Buffers of one system call, at most: half of what Linux takes (UIO_MAXIOV), as pairs of pipes take others.
_VECTORS = 512
# Bytes read ahead, at most: a record's header and the entries of a full record of pages.
_AHEAD = 8 << 10


class Watcher(Protocol):
    """Who sees the bytes of a stream as they pass: a recorder, or a verifier."""

    def see(self, buffers: Sequence[Buffer]) -> None:
        """These bytes come next; it may raise, and they go no further."""


class Output:
    """What is to be sent; `sent` counts the bytes that went.

    :param wait: called before waiting for the link, and may raise: somebody may have asked for the end.
    """

    def __init__(
        self,
        end: End,
        waiter: Waiter,
        patience: float = PATIENCE,
        watcher: Watcher | None = None,
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.sent = 0
        self.watcher = watcher
        self.patience = patience
        self._end = end
        self._waiter = waiter
        self._wait = wait
        self._held: list[Buffer] = []
        self._size = 0

    def put(self, buffers: Iterable[Buffer]) -> int:
        """Send these, with others if they are few; returns how many bytes they are.

        They may go only with what is put next, or with :meth:`flush`, and must stay as they are until then.

        :raises LinkError: the link failed; LateError: nothing has gone for too long.
        """
        size = 0
        for buffer in buffers:
            if len(buffer):
                self._held.append(buffer)
                size += memoryview(buffer).nbytes
        self._size += size
        if self._size >= _TOGETHER:
            self.flush()
        return size

    def flush(self) -> None:
        """Send what is held; raises as :meth:`put`."""
        if not self._held:
            return
        held, self._held, self._size = self._held, [], 0
        if self.watcher is not None:
            # Memory of a guest that runs may change before it has gone: what is seen has to be what goes.
            held = [b"".join(held)]
            self.watcher.see(held)
        at = 0
        deadline = self._waiter.clock() + self.patience
        while at < len(held):
            try:
                count = self._end.send(held[at : at + _VECTORS])
            except BlockingIOError:
                self._wait()
                self._waiter.until(self._end.output(), WRITE, deadline, "room for more bytes on the link")
                self._wait()
                continue
            self.sent += count
            deadline = self._waiter.clock() + self.patience
            while at < len(held) and count >= (size := memoryview(held[at]).nbytes):
                count -= size
                at += 1
            if count:
                held[at] = memoryview(held[at]).cast("B")[count:]


class Input:
    """What is received; `received` counts the bytes that were taken.

    Some bytes are read ahead, unless `exact`: what follows a stream may be for another reader of the same link.
    """

    def __init__(
        self,
        end: End,
        waiter: Waiter,
        patience: float = PATIENCE,
        watcher: Watcher | None = None,
        exact: bool = False,
    ) -> None:
        self.received = 0
        self.watcher = watcher
        self.patience = patience
        self._end = end
        self._waiter = waiter
        self._buffer = bytearray(0 if exact else _AHEAD)
        self._view = memoryview(self._buffer)
        self._lo = self._hi = 0

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes; `what` they are, for messages.  The caller has judged that many to be sane.

        :raises LinkError: the link failed, or ends before; LateError: nothing has come for too long.
        """
        if self._hi - self._lo < count <= len(self._buffer):
            self._fill(count, what)
        if self._hi - self._lo >= count:
            data = bytes(self._view[self._lo : self._lo + count])
            self._lo += count
        else:
            room = bytearray(count)
            self._into(memoryview(room), what)
            data = bytes(room)
        self.received += count
        if self.watcher is not None:
            self.watcher.see([data])
        return data

    def into(self, view: memoryview, what: str) -> None:
        """Fill `view` with the next bytes; raises as :meth:`take`."""
        self._into(view, what)
        self.received += len(view)
        if self.watcher is not None:
            self.watcher.see([view])

    def ended(self, what: str) -> bool:
        """Whether nothing more comes: waits for the next byte, or the end; raises as :meth:`take`."""
        if self._lo == self._hi:
            self._lo = self._hi = 0
            room = self._view if self._buffer else memoryview(bytearray(1))
            self._hi = self._some(room, what)
        return self._lo == self._hi

    def _fill(self, count: int, what: str) -> None:
        unread = self._hi - self._lo
        if self._lo:
            self._view[:unread] = bytes(self._view[self._lo : self._hi])
            self._lo, self._hi = 0, unread
        while self._hi < count:
            self._hi += self._more(self._view[self._hi :], what)

    def _into(self, view: memoryview, what: str) -> None:
        at = min(self._hi - self._lo, len(view))
        view[:at] = self._view[self._lo : self._lo + at]
        self._lo += at
        while at < len(view):
            at += self._more(view[at:], what)

    def _more(self, view: memoryview, what: str) -> int:
        count = self._some(view, what)
        if not count:
            raise LinkError(f"the link was closed by the other side, inside {what}")
        return count

    def _some(self, view: memoryview, what: str) -> int:
        deadline = self._waiter.clock() + self.patience
        while True:
            try:
                return self._end.receive_into(view)
            except BlockingIOError:
                try:
                    self._waiter.until(self._end.fileno(), READ, deadline, what)
                except LateError:
                    raise LateError(f"nothing has come for {self.patience:g} seconds, inside {what}") from None
