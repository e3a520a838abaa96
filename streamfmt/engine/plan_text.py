"""A migration's rounds and figures as text for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from .figure import cells_of, seconds
from .plan import Plan
from .statistics import Statistics

# Rounds that are listed: all if they are no more, else the first and the last ones.
_LISTED = 24
_HEADS = ("round", "frames", "bytes", "dirty", "time", "rate")
_WIDE = (6, 12, 13, 12, 12, 16)


def text(about: str, plan: Plan) -> Iterator[str]:
    """A plan, line by line."""
    yield about
    yield from rounds(plan.statistics)
    if plan.error:
        yield f"not moved: {plan.error}"
        return
    yield f"stopped: {plan.why}" + ("" if plan.met else "; it does not converge")
    downtime, pause = plan.statistics.downtime or 0.0, plan.statistics.pause or 0.0
    yield f"total {seconds(plan.total)}, downtime {seconds(downtime)}, pause {seconds(pause)}"


def rounds(statistics: Statistics) -> Iterator[str]:
    """The rounds, a line each; of many the first and the last ones."""
    yield _line(_HEADS)
    rows = statistics.rounds
    left = len(rows) - _LISTED
    half = _LISTED // 2 if left > 0 else len(rows)
    yield from (_line(cells_of(row)) for row in rows[:half])
    if left > 0:
        yield f"{'...':>6}  {left:,} rounds more"
        yield from (_line(cells_of(row)) for row in rows[-half:])


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, _WIDE, strict=True)).rstrip()
