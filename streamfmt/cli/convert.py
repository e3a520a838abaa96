"""Convert a stream to what current releases of Xen read and write.

A libxc image of version 2 becomes one of version 3, and a legacy stream a libxl
stream with such an image.  What is around it stays as it is, byte for byte, but
for a flag that says what follows.  The output appears when it is complete, and
a stream that breaks a rule is refused before that.
"""

from __future__ import annotations

import os
import stat
import sys

from ..convert import describe
from ..convert.asked import CHECKPOINTS, TARGETS, of_convert
from ..convert.part import Options
from ..convert.run import Result, convert
from ..convert.wrappers import EMULATORS, WRAPPERS, Wrapper
from ..errors import UnreadableError, UnwritableError
from ..io.outputs import FileOutput, Output, output, write
from ..io.sources import reason
from ..reader.configuration import WORDS, form_of
from . import inputs
from .verify import add_ignore, severities

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """examples:
  streamfmt convert old.sav new.sav
  streamfmt convert --guest pv --width 32 xen3.sav new.sav
  streamfmt convert --repair guest.sav mended.sav
  streamfmt convert --container xl --allow-loss suspend.vdi guest.sav
  zcat old.sav.gz | streamfmt convert - - | ssh host xl restore /dev/stdin

A pipe is read once, so what it has is refused only when that shows: if the
output is a file there is none then, and of a pipe a part has gone out already.
With --repair all of a pipe is kept in a temporary file first.

exit status: 0 converted; 1 the input does not conform, or cannot be converted;
2 wrong usage; 3 could not read or write; 130 interrupted, 143 terminated
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT", help="what to convert; - is standard input")
    parser.add_argument("output", metavar="OUTPUT", help="where to write the result; - is standard output")
    inputs.add_form(parser)
    parser.add_argument(
        "--repair", action="store_true", help="mend what released savers are known to have got wrong, too"
    )
    parser.add_argument(
        "--to", choices=TARGETS, help="what a legacy stream becomes: libxl's stream (default), or a bare image"
    )
    parser.add_argument(
        "--width", choices=("32", "64"), help="take the input for the legacy stream of a toolstack of that many bits"
    )
    parser.add_argument(
        "--checkpoints",
        choices=CHECKPOINTS,
        default=CHECKPOINTS[0],
        help="make a plain stream of a checkpointed legacy stream (default), or keep its checkpoints",
    )
    parser.add_argument(
        "--container",
        choices=tuple(WRAPPERS),
        help="put the stream into another wrapper, or none, and leave its contents as they are",
    )
    parser.add_argument(
        "--configuration", metavar="FILE", help="with --container: the guest's configuration to put beside it"
    )
    parser.add_argument(
        "--emulator",
        choices=tuple(EMULATORS),
        default=next(iter(EMULATORS)),
        help="with --container: which QEMU the state in a XAPI image is of (default: %(default)s)",
    )
    parser.add_argument("--allow-loss", action="store_true", help="convert even if something is lost, and list it")
    add_ignore(parser)
    parser.add_argument("--report", metavar="FILE", help="write the report to a file; - prints it, as by default")
    parser.add_argument("--json", action="store_true", help="report as JSON; streamfmt help json describes it")
    parser.add_argument("-q", "--quiet", action="store_true", help="print one line only")


def run(args: argparse.Namespace) -> int:
    if args.report == "-":
        args.report = None  # it is printed
    if wrong := _refusal(args):
        inputs.say(f"streamfmt convert: error: {wrong}")
        return 2
    fd = 0
    try:
        try:
            if args.input != "-":
                fd = os.open(args.input, os.O_RDONLY | os.O_CLOEXEC)
            if taken := _taken(args, fd):
                inputs.say(f"streamfmt convert: error: {taken}; give it another name")
                return 2
        except OSError as error:
            raise UnreadableError(reason(error)) from error
        with inputs.Writing():
            result = _converted(args, fd)
    except _UsageError as error:
        inputs.say(f"streamfmt convert: error: {error}")
        return 2
    except UnreadableError as error:
        inputs.complain(args.input, f"cannot read: {error}")
        return 3
    except UnwritableError as error:
        inputs.complain(*_unwritable(args.output, error))
        return 3
    finally:
        if fd > 0:
            os.close(fd)
    return _report(result, args)


def _converted(args: argparse.Namespace, fd: int) -> Result:
    """What came of it.  Raises as `convert` does, and what a signal raises, of which the report cannot speak."""
    outs: list[Output] = []

    def opened() -> Output:
        # As of cp, the bytes of the result may not be on the disk yet when it has its name.
        outs.append(output(1) if args.output == "-" else FileOutput(args.output, sync=False))
        return outs[0]

    try:
        return convert(fd, opened, _options(args, fd), inputs.Progress)
    except (KeyboardInterrupt, SystemExit):
        for out in outs:
            inputs.partial(args.output, out)
        raise


class _UsageError(Exception):
    """The command is used wrongly; the message says how."""


def _wrapper(args: argparse.Namespace, fd: int) -> Wrapper | None:
    """What the stream is to be put into, if its wrapper is to change.  Raises _UsageError."""
    if args.container is None:
        return None
    from time import gmtime, strftime, time

    kind = WRAPPERS[args.container]
    try:
        given = None if args.configuration is None else inputs.configuration(args.configuration)
    except ValueError as error:
        raise _UsageError(str(error)) from None
    if given is not None and (form := form_of(given)) not in kind.forms:
        wanted = " or ".join(WORDS[form] for form in kind.forms)
        takes = f"has {wanted}, not {WORDS[form]}" if kind.forms else "has no configuration"
        raise _UsageError(f"--configuration: {args.container} {takes}")
    found = os.fstat(fd)
    saved = gmtime(found.st_mtime if stat.S_ISREG(found.st_mode) else time())
    return kind(given, args.emulator, strftime("%Y%m%dT%H:%M:%SZ", saved))


def _options(args: argparse.Namespace, fd: int) -> Options:
    return of_convert(
        form=args.form,
        guest=args.guest,
        width=args.width,
        to=args.to,
        checkpoints=args.checkpoints,
        repair=args.repair,
        allow_loss=args.allow_loss,
        wrapper=_wrapper(args, fd),
        severity=severities(args),
    )


def _refusal(args: argparse.Namespace) -> str:
    """Why it would be wrong to begin, if it would."""
    if args.output == "-" and sys.stdout.isatty():
        return "standard output is a terminal; give OUTPUT a file, or a pipe"
    if args.container is None and args.configuration is not None:
        return "--configuration needs --container; streamfmt edit changes that of a file"
    if args.container is not None and (args.repair or args.to):
        return "--container leaves contents as they are, so it excludes --repair and --to: convert twice"
    return ""


def _taken(args: argparse.Namespace, fd: int) -> str:
    """Which file would be written over another that the command is about, in words, if one would."""
    if inputs.same_file(fd, 1 if args.output == "-" else args.output):
        return "OUTPUT is the input itself"
    if args.report is None:
        return ""
    if inputs.same_file(fd, args.report):
        return "--report is the input itself"
    device = os.path.exists(args.report) and not os.path.isfile(args.report)
    same = not device and os.path.realpath(args.report) == os.path.realpath(args.output)
    return "--report is the output itself" if same else ""


def _unwritable(name: str, error: object) -> tuple[str, str]:
    return ("standard output" if name == "-" else name), f"cannot write: {error}"


def _looks(result: Result, args: argparse.Namespace) -> str:
    """What the input looks like, and what to do, if options say that it is something else and it is not that."""
    given = {"--as": args.form if args.form != "auto" else None, "--width": args.width, "--guest": args.guest}
    options = " and ".join(f"{name} {value}" for name, value in given.items() if value)
    if result.sound or not options or not result.head:
        return ""
    from ..api import identify

    found = identify(result.head)
    if found.kind == "unknown" or found.description == result.outcome.describe():
        return ""
    return f"{found.description}; try it without {options}"


def _report(result: Result, args: argparse.Namespace) -> int:
    """Print the report, or write it; the exit status."""
    names = args.input, args.output
    looks = _looks(result, args)
    source = inputs.shown(args.input)
    target = "standard output" if args.output == "-" else inputs.shown(args.output)
    if args.json:
        from json import dumps

        text = dumps(describe.as_dict(result, *names, looks)) + "\n"
    else:
        text = describe.text(result, source, target, args.quiet, looks)
    status = result.status
    if args.report is not None:
        try:
            write(args.report, text.encode(errors="backslashreplace"))
        except OSError as error:
            inputs.complain(*_unwritable(args.report, reason(error)))
            status = max(status, 3)
        if args.quiet or status:
            sys.stderr.write(describe.text(result, source, target, quiet=True))
    else:
        inputs.report_to(args.output).write(text)
    return status
