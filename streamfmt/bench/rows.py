"""The pairs of commands that are measured, their samples, and the budgets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from shlex import quote, split
from shutil import which

from .. import tables
from ..conformance import peers
from ..conformance import qemu as peer
from ..errors import MissingPeerError
from ..schema.clauses import CONVERTER, SCRIPT
from . import generate, qemu
from .process import COMMIT, ENTRIES, NotMeasuredError, Run, before

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# -- commands ---------------------------------------------------------------------------------------------------

BEFORE = "before: "
# Xen's scripts, by the words that stand for them.
_SCRIPTS = {"script": SCRIPT, "converter": CONVERTER}
# What feeds a pipe, or takes what comes from one, without a copy: what is measured is what is between them.
_MOVE = quote(sys.executable) + ' -ISc "import os; fd = os.open({}); all(iter(lambda: os.splice({}, 1 << 20), 0))"'
_DRAIN = _MOVE.format("os.devnull, os.O_WRONLY", "0, fd")
_FEED = _MOVE.format("os.sys.argv[1], os.O_RDONLY", "fd, 1") + ' "$0"'
_LOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "qemu_load.py")
_QEMU = "qemu-system-x86_64"
_LEGACY = "-w 64 -g hvm -f libxl"
# The words of each command.  {path} is its sample, and our own commands are these of today or, after BEFORE, those of
# that commit.
COMMANDS = {
    "verify": "streamfmt verify -q {path}",
    "cat | verify": """sh -c 'cat "$0" | "$@"' {path} streamfmt verify -q -""",
    "stand-in": "verify-stream-v2 -q -i {path}",
    # A pipeline's exit status is its last command's; a tee that fails takes the shell with it.
    "cat | tee | cat": """sh -c '{ cat "$0" | "$@" || kill $$; } | cat' {path} streamfmt tee -q""",
    "convert": f"convert-legacy-stream -i {{path}} -o {{path}}.out {_LEGACY}",
    "convert-pv": "convert-legacy-stream -i {path} -o {path}.out -w 64 -g pv -f libxl",
    "convert | drain": f"""sh -c '{{ "$@" || kill $$; }} | {_DRAIN}'
        sh convert-legacy-stream -i {{path}} -o 1 {_LEGACY}""",
    "feed | convert | drain": f"""sh -c '{_FEED} | {{ "$@" || kill $$; }} | {_DRAIN}'
        {{path}} convert-legacy-stream -i 0 -o 1 {_LEGACY}""",
    "converter": f"converter -i {{path}} -o {{path}}.out {_LEGACY}",
    "converter-pv": "converter -i {path} -o {path}.out -w 64 -g pv -f libxl",
    "converter | drain": f"""sh -c '{{ "$@" || kill $$; }} | {_DRAIN}' sh converter -i {{path}} -o 1 {_LEGACY}""",
    "feed | converter | drain": f"""sh -c '{_FEED} | {{ "$@" || kill $$; }} | {_DRAIN}'
        {{path}} converter -i 0 -o 1 {_LEGACY}""",
    "extract": "streamfmt extract {path} emulator",
    "memory": "streamfmt extract --memory raw {path} -o {path}.out",
    # Its file is made in the first pair, which does not count.
    "memory-cp": """sh -c 'test -e "$0.raw" || "$@" -o "$0.raw" >&2; exec cp --sparse=always "$0.raw" "$0.out"'
        {path} streamfmt extract --memory raw {path}""",
    # Their files are made in the first pair, too; cmp would stop where two differ, so it is given equal ones.
    "diff": f"""sh -c 'test -e "$0.b" || {quote(sys.executable)} -m streamfmt.bench.altered "$0" "$0.b"
        exec "$@" -q "$0" "$0.b"' {{path}} streamfmt diff""",
    "cmp": """sh -c 'test -e "$0.c" || cp "$0" "$0.c"; exec cmp "$0" "$0.c"' {path}""",
    "deep": "streamfmt verify -q --deep {path}",
    "salvage": "streamfmt salvage -q {path} {path}.out",
    "scrub": "streamfmt scrub {path} {path}.out",
    "stats": "streamfmt stats {path}",
    "stats-quick": "streamfmt stats --quick {path}",
    # Another value each time.
    "edit": """sh -c '"$@" --set X86_TSC_INFO.khz=$((2000000 + $$)) --in-place' sh streamfmt edit {path}""",
    "rewrap | cat": """sh -c '{ "$@" || kill $$; } | cat' sh
        streamfmt convert -q --container bare --allow-loss {path} -""",
    "build": "streamfmt build {path}.toml -o {path}.out",
    "script": "script -q -f libxc -i {path}",
    "script -f xl": "script -q -f xl -i {path}",
    "cp": "cp {path} {path}.out",
    "cat": "cat {path}",
    "cat | cat": """sh -c 'cat "$0" | cat' {path}""",
    "cat | cat | cat": """sh -c 'cat "$0" | cat | cat' {path}""",
    "python": f"{quote(sys.executable)} -c pass",
    "qemu": f"{quote(sys.executable)} -IS {quote(_LOAD)} {{path}} qemu",
}


