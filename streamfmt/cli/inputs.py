"""Inputs of the commands: files, standard input, and compressed ones of either; progress; what went wrong.

:func:`run_reader` is the only way by which a command reads a stream.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # what signal is made of, without its enumerations: they load slowly
import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from stat import S_ISBLK, S_ISREG

from ..io.sources import drive, source_for, unreadable
from ..reader.reader import Reader
from ..reader.registry import DECLARED, GUESTS, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO, TypeAlias, TypeVar

    from _typeshed import ReadableBuffer as Buffer

    from ..io.backups import Image
    from ..io.outputs import Output
    from ..io.sources import Driven, Source
    from ..reader.failure import Failure
    from .line import Line

    Driver = Callable[[Driven, Source, Callable[[int], None] | None], None]
    J = TypeVar("J")
    # A reader, what is driven with it, and what both are for.
    Job: TypeAlias = tuple[Reader, Driven, J]
    # The name of the input or of an image in it, what has read that, why it did not come to the end, and the image.
    Result: TypeAlias = tuple[str, J, Failure | None, Image | None]

# Keys of what may have images in it; io.backups opens it.
BACKUPS = ("tar", "xva", "vhd")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of commands that read and have no other format than JSON."""
    add_files(parser)
    parser.add_argument("--json", action="store_true", help="print JSON; streamfmt help json describes it")


def add_files(parser: argparse.ArgumentParser) -> None:
    """The arguments every reading command has."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to read, or FILE/MEMBER; - is standard input")
    add_form(parser)


def add_form(parser: argparse.ArgumentParser) -> None:
    """The argument that says how to read the input."""
    parser.add_argument(
        "--as",
        dest="form",
        metavar="FORM",
        choices=DECLARED,
        default="auto",
        help=f"read the input as one of {', '.join(DECLARED[1:])}, instead of looking at its first bytes",
    )
    parser.add_argument(
        "--guest",
        choices=GUESTS,
        help="take a legacy stream for one of a PV or an HVM guest, whatever its bytes look like",
    )


def run_reader(name: str, reader: Reader, driven: Driven | None = None, by: Driver = drive) -> Failure | None:
    """Run `reader`, or what is `driven` with it, on the input called `name` to its end; `by` is what drives it.

    Returns why it did not come there, if so.
    """
    with Input(name) as given:
        failure = attempt(reader, lambda: given.drive(driven or reader.pump, given.source(reader), by))
    reader.close()
    return failure


def results(name: str, make: Callable[[str], Job[J]], deep: bool = False) -> Iterator[Result[J]]:
    """What comes of the input called `name`, or of each image in it if it is a backup: see :data:`Result`.

    `make` gives, for a name, a new reader, what is driven with it, and what both are for.  With `deep`, blocks of
    backups are held against their checksums.
    """
    with Input(name) as given:
        reader, driven, job = make(name)
        failure = attempt(reader, given.open)
        if failure is None and not given.member:
            failure = attempt(reader, lambda: given.drive(driven, given.source(reader)))
        if _peeled(given, reader, failure):
            # Few inputs are in one.
            yield from load("cli.backups:images")(given, reader, job, make, deep)
            return
        reader.close()
    yield name, job, failure, None


def _peeled(given: Input, reader: Reader, failure: Failure | None) -> bool:
    """Whether what came of an input is that it is a backup."""
    if failure is not None and failure.kind == "damaged" and reader.identity is None:
        # Its compression was damaged before it was known: what there is may show it.
        return bool(load("cli.backups:begun")(reader))
    key = reader.identity.key if reader.identity is not None and not reader.exact else ""
    return failure is None and (given.member != "" or key in BACKUPS)


class Input:
    """The input called `name`: a file, standard input, or a member of a backup, BACKUP/MEMBER.

    No file has such a name, since a file is no folder.  `file` and `member` are its parts once it is open.
    """

    def __init__(self, name: str) -> None:
        self.name = self.file = name
        self.member = ""
        self.fd = self._opened = -1
        self.sources: list[Source] = []

    def __enter__(self) -> Input:
        return self

    def __exit__(self, *_: object) -> None:
        for source in self.sources:
            source.close()
        if self._opened >= 0:
            os.close(self._opened)

    def open(self) -> None:
        """Open what is not open yet.  Raises UnreadableError."""
        if self.fd >= 0:
            return
        try:
            if self.file != "-":
                try:
                    self._opened = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
                except NotADirectoryError:
                    self.file, self.member = load("io.backups:parts")(self.file)
                    self._opened = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise unreadable(error) from error
        self.fd = max(self._opened, 0)

    def whole(self, reader: Reader) -> Source:
        """The source for the file, whose first bytes may be in the reader's window then.  Raises UnreadableError."""
        self.open()
        try:
            self.sources.append(source_for(self.fd, reader))
        except OSError as error:
            raise unreadable(error) from error
        return self.sources[-1]

    def source(self, reader: Reader) -> Source:
        """The source for the input: the first image in it, if it is a member.  Raises UnreadableError, DamagedError."""
        self.open()
        if self.member:
            image: Source = load("cli.backups:first")(self)
            return image
        return self.whole(reader)

    @staticmethod
    def drive(driven: Driven, source: Source, by: Driver = drive) -> None:
        """Drive it `by` that to the source's end, or until it wants no more.  Raises as `io.sources.drive` does."""
        with Stoppable(), Progress(source.size) as progress:
            by(driven, source, progress)


