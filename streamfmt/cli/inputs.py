"""Inputs of the commands: files, standard input, and compressed ones of either; progress; what went wrong.

:func:`run_reader` is the only way by which a command reads a stream.
"""

from __future__ import annotations

import os
import sys

from ..reader.identify import FORMS
from ..reader.sources import DamagedError, UnreadableError, drive, reason, source_for
from ..reader.stack import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any, TextIO

    from ..reader.sources import Driven


class InputError(Exception):
    """An input that cannot be read (`status` 3) or is damaged outside the stream (`status` 1)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments every reading command has."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to read; - is standard input")
    add_form(parser)
    parser.add_argument("--json", action="store_true", help="print JSON; see docs/json.md")


def add_form(parser: argparse.ArgumentParser) -> None:
    """What says how the input is to be taken."""
    parser.add_argument(
        "--as",
        dest="form",
        metavar="FORM",
        choices=("auto", *FORMS),
        default="auto",
        help=f"take the input for one of {', '.join(FORMS)}, instead of looking at its first octets",
    )


def run_reader(name: str, reader: Reader, driven: Driven | None = None) -> None:
    """Run `reader`, or what is `driven` with it, on the input called `name` to its end.  Raises InputError."""
    fd = opened = -1
    try:
        try:
            if name != "-":
                opened = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            fd = max(opened, 0)
            source = source_for(fd, reader)
        except OSError as error:
            raise UnreadableError(reason(error)) from error
        try:
            with Progress(source.size) as progress:
                drive(driven or reader.engine, source, progress)
        finally:
            source.close()
    except UnreadableError as error:
        raise InputError(f"cannot read: {error}", 3) from error
    except DamagedError as error:
        raise InputError(damage(error, reader), 1) from error
    finally:
        if opened >= 0:
            os.close(opened)


def damage(error: DamagedError, reader: Reader) -> str:
    """What to say of an input that is damaged outside the stream."""
    return f"{error} (after {reader.window.position:,} octets of content)"


def fault(error: Exception, reader: Reader) -> str:
    """What to say, in a line, of a fault of our own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return f"internal error, please report it: {words}{place}; judged as far as {reader.window.position}"


class Progress:
    """A bar on standard error for work that lasts over a second, on terminals only, and as long as they take it."""

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
        try:
            if self._bar is None:
                self._start()
            self._bar.update(self._task, completed=position, refresh=True)
        except OSError:
            self._due = float("inf")  # the terminal has gone, or somebody made it non-blocking: work without a bar

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
        # What the command prints goes above the bar where both are on the terminal, else nowhere near it.
        above = sys.stdout.isatty()
        console = Console(stderr=True)
        # Without a thread of its own, whose errors nobody would see.
        self._bar = Progress(
            *columns,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=above,
            redirect_stderr=above,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=self._total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            try:
                self._bar.stop()
            except OSError:
                pass  # as above


def colour(output: TextIO | None = None) -> bool:
    """Whether the output (standard output, if none is given) is a terminal whose owner has not asked for plain text."""
    return (output or sys.stdout).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def complain(name: str, message: str) -> None:
    """One line on standard error about one input."""
    print(f"streamfmt: {shown(name)}: {message}", file=sys.stderr)


def shown(name: str) -> str:
    """An input's name for people: on one line, and in characters that any terminal takes."""
    if name.isprintable():
        return "standard input" if name == "-" else name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
