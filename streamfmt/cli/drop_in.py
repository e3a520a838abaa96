"""What the replacements of Xen's scripts have in common: where their words go, and descriptors as arguments."""

from __future__ import annotations

import sys

from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    T = TypeVar("T")


# Exit statuses, as of the scripts.
GOOD, BAD, FAILED = 0, 1, 2


class UsageError(Exception):
    """What is wrong with the arguments."""


def options_of(
    read: Callable[[Sequence[str]], T], arguments: Sequence[str] | None, program: str, usage: str
) -> T | None:
    """What `read` makes of the arguments, or of the command's own; None if they are wrong, which is said."""
    inputs.open_stderr()
    try:
        return read(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        print(f"{usage}\n{program}: error: {error}", file=sys.stderr)
        return None


class Log:
    """Where words go: what -v asks for to standard output, errors to standard error; with --syslog, there as well."""

    def __init__(self, program: str, verbose: bool, quiet: bool, syslog: bool) -> None:
        self.verbose = verbose and not quiet
        self.quiet = quiet
        self._send: Callable[[str, str], None] | None = _syslog(program) if syslog else None

    def info(self, text: str) -> None:
        if not self.verbose:
            return
        if self._send is not None:
            self._send("LOG_INFO", text)
        elif sys.stdout is None:
            raise OSError("standard output is closed")
        else:
            print(text, flush=True)

    def error(self, text: str) -> None:
        if self.quiet:
            return
        if self._send is not None:
            self._send("LOG_ERR", text)
        print(text, file=sys.stderr)


def _syslog(program: str) -> Callable[[str, str], None]:
    import syslog  # not in every Python

    syslog.openlog(program, syslog.LOG_PID)

    def send(level: str, text: str) -> None:
        for line in text.splitlines():
            syslog.syslog(getattr(syslog, level), line)

    return send


def number_of(given: str) -> int | None:
    """The descriptor that an argument is, if it is one."""
    try:
        return int(given)
    except ValueError:
        return None


def name_of(given: str, written: bool = False) -> str:
    """What to call an input, or an output that is to be `written`."""
    number = number_of(given)
    if number is None:
        return inputs.shown(given) if given != "-" else "file -"
    standard = {1: "standard output"} if written else {0: "standard input"}
    return standard.get(number, f"descriptor {number}")
