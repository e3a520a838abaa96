"""The source's side: a guest that goes to another place, or into a file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Protocol, runtime_checkable

from ..errors import InDoubtError, LinkError, PeerError
from ..schema.transitions import SENDER
from . import configuration as configurations
from . import handshake
from .configuration import Configuration
from .flow import Output, shown
from .interface import End, Guest
from .machine import Machine
from .orders import Orders
from .pace import Pace
from .precopy import Precopy, Settings
from .saver import Pages, Saver, container
from .side import Asked, Side
from .statistics import Statistics


@dataclass(frozen=True, slots=True)
class Way:
    """How a guest is moved: by which policy and remedy, and what may be changed meanwhile.

    If it is not `live`, the guest is stopped first.  `configuration` is what the other side is to know of it, None for
    what the guest itself shows; `xen` is the release of Xen that the stream names.  If its memory was `handed` over as
    a descriptor (:mod:`.handing`), none of it is sent.
    """

    settings: Settings
    orders: Orders
    live: bool = True
    configuration: Configuration | None = None
    xen: tuple[int, int] = (4, 17)
    handed: bool = False


@runtime_checkable
class Feeling(Protocol):
    """What a guest has besides that looks at a clock itself."""

    def gap(self) -> float | None:
        """The longest time for which it stood still, as it felt it, in seconds."""

    def forget_gap(self) -> None:
        """Begin to look for the longest one anew."""


class Saving(Side):
    """A guest goes into a stream; it is paused then, or as it was before if that failed.  `statistics` are at any time
    those of the moment."""

    def __init__(self, guest: Guest, end: End, way: Way, asked: Asked) -> None:
        super().__init__(end, asked)
        self.guest = guest
        self.way = way
        self.ran = guest.running
        pace = Pace(way.orders.speed, self.waiter.clock)
        self.output = Output(end, self.waiter, self.patience.progress, pace=pace, check=self.check)
        self.pace = pace
        self.pages = Pages(guest, self.output, self.waiter, self._went, way.handed)
        self.precopy = Precopy(self.pages, way.settings, way.orders, pace, self._round)
        self._downtime: float | None = None

    @property
    def statistics(self) -> Statistics:
        """The figures at this moment."""
        found = self.precopy.statistics
        return found if self._downtime is None else replace(found, downtime=self._downtime)

    def stream(self) -> None:
        """Write the whole stream; raises what ended it, and leaves the guest as it is then."""
        self.head()
        Saver(self.guest, self.output, self.passes, xen=self.way.xen).run()
        self.precopy.sent(self.output.sent - self.precopy.statistics.sent)
        self._downtime = self.precopy.statistics.downtime
        self.event("sent", bytes=self.output.sent)

    def head(self) -> None:
        """Write the container's header, with which every stream begins."""
        if not (self.ran and self.way.live) or self.way.handed:
            self.way.orders.stop = True  # what does not change need not be sent twice
        self.output.watcher = self.asked.watcher
        if isinstance(self.guest, Feeling):
            self.guest.forget_gap()
        config = self.way.configuration or configurations.of(self.guest, "guest")
        self.name = config.name
        for part in container(replace(config, paused=not self.ran)):
            self.output.put(part.buffers("<"))

    def save(self) -> Statistics:
        """Write the stream to where nobody answers; returns the figures, and raises what ended it."""
        try:
            self.stream()
            self.end.finish()
        except BaseException as error:
            self.keep(error)
            raise
        self.precopy.ended()
        return self.statistics

    def check(self) -> None:
        """Go on.

        :raises CancelledError: somebody asked for the end.
        """
        self.way.orders.check()

    def _went(self) -> None:
        self.check()
        self.asked.progress()

    def keep(self, error: BaseException | None) -> None:
        """Let the guest be as it was before."""
        self.name = self.name.removesuffix(configurations.AWAY)
        self.precopy.undo()
        self.guest.dirty.disable()
        if self.ran:
            self.guest.resume()
        self.event("kept", running=self.ran, error=f"{type(error).__name__}: {error}")

    def passes(self) -> None:
        """Send all memory; the guest stands then."""
        self.output.flush()
        self.event("begun", frames=self.guest.pages)
        self.precopy.run()
        self.event("stopped", why=self.precopy.why, met=self.precopy.met, moment=self.precopy.stopped)

    def _round(self, statistics: Statistics) -> None:
        last = asdict(statistics.rounds[-1])
        last["lasted"] = last.pop("seconds")
        figures = {name: getattr(statistics, name) for name in ("remaining", "bandwidth", "dirty_rate")}
        self.event("round", **last, **figures, expected_downtime=statistics.expected_downtime)


class Sending(Saving):
    """A guest goes to another place, by the table of the source."""

    def __init__(self, guest: Guest, end: End, way: Way, asked: Asked) -> None:
        super().__init__(guest, end, way, asked)
        self.machine = Machine(SENDER, {name: getattr(self, f"_{name}") for name in SENDER.actions})
        self._status = 0

    def send(self) -> Statistics:
        """Move the guest; returns the figures, or raises why it is still here."""
        self.machine.happen("start")
        if self.machine.error is not None:
            raise self.machine.error
        return self.statistics

    def check(self) -> None:
        """Go on.

        :raises CancelledError: somebody asked for the end.
        :raises PeerError: the other side has given up, which says nothing before READY otherwise; LinkError: likewise.
        """
        super().check()
        if self.machine.state == "sending" and self.input.spoke():
            said = self.input.last_words()
            if said:
                raise PeerError(f"the other side has given up: {shown(said)}")
            raise LinkError("the link was closed by the other side, while the stream was sent")

    def _await_greeting(self) -> str:
        return self.await_message(self.machine, self.patience.greeting)

    def _send_stream(self) -> str:
        self.stream()
        return "sent"

    def _await_ready(self) -> str:
        found = self.await_message(self.machine, self.patience.ready)
        self.way.orders.check()  # here, where it is known that GO has not gone
        return found

    def _give(self) -> str:
        self.name += configurations.AWAY
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
        self.precopy.ended(self.precopy.statistics.downtime)
        self.event("moved", downtime=self.statistics.downtime, pause=self.statistics.pause)
        return ""

    def _keep(self) -> str:
        if isinstance(self.machine.error, LinkError) and self.machine.state != "idle":
            # What the other side has said before it went knows better.
            said = self.input.last_words()
            if said:
                self.machine.error = PeerError(f"the other side has given up: {shown(said)}")
        self.keep(self.machine.error)
        return ""

    def _leave(self) -> str:
        error = self.machine.error
        self.machine.error = InDoubtError(
            f"the guest was handed over, and then nothing said that it runs: {error}; it is paused here, and may run "
            "over there: look there, and either end it here or let it go on here, not both"
        )
        self.event("in doubt", error=f"{type(error).__name__}: {error}")
        return ""
