"""Several processes that search, started, listened to and ended."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

from .specs import Spec
from .worker import Plan, work

if TYPE_CHECKING:
    from .search import Failure, Key

# Seconds that a process has to end once it has been told to, and then until it is killed.
_ENDING = 2.0
_GLANCE = 0.1


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

    `problems` are why the run says less than it might.
    """

    most: int
    inputs: int = 0
    seconds: float = 0.0
    failures: dict[Key, Failure] = field(default_factory=dict)
    interrupted: bool = False
    unrunnable: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.failures) >= self.most

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
    return (not failure.steady, len(failure.given.octets), failure.given.octets)


def run(asked: Run, found: Callable[[Failure], None], update: Callable[[Summary], None] | None) -> Summary:
    """Search as asked.  `found` is told of each failure to be kept, `update` now and then how far it is.

    SIGINT ends the search, and what has been found stays.
    """
    summary = Summary(asked.failures)
    begin = time.monotonic()
    end = begin + asked.seconds if asked.seconds is not None else float("inf")
    workers: dict[Connection, SpawnProcess] = {}
    try:
        try:
            _start(asked, end, workers)
            _listen(workers, summary, found, update, begin)
        except KeyboardInterrupt:
            summary.interrupted = True
        _end(workers, summary, found)
    finally:
        for process in workers.values():
            process.kill()
            process.join()
    summary.seconds = time.monotonic() - begin
    return summary


def _start(asked: Run, end: float, workers: dict[Connection, SpawnProcess]) -> None:
    context = multiprocessing.get_context("spawn")
    for number in range(asked.jobs):
        count = None if asked.count is None else asked.count // asked.jobs + (number < asked.count % asked.jobs)
        ours, theirs = context.Pipe()
        plan = Plan(asked.target, asked.against, asked.timeout, asked.seed, number, count, end, asked.form)
        process = context.Process(target=work, args=(plan, theirs))
        # Until it has a handler, Ctrl-C is not for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
            workers[ours] = process
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()


def _listen(
    workers: dict[Connection, SpawnProcess],
    summary: Summary,
    found: Callable[[Failure], None],
    update: Callable[[Summary], None] | None,
    begin: float,
) -> None:
    """Hear what they say until all have ended, or there is a reason for all to end."""
    while workers and not summary.unrunnable and not summary.full:
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
    elif kind == "failure":
        if summary.take(words[0]):
            found(words[0])
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


def _end(workers: dict[Connection, SpawnProcess], summary: Summary, found: Callable[[Failure], None]) -> None:
    """Let those that still run end, and hear their last words."""
    for pipe in workers:
        try:
            pipe.send("end")
        except OSError:
            pass  # it has ended
    for patience in (_ENDING, _ENDING):
        until = time.monotonic() + patience
        while workers and time.monotonic() < until:
            for pipe in _ready(workers):
                _hear(pipe, workers, summary, found)
        for process in workers.values():
            process.terminate()
