"""When a running guest is stopped: policies by name, each a pure function of the figures so far and of the orders.

A policy is asked before every round over the frames that are left.  It knows nothing of guests or links, so that a plan
asks the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .. import tables
from .orders import Orders
from .statistics import Statistics


class Act(Enum):
    """What comes next: a round while the guest runs; a last one, and then its stop; its stop."""

    ROUND = "round"
    LAST = "last round"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy decides: what comes next, and `why`; `met` says that the guest stops because the aim is reached.

    A round ends early once `quota` bytes have gone, or at `until`, in seconds since the beginning; it lasts `tick`
    seconds at least.
    """

    act: Act
    why: str = ""
    met: bool = True
    quota: float | None = None
    until: float | None = None
    tick: float = 0.0


Decide = Callable[[Statistics, Orders], Decision]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it is asked for: with its parameter, the orders that it begins with, and its function."""

    name: str
    speed: float
    downtime: float
    decide: Decide

    @property
    def orders(self) -> Orders:
        """What it begins with where nothing else is asked for."""
        return Orders(self.speed, self.downtime)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: a name, what its parameter is called if it has one, defaults, and what it does in words."""

    name: str
    parameter: str
    speed: float  # bytes a second, 0 for no limit
    downtime: float  # seconds
    rule: str
    make: Callable[[float], Decide]


PAGE = tables.PAGE_SIZE
_ROUND = Decision(Act.ROUND)
# simple_precopy_policy of tools/libs/guest/xg_sr_save.c (Xen 4.10 and later; constants in it before).
XEN_ITERATIONS, XEN_FRAMES = 5, 50
# vl.c, migration.c and buffered_file.c of QEMU 0.10 to 0.12: limit and downtime, and how often a quota is given out.
SPEED_2009, DOWNTIME_2009, TICK_2009 = 32 << 20, 0.03, 0.1
# ram_save_live of QEMU 0.10; and what later ones took for a bandwidth of 0, in bytes a second.
FRAMES_010, BANDWIDTH_LEAST = 10, 1000.0
# migration/options.c of QEMU 7.2 to 11.1.
SPEED_NOW, DOWNTIME_NOW = 128 << 20, 0.3


def _frames(count: int) -> str:
    return f"{count:,} frame{'s' * (count != 1)}"


def _xen(statistics: Statistics, orders: Orders) -> Decision:
    # The saver asks twice in a round, before it has counted what is dirty and after, and sends what it has counted.
    if len(statistics.rounds) >= XEN_ITERATIONS:
        return Decision(Act.STOP, f"{XEN_ITERATIONS} iterations are done", met=statistics.remaining < XEN_FRAMES)
    if statistics.remaining < XEN_FRAMES:
        return Decision(Act.LAST, f"{_frames(statistics.remaining)} are dirty, less than {XEN_FRAMES}")
    return _ROUND


def _quota_2009(orders: Orders) -> Decision:
    return Decision(Act.ROUND, quota=orders.speed * TICK_2009 or None, tick=TICK_2009 if orders.speed else 0.0)


def _qemu_010(statistics: Statistics, orders: Orders) -> Decision:
    if statistics.rounds and statistics.remaining < FRAMES_010:
        return Decision(Act.STOP, f"{_frames(statistics.remaining)} are left, less than {FRAMES_010}")
    return _quota_2009(orders)


def _qemu_2009(statistics: Statistics, orders: Orders) -> Decision:
    if statistics.rounds:
        last = statistics.rounds[-1]
        took = last.seconds if last.sending is None else last.sending
        bandwidth = last.frames * PAGE / took if took else 0.0
        expected = statistics.remaining * PAGE / (bandwidth or BANDWIDTH_LEAST)
        if expected <= orders.downtime:
            return Decision(Act.STOP, f"{_within(expected, orders)} at the last call's rate")
    return _quota_2009(orders)


def _within(expected: float, orders: Orders) -> str:
    return f"what is left takes {expected * 1000:,.0f} ms, the limit is {orders.downtime * 1000:,.0f} ms,"


