"""Paired benchmarks of whole processes, against this project's budgets.

Each row runs two commands in turn, A B A B ..., after one run of each that does not count.  A is ours, B is what it
is held against.  What counts is the median over the pairs.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from .. import tables
from ..conformance import peers
from . import before, generate

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
FULL = 4 * GIB
QUICK = 256 * MIB
UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB}
# Where files are memory and nothing else, and what is taken of that: a sample, what is made of it, and room.
MEMORY = "/dev/shm"
_SHARE = 3
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class BenchError(Exception):
    """A command did not do what its row is about."""


class NotMeasuredError(Exception):
    """A row cannot be measured here; the text says why."""


# -- processes --------------------------------------------------------------------------------------------------

# Linux counts what a process held before exec into its peak, so each command starts from a bare interpreter and not
# from this one.  It says: seconds, exit status, peak RSS in KiB, 512-byte blocks read from disk.
_LAUNCHER = """
import os, sys, time
begin = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
                      file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - begin, os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_inblock)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One process, or pipeline of them: wall seconds, bytes at its peak, bytes it had read from disk."""

    seconds: float
    peak: int
    disk: int


def run(command: Sequence[str], status: int = 0) -> Run:
    """Run `command` with its output thrown away.  Raises BenchError unless it exits with `status`."""
    outer = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(outer, capture_output=True, text=True, env=_environment(command), check=False)
    seconds, found, peak, blocks = done.stdout.split() or ("0", "none", "0", "0")
    if found != str(status):
        shown = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(f"{' '.join(command)}: exit status {found}, {status} expected: {shown[0]}")
    return Run(float(seconds), int(peak) * KIB, int(blocks) * 512)


def _environment(command: Sequence[str]) -> dict[str, str]:
    # What is installed has its bytecode, so what is measured gets it too.
    found = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    script = peers.find_script()
    modules = peers.script_modules(script) if script is not None and command[0] == script else _ROOT
    found["PYTHONPATH"] = os.pathsep.join(filter(None, (modules, os.environ.get("PYTHONPATH"))))
    return found


def _installed(name: str, module: str) -> list[str]:
    path = os.path.join(os.path.dirname(sys.executable), name)
    return [path] if os.path.exists(path) else [sys.executable, "-m", module]


def _ours(name: str) -> list[str]:
    return _installed(name, {"streamfmt": "streamfmt", "verify-stream-v2": "streamfmt.cli.verify_stream_v2"}[name])


def _before(path: str, name: str) -> list[str]:
    try:
        return [before.command(os.path.join(os.path.dirname(path), f"before-{before.COMMIT}"), name)]
    except before.MissingError as error:
        raise NotMeasuredError(str(error)) from None


def _script(path: str, form: str = "libxc") -> list[str]:
    script = peers.find_script()
    if script is None:
        raise NotMeasuredError("verify-stream-v2 is not installed (make peers)")
    return [script, "-q", "-f", form, "-i", path]


# Our own commands, by the script and the arguments that they are made of.
_OWN: dict[str, tuple[str, Callable[[list[str], str], list[str]]]] = {
    "verify": ("streamfmt", lambda ours, path: [*ours, "verify", "-q", path]),
    "cat | verify": ("streamfmt", lambda ours, path: ["sh", "-c", 'cat "$0" | "$@"', path, *ours, "verify", "-q", "-"]),
    "stand-in": ("verify-stream-v2", lambda ours, path: [*ours, "-q", "-i", path]),
    # A pipeline's exit status is its last command's; a tee that fails takes the shell with it.
    "cat | tee | cat": (
        "streamfmt",
        lambda ours, path: ["sh", "-c", '{ cat "$0" | "$@" || kill $$; } | cat', path, *ours, "tee", "-q"],
    ),
    "build": ("streamfmt", lambda ours, path: [*ours, "build", f"{path}.toml", "-o", f"{path}.out"]),
}
_BEFORE = "before: "


def _now(verb: str) -> Callable[[str], list[str]]:
    name, make = _OWN[verb]
    return lambda path: make(_ours(name), path)


def _then(verb: str) -> Callable[[str], list[str]]:
    name, make = _OWN[verb]
    return lambda path: make(_before(path, name), path)


COMMANDS: dict[str, Callable[[str], list[str]]] = {
    **{verb: _now(verb) for verb in _OWN},
    **{_BEFORE + verb: _then(verb) for verb in _OWN},
    "script": _script,
    "script -f xl": lambda path: _script(path, "xl"),
    "cp": lambda path: ["cp", path, f"{path}.out"],
    "cat": lambda path: ["cat", path],
    "cat | cat": lambda path: ["sh", "-c", 'cat "$0" | cat', path],
    "cat | cat | cat": lambda path: ["sh", "-c", 'cat "$0" | cat | cat', path],
    "python": lambda _: [sys.executable, "-c", "pass"],
}


# -- what is measured -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """A number read off each pair, and what it may be at most (at least, with `floor`).

    `side` is what the number is made of, on either side.  Where start-up would spoil it, `any_size` is False: then
    its budget is judged on samples of full size only.  `per_page` is added to the budget for each page.
    """

    name: str
    unit: str
    budget: float
    of: Callable[[Run, Run, int], float]
    side: str = "seconds"
    floor: bool = False
    any_size: bool = False
    per_page: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A pair of commands, each with the sample it is given.  `weight` times --runs pairs are run, one at least.

    With `memory` the sample lies on a tmpfs, and what the commands write there is removed before each of them.
    """

    key: str
    about: str
    ours: tuple[str, str]
    other: tuple[str, str]
    figures: tuple[Figure, ...]
    weight: float = 1.0
    cold: bool = False
    memory: bool = False
    status: int = 0


