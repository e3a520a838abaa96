"""What is done about a guest that writes faster than the link takes it: throttled, refused, or given up in time.

Source: QEMU's auto-converge (migration/ram.c and qapi/migration.json: throttle-trigger-threshold, cpu-throttle-initial,
cpu-throttle-increment, max-cpu-throttle; softmmu/cpu-throttle.c).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import LateError, MigrationError, TooFastError
from .policies import parameter
from .statistics import Statistics

# A round is bad if it leaves more than this part of what it sent dirty; so many bad ones in a row are too many.
THRESHOLD, BAD_ROUNDS = 0.5, 2
# The part of its time that a guest stands at first, and how much is added each time, up to the most.
FIRST, MORE, MOST = 0.2, 0.1, 0.99
# How long it runs or stands at a time while it is throttled, in seconds, at least.
SLICE = 0.01


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of its time that the guest is to stand, or the error that ends the migration."""

    share: float = 0.0
    error: MigrationError | None = None


# Asked after each round: of the figures so far, and the part of its time that the guest stands already.
Judge = Callable[[Statistics, float], Answer]


@dataclass(frozen=True, slots=True)
class Remedy:
    """What is done, and the second since the beginning at which a round is broken off for it."""

    judge: Judge
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: a name, what its parameter is called if it has one, and what it does in words."""

    name: str
    parameter: str
    rule: str
    make: Callable[[float], Remedy]


def stalled(statistics: Statistics) -> bool:
    """Whether the last rounds have gained nothing."""
    last = statistics.rounds[-BAD_ROUNDS:]
    return len(last) == BAD_ROUNDS and all(row.dirty > THRESHOLD * row.frames for row in last)


def _let(statistics: Statistics, share: float) -> Answer:
    return Answer(share)


def _throttle(statistics: Statistics, share: float) -> Answer:
    if not stalled(statistics):
        return Answer(share)
    return Answer(min(share + MORE, MOST) if share else FIRST)


def _refuse(statistics: Statistics, share: float) -> Answer:
    if not stalled(statistics):
        return Answer(share)
    last = statistics.rounds[-1]
    words = f"{last.dirty:,} frames were written while {last.frames:,} were sent"
    return Answer(error=TooFastError(f"the guest writes faster than the link takes: in round {last.number} {words}"))


def _time_out(seconds: float) -> Remedy:
    def judge(statistics: Statistics, share: float) -> Answer:
        if statistics.seconds < seconds:
            return Answer(share)
        return Answer(
            error=LateError(f"the guest still runs here after {seconds:g} s, and writes too fast to be moved")
        )

    return Remedy(judge, seconds)


def _plain(judge: Judge) -> Callable[[float], Remedy]:
    return lambda _: Remedy(judge)


_WHEN = f"after {BAD_ROUNDS} rounds that each left more than {THRESHOLD:.0%} as many frames dirty as they sent"
TABLE = (
    Row("go-on", "", "Nothing: the policy alone decides when it stops.", _plain(_let)),
    Row(
        "throttle",
        "",
        f"The guest stands for a part of its time: {FIRST:.0%} {_WHEN}, {MORE:.0%} more each time, {MOST:.0%} at most.",
        _plain(_throttle),
    ),
    Row("refuse", "", f"The migration fails {_WHEN}.", _plain(_refuse)),
    Row("time-out", "SECONDS", "The migration fails if the guest still runs here after SECONDS.", _time_out),
)
_BY_NAME = {row.name: row for row in TABLE}


def shown(row: Row) -> str:
    """How a row is written by those who ask for it."""
    return f"{row.name}={row.parameter}" if row.parameter else row.name


def remedy(text: str) -> Remedy:
    """What that says is to be done, such as "throttle" or "time-out=30".

    :raises ValueError: there is no such remedy, or its parameter is wrong.
    """
    name, given, value = text.partition("=")
    row = _BY_NAME.get(name)
    if row is None or bool(given) != bool(row.parameter):
        raise ValueError(f"{text[:60]!r} is none of {', '.join(map(shown, TABLE))}")
    return row.make(parameter(value, row.parameter) if row.parameter else 0.0)


class Throttle:
    """Has a guest stand for a part of its time, `share`, by stopping and resuming it in turn.

    It is asked to `step` often, and does nothing of its own.  However seldom that is, the parts come out right, as it
    goes by the time for which the guest has stood.
    """

    def __init__(self, clock: Callable[[], float], pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.standing = False
        self._share = 0.0
        self._clock, self._pause, self._resume = clock, pause, resume
        self._since = self._turned = 0.0
        # Seconds since the share was set, and those of them for which it stood.
        self._all = self._stood = 0.0

    @property
    def share(self) -> float:
        """The part of its time, from 0 to 1."""
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        if share != self._share:
            self._share, self._since = share, self._clock()
            self._all = self._stood = 0.0

    def step(self) -> None:
        """Stop or resume it, if it is time for that."""
        if not self._share:
            self.off()
            return
        now = self._clock()
        passed, self._since = now - self._since, now
        self._all += passed
        self._stood += passed if self.standing else 0.0
        stand = self._stood < self._share * self._all
        if stand != self.standing and now - self._turned >= SLICE:
            self.standing, self._turned = stand, now
            (self._pause if stand else self._resume)()

    def off(self) -> None:
        """Have it run, if it stands because of this."""
        if self.standing:
            self.standing = False
            self._resume()
