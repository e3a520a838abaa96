"""Paired benchmarks of whole processes, against this project's budgets.

Each row runs two commands in turn, A B A B ..., after one run of each that does not count.  A is ours, B is what it
is compared with.  What counts is the median over the pairs.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .. import tables
from . import generate
from .process import NotMeasuredError, Run, run
from .rows import BEFORE, GIB, KIB, MIB, SAMPLES, Figure, Row, command

FULL = 4 * GIB
QUICK = 256 * MIB
UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB}
# Where files are memory and nothing else, and what is taken of that: a sample, what is made of it, and room.
MEMORY = "/dev/shm"
_SHARE = 3
# Ends of the names of files that commands make of a sample for those after them.
MADE = (".b", ".c", ".raw")

# -- samples ----------------------------------------------------------------------------------------------------


class Samples:
    """Sample files in a directory that is gone afterwards; only those still wanted take up room."""

    def __init__(self, folder: str, size: int, rows: Sequence[Row], memory: str = "") -> None:
        self._folder = folder
        self._size = size
        self._memory = memory
        self._in_memory = {row.sample for row in rows if row.memory}
        self._room = shutil.disk_usage(memory).free // _SHARE // MIB * MIB if memory else 0
        self._wanted = [name for row in rows for name in row.samples]

    def size(self, name: str) -> int:
        """How large the sample is to be."""
        _, own = SAMPLES[name]
        size = min(self._size, self._room) if name in self._in_memory else self._size
        return size if own is None else min(own, size)

    def whole(self, name: str) -> bool:
        """Whether it has the size its budgets are for."""
        _, own = SAMPLES[name]
        return self.size(name) >= (own or FULL)

    def path(self, name: str) -> str:
        """Where the sample is, or will be."""
        if name not in self._in_memory:
            return os.path.join(self._folder, name)
        if not self._room:
            raise NotMeasuredError(f"there is no room in {MEMORY}")
        return os.path.join(self._memory, name)

    def make(self, name: str) -> None:
        """Write the sample if it is not there yet."""
        if not os.path.exists(self.path(name)):
            say(f"writing {name}, {human(self.size(name))}")
            generate.write(SAMPLES[name][0], self.path(name), self.size(name))
            if name in self._in_memory and SAMPLES[name][0] in generate.RECIPES:
                with open(f"{self.path(name)}.toml", "w", encoding="utf-8") as file:
                    file.write(generate.RECIPES[SAMPLES[name][0]](self.size(name)))

    def done(self, row: Row) -> None:
        """Remove what no later row wants."""
        for name in row.samples:
            self._wanted.remove(name)
            if name in self._in_memory and not self._room:
                continue
            if name not in self._wanted and os.path.exists(self.path(name)):
                os.unlink(self.path(name))
                for made in MADE:
                    _remove(self.path(name) + made)


def drop(path: str) -> None:
    """Make the kernel forget a file's content.  Raises NotMeasuredError where it does not."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(fd, 0) as area:
            pages = (ctypes.c_ubyte * -(-len(area) // mmap.PAGESIZE))()
            start = ctypes.c_char.from_buffer(area)
            failed = ctypes.CDLL(None).mincore(ctypes.byref(start), ctypes.c_size_t(len(area)), pages)
            del start  # an area with pointers into it cannot be closed
    finally:
        os.close(fd)
    # A stray page that the kernel just has in hand does no harm.
    if failed or bytes(pages).count(1) > len(pages) // 100:
        raise NotMeasuredError("files stay in memory here, as on tmpfs; give a --dir on a disk")


# -- rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one row: a value for each pair, what it may be, and what to say of that.

    Without a figure the row could not be measured, and the verdict says why.
    """

    row: Row
    verdict: str
    figure: Figure | None = None
    size: int = 0
    pairs: tuple[tuple[Run, Run], ...] = ()
    values: tuple[float, ...] = ()
    budget: float | None = None


def measure(row: Row, samples: Samples, runs: int) -> list[Result]:
    """Run a row's pairs.  Raises BenchError."""
    try:
        pairs = _pairs(row, samples, max(1, round(runs * row.weight)))
    except NotMeasuredError as reason:
        return [Result(row, f"not measured: {reason}")]
    size = samples.size(row.sample)
    results = []
    for figure in row.figures:
        values = tuple(figure.of(ours, other, size) for ours, other in pairs)
        budget = None if figure.budget is None else figure.budget + figure.per_page * (size // tables.PAGE_SIZE)
        verdict = NO_BUDGET
        if budget is not None:
            met = median(values) >= budget if figure.floor else median(values) <= budget
            verdict = "ok" if met else "MISSED"
        if budget is not None and not figure.any_size and not samples.whole(row.sample):
            verdict = TOO_SMALL
        results.append(Result(row, verdict, figure, size, pairs, values, budget))
    return results


def _pairs(row: Row, samples: Samples, runs: int) -> tuple[tuple[Run, Run], ...]:
    statuses = row.status, row.status if row.other.startswith(BEFORE) else 0
    paths = [samples.path(name) for name in row.samples]
    commands = [command(verb, path) for verb, path in zip((row.ours, row.other), paths, strict=True)]
    for name in row.samples:
        samples.make(name)
    # The first pair warms the caches, except where they are to be cold or a single run is all there is time for.
    warm_up = int(not row.cold and row.weight > 0)
    pairs = []
    for number in range(warm_up + runs):
        say(f"{row.key}: {number + 1} of {warm_up + runs}")
        pair = []
        for words, path, status in zip(commands, paths, statuses, strict=True):
            if row.cold:
                drop(path)
            if row.memory:
                # Both write pages that were not allocated before.
                _remove(f"{path}.out")
            pair.append(run(words, status))
        pairs.append((pair[0], pair[1]))
    if row.memory:
        _remove(f"{samples.path(row.sample)}.out")
    return tuple(pairs[warm_up:])


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


# -- output -----------------------------------------------------------------------------------------------------

LINE = "{:<19} {:<6} {:>9} {:>9} {:>10} {:>17} {:>9} {:<9}  {}"
HEADING = LINE.format("row", "figure", "A", "B", "median", "min-max", "budget", "verdict", "what: A / B")
TOO_SMALL, NO_BUDGET = "too small", "measured"


def line(result: Result) -> str:
    """A result as a line of the table."""
    row, figure = result.row, result.figure
    if figure is None:
        return f"{row.key:<19} {result.verdict}"
    sides = [median(getattr(pair[side], figure.side) for pair in result.pairs) for side in (0, 1)]
    return LINE.format(
        row.key,
        figure.name,
        *(f"{value:.3f} s" if figure.side == "seconds" else f"{value / MIB:.1f} MiB" for value in sides),
        f"{median(result.values):.3f} {figure.unit}",
        f"{min(result.values):.3f}-{max(result.values):.3f}",
        f"{'>=' if figure.floor else '<='} {result.budget:g}" if result.budget is not None else "none",
        result.verdict,
        f"{human(result.size)} {row.about}",
    )


def as_dict(result: Result) -> dict[str, object]:
    """A result as plain values."""
    row, figure = result.row, result.figure
    found: dict[str, object] = {"row": row.key, "about": row.about, "verdict": result.verdict}
    if figure is not None:
        found |= {"figure": figure.name, "unit": figure.unit, "bytes": result.size}
        found |= {"median": median(result.values), "min": min(result.values), "max": max(result.values)}
        found |= {"budget": result.budget, "at_least": figure.floor}
        for side, name in enumerate(("a", "b")):
            found[name] = [{key: getattr(pair[side], key) for key in Run.__slots__} for pair in result.pairs]
    return found


def say(text: str) -> None:
    """Show progress on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def human(count: int) -> str:
    """A size in the largest unit that it fills."""
    unit, size = next(((name, size) for name, size in reversed(UNITS.items()) if count >= size), ("", 1))
    return f"{count / size:.3g} {unit}iB" if unit else f"{count} B"
