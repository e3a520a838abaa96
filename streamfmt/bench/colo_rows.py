"""The row of COLO's round trips, against those of Remus, taken in turn."""

from __future__ import annotations

from ..engine.guest import pagemap
from . import colo
from .engine_rows import MoveFigure, MoveRow
from .process import NotMeasuredError

_MILLI = 1e3


def _needs() -> None:
    if why := pagemap.missing():
        raise NotMeasuredError(why)


COLO = (
    MoveRow(
        "colo",
        "COLO's round trip, 256 pages / that of Remus",
        colo.ours,
        colo.others,
        (
            MoveFigure("round trip", "ms", None, lambda a, _: a.total * _MILLI, "total"),
            MoveFigure("against Remus", "x", 2.0, lambda a, b: a.total / b.total, "total"),
            MoveFigure("failover", "ms", 50.0, lambda a, _: a.downtime * _MILLI, "downtime"),
        ),
        _needs,
    ),
)
