"""What came of a conversion, as people and programs read it."""

from __future__ import annotations

from textwrap import wrap

from ..checks.findings import SEVERITIES
from ..render.text import finding_lines, summary, times
from .rules import MENDABLE, RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .run import Result

_COLUMNS = 80
_MARGIN = " " * 12


def text(result: Result, source: str, target: str, quiet: bool = False) -> str:
    """The report, within 80 columns: what the input is, what was done and why, and what came of it."""
    lines = []
    outcome = result.outcome
    if not quiet and outcome.verifier.layers:
        lines.append(f"{source}: {outcome.describe()}")
        if not result.accepted:
            lines += [line for _, line in finding_lines(outcome, severities=SEVERITIES[:1])]
        elif result.done:
            for line in result.report:
                lines += _wrapped(
                    f"  {line.kind:<8}  {line.text}" + (f", {times(line.count)}" if line.count > 1 else "")
                )
                lines += [
                    _MARGIN + one for one in wrap(f"{line.rule}: {RULES[line.rule].why}", _COLUMNS - len(_MARGIN))
                ]
    return "\n".join([*lines, *_wrapped(_last(result, source, target))]) + "\n"


def _wrapped(line: str) -> list[str]:
    return wrap(line, _COLUMNS, subsequent_indent=_MARGIN, break_on_hyphens=False)


def _last(result: Result, source: str, target: str) -> str:
    """The last line: what there is now, or why there is nothing."""
    if result.done:
        lines = list(result.report)
        lost = len(result.report.lost)
        done = "converted" if lines else "copied, there was nothing to convert or mend"
        return f"{target}: {done}; {result.written:,} bytes, {f'{lost} things are lost' if lost else 'nothing is lost'}"
    outcome = result.outcome
    failure = result.failure
    why = summary(outcome) if failure is None or outcome.failure is not None else failure.reason
    if failure is not None and failure.kind == "unwritable":
        why = f"{target}: {why}"
    kept = f"{target} has the first part of the result, which is of no use" if result.begun else "there is no output"
    mendable = sorted(MENDABLE & outcome.counts.keys()) if not result.accepted else ()
    hint = f"; --repair mends {', '.join(mendable)}" if mendable else ""
    verb = "not finished" if result.accepted else "not converted"
    return f"{source}: {verb}: {why}; {kept}{hint}"


def as_dict(result: Result, source: str, target: str) -> dict[str, Any]:
    """The report as plain values, as in spec/json/convert.json."""
    return {
        "format": "streamfmt-convert-1",
        "status": result.status,
        "done": result.done,
        "input": result.outcome.as_dict(source),
        "output": target,
        "bytes": result.written,
        "begun": result.begun,
        "failure": result.failure.as_dict() if result.failure else None,
        "lines": [line.as_dict() for line in result.report],
    }
