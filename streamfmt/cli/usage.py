"""What to print when no verb is named, or none that exists.

It loads only then.
"""

from __future__ import annotations

import os
import sys
from shlex import join
from textwrap import fill

from .. import data
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

SHORT = """usage: streamfmt VERB ...

  streamfmt identify FILE      what is it?
  streamfmt verify FILE        does it conform, and if not, where and why?
  streamfmt show FILE          which records does it have?
  streamfmt explain CLAUSE     what does a rule, or a line of a log, mean?
  sender | streamfmt tee | receiver
                               judge a stream on its way

streamfmt --help lists all verbs, and streamfmt VERB --help explains one.
"""
WRONG = 2


def understood(words: list[str], verbs: Collection[str]) -> list[str]:
    """The words that were meant, where that is plain: those of "help VERB".  Else says what is wrong, and exits."""
    if not words:
        print(SHORT, end="", file=sys.stderr)
        raise SystemExit(WRONG)
    first, *rest = words
    if first == "help":
        return _help(rest[0] if rest else "", verbs)
    if first in ("-h", "--help", "--version"):
        return words[:1]
    verb = first.lstrip("-").lower()
    if verb in verbs:
        wrong = f"{verb} is written without dashes and in lower case: {_command(verb, *rest)}"
    elif first.startswith("-") and first != "-":
        after = next((word for word in rest if word in verbs), "")
        others = [word for word in words if word != after]
        wrong = f"there is no option {inputs.shown(first)} before the verb"
        wrong += f"; options go after it: {_command(after, *others)}" if after else ""
    elif first == "-" or os.path.exists(first):
        wrong = f"{inputs.shown(first)} is an input, not a verb; to judge it: {_command('verify', *words)}"
    else:
        wrong = f"there is no verb {inputs.shown(first)}" + (
            inputs.near([*verbs, "--version"], verb, most=1, cutoff=0.6) or ", and no such file"
        )
    inputs.say(f"streamfmt: {wrong}\nstreamfmt --help lists all verbs.")
    raise SystemExit(WRONG)


def _help(about: str, verbs: Collection[str]) -> list[str]:
    """The words of --help for a verb, or for all; a page of the manual is printed."""
    if not about or about in verbs:
        return [about, "--help"][not about :]
    pages = {name.removesuffix(".md") for name in os.listdir(data.path("docs")) if name.endswith(".md")} - {"index"}
    if about not in pages:
        near = (
            inputs.near([*verbs, *pages], about, most=1, cutoff=0.6)
            or f"; there is help on each verb, and the pages {', '.join(sorted(pages))}"
        )
        inputs.say(f"streamfmt: there is no help on {inputs.shown(about)}{near}")
        raise SystemExit(WRONG)
    with open(data.path("docs", f"{about}.md"), encoding="utf-8") as page:
        sys.stdout.writelines(_narrow(page))
    sys.stdout.flush()
    raise SystemExit(0)


def _narrow(page: Iterable[str]) -> Iterator[str]:
    """A page's lines, with prose within 80 columns; examples and tables stay as they are."""
    quoted = False
    for line in page:
        quoted ^= line.startswith("```")
        if quoted or len(line) <= 80 or line.startswith(("|", "#")):
            yield line
        else:
            indent = " " * (len(line) - len(line.lstrip("- ")))
            yield fill(line, 79, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) + "\n"


def _command(*words: str) -> str:
    return inputs.shown(join(["streamfmt", *words]))
