"""Bytes through one end of a link: all of them or an error, with a time limit for each wait.

An end never blocks and takes or gives what it can; here is what waits for the rest.  The time limit is for progress: a
slow link is no failure, one on which nothing moves is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ..codec.content import Buffer
from ..errors import GuestError, LateError, LinkError, MigrationError, PeerError
from .buffers import after, first
from .interface import End
from .pace import Pace
from .waiting import READ, WRITE, Waiter

# Seconds without any progress, where nothing else is asked for.
PATIENCE = 30.0
# Bytes that are sent together: small records go with what follows them.
_TOGETHER = 256 << 10
# Buffers of one system call, at most: half of what Linux takes (UIO_MAXIOV), as pairs of pipes take others.
_VECTORS = 512
# Bytes that are worth a system call where the speed is limited, and seconds after which somebody is asked whether to
# go on.
_WORTH, _LOOK = 16 << 10, 0.02
# Bytes of the last words of the other side that are waited for, and that are shown.
_LAST_WORDS, _SHOWN = 4096, 300
# Bytes read ahead, at most: several records of frames without contents; of contents that many are copied once more.
_AHEAD = 64 << 10


class Watcher(Protocol):
    """Who sees the bytes of a stream as they pass: a recorder, or a verifier."""

    def see(self, buffers: Sequence[Buffer]) -> None:
        """These bytes come next; it may raise, and they go no further."""


class Output:
    """What is to be sent; `sent` counts the bytes that went.

    :param pace: how fast it may go.
    :param check: called while it waits, and may raise: somebody may have asked for the end.
    """

    def __init__(
        self,
        end: End,
        waiter: Waiter,
        patience: float = PATIENCE,
        *,
        pace: Pace | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.sent = 0
        self.watcher: Watcher | None = None
        self.patience = patience
        self._end = end
        self._waiter = waiter
        self._pace = pace
        self._check = check
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
                size += len(buffer)
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
            some = self._allowed(held, at)
            try:
                count = self._end.send(some) if some else 0
            except BlockingIOError:
                self._check()
                moment = min(deadline, self._waiter.clock() + _LOOK)
                try:
                    self._waiter.until(self._end.output(), WRITE, moment, "")
                except LateError:
                    if moment == deadline:
                        words = f"the other side has taken no bytes for {self.patience:g} seconds"
                        raise LateError(words) from None
                continue
            if count:
                deadline = self._waiter.clock() + self.patience
            self.sent += count
            if self._pace is not None:
                self._pace.took(count)
            at = after(held, at, count)

    def _allowed(self, held: list[Buffer], at: int) -> list[Buffer]:
        """What may go now; waits if that is nothing."""
        room = None if self._pace is None else self._pace.room
        if room is None or self._pace is None:
            return first(held, at, _VECTORS)
        if room < min(_WORTH, self._pace.most, sum(map(len, held[at : at + _VECTORS]))):
            self._check()
            self._waiter.sleep(min(self._pace.moment(_WORTH), self._waiter.clock() + _LOOK))
            return []
        return first(held, at, _VECTORS, room)


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
        self._exact = exact
        self._view = memoryview(bytearray(_AHEAD))
        self._lo = self._hi = 0

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes; `what` they are, for messages.  The caller has judged that many to be sane.

        :raises LinkError: the link failed, or ends before; LateError: nothing has come for too long.
        """
        if count <= len(self._view):
            lo = self._lo
            if self._hi - lo < count:
                self._fill(count, what)
                lo = self._lo
            self._lo = lo + count
            data = bytes(self._view[lo : self._lo])
        else:
            room = bytearray(count)
            self._into(memoryview(room), what)
            data = bytes(room)
        self.received += count
        if self.watcher is not None:
            self.watcher.see([data])
        return data

    @property
    def descriptor(self) -> int:
        """What becomes readable when more comes."""
        return self._end.fileno()

    def some(self, most: int) -> bytes:
        """What is here, up to `most` bytes, without waiting; nothing at the end of what comes.

        :raises BlockingIOError: nothing is here yet.
        :raises LinkError: the link failed.
        """
        data = self._held(most)
        if not data:
            room = bytearray(most)
            data = bytes(room[: self._end.receive_into(memoryview(room))])
        self.received += len(data)
        if self.watcher is not None and data:
            self.watcher.see([data])
        return data

    def into(self, view: memoryview, what: str) -> None:
        """Fill `view` with the next bytes; raises as :meth:`take`."""
        self._into(view, what)
        self.received += len(view)
        if self.watcher is not None:
            self.watcher.see([view])

    def into_file(self, view: memoryview, descriptor: int, at: int, what: str) -> None:
        """Fill `view`, which is the memory of a file from the offset `at` on, by writing to the file.

        The system then gives pages that hold these bytes at once; through memory it would clear each, in a fault of its
        own.  Raises as :meth:`take`.

        :raises GuestError: the file cannot be written.
        """
        end = at + len(view)
        while at < end:
            if self._lo == self._hi:
                room = self._view[: end - at] if self._exact else self._view
                self._hi, self._lo = self._more(room, what), 0
            try:
                count = os.pwrite(descriptor, self._view[self._lo : min(self._hi, self._lo + end - at)], at)
            except OSError as error:
                raise GuestError(f"the guest's memory cannot be had: {error.strerror}") from error
            self._lo += count
            at += count
        self.received += len(view)
        if self.watcher is not None:
            self.watcher.see([view])

    def expect(self, message: bytes, what: str) -> None:
        """Take these bytes, which no watcher sees; raises as :meth:`take`.

        :raises PeerError: others come, which may say why the other side refuses.
        """
        got = b""
        while len(got) < len(message):
            if self.ended(what):
                raise LinkError(f"the link was closed by the other side, where its {what} should come")
            got += self._held(len(message) - len(got))
            if not message.startswith(got):
                raise PeerError(f"the other side sent no {what}, but {shown(got + self.last_words())}")
        self.received += len(message)

    def ended(self, what: str) -> bool:
        """Whether nothing more comes: waits for the next byte, or the end; raises as :meth:`take`."""
        if self._lo == self._hi:
            got = self._some(self._view[: 1 if self._exact else None], what)
            self._lo, self._hi = 0, got  # only now: where it raises, what was taken is not here again
        return self._lo == self._hi

    def spoke(self) -> bool:
        """Whether something has come, or the end; without waiting, and nothing is taken.  Raises LinkError."""
        if self._lo == self._hi:
            self._lo = self._hi = 0
            try:
                self._hi = self._end.receive_into(self._view[: 1 if self._exact else None])
            except BlockingIOError:
                return False
        return True

    def drain(self, seconds: float) -> None:
        """Let what still comes go by, until the other side closes the link or for so long.  Raises nothing.

        To close a socket that has unread bytes takes back from the other side what it has not read, such as the reason.
        """
        deadline, usual = self._waiter.clock() + seconds, self.patience
        try:
            while (left := deadline - self._waiter.clock()) > 0:
                self.patience = left
                if self.ended("last words"):
                    break
                self._held(len(self._view))
        except MigrationError:
            pass
        finally:
            self.patience = usual

    def last_words(self, seconds: float = 0.3) -> bytes:
        """What the other side still says, up to a few lines of it, before it closes the link.  Raises nothing."""
        said, self.patience, usual = b"", seconds, self.patience
        try:
            while len(said) < _LAST_WORDS and not self.ended("last words"):
                said += self._held(_LAST_WORDS)
        except MigrationError:
            pass
        finally:
            self.patience = usual
        return said

    def _held(self, most: int) -> bytes:
        """What is here, up to `most` bytes."""
        data = bytes(self._view[self._lo : min(self._hi, self._lo + most)])
        self._lo += len(data)
        return data

    def _fill(self, count: int, what: str) -> None:
        unread = self._hi - self._lo
        if self._lo:
            self._view[:unread] = bytes(self._view[self._lo : self._hi])
            self._lo, self._hi = 0, unread
        while self._hi < count:
            self._hi += self._more(self._view[self._hi : count if self._exact else None], what)

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


def shown(data: bytes) -> str:
    """What the other side said, for a message: as text if it is one, without what could confuse a terminal."""
    text = data[:_SHOWN].decode(errors="replace").strip("\0\n")
    return repr(text) + (" ..." if len(data) > _SHOWN else "")
