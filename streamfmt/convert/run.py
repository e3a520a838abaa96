"""Running a conversion over an input.

A file is judged first, all of it: what breaks a rule, or would be lost, is refused before there is any output, and
what only its end shows is known.  What can only be read once, such as a pipe, is judged on the way, and an output that
has begun by then and is a pipe itself cannot be taken back.  Where the end has to be known first, such an input is kept
in a file without a name meanwhile.
"""

from __future__ import annotations

import os
import stat

from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..errors import RefusedError, UnfitError, UnreadableError, UnwritableError
from ..io.copying import Copying, Plan, Unplanned
from ..io.sources import drive, reason, source_for
from ..reader.both import Both
from ..reader.failure import failed
from ..reader.reader import Reader
from ..reader.registry import READ
from .part import Conversion, Options
from .rules import MENDED_ANYWAY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any, TypeAlias

    from ..io.outputs import Output
    from ..io.sources import Source
    from ..reader.failure import Failure

    # What shows the progress of a pass, by the size of the input if that is known.
    Progress: TypeAlias = Callable[[int | None], AbstractContextManager[Callable[[int], None] | None]]


class Result:
    """What came of a conversion: `outcome` judges the input; `report` says what was done, and `written` how many bytes.

    `mended` is how often each clause was broken that is not any more, `unfit` what is in the way.  `failure` is why it
    was not finished, None if it was or if the input is to blame.  `begun` if something has gone out all the same.
    """

    def __init__(self, outcome: Outcome, conversion: Conversion) -> None:
        self.outcome = outcome
        self.report = conversion.report
        self.mended = conversion.mended
        self.unfit = conversion.report.unfit(conversion.options.allow_loss)
        self.written = 0
        self.failure: Failure | None = None
        self.begun = False
        self.head = b""

    @property
    def accepted(self) -> bool:
        """Whether the input can be converted: it conforms, apart from what is mended, and nothing is in the way."""
        return not self.unfit and self.sound

    @property
    def sound(self) -> bool:
        """Whether the input conforms, apart from what is mended."""
        outcome = self.outcome
        if outcome.conforms or (self.unfit and not outcome.errors and outcome.failure is None):
            return True  # what is in the way may have been met first
        severity = outcome.verifier.findings.severity
        left = [name for name, count in outcome.counts.items() if count > self.mended.get(name, 0)]
        whole = outcome.verifier.complete and outcome.verifier.unjudged is None and outcome.failure is None
        return whole and outcome.errors > 0 and not any(severity[name] == "error" for name in left)

    @property
    def done(self) -> bool:
        """Whether there is an output, and it is whole."""
        return self.accepted and self.failure is None

    @property
    def status(self) -> int:
        """Exit status: 0 if it is done, 1 if the input is to blame, else what the failure says."""
        return max(int(not self.accepted), self.failure.status if self.failure else 0)


# How much of an input shows what it is.
_HEAD = 256 << 10


class _Judge(Verifier):
    """Judges on the way, and has reading end where the first rule is broken."""

    def report(self, *words: Any, **more: Any) -> None:
        before = len(self.findings.kept)
        super().report(*words, **more)
        for finding in self.findings.kept[before:]:
            if finding.severity == "error" and finding.clause not in MENDED_ANYWAY:
                raise RefusedError(finding)


def convert(fd: int, open_output: Callable[[], Output], options: Options, progress: Progress) -> Result:
    """Convert what descriptor `fd` has, from where it stands, into an output that is opened when it is time for that.

    Raises UnreadableError and UnwritableError if an input or output cannot even be opened.
    """
    try:
        kind = os.fstat(fd).st_mode
        twice = stat.S_ISREG(kind) or stat.S_ISBLK(kind)
    except OSError as error:
        raise UnreadableError(reason(error)) from error
    if twice or not options.repair:
        return (_surveyed if twice else _at_once)(fd, open_output, options, progress)
    from ..io.spool import kept  # few inputs are

    with kept(fd) as file:
        return _surveyed(file, open_output, options, progress)


