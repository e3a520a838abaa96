"""Replace what is private in a stream, so that it can be attached to a bug report.

Contents of pages, registers, names, addresses, paths, keys and the states of
device models become other bytes, as many; the same rules are broken at the same
places afterwards.  The input is never changed.
"""

from __future__ import annotations

import os

from ..convert.scrub import Scrub, UnscrubbedError
from ..convert.scrub_minimal import minimal
from ..convert.scrub_overlay import Overlay
from ..io.outputs import FileOutput
from ..io.sources import reason
from ..io.spans import FileSpan
from . import inputs
from .seekable import UNABLE, UsageError, opened, unable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """examples:
  streamfmt scrub broken.sav report.sav
  streamfmt scrub --minimize broken.sav small.sav && zstd small.sav
  streamfmt scrub --keep-tables --json pv.sav report.sav

What has to stay for a rule to be broken as it was is listed: look at it before
you pass the file on.  Frame numbers, sizes and the order of records stay.

exit status: 0 scrubbed, all of it; 1 something had to stay, or it cannot be
scrubbed; 2 wrong usage; 3 could not read or write; 130 interrupted,
143 terminated
"""
FORMAT = "streamfmt-scrub-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="file to scrub: a regular file or a block device")
    parser.add_argument("output", metavar="OUTPUT", help="where to write the result")
    parser.add_argument(
        "--keep-tables", action="store_true", help="leave page tables of PV guests, which verify --deep judges"
    )
    parser.add_argument(
        "--minimize", action="store_true", help="then drop records as long as the same rules are broken"
    )
    parser.add_argument("--mode", choices=("auto", "plain", "remus", "colo"), default="auto", help="as for verify")
    parser.add_argument("--json", action="store_true", help="report as JSON; streamfmt help json describes it")
    inputs.add_form(parser)


def run(args: argparse.Namespace) -> int:
    try:
        if os.path.exists(args.output) and not os.path.isfile(args.output):
            raise UsageError("OUTPUT has to be a regular file: it gets holes, and is read again")
        fd = opened(args.file, args.output, "read twice")
    except UsageError as error:
        inputs.say(f"streamfmt scrub: error: {error}")
        return 2
    except OSError as error:
        inputs.complain(args.file, f"cannot read: {reason(error)}")
        return 3
    try:
        with inputs.Writing():
            scrub = Scrub(fd, args.form, args.guest, args.mode, args.keep_tables)
            with inputs.Progress(scrub.size) as scrub.progress:
                scrub.run()
                size = _write(args, scrub)
    except UnscrubbedError as error:
        inputs.complain(args.file, f"nothing is written: {error}")
        return 1
    except UNABLE as error:
        return unable(error, args.file, args.output)
    finally:
        os.close(fd)
    return _tell(args, scrub, size)


def _write(args: argparse.Namespace, scrub: Scrub) -> int:
    """A new file, judged again before it gets its name; its size.  Raises OSError and what reading and writing do."""
    small = minimal(scrub) if args.minimize else None
    out = FileOutput(args.output)
    try:
        if small is not None:
            small.write(out.fd, scrub.progress)
        else:
            Overlay(scrub.fd, scrub.size, scrub.rows).write(out.fd, scrub.contents, scrub.progress)
            _check(scrub, out.fd)
    except BaseException:
        out.abort()
        raise
    out.finish()
    return scrub.size if small is None else small.size


def _check(scrub: Scrub, out: int) -> None:
    """That what was written is judged like the input.  Raises UnscrubbedError."""
    made = os.open(f"/proc/self/fd/{out}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        scrub.check(FileSpan(made, 0, scrub.size))
    finally:
        os.close(made)


def _tell(args: argparse.Namespace, scrub: Scrub, size: int) -> int:
    """Print the report; the exit status."""
    status = int(bool(scrub.kept))
    if args.json:
        from json import dumps

        from ..reader.identification import named

        print(
            dumps(
                {
                    "format": FORMAT,
                    **named(args.file),
                    "status": status,
                    "output": args.output,
                    "bytes": size,
                    "findings": scrub.findings,
                    "replaced": scrub.counts(),
                    "kept": [
                        {"what": group.what, "offset": start, "length": stop - start}
                        for group in scrub.kept
                        for start, stop, _ in group.rows
                    ],
                    "warnings": scrub.warnings,
                }
            )
        )
        return status
    for what, number in scrub.counts().items():
        print(f"  replaced  {number:>15,} bytes of {what}")
    for group in scrub.kept:
        start, stop, _ = group.rows[0]
        what = f"{group.what} at {start}, without which other rules break"
        print(inputs.fitted(f"  kept      {stop - start:>15,} bytes of {what}"))
    for warning in scrub.warnings:
        print(inputs.fitted(f"  warning   {warning}"))
    rules = f"{scrub.findings:,} finding{'s' if scrub.findings != 1 else ''} at the same places"
    what = "which breaks the same rules" if args.minimize else f"with {rules}"
    print(inputs.fitted(f"{inputs.shown(args.output)}: {size:,} bytes, {what}"))
    return status
