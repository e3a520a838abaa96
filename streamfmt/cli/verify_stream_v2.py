"""verify-stream-v2: what Xen's script of that name does, with its options, exit statuses and strictness.

`streamfmt help compatibility` says where the two differ.
"""

from __future__ import annotations

import os
import stat

from .. import tables
from ..checks.outcome import CONFORMS, Outcome
from ..checks.verifier import Verifier
from ..io.sources import FileSource, PipeSource, drive, reason, unreadable
from ..reader.events import describe
from ..reader.identify import by_magic, neighbour
from ..reader.reader import Reader
from ..render.text import finding_lines, summary
from . import inputs
from .drop_in import BAD, FAILED, GOOD, Log, UsageError, name_of, number_of, options_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program, Window

PROGRAM = "verify-stream-v2"
FORMATS = ("libxc", "libxl", "xl")
USAGE = f"Usage: {PROGRAM} [options]\n"
HELP = """
Judge a migration stream of version 2 or later.

Options:
  -h, --help          show this and exit
  -i, --in=FD|FILE    descriptor or file to read (default: standard input)
  -v, --verbose       print what the stream consists of
  -q, --quiet         print nothing, not even what is wrong
  -f, --format=libxc|libxl|xl
                      the stream's expected format (default: libxc)
      --syslog        log to syslog; errors go to standard error as well
      --big-endian    accept big-endian streams

Examples:
  verify-stream-v2 -v <guest.image
  verify-stream-v2 -q -f libxl -i 5 5<&0

Exit status: 0 the stream is good; 1 it is not, or cannot be read; 2 wrong
usage, or a fault of this program.
"""
LONG = ("help", "in=", "verbose", "quiet", "format=", "syslog", "big-endian")
# Rules whose breach --big-endian asks for.
_BIG_ENDIAN = ("LIBXL-HDR-ENDIAN", "LIBXC-IHDR-ENDIAN")
# Rules about how a stream begins, whose breach is the first finding of a stream that begins otherwise.
_BEGINNINGS = ("LIBXC-IHDR-MARKER", "LIBXL-HDR-IDENT", "XL-MAGIC")
# Fields wider than this are content.
_NUMBER_MAX = 8


class Options:
    """The arguments: shortened long options, joined short ones and words that mean nothing are all right.

    Raises UsageError.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.input, self.format = "0", FORMATS[0]
        given = options(arguments)
        names = {name for name, _ in given}
        for name, value in given:
            if name in {"-i", "--in"}:
                self.input = value
            elif name in {"-f", "--format"}:
                if value not in FORMATS:
                    raise UsageError(f"option {name}: {value!r} is none of {', '.join(FORMATS)}")
                self.format = value
        self.help = not names.isdisjoint({"-h", "--help"})
        self.quiet = not names.isdisjoint({"-q", "--quiet"})
        self.verbose = not names.isdisjoint({"-v", "--verbose"})
        self.syslog = "--syslog" in names
        self.big_endian = "--big-endian" in names


def options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Options and their values, as getopt gives them.  Raises UsageError.

    Plain words need no getopt, which with gettext takes as long to load as all the rest.
    """
    found: list[tuple[str, str]] = []
    words = iter(arguments)
    for word in words:
        value = next(words, None) if word in ("-i", "-f") else ""
        if value is None or word not in ("-h", "-v", "-q", "-i", "-f"):
            break
        found.append((word, value))
    else:
        return found
    from getopt import GetoptError, gnu_getopt

    try:
        return gnu_getopt(list(arguments), "hi:vqf:", LONG)[0]
    except GetoptError as error:
        raise UsageError(str(error)) from error