def _conversion(
    options: Options, plan: Plan, facts: dict[Any, Any] | None = None, surveying: bool = False
) -> Conversion:
    """What converts: the contents, or the wrapper."""
    if options.wrapper is None:
        return Conversion(options, plan, facts, surveying)
    from .containers import Rewrapping  # most conversions are of contents

    return Rewrapping(options, plan, options.wrapper, surveying)


def _both(judge: Verifier, conversion: Conversion) -> Both:
    judge.device_model = conversion.device_model
    return Both(judge, conversion)


def _surveyed(fd: int, open_output: Callable[[], Output], options: Options, progress: Progress) -> Result:
    """Convert a file, after a look at all of it."""
    start = os.lseek(fd, 0, os.SEEK_CUR)
    verifier = Verifier(severity=options.severity)
    survey = _conversion(options, Unplanned(copying=False), surveying=True)
    reader = Reader(_both(verifier, survey), options.form, options.exact, options.guest)
    failure = _run(reader, fd, progress, lambda source, update: drive(reader.pump, source, update))
    result = Result(Outcome(reader, verifier, failure=failure), survey)
    if not result.done:
        result.head = os.pread(fd, _HEAD, start) if failure is None else b""
        return result
    os.lseek(fd, start, os.SEEK_SET)
    conversion = _conversion(options, Plan(), survey.facts)
    result.report = conversion.report

    def judged(failure: Failure | None) -> Result:
        result.failure = failure
        return result

    reader = Reader(conversion, options.form, options.exact, options.guest)
    return _write(reader, conversion.plan, fd, open_output, progress, judged)


def _at_once(fd: int, open_output: Callable[[], Output], options: Options, progress: Progress) -> Result:
    """Convert what can only be read once."""
    judge = _Judge(severity=options.severity)
    conversion = _conversion(options, Plan())
    reader = Reader(_both(judge, conversion), options.form, options.exact, options.guest)

    def judged(failure: Failure | None) -> Result:
        ours = failure is not None and failure.kind == "unwritable"
        result = Result(Outcome(reader, judge, failure=None if ours else failure), conversion)
        result.failure = failure
        return result

    return _write(reader, conversion.plan, fd, open_output, progress, judged)


def _write(
    reader: Reader,
    plan: Plan,
    fd: int,
    open_output: Callable[[], Output],
    progress: Progress,
    judged: Callable[[Failure | None], Result],
) -> Result:
    """Copy by the plan, and finish the output if the result, which `judged` makes, is that it is done."""
    try:
        out = open_output()
    except OSError as error:
        raise UnwritableError(reason(error)) from error
    written, head = 0, b""

    def copy(source: Source, update: Callable[[int], None] | None) -> None:
        nonlocal written, head
        copying = Copying(source, out, plan)
        try:
            copying.run(reader.pump, update)
            if not reader.exact and reader.identity is not None and reader.identity.key in READ:
                copying.rest(reader.window, update)
        finally:
            written, window = copying.written, reader.window
            head = b"" if window.base else bytes(window.view[: min(window.hi, _HEAD)])

    try:
        result = judged(_run(reader, fd, progress, copy))
        if result.done:
            try:
                out.finish()
            except OSError as error:
                result.failure = failed(UnwritableError(reason(error)), written)
    except BaseException:
        out.abort()
        raise
    result.written, result.head = written, head
    if not result.done:
        result.begun = out.partial
        out.abort()
    return result


def _run(
    reader: Reader, fd: int, progress: Progress, work: Callable[[Source, Callable[[int], None] | None], None]
) -> Failure | None:
    """Do the work on the source of a descriptor.  Returns why it did not come to an end, unless a rule was broken."""
    try:
        source = source_for(fd, reader)
        try:
            with progress(source.size) as update:
                work(source, update)
        finally:
            source.close()
    except (RefusedError, UnfitError):
        return None
    except OSError as error:
        return failed(UnreadableError(reason(error)), reader.window.position)
    except Exception as error:
        return failed(error, reader.window.position)
    finally:
        reader.close()
    return None