def attempt(reader: Reader, act: Callable[[], None]) -> Failure | None:
    """Do that; why it failed, if what is read is to blame, or who has stopped it."""
    try:
        act()
    except OSError:
        raise  # what reads the records could not write
    except (Exception, KeyboardInterrupt) as error:
        from ..reader.failure import failed  # most inputs are read to their end

        return failed(error, reader.window.position)
    return None


def gave_up(name: str, failure: Failure | None) -> bool:
    """Complain of an input that could not be read to its end; whether the command is to end there."""
    if failure is None or not failure.foreign:
        return False
    complain(name, failure)
    return failure.kind in ("interrupted", "terminated")


class Stoppable:
    """Have SIGTERM raise TerminatedError meanwhile, so that what was found so far is printed, as after Ctrl-C."""

    _signals: tuple[int, ...] = (_signal.SIGTERM,)

    def _stop(self, number: int, _: object) -> None:
        from ..errors import TerminatedError  # few commands are stopped

        raise TerminatedError

    def __enter__(self) -> None:
        self._ours = [number for number in self._signals if _signal.getsignal(number) is _signal.SIG_DFL]
        for number in self._ours:
            _signal.signal(number, self._stop)

    def __exit__(self, *_: object) -> None:
        for number in self._ours:
            _signal.signal(number, _signal.SIG_DFL)


class Ending(Stoppable):
    """For commands with sockets, shared memory and processes to end: the same for SIGHUP of a closed terminal."""

    _signals = (_signal.SIGTERM, _signal.SIGHUP)


# What has files that get their name when they are complete.
_BESIDE = f"{__package__.partition('.')[0]}.io.beside"


class Writing(Stoppable):
    """For commands that write files: SIGTERM, and SIGHUP of a closed terminal, leave no more than Ctrl-C does."""

    _signals = (_signal.SIGTERM, _signal.SIGHUP)

    def _stop(self, number: int, _: object) -> None:
        sys.exit(128 + number)

    def __exit__(self, *_: object) -> None:
        if _BESIDE in sys.modules:  # else nothing was begun
            sys.modules[_BESIDE].sweep()
        super().__exit__()


class Progress:
    """A bar on standard error for work that lasts over a second, on terminals only; in `streams`, else in bytes."""

    def __init__(self, total: int | None, streams: bool = False) -> None:
        self._total = total
        self._streams = streams
        self._line: Line | None = None
        self._due = 0.0
        self._on = sys.stderr.isatty()

    def __enter__(self) -> Callable[[int], None] | None:
        if not self._on:
            return None
        from time import monotonic

        self._now = monotonic
        self._due = monotonic() + 1
        return self._update

    def _update(self, position: int) -> None:
        now = self._now()
        if now < self._due:
            return
        self._due = now + 0.1
        if self._line is None:
            from .line import bar

            self._line = bar(self._total, self._streams)
        self._line.update(completed=position)

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.end()