class Summary(Verifier):
    """A verifier that prints each record as it is read, with the numbers in its fixed fields."""

    def __init__(self, log: Log, severity: dict[str, str]) -> None:
        super().__init__(severity=severity)
        self._say = log.info
        self._printed: dict[str, Layer] = {}
        self._batches = 0

    def _layer(self, layer: Layer) -> None:
        if self._printed.get(layer.name) is not layer:
            self._printed[layer.name] = layer
            self._say(describe([layer]))

    def settle(self) -> None:
        """Print how many page batches came in a row."""
        if self._batches:
            self._say(f"libxc PAGE_DATA, {self._batches} in a row")
            self._batches = 0

    def pages(self, run: Run) -> None:
        self._layer(run.layer)
        self._batches += run.count
        super().pages(run)

    def steady(self, record: Record) -> bool:
        return False  # each is printed

    def record(self, record: Record) -> Program | None:
        self._layer(record.layer)
        program = super().record(record)
        if record.path == "libxc.PAGE_DATA":
            self._batches += 1
            return program
        self.settle()
        return self._print(record, program)

    def _print(self, record: Record, program: Program | None) -> Program:
        """Look at the fixed fields before the verifier's program takes them."""
        places = {
            name: place
            for name, place in tables.PLACES.get(record.path, {}).items()
            if place[1] <= _NUMBER_MAX and name != "reserved"
        }
        fields = []
        size = max((offset + width for offset, width in places.values()), default=0)
        if size and record.length >= size and (yield size):
            window = self.window
            raw = bytes(window.buf[window.lo : window.lo + size])
            for name, (offset, width) in places.items():
                value = int.from_bytes(raw[offset : offset + width], record.layer.byte_order)
                fields.append(f"{name} {value}")
        values = f": {', '.join(fields)}" if fields else ""
        self._say(f"{record.layer.name} {record.name}, {record.length:,} bytes{values}")
        if program is not None:
            yield from program


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge one stream; returns the exit status."""
    options = options_of(Options, arguments, PROGRAM, USAGE)
    if options is None:
        return FAILED
    log = Log(PROGRAM, options.verbose, options.quiet, options.syslog)
    severity = tables.SEVERITY | dict.fromkeys(tables.SCRIPT_REJECTS, "error")
    if options.big_endian:
        severity |= dict.fromkeys(_BIG_ENDIAN, "note")
    verifier = Summary(log, severity) if log.verbose else Verifier(severity=severity)
    reader = Reader(verifier, options.format, exact=True)
    try:
        if options.help:
            print(USAGE + HELP, end="", flush=True)
            return GOOD
        _read(options.input, reader)
        return _verdict(Outcome(reader, verifier), reader.window, name_of(options.input), log)
    except OSError as error:
        log.error(f"Script Error:\ncannot write: {reason(error)}")
    except KeyboardInterrupt:
        log.error("interrupted")
    except Exception as error:
        from ..errors import UnreadableError  # most streams are read
        from ..reader.failure import fault

        if isinstance(error, UnreadableError):
            log.error(f"Stream Error:\n{name_of(options.input)}: cannot read: {error}")
            return BAD
        log.error(f"Script Error:\n{fault(error)}")
    return FAILED


def entry() -> None:
    """What the console script calls; out at once, as :func:`streamfmt.cli.main.entry` is."""
    inputs.prepare()
    os._exit(main())


def _verdict(outcome: Outcome, window: Window, name: str, log: Log) -> int:
    """Print the verdict; the exit status.  `window` has how the input begins, if it stopped there."""
    verifier = outcome.verifier
    if isinstance(verifier, Summary):
        verifier.settle()
        for _, line in finding_lines(outcome, severities=("warning", "note")):
            log.info(line)
    verdict = f"{name}: {summary(outcome)}"
    if outcome.verdict == CONFORMS:
        # An image that has no version is from before version 2: what the command is named for is not there.
        old = [layer for layer in verifier.layers if layer.row.image and not layer.row.version]
        if not old:
            log.info(verdict)
            return GOOD
        if not log.quiet:
            log.error(f"Stream Error:\n{name}: {describe(old)}: not of version 2; streamfmt verify reads that")
        return BAD
    if not log.quiet:
        lines = [line for _, line in finding_lines(outcome, severities=("error",))]
        log.error("\n".join(("Stream Error:", *lines, *_advice(outcome, window), verdict)))
    return BAD


def _advice(outcome: Outcome, window: Window) -> list[str]:
    """What to try instead, if the stream begins as something else that is known."""
    first = outcome.verifier.findings.kept[:1]
    if not first or first[0].clause not in _BEGINNINGS:
        return []
    head = bytes.fromhex(first[0].actual)
    seen = head if window.base else bytes(window.buf[: window.hi])  # of a pipe no more than was asked for
    found = by_magic(head, True, 0) or neighbour(seen, False, 0)
    if found is None:
        return []
    advice = f"; try -f {found.key}" if found.key in FORMATS else ""
    advice = f"; {found.hint}" if found.hint else advice
    advice = "; streamfmt verify opens that" if found.kind == "compressed" else advice
    return [f"  looks like: {found.name}{advice}"]


def _read(given: str, reader: Reader) -> None:
    """Run the reader on a descriptor or a file; a descriptor is left at the byte after the stream's END.

    Raises UnreadableError.
    """
    number, opened = number_of(given), -1
    try:
        if number is None:
            opened = os.open(given, os.O_RDONLY)
        fd = opened if number is None else number
        kind = os.fstat(fd).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(21, "it is a directory")
        seekable = stat.S_ISREG(kind) or stat.S_ISBLK(kind)
        start = os.lseek(fd, 0, os.SEEK_CUR) if seekable else 0
        # A file is read ahead of its descriptor's offset, but a pipe's bytes are there once.
        source = FileSource(fd) if seekable else PipeSource(fd, exact=True)
    except OSError as error:
        if opened >= 0:
            os.close(opened)
        raise unreadable(error) from error
    except OverflowError as error:
        raise unreadable(OSError("there is no such descriptor")) from error
    try:
        drive(reader.pump, source)
    finally:
        source.close()
        if opened >= 0:
            os.close(opened)
        elif seekable:
            os.lseek(fd, start + reader.window.position, os.SEEK_SET)


if __name__ == "__main__":
    entry()
