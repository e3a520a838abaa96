"""Copy standard input to standard output, and judge it on the way as verify does.

Every byte is passed on, unchanged and before it is judged, whatever the
verdict.  Findings and the verdict go to standard error when the input has ended.
"""

from __future__ import annotations

import os
import stat
import sys

from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..errors import UnreadableError, UnwritableError
from ..io.sources import drive, reason, source_of
from ..io.transfer import CopyingSource, write
from ..reader.failure import Failure, failed
from ..reader.reader import Reader
from . import inputs
from .verify import add_judging, as_text, severities, targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

EXAMPLES = """examples:
  ssh host xl save -c guest /dev/stdout | streamfmt tee >guest.sav
  streamfmt tee -q <guest.sav 2>verdict | ssh host xl restore /dev/stdin
  streamfmt tee --strict --json <guest.sav >/backup/guest.sav 2>guest.json

exit status: 0 copied, and it conforms; 1 copied, and it does not or was not
judged; 2 wrong usage; 3 not copied whole, since reading or writing failed, or
not judged for lack of memory; 130 interrupted, 143 terminated
"""
STDIN, STDOUT = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_form(parser)
    parser.add_argument(
        "--json", action="store_true", help="report as JSON, on standard error; streamfmt help json describes it"
    )
    add_judging(parser)


def run(args: argparse.Namespace) -> int:
    refusal = _refusal()
    if refusal:
        inputs.say(f"streamfmt tee: error: {refusal}")
        return 2
    verifier = Verifier(args.mode, args.deep, severities(args), targets(args))
    reader = Reader(verifier, args.form, guest=args.guest)
    failures, copied = copy(reader, STDIN, STDOUT)
    try:
        status, text = _report(reader, verifier, args, failures)
    except Exception as error:
        status, text = 1, ""
        failures.append(failed(error, reader.window.position))
    for failure in failures:
        status = max(status, failure.status)
        if failure.foreign:
            rest = f"; {copied:,} bytes were copied" if failure.kind != "internal" else ""
            text += inputs.fitted(f"streamfmt: {failure.reason}{rest}", sys.stderr) + "\n"
    data = memoryview(text.encode(errors="backslashreplace"))
    try:
        while data:
            data = data[write(sys.stderr.fileno(), data) :]
    except UnwritableError:
        status = max(status, 3)  # and nowhere to say so
    return status


def _refusal() -> str:
    """Why it would be wrong to begin, if it would."""
    if os.isatty(STDOUT):
        return "standard output is a terminal; send it to a file or a pipe, or only verify with: streamfmt verify -"
    try:
        source, target = os.fstat(STDIN), os.fstat(STDOUT)
    except OSError:
        return ""  # reported where it is read or written
    if stat.S_ISREG(source.st_mode) and os.path.samestat(source, target):
        return "standard input and standard output are the same file"
    return ""


def copy(reader: Reader, fd: int, out: int) -> tuple[list[Failure], int]:
    """Copy all that `fd` has to `out` and close that, and judge as much as can be.

    Returns what went wrong, in order, and how many bytes were copied.
    """
    failures: list[Failure] = []
    source = CopyingSource(fd, out)

    def note(error: BaseException, where: str = "") -> None:
        failures.append(failed(error, reader.window.position, where))

    try:
        source.open()
        with inputs.Stoppable(), inputs.Progress(source.size) as update:
            progress = update and (lambda _: update(source.copied))
            try:
                drive(reader.pump, source_of(source.read_into, reader, lambda: source), progress)
            except Exception as error:
                if isinstance(error, (UnreadableError, UnwritableError)):
                    raise
                note(error)
            source.rest(reader.window.view, progress)
        _close(out)
    except UnreadableError as error:
        note(error, "standard input: ")
    except UnwritableError as error:
        note(error, "standard output: ")
    except KeyboardInterrupt as error:
        note(error)
    return failures, source.copied


def _close(out: int) -> None:
    """Let the reader of our output see its end, and see whether the system has taken it all.

    Its descriptor leads nowhere then, so that nothing else is opened under that number.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.close(out)
    except OSError as error:
        raise UnwritableError(reason(error)) from error
    finally:
        os.dup2(nowhere, out)
        os.close(nowhere)


def _report(
    reader: Reader, verifier: Verifier, args: argparse.Namespace, failures: Sequence[Failure]
) -> tuple[int, str]:
    """Exit status and text; the first failure is the one that left judging unfinished."""
    outcome = Outcome(reader, verifier, args.strict, failures[0] if failures else None)
    if args.json:
        from json import dumps

        return outcome.status, dumps(outcome.as_dict("-")) + "\n"
    if outcome.absent:
        return outcome.status, ""
    return outcome.status, as_text(outcome, inputs.shown("-"), args, sys.stderr)
