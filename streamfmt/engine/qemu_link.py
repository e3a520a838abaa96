"""A link as both of our sides of a migration with QEMU use it: waited for within limits, and heard while sending.

A receiver that fails says so on the return path, or is just gone; a sender that only wrote would see a broken pipe, or
wait until nothing moves any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from ..codec.content import Buffer
from ..errors import LateError, LinkError, PeerError
from .buffers import after, first
from .flow import Watcher
from .interface import End
from .pace import Pace
from .return_path import Messages, message, value
from .waiting import READ, WRITE, Waiter

# Seconds without any progress after which the other side is given up.
PATIENCE = 30.0
# Buffers in one call.  A socket takes about 200 KiB at a time, and each of those that do not go is a cost.
_TOGETHER = 128
# Answers that wait to be sent, in bytes: a sender that never takes any is not waited for.
_ANSWERS = 64 << 10
# Bytes that are worth a system call where the speed is limited, and seconds after which somebody is asked whether to
# go on.
_WORTH, _LOOK = 16 << 10, 0.02
# Values of PONGs that are kept: QEMU's own senders use five.
_PONGS = 16
# What is read of the return path in one go, and how often before the stream goes on.
_HEARD, _AT_ONCE = 4096, 16


class GoneError(LinkError):
    """The receiver closed the link in order, and did not say what it had to."""


class Link:
    """One end of a link, and how many bytes went each way.  `patience` is in seconds."""

    def __init__(self, end: End, waiter: Waiter, patience: float = PATIENCE) -> None:
        self.end = end
        self.waiter = waiter
        self.patience = patience
        self.sent = self.received = 0

    def deadline(self) -> float:
        """When patience is at its end if nothing happens from now on."""
        return self.waiter.clock() + self.patience

    def receive(self, room: memoryview, what: str, deadline: float | None = None) -> int:
        """Read some bytes, waiting for the first; returns how many, 0 at the end of what comes.

        :raises LinkError: the link failed.
        :raises LateError: nothing came in time.
        """
        limit = self.deadline() if deadline is None else deadline
        while True:
            try:
                count = self.end.receive_into(room)
            except BlockingIOError:
                self.waiter.until(self.end.fileno(), READ, limit, f"{what} did not come in time")
                continue
            self.received += count
            return count


class Sender(Link):
    """The sending side: sends, and takes what comes on the return path.

    `pongs` are the values of the PONGs, `shut` what the receiver said that it ended with, None before; `ready` if
    it said that its devices are; `over` if nothing more comes from it.

    :param pages: whether it may ask for pages, as it does in post-copy; they come in their turn all the same.
    :param pace: how fast it may go.
    :param check: called while it waits, and may raise: somebody may have asked for the end.
    :param watcher: sees the bytes that are sent.
    """

    def __init__(
        self,
        end: End,
        waiter: Waiter,
        patience: float = PATIENCE,
        *,
        pages: bool = False,
        pace: Pace | None = None,
        check: Callable[[], None] = lambda: None,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(end, waiter, patience)
        self._asking = ("REQ_PAGES", "REQ_PAGES_ID") if pages else ()
        self._pace, self._check, self._watcher = pace, check, watcher
        self.pongs: list[int] = []
        self.shut: int | None = None
        self.ready = False
        self.over = False
        self._messages = Messages()
        self._room = memoryview(bytearray(_HEARD))

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Send all of these; returns how many bytes they were.

        :raises PeerError: the receiver has said that it failed, or what it says means nothing.
        :raises LinkError: the link failed, or the receiver is gone.
        :raises LateError: nothing went for too long.
        """
        before = self.sent
        rest = [buffer for buffer in buffers if len(buffer)]
        if self._watcher is not None:
            # Memory of a guest that runs may change before it has gone: what is seen has to be what goes.
            rest = [b"".join(rest)]
            self._watcher.see(rest)
        limit = self.deadline()
        at = 0
        while at < len(rest):
            some = self._allowed(rest, at)
            if not some:
                limit = self.deadline()
                continue
            try:
                count = self.end.send(some)
            except BlockingIOError:
                self._wait(limit)
                continue
            except LinkError as error:
                self._explain(error)
            self.sent += count
            if self._pace is not None:
                self._pace.took(count)
            limit = self.deadline()
            at = after(rest, at, count)
        self.hear()
        return self.sent - before

    def committed(self) -> None:
        """From now on nobody can ask for the end any more, and no speed holds."""
        self._check, self._pace = (lambda: None), None

    def _allowed(self, rest: list[Buffer], at: int) -> list[Buffer]:
        """What may go now; if that is nothing, some time has passed."""
        room = None if self._pace is None else self._pace.room
        some = first(rest, at, _TOGETHER, room)
        if room is None or self._pace is None:
            return some
        if room >= min(_WORTH, self._pace.most, sum(map(len, rest[at : at + _TOGETHER]))):
            return some
        self._check()
        self.hear()
        self.waiter.sleep(min(self._pace.moment(_WORTH), self.waiter.clock() + _LOOK))
        return []

    def _wait(self, limit: float) -> None:
        """Wait a short while until more can be sent, and hear what comes meanwhile."""
        self._check()
        moment = min(limit, self.waiter.clock() + _LOOK)
        try:
            self.waiter.until(self.end.output(), WRITE, moment)
        except LateError:
            if moment == limit:
                raise LateError(f"the receiver has taken no bytes for {self.patience:g} seconds") from None
        self.hear()

    def _explain(self, error: LinkError) -> NoReturn:
        """Raise what the receiver said before the link broke, if it said something, or that it is gone."""
        try:
            self.hear()
        except LinkError:
            pass
        raise LinkError(f"the receiver is gone before the stream has ended ({error})") from error

    def hear(self) -> None:
        """Take what has come on the return path; raises as :meth:`send`."""
        for _ in range(_AT_ONCE):
            if self.over:
                return
            try:
                count = self.end.receive_into(self._room)
            except BlockingIOError:
                return
            self._heard(count)

    def _heard(self, count: int) -> None:
        self.over = not count
        self.received += count
        for name, data in self._messages.feed(bytes(self._room[:count])):
            if name == "PONG":
                self._pong(value(data))
            elif name == "SWITCHOVER_ACK":
                self.ready = True
            elif name == "SHUT":
                self.shut = value(data)
                if self.shut:
                    raise PeerError(f"the receiver could not load the guest (it ended with status {self.shut})")
            elif name not in self._asking:
                raise PeerError(f"the receiver sends {name} on the return path, and no post-copy was announced")

    def _pong(self, number: int) -> None:
        if number not in self.pongs:
            if len(self.pongs) >= _PONGS:
                raise PeerError("the receiver answers what was not asked")
            self.pongs.append(number)

    def wait_for(self, there: Callable[[], bool], what: str) -> None:
        """Wait until something has come that `there` asks for; `what` that is, in words.

        :raises GoneError: the receiver closed the link before; LinkError: the link failed.
        :raises LateError: it did not come in time.
        """
        limit = self.deadline()
        while not there():
            if self.over:
                raise GoneError(f"the receiver closed the link before {what} came")
            self._check()
            moment = min(limit, self.waiter.clock() + _LOOK)
            try:
                self._heard(self.receive(self._room, what, moment))
            except LateError:
                if moment == limit:
                    raise LateError(f"{what} did not come within {self.patience:g} seconds") from None

    def finished(self) -> None:
        """Say that no more is sent, and wait until the receiver has closed its side.

        Without a return path this is all that shows that it has read everything, not that it could use it.

        :raises LateError: it did not in time.
        """
        self.end.finish()
        limit = self.deadline()
        while not self.over:
            try:
                self._heard(self.receive(self._room, "the receiver's end of the link", limit))
            except LinkError:
                # All was sent, and the receiver closed its side with bytes of ours unread: it needed no more.
                self.over = True


