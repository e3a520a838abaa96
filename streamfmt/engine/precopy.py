"""The pre-copy loop: rounds over a guest's memory while it runs, its stop, and what is left then.

It works on a :class:`Source`, which is a guest and a link for a real run and two models for a plan, by the same code.
What it decides by are a policy and a remedy, which are functions of the figures alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

from .. import tables
from . import frames as sets
from .interface import DirtySource
from .orders import Orders
from .pace import Pace
from .policies import Act, Decision, Policy
from .statistics import Round, Statistics
from .too_fast import Remedy, Throttle

PAGE = tables.PAGE_SIZE
# Frames that are sent between two looks at the orders: what the link takes in so many seconds, and how many at least,
# and at most as a part of a guest, so that a large one does not spend its time on cutting sets.
_LOOK, _LEAST, _PART = 0.02, 16, 2048
# And how many where nothing is known of it yet, and at most.
_FIRST, _MOST = 64, 16 * tables.BATCH_MAX
# Fewer bytes tell nothing about a link's bandwidth (migration/migration.c, migration_update_counters).
_MEASURED = 10_000


class Source(Protocol):
    """What is moved, and through what."""

    @property
    def pages(self) -> int:
        """How many frames the guest has."""

    @property
    def dirty(self) -> DirtySource:
        """Where its changed frames are known."""

    @property
    def running(self) -> bool:
        """Whether it runs."""

    def everything(self) -> int:
        """The set of frames that the first round sends."""

    def send(self, frames: int, last: bool) -> int:
        """Send the contents of a set of frames; returns how many bytes that took.

        :param last: the guest stands and waits for this.
        :raises MigrationError: they cannot be sent.
        """

    def deferred(self) -> int:
        """The frames that were sent without contents, since they had none that could be sent; asked once it stands."""

    def verify(self) -> None:
        """Say to the other side that what is sent from now on is there to be compared."""

    def pause(self) -> None:
        """Stop the guest."""

    def resume(self) -> None:
        """Let it run again."""

    def clock(self) -> float:
        """Seconds, which never go back."""

    def wait(self, moment: float) -> None:
        """Return at a moment of the clock."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a guest is moved; `verify` sends everything once more at the end, to be compared."""

    policy: Policy
    remedy: Remedy
    verify: bool = False