def _ratio(budget: float) -> Figure:
    return Figure("time", "x", budget, lambda a, b, _: a.seconds / b.seconds)


def _memory(per_page: float = 0.0) -> Figure:
    return Figure(
        "memory", "MiB", 8.0, lambda a, b, _: (a.peak - b.peak) / MIB, "peak", any_size=True, per_page=per_page
    )


def _at_once(budget: float) -> Figure:
    return Figure("time", "x", budget, lambda a, b, _: a.seconds / b.seconds, any_size=True)


_DISK = Figure("disk", "MiB", 16.0, lambda a, b, _: a.disk / MIB, "disk", any_size=True)
_EXTRA = Figure("start", "ms", 8.0, lambda a, b, _: (a.seconds - b.seconds) * 1e3, any_size=True)
_RATE = Figure(
    "rate",
    "M/s",
    4.0,
    lambda a, b, size: size / tables.RUN_BARE_SIZE / 1e6 / max(a.seconds - b.seconds, 1e-6),
    floor=True,
)
_WHOLE = Figure("time", "s", 30.0, lambda a, b, _: a.seconds)

# Name of the sample: its kind, and its size (None for the size asked for).
SAMPLES: dict[str, tuple[str, int | None]] = {
    "hvm": ("hvm", None),
    "xl": ("xl", None),
    "pv": ("pv", None),
    "single": ("single", 256 * MIB),
    "bare": ("bare", 64 * MIB),
    "tiny": ("bare", 64),
    "context": ("context", 128 * MIB),
    "built": ("xl", None),
    "small": ("small", 64 * KIB),
    **{name: (name, 64 * MIB) for name in generate.BAD},
}
_ROWS = (
    Row("hvm-script", "HVM, warm / verify-stream-v2", ("verify", "hvm"), ("script", "hvm"), (_ratio(0.12),)),
    Row("hvm-cat", "HVM, warm / cat >/dev/null", ("verify", "hvm"), ("cat", "hvm"), (_ratio(0.25),)),
    Row("hvm-pipe", "HVM through a pipe / cat | cat", ("cat | verify", "hvm"), ("cat | cat", "hvm"), (_ratio(1.0),)),
    Row(
        "hvm-tee",
        "HVM, cat | tee | cat / cat | cat | cat",
        ("cat | tee | cat", "hvm"),
        ("cat | cat | cat", "hvm"),
        (_ratio(1.1),),
    ),
    Row("hvm-memory", "HVM / bare interpreter", ("verify", "hvm"), ("python", ""), (_memory(),), 0.5),
    Row(
        "hvm-cold",
        "HVM, cold cache / verify-stream-v2",
        ("verify", "hvm"),
        ("script", "hvm"),
        (_ratio(0.10), _DISK),
        0.5,
        cold=True,
    ),
    Row("xl-script", "HVM in an xl file / verify-stream-v2", ("verify", "xl"), ("script -f xl", "xl"), (_ratio(0.12),)),
    Row("xl-cat", "HVM in an xl file / cat >/dev/null", ("verify", "xl"), ("cat", "xl"), (_ratio(0.25),)),
    Row("xl-memory", "HVM in an xl file / bare interpreter", ("verify", "xl"), ("python", ""), (_memory(),), 0.5),
    Row("pv-script", "PV, warm / verify-stream-v2", ("verify", "pv"), ("script", "pv"), (_ratio(0.25),)),
    Row("pv-cat", "PV, warm / cat >/dev/null", ("verify", "pv"), ("cat", "pv"), (_ratio(0.5),)),
    Row("pv-memory", "PV / bare interpreter", ("verify", "pv"), ("python", ""), (_memory(1 / MIB),), 0.5),
    Row(
        "single", "of one-page records / verify-stream-v2", ("verify", "single"), ("script", "single"), (_ratio(0.25),)
    ),
    Row("bare", "of 24-byte records / two of them", ("verify", "bare"), ("verify", "tiny"), (_RATE,)),
    Row(
        "context",
        "of vcpus in HVM_CONTEXT / bare interpreter",
        ("verify", "context"),
        ("python", ""),
        (_memory(),),
        0.5,
    ),
    *(
        Row(
            name,
            f"of records against {clause} / bare interpreter",
            ("verify", name),
            ("python", ""),
            (_WHOLE, _memory()),
            weight=0,
            status=int(tables.SEVERITY[clause] == "error"),
        )
        for name, (clause, _, _) in generate.BAD.items()
    ),
    Row("build", "HVM on tmpfs, build / cp", ("build", "built"), ("cp", "built"), (_ratio(1.3),), memory=True),
    Row("small", "HVM guest / verify-stream-v2", ("verify", "small"), ("script", "small"), (_at_once(0.75),), 4),
    Row(
        "stand-in", "HVM guest, ours / verify-stream-v2", ("stand-in", "small"), ("script", "small"), (_ratio(1.0),), 4
    ),
    Row("start", "HVM guest / python -c pass", ("verify", "small"), ("python", ""), (_EXTRA,), 4),
)
# Floods are to take a tenth of what they took, and nothing more than it did: a twentieth is within what timings vary.
_FLOODS = ("bad-reserved", "bad-unknown", "bad-type")


