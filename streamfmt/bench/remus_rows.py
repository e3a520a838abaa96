"""The row of checkpoints: ours against those of `xl remus`, taken in turn."""

from __future__ import annotations

from ..engine.guest import pagemap
from . import remus
from .engine_rows import MoveFigure, MoveRow
from .process import NotMeasuredError

_MILLI = 1e3


def _needs() -> None:
    if why := pagemap.missing():
        raise NotMeasuredError(why)


REMUS = (
    MoveRow(
        "remus",
        "a checkpoint of 256 pages, interval 1 ms / xl remus",
        remus.ours,
        remus.xens,
        (
            MoveFigure("rate", "/s", 200.0, lambda a, _: 1 / a.total, "total", floor=True),
            MoveFigure("against xl", "x", 1.5, lambda a, b: b.total / a.total, "total", floor=True),
            MoveFigure("stood", "ms", 3.0, lambda a, _: a.pause * _MILLI, "pause"),
            MoveFigure("failover", "ms", 50.0, lambda a, _: a.downtime * _MILLI, "downtime"),
        ),
        _needs,
    ),
)