def _qemu(statistics: Statistics, orders: Orders) -> Decision:
    if statistics.rounds:
        if not statistics.remaining:
            return Decision(Act.STOP, "nothing is left")
        expected = statistics.expected_downtime
        if expected is not None and expected < orders.downtime:
            return Decision(Act.STOP, f"{_within(expected, orders)} at the last round's rate")
    return _ROUND


def _rounds(count: float) -> Decide:
    def decide(statistics: Statistics, orders: Orders) -> Decision:
        done = len(statistics.rounds)
        return _ROUND if done < count else Decision(Act.STOP, f"{done} round{'s' * (done != 1)} are done")

    return decide


def _deadline(seconds: float) -> Decide:
    def decide(statistics: Statistics, orders: Orders) -> Decision:
        found = _qemu(statistics, orders)
        if found.act is Act.ROUND and statistics.seconds >= seconds:
            return Decision(Act.STOP, f"{seconds:g} s have passed", met=False)
        return found if found.act is Act.STOP else Decision(Act.ROUND, until=seconds)

    return decide


def _non_live(statistics: Statistics, orders: Orders) -> Decision:
    return Decision(Act.STOP, "it is not to run meanwhile")


def _plain(decide: Decide) -> Callable[[float], Decide]:
    return lambda _: decide


TABLE = (
    Row(
        "xen",
        "",
        0,
        DOWNTIME_NOW,
        f"Rounds over all dirty frames, at most {XEN_ITERATIONS}; fewer than {XEN_FRAMES} dirty frames are sent, and"
        " then it stops. How long it stands does not matter.",
        _plain(_xen),
    ),
    Row(
        "qemu-0.10",
        "",
        SPEED_2009,
        DOWNTIME_2009,
        f"Calls every {TICK_2009 * 1000:.0f} ms, each of which sends up to its part of the speed; it stops with fewer"
        f" than {FRAMES_010} frames left.",
        _plain(_qemu_010),
    ),
    Row(
        "qemu-2009",
        "",
        SPEED_2009,
        DOWNTIME_2009,
        f"Calls every {TICK_2009 * 1000:.0f} ms, each of which sends up to its part of the speed; it stops once what"
        " is left takes no longer than the downtime at the rate of the last call.",
        _plain(_qemu_2009),
    ),
    Row(
        "qemu",
        "",
        SPEED_NOW,
        DOWNTIME_NOW,
        "Rounds over all dirty frames; it stops once what is left takes less than the downtime at the rate of the last"
        " round, or nothing is left.",
        _plain(_qemu),
    ),
    Row("rounds", "N", 0, DOWNTIME_NOW, "N rounds over all dirty frames, and then it stops.", _rounds),
    Row(
        "deadline",
        "SECONDS",
        0,
        DOWNTIME_NOW,
        "As qemu, but SECONDS after the beginning it stops whatever is left, in the middle of a round if need be.",
        _deadline,
    ),
    Row("non-live", "", 0, DOWNTIME_NOW, "It stops at once, and everything is sent while it does.", _plain(_non_live)),
)
_BY_NAME = {row.name: row for row in TABLE}
# Rounds and seconds that are taken.
_MOST = 1e6


def shown(row: Row) -> str:
    """How a row is written by those who ask for it."""
    return f"{row.name}={row.parameter}" if row.parameter else row.name


def policy(text: str) -> Policy:
    """The policy of that name, with its parameter if it has one, such as "xen" or "rounds=3".

    :raises ValueError: there is none, or the parameter is wrong.
    """
    name, given, value = text.partition("=")
    row = _BY_NAME.get(name)
    if row is None or bool(given) != bool(row.parameter):
        raise ValueError(f"{text[:60]!r} is none of {', '.join(map(shown, TABLE))}")
    number = parameter(value, row.parameter) if row.parameter else 0.0
    return Policy(text, row.speed, row.downtime, row.make(number))


def parameter(value: str, what: str) -> float:
    """The value of a parameter: a whole number where it is called N, else seconds.

    :raises ValueError: it is neither, or too large.
    """
    dotted = value.replace(".", "", 1) if what != "N" else value
    if not (dotted.isascii() and dotted.isdigit()) or len(value) > 20 or float(value) > _MOST:
        raise ValueError(f"{value[:60]!r} is not {what}, a number up to {_MOST:,.0f}")
    return float(value)
