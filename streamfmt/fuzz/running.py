"""Several processes that search, started, listened to and ended."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

from ..conformance.kin import Kin
from ..conformance.target import Spec
from ..errors import UnendingError
from ..io.sources import reason
from .worker import SIGNALS, Plan, work

if TYPE_CHECKING:
    from .search import Failure, Key

# Seconds that a process has to end once it has been asked to, until it is killed; and where a user waits for that.
_ENDING = 4.0
_INTERRUPTED = 0.7
_GLANCE = 0.1
FAILURES, NO_FAILURE, UNFINISHED, NOTHING_TRIED = "failures", "no failure", "unfinished", "nothing tried"


@dataclass(frozen=True, slots=True)
class Run:
    """What is asked for, of streams of one `form` or of all.

    `failures` that differ end it, and `count` inputs or `seconds`, whichever is given and comes first.
    """

    target: Spec
    against: Spec | None
    seconds: float | None
    count: int | None
    seed: int
    jobs: int
    timeout: float
    failures: int = 100
    form: str | None = None


@dataclass(slots=True)
class Summary:
    """How it went: `failures` by key, the smallest of each, `most` of them at most.

    `interrupted` says how often it was asked to end, `signal` by what first.  It also ends where the target is
    `unrunnable`, or a failure cannot be kept (`unwritable`).  `pending` are failures that are being made small, and
    `problems` faults of our own.
    """

    most: int
    inputs: int = 0
    seconds: float = 0.0
    failures: dict[Key, Failure] = field(default_factory=dict)
    interrupted: int = 0
    signal: int = 0
    unrunnable: str = ""
    unwritable: OSError | None = None
    problems: list[str] = field(default_factory=list)
    pending: dict[Connection, Failure] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """Why it could not go on, or was nothing at all; empty if that is not so."""
        if self.unrunnable:
            return self.unrunnable
        if self.unwritable:
            return f"a failure cannot be written: {reason(self.unwritable)}"
        if self.problems:
            return self.problems[0].strip().splitlines()[-1]
        return "" if self.inputs or self.failures or self.signal else "no input was tried; give it more time"

    @property
    def result(self) -> str:
        """What came of it in a word or two; a failure is one even if more was to be tried."""
        if self.failures:
            return FAILURES
        if not self.inputs:
            return NOTHING_TRIED
        return UNFINISHED if self.signal or self.error else NO_FAILURE

    @property
    def status(self) -> int:
        """Exit status of the command."""
        if self.error:
            return 3
        if self.failures:
            return 1
        return 128 + self.signal if self.signal else 0

    @property
    def full(self) -> bool:
        return len(self.failures) >= self.most

    @property
    def over(self) -> bool:
        return bool(self.full or self.interrupted or self.unrunnable or self.unwritable)

    def take(self, failure: Failure) -> bool:
        """Keep a failure, if it is the first or the smallest of its kind."""
        known = self.failures.get(failure.key)
        if known is None:
            if self.full:
                return False
        elif _weight(known) <= _weight(failure):
            return False
        self.failures[failure.key] = failure
        return True


def _weight(failure: Failure) -> tuple[bool, int, bytes]:
    return (not failure.steady, len(failure.given.data), failure.given.data)


def run(asked: Run, found: Callable[[Failure], None], update: Callable[[Summary], None] | None) -> Summary:
    """Search as asked.  `found` is called with each failure to be kept, `update` now and then with the state so far.

    SIGINT, SIGTERM and SIGHUP end the search, and what has been found stays; after a second one, nothing is waited for.
    """
    summary = Summary(asked.failures)
    begin = time.monotonic()
    # It is to live; and the first start does this else, and lets signals through again.
    resource_tracker.ensure_running()
    with _interruptions(summary), tempfile.TemporaryDirectory(prefix="streamfmt-fuzz-") as directory:
        try:
            # The targets of those that had to be killed come to us.
            with Kin():
                _run(asked, directory, summary, found, update, begin)
        except UnendingError as error:
            summary.unrunnable = summary.unrunnable or str(error)
    summary.seconds = time.monotonic() - begin
    return summary


def _run(
    asked: Run,
    directory: str,
    summary: Summary,
    found: Callable[[Failure], None],
    update: Callable[[Summary], None] | None,
    begin: float,
) -> None:
    workers: dict[Connection, SpawnProcess] = {}
    try:
        _start(asked, directory, workers, summary)
        _listen(workers, summary, found, update, begin)
        _end(workers, summary, found)
    finally:
        for process in workers.values():
            process.kill()
        for process in workers.values():
            process.join()


@contextmanager
def _interruptions(summary: Summary) -> Iterator[None]:
    """Count the signals instead of being torn out of what is done, be it writing a failure down."""

    def count(number: int, _: object) -> None:
        summary.interrupted += 1
        summary.signal = summary.signal or number

    # What is ignored, as by nohup, stays so.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in heard:
        signal.signal(number, count)
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)


def _start(asked: Run, directory: str, workers: dict[Connection, SpawnProcess], summary: Summary) -> None:
    context = multiprocessing.get_context("spawn")
    seconds = float("inf") if asked.seconds is None else asked.seconds
    for number in range(asked.jobs):
        if summary.over:
            break
        count = None if asked.count is None else asked.count // asked.jobs + (number < asked.count % asked.jobs)
        try:
            ours, theirs = context.Pipe()
            plan = Plan(
                asked.target, asked.against, asked.timeout, asked.seed, number, count, seconds, asked.form, directory
            )
            process = context.Process(target=work, args=(plan, theirs))
            # Until it has handlers, signals are not for it.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            try:
                process.start()
                workers[ours] = process
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            theirs.close()
        except OSError as error:
            summary.unrunnable = f"only {number} of {asked.jobs} processes could be started: {reason(error)}"


def _listen(
    workers: dict[Connection, SpawnProcess],
    summary: Summary,
    found: Callable[[Failure], None],
    update: Callable[[Summary], None] | None,
    begin: float,
) -> None:
    """Hear what they say until all have ended, or there is a reason for all to end."""
    while workers and not summary.over:
        for pipe in _ready(workers):
            _hear(pipe, workers, summary, found)
        if update is not None:
            summary.seconds = time.monotonic() - begin
            update(summary)


def _ready(workers: dict[Connection, SpawnProcess]) -> list[Connection]:
    """Those that have something to say, if there are any soon."""
    return [pipe for pipe in wait(list(workers), _GLANCE) if isinstance(pipe, Connection)]


def _hear(
    pipe: Connection, workers: dict[Connection, SpawnProcess], summary: Summary, found: Callable[[Failure], None]
) -> None:
    """One message."""
    try:
        kind, *words = pipe.recv()
    except (EOFError, OSError):
        kind, words = "died", []
    if kind == "progress":
        summary.inputs += words[0]
    elif kind == "first":
        summary.pending[pipe] = words[0]
    elif kind == "failure":
        summary.pending.pop(pipe, None)
        _take(words[0], summary, found)
    else:
        process = workers.pop(pipe)
        pipe.close()
        if kind == "unrunnable":
            summary.unrunnable = words[0]
        elif kind == "broken":
            summary.problems.append(words[0])
        process.join(_ENDING)
        if kind == "died":
            summary.problems.append(f"one of the searching processes ended with status {process.exitcode}\n")


def _take(failure: Failure, summary: Summary, found: Callable[[Failure], None]) -> None:
    if summary.take(failure):
        try:
            found(failure)
        except OSError as error:
            summary.unwritable = error


def _end(workers: dict[Connection, SpawnProcess], summary: Summary, found: Callable[[Failure], None]) -> None:
    """Let those that still run end, and hear their last words."""
    for pipe in workers:
        try:
            pipe.send("end")
        except OSError:
            pass  # it has ended
    until = time.monotonic() + (_INTERRUPTED if summary.interrupted else _ENDING)
    while workers and time.monotonic() < until and summary.interrupted < 2:
        for pipe in _ready(workers):
            _hear(pipe, workers, summary, found)
    # What those found that had no time to make it small, or that have died of it.
    for failure in summary.pending.values():
        _take(failure, summary, found)