class Precopy:
    """Moves a guest's memory.  In a ``with`` statement an error lets the guest run again, if it ran before.

    `statistics` are the figures at any moment; `why` says why the guest was stopped, and `met` whether that was because
    the policy's aim was reached.

    :param pace: of the link, whose limit is the speed that is ordered where that holds: not while the guest stands, and
        not within a quota, which goes as fast as it can.
    :param watch: called with the figures after each round.
    """

    def __init__(
        self,
        source: Source,
        settings: Settings,
        orders: Orders,
        pace: Pace | None = None,
        watch: Callable[[Statistics], None] | None = None,
    ) -> None:
        self.why = ""
        self.met = False
        self._source, self._settings, self._orders, self._pace, self._watch = source, settings, orders, pace, watch
        self._throttle = Throttle(source.clock, source.pause, source.resume)
        self._begin: float | None = None
        self._stopped: float | None = None
        self._ran = False
        self._logging = self._over = False
        self._base = Statistics(source.pages)
        # Of the round that runs: when it began, and what it has sent so far.
        self._round: tuple[float, int, int] | None = None
        self._pending = sets.NONE
        # The frame with which the next round begins.
        self._position = 0
        self._batch = _FIRST

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            self.undo()

    @property
    def statistics(self) -> Statistics:
        """The figures at this moment."""
        if self._over:
            return self._base
        found = replace(self._base, seconds=self._passed)
        if self._round is not None:
            _, count, size = self._round
            found = replace(
                found,
                iteration=found.iteration + 1,
                sent_frames=found.sent_frames + count,
                sent=found.sent + size,
                remaining=found.remaining - count,
            )
            passed = self._passed
            if found.bandwidth is None and size and passed:
                # In the first round: what the link has done so far.
                found = replace(
                    found, bandwidth=size / passed, expected_downtime=found.remaining * PAGE * passed / size
                )
        if self._stopped is not None and found.downtime is None:
            found = replace(found, downtime=self._source.clock() - self._stopped)
        return found

    @property
    def stopped(self) -> float | None:
        """The moment of the clock at which the guest was stopped; None if it was not, or runs again."""
        return self._stopped

    @property
    def _passed(self) -> float:
        """Seconds since the beginning."""
        return 0.0 if self._begin is None else self._source.clock() - self._begin

    # -- the whole of it ------------------------------------------------------------------------------------------

    def run(self) -> Statistics:
        """Send all memory.  The guest stands then; what it has besides memory is still to be sent.

        :raises CancelledError: somebody asked for the end.
        :raises TooFastError: the guest writes too fast, and that is refused.
        :raises LateError: it took longer than allowed.
        :raises MigrationError: it could not be sent.

        After any error the guest runs again, if it ran before.
        """
        self._begin, self._ran = self._source.clock(), self._source.running
        try:
            self._live()
            self._stop()
            if self._settings.verify:
                self._source.verify()
                self._send(Decision(Act.LAST), self._source.everything(), live=False)
        except BaseException:
            self.undo()
            raise
        return self.statistics

    def sent(self, size: int) -> None:
        """Count bytes that went besides memory."""
        self._base = replace(self._base, sent=self._base.sent + size)

    def ended(self, pause: float | None = None, gap: float | None = None) -> Statistics:
        """The source has sent all; the figures, which do not change any more.

        :param pause: how long it took from the stop until the guest ran again, if that is known.
        :param gap: what the guest itself felt of it.
        """
        self._base = replace(self.statistics, pause=pause, gap=gap)
        self._over = True
        return self._base

    def undo(self) -> None:
        """Log writes no longer, and let the guest run if it ran before; it may come again."""
        try:
            self._unlog()
        finally:
            self._throttle.share = 0.0
            self._throttle.off()
            stood, self._stopped = self._stopped is not None, None
            if stood and self._ran:
                self._source.resume()

    def _unlog(self) -> None:
        if self._logging:
            self._logging = False
            self._source.dirty.disable()

    # -- while the guest runs -------------------------------------------------------------------------------------

    def _live(self) -> None:
        """Rounds, until it is to stop."""
        self._pending = self._source.everything()
        self._base = replace(self._base, remaining=self._pending.bit_count())
        while True:
            self._orders.check()
            decision = self._settings.policy.decide(self.statistics, self._orders)
            if self._orders.stop:
                decision = Decision(Act.STOP, "somebody asked for it")
            if decision.act is not Act.STOP:
                if not self._logging:
                    self._source.dirty.enable()
                    self._logging = True
                self._send(decision, self._pending, live=True)
            if decision.act is not Act.ROUND:
                self.why, self.met = decision.why, decision.met
                return
            answer = self._settings.remedy.judge(self.statistics, self._throttle.share)
            if answer.error is not None:
                raise answer.error
            self._throttle.share = answer.share

    def _stop(self) -> None:
        """Stop the guest, and send what is left."""
        if self._throttle.standing:
            self._throttle.standing = False
        else:
            self._source.pause()
        self._stopped = self._source.clock()
        if self._logging:
            # Not cleaned: whoever else logs must not begin anew (the last iteration of the protocol of 2007).
            self._pending |= self._source.dirty.peek() | self._source.deferred()
            self._unlog()
        self._orders.check()
        self._send(Decision(Act.LAST), self._pending, live=False)

    # -- a round --------------------------------------------------------------------------------------------------

    def _send(self, decision: Decision, frames: int, live: bool) -> None:
        """Send a set of frames, or as many of them as the decision says; what is dirty then is pending."""
        source, begin = self._source, self._source.clock()
        self._base = replace(self._base, remaining=frames.bit_count())
        self._round = begin, 0, 0
        # After a round that ended early the next one goes on where that stopped, or low frames alone would be sent.
        low = frames & (1 << self._position) - 1
        cuts, sent, size = [sets.Cut(frames ^ low), sets.Cut(low)], 0, 0
        while batch := (cuts[0].take(most := self._most(decision, size)) or cuts[1].take(most)):
            self._orders.check()
            if live and self._ran:
                self._throttle.step()
            if self._pace is not None:
                self._pace.limit = self._orders.speed if live and decision.quota is None else 0.0
            size += source.send(batch, not live)
            sent += batch.bit_count()
            self._round = begin, sent, size
            self._position = batch.bit_length()
            if live and self._ends(decision):
                break
        else:
            self._position = 0
        seconds = source.clock() - begin
        if live and decision.tick:
            source.wait(begin + decision.tick)
        left = cuts[0].rest() | cuts[1].rest()
        dirty = source.dirty.clean() if live else sets.NONE
        self._pending = left | dirty
        self._end(dirty, seconds, source.clock() - begin)

    def _end(self, dirty: int, seconds: float, lasted: float) -> None:
        """Count a round that is over: it sent for so many seconds, and lasted so long."""
        assert self._round is not None
        _, count, size = self._round
        number, changed, left = self._base.iteration + 1, dirty.bit_count(), self._pending.bit_count()
        bandwidth, expected, rate = self._base.bandwidth, self._base.expected_downtime, self._base.dirty_rate
        if seconds and (size > _MEASURED or bandwidth is None):
            bandwidth = size / seconds or None
        # What was expected, and what was written, is of the last round before the stop.
        if lasted and self._stopped is None:
            rate = changed / lasted
        if bandwidth and self._stopped is None:
            expected = left * PAGE / bandwidth
        row = Round(number, count, size, changed, lasted, seconds)
        self._round = None
        self._base = replace(
            self._base.after(row),
            remaining=left,
            bandwidth=bandwidth,
            dirty_rate=rate,
            expected_downtime=expected,
        )
        if self._watch is not None:
            self._watch(self.statistics)

    def _ends(self, decision: Decision) -> bool:
        """Whether a round is over before all is sent."""
        assert self._round is not None
        _, _, size = self._round
        if self._orders.stop or (decision.quota is not None and size >= decision.quota):
            return True
        ends = [moment for moment in (decision.until, self._settings.remedy.until) if moment is not None]
        return bool(ends) and self._passed >= min(ends)

    def _most(self, decision: Decision, size: int) -> int:
        """How many frames are sent until the next look at the orders, when so many bytes have gone in a round."""
        assert self._round is not None
        begun, count, _ = self._round
        passed = self._source.clock() - begun
        # By what the link does now; a round may take minutes.
        bandwidth = size / passed if size and passed else self._base.bandwidth or self._orders.speed
        if self._orders.speed and self._stopped is None:
            bandwidth = min(bandwidth, self._orders.speed)
        # Those without contents take next to no bytes.
        each = size / count if size and count else PAGE
        frames = int(bandwidth * _LOOK / each) if bandwidth else _FIRST
        # What goes into buffers first says nothing of a link: twice as many at a time are the most.
        most = min(frames, 2 * self._batch, _MOST)
        most = self._batch = max(most, _LEAST, self._source.pages // _PART)
        if most > tables.BATCH_MAX:
            most -= most % tables.BATCH_MAX
        if decision.quota is not None:
            most = min(most, max(int((decision.quota - size) / PAGE), 0) + 1)
        return most
