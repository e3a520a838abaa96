"""Judge streams against every rule that a stream alone can show.

Each breach is a finding: what, where, why, and what to do.  The last line of each file is its verdict.
"""

from __future__ import annotations

import sys

from .. import tables
from ..checks.findings import IGNORED
from ..checks.layer import MODES
from ..checks.outcome import NOT_JUDGED, Outcome, ignored
from ..checks.verifier import NO_TARGETS, Verifier
from ..reader.reader import Reader
from ..render.text import (
    abstained_lines,
    clause_lines,
    extent_lines,
    finding_lines,
    summary,
    times,
    totals,
    variant_lines,
)
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any, TextIO

    from ..render.reports import Report
    from .inputs import Job

EXAMPLES = """examples:
  streamfmt verify guest.sav
  ssh host xl save -c guest /dev/stdout | streamfmt verify -
  streamfmt verify --strict --json *.sav.zst
  streamfmt verify backup.xva /backup/saves.tar.gz/guest.sav
  streamfmt verify --target qemu-11.1 /var/lib/xen/qemu-save.3
  streamfmt verify main.bin --channels channel0.bin channel1.bin
  streamfmt verify --ignore 'LIBXC-*-ORDER' --format junit *.sav >results.xml

exit status: 0 all conform; 1 one does not, or was not judged; 2 wrong usage;
3 one could not be read; 130 interrupted, 143 terminated
"""
_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[36m", "good": "\x1b[1;32m"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_files(parser)
    parser.add_argument(
        "--exact", action="store_true", help="read no byte past END, for a descriptor that others read on from"
    )
    parser.add_argument(
        "--channels",
        metavar="FILE",
        nargs="+",
        default=[],
        help="the channels of the QEMU migration with multifd whose main stream FILE is: they are judged together",
    )
    add_judging(parser)
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="text (default), or a report for other programs"
    )
    parser.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="json",
        help="the same as --format json, one object per line",
    )


