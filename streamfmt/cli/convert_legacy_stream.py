"""convert-legacy-stream: what Xen's script of that name does, with its options and exit statuses, and all it cannot do.

docs/convert-legacy-stream.md says where the two differ.
"""

from __future__ import annotations

import os
import stat
import sys

from .. import __version__
from ..convert import describe
from ..convert.asked import INPUTS, TARGETS, headed, of_script
from ..convert.run import Result, convert
from ..errors import UnreadableError, UnwritableError
from ..io.outputs import FileOutput, Output, output
from ..io.sources import compressed, reason
from ..reader.identify import following
from ..render.text import finding_lines
from . import inputs
from .drop_in import BAD, FAILED, GOOD, Log, UsageError, name_of, number_of, options_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "convert-legacy-stream"
USAGE = f"Usage: {PROGRAM} [options] -i INPUT -o OUTPUT -w WIDTH -g GUEST\n"
HELP = """
Convert a stream that was saved before Xen 4.6 to one of version 2 or later.

Options:
  -h, --help            show this and exit
      --version         show the version and exit
  -i, --in=FD|FILE      descriptor or file to convert
  -o, --out=FD|FILE     descriptor or file to write the result to
  -w, --width=32|64     bits of the toolstack that saved
  -g, --guest-type=pv|hvm
                        type of the guest
  -f, --format=libxc|libxl
                        form of the result (default: libxc)
  -x, --xl              the stream has xl's header before it
      --skip-qemu       leave the device model's record unread; with -f libxc
  -v, --verbose         say what was done, and why
      --syslog          log to syslog; errors go to standard error as well

Examples:
  convert-legacy-stream -i old.stream -o new.stream -w 64 -g hvm -f libxl
  convert-legacy-stream -x -i old.sav -o new.sav -w 64 -g pv -f libxl
  convert-legacy-stream --in 5 --out 6 --width 64 --guest hvm 5<old 6>new

Exit status: 0 converted; 1 the stream is none of these, or breaks a rule, or
it cannot be read or written; 2 wrong usage, or a fault of this program.
"""
LONG = (
    "help",
    "version",
    "in=",
    "out=",
    "width=",
    "guest-type=",
    "format=",
    "verbose",
    "xl",
    "skip-qemu",
    "syslog",
)
# By option: what it may be, which the script holds to as well.
CHOICES = {"width": ("32", "64"), "guest-type": ("pv", "hvm"), "format": tuple(sorted(TARGETS))}
_SHORT = {
    "-h": "help",
    "-i": "in",
    "-o": "out",
    "-w": "width",
    "-g": "guest-type",
    "-f": "format",
    "-v": "verbose",
    "-x": "xl",
}
# How much of what follows a stream shows what it is.
_AFTER = 64
# What to do instead, by what is in the way.
_ADVICE = {
    "REFUSE-BARE": "what xl's header stands before is a libxl stream: -f libxl",
    "LOSE-TMEM": "streamfmt convert --allow-loss leaves it out",
}


