"""A migration without moving a byte: the loop of real runs over a guest and a link that are numbers.

Events are batches of frames: a batch takes the time that the link needs for its bytes, and what the guest writes in
that time is what its model says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import tables
from ..errors import LateError, MigrationError
from . import frames as sets
from .orders import Orders
from .pace import Pace
from .plan_dirty import Writer
from .precopy import Precopy, Settings
from .statistics import Statistics

PAGE = tables.PAGE_SIZE
_ENTRY = tables.SIZES["libxc.PAGE_DATA.entries"]
# Of a record of pages: the headers before the entries.
_AHEAD = tables.SIZES["libxc.record_header"] + tables.SIZES["libxc.PAGE_DATA"]
# One-way trips between the last byte of the guest and its running again: there, "ready" back, "go" there.
TRIPS = 3
# A plan that has not ended after so many rounds, or seconds, does not end.
ROUNDS_MAX, SECONDS_MAX = 10_000, 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Link:
    """Bytes a second, and seconds for one way."""

    bandwidth: float
    latency: float = 0.0


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest of `pages` frames, of which the first `used` have contents; `state` are bytes besides its memory."""

    pages: int
    used: int
    writers: Sequence[Writer]
    state: int = 64 << 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What a migration would be.  Times are in seconds.

    `total` is from the beginning until the guest runs again, on whichever side that is; `met` says whether the policy's
    aim was reached, `why` why the guest was stopped, and `error` why it was not moved, empty if it was.
    """

    statistics: Statistics
    total: float
    met: bool
    why: str
    error: str = ""


@dataclass(slots=True)
class _Dirty:
    """The dirty frames of a model."""

    look: Sequence[Writer]
    ran: float = 0.0
    seen: float = 0.0
    logged: int = sets.NONE
    on: bool = False

    def enable(self) -> None:
        self.clean()
        self.on = True

    def peek(self) -> int:
        if self.on and self.ran > self.seen:
            for writer in self.look:
                self.logged |= writer.written(self.seen, self.ran)
        self.seen = self.ran
        return self.logged

    def clean(self) -> int:
        found, self.logged = self.peek(), sets.NONE
        return found

    def disable(self) -> None:
        self.on, self.logged = False, sets.NONE


@dataclass(slots=True)
class _Source:
    """A guest and a link for the loop; time goes on by what is sent."""

    guest: Guest
    link: Link
    dirty: _Dirty
    running: bool = True
    now: float = 0.0
    empty: int = sets.NONE
    pace: Pace | None = None

    @property
    def pages(self) -> int:
        return self.guest.pages

    def everything(self) -> int:
        return sets.run(0, self.guest.pages)

    def deferred(self) -> int:
        return sets.NONE

    def clock(self) -> float:
        return self.now

    def wait(self, moment: float) -> None:
        self._pass(max(moment - self.now, 0.0))

    def pause(self) -> None:
        self.running = False

    def resume(self) -> None:
        self.running = True

    def verify(self) -> None:
        self.empty = sets.NONE

    def send(self, frames: int, last: bool) -> int:
        count = frames.bit_count()
        # Frames without contents are entries alone the first time; what is written has contents from then on.
        bare = (frames & self.empty).bit_count() if self.empty else 0
        if bare:
            self.empty &= ~frames
        size = _ENTRY * count + PAGE * (count - bare) + _AHEAD * -(-count // tables.BATCH_MAX)
        limit = self.pace.limit if self.pace is not None else 0.0
        self._pass(size / min(limit or self.link.bandwidth, self.link.bandwidth))
        return size

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        if self.running:
            self.dirty.ran += seconds


def plan(guest: Guest, link: Link, settings: Settings, orders: Orders) -> Plan:
    """What a migration of such a guest through such a link would be."""
    source = _Source(guest, link, _Dirty(guest.writers))
    source.empty = sets.run(guest.used, guest.pages - guest.used)
    source.pace = Pace(0.0, source.clock)
    loop = Precopy(source, settings, orders, source.pace, _ending)
    try:
        with loop:
            loop.run()
    except MigrationError as error:
        found = loop.statistics
        return Plan(found, found.seconds, False, loop.why, str(error))
    source.wait(source.now + guest.state / link.bandwidth)
    loop.sent(guest.state)
    downtime = loop.statistics.downtime
    assert downtime is not None
    gone = TRIPS * link.latency
    found = loop.ended(pause=downtime + gone, gap=downtime + gone)
    return Plan(found, found.seconds + gone, loop.met, loop.why)


def _ending(statistics: Statistics) -> None:
    """Raise LateError if it does not end."""
    if len(statistics.rounds) >= ROUNDS_MAX or statistics.seconds >= SECONDS_MAX:
        rounds = len(statistics.rounds)
        raise LateError(f"after {rounds:,} rounds and {statistics.seconds:,.0f} s the guest still runs here")
