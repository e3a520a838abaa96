"""The pre-copy loop: what was written is sent, whoever writes when, and after any failure the guest is as it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine import frames as sets
from ..engine import too_fast
from ..engine.orders import Orders
from ..engine.pace import Pace
from ..engine.policies import policy
from ..engine.precopy import PAGE, Precopy, Settings
from ..engine.statistics import Statistics
from ..errors import CancelledError, GuestError, LateError, LinkError, MigrationError, TooFastError

_POLICIES = ("xen", "qemu-0.10", "qemu-2009", "qemu", "rounds=2", "deadline=0.1", "non-live")


@dataclass
class Guest:
    """A guest of numbers, each frame the number of its last write; it writes while something is sent.

    `writes` says how many frames it writes for each that is sent.  Some frames are deferred while it runs.
    """

    pages: int
    writes: float = 0.0
    seed: int = 0
    deferring: float = 0.0
    rate: float = 1e6
    running: bool = True
    fails_at: int = -1
    now: float = 0.0
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.memory = [1] * self.pages
        self.there: list[int] = [0] * self.pages
        self.dirty, self.logging, self.set = self, False, sets.NONE
        self.holes = sets.NONE
        self.calls = self.count = 0
        self.owed = 0.0
        self.watched: list[Statistics] = []

    # its dirty frames
    def enable(self) -> None:
        self.logging, self.set = True, sets.NONE

    def peek(self) -> int:
        assert self.logging
        return self.set

    def clean(self) -> int:
        found, self.set = self.peek(), sets.NONE
        return found

    def disable(self) -> None:
        self.logging = False

    # what the loop works on
    def everything(self) -> int:
        return sets.run(0, self.pages)

    def send(self, frames: int, last: bool) -> int:
        self.calls += 1
        assert not (last and self.running)
        if self.calls == self.fails_at:
            raise LinkError("the link was cut")
        count = 0
        for first, many in sets.runs(frames):
            for frame in range(first, first + many):
                if self.running and self.random.random() < self.deferring:
                    self.holes |= 1 << frame
                else:
                    self.holes &= ~(1 << frame)
                    self.there[frame] = self.memory[frame]
                count += 1
        self._go_on(count * PAGE / self.rate, count)
        return count * PAGE

    def _go_on(self, seconds: float, count: int) -> None:
        self.now += seconds
        self.owed += self.writes * count if self.running else 0.0
        while self.owed >= 1.0:
            self.owed -= 1.0
            self.count += 1
            frame = self.random.randrange(self.pages)
            self.memory[frame] += 1
            self.set |= 1 << frame if self.logging else 0

    def deferred(self) -> int:
        return self.holes

    def verify(self) -> None:
        self.log.append("verify")
        assert self.there == self.memory
        self.there = [0] * self.pages

    def pause(self) -> None:
        self.running = False
        self.log.append("pause")

    def resume(self) -> None:
        self.running = True
        self.log.append("resume")

    def clock(self) -> float:
        return self.now

    def wait(self, moment: float) -> None:
        self._go_on(max(moment - self.now, 0.0), 0)


def _loop(
    guest: Guest, name: str = "xen", orders: Orders | None = None, remedy: str = "go-on", verify: bool = False
) -> Precopy:
    found = policy(name)
    how = Settings(found, too_fast.remedy(remedy), verify)
    return Precopy(guest, how, found.orders if orders is None else orders, watch=guest.watched.append)


_GUESTS = st.builds(
    Guest,
    st.integers(1, 3000),
    st.sampled_from((0.0, 0.01, 0.3, 0.49)),
    st.integers(0, 1 << 16),
    st.sampled_from((0.0, 0.0, 0.1)),
    st.sampled_from((1e6, 1e8)),
    st.booleans(),
)


@settings(max_examples=50, deadline=None)
@given(_GUESTS, st.sampled_from(_POLICIES), st.booleans())
def test_memory_arrives(guest: Guest, name: str, verify: bool) -> None:
    """By any policy, at any rate, with frames that cannot be sent at first: the other side has it all, and once."""
    ran = guest.running
    loop = _loop(guest, name, verify=verify)

    found = loop.run()

    assert guest.there == guest.memory
    assert not guest.running
    assert not guest.logging
    assert loop.why
    assert guest.log.count("pause") == 1
    assert found.sent_frames == sum(row.frames for row in found.rounds)
    assert found.sent == sum(row.sent for row in found.rounds) == found.sent_frames * PAGE
    assert found.remaining == 0
    assert found.iteration == len(found.rounds) == found.rounds[-1].number
    assert found.downtime is not None
    assert abs(found.seconds - sum(row.seconds for row in found.rounds)) < 1e-6
    assert found.rounds[-1].dirty == 0
    if not ran:
        assert guest.count == 0
    assert found.sent_frames >= guest.pages * (1 + verify)


@settings(max_examples=40, deadline=None)
@given(_GUESTS, st.sampled_from(_POLICIES), st.integers(1, 40), st.booleans())
def test_after_a_failure_it_is_as_before(guest: Guest, name: str, fails_at: int, verify: bool) -> None:
    """Wherever the link fails, the guest runs on if it ran before, and only then, and nothing is logged any more."""
    ran, guest.fails_at = guest.running, fails_at
    loop = _loop(guest, name, verify=verify)
    try:
        loop.run()
    except LinkError:
        assert guest.running is ran
        assert not guest.logging
    else:
        assert guest.calls < fails_at
        with pytest.raises(GuestError), loop:  # what comes after memory may fail, too
            raise GuestError("its state cannot be read")
        assert guest.running is ran
    assert "resume" not in guest.log or ran
    loop.undo()
    assert guest.running is ran


class _Cancelling(Orders):
    """Orders that end it at the n-th look."""

    looks = 0

    def check(self) -> None:
        self.looks -= 1
        if self.looks == 0:
            self.cancelled = "enough"
        super().check()


@settings(max_examples=30, deadline=None)
@given(_GUESTS, st.sampled_from(_POLICIES), st.integers(1, 12))
def test_it_can_be_cancelled_at_any_point(guest: Guest, name: str, looks: int) -> None:
    """Then it ends with that, the guest is as it was, and no more than a look's worth was sent."""
    ran = guest.running
    orders = _Cancelling(1e6, 0.03)
    orders.looks = looks
    loop = _loop(guest, name, orders)
    try:
        loop.run()
    except CancelledError:
        assert guest.running is ran
        assert not guest.logging
        calls = guest.calls
        assert calls < looks
    else:
        assert orders.looks > 0


