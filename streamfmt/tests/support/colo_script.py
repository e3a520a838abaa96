"""One side of COLO alone, with another that follows a script: what it sends, and when it goes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NoReturn

import streamfmt

from ...codec.content import Buffer
from ...engine.colo import messages
from ...engine.colo.party import Colo
from ...engine.colo.primary import Primary
from ...engine.colo.secondary import Secondary
from ...engine.configuration import Configuration
from ...engine.guest.model import Model
from ...engine.guest.model_workload import Workload
from ...engine.guest.models import model
from ...engine.handshake import GREETING
from ...engine.side import Asked, Patience
from ...engine.transport.sockets import SocketEnd
from ...engine.waiting import Waiter
from ...errors import GuestError
from .colo import paired
from .moving import way

PAGES = 64
_PATIENCE = Patience(1.0, 1.0, 0.1, 1.0)


def frozen() -> float:
    """A clock that stands: what runs by it does nothing."""
    return 0.0


def small(kind: str = "hvm") -> Model:
    """A guest so small that all it sends fits into a socket, and runs."""
    guest = model(PAGES, kind)
    guest.boot(Workload.of(8, 20_000.0, "scattered"), filled=4)
    guest.resume()
    return guest


def fails(*_: Any) -> NoReturn:
    """An error in a step."""
    raise GuestError("as the test wants")


def second(fine: Callable[..., Any]) -> Callable[..., Any]:
    """A step that fails the second time."""
    calls: list[int] = []

    def step(*args: Any) -> Any:
        calls.append(1)
        return fails() if len(calls) > 1 else fine(*args)

    return step


class Step:
    """A device that notes its steps; one of them may fail, when it was done so often before."""

    held = 0

    def __init__(self, failing: str = "", before: int = 0) -> None:
        self.steps: list[str] = []
        self._failing, self._before = failing, before

    def __getattr__(self, name: str) -> Callable[[], None]:
        def step() -> None:
            self.steps.append(name)
            if name == self._failing and self.steps.count(name) > self._before:
                fails()

        return step


class Recorded:
    """What a primary sends for two checkpoints after the first, and where in it what is."""

    def __init__(self) -> None:
        pair = paired(small(), 2)
        self.stream = bytes(pair.stream.data)
        self.digests = pair.digests["primary"]
        pair.close()
        self.places: dict[str, list[int]] = {}
        with streamfmt.open(self.stream) as items:
            for item in items:
                self.places.setdefault(item.name, []).append(item.offset)

    def at(self, name: str, number: int = 0) -> int:
        """Where a record of that name begins."""
        return self.places[name][number]

    def until(self, name: str, number: int = 0, more: int = 8) -> bytes:
        """All up to so many bytes of that record."""
        return self.stream[: self.at(name, number) + more]

    def changed(self, name: str, number: int, data: bytes, skip: int = 0) -> bytes:
        """All, with other bytes in a record."""
        at = self.at(name, number) + skip
        return self.stream[:at] + data + self.stream[at + len(data) :]


@dataclass
class Played:
    """What came of a side."""

    side: Primary | Secondary
    error: BaseException | None
    completions: list[BaseException | None]


class _Cut(SocketEnd):
    """Before its send of one number, or after that of another, the other side goes."""

    def __init__(self, sock: socket.socket, other: socket.socket, before: int, after: int) -> None:
        super().__init__(sock, "here")
        self._other, self._before, self._after, self._sends = other, before, after, 0

    def send(self, buffers: Sequence[Buffer]) -> int:
        if self._sends == self._before:
            self._other.close()
        count = super().send(buffers)
        if self._sends == self._after:
            # What it has not read makes this a reset: the link has failed, and not just ended.
            self._other.close()
        self._sends += 1
        return count


def secondary(
    stream: bytes,
    *,
    cut: int = -1,
    gone: int = -1,
    after: str = "stay",
    colo: Colo | None = None,
    change: Callable[[Model], None] = lambda guest: None,
) -> Played:
    """A secondary whose primary sends that, and then stays, or ends what it sends ("end").

    :param cut: before which send of the secondary's the primary goes, `gone` after which.
    """

    def make(kind: str, config: Configuration) -> Model:
        guest = model(config.pages, kind, clock=frozen)
        change(guest)
        return guest

    here, there = socket.socketpair()
    waiter, said = Waiter(), list[BaseException | None]()
    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    there.setblocking(False)
    assert there.send(stream) == len(stream)
    with closing(here), closing(there), closing(waiter):
        if after == "end":
            there.shutdown(socket.SHUT_WR)
        found = Secondary(_Cut(here, there, cut, gone), make, colo or Colo(), Asked(waiter, _PATIENCE), said.append)
        error: BaseException | None = None
        try:
            found.stand_by()
        except BaseException as raised:
            error = raised
    return Played(found, error, said)


class _Answering(SocketEnd):
    """When NEW goes, or a checkpoint's end has gone, something happens at the other side."""

    def __init__(self, sock: socket.socket, at_new: Callable[[], None], at_end: Callable[[], None]) -> None:
        super().__init__(sock, "here")
        self._at_new, self._at_end = at_new, at_end

    def send(self, buffers: Sequence[Buffer]) -> int:
        data = b"".join(buffers)
        if data == messages.state(messages.NEW):
            self._at_new()
        count = super().send([data])
        if data.endswith(_CHECKPOINT_END):
            self._at_end()
        return count


_CHECKPOINT_END = (4).to_bytes(8, "little")
READY, RESUMED, SUSPENDED = (
    messages.state(number) for number in (messages.READY, messages.RESUMED, messages.SUSPENDED)
)
FIRST = GREETING + READY + RESUMED


def primary(
    first: bytes,
    later: bytes = b"",
    *,
    end: str = "",
    colo: Colo | None = None,
    guest: Model | None = None,
    change: Callable[[Model, Callable[[], None]], None] = lambda guest, cut: None,
) -> Played:
    """A primary whose secondary says `first` at once and `later` when NEW goes.

    :param end: when the secondary goes: "first" (at once), "end" (once it has said the first), "later" (once it has
        said all), "new" (before NEW goes), "sent" (once a checkpoint has gone).
    :param change: changes the guest; what it gets besides makes the secondary go.
    """
    here, there = socket.socketpair()
    waiter, said = Waiter(), list[BaseException | None]()
    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    there.send(first)

    def at_new() -> None:
        if end == "new":
            there.close()
            return
        there.send(later)
        if end == "later":
            there.shutdown(socket.SHUT_WR)

    def at_end() -> None:
        if end == "sent":
            there.close()

    guest = guest or small()
    with closing(here), closing(there), closing(waiter):
        if end == "first":
            there.close()
        elif end == "end":
            there.shutdown(socket.SHUT_WR)
        change(guest, there.close)
        asked = Asked(waiter, _PATIENCE)
        found = Primary(guest, _Answering(here, at_new, at_end), way(), colo or Colo(0.0), asked, said.append)
        error: BaseException | None = None
        try:
            found.protect()
        except BaseException as raised:
            error = raised
    return Played(found, error, said)