def _against_before(row: Row) -> Row:
    """The same command held against what it was."""
    verb, sample = row.ours
    about = f"{row.about.rpartition(' / ')[0]} / at {before.COMMIT}"
    figure = _at_once(0.10 if sample in _FLOODS else 1.05)
    other = (_BEFORE + verb, sample)
    key = f"before-{row.key.removesuffix('-script')}"
    return Row(key, about, row.ours, other, (figure,), row.weight, memory=row.memory, status=row.status)


# Each command with each sample once.
ROWS = (
    *_ROWS,
    *map(_against_before, reversed({row.ours: row for row in reversed(_ROWS) if not row.cold}.values())),
)


# -- samples ----------------------------------------------------------------------------------------------------


class Samples:
    """Sample files in a directory that is gone afterwards; only those still wanted take up room."""

    def __init__(self, folder: str, size: int, rows: Sequence[Row], memory: str = "") -> None:
        self._folder = folder
        self._size = size
        self._memory = memory
        self._in_memory = {name for row in rows if row.memory for _, name in (row.ours, row.other)}
        self._room = shutil.disk_usage(memory).free // _SHARE // MIB * MIB if memory else 0
        self._wanted = [name for row in rows for _, name in (row.ours, row.other)]

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
        if name and not os.path.exists(self.path(name)):
            say(f"writing {name}, {human(self.size(name))}")
            generate.write(SAMPLES[name][0], self.path(name), self.size(name))
            if name in self._in_memory:
                with open(f"{self.path(name)}.toml", "w", encoding="utf-8") as file:
                    file.write(generate.RECIPES[SAMPLES[name][0]](self.size(name)))

    def done(self, row: Row) -> None:
        """Remove what no later row wants."""
        for _, name in (row.ours, row.other):
            self._wanted.remove(name)
            if name in self._in_memory and not self._room:
                continue
            if name and name not in self._wanted and os.path.exists(self.path(name)):
                os.unlink(self.path(name))


