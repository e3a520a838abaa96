"""``python -m streamfmt.bench``: what to measure, and the table or JSON of what came out.

The exit status does not judge timings: it is 0 when all that can be measured here has been, 1 when a command failed,
2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack

from . import engine_run
from .colo_rows import COLO
from .engine_rows import MOVES, MoveRow
from .process import BenchError
from .remus_rows import REMUS
from .rows import MIB, ROWS, Row
from .run import FULL, HEADING, MEMORY, QUICK, TOO_SMALL, UNITS, Result, Samples, as_dict, human, line, measure, say

ALL: tuple[Row | MoveRow, ...] = (*ROWS, *MOVES, *REMUS, *COLO)


def size_of(text: str) -> int:
    """Bytes of a size such as 4G or 256M."""
    found = re.fullmatch(r"(\d+)([KMG]?)(iB|B)?", text, re.IGNORECASE)
    size = int(found[1]) * UNITS[found[2].upper()] if found else 0
    if size < MIB:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size of at least 1M")
    return size


def rows_of(text: str) -> list[Row | MoveRow]:
    """The rows whose names are given, in the table's order; a name may be the beginning of several."""
    names = text.split(",")
    for name in names:
        if not any(row.key.startswith(name) for row in ALL):
            raise argparse.ArgumentTypeError(f"there is no row {name!r}; there are {', '.join(row.key for row in ALL)}")
    return [row for row in ALL if any(row.key.startswith(name) for name in names)]


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m streamfmt.bench",
        description="Measure this project against its budgets: whole processes, paired runs, medians.",
        epilog="rows: " + ", ".join(row.key for row in ALL),
    )
    parser.add_argument("--size", type=size_of, default=FULL, help="memory of the large guests (default: 4G)")
    parser.add_argument("--quick", action="store_const", const=QUICK, dest="size", help="the same as --size 256M")
    parser.add_argument("--dir", default="/var/tmp", help="where the samples are kept meanwhile (default: /var/tmp)")
    parser.add_argument("--rows", type=rows_of, default=list(ALL), help="rows to measure, separated by commas")
    parser.add_argument("--runs", type=int, default=5, help="pairs that count in each row (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(words)
    if not os.path.isdir(arguments.dir):
        parser.error(f"--dir {arguments.dir} is not a directory")
    return arguments


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    arguments = _arguments(words)
    # However it is stopped, the samples are to go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    room = min(shutil.disk_usage(arguments.dir).free, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) // 2
    size = min(arguments.size, room)
    results: list[Result | engine_run.MoveResult] = []
    if not arguments.json:
        if size < arguments.size:
            print(f"sizes are scaled down to {human(size)}: half of what is free in {arguments.dir} or in memory")
        print(HEADING)
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="streamfmt-bench-", dir=arguments.dir))
            memory = ""
            if any(row.memory for row in arguments.rows) and os.access(MEMORY, os.W_OK):
                memory = stack.enter_context(tempfile.TemporaryDirectory(prefix="streamfmt-bench-", dir=MEMORY))
            commands = [row for row in arguments.rows if isinstance(row, Row)]
            samples = Samples(folder, size, commands, memory)
            for row in commands:
                found = measure(row, samples, arguments.runs)
                samples.done(row)
                say("")
                results += found
                if not arguments.json:
                    print("\n".join(map(line, found)), flush=True)
            for moves in (row for row in arguments.rows if isinstance(row, MoveRow)):
                moved = engine_run.measure(moves, arguments.runs)
                say("")
                results += moved
                if not arguments.json:
                    print("\n".join(map(engine_run.line, moved)), flush=True)
        if not arguments.json and any(result.verdict == TOO_SMALL for result in results):
            print(f"{TOO_SMALL}: the budget is for the full size, where start-up does not count")
    except (BenchError, OSError) as error:
        say("")
        print(f"streamfmt.bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("")
        print("streamfmt.bench: interrupted", file=sys.stderr)
        return 130
    if arguments.json:
        host = {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}
        found_rows = [as_dict(row) if isinstance(row, Result) else engine_run.as_dict(row) for row in results]
        print(json.dumps({"format": "streamfmt-bench-1"} | host | {"size": size, "rows": found_rows}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
