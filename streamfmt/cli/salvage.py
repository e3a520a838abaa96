"""Take out of a damaged file everything that is whole, as a stream again.

Where framing is lost the next records are searched for; headers and the end are
made anew.  A list says what is missing, and what a guest would feel.  The input
is never changed, and nothing is written if no conforming stream is possible.
"""

from __future__ import annotations

import os
import sys

from ..convert.salvage import Salvage
from ..convert.salvage_judge import judge
from ..convert.salvage_report import FORMAT, Report
from ..convert.salvage_state import UnsalvageableError
from ..errors import UnreadableError
from ..io.outputs import FileOutput, write
from ..io.sources import reason
from ..io.spliced import Spliced
from . import inputs
from .seekable import UNABLE, UsageError, opened, unable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """examples:
  streamfmt salvage damaged.sav mended.sav
  streamfmt salvage --incomplete --json second-half.bin pages.bin
  streamfmt salvage --doubtful --report report.txt damaged.sav mended.sav

A record in which the damage begins, or which it follows, is doubtful: it is
left out, with its frames listed, unless --doubtful takes what there is of it.
Damage that changes bytes and moves none is not seen in a page's contents.

exit status: 0 all of it was whole; 1 something is missing, or nothing could be
had; 2 wrong usage; 3 could not read or write; 130 interrupted, 143 terminated
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the damaged file: a regular file or a block device")
    parser.add_argument("output", metavar="OUTPUT", help="where to write what is salvaged")
    parser.add_argument(
        "--incomplete", action="store_true", help="write what there is even if it is no conforming stream"
    )
    parser.add_argument("--doubtful", action="store_true", help="take what there is of damaged records, too")
    parser.add_argument("--report", metavar="FILE", help="write the report to a file instead of printing it")
    parser.add_argument("--json", action="store_true", help="report as JSON; streamfmt help json describes it")
    parser.add_argument("-q", "--quiet", action="store_true", help="print one line only")
    inputs.add_form(parser)


def run(args: argparse.Namespace) -> int:
    try:
        fd = opened(args.file, args.output, "searched", how=", as far as it goes: {key} -dc FILE >COPY")
    except UsageError as error:
        inputs.say(f"streamfmt salvage: error: {error}")
        return 2
    except OSError as error:
        inputs.complain(args.file, f"cannot read: {reason(error)}")
        return 3
    try:
        with inputs.Writing():
            report = _salvaged(args, fd)
            if report.outcome.conforms or args.incomplete:
                _write(args.output, report)
    except UnsalvageableError as error:
        return _nothing(args, error)
    except UNABLE as error:
        return unable(error, args.file, args.output)
    finally:
        os.close(fd)
    return _tell(args, report)


def _salvaged(args: argparse.Namespace, fd: int) -> Report:
    """What can be had of the input, and how it is judged."""
    with inputs.Progress(os.fstat(fd).st_size) as progress:
        found = Salvage(fd, args.form, args.guest, args.doubtful, progress)
        try:
            found.run()
            return Report(found, judge(found))
        except OSError as error:
            raise UnreadableError(reason(error)) from error


def _write(path: str, report: Report) -> None:
    """A new file, which gets its name when it is complete.  Raises OSError, UnreadableError and UnwritableError."""
    found = report.salvage
    out = FileOutput(path)
    try:
        with inputs.Progress(report.size) as progress:
            Spliced(found.fd, found.size, found.pieces.splices(found.size)).write(out.fd, progress)
    except BaseException:
        out.abort()
        raise
    out.finish()
    report.written = report.size


def _nothing(args: argparse.Namespace, error: UnsalvageableError) -> int:
    """There is nothing to be had."""
    if args.json:
        from json import dumps

        from ..reader.identification import named

        failed = {"status": 1, "unsalvageable": str(error), "hint": error.hint}
        print(dumps({"format": FORMAT, **named(args.file), **failed}))
    inputs.complain(args.file, f"nothing can be salvaged, and nothing is written: {error}")
    if error.hint and not args.json:
        inputs.say(f"  hint: {error.hint}")
    return 1


def _tell(args: argparse.Namespace, report: Report) -> int:
    """Print the report, or write it; the exit status."""
    source, target = inputs.shown(args.file), inputs.shown(args.output)
    if args.json:
        from json import dumps

        from ..reader.identification import named

        text = dumps({"format": FORMAT, **named(args.file), **report.as_dict(args.output)}) + "\n"
    else:
        text = report.text(source, target, args.quiet)
    if args.report is None:
        sys.stdout.write(text)
        return report.status
    try:
        write(args.report, text.encode(errors="backslashreplace"))
    except OSError as error:
        inputs.complain(args.report, f"cannot write: {reason(error)}")
        return 3
    sys.stdout.write(report.text(source, target, quiet=True))
    return report.status