class Receiver(Link):
    """The receiving side: reads, and answers once the sender has opened the return path, unless it is not `answering`,
    as where a file is read."""

    def __init__(self, end: End, waiter: Waiter, patience: float = PATIENCE, answering: bool = True) -> None:
        super().__init__(end, waiter, patience)
        self.opened = False
        self._answering = answering
        self._answers = bytearray()

    def open(self) -> None:
        """The sender has opened the return path."""
        self.opened = self._answering

    def answer(self, name: str, number: int | None = None) -> None:
        """Send a message, now or when the link takes it.

        :raises PeerError: very many wait already, since the sender takes none.
        :raises LinkError: the link failed.
        """
        self._answers += message(name, number)
        self.flush()
        if len(self._answers) > _ANSWERS:
            raise PeerError("the sender asks for answers and takes none")

    def flush(self) -> None:
        """Send what waits, as far as the link takes it."""
        while self._answers:
            try:
                count = self.end.send([bytes(self._answers)])
            except BlockingIOError:
                return
            self.sent += count
            del self._answers[:count]

    def shut(self, status: int) -> None:
        """Say what this side ended with, if the sender listens, and wait until it has heard.

        :raises LinkError: the link failed, so that the sender does not know.
        :raises LateError: it does not take it in time.
        """
        if not self.opened:
            return
        self.answer("SHUT", status)
        limit = self.deadline()
        while self._answers:
            self.waiter.until(self.end.output(), WRITE, limit, "the sender did not take the last message in time")
            self.flush()

    def linger(self, seconds: float) -> None:
        """Read what still comes until the sender closes its side, or so many seconds have passed.

        A link closed with bytes unread may lose those that were sent last.
        """
        limit = self.waiter.clock() + seconds
        room = memoryview(bytearray(_HEARD))
        try:
            while self.receive(room, "the end of the link", limit):
                pass
        except (LinkError, LateError):
            pass
