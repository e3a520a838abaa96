"""What continuous checkpoints would cost: rate against overhead, for a guest and a link that are numbers.

With Remus the guest stands while what it has written is copied, and runs while that goes to the standby, so it writes
in that time too.  With COLO both guests stand from the request until the secondary runs again: three times over the
link besides the pages.  What is counted is what both sides have settled to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from ... import tables
from ..figure import seconds
from ..plan import Guest, Link

PAGE = tables.PAGE_SIZE
_ENTRY = tables.SIZES["libxc.PAGE_DATA.entries"]
# Checkpoints that are counted, after some in which it settles.
_SETTLES, _COUNTED = 8, 32
# A checkpoint that takes longer than this does not end: a guest writes more than the link takes.
_MOST = 3600.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What both hosts take: seconds to stop a guest and let it go on, and bytes a second that are copied and taken up.

    The defaults are those of this engine on two cores.
    """

    stop: float = 0.001
    copied: float = 4e9
    taken: float = 2e9


@dataclass(frozen=True, slots=True)
class Planned:
    """Checkpoints at an interval: frames of one; seconds for which the guest stands at each, from its stop until the
    checkpoint is safe, and from one to the next."""

    kind: str
    interval: float
    frames: float
    stood: float
    latency: float
    period: float

    @property
    def rate(self) -> float:
        """Checkpoints a second."""
        return 1 / self.period

    @property
    def overhead(self) -> float:
        """The share of time for which the guest stands."""
        return self.stood / self.period

    @property
    def delay(self) -> float:
        """Seconds for which output waits, at most; none with COLO, whose output leaves when both say the same."""
        return self.period - self.stood + self.latency if self.kind == REMUS else 0.0


REMUS, COLO = "remus", "colo"
# Times that a message goes over the link while the guest stands, and besides while it runs.
_TRIPS = {REMUS: (0, 2), COLO: (3, 0)}


def planned(guest: Guest, link: Link, kind: str, interval: float, costs: Costs | None = None) -> Planned:
    """What checkpoints of that kind would be, so many seconds after one another."""
    costs = costs or Costs()
    now, ran = 0.0, interval
    rows: list[tuple[int, float, float, float]] = []
    standing, running = _TRIPS[kind]
    while len(rows) < _SETTLES + _COUNTED:
        frames = 0
        for writer in guest.writers:
            frames |= writer.written(now, now + ran)
        now += ran
        count = frames.bit_count()
        size = count * (PAGE + _ENTRY) + guest.state
        goes = size / link.bandwidth + count * PAGE / costs.taken
        copies = costs.stop + count * PAGE / costs.copied
        if kind == REMUS:
            stood, latency = copies, copies + goes + running * link.latency
        else:
            stood = latency = costs.stop + goes + standing * link.latency
        period = interval + latency
        ran = period - stood
        rows.append((count, stood, latency, period))
        if period > _MOST:
            break
    counted = rows[_SETTLES:] or rows[-1:]
    return Planned(kind, interval, *(fmean(row[at] for row in counted) for at in range(4)))


_HEADS = ("interval", "frames", "stands", "safe after", "a second", "overhead", "output waits")
_WIDE = (9, 11, 11, 12, 10, 10, 14)


def text(rows: Sequence[Planned]) -> Iterator[str]:
    """A table of them, line by line."""
    yield _line(_HEADS)
    for row in rows:
        waits = seconds(row.delay) if row.kind == REMUS else "-"
        yield _line(
            (
                seconds(row.interval),
                f"{row.frames:,.0f}",
                seconds(row.stood),
                seconds(row.latency),
                f"{row.rate:.1f}",
                f"{row.overhead:.1%}",
                waits,
            )
        )


def _line(cells: Sequence[str]) -> str:
    return "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, _WIDE, strict=True)).rstrip()
