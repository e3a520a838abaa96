"""Test a stream reader with generated streams: does it crash, hang, or disagree
with the format?

Inputs are valid streams and broken ones; those on which the target fails are minimised.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from contextlib import contextmanager, suppress

from ..conformance.target import OURS
from ..io.sources import reason
from ..reader.registry import ALIASES, FORMS
from .inputs import complain, say
from .parser import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..conformance.target import Spec
    from ..fuzz.running import Run, Summary

_FORMS = (*FORMS, *ALIASES)
EXAMPLES = """targets:
  A command gets the stream's bytes on standard input or, if a word contains
  {}, in a file of that name; {form}, {mode} and {guest} stand for what the
  stream is.  Exit status 0 accepts, any other rejects.
  python:module.function is called with the bytes.  None, True and 0 accept;
  other results, ValueError, OSError and EOFError reject.

examples:
  streamfmt fuzz --target './my-reader --check'
  streamfmt fuzz --target './my-reader {} --mode {mode}' --as libxl --time 10m
  streamfmt fuzz --target python:mine.read --against ./old-reader --seed 7
  streamfmt fuzz --target ./my-reader --against none

exit status: 0 no failure; 1 failures, which are in the output directory;
2 wrong usage; 3 the target cannot be run, the directory cannot be written,
or nothing was tried; 128 + the signal's number (130 for Ctrl-C) if it was
interrupted and had found no failure
"""
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
# The system takes no longer ones: milliseconds in 31 bits.
_LONGEST = 500 * 3600
_DEFAULT_TIME = 60.0
# Each has some 100 MiB of its own.
_MOST_JOBS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", required=True, metavar="CMD|python:M.F", type=_spec, help="what to test")
    parser.add_argument(
        "--against",
        metavar="CMD|python:M.F|none",
        type=_against,
        default=OURS,
        help="what to compare its verdicts with (default: the format, as streamfmt knows it)",
    )
    parser.add_argument(
        "--as", dest="form", metavar="FORM", choices=_FORMS, help=f"generate only streams of one of {', '.join(_FORMS)}"
    )
    parser.add_argument(
        "--time", metavar="TIME", type=_time, help="how long, such as 90s, 10m or 1h (default: 1m, or --count alone)"
    )
    parser.add_argument("--count", metavar="N", type=_positive, help="stop after this many inputs")
    parser.add_argument(
        "--failures",
        metavar="N",
        type=_positive,
        default=100,
        help="stop after this many different failures (default: 100)",
    )
    parser.add_argument("--seed", metavar="N", type=whole, help="the same seed and --jobs give the same inputs")
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_jobs,
        help=f"how many processes (default: one per core; {_MOST_JOBS} at most, or 4 per core)",
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=_time,
        default=10.0,
        help="time after which a target counts as hung (default: 10s)",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=_text,
        default="fuzz-findings",
        help="where failures go (default: fuzz-findings)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; streamfmt help json describes it")


def run(args: argparse.Namespace) -> int:
    try:
        import hypothesis  # noqa: F401 - this says whether it is there; processes of their own use it
    except ImportError:
        say("streamfmt fuzz needs the extra: pip install 'streamfmt[fuzz]'")
        return 2
    from tempfile import TemporaryFile

    from ..fuzz.reports import save
    from ..fuzz.running import Summary
    from ..fuzz.running import run as search

    asked = _asked(args)
    created = not os.path.isdir(args.output)
    try:
        # Now, and not after an hour.
        os.makedirs(args.output, exist_ok=True)
        with TemporaryFile(dir=args.output):
            pass
    except OSError as error:
        if args.json:
            _report(Summary(args.failures, unwritable=error), asked, args)
        return _unwritable(args.output, error)
    try:
        with _status(asked) as update:
            summary = search(asked, lambda failure: save(failure, args.output), update)
    finally:
        if created:
            with suppress(OSError):  # something is in it
                os.rmdir(args.output)
    if args.json or summary.inputs or summary.failures or not summary.unrunnable:
        _report(summary, asked, args)
    for problem in summary.problems:
        print(f"streamfmt: internal error, please report it:\n{problem}", file=sys.stderr, end="")
    if summary.unwritable:
        return _unwritable(args.output, summary.unwritable)
    if summary.error and not summary.problems:
        say(f"streamfmt fuzz: error: {summary.error}")
    return summary.status


def _asked(args: argparse.Namespace) -> Run:
    from ..fuzz.running import Run

    seconds = args.time
    if seconds is None and args.count is None:
        seconds = _DEFAULT_TIME
    jobs = args.jobs or _cores()
    seed = int.from_bytes(os.urandom(4)) if args.seed is None else args.seed
    return Run(args.target, args.against, seconds, args.count, seed, jobs, args.timeout, args.failures, args.form)


def _report(summary: Summary, asked: Run, args: argparse.Namespace) -> None:
    from ..fuzz.reports import as_dict, ending, in_order, text

    if args.json:
        from json import dumps

        print(dumps(as_dict(summary, asked, args.output)))
        return
    for failure in in_order(summary):
        print(text(failure, args.output))
    print(ending(summary, asked, args.output))


# -- arguments ------------------------------------------------------------------------------------------------


def _text(text: str) -> str:
    # Reports and the commands in them are text.
    if text.encode(errors="ignore").decode() != text:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8")
    return text


def _spec(text: str) -> Spec:
    from ..conformance.target import parse
    from ..errors import SpecError

    try:
        return parse(_text(text))
    except SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _against(text: str) -> Spec | None:
    return None if text == "none" else _spec(text)


def _time(text: str) -> float:
    found = _TIME.fullmatch(text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of at most 500h; write 90s, 10m or 1h")
    return seconds


def _positive(text: str) -> int:
    if not whole(text):
        raise argparse.ArgumentTypeError("it must be at least 1")
    return int(text)


def _jobs(text: str) -> int:
    jobs, most = _positive(text), max(_MOST_JOBS, 4 * _cores())
    if jobs > most:
        raise argparse.ArgumentTypeError(f"{jobs:,} processes are too many; the limit here is {most:,}")
    return jobs


def _cores() -> int:
    return len(os.sched_getaffinity(0))


# -- the directory --------------------------------------------------------------------------------------------


def _unwritable(directory: str, error: OSError) -> int:
    complain(directory, f"cannot write: {reason(error)}")
    return 3


# -- the status line ------------------------------------------------------------------------------------------


@contextmanager
def _status(asked: Run) -> Iterator[Callable[[Summary], None] | None]:
    """One line on standard error, on terminals only: inputs, how many a second, failures, time left."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import TextColumn

    from .line import Line

    line = Line(TextColumn("{task.description}", markup=False))
    line.update(description="starting")
    try:
        yield lambda summary: line.update(description=_said(asked, summary))
    finally:
        line.end()


def _said(asked: Run, summary: Summary) -> str:
    rate = summary.inputs / summary.seconds if summary.seconds else 0.0
    parts = [f"{summary.inputs:,} inputs", f"{rate:,.0f}/s", f"failures: {len(summary.failures)}"]
    if asked.seconds is not None:
        left = round(asked.seconds - summary.seconds)
        parts.append(f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left" if left > 0 else "finishing")
    if asked.count is not None:
        parts.append(f"{max(0, asked.count - summary.inputs):,} inputs left")
    return "  ".join(parts)
