"""Signals that end a command which writes files: it leaves no more than Ctrl-C does."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..io.beside import sweep


@contextmanager
def stopped() -> Iterator[None]:
    """Have SIGTERM, and SIGHUP of a terminal that is closed, end what is written as an exception does."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        sweep()
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
