"""The rows of migrations: what they measure is what they say, and they can be run; tiny guests, real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfmt.bench import __main__ as command_line
from streamfmt.bench import engine, engine_rows, engine_run, moves
from streamfmt.bench.engine_rows import MoveFigure, MoveRow
from streamfmt.bench.moves import Moved
from streamfmt.bench.process import BenchError, NotMeasuredError
from streamfmt.bench.qemu_moves import MIB, Kind
from streamfmt.bench.run import HEADING
from streamfmt.errors import MissingPeerError

from .support.guests import need

TINY = Kind(memory=4 * MIB, filled=MIB, written=MIB // 4)
RATIO = MoveFigure("total", "x", 1.5, lambda a, b: a.total / b.total, "total")


def row(*figures: MoveFigure, ours: float = 0.003, other: float | None = 0.002) -> MoveRow:
    """A row whose moves take so long."""
    there = None if other is None else lambda: Moved(other, sent=MIB)
    return MoveRow("migrate-test", "a test", lambda: Moved(ours, sent=2 * MIB), there, figures)


@pytest.mark.parametrize(
    ("values", "floor", "worst", "verdict"),
    [
        ((1.0, 1.5, 9.0), False, False, "ok"),
        ((1.0, 1.6, 1.6), False, False, "MISSED"),
        ((1.0, 1.5, 9.0), False, True, "MISSED"),
        ((1.0, 1.5, 1.6), True, False, "ok"),
        ((1.0, 1.4, 9.0), True, False, "MISSED"),
    ],
)
def test_budgets(values: tuple[float, ...], floor: bool, worst: bool, verdict: str) -> None:
    """The median counts, or the worst of all; at most, or at least."""
    assert engine_run.judged(MoveFigure("it", "x", 1.5, RATIO.of, "total", floor, worst), values) == verdict


def test_pairs_are_lines() -> None:
    """A line has both sides, their ratio, its range and the budget, in the columns of all rows."""
    (result,) = engine_run.measure(row(RATIO), 5)
    assert len(result.values) == 7
    words = engine_run.line(result).split()

    assert words[:7] == ["migrate-test", "total", "3.0", "ms", "2.0", "ms", "1.500"]
    assert words[8:12] == ["1.500-1.500", "<=", "1.5", "ok"]
    assert HEADING.index("verdict") == engine_run.line(result).index("ok  ")
    assert engine_run.as_dict(result)["median"] == 1.5


def test_what_stands_alone_has_no_other_side() -> None:
    """Our own figures are beside nothing."""
    own = MoveFigure("sent", "MiB", None, lambda a, _: a.sent / MIB, "sent")
    (result,) = engine_run.measure(row(own, other=None), 1)

    assert engine_run.line(result).split()[:7] == ["migrate-test", "sent", "2.0", "MiB", "-", "2.000", "MiB"]
    assert "b" not in engine_run.as_dict(result)


def test_without_qemu_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that need it say why they are not measured, before anything is moved."""

    def nothing(release: str) -> None:
        raise MissingPeerError("qemu", "it is not here")

    monkeypatch.setattr("streamfmt.conformance.qemu.program", nothing)
    monkeypatch.setattr("streamfmt.bench.moves.move", lambda *_: pytest.fail("it was moved"))
    (found,) = command_line.rows_of("migrate-full-7.2")
    assert isinstance(found, MoveRow)
    (result,) = engine_run.measure(found, 1)

    assert result.verdict == "not measured: QEMU 7.2 is not installed (make peers)"


def test_an_error_is_not_a_figure() -> None:
    """A move that fails ends the run."""

    def fails() -> Moved:
        raise BenchError("it failed")

    with pytest.raises(BenchError, match="it failed"):
        engine_run.measure(MoveRow("x", "x", fails, None, (RATIO,)), 1)


def test_names_of_rows_are_their_own() -> None:
    """And none begins as another kind's does."""
    names = [found.key for found in command_line.ALL]

    assert len(set(names)) == len(names)
    assert all(found.key.startswith("migrate-") for found in engine_rows.MOVES)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_guest_is_moved(prepared: bool) -> None:
    """Total, three figures, bytes and memory are those of the move."""
    need("process")
    found = moves.move(TINY, prepared)

    assert 0 < found.downtime < found.pause < found.total < 5
    assert 0 < found.gap < 5
    assert TINY.filled < found.sent < TINY.filled + 2 * MIB
    assert min(found.source, found.destination) > 8 * MIB


def test_memory_is_passed() -> None:
    """By descriptor next to nothing is sent."""
    need("process")

    assert engine.by_descriptor(TINY.memory, TINY.filled).sent < MIB // 16


def test_a_migration_is_cancelled() -> None:
    """The time until the guest runs again is positive, and short."""
    need("process")

    assert 0 < engine.cancelled(Kind(memory=4 * MIB, filled=MIB, written=MIB)) < 2


def test_a_failed_move_says_why() -> None:
    """What a side said is the error."""
    need("process")
    with pytest.raises(BenchError, match=r"by descriptor.*hvm|--type|HVM"):
        moves.move(TINY, words=("--type", "pv"))


def test_steps_are_measured() -> None:
    """A scan, and a guest that stands beside `cat`."""
    need("process")

    assert 0 < engine.scan(16 * MIB, 10) < 1
    assert all(0 < seconds < 10 for seconds in engine.unmoved(4 * MIB))


def test_the_limit_is_looked_at() -> None:
    """A tenth of a second at a tenth of the limit's time is enough for a figure."""
    need("process")

    assert 0 <= engine.rate(8 * MIB, 16 * MIB, 0.1) < 1


@given(st.integers(1, 20))
def test_a_steady_speed_is_no_deviation(pieces: int) -> None:
    """Bytes that come evenly keep their limit, whatever pieces they come in."""
    passed = [(at / 10 / pieces, at * 100) for at in range(1, 40 * pieces)]

    assert engine.deviation(passed, 1000 * pieces, 1.0) <= 0.1 / pieces + 1e-6


@given(st.integers(1, 30))
def test_bursts_and_stalls_are_deviations(at: int) -> None:
    """So many bytes at once, or none for half a second, are seen wherever they are."""
    steady = [(n / 50, n * 20) for n in range(1, 200)]
    moment = 1 + at / 20
    burst = [(t, count + (600 if t > moment else 0)) for t, count in steady]
    stall = [(t + (0.6 if t > moment else 0), count) for t, count in steady]

    assert engine.deviation(steady, 1000, 1.0) < 0.03
    assert engine.deviation(burst, 1000, 1.0) > 0.5
    assert engine.deviation(stall, 1000, 1.0) > 0.5


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket of a measurement stays."""
    need("process")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    moves.move(Kind(memory=4 * MIB))

    assert not list(tmp_path.iterdir())


def test_a_kernel_that_cannot_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of our own guests say what is missing too."""
    monkeypatch.setattr("streamfmt.engine.guest.pagemap.missing", lambda: "it cannot")
    for found in engine_rows.MOVES:
        if found.key != "migrate-standing":
            with pytest.raises(NotMeasuredError, match="it cannot"):
                found.needs()