def options(arguments: Sequence[str]) -> dict[str, str]:
    """Options by their long names, and their values.  Raises UsageError."""
    from getopt import GetoptError, gnu_getopt

    try:
        given = gnu_getopt(list(arguments), "hi:o:w:g:f:vx", LONG)[0]
    except GetoptError as error:
        raise UsageError(str(error)) from error
    found = {}
    for name, value in given:
        long = _SHORT.get(name, name.removeprefix("--"))
        if value not in CHOICES.get(long, (value,)):
            choices = ", ".join(map(repr, CHOICES[long]))
            raise UsageError(f"option {name}: invalid choice: {value!r} (choose from {choices})")
        found[long] = value
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one stream; returns the exit status."""
    given = options_of(options, arguments, PROGRAM, USAGE)
    if given is None:
        return FAILED
    if "help" in given or "version" in given:
        print(USAGE + HELP if "help" in given else f"{PROGRAM} of streamfmt {__version__}\n", end="", flush=True)
        return GOOD
    if missing := [f"--{name}" for name in ("in", "out", "width", "guest-type") if name not in given]:
        print(f"{USAGE}{HELP}\n{PROGRAM}: error: {', '.join(missing)} missing", file=sys.stderr)
        return BAD
    log = Log(PROGRAM, "verbose" in given, False, "syslog" in given)
    try:
        with inputs.Writing():
            return _report(*_converted(given), given, log)
    except (UnreadableError, UnwritableError) as error:
        reads = isinstance(error, UnreadableError)
        name, done = name_of(given["in" if reads else "out"], not reads), "read" if reads else "write"
        log.error(f"Stream Error:\n{name}: cannot {done}: {error}")
        return BAD
    except KeyboardInterrupt:
        log.error("interrupted")
        return BAD
    except Exception as error:
        from ..reader.failure import fault

        log.error(f"Script Error:\n{fault(error)}")
        return FAILED


def entry() -> None:
    """What the console script calls; out at once, as :func:`streamfmt.cli.main.entry` is."""
    inputs.prepare()
    os._exit(_exits())


def _exits() -> int:
    """The exit status, of a signal too."""
    try:
        return main()
    except SystemExit as stopped:
        return int(stopped.code or 0)


def _converted(given: dict[str, str]) -> tuple[Result, str]:
    """Convert what is there; what came of it, and in words what follows in a file.

    Raises UnreadableError and UnwritableError.
    """
    number = number_of(given["in"])
    try:
        fd = os.open(given["in"], os.O_RDONLY | os.O_CLOEXEC) if number is None else number
    except OSError as error:
        raise UnreadableError(reason(error)) from error
    try:
        out = number_of(given["out"])
        if inputs.same_file(fd, given["out"] if out is None else out):
            raise UnwritableError("it is the input itself")
        result = convert(fd, lambda: _opened(given["out"]), of_script(given), inputs.Progress)
        return result, "" if number is not None or not result.done else _after(fd)
    except OverflowError as error:
        raise UnreadableError("there is no such descriptor") from error
    finally:
        if number is None:
            os.close(fd)


def _after(fd: int) -> str:
    """What follows the stream in a file, in words."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return ""
    at = os.lseek(fd, 0, os.SEEK_CUR)
    count = os.fstat(fd).st_size - at
    if count <= 0:
        return ""
    head = os.pread(fd, _AFTER, at)
    return f"{count:,} bytes after the stream, from {at} on, are left: {following(head, count, not any(head))[1]}"


def _opened(name: str) -> Output:
    number = number_of(name)
    if number is None:
        return FileOutput(name, sync=False)
    os.fstat(number)  # a descriptor that is not open is to be found so before anything is read
    return output(number)


def _report(result: Result, after: str, given: dict[str, str], log: Log) -> int:
    """Say what came of it, and what comes `after` the stream; the exit status."""
    source, target = name_of(given["in"]), name_of(given["out"], True)
    if not result.done:
        log.error(
            "\n".join(("Stream Error:", *_why(result, given), *describe.last(result, source, target, hints=False)))
        )
        return FAILED if result.failure is not None and result.failure.kind == "internal" else BAD
    for line in result.report.lost:
        log.error(f"{source}: warning: left out: {line.text}")
    if after:
        log.error(f"{source}: warning: {after}")
    if "verbose" in given:
        # Standard output may be what the result goes to.
        say = log.error if number_of(given["out"]) == 1 else log.info
        say(describe.text(result, source, target).rstrip())
    return GOOD


def _why(result: Result, given: dict[str, str]) -> list[str]:
    """Lines that say why there is no result, and what to try instead."""
    if result.failure is not None:
        return []
    if result.sound:
        advice = (f"  {_ADVICE[line.rule]}" for line in result.unfit if line.rule in _ADVICE)
        return [*describe.listed(result.unfit), *advice]
    found = [line for _, line in finding_lines(result.outcome, severities=("error",))]
    # Of a pipe the beginning may have gone by.
    return found + (_looks(result.head, given) if result.head or not result.outcome.size else [])


def _looks(head: bytes, given: dict[str, str]) -> list[str]:
    """What the input looks like, if that is something else than the options say."""
    from ..api import identify

    found = identify(head, exact=bool(compressed(head)))
    around = [layer.name for layer in found.layers if not layer.row.image]
    inside = next((layer.row for layer in found.layers if layer.row.image), None)
    if found.kind == "unknown":
        return []
    if inside is None or not inside.alias:
        advice = f": {found.hint}" if found.hint else ""
        advice = ", which is no legacy stream: there is nothing to convert" if inside else advice
        advice = ": decompress it, and give that to -i 0" if found.kind == "compressed" else advice
        return describe.wrapped(f"  looks like: {found.description}{advice}")
    seen = {"width": str(found.toolstack_width), "guest-type": found.guest or ""}
    other = [f"--{name} {value}" for name, value in seen.items() if value and value != given[name]]
    if around != list(INPUTS[1:] if headed(given) else ()):
        other.append("streamfmt convert" if around and around != list(INPUTS[1:]) else "--xl" if around else "no --xl")
    return describe.wrapped(f"  looks like: {found.description}; try {', '.join(other)}") if other else []


if __name__ == "__main__":
    entry()