def command(name: str, path: str) -> list[str]:
    """A command on the sample at `path`.  Raises NotMeasuredError."""
    found: list[str] = []
    for word in split(COMMANDS[name.removeprefix(BEFORE)]):
        if word in _SCRIPTS:
            script = peers.find_script(name=_SCRIPTS[word])
            if script is None:
                raise NotMeasuredError(f"{_SCRIPTS[word]} is not installed (make peers)")
            found.append(script)
        elif word == "qemu":
            found += _qemu()
        elif word not in ENTRIES:
            found.append(word.replace("{path}", path))
        elif name.startswith(BEFORE):
            found.append(before(os.path.join(os.path.dirname(path), f"before-{COMMIT}"), word))
        else:
            installed = os.path.join(os.path.dirname(sys.executable), word)
            found += [installed] if os.path.exists(installed) else [sys.executable, "-m", ENTRIES[word]]
    return found


def _qemu() -> list[str]:
    """Where QEMU's modules are, and the words that start it: the one that `make peers` brings, else the machine's."""
    with suppress(MissingPeerError):
        return [peer.modules(peer.RELEASE), *peer.program(peer.RELEASE)]
    installed = which(_QEMU)
    if installed is None:
        raise NotMeasuredError(f"{_QEMU} is not installed (make peers)")
    return ["", installed]


# -- what is measured -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """A number read off each pair, and what it may be at most (at least, with `floor`).

    `side` is what the number is made of, on either side.  Where start-up would spoil it, `any_size` is False: then
    its budget is judged on samples of full size only.  `per_page` is added to the budget for each page.  What has no
    budget is measured so that it can be seen to change.
    """

    name: str
    unit: str
    budget: float | None
    of: Callable[[Run, Run, int], float]
    side: str = "seconds"
    floor: bool = False
    any_size: bool = False
    per_page: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A pair of commands and the sample they are given; the other has `beside`, if that is named.

    `weight` times --runs pairs are run, one at least.  With `memory` the sample lies on a tmpfs, and what the commands
    write there is removed before each of them.
    """

    key: str
    about: str
    ours: str
    other: str
    sample: str
    figures: tuple[Figure, ...]
    weight: float = 1.0
    cold: bool = False
    memory: bool = False
    status: int = 0
    beside: str = ""

    @property
    def samples(self) -> tuple[str, str]:
        return self.sample, self.beside or self.sample


def _ratio(budget: float | None, any_size: bool = False) -> Figure:
    return Figure("time", "x", budget, lambda a, b, _: a.seconds / b.seconds, any_size=any_size)


def _memory(per_page: float = 0.0, budget: float = 8.0) -> Figure:
    return Figure("memory", "MiB", budget, lambda a, b, _: (a.peak - b.peak) / MIB, "peak", False, True, per_page)


