"""What both sides of a migration have: a link, the messages on it, a table to work by, and who hears of it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..codec.content import Buffer
from . import handshake
from .flow import Input, Output, Watcher
from .interface import End
from .machine import Machine
from .waiting import Waiter

# Takes events: what has happened, and figures.
Events = Callable[[Mapping[str, Any]], None]


def nobody(event: Mapping[str, Any]) -> None:
    """Takes events that nobody wants to know of."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each side waits, in seconds.

    `greeting` is for the other side to be there; `progress` for any bytes of the stream to move; `ready` for what has
    come to be taken up; `answer` for what is said from GO on.
    """

    greeting: float = 30.0
    progress: float = 30.0
    ready: float = 60.0
    answer: float = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What callers of both sides may ask for.

    `events` gets what happens, `watcher` sees the bytes of the stream, `progress` is called often while memory goes.
    """

    waiter: Waiter
    patience: Patience = Patience()
    events: Events = nobody
    watcher: Watcher | None = None
    progress: Callable[[], None] = lambda: None


class Side:
    """A link and the messages on it; `name` is what the guest is called here, empty if that is not known yet."""

    def __init__(self, end: End, asked: Asked) -> None:
        self.end = end
        self.asked = asked
        self.waiter = asked.waiter
        self.patience = asked.patience
        self.began = asked.waiter.clock()
        self.name = ""
        self.input = Input(end, asked.waiter, asked.patience.progress)
        self.output = Output(end, asked.waiter, asked.patience.progress)

    def event(self, what: str, **figures: Any) -> None:
        """Say what has happened."""
        named = {"name": self.name} if self.name else {}
        self.asked.events({"event": what, "seconds": round(self.waiter.clock() - self.began, 6), **named, **figures})

    def await_message(self, machine: Machine, seconds: float) -> str:
        """The event that the awaited message is.

        :raises PeerError: something else came; LinkError, LateError: nothing did.
        """
        awaited = handshake.AWAITED[machine.automaton.name, machine.state]
        self.input.patience = seconds
        self.input.expect(awaited.message, awaited.what)
        self.event("message", message=awaited.event)
        return awaited.event

    def say(self, message: bytes) -> None:
        """Send a message, which no watcher sees."""
        self.output.watcher = None
        self.output.put([message])
        self.output.flush()


class All:
    """Several watchers of the same bytes."""

    def __init__(self, *watchers: Watcher | None) -> None:
        self._watchers = [watcher for watcher in watchers if watcher is not None]

    def see(self, buffers: Sequence[Buffer]) -> None:
        """Let each see them."""
        for watcher in self._watchers:
            watcher.see(buffers)
