"""What came of a conversion, as people and programs read it."""

from __future__ import annotations

from ..checks.findings import SEVERITIES
from ..io import outputs
from ..render.text import finding_lines, summary, times
from .rules import LOST, MENDABLE, RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .report import Line
    from .run import Result

_COLUMNS = 80
# Bytes that a legacy stream has its first numbers in, which no text looks like.
_NUMBERS = 16
_MARGIN = " " * 12


def text(result: Result, source: str, target: str, quiet: bool = False, looks: str = "") -> str:
    """The report, within 80 columns: what the input is, what was done and why, and what came of it.

    `looks` is what it looks like, if it was declared to be something else.
    """
    lines = []
    outcome = result.outcome
    if not quiet and outcome.verifier.layers:
        lines.append(f"{source}: {outcome.describe()}")
        if not result.sound:
            lines += [line for _, line in finding_lines(outcome, severities=SEVERITIES[:1])]
        else:
            lines += listed(result.report if result.done else result.unfit)
    if looks:
        lines += wrapped(f"  looks like: {looks}")
    return "\n".join([*lines, *last(result, source, target)]) + "\n"


def listed(lines: Iterable[Line]) -> list[str]:
    """What was done, or is in the way: each with its rule and why."""
    found = []
    for line in lines:
        often = f", {times(line.count)}" if line.count > 1 else ""
        found += wrapped(f"  {line.kind:<8}  {line.text}{often}")
        why = f"{line.rule}: {RULES[line.rule].why}"
        found += wrapped(_MARGIN + why)
    return found


def wrapped(line: str) -> list[str]:
    """A line of a report, as several where it is too long for one."""
    if len(line) <= _COLUMNS:
        return [line]
    from textwrap import wrap  # most lines need none

    return wrap(line, _COLUMNS, subsequent_indent=_MARGIN, break_on_hyphens=False)


def last(result: Result, source: str, target: str, hints: bool = True) -> list[str]:
    """The end of a report: what there is now, or why there is nothing; and with `hints` what may be done about it."""
    return wrapped(_last(result, source, target) + (_hint(result) if hints and not result.done else ""))


def _last(result: Result, source: str, target: str) -> str:
    report = result.report
    if result.done:
        lost = (
            f"{len(report.lost)} thing{'s are' if len(report.lost) > 1 else ' is'} lost"
            if report.lost
            else "nothing is lost"
        )
        done = "converted" if list(report) else "copied, there was nothing to convert or mend"
        return f"{target}: {done}; {result.written:,} bytes, {lost}"
    kept = f"{target} {outputs.PARTIAL}" if result.begun else "there is no output"
    return f"{source}: {_why(result, target)}; {kept}"


def _why(result: Result, target: str) -> str:
    """Why there is no output."""
    failure, outcome = result.failure, result.outcome
    if result.sound and result.unfit:
        line = result.unfit[0]
        return f"not converted: {line.kind} at {line.offset}: {line.text}"
    why = summary(outcome) if failure is None or outcome.failure is not None else failure.reason
    if failure is not None and failure.kind == "unwritable":
        why = f"{target}: {why}"
    return f"{'not finished' if result.accepted else 'not converted'}: {why}"


def _hint(result: Result) -> str:
    """What could be done about it."""
    mendable = sorted(MENDABLE & result.outcome.counts.keys()) if not result.sound else ()
    if mendable:
        return f"; --repair mends {', '.join(mendable)}"
    if result.outcome.identity.kind == "unknown" and b"\0" in result.head[:_NUMBERS]:
        return (
            "; if it is a legacy stream, which has no magic, --width 32 or 64 says so, and then what is wrong is named"
        )
    losses = result.sound and result.unfit and all(line.kind == LOST for line in result.unfit)
    return "; --allow-loss converts it all the same" if losses else ""


def as_dict(result: Result, source: str, target: str, looks: str = "") -> dict[str, Any]:
    """The report as plain values, as in spec/json/convert.json."""
    return {
        "format": "streamfmt-convert-1",
        "status": result.status,
        "done": result.done,
        "input": result.outcome.as_dict(source),
        "output": target,
        "bytes": result.written,
        "begun": result.begun,
        "looks_like": looks or None,
        "unfit": [line.as_dict() for line in result.unfit],
        "failure": result.failure.as_dict() if result.failure else None,
        "lines": [line.as_dict() for line in result.report],
    }