def add_judging(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how to judge, and how much to print."""
    parser.add_argument("--mode", choices=MODES, default="auto", help="what the sender was asked for (default: infer)")
    parser.add_argument(
        "--target",
        metavar="PROGRAM-RELEASE",
        type=_target,
        action="append",
        default=[],
        help="warn of what this release would refuse or lose: qemu-11.1, with a machine type if need be "
        "(qemu-11.1:pc-i440fx-10.0)",
    )
    parser.add_argument("--strict", action="store_true", help="treat warnings as errors")
    parser.add_argument(
        "--deep", action="store_true", help="check page tables, processor and device state, and XVA checksums, too"
    )
    add_ignore(parser)
    much = parser.add_mutually_exclusive_group()
    much.add_argument("-q", "--quiet", action="store_true", help="print verdicts only")
    much.add_argument("--summary", action="store_true", help="print a line for each rule that is broken")
    much.add_argument("--all", action="store_true", help="list each breach, up to 100 of a rule")


def add_ignore(parser: argparse.ArgumentParser) -> None:
    """The argument that says which rules do not matter."""
    parser.add_argument(
        "--ignore",
        metavar="CLAUSE",
        type=_clauses,
        action="append",
        default=[],
        help="only count breaches of this rule, or of those that a pattern with * names; may be repeated",
    )


def _clauses(pattern: str) -> list[str]:
    """The rules whose ids match.  Raises ArgumentTypeError."""
    from fnmatch import fnmatchcase

    found = [clause for clause in tables.SEVERITY if fnmatchcase(clause, pattern.upper())]
    if not found:
        from argparse import ArgumentTypeError

        hint = inputs.near(tables.SEVERITY, pattern)
        raise ArgumentTypeError(f"no rule that verify judges is called {inputs.shown(pattern)}{hint}")
    return found


def _target(text: str) -> tuple[str, Any]:
    """Kind and target.  Raises ArgumentTypeError."""
    from ..checks import targets  # few streams are for somebody

    try:
        return targets.parse(text)
    except ValueError as error:
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(str(error)) from None


def targets(args: argparse.Namespace) -> Mapping[str, Any]:
    """The targets by kind; of one kind the last counts."""
    return dict(args.target) if args.target else NO_TARGETS


def severities(args: argparse.Namespace) -> Mapping[str, str]:
    """How much a breach of each rule weighs."""
    unwanted = [clause for clauses in args.ignore for clause in clauses]
    return tables.SEVERITY | dict.fromkeys(unwanted, IGNORED) if unwanted else tables.SEVERITY


def run(args: argparse.Namespace) -> int:
    if args.channels and len(args.files) > 1:
        inputs.say("streamfmt verify: --channels belong to one main stream, so only one FILE before them")
        return 2
    status = 0
    report = _report(args)
    # What they have brought, which the main stream, read last, is judged with.
    channels: list[Any] = []

    def make(_: str) -> Job[tuple[Reader, Verifier]]:
        verifier = Verifier(args.mode, args.deep, severities(args), targets(args))
        verifier.channels = channels
        reader = Reader(verifier, args.form, args.exact, args.guest)
        return reader, reader.pump, (reader, verifier)

    for number, given in enumerate((*args.channels, *args.files)):
        for name, (reader, verifier), failure, _ in inputs.results(given, make, args.deep):
            outcome = Outcome(reader, verifier, args.strict, failure)
            status = max(status, outcome.status)
            sys.stdout.write(report.add(outcome, name))
            if number < len(args.channels):
                status = max(status, _channel(outcome, name, channels))
            elif channels and not verifier.channels_judged and not outcome.absent:
                # Without a word, "conforms" would be taken for all of them together.
                inputs.complain(name, "is no whole QEMU migration, so the channels were not judged with it")
                status = max(status, 1)
            if inputs.gave_up(name, failure):
                sys.stdout.write(report.end())
                return status
    sys.stdout.write(report.end())
    return status


def _channel(outcome: Outcome, name: str, channels: list[Any]) -> int:
    """Keep what a channel has brought; 1 if it is none."""
    from ..checks.qemu_channels import brought

    found = brought(outcome.verifier)
    if found is not None:
        channels.append(found)
        return 0
    if not outcome.absent:
        inputs.complain(name, "is no channel of multifd, so the main stream is judged without it")
    return 1


class Text:
    """What people read: findings and verdicts, and after several inputs how many came out how."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._outcomes: list[str] = []

    def add(self, outcome: Outcome, name: str) -> str:
        unread = outcome.absent
        self._outcomes.append("not read" if unread else outcome.verdict)
        # Of what is not there, the complaint on standard error says all.
        return "" if unread else as_text(outcome, inputs.shown(name), self._args, sys.stdout)

    def end(self) -> str:
        return totals(self._outcomes) + "\n" if len(self._outcomes) > 1 else ""


class JsonLines:
    """An object for each input; spec/json/verify.json describes them."""

    def add(self, outcome: Outcome, name: str) -> str:
        from json import dumps

        return dumps(outcome.as_dict(name)) + "\n"

    def end(self) -> str:
        return ""


FORMATS = ("text", "json", "sarif", "junit", "github")


def _report(args: argparse.Namespace) -> Report:
    if args.format == "text":
        return Text(args)
    if args.format == "json":
        return JsonLines()
    from ..render.reports import FORMS  # few want them

    return FORMS[args.format]()


def as_text(outcome: Outcome, name: str, args: argparse.Namespace, output: TextIO) -> str:
    """The findings, if there is anything to judge, and the verdict, for this output."""
    coloured = inputs.colour(output)
    text = _findings_text(outcome, name, args, output, coloured)
    head = len(f"{name}: ")
    verdict = inputs.fitted(f"{name}: {summary(outcome)}", output)
    return f"{text}{verdict[:head]}{_paint('good' if outcome.conforms else 'error', verdict[head:], coloured)}\n"


def _findings_text(outcome: Outcome, name: str, args: argparse.Namespace, output: TextIO, coloured: bool) -> str:
    """What the stream is, its findings, how much has been read and what could not be judged; nothing if `quiet`."""
    if args.quiet or (outcome.verdict == NOT_JUDGED and not outcome.verifier.layers):
        return ""
    lines = [inputs.fitted(f"{name}: {outcome.describe()}", output)]
    if outcome.verifier.configuration is not None and (words := outcome.verifier.configuration.words()):
        lines.append(inputs.fitted(f"  guest    {words}", output))
    lines += variant_lines(outcome)
    found = clause_lines(outcome) if args.summary else finding_lines(outcome, every=args.all)
    lines += [_paint(kind, line, coloured) for kind, line in found]
    lines += extent_lines(outcome)
    lines += abstained_lines(outcome)
    lines += [f"  ignored  {clause}: {times(outcome.counts[clause])}" for clause in ignored(outcome)]
    return "\n".join(lines) + "\n"


def _paint(kind: str, text: str, coloured: bool) -> str:
    return f"{_COLOURS[kind]}{text}\x1b[0m" if coloured and kind else text