def test_a_pause_is_a_stop() -> None:
    """Asked to stop the guest, it sends no round to its end: what is left goes while the guest stands."""
    guest = Guest(3000, 0.4)
    orders = Orders(1e6)
    loop = _loop(guest, "rounds=1000", orders)
    send = guest.send

    def sent(frames: int, last: bool) -> int:
        orders.stop = guest.calls == 9
        return send(frames, last)

    guest.send = sent  # type: ignore[method-assign] # that is the point
    loop.run()

    assert guest.there == guest.memory
    assert loop.why == "somebody asked for it"
    assert len(loop.statistics.rounds) == 2
    assert loop.statistics.rounds[0].frames < guest.pages


def test_figures_at_any_moment() -> None:
    """In the middle of a round they say what has gone of it; time and downtime go on."""
    guest = Guest(2000, 0.1)
    seen: list[Statistics] = []
    loop = _loop(guest, "xen")
    guest.now += 50  # before it begins, the other side has to answer
    assert loop.statistics.seconds == 0.0
    send = guest.send

    def sent(frames: int, last: bool) -> int:
        seen.append(loop.statistics)
        return send(frames, last)

    guest.send = sent  # type: ignore[method-assign] # that is the point
    loop.run()

    assert seen[0].iteration == 1
    assert seen[0].seconds == 0.0
    assert seen[0].remaining == 2000
    for before, after in pairwise(seen):
        assert after.sent >= before.sent
        assert after.seconds > before.seconds
        if after.iteration == before.iteration:
            assert before.remaining - after.remaining == after.sent_frames - before.sent_frames > 0
    assert seen[-1].downtime is not None
    loop.sent(77)
    ended = loop.ended(pause=1.5, gap=1.6)
    guest.now += 100
    assert loop.statistics == ended
    assert ended.sent == sum(row.sent for row in ended.rounds) + 77
    assert (ended.pause, ended.gap) == (1.5, 1.6)
    assert len(guest.watched) == len(ended.rounds)


