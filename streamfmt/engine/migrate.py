"""A guest moves: what the two callers use.

Both sides work as the tables of `xl migrate`'s two sides say, and speak its protocol, so that xl may be at the other
end.  What ends a migration is raised on both sides: a receiver says why before it closes the link, and a sender looks
for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import Any

from .. import tables
from ..errors import InDoubtError, LinkError, MigrationError, PeerError
from ..schema import xl
from ..schema.transitions import RECEIVER, SENDER
from . import configuration as configurations
from . import frames, handshake
from .configuration import Configuration
from .flow import Input, Output, Watcher, shown
from .interface import End, Guest
from .judging import Judge
from .machine import Machine
from .restorer import Restorer
from .saver import Passes, Saver, container
from .statistics import Round, Statistics
from .waiting import Waiter

# Gives the guest that is to be filled: its image's type ("hvm" or "pv"), and what is known of it.
Make = Callable[[str, Configuration], Guest]
# Takes events: what has happened, and figures.
Events = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each side waits, in seconds: `greeting` for the other side to be there, `progress` for any bytes of the
    stream, `ready` for all of it to be taken up, `answer` for what is said after GO and for GO itself."""

    greeting: float = 30.0
    progress: float = 30.0
    ready: float = 60.0
    answer: float = 60.0


class _Side:
    """What both sides have: a machine, a link, events, an end."""

    def __init__(self, end: End, waiter: Waiter, patience: Patience, events: Events, watcher: Watcher | None) -> None:
        self.patience = patience
        self.waiter = waiter
        self.end = end
        self.began = waiter.clock()
        self._events = events
        self.input = Input(end, waiter, patience.progress)
        self.output = Output(end, waiter, patience.progress)
        self.watcher = watcher

    def event(self, name: str, **figures: Any) -> None:
        """Say what has happened."""
        self._events({"event": name, "seconds": round(self.waiter.clock() - self.began, 6), **figures})

    def await_message(self, machine: Machine, seconds: float) -> str:
        """The event that the awaited message is.  Raises PeerError, LinkError and LateError."""
        awaited = handshake.AWAITED[machine.automaton.name, machine.state]
        self.input.patience = seconds
        self.input.expect(awaited.message, awaited.what)
        self.event("message", name=awaited.event)
        return awaited.event

    def say(self, message: bytes) -> None:
        """Send a message."""
        self.output.watcher = None
        self.output.put([message])
        self.output.flush()


class _Sending(_Side):
    """The source's side."""

    def __init__(self, guest: Guest, end: End, waiter: Waiter, given: _Given) -> None:
        super().__init__(end, waiter, given.patience, given.events, given.watcher)
        self.guest = guest
        self.given = given
        self.ran = guest.running
        self.stopped_at: float | None = None
        self.statistics = Statistics(guest.pages)
        self.machine = Machine(SENDER, {name: getattr(self, f"_{name}") for name in SENDER.actions})
        self._status = 0

    def run(self) -> Statistics:
        """Move the guest; returns the figures, or raises why it is still here."""
        self.machine.happen("start")
        error = self.machine.error
        if error is not None:
            raise error
        return self.statistics

    def _await_greeting(self) -> str:
        return self.await_message(self.machine, self.patience.greeting)

    def _send_stream(self) -> str:
        self.output.watcher = self.watcher
        config = self.given.configuration or configurations.of(self.guest, "guest")
        for part in container(replace(config, paused=not self.ran)):
            self.output.put(part.buffers("<"))
        saver = Saver(self.guest, self.output, self.given.passes, xen=self.given.xen)
        saver.run()
        self.statistics = replace(
            self.statistics, sent=self.output.sent, sent_frames=saver.sent, seconds=self.waiter.clock() - self.began
        )
        self.event("sent", bytes=self.output.sent, frames=saver.sent)
        return "sent"

    def _await_ready(self) -> str:
        return self.await_message(self.machine, self.patience.ready)

    def _give(self) -> str:
        self.say(handshake.GO)
        return self.await_message(self.machine, self.patience.answer)

    def _await_status(self) -> str:
        self._status = self.input.take(1, "the STATUS message")[0]
        return handshake.judged(self._status)

    def _await_return(self) -> str:
        why = f"the guest could not be started over there: {handshake.in_words(self._status)}"
        self.machine.fail(PeerError(why))
        return self.await_message(self.machine, self.patience.answer)

    def _end_own(self) -> str:
        self.event("moved")
        return ""

    def _keep(self) -> str:
        self._ask_why()
        self.guest.dirty.disable()
        if self.ran:
            self.guest.resume()
        else:
            self.guest.pause()
        self.event("kept", running=self.ran, error=str(self.machine.error))
        return ""

    def _leave(self) -> str:
        error = self.machine.error
        self.machine.error = InDoubtError(
            f"the guest was handed over, and then nothing said that it runs: {error}; it is paused here, and may run "
            "over there: look there, and either end it here or let it go on here, not both"
        )
        self.event("in doubt", error=str(error))
        return ""

    def _ask_why(self) -> None:
        """If the link failed, what the other side has said before: it knows better."""
        if isinstance(self.machine.error, LinkError):
            said = self.input.last_words()
            if said:
                self.machine.error = PeerError(f"the other side has given up: {shown(said)}")


