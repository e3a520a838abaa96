"""Inputs of the commands: files, standard input, and compressed ones of either; progress; what went wrong.

:func:`run_reader` is the only way by which a command reads a stream.
"""

from __future__ import annotations

import os
import stat
import sys

from ..reader.identify import COMPRESSED, COMPRESSED_HEAD, READ
from ..reader.sources import DamagedError, FileSource, PipeSource, Source, UnreadableError, drive
from ..reader.stack import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any


class InputError(Exception):
    """An input that cannot be read (`status` 3) or is damaged outside the stream (`status` 1)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments every reading command has."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to read; - is standard input")
    parser.add_argument(
        "--as",
        dest="form",
        choices=("auto", *READ),
        default="auto",
        help="take the input for this, instead of looking at its first octets",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; see docs/json.md")


def run_reader(name: str, reader: Reader) -> None:
    """Run `reader` on the input called `name` to its end.  Raises InputError."""
    fd = opened = -1
    try:
        try:
            if name != "-":
                opened = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            fd = max(opened, 0)
            source = _source(fd, reader)
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from error
        try:
            with Progress(source.size) as progress:
                drive(reader.engine, source, progress)
        finally:
            source.close()
    except UnreadableError as error:
        raise InputError(f"cannot read: {error}", 3) from error
    except DamagedError as error:
        position = reader.window.position
        raise InputError(f"{error} (after {position:,} octets of content)", 1) from error
    finally:
        if opened >= 0:
            os.close(opened)


def _source(fd: int, reader: Reader) -> Source:
    """The source for a descriptor; the first octets of a pipe may be in the reader's window already."""
    kind = os.fstat(fd).st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(21, "it is a directory")
    if stat.S_ISREG(kind) or stat.S_ISBLK(kind):
        key = "" if reader.exact else _compressed(os.pread(fd, COMPRESSED_HEAD, os.lseek(fd, 0, os.SEEK_CUR)))
        return _opened(key, lambda size: os.read(fd, size)) if key else FileSource(fd, reader.exact)
    if reader.exact:
        return PipeSource(fd, exact=True)
    head = _head(fd)
    key = _compressed(head)
    if key:
        return _opened(key, _after(head, fd))
    room = reader.window.room()
    room[: len(head)] = head
    reader.window.hi = len(head)
    return PipeSource(fd)


def _head(fd: int) -> bytes:
    """The first octets of a pipe, as many as a magic of compressed data has."""
    head = b""
    while len(head) < COMPRESSED_HEAD:
        data = os.read(fd, COMPRESSED_HEAD - len(head))
        if not data:
            break
        head += data
    return head


def _compressed(head: bytes) -> str:
    return next((key for octets, key in COMPRESSED.items() if head.startswith(octets)), "")


def _opened(key: str, read: Callable[[int], bytes]) -> Source:
    from ..reader.compressed import CompressedSource  # few inputs are

    return CompressedSource(key, read)


def _after(head: bytes, fd: int) -> Callable[[int], bytes]:
    """A read function whose first octets have been read already."""
    pending = [head]
    return lambda size: pending.pop() if pending else os.read(fd, size)


class Progress:
    """A bar on standard error for work that lasts over a second, on terminals only."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._bar: Any = None
        self._task: Any = None
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
        if self._bar is None:
            self._start()
        self._bar.update(self._task, completed=position)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
        # What the command prints goes above the bar where both are on the terminal, else nowhere near it.
        above = sys.stdout.isatty()
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=above, redirect_stderr=above)
        self._bar.start()
        self._task = self._bar.add_task("", total=self._total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def colour() -> bool:
    """Whether standard output is a terminal whose owner has not asked for plain text."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def complain(name: str, message: str) -> None:
    """One line on standard error about one input."""
    print(f"streamfmt: {shown(name)}: {message}", file=sys.stderr)


def shown(name: str) -> str:
    """An input's name for people: on one line, and in characters that any terminal takes."""
    if name.isprintable():
        return "standard input" if name == "-" else name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
