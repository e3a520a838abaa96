"""The sending side of a migration to QEMU: a guest of ours, or a stream that is stored.

The guest is the receiver's once that has said so (SHUT 0 on the return path).  As long as it could not have it, an
error lets the guest go on here; if the link fails after all has been sent, both could have it, and it stays paused.
Sources: QEMU migration/migration.c (migration_thread, migration_completion, await_return_path_close_on_source).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import GuestError, InDoubtError, LateError, LinkError, MigrationError, PeerError
from ..writer.qemu import Device
from . import frames as sets
from .flow import Watcher
from .framing_qemu import COMMON, LOADED, PAUSED, PING, RUNNING, Framing, Shape
from .interface import DirtySource, End, Guest
from .orders import Orders
from .pace import Pace
from .policies import policy
from .precopy import Precopy, Settings
from .qemu_link import PATIENCE, Sender
from .statistics import Statistics
from .too_fast import remedy
from .vfio.dma import WithDevices
from .vfio.saving import Saver
from .waiting import Waiter

Events = Callable[[Mapping[str, Any]], None]


def nobody(event: Mapping[str, Any]) -> None:
    """Takes events that nobody wants to know of."""


def _settings() -> Settings:
    return Settings(policy("qemu"), remedy("go-on"))


@dataclass(frozen=True, slots=True)
class Terms:
    """How a guest of ours is sent.

    `settings` are the loop's policy and remedy, `orders` what may be changed meanwhile.  `shape` is what the stream is
    written like; `return_path` whether the receiver has to answer; `ready` whether to wait, before the guest stops,
    until it says that its devices are (switchover-ack); `devices` are sections instead of the clock of a machine that
    has none, `live` devices that give their state in parts, and write to the guest themselves.  `patience` is in
    seconds; `watcher` sees the bytes that are sent.
    """

    settings: Settings = field(default_factory=_settings)
    orders: Orders = field(default_factory=Orders)
    shape: Shape = COMMON
    return_path: bool = True
    ready: bool = False
    devices: Sequence[Device] | None = None
    patience: float = PATIENCE
    events: Events = nobody
    watcher: Watcher | None = None
    live: Sequence[Saver] = ()


class _UnsentError(LinkError):
    """Nothing of the stream's end has gone, so that the guest cannot run there."""


class _Source:
    """A guest and a link, as the loop has them."""

    def __init__(self, guest: Guest, link: Sender, framing: Framing, terms: Terms) -> None:
        self._guest, self._link, self._framing, self._terms = guest, link, framing, terms
        # Frames that have no contents and were not sent yet; known once writes are logged.
        self._holes: int | None = None
        live = terms.live
        self._dirty = WithDevices(guest.dirty, live, guest.pages) if live else guest.dirty

    @property
    def pages(self) -> int:
        return self._guest.pages

    @property
    def dirty(self) -> DirtySource:
        return self._dirty

    @property
    def running(self) -> bool:
        return self._guest.running

    def everything(self) -> int:
        return sets.run(0, self.pages)

    def send(self, frames: int, last: bool) -> int:
        if self._holes is None:
            # Where a device writes is not known to be populated before it says so.
            populated = self.everything() if self._terms.live else self._guest.populated()
            self._holes = self.everything() & ~populated
        populated = frames & ~self._holes
        self._holes &= ~frames
        return sum(self._link.send(some) for some in self._framing.part(frames, populated))

    def deferred(self) -> int:
        return sets.NONE

    def verify(self) -> None:
        """There is no such thing in this format: what comes twice is taken twice."""

    def pause(self) -> None:
        if self._terms.return_path:
            self._link.wait_for(lambda: PING in self._link.pongs, "an answer of the receiver")
        if self._terms.ready and self._guest.running:
            self._link.wait_for(lambda: self._link.ready, "word that its devices are ready")
        self._guest.pause()
        for each in self._terms.live:
            each.stop()

    def resume(self) -> None:
        self._guest.resume()

    def clock(self) -> float:
        return self._link.waiter.clock()

    def wait(self, moment: float) -> None:
        self._link.waiter.sleep(moment)