def test_quotas_go_on_where_they_stopped() -> None:
    """A round that ends early is followed by one over what came after it: no frame waits for ever."""
    guest = Guest(4000, 0.2, rate=1e8)
    loop = _loop(guest, "qemu-0.10", Orders(4e6, 0.03))
    seen = [0] * guest.pages
    send = guest.send

    def sent(frames: int, last: bool) -> int:
        for first, count in sets.runs(frames):
            for frame in range(first, first + count):
                seen[frame] += not last
        if guest.now > 10:
            loop_orders.stop = True
        return send(frames, last)

    loop_orders = loop._orders
    guest.send = sent  # type: ignore[method-assign] # that is the point
    loop.run()

    assert min(seen) > 0
    ticks = loop.statistics.rounds[:-1]
    assert all(row.sent <= 4e5 + PAGE for row in ticks)
    assert all(abs(row.seconds - 0.1) < 1e-9 for row in ticks[:20])


def test_speed_holds_while_it_runs() -> None:
    """The link's pace gets what is ordered at that moment, and no limit while the guest stands."""
    guest = Guest(3000, 0.1)
    orders = Orders(2e6)
    pace = Pace(0.0, guest.clock)
    limits: list[tuple[bool, float]] = []
    loop = Precopy(guest, Settings(policy("rounds=1"), too_fast.remedy("go-on")), orders, pace)
    send = guest.send

    def sent(frames: int, last: bool) -> int:
        limits.append((last, pace.limit))
        if guest.calls == 3:
            orders.speed = 5e6
        return send(frames, last)

    guest.send = sent  # type: ignore[method-assign] # that is the point
    loop.run()

    assert limits[:4] == [(False, 2e6)] * 4
    assert {limit for last, limit in limits[4:] if not last} == {5e6}
    assert {limit for last, limit in limits if last} == {0.0}


@pytest.mark.parametrize(("remedy", "error"), [("refuse", TooFastError), ("time-out=3", LateError)])
def test_too_fast_is_an_end(remedy: str, error: type[MigrationError]) -> None:
    """Refused after two rounds, or given up in time; the guest runs on."""
    guest = Guest(1000, 2.0)
    loop = _loop(guest, "qemu", Orders(0.0, 0.001), remedy)
    with pytest.raises(error, match="writes"):
        loop.run()
    assert guest.running
    assert guest.now < 10


def test_too_fast_is_throttled() -> None:
    """A guest that would never end is slowed down until it does, and is not left slow."""
    guest = Guest(1000, 2.0)
    loop = _loop(guest, "qemu", Orders(0.0, 0.05), "throttle")
    loop.run()
    assert guest.there == guest.memory
    assert guest.log.count("pause") > 3
    assert loop.met
    loop.undo()
    assert guest.running
    asleep = Guest(1000, 2.0, running=False)
    _loop(asleep, "rounds=9", remedy="throttle").run()
    assert "resume" not in asleep.log


@settings(max_examples=60)
@given(st.sets(st.integers(0, 20_000), max_size=60), st.integers(0, 9000), st.integers(0, 9000), st.data())
def test_sets_are_taken_apart(some: set[int], first: int, count: int, data: st.DataObject) -> None:
    """In order, so many at a time, and the rest is what was not taken."""
    frames = sets.of(some, 20_001) | sets.run(first, count)
    cut, taken = sets.Cut(frames), sets.NONE
    for _ in range(6):
        most = data.draw(st.sampled_from((1, 7, 1000, 4096, 5000, 40_000)))
        left = cut.rest()
        piece = cut.take(most)
        assert piece.bit_count() == min(most, left.bit_count())
        assert piece & left == piece
        assert not piece or left & (1 << piece.bit_length()) - 1 == piece
        taken |= piece
        assert cut.rest() == frames & ~taken