class _Receiving(_Side):
    """The destination's side."""

    def __init__(self, end: End, make: Make, waiter: Waiter, taken: _Taken) -> None:
        super().__init__(end, waiter, taken.patience, taken.events, taken.watcher)
        self.taken = taken
        self.make = make
        self.guest: Guest | None = None
        self.configuration: Configuration | None = None
        self.machine = Machine(RECEIVER, {name: getattr(self, f"_{name}") for name in RECEIVER.actions})

    def run(self) -> Guest:
        """Receive a guest; returns it, running, or raises why there is none here."""
        self.machine.happen("start")
        error = self.machine.error
        if error is not None and self.machine.state != "running":
            raise error
        assert self.guest is not None
        return self.guest

    def _receive(self) -> str:
        if self.taken.handshake:
            self.say(handshake.GREETING)
        judge = Judge(xl.NAME)
        self.input.watcher = _Both(judge, self.watcher)
        try:
            config, legacy = read_container(self.input)
            self.configuration = config
            restorer = Restorer(self.input, lambda kind: self.make(kind, config), emulator=self.taken.emulator)
            self.guest = restorer.run(legacy)
        finally:
            self.input.watcher = None
            judge.close()
        self.event("received", bytes=self.input.received)
        return "received"

    def _offer(self) -> str:
        if not self.taken.handshake:
            return "GO"
        self.say(handshake.READY)
        return self.await_message(self.machine, self.patience.answer)

    def _start_guest(self) -> str:
        assert self.guest is not None and self.configuration is not None
        if self.taken.start and not self.configuration.paused:
            self.guest.resume()
        self.event("started", running=self.guest.running)
        return "started"

    def _tell(self) -> str:
        if self.taken.handshake:
            self.say(handshake.answer(handshake.STARTED))
        return "reported"

    def _decline(self) -> str:
        self._close()
        self.say(handshake.answer(handshake.NOT_STARTED))
        return "reported"

    def _end_own(self) -> str:
        self._close()
        if self.taken.handshake and self.machine.state != "idle":
            try:
                self.output.patience = 1.0
                self.say(refusal(self.machine.error))
            except MigrationError:
                pass  # the other side has gone
        self.event("ended", error=str(self.machine.error))
        return ""

    def _finish(self) -> str:
        self.event("running")
        return ""

    def _close(self) -> None:
        if self.guest is not None:
            self.guest.close()


def refusal(error: BaseException | None) -> bytes:
    """What a receiver says instead of the next message, for people at the other side."""
    text = f"{type(error).__name__}: {error}" if error else "it was given up"
    return f"streamfmt: {text}\n".encode("ascii", "replace")[:400]


class _Both:
    """A verifier, and who else watches."""

    def __init__(self, judge: Judge, other: Watcher | None) -> None:
        self._judge, self._other = judge, other

    def see(self, buffers: Any) -> None:
        self._judge.see(buffers)
        if self._other is not None:
            self._other.see(buffers)


_HEADER = Struct("<" + tables.FORMATS["xl.header"])
_LENGTH = Struct("<" + tables.FORMATS["xl.OPTIONAL_DATA"])


def read_container(source: Input) -> tuple[Configuration, bool]:
    """The configuration in an xl header, and whether a legacy stream follows.

    :raises PeerError: it is no such header.
    """
    magic, order, flags, _, length = _HEADER.unpack(source.take(_HEADER.size, "xl's header"))
    if magic != xl.MAGIC or order != tables.XL_BYTE_ORDER:
        raise PeerError(f"what came is no xl header: {shown(magic)}")
    unknown = flags & ~sum(tables.XL_FLAGS.values())
    if unknown or length > configurations.SIZE_MAX:
        raise PeerError(f"an xl header with flags {flags:#x} and {length} bytes of configuration is not taken here")
    data = source.take(length, "the guest's configuration") if length else b""
    if len(data) < _LENGTH.size:
        raise PeerError("the stream has no configuration of the guest")
    (size,) = _LENGTH.unpack_from(data)
    if not flags & tables.XL_FLAGS["json"]:
        raise PeerError("the guest's configuration is the text of an xl configuration file, which is not read here")
    return configurations.parse(data[_LENGTH.size : _LENGTH.size + size]), not flags & xl.STREAM_V2


def _nobody(event: Mapping[str, Any]) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class _Given:
    configuration: Configuration | None
    passes: Passes
    xen: tuple[int, int]
    patience: Patience
    events: Events
    watcher: Watcher | None


@dataclass(frozen=True, slots=True)
class _Taken:
    handshake: bool
    start: bool
    emulator: Path | None
    patience: Patience
    events: Events
    watcher: Watcher | None
