"""``streamfmt diff --records``: two streams record by record, as they come."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack

from ..api import Stream
from ..compare.comparison import A, B
from ..compare.records import compare
from ..errors import StreamError
from ..io.sources import unreadable
from ..reader.events import Sink
from ..reader.reader import Reader
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .diff import Job


def run(job: Job) -> None:
    """Read both side by side."""
    with ExitStack() as opened:
        streams: dict[str, Stream] = {}
        for side, name in job.names.items():
            stream = _opened(job, side, name)
            if stream is None:
                return
            streams[side] = opened.enter_context(stream)
        _compare(job, streams[A], streams[B])


def _opened(job: Job, side: str, name: str) -> Stream | None:
    """One of them; None if it cannot be read, which has been said then."""
    found: list[Stream] = []

    def act() -> None:
        with inputs.Stoppable():
            try:
                found.append(Stream(0 if name == "-" else name, job.forms[side], guest=job.args.guest))
            except OSError as error:
                raise unreadable(error) from error
            except StreamError as error:
                job.fails(side, str(error))

    failure = inputs.attempt(Reader(Sink()), act)
    if failure is not None:
        job.fails(side, failure)
    return found[0] if found else None


def _compare(job: Job, a: Stream, b: Stream) -> None:
    def act() -> None:
        with inputs.Stoppable(), inputs.Progress(_size(job.args.a)) as progress:
            try:
                job.found = compare(a, b, job.most, progress)
            except OSError as error:
                raise unreadable(error) from error

    failure = inputs.attempt(Reader(Sink()), act)
    if failure is not None:
        job.fails(A, failure)
    job.sizes |= {A: a.offset, B: b.offset}
    if job.found is not None:
        job.descriptions |= job.found.descriptions


def _size(name: str) -> int | None:
    """Bytes of a file that is read, if it is one."""
    try:
        found = os.fstat(0) if name == "-" else os.stat(name)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
