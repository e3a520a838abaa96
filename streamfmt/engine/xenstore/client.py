"""A client of xenstore: of our service, and of Xen's xenstored.

A request waits for its answer by itself, and nothing else of ours runs meanwhile; events that come before it are kept
until they are asked for.  So no event is ever taken for an answer, and no request is made while another one waits.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from ...errors import LateError, LinkError, MigrationError, PeerError, StoreError
from ..local_sockets import connected
from ..waiting import READ, WRITE, Waiter
from .wire import Kind, Message, strings, take, unpacked

_T = TypeVar("_T")
_PIECE = 1 << 16
PATIENCE = 5.0  # seconds for an answer
EVENTS = 1 << 16  # that are kept
ATTEMPTS = 20  # at a transaction


def default_path() -> str:
    """Where xenstored is, as libxenstore has it: by the environment, or in its folder."""
    folder = os.environ.get("XENSTORED_RUNDIR", "/var/run/xenstored")
    return os.environ.get("XENSTORED_PATH") or f"{folder}/socket"


class Event(NamedTuple):
    """Something at `path` changed, or a watch was just made."""

    path: str
    token: str


class Client:
    """A connection to xenstore.  `clock` gives seconds; all methods that talk to it raise as :meth:`request` does."""

    def __init__(self, path: str | None = None, patience: float = PATIENCE) -> None:
        """Connect to the socket at `path`.

        :raises LinkError: nobody is there.
        """
        self.patience = patience
        # Its own: who else is served while the engine waits must not find this connection in the middle of a request.
        self._waiter = Waiter()
        self._socket = connected(path or default_path(), "xenstore", patience, self._waiter)
        self._received = bytearray()
        self._answers: deque[Message] = deque()
        self._events: deque[Event] = deque()
        self._number = 0
        self._asking = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def now(self) -> float:
        """The moment, by the clock that deadlines without another waiter are of."""
        return self._waiter.clock()

    def fileno(self) -> int:
        """What is readable when an event may have come: then call :meth:`pump`."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the connection, and with it all watches and transactions."""
        self._waiter.close()
        self._socket.close()

    # -- messages -----------------------------------------------------------------------------------------------------

    def request(self, kind: Kind, payload: bytes, transaction: int = 0) -> bytes:
        """Ask, and return the payload of the answer.

        :raises StoreError: xenstore refuses.
        :raises LateError: no answer within `patience`; the connection is closed, for it could come later.
        :raises LinkError: the connection is gone.
        :raises PeerError: what comes is no answer to this.
        """
        what = f"{kind.name} {payload.split(bytes(1))[0].decode(errors='replace')}".rstrip()
        if self._socket.fileno() < 0:
            raise _gone("it was closed")
        if self._asking:
            raise RuntimeError(f"{what} while {self._asking} waits for its answer")
        self._asking = what
        try:
            answer = self._exchange(kind, payload, transaction)
        finally:
            self._asking = ""
        if answer.kind == Kind.ERROR:
            raise StoreError(answer.payload.rstrip(b"\0").decode(errors="replace"), what)
        return answer.payload

    def _exchange(self, kind: Kind, payload: bytes, transaction: int) -> Message:
        self._number = self._number % 0xFFFFFFFF + 1
        data = Message(kind, self._number, transaction, payload).encoded()
        deadline = self._waiter.clock() + self.patience
        try:
            self._send(data, deadline)
            while not self._answers:
                self._wait(READ, deadline)
                self.pump()
            answer = self._answers.popleft()
            if answer.request != self._number or answer.kind not in (kind, Kind.ERROR):
                text = f"request {answer.request}, type {answer.kind}, instead of {self._number}, {kind.value}"
                raise PeerError(f"xenstore answers {self._asking} with another answer: {text}")
        except (LateError, PeerError):
            self.close()
            raise
        return answer

    def _send(self, data: bytes, deadline: float) -> None:
        at = 0
        while at < len(data):
            try:
                at += self._socket.send(memoryview(data)[at:])
            except BlockingIOError:
                # It may be that our events have to be read before it goes on reading.
                self._wait(READ | WRITE, deadline)
                self.pump()
            except OSError as error:
                raise _gone(error.strerror or str(error)) from None

    def _wait(self, events: int, deadline: float) -> None:
        self._waiter.until(self._socket.fileno(), events, deadline, f"xenstore did not answer {self._asking} in time")

    def pump(self) -> None:
        """Read what has come, without waiting: events are kept for :meth:`take`.

        :raises LinkError: the connection is gone.
        :raises PeerError: what comes is not xenstore's.
        """
        while True:
            try:
                data = self._socket.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError as error:
                raise _gone(error.strerror or str(error)) from None
            if not data:
                raise _gone("it has closed it")
            self._received += data
            while message := take(self._received):
                self._sort(message)

    def _sort(self, message: Message) -> None:
        if message.kind != Kind.WATCH_EVENT:
            if not self._asking or self._answers:
                raise PeerError(f"xenstore sends an answer (type {message.kind}) that nobody waits for")
            self._answers.append(message)
            return
        words = unpacked(message.payload)
        if words is None or len(words) < 2:
            raise PeerError("xenstore sends an event without a path and a token")
        if len(self._events) >= EVENTS:
            raise PeerError(f"xenstore sends more than {EVENTS:,} events that nobody asks for")
        self._events.append(Event(words[0].decode(errors="replace"), words[1].decode(errors="replace")))

    # -- nodes --------------------------------------------------------------------------------------------------------

    def read(self, path: str, transaction: int = 0) -> bytes:
        """A node's value."""
        return self.request(Kind.READ, strings(path), transaction)

    def find(self, path: str, transaction: int = 0) -> bytes | None:
        """A node's value; None if there is no such node."""
        try:
            return self.read(path, transaction)
        except StoreError as error:
            if error.name != "ENOENT":
                raise
            return None

    def write(self, path: str, value: str | bytes, transaction: int = 0) -> None:
        """Write a node, and make it if need be."""
        raw = value if isinstance(value, bytes) else value.encode()
        self.request(Kind.WRITE, strings(path) + raw, transaction)

    def mkdir(self, path: str, transaction: int = 0) -> None:
        """Make a node, unless it is there."""
        self.request(Kind.MKDIR, strings(path), transaction)

    def remove(self, path: str, transaction: int = 0) -> None:
        """Remove a node and all below it, if it is there."""
        try:
            self.request(Kind.RM, strings(path), transaction)
        except StoreError as error:
            if error.name != "ENOENT":
                raise

    def directory(self, path: str, transaction: int = 0) -> list[str]:
        """Names of a node's children, however many."""
        try:
            payload = self.request(Kind.DIRECTORY, strings(path), transaction)
        except StoreError as error:
            if error.name != "E2BIG":
                raise
            payload = self._in_parts(path, transaction)
        return [name.decode() for name in unpacked(payload) or ()]

    def _in_parts(self, path: str, transaction: int) -> bytes:
        """The same, put together; from the beginning again whenever the node changes meanwhile."""
        names, generation = b"", b""
        while not names.endswith(b"\0\0"):
            payload = self.request(Kind.DIRECTORY_PART, strings(path, str(len(names))), transaction)
            now, _, piece = payload.partition(b"\0")
            if generation not in (b"", now):
                names, generation = b"", b""
                continue
            if not piece:
                raise PeerError(f"xenstore sends no names of {path} from {len(names)} on, and no end of them")
            names, generation = names + piece, now
        return names[:-1]

    def permissions(self, path: str) -> list[str]:
        """Who may do what to a node, such as ["n0", "r5"]: the first is the owner, with what all others may do."""
        return [each.decode() for each in unpacked(self.request(Kind.GET_PERMS, strings(path))) or ()]

    def permit(self, path: str, permissions: Sequence[str], transaction: int = 0) -> None:
        """Change that."""
        self.request(Kind.SET_PERMS, strings(path, *permissions), transaction)

    def domain_path(self, domain: int) -> str:
        """The path of a domain."""
        return self.request(Kind.GET_DOMAIN_PATH, strings(str(domain))).rstrip(b"\0").decode()

    def transact(self, work: Callable[[int], _T], attempts: int = ATTEMPTS) -> _T:
        """Have `work` do what it does in a transaction, whose number it is given; again if that was in vain.

        :raises StoreError: EAGAIN, even at the last attempt.
        """
        for left in range(attempts, 0, -1):
            number = int(self.request(Kind.TRANSACTION_START, strings("")).rstrip(b"\0"))
            try:
                done = work(number)
            except BaseException:
                with suppress(MigrationError):
                    self.request(Kind.TRANSACTION_END, strings("F"), number)
                raise
            try:
                self.request(Kind.TRANSACTION_END, strings("T"), number)
            except StoreError as error:
                if error.name != "EAGAIN" or left == 1:
                    raise
                continue
            return done
        raise ValueError("no attempt at a transaction")

    # -- events -------------------------------------------------------------------------------------------------------

    def watch(self, path: str, token: str) -> None:
        """Have events with this token come whenever something at a path or below changes; the first comes at once."""
        self.request(Kind.WATCH, strings(path, token))

    def unwatch(self, path: str, token: str) -> None:
        """Have no more of them; those with the token that were kept are forgotten."""
        self.request(Kind.UNWATCH, strings(path, token))
        self._events = deque(event for event in self._events if event.token != token)

    def take(self, token: str | None = None) -> Event | None:
        """The first event that was kept, with this token if one is given; None if there is none."""
        for event in self._events:
            if token in (None, event.token):
                self._events.remove(event)
                return event
        return None

    def event(self, token: str | None, deadline: float, waiter: Waiter | None = None, what: str = "an event") -> Event:
        """Wait for the next event with a token, or any; with the engine's `waiter`, others are served meanwhile.

        :raises LateError: none came until `deadline`; `what` says what was waited for.
        """
        mine = waiter or self._waiter
        descriptor = self._socket.fileno()
        mine.serve(descriptor, READ, self.pump)
        try:
            while True:
                event = self.take(token)
                if event:
                    return event
                if mine.clock() >= deadline:
                    raise LateError(what)
                mine.step(deadline)
        finally:
            mine.drop(descriptor)


def _gone(why: str) -> LinkError:
    return LinkError(f"the connection to xenstore is gone: {why}")
