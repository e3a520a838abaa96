"""What a target did with one stream, and what distinguishes one failure from another."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from ..checks.duties import ACCEPT, EITHER, REJECT

__all__ = ["ACCEPT", "CRASH", "DISAGREEMENT", "EITHER", "HANG", "REJECT", "Result", "of_exception", "of_exit"]

CRASH, HANG, DISAGREEMENT = "crash", "hang", "disagreement"

# Numbers that differ from run to run, such as addresses and process ids, but not those of a line in a file.
_VARYING = re.compile(r"0x[0-9a-fA-F]+|(?<![:\w])\d+(?!\w)")
_TRACEBACK = "Traceback (most recent call last)"
_SANITIZER = re.compile(r"^.*(?:ERROR: \w*Sanitizer|runtime error:).*$", re.MULTILINE)
# A frame of a sanitizer's report with its source line, and a frame of a Python traceback.
_FRAME = re.compile(r"^\s*#\d+ \S+ in (\S+ \S+:\d+)", re.MULTILINE)
_PYTHON_FRAME = re.compile(r'^\s*File "(?P<file>[^"]*)", line (?P<line>\d+)', re.MULTILINE)
_LINE_MAX = 200


@dataclass(frozen=True, slots=True)
class Result:
    """One run: accept, reject, crash or hang, or either where that does not matter; `what` says so in words.

    `where` is what a crash or a refusal is known by, without what differs from run to run and from stream to stream.
    """

    kind: str
    what: str = ""
    where: str = ""


def of_exit(status: int, stderr: str) -> Result:
    """What a command's exit status (negative: the signal that killed it) and standard error mean."""
    last = _last(stderr)
    found = _SANITIZER.search(stderr)
    if found:
        frame = _FRAME.search(stderr, found.end())
        where = f"{_VARYING.sub('N', found[0].strip())} {frame[1] if frame else ''}".strip()
        return Result(CRASH, found[0].strip()[:_LINE_MAX], where)
    if status < 0:
        name = signal_name(-status)
        # We kill only what hangs.
        perhaps = " (by a limit or for want of memory, perhaps)" if -status == signal.SIGKILL else ""
        what = f"killed by {name}{perhaps}" + (f": {last}" if last else "")
        return Result(CRASH, what, f"{name} {_VARYING.sub('N', last)}")
    if _TRACEBACK in stderr:
        frames = list(_PYTHON_FRAME.finditer(stderr, stderr.rindex(_TRACEBACK)))
        place = f"{frames[-1]['file']}:{frames[-1]['line']}" if frames else ""
        return Result(CRASH, f"Python traceback: {last} ({place})", f"{last.partition(':')[0]} {place}")
    if status:
        return refused(f"exit status {status}" + (f": {last}" if last else ""))
    return Result(ACCEPT, "exit status 0")


def refused(why: str) -> Result:
    """A stream was not taken."""
    why = _last(" ".join(why.split()))
    return Result(REJECT, why, _VARYING.sub("N", why))


def of_exception(error: BaseException) -> Result:
    """What an exception that a reader should not raise means."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    words = _last(f"{name}: {said(error)}".rstrip(": "))
    return Result(CRASH, f"{words} ({place})", f"{name} {place}")


def said(error: BaseException) -> str:
    """Its words, on one line."""
    try:
        return " ".join(str(error).split())
    except Exception as other:  # it is the target's class, which may do anything
        return f"its text raises {type(other).__name__}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last(stderr: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in lines[-1][:_LINE_MAX]) if lines else ""