def colour(output: TextIO | None = None) -> bool:
    """Whether the output (standard output, if none is given) is a terminal, and plain text was not asked for."""
    return (output or sys.stdout).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# What people's lines keep to.
_COLUMNS = 80
# The longest configuration that is put into a file, in bytes.
CONFIGURATION_MAX = 16 << 20


def configuration(path: str) -> bytes:
    """The text of a guest's configuration in a file, without a NUL at its end.  Raises ValueError."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            data = file.read(CONFIGURATION_MAX + 1)
    except OSError as error:
        raise ValueError(f"--configuration {shown(path)}: cannot read: {error.strerror or error}") from None
    if not data or len(data) > CONFIGURATION_MAX:
        raise ValueError(f"--configuration {shown(path)}: {'it is too long' if data else 'it is empty'}")
    return data.removesuffix(b"\0")


def near(names: Iterable[str], *wanted: str, most: int = 3, cutoff: float = 0.5) -> str:
    """The names that are like those wanted, in either case, as the end of a message."""
    from difflib import get_close_matches  # loads with the first message that needs it

    known = {name.upper(): name for name in names}
    found = [known[name] for one in wanted for name in get_close_matches(one.upper(), known, most, cutoff)]
    return f"; did you mean {', '.join(found)}?" if found else ""


def partial(name: str, out: Output) -> None:
    """Say of an output that will not be whole if it has begun and cannot be taken back."""
    if out.partial:
        from ..io.outputs import PARTIAL

        say(f"streamfmt: {'standard output' if name == '-' else shown(name)} {PARTIAL}")


def complain(name: str, message: object) -> None:
    """One line on standard error about one input, or more on a terminal."""
    say(f"streamfmt: {shown(name)}: {message}")


def say(text: str) -> None:
    """A line on standard error, or more on a terminal."""
    print(fitted(text, sys.stderr), file=sys.stderr)


def fitted(text: str, output: TextIO | None = None) -> str:
    """Lines for the output (standard output, if none is given): as they are, so that `grep` finds all of one.

    On a terminal long ones are broken to be within 80 columns; names of files are not.
    """
    lines = text.split("\n")
    if max(map(len, lines)) <= _COLUMNS or not (output or sys.stdout).isatty():
        return text
    from textwrap import fill  # few lines need it

    return "\n".join(
        fill(line, _COLUMNS, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False)
        for line in lines
    )


class _Deaf(FileIO):
    """Standard error that never fails: whether it has a reader must not change what a command does."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


def prepare() -> None:
    """Make the standard streams fit for commands.

    Characters of a file's name or contents that the locale lacks are printed as escapes.  Writing to standard error
    never fails, even if its disk is full or its reader has gone.
    """
    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # it is Python's own
    if sys.stderr is not None:
        deaf = _Deaf(sys.stderr.fileno(), "w", closefd=False)
        sys.stderr = TextIOWrapper(BufferedWriter(deaf), sys.stderr.encoding, "backslashreplace", line_buffering=True)


def discard_output() -> None:
    """Keep the interpreter from flushing to a standard output that is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_stderr() -> None:
    """Have complaints go nowhere where standard error is closed."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it stays open as long as we run


def report_to(output: str | None) -> TextIO:
    """Where to say what was done: standard output, unless the result goes there, by whatever name."""
    try:
        taken = output == "-" or (output is not None and os.path.samestat(os.fstat(1), os.stat(output)))
    except OSError:
        taken = False
    return sys.stderr if taken else sys.stdout


def same_file(fd: int, path: str | int) -> bool:
    """Whether an open file is the regular file or the block device at `path`, or of that descriptor."""
    try:
        one, other = os.fstat(fd), os.stat(path)
    except OSError:
        return False
    if S_ISBLK(one.st_mode):
        return S_ISBLK(other.st_mode) and one.st_rdev == other.st_rdev  # whatever its name
    return S_ISREG(one.st_mode) and os.path.samestat(one, other)


def shown(name: str) -> str:
    """An input's name for people: on one line, and in characters that any terminal takes."""
    if name.isprintable():
        return "standard input" if name == "-" else name or "''"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