def drop(path: str) -> None:
    """Make the kernel forget a file's content.  Raises NotMeasuredError where it does not."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(fd, 0) as area:
            pages = (ctypes.c_ubyte * -(-len(area) // mmap.PAGESIZE))()
            start = ctypes.c_char.from_buffer(area)
            failed = ctypes.CDLL(None).mincore(ctypes.byref(start), ctypes.c_size_t(len(area)), pages)
            del start  # an area somebody points into cannot be closed
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
    budget: float = 0.0


def measure(row: Row, samples: Samples, runs: int) -> list[Result]:
    """Run a row's pairs.  Raises BenchError."""
    sample = row.ours[1]
    try:
        pairs = _pairs(row, samples, max(1, round(runs * row.weight)))
    except NotMeasuredError as reason:
        return [Result(row, f"not measured: {reason}")]
    size = samples.size(sample)
    results = []
    for figure in row.figures:
        values = tuple(figure.of(ours, other, size) for ours, other in pairs)
        budget = figure.budget + figure.per_page * (size // tables.PAGE_SIZE)
        met = median(values) >= budget if figure.floor else median(values) <= budget
        verdict = "ok" if met else "MISSED"
        if not figure.any_size and not samples.whole(sample):
            verdict = TOO_SMALL
        results.append(Result(row, verdict, figure, size, pairs, values, budget))
    return results


def _pairs(row: Row, samples: Samples, runs: int) -> tuple[tuple[Run, Run], ...]:
    sides = ((row.ours, row.status), (row.other, row.status if row.other[0].startswith(_BEFORE) else 0))
    commands = [(COMMANDS[verb](samples.path(name)), samples.path(name), status) for (verb, name), status in sides]
    for (_, name), _ in sides:
        samples.make(name)
    # The first pair warms the caches, except where they are to be cold or a single run is all there is time for.
    warm_up = int(not row.cold and row.weight > 0)
    pairs = []
    for number in range(warm_up + runs):
        say(f"{row.key}: {number + 1} of {warm_up + runs}")
        pair = []
        for command, path, status in commands:
            if row.cold:
                drop(path)
            if row.memory:
                # Both write pages that were not allocated before.
                _remove(f"{path}.out")
            pair.append(run(command, status))
        pairs.append((pair[0], pair[1]))
    if row.memory:
        _remove(f"{samples.path(row.ours[1])}.out")
    return tuple(pairs[warm_up:])


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


# -- output -----------------------------------------------------------------------------------------------------

_LINE = "{:<19} {:<6} {:>9} {:>9} {:>10} {:>17} {:>9} {:<9}  {}"
HEADING = _LINE.format("row", "figure", "A", "B", "median", "min-max", "budget", "verdict", "what: A / B")
TOO_SMALL = "too small"


def line(result: Result) -> str:
    """A result as a line of the table."""
    row, figure = result.row, result.figure
    if figure is None:
        return f"{row.key:<19} {result.verdict}"
    sides = [median(getattr(pair[side], figure.side) for pair in result.pairs) for side in (0, 1)]
    return _LINE.format(
        row.key,
        figure.name,
        *(f"{value:.3f} s" if figure.side == "seconds" else f"{value / MIB:.1f} MiB" for value in sides),
        f"{median(result.values):.3f} {figure.unit}",
        f"{min(result.values):.3f}-{max(result.values):.3f}",
        f"{'>=' if figure.floor else '<='} {result.budget:g}",
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
