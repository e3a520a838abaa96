"""A line on standard error that says how far work is; imported where there is a terminal and something to say."""

from __future__ import annotations

import sys

from rich import progress
from rich.console import Console

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Line:
    """Some columns, for as long as the terminal takes them: work goes on without them."""

    def __init__(self, *columns: progress.ProgressColumn, total: int | None = None) -> None:
        # What the command prints goes above the line where both are on the terminal, else nowhere near it.
        above = sys.stdout.isatty()
        # Without a thread of its own, whose errors would be lost.
        self._bar = progress.Progress(
            *columns,
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=above,
            redirect_stderr=above,
        )
        self._task = self._bar.add_task("", total=total)
        self._taken = True

    def update(self, **values: Any) -> None:
        """Show it with these values of its task."""
        if not self._taken:
            return
        try:
            self._bar.start()
            self._bar.update(self._task, refresh=True, **values)
        except OSError:
            self._taken = False  # the terminal has gone, or is non-blocking

    def end(self) -> None:
        """Take it away."""
        try:
            self._bar.stop()
        except OSError:
            pass  # as above


def bar(total: int | None, streams: bool) -> Line:
    """How much of `total` bytes, or streams, is done."""
    in_bytes = progress.DownloadColumn(binary_units=True), progress.TransferSpeedColumn()
    done = (progress.MofNCompleteColumn(), progress.TextColumn("streams")) if streams else in_bytes
    return Line(progress.BarColumn(), *done, progress.TimeRemainingColumn(), total=total)
