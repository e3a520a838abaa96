"""One of the processes that search, and what it sends to the one that started it.

Messages are tuples: ("progress", new inputs), ("first", Failure) for one that is to be made small, ("failure", Failure)
for the same when that is done, ("ended",), ("unrunnable", why), ("broken", why).
Anything sent to it means that it should end.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import traceback
from contextlib import ExitStack, closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from random import Random

from ..conformance.kin import Kin
from ..conformance.target import Spec, Stop
from ..errors import UnrunnableError
from ..io.sources import reason

# By these a search is asked to end.
SIGNALS = frozenset((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
# Seconds between two messages on how far it is.
_PROGRESS = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process does: `number` of how many it is, `count` the inputs it tries at most, and for `seconds`.

    The seconds begin with its first input: the time to start is not part of the search.

    `directory` is for its files; the process that started it removes it, even if this one is killed.
    """

    target: Spec
    against: Spec | None
    timeout: float
    seed: int
    number: int
    count: int | None
    seconds: float
    form: str | None
    directory: str


def work(plan: Plan, pipe: Connection) -> None:
    """The life of the process."""
    # A terminal sends them to all; the process that started this one decides what happens.
    # They are not ignored, since what is ignored stays so in the commands that are run.
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    tempfile.tempdir = plan.directory
    # Hypothesis keeps what it knows of Unicode and of our constants in a directory, ./.hypothesis by default.
    # Computing that takes a second, so a directory that the user has set for it is kept.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", plan.directory)
    try:
        _search(plan, pipe)
        pipe.send(("ended",))
    except UnrunnableError as error:
        pipe.send(("unrunnable", str(error)))
    except (BrokenPipeError, EOFError):
        shutil.rmtree(plan.directory, ignore_errors=True)  # the process that would do it has gone
    except OSError as error:
        # The targets' own are theirs: this is the system's, which has no room for a file, or no more of something.
        pipe.send(("unrunnable", f"{error.filename or 'temporary files'}: {reason(error)}"))
    except Exception:  # a fault of our own, for the other process to report
        pipe.send(("broken", traceback.format_exc()))


def _search(plan: Plan, pipe: Connection) -> None:
    from ..conformance.command import open_target
    from ..strategies import inputs
    from .search import ROUND, Judge, Key, Round

    reported = time.monotonic()
    tried = unsaid = number = 0

    def tick(new: bool) -> None:
        nonlocal reported, tried, unsaid
        tried += new
        unsaid += new
        now = time.monotonic()
        if now - reported >= _PROGRESS:
            pipe.send(("progress", unsaid))
            reported, unsaid = now, 0
            if pipe.poll():
                raise Stop

    try:
        with ExitStack() as opened:
            # They are closed before it looks after what they leave.
            kin = opened.enter_context(Kin())
            target, *others = (
                opened.enter_context(closing(open_target(spec, plan.timeout, kin, pipe)))
                for spec in (plan.target, plan.against)
                if spec is not None
            )
            judge = Judge(plan.target, target, (plan.against, others[0]) if plan.against else None)
            known: list[Key] = []
            source = inputs(plan.form)
            end = time.monotonic() + plan.seconds
            while not pipe.poll() and time.monotonic() < end and (plan.count is None or tried < plan.count):
                most = ROUND if plan.count is None else min(ROUND, plan.count - tried)
                before = tried
                failure = Round(judge, known, tick, end, lambda failure: pipe.send(("first", failure))).run(
                    Random(f"{plan.seed}/{plan.number}/{number}"), most, source
                )
                number += 1
                if failure is not None:
                    known.append(failure.key)
                    pipe.send(("failure", failure))
                if tried == before:
                    break
    except Stop:
        pass  # while a target was opened
    finally:
        pipe.send(("progress", unsaid))
