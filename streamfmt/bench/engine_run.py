"""Running the rows of migrations: pairs in turn, ours first, and what came out as lines and as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median

from ..errors import MigrationError
from .engine_rows import MoveFigure, MoveRow
from .moves import Moved
from .process import BenchError, NotMeasuredError
from .qemu_moves import MIB
from .run import LINE, NO_BUDGET, say

_BYTES = ("sent", "source", "destination")


@dataclass(frozen=True, slots=True)
class MoveResult:
    """One figure of one row: a value for each pair, and what to say of it; without a figure it says why not."""

    row: MoveRow
    verdict: str
    figure: MoveFigure | None = None
    pairs: tuple[tuple[Moved, Moved], ...] = ()
    values: tuple[float, ...] = ()


def measure(row: MoveRow, runs: int) -> list[MoveResult]:
    """Run a row's pairs.  Raises BenchError."""
    pairs = []
    count = max(1, round(runs * row.weight))
    try:
        row.needs()
        for number in range(count):
            say(f"{row.key}: {number + 1} of {count}")
            ours = row.ours()
            pairs.append((ours, ours if row.other is None else row.other()))
    except NotMeasuredError as reason:
        return [MoveResult(row, f"not measured: {reason}")]
    except MigrationError as error:
        raise BenchError(f"{row.key}: {error}") from error
    results = []
    for figure in row.figures:
        values = tuple(figure.of(*pair) for pair in pairs)
        results.append(MoveResult(row, judged(figure, values), figure, tuple(pairs), values))
    return results


def judged(figure: MoveFigure, values: tuple[float, ...]) -> str:
    """Whether the budget is met."""
    if figure.budget is None:
        return NO_BUDGET
    value = max(values) if figure.worst else median(values)
    met = value >= figure.budget if figure.floor else value <= figure.budget
    return "ok" if met else "MISSED"


def line(result: MoveResult) -> str:
    """A result as a line of the table."""
    row, figure = result.row, result.figure
    if figure is None:
        return f"{row.key:<19} {result.verdict}"
    sides = [median(getattr(pair[side], figure.shown) for pair in result.pairs) for side in (0, 1)]
    shown = [f"{value / MIB:.1f} MiB" if figure.shown in _BYTES else f"{value * 1e3:.1f} ms" for value in sides]
    if row.other is None:
        shown[1] = "-"
    return LINE.format(
        row.key,
        figure.name,
        *shown,
        f"{median(result.values):.3f} {figure.unit}",
        f"{min(result.values):.3f}-{max(result.values):.3f}",
        "none" if figure.budget is None else f"{'>=' if figure.floor else '<='} {figure.budget:g}",
        result.verdict,
        row.about,
    )


def as_dict(result: MoveResult) -> dict[str, object]:
    """A result as plain values."""
    row, figure = result.row, result.figure
    found: dict[str, object] = {"row": row.key, "about": row.about, "verdict": result.verdict}
    if figure is not None:
        found |= {"figure": figure.name, "unit": figure.unit, "budget": figure.budget, "at_least": figure.floor}
        found |= {"median": median(result.values), "min": min(result.values), "max": max(result.values)}
        for side, name in enumerate(("a", "b")[: 1 if row.other is None else 2]):
            found[name] = [asdict(pair[side]) for pair in result.pairs]
    return found