class Sending:
    """A guest that goes to QEMU.  `statistics` are at any time those of the moment.

    :raises GuestError: it is a PV guest.
    """

    def __init__(self, guest: Guest, end: End, waiter: Waiter, terms: Terms) -> None:
        if guest.types() is not None:
            raise GuestError("QEMU's format has no types of pages, as this guest's have: only HVM guests go that way")
        self.guest = guest
        self.terms = terms
        self.ran = guest.running
        orders = terms.orders
        pace = Pace(orders.speed, waiter.clock)
        self.link = Sender(end, waiter, terms.patience, pace=pace, check=orders.check, watcher=terms.watcher)
        self._pace = pace
        self._framing = Framing(guest.memory, terms.shape, terms.devices, terms.live)
        self._began = waiter.clock()
        source = _Source(guest, self.link, self._framing, terms)
        self.precopy = Precopy(source, terms.settings, orders, pace, self._round)
        self._stopped: float | None = None
        self._sent: float | None = None
        self._ending = b""

    @property
    def statistics(self) -> Statistics:
        """The figures at this moment."""
        found = self.precopy.statistics
        if self._stopped is None or self._sent is None or not self.ran:
            return replace(found, downtime=found.downtime if self.ran else None)
        return replace(found, downtime=self._sent - self._stopped)

    def send(self) -> Statistics:
        """Move the guest; returns the figures.

        :raises PeerError: the receiver refuses it; LinkError: the link failed; LateError: the receiver does nothing;
            CancelledError, TooFastError: as the orders and the remedy have it.  The guest is as it was before.
        :raises InDoubtError: it is paused here, and may run there.
        """
        self._event("begun", frames=self.guest.pages)
        try:
            self._stream()
        except BaseException as error:
            self._keep(error)
            raise
        finally:
            self._framing.close()
        try:
            self._hand_over()
        except (_UnsentError, PeerError) as error:
            self._keep(error)
            raise
        except (LinkError, LateError) as error:
            # A link that is closed in order says nothing either: what carries it may have ended, and not the receiver.
            self.precopy.ended()
            self._event("in doubt", error=f"{type(error).__name__}: {error}")
            raise InDoubtError(
                f"all of the guest was sent, and then nothing said that it was loaded: {error}; it is paused here, and "
                "may run over there: look there, and either end it here or let it go on here, not both"
            ) from error
        for each in self.terms.live:
            each.done()
        found = self.statistics
        self._event("moved", downtime=found.downtime, pause=found.pause)
        return found

    def _stream(self) -> None:
        """Send all of it; raises what ended it."""
        terms, link, precopy = self.terms, self.link, self.precopy
        if not self.ran:
            terms.orders.stop = True  # what does not change need not be sent twice
        precopy.sent(link.send([self._framing.opening(terms.return_path)]))
        precopy.run()
        downtime = precopy.statistics.downtime
        self._stopped = link.waiter.clock() - (downtime or 0.0)
        self._event("stopped", why=precopy.why, met=precopy.met, moment=precopy.stopped)
        self._pace.limit = 0.0
        state = RUNNING if self.ran else PAUSED
        for some in self._framing.closing(sets.NONE, state, return_path=terms.return_path):
            precopy.sent(link.send(some))
        if terms.return_path:
            # Until the end is sent nothing runs there, whatever becomes of the link.
            link.wait_for(lambda: LOADED in link.pongs, "word that memory and devices are loaded")
        terms.orders.check()
        self._ending = self._framing.ending(state)
        self._sent = link.waiter.clock()

    def _hand_over(self) -> None:
        """Send the end, after which it may run there, and wait for word that it is loaded."""
        link = self.link
        pause, before = None, link.sent
        link.committed()
        try:
            self.precopy.sent(link.send([self._ending]))
        except (LinkError, LateError) as error:
            if link.sent == before:
                raise _UnsentError(f"{error}; nothing of the end was sent") from error
            raise
        self._event("sent", bytes=link.sent)
        if self.terms.return_path:
            link.wait_for(lambda: link.shut is not None, "word that the guest is loaded")
            pause = link.waiter.clock() - (self._stopped or 0.0)
            with suppress(MigrationError):
                link.finished()
        else:
            link.finished()
        self.precopy.ended(pause if self.ran else None)

    def _keep(self, error: BaseException) -> None:
        """Let the guest be as it was before."""
        self.precopy.undo()
        self.guest.dirty.disable()
        for each in self.terms.live:
            each.cancel()
        if self.ran and not self.guest.running:
            self.guest.resume()
        self.link.end.finish()
        self._event("kept", running=self.ran, error=f"{type(error).__name__}: {error}")

    def _round(self, statistics: Statistics) -> None:
        last = asdict(statistics.rounds[-1])
        last["lasted"] = last.pop("seconds")
        figures = {name: getattr(statistics, name) for name in ("remaining", "bandwidth", "dirty_rate")}
        self._event("round", **last, **figures, expected_downtime=statistics.expected_downtime)

    def _event(self, what: str, **figures: Any) -> None:
        seconds = round(self.link.waiter.clock() - self._began, 6)
        self.terms.events({"event": what, "seconds": seconds, **figures})


def send(guest: Guest, end: End, waiter: Waiter, terms: Terms | None = None) -> Statistics:
    """Send a guest to QEMU, live if it runs; returns the figures, and raises as :meth:`Sending.send`.

    Afterwards it is paused here, and must not run again: close it.
    """
    return Sending(guest, end, waiter, terms or Terms()).send()
