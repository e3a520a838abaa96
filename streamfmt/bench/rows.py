"""The pairs of commands that are measured, their samples, and the budgets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from .. import tables
from ..conformance import peers
from . import before, generate
from .process import NotMeasuredError, Run

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# -- commands ---------------------------------------------------------------------------------------------------


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
BEFORE = "before: "


def _now(verb: str) -> Callable[[str], list[str]]:
    name, make = _OWN[verb]
    return lambda path: make(_ours(name), path)


def _then(verb: str) -> Callable[[str], list[str]]:
    name, make = _OWN[verb]
    return lambda path: make(_before(path, name), path)


COMMANDS: dict[str, Callable[[str], list[str]]] = {
    **{verb: _now(verb) for verb in _OWN},
    **{BEFORE + verb: _then(verb) for verb in _OWN},
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
    """The same command compared with the earlier one."""
    verb, sample = row.ours
    about = f"{row.about.rpartition(' / ')[0]} / at {before.COMMIT}"
    figure = _at_once(0.10 if sample in _FLOODS else 1.05)
    other = (BEFORE + verb, sample)
    key = f"before-{row.key.removesuffix('-script')}"
    return Row(key, about, row.ours, other, (figure,), row.weight, memory=row.memory, status=row.status)


# Each command with each sample once.
ROWS = (
    *_ROWS,
    *map(_against_before, reversed({row.ours: row for row in reversed(_ROWS) if not row.cold}.values())),
)
