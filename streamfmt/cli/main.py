"""``streamfmt VERB ...``: finds the verb, parses its arguments, turns errors into a line and an exit status.

Exit status: 0 conforms or done; 1 the stream does not conform or was not judged; 2 wrong usage; 3 could not read
or write; 130 interrupted.  With several files, the worst.  Nothing that befalls standard error changes it.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from .. import __version__
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import SupportsWrite

VERBS = {
    "identify": "say what a file or stream is, and how that shows",
    "verify": "judge a stream against every rule that it can show",
    "show": "list a stream's records, or dump them with their fields",
    "tee": "copy standard input to standard output, and judge it on the way",
    "build": "make a stream from a recipe",
    "corpus": "list, show, check, make or pack the corpus of streams",
    "fuzz": "try a reader of one's own on made streams",
    "explain": "explain a rule or a record, and what real readers do",
}
END = """
examples:
  streamfmt verify guest.sav
  streamfmt VERB --help
  streamfmt help recipes    a page of the manual, as json and compatibility are

exit status: 0 all is well; 1 a stream does not conform, or is none; 2 wrong
usage; 3 something cannot be read or written; 130 interrupted
"""
UNREADABLE = 3
INTERRUPTED = 130


class Help(argparse.RawDescriptionHelpFormatter):
    """argparse's formatter at 80 columns: asking for the terminal's width would import shutil at every start."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=78)


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose help and version are lost with an error where they cannot be written."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own lets errors pass, and would exit with 0.
        (file or sys.stderr).write(message)


def parser() -> argparse.ArgumentParser:
    """The parser without the verbs' own arguments."""
    verbs = "\n".join(f"  {verb:<10} {text}" for verb, text in VERBS.items())
    made = Parser(
        prog="streamfmt",
        description="Read, judge, show and build Xen migration streams.",
        epilog=f"verbs:\n{verbs}\n{END}",
        formatter_class=Help,
        usage="streamfmt [-h] [--version] VERB ...",
    )
    made.add_argument("--version", action="version", version=f"streamfmt {__version__}")
    made.add_argument("verb", metavar="VERB", choices=VERBS, help="what to do; see below")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it stays open as long as we run
    if sys.stdout is None:
        print("streamfmt: cannot write: standard output is closed", file=sys.stderr)
        return UNREADABLE
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()  # after --help, too
    except BrokenPipeError:
        # Whoever read our output has gone: that is how `| head` ends, and no error of ours.
        _discard_output()
        return UNREADABLE
    except OSError as error:
        print(f"streamfmt: cannot write: {error.strerror or error}", file=sys.stderr)
        _discard_output()
        return UNREADABLE
    except MemoryError:
        print("streamfmt: not enough memory", file=sys.stderr)
        return UNREADABLE
    except KeyboardInterrupt:
        _discard_output()
        print("streamfmt: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(words: list[str]) -> int:
    """Find the verb and run it.  Raises SystemExit after --help and wrong usage, as argparse does."""
    if not words or words[0] not in VERBS:
        from . import usage  # few need to be told

        words = usage.understood(words, VERBS)
    verb = words[0] if words[0] in VERBS else parser().parse_args(words[:1]).verb
    module = import_module(f".{verb}", __package__)
    inner = Parser(
        prog=f"streamfmt {verb}",
        description=module.__doc__.split("\n\n")[0] if module.__doc__ else None,
        epilog=module.EXAMPLES,
        formatter_class=Help,
    )
    module.add_arguments(inner)
    args = inner.parse_args(words[1:])
    try:
        return int(module.run(args))
    except MemoryError:
        # Commands that read streams say it of each file; of a recipe the whole command is about one.
        inputs.complain(getattr(args, "recipe", verb), "not enough memory")
        return UNREADABLE


def entry() -> None:
    """What the console script calls: one command, then out at once.

    Taking the interpreter apart costs a tenth of the time that a small stream takes; everything has been flushed.
    """
    inputs.prepare()
    try:
        status = main()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 0
    os._exit(status)


def _discard_output() -> None:
    """Keep the interpreter from flushing to a standard output that is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
