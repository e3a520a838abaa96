"""One of the processes that search, and what it tells the one that started it.

Messages are tuples: ("progress", new inputs), ("failure", Failure), ("ended",), ("unrunnable", why), ("broken", why).
Anything sent to it, and SIGTERM, mean that it should end.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from random import Random

from .specs import Spec, UnrunnableError

# Seconds between two words on how far it is.
_TELLING = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process does: `number` of how many it is, `count` the inputs it tries at most, `end` by the clock."""

    target: Spec
    against: Spec | None
    timeout: float
    seed: int
    number: int
    count: int | None
    end: float
    form: str | None


def work(plan: Plan, pipe: Connection) -> None:
    """The life of the process."""
    # Not ignored, since what is ignored stays so in the commands that are run.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        with tempfile.TemporaryDirectory(prefix="streamfmt-fuzz-") as directory:
            # Hypothesis keeps what it knows of Unicode and of our constants in a directory, ./.hypothesis by default.
            os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = directory
            _search(plan, pipe)
        pipe.send(("ended",))
    except UnrunnableError as error:
        pipe.send(("unrunnable", str(error)))
    except (BrokenPipeError, EOFError):
        pass  # nobody is there to be told
    except Exception:
        pipe.send(("broken", traceback.format_exc()))


def _search(plan: Plan, pipe: Connection) -> None:
    from .search import ROUND, Judge, Key, Round, Stop
    from .sources import inputs
    from .targets import open_target

    told = time.monotonic()
    tried = unsaid = number = 0
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stop

    def tick(new: bool) -> None:
        nonlocal told, tried, unsaid, stopped
        tried += new
        unsaid += new
        now = time.monotonic()
        if now - told >= _TELLING:
            pipe.send(("progress", unsaid))
            told, unsaid = now, 0
            if pipe.poll():
                stopped = True
                raise Stop

    target = open_target(plan.target, plan.timeout)
    other = None
    try:
        other = open_target(plan.against, plan.timeout) if plan.against else None
        judge = Judge(plan.target, target, (plan.against, other) if plan.against and other else None)
        known: list[Key] = []
        source = inputs() if plan.form is None else inputs().filter(lambda sample: sample.form == plan.form)
        signal.signal(signal.SIGTERM, stop)
        while not stopped and time.monotonic() < plan.end and (plan.count is None or tried < plan.count):
            most = ROUND if plan.count is None else min(ROUND, plan.count - tried)
            before = tried
            failure = Round(judge, known, tick, plan.end).run(
                Random(f"{plan.seed}/{plan.number}/{number}"), most, source
            )
            number += 1
            if failure is not None:
                known.append(failure.key)
                pipe.send(("failure", failure))
            if tried == before:
                break
    except Stop:
        pass  # between two rounds, where nothing is lost
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        target.close()
        if other is not None:
            other.close()
    pipe.send(("progress", unsaid))
