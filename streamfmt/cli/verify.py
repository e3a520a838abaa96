"""Judge streams against every rule that a stream alone can show.

Each breach is a finding: what, where, why, and what to do.  The last line of each file is its verdict.
"""

from __future__ import annotations

import sys

from ..reader.stack import Reader
from ..verify.report import CONFORMS, NOT_JUDGED, Outcome, as_dict, extent, finding_lines, summary
from ..verify.verifier import MODES, Verifier
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """examples:
  streamfmt verify guest.sav
  ssh host xl save -c guest /dev/stdout | streamfmt verify -
  streamfmt verify --strict --json *.sav.zst

exit status: 0 all conform; 1 one does not, or was not judged; 2 wrong usage;
3 one could not be read
"""
_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[36m", "good": "\x1b[1;32m"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)
    parser.add_argument(
        "--exact", action="store_true", help="take no octet past END, from a descriptor somebody else goes on with"
    )
    add_judging(parser)


def add_judging(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how to judge, and how much to tell."""
    parser.add_argument("--mode", choices=MODES, default="auto", help="what the sender was asked for (default: infer)")
    parser.add_argument("--strict", action="store_true", help="treat warnings as errors")
    parser.add_argument("--deep", action="store_true", help="look into page tables too, which means reading them")
    parser.add_argument("-q", "--quiet", action="store_true", help="print verdicts only")


def run(args: argparse.Namespace) -> int:
    status = 0
    for name in args.files:
        verifier = Verifier(args.mode, args.deep)
        reader = Reader(verifier, args.form, args.exact)
        try:
            inputs.run_reader(name, reader)
        except inputs.InputError as error:
            inputs.complain(name, str(error))
            status = max(status, error.status)
            continue
        finally:
            reader.close()
        outcome = Outcome(reader, verifier, args.strict)
        status = max(status, outcome.status)
        if args.json:
            from json import dumps

            print(dumps(as_dict(outcome, name)))
        else:
            text = as_text(outcome, inputs.shown(name), quiet=args.quiet, coloured=inputs.colour())
            sys.stdout.write(text)
    return status


def as_text(outcome: Outcome, name: str, *, quiet: bool, coloured: bool) -> str:
    """The findings, if there is anything to judge, and the verdict."""
    text = "" if quiet else findings_text(outcome, name, coloured)
    good = outcome.verdict == CONFORMS
    return f"{text}{name}: {_paint('good' if good else 'error', summary(outcome), coloured)}\n"


def findings_text(outcome: Outcome, name: str, coloured: bool) -> str:
    """What the stream is, its findings, how much has been read and what could not be judged."""
    if outcome.verdict == NOT_JUDGED and not outcome.verifier.unjudged:
        return ""
    lines = [f"{name}: {outcome.describe()}"]
    lines += [_paint(kind, line, coloured) for kind, line in finding_lines(outcome)]
    lines.append(f"  read     {extent(outcome)}")
    lines += [f"  not judged  {clause}: {why}" for clause, why in sorted(outcome.verifier.abstained.items())]
    return "\n".join(lines) + "\n"


def _paint(kind: str, text: str, coloured: bool) -> str:
    return f"{_COLOURS[kind]}{text}\x1b[0m" if coloured and kind else text
