"""When guests are stopped: each policy by its rule, and what is done about one that writes too fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine import policies, too_fast
from ..engine.orders import Orders
from ..engine.policies import Act, Decision, policy
from ..engine.statistics import Round, Statistics
from ..engine.too_fast import Throttle, remedy
from ..errors import LateError, TooFastError

PAGE = 4096
_START = Statistics(100_000, remaining=100_000)


def _after(*dirty: int, sent: int = 10_000, seconds: float = 1.0) -> Statistics:
    """The figures after rounds that left so many frames dirty."""
    found = _START
    for number, count in enumerate(dirty, 1):
        found = found.after(Round(number, sent, sent * PAGE, count, seconds))
    bandwidth = sent * PAGE / seconds
    return replace(found, bandwidth=bandwidth, expected_downtime=found.remaining * PAGE / (bandwidth or 1))


def _decided(name: str, statistics: Statistics, orders: Orders | None = None) -> Decision:
    found = policy(name)
    return found.decide(statistics, found.orders if orders is None else orders)


def test_xen() -> None:
    """Five rounds at most; few dirty frames are sent before it stops, as they have been counted."""
    assert _decided("xen", _START).act is Act.ROUND
    assert _decided("xen", _after(1000)).act is Act.ROUND
    assert _decided("xen", _after(50)).act is Act.ROUND
    assert _decided("xen", _after(49)).act is Act.LAST
    assert _decided("xen", _after(900, 800, 700, 600)).act is Act.ROUND
    stop = _decided("xen", _after(900, 800, 700, 600, 500))
    assert (stop.act, stop.met) == (Act.STOP, False)
    assert _decided("xen", _after(900, 800, 700, 600, 49)).met


def test_qemu_of_2009() -> None:
    """A quota for a tenth of a second, and a stop by the rate of the last call, whatever the rounds before were."""
    first = _decided("qemu-2009", _START)
    assert (first.act, first.quota, first.tick) == (Act.ROUND, (32 << 20) / 10, 0.1)
    # 10,000 frames a second: 300 in 30 ms.
    assert _decided("qemu-2009", _after(301)).act is Act.ROUND
    assert _decided("qemu-2009", _after(300)).act is Act.STOP
    assert _decided("qemu-2009", _after(300), Orders(1 << 20, 0.029)).act is Act.ROUND
    # Nothing sent is the least rate, not a division by zero.
    assert _decided("qemu-2009", _after(1, sent=0)).act is Act.ROUND
    assert _decided("qemu-2009", _after(0, sent=0)).act is Act.STOP
    slow = replace(_after(300), rounds=(Round(1, 10_000, 0, 300, 1.0, sending=0.5),))
    assert _decided("qemu-2009", replace(slow, remaining=600)).act is Act.STOP
    none = _decided("qemu-2009", _START, Orders(0.0, 0.03))
    assert (none.quota, none.tick) == (None, 0.0)


def test_qemu_010() -> None:
    """Fewer than ten frames, however fast the link is."""
    assert _decided("qemu-0.10", _after(10)).act is Act.ROUND
    assert _decided("qemu-0.10", _after(9)).act is Act.STOP
    assert _decided("qemu-0.10", replace(_START, remaining=5)).act is Act.ROUND


def test_qemu() -> None:
    """What is left is less than the bandwidth times the limit; equal is not less."""
    assert _decided("qemu", _START).act is Act.ROUND
    assert _decided("qemu", _after(2999)).act is Act.STOP
    assert _decided("qemu", _after(3000)).act is Act.ROUND
    assert _decided("qemu", _after(2999), Orders(0.0, 0.1)).act is Act.ROUND
    assert _decided("qemu", replace(_after(0), expected_downtime=None)).act is Act.STOP
    assert _decided("qemu", replace(_after(7), expected_downtime=None)).act is Act.ROUND


def test_fixed_rounds_and_deadlines() -> None:
    """So many rounds; or a moment at which it stops at the latest, which a round does not outlast."""
    assert _decided("rounds=0", _START).act is Act.STOP
    assert _decided("rounds=2", _after(0)).act is Act.ROUND
    assert _decided("rounds=2", _after(0, 0)).act is Act.STOP
    begun = _decided("deadline=2.5", _START)
    assert (begun.act, begun.until) == (Act.ROUND, 2.5)
    assert _decided("deadline=2.5", _after(9000, 9000)).until == 2.5
    late = _decided("deadline=2.5", _after(9000, 9000, 9000))
    assert (late.act, late.met) == (Act.STOP, False)
    assert _decided("deadline=2.5", _after(100)).met
    assert _decided("non-live", _START).act is Act.STOP


@pytest.mark.parametrize("row", policies.TABLE, ids=policies.shown)
def test_every_policy_can_be_asked_for(row: policies.Row) -> None:
    """By its name, and with a parameter if it has one, and only then; it says in words why it stops."""
    text = f"{row.name}=3" if row.parameter else row.name
    found = policy(text)
    assert (found.name, found.speed, found.downtime) == (text, row.speed, row.downtime)
    assert found.decide(_after(0, 0, 0, 0, 0), found.orders).why
    with pytest.raises(ValueError, match="is none of"):
        policy(row.name if row.parameter else f"{row.name}=3")


_WRONG = ["", "Xen", "rounds=", "rounds=x", "rounds=1.5", "rounds=-1", "deadline=nan", "deadline=1e3", "rounds=٣"]


@pytest.mark.parametrize("text", [*_WRONG, "deadline=" + "9" * 30])
def test_what_is_no_policy(text: str) -> None:
    """It says which there are, or what is wrong with the parameter."""
    with pytest.raises(ValueError, match=r"is none of xen|is not (N|SECONDS)"):
        policy(text)


def test_a_writer_that_is_too_fast() -> None:
    """Two rounds in a row that gained nothing are too many; one is not, nor are two apart."""
    assert not too_fast.stalled(_after(9000))
    assert not too_fast.stalled(_after(9000, 100))
    assert not too_fast.stalled(_after(9000, 5000))
    assert too_fast.stalled(_after(100, 9000, 5001))
    fast, slow = _after(9000, 9000), _after(9000, 100)
    assert remedy("go-on").judge(fast, 0.0).error is None
    assert isinstance(remedy("refuse").judge(fast, 0.0).error, TooFastError)
    assert remedy("refuse").judge(slow, 0.0).error is None
    throttle = remedy("throttle").judge
    assert throttle(slow, 0.3).share == 0.3
    assert throttle(fast, 0.0).share == 0.2
    assert throttle(fast, 0.2).share == pytest.approx(0.3)
    assert throttle(fast, 0.98).share == 0.99
    timed = remedy("time-out=2")
    assert timed.until == 2.0
    assert timed.judge(_after(9000), 0.0).error is None
    assert isinstance(timed.judge(fast, 0.0).error, LateError)


@pytest.mark.parametrize("text", ["", "throttle=1", "time-out", "time-out=soon", "time-out=-1", "panic"])
def test_what_is_no_remedy(text: str) -> None:
    """It says which there are."""
    with pytest.raises(ValueError, match=r"is none of go-on|is not SECONDS"):
        remedy(text)


class _Turned:
    """A guest that is stopped and resumed, and for how long it ran."""

    def __init__(self) -> None:
        self.now = self.ran = 0.0
        self.running = True

    def turn(self, running: bool) -> Callable[[], None]:
        def turned() -> None:
            assert self.running is not running
            self.running = running

        return turned

    def go_on(self, seconds: float) -> None:
        self.now += seconds
        self.ran += seconds if self.running else 0.0


@settings(max_examples=12)
@given(st.sampled_from((0.2, 0.5, 0.9, 0.99)), st.lists(st.floats(0.002, 0.03), min_size=1, max_size=7))
def test_throttled_guests_run_for_their_part(share: float, steps: list[float]) -> None:
    """However often or seldom it is looked after, a guest stands for the part of its time that it is to."""
    guest = _Turned()
    throttle = Throttle(lambda: guest.now, guest.turn(False), guest.turn(True))
    guest.go_on(5.0)
    guest.ran, begin = 0.0, guest.now
    throttle.share = share
    for number in range(10_000):
        throttle.step()
        guest.go_on(steps[number % len(steps)])
        if guest.now > begin + 20:
            break

    assert guest.ran / (guest.now - begin) == pytest.approx(1 - share, abs=0.02)
    throttle.share = 0.0
    throttle.step()
    assert guest.running
    throttle.off()
    assert guest.running
