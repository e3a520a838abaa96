"""argparse's parsers, for all words that are not plain: help, errors, and what few people type."""

from __future__ import annotations

import argparse
import sys

from .. import __version__
from .inputs import fitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from _typeshed import SupportsWrite

END = """
examples:
  streamfmt verify guest.sav
  streamfmt VERB --help
  streamfmt help recipes    a page of the manual, as json and compatibility are

exit status: 0 all is well; 1 a stream does not conform, or is not one; 2 wrong
usage; 3 something cannot be read or written; 130 interrupted,
143 terminated
"""


def whole(text: str) -> int:
    """The value of an option that is a number and not negative."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


class Help(argparse.RawDescriptionHelpFormatter):
    """argparse's formatter at 80 columns: asking for the terminal's width would import shutil at every start."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=78)


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose help and version are lost with an error where they cannot be written."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own lets errors pass, and would exit with 0.
        (file or sys.stderr).write(fitted(message))


def outer(verbs: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser without the verbs' own arguments."""
    listed = "\n".join(f"  {verb:<10} {text}" for verb, text in verbs.items())
    made = Parser(
        prog="streamfmt",
        description="Read, judge, show and build Xen migration streams.",
        epilog=f"verbs:\n{listed}\n{END}",
        formatter_class=Help,
        usage="streamfmt [-h] [--version] VERB ...",
    )
    made.add_argument("--version", action="version", version=f"streamfmt {__version__}")
    made.add_argument("verb", metavar="VERB", choices=verbs, help="what to do; see below")
    return made


def inner(verb: str, module: ModuleType) -> argparse.ArgumentParser:
    """The parser of a verb's arguments."""
    made = Parser(
        prog=f"streamfmt {verb}",
        description=module.__doc__.split("\n\n")[0] if module.__doc__ else None,
        epilog=module.EXAMPLES,
        formatter_class=Help,
    )
    module.add_arguments(made)
    return made
