"""The rows of migrations: what is moved by the engine, what it is held against, and the budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..conformance import qemu as peer
from ..engine.guest import pagemap
from ..errors import MissingPeerError
from . import engine, moves, qemu_moves
from .moves import Moved
from .process import NotMeasuredError
from .qemu_moves import KINDS, MIB, Kind

GIB = 1 << 30
_MILLI = 1e3
# The releases that migrations are held against: Debian's, and the newest.
_OLD, _NEW = "7.2", "11.1"
# The downtime that both aim at, and a window in which the bandwidth is measured (migration/migration.c).
_LIMIT, _BANDWIDTH_WINDOW = 0.3, 0.1
# What a bare interpreter has, and what each side may have on top of it and of the guest.
_BARE, _ROOM = 8.5 * MIB, 16.0


@dataclass(frozen=True, slots=True)
class MoveFigure:
    """A number read off each pair of moves, and what it may be at most (at least, with `floor`).

    With `worst` no pair may be beyond it, else their median.  `shown` is what the number is made of, on either side.
    """

    name: str
    unit: str
    budget: float | None
    of: Callable[[Moved, Moved], float]
    shown: str
    floor: bool = False
    worst: bool = False


@dataclass(frozen=True, slots=True)
class MoveRow:
    """A move of ours, and the one it is held against, which is the same where only our own figures count."""

    key: str
    about: str
    ours: Callable[[], Moved]
    other: Callable[[], Moved] | None
    figures: tuple[MoveFigure, ...]
    # Raises NotMeasuredError if it cannot be measured here.
    needs: Callable[[], None] = lambda: None
    # --runs times that, as seven pairs are what such a row takes.
    weight: float = 1.4
    # What a row of commands has: samples, which this one has none of.
    samples: tuple[str, ...] = ()
    memory: bool = False


def _needs(release: str = "") -> None:
    if why := pagemap.missing():
        raise NotMeasuredError(why)
    try:
        if release:
            peer.program(release)
    except MissingPeerError as error:
        raise NotMeasuredError(f"QEMU {release} is not installed (make peers)") from error


def _qemu(kind: str, release: str, prepared: bool = False) -> Moved:
    found = qemu_moves.move(kind, release, _LIMIT, prepared)
    sides = found.source, found.destination
    return Moved(found.total, found.downtime, found.pause, -1.0, found.sent, *sides)


def _ratio(name: str, budget: float | None) -> MoveFigure:
    return MoveFigure(name, "x", budget, lambda a, b: float(getattr(a, name) / (getattr(b, name) or 1e-3)), name)


_SENT = _ratio("sent", 1.1)
_NEVER = MoveFigure(
    "most", "ms", (_LIMIT + _BANDWIDTH_WINDOW) * _MILLI, lambda a, _: a.pause * _MILLI, "pause", worst=True
)
_OWN = MoveFigure("pause", "ms", None, lambda a, _: a.pause * _MILLI, "pause")


def _side(side: str, guest: int) -> MoveFigure:
    """What a side has over its guest and a bare interpreter."""
    return MoveFigure(side, "MiB", _ROOM, lambda a, _: (getattr(a, side) - guest - _BARE) / MIB, side)


def _against(
    name: str, kind: str, budgets: dict[str, float | None], *figures: str, prepared: bool = False
) -> list[MoveRow]:
    """A row for each release; the first of its figures has that release's budget."""
    first, *others = figures
    known = {"sent": _SENT, "most": _NEVER, "own": _OWN}
    filled = KINDS[kind].filled
    sides = (_side("source", filled), _side("destination", filled)) if filled and not prepared else ()
    return [
        MoveRow(
            f"migrate-{name}-{release}",
            f"{_ABOUT[kind]}{', memory prepared' if prepared else ''} / QEMU {release}",
            partial(moves.move, KINDS[kind], prepared),
            partial(_qemu, kind, release, prepared),
            (_ratio(first, budget), *(known.get(other) or _ratio(other, None) for other in others), *sides),
            partial(_needs, release),
        )
        for release, budget in budgets.items()
    ]


_ABOUT = {
    "random": "guest of 1 GiB, 512 MiB random",
    "zero": "guest of 1 GiB, all zeros",
    "loop-8": "guest of 1 GiB that writes 8 MiB",
    "loop-64": "guest of 1 GiB that writes 64 MiB",
}


def _seconds(measure: Callable[[], float]) -> Moved:
    return Moved(measure())


def _single(key: str, about: str, measure: Callable[[], Moved], *figures: MoveFigure) -> MoveRow:
    return MoveRow(f"migrate-{key}", about, measure, None, figures, _needs)


def _total(name: str, unit: str, budget: float, factor: float) -> MoveFigure:
    return MoveFigure(name, unit, budget, lambda a, _: a.total * factor, "total")


class _Unmoved:
    """Both figures of a guest that is sent standing come from one run: ours is taken first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._cat = 0.0

    def ours(self) -> Moved:
        ours, self._cat = engine.unmoved(self._size)
        return Moved(ours)

    def cat(self) -> Moved:
        return Moved(self._cat)


_UNMOVED = _Unmoved(512 * MIB)
MOVES = (
    *_against("full", "random", {_OLD: 0.6, _NEW: 1.2}, "total", "sent", "pause", "own"),
    *_against("full-prepared", "random", {_OLD: None, _NEW: None}, "total", "pause", prepared=True),
    *_against("zero", "zero", {_OLD: 0.7, _NEW: 0.7}, "total", "sent", "pause", "own"),
    *_against("loop-8", "loop-8", {_OLD: 1.5, _NEW: 1.5}, "pause", "sent", "total", "most"),
    *_against("loop-64", "loop-64", {_OLD: 1.2, _NEW: 1.2}, "pause", "sent", "total", "most"),
    _single(
        "descriptor-1",
        "guest of 1 GiB by descriptor",
        partial(engine.by_descriptor, GIB, 64 * MIB),
        _total("total", "ms", 50.0, _MILLI),
        _OWN,
    ),
    _single(
        "descriptor-16",
        "guest of 16 GiB by descriptor",
        partial(engine.by_descriptor, 16 * GIB, 64 * MIB),
        _total("total", "ms", 50.0, _MILLI),
        _OWN,
    ),
    _single(
        "cancel",
        "from asking for the end until the guest runs",
        partial(_seconds, partial(engine.cancelled, Kind(filled=64 * MIB, written=64 * MIB))),
        _total("time", "ms", 100.0, _MILLI),
    ),
    _single(
        "rate",
        "limit of 32 MiB/s, over any second",
        partial(_seconds, engine.rate),
        _total("off by", "%", 5.0, 100.0),
    ),
    _single(
        "scan",
        "dirty pages of 64 GiB, sparse",
        partial(_seconds, partial(engine.scan, 64 * GIB, 1000)),
        _total("time", "ms", 50.0, _MILLI),
    ),
    MoveRow(
        "migrate-standing",
        "512 MiB through a socket pair / cat",
        _UNMOVED.ours,
        _UNMOVED.cat,
        (MoveFigure("rate", "x", 0.8, lambda a, b: b.total / a.total, "total", floor=True),),
    ),
)