_DISK = Figure("disk", "MiB", 16.0, lambda a, b, _: a.disk / MIB, "disk", any_size=True)
_EXTRA = Figure("start", "ms", 8.0, lambda a, b, _: (a.seconds - b.seconds) * 1e3, any_size=True)
_MORE = replace(_EXTRA, name="more", budget=2.0)
_RATE = Figure(
    "rate", "M/s", 4.0, lambda a, b, n: n / tables.RUN_BARE_SIZE / 1e6 / max(a.seconds - b.seconds, 1e-6), floor=True
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
    "guest": ("hvm", None),
    "two": ("hvm", None),
    "old": ("legacy", None),
    "old-pv": ("legacy-pv", None),
    "damaged": ("damaged", None),
    "small": ("small", 64 * KIB),
    **{kind: (kind, None) for kind in qemu.SAMPLES},
    "state": ("state", 64 * KIB),
    **{name: (name, 64 * MIB) for name in generate.BAD},
}
_ROWS = (
    Row("hvm-script", "HVM, warm / verify-stream-v2", "verify", "script", "hvm", (_ratio(0.12),)),
    Row("hvm-cat", "HVM, warm / cat >/dev/null", "verify", "cat", "hvm", (_ratio(0.25),)),
    Row("hvm-pipe", "HVM through a pipe / cat | cat", "cat | verify", "cat | cat", "hvm", (_ratio(1.0),)),
    Row(
        "hvm-tee", "HVM, cat | tee | cat / cat | cat | cat", "cat | tee | cat", "cat | cat | cat", "hvm", (_ratio(1.1),)
    ),
    Row("hvm-memory", "HVM / bare interpreter", "verify", "python", "hvm", (_memory(),), 0.5),
    Row(
        "hvm-cold",
        "HVM, cold cache / verify-stream-v2",
        "verify",
        "script",
        "hvm",
        (_ratio(0.10), _DISK),
        0.5,
        cold=True,
    ),
    Row("xl-script", "HVM in an xl file / verify-stream-v2", "verify", "script -f xl", "xl", (_ratio(0.12),)),
    Row("xl-cat", "HVM in an xl file / cat >/dev/null", "verify", "cat", "xl", (_ratio(0.25),)),
    Row("xl-memory", "HVM in an xl file / bare interpreter", "verify", "python", "xl", (_memory(),), 0.5),
    Row("pv-script", "PV, warm / verify-stream-v2", "verify", "script", "pv", (_ratio(0.25),)),
    Row("pv-cat", "PV, warm / cat >/dev/null", "verify", "cat", "pv", (_ratio(0.5),)),
    Row("pv-memory", "PV / bare interpreter", "verify", "python", "pv", (_memory(1 / MIB),), 0.5),
    Row("single", "of one-page records / verify-stream-v2", "verify", "script", "single", (_ratio(0.25),)),
    Row("bare", "of 24-byte records / two of them", "verify", "verify", "bare", (_RATE,), beside="tiny"),
    Row("context", "of vcpus in HVM_CONTEXT / bare interpreter", "verify", "python", "context", (_memory(),), 0.5),
    *(
        Row(
            name,
            f"of records against {clause} / bare interpreter",
            "verify",
            "python",
            name,
            (_WHOLE, _memory()),
            weight=0,
            status=int(tables.SEVERITY[clause] == "error"),
        )
        for name, (clause, _, _) in generate.BAD.items()
    ),
    Row("build", "HVM on tmpfs, build / cp", "build", "cp", "built", (_ratio(1.3),), memory=True),
    Row(
        "convert",
        "legacy HVM, file to file / convert-legacy-stream",
        "convert",
        "converter",
        "old",
        (_ratio(0.9),),
        memory=True,
    ),
    Row("convert-cp", "legacy HVM, file to file / cp", "convert", "cp", "old", (_ratio(1.15),), memory=True),
    Row(
        "convert-pipe",
        "legacy HVM, file to pipe / convert-legacy-stream",
        "convert | drain",
        "converter | drain",
        "old",
        (_ratio(0.25),),
        memory=True,
    ),
    Row(
        "convert-pipes",
        "legacy HVM, pipe to pipe / convert-legacy-stream",
        "feed | convert | drain",
        "feed | converter | drain",
        "old",
        (_ratio(0.35),),
        memory=True,
    ),
    Row("convert-memory", "legacy HVM / bare interpreter", "convert", "python", "old", (_memory(),), 0.5, memory=True),
    Row(
        "convert-pv",
        "legacy PV, file to file / convert-legacy-stream",
        "convert-pv",
        "converter-pv",
        "old-pv",
        (_ratio(0.9),),
        memory=True,
    ),
    Row(
        "convert-pv-memory",
        "legacy PV / bare interpreter",
        "convert-pv",
        "python",
        "old-pv",
        (_memory(1 / MIB),),
        0.5,
        memory=True,
    ),
    Row("extract", "xl file, QEMU's state / cat >/dev/null", "extract", "cat", "xl", (_ratio(0.1),)),
    Row("edit", "xl file, a field in place / cat >/dev/null", "edit", "cat", "xl", (_ratio(0.1),)),
    Row("rewrap", "xl file, made bare to a pipe / cat | cat", "rewrap | cat", "cat | cat", "xl", (_ratio(0.6),)),
    Row("extract-memory", "xl file, QEMU's state / bare interpreter", "extract", "python", "xl", (_memory(),), 0.5),
    Row("edit-memory", "xl file, a field in place / bare interpreter", "edit", "python", "xl", (_memory(),), 0.5),
    Row(
        "memory", "HVM's memory, raw / cp --sparse=always", "memory", "memory-cp", "guest", (_ratio(1.3),), memory=True
    ),
    Row(
        "memory-memory",
        "HVM's memory, raw / bare interpreter",
        "memory",
        "python",
        "guest",
        (_memory(8 / MIB, 16.0),),
        0.5,
        memory=True,
    ),
    Row("qemu-cat", "QEMU's stream of whole pages / cat >/dev/null", "verify", "cat", "qemu", (_ratio(1.2),)),
    Row("qemu-memory", "the same / bare interpreter", "verify", "python", "qemu", (_memory(budget=16.0),), 0.5),
    Row("qemu-zero", "QEMU's stream of zero pages / QEMU", "verify", "qemu", "qemu-zero", (_ratio(0.2),)),
    Row("qemu-mapped", "QEMU's mapped-ram / cat >/dev/null", "verify", "cat", "qemu-mapped", (_ratio(0.05),)),
    # Where cat is fast the interpreter's own start takes more than that budget: this is what comes on top of it.
    Row("qemu-mapped-start", "QEMU's mapped-ram / python -c pass", "verify", "python", "qemu-mapped", (_EXTRA,), 4),
    Row(
        "salvage",
        "HVM, bytes between its records / cp",
        "salvage",
        "cp",
        "damaged",
        (_ratio(None),),
        memory=True,
        status=1,
    ),
    Row(
        "salvage-memory",
        "HVM, the same / bare interpreter",
        "salvage",
        "python",
        "damaged",
        (_memory(8 / MIB, 16.0),),
        0.5,
        memory=True,
        status=1,
    ),
    Row("scrub", "HVM, nothing private / cat >/dev/null", "scrub", "cat", "guest", (_ratio(None),), memory=True),
    Row(
        "scrub-memory",
        "HVM, the same / bare interpreter",
        "scrub",
        "python",
        "guest",
        (_memory(0, 16.0),),
        0.5,
        memory=True,
    ),
    Row("stats", "HVM, numbers and contents / cat >/dev/null", "stats", "cat", "hvm", (_ratio(None),), 0),
    Row("stats-quick", "HVM, numbers alone / cat >/dev/null", "stats-quick", "cat", "hvm", (_ratio(None),)),
    Row(
        "stats-memory",
        "HVM, numbers and contents / bare interpreter",
        "stats",
        "python",
        "hvm",
        (_memory(8 / MIB, 16.0),),
        0,
    ),
    Row("payloads", "HVM guest, verify --deep / verify", "deep", "verify", "state", (_MORE,), 8),
    Row("diff", "HVM, 1 % of pages differ / cmp", "diff", "cmp", "two", (_ratio(2.2),), memory=True, status=1),
    Row(
        "diff-memory",
        "HVM, 1 % of pages differ / bare interpreter",
        "diff",
        "python",
        "two",
        (_memory(16 / MIB, 16.0),),
        0.5,
        memory=True,
        status=1,
    ),
    Row("small", "HVM guest / verify-stream-v2", "verify", "script", "small", (_ratio(0.75, any_size=True),), 4),
    Row("stand-in", "HVM guest, ours / verify-stream-v2", "stand-in", "script", "small", (_ratio(1.0),), 4),
    Row("start", "HVM guest / python -c pass", "verify", "python", "small", (_EXTRA,), 4),
)
# Floods are to take a tenth of what they took, and nothing more than it did: a twentieth is within what timings vary.
_FLOODS = ("bad-reserved", "bad-unknown", "bad-type")


def _against_before(row: Row) -> Row:
    """The same command compared with the earlier one."""
    about = f"{row.about.rpartition(' / ')[0]} / at {COMMIT}"
    figure = _ratio(0.10 if row.sample in _FLOODS else 1.05, any_size=True)
    key = f"before-{row.key.removesuffix('-script')}"
    return replace(row, key=key, about=about, other=BEFORE + row.ours, figures=(figure,), beside="")


# What there was at that commit.
OLD = frozenset(("verify", "cat | verify", "stand-in", "cat | tee | cat", "build"))
# What it could not read.
NEW = frozenset(qemu.SAMPLES)
# Each command with each sample once.
_HELD = {(r.ours, r.sample): r for r in reversed(_ROWS) if not r.cold and r.ours in OLD and r.sample not in NEW}
ROWS = (*_ROWS, *map(_against_before, reversed(_HELD.values())))
