"""``streamfmt VERB ...``: finds the verb, parses its arguments, turns errors into a line and an exit status.

Exit status: 0 conforms or done; 1 the stream does not conform or was not judged; 2 wrong usage; 3 could not read
or write; 130 interrupted, 143 terminated.  With several files, the worst.  A closed or full standard error does not
change it.
"""

from __future__ import annotations

import os
import sys

from . import inputs
from .arguments import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "identify": "identify a file or stream, and print the evidence",
    "verify": "judge a stream against every rule that it can show",
    "show": "list a stream's records, or dump them with their fields",
    "tee": "copy standard input to standard output, and judge it on the way",
    "convert": "convert a stream to what current releases read, or mend it",
    "build": "build a stream from a recipe",
    "corpus": "list, show, check, build or pack the corpus of streams",
    "fuzz": "test your own reader on generated streams",
    "extract": "take a part out of a file: configuration, inner stream, a state",
    "diff": "compare two streams by what they mean: fields, features, memory",
    "stats": "print numbers about a stream and the memory in it, or draw them",
    "edit": "change the configuration, a flag or a field of a file",
    "salvage": "take all that is whole out of a damaged file",
    "scrub": "replace what is private in a stream, for a bug report",
    "migrate": "move a running guest: send, receive, plan, or show it all",
    "explain": "explain a rule, a record or a line of a log, and what readers do",
}
UNREADABLE = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    inputs.open_stderr()
    if sys.stdout is None:
        inputs.say("streamfmt: cannot write: standard output is closed")
        return UNREADABLE
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()  # after --help, too
    except BrokenPipeError:
        # The reader of our output has gone: that is how `| head` ends, and no error of ours.
        inputs.discard_output()
        return UNREADABLE
    except OSError as error:
        inputs.say(f"streamfmt: cannot write: {error.strerror or error}")
        inputs.discard_output()
        return UNREADABLE
    except MemoryError:
        inputs.say("streamfmt: not enough memory")
        return UNREADABLE
    except KeyboardInterrupt as error:
        from ..reader.failure import failed

        inputs.discard_output()
        failure = failed(error, 0)
        inputs.say(f"streamfmt: {failure}")
        return failure.status


def _run(words: list[str]) -> int:
    """Find the verb and run it.  Raises SystemExit after --help and wrong usage, as argparse does."""
    if not words or words[0] not in VERBS:
        from . import usage  # few calls need it

        words = usage.understood(words, VERBS)
    if words[0] not in VERBS:
        from .parser import outer

        outer(VERBS).parse_args(words[:1])
    verb = words[0]
    module = getattr(__import__(f"{__package__}.{verb}").cli, verb)  # importlib's import_module has to be loaded
    args = parse(verb, module, words[1:])
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
