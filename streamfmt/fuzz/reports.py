"""Reports on failures: files for each, and text for people."""

from __future__ import annotations

import os
from hashlib import blake2b
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ..conformance.command import guest, verified
from ..conformance.result import CRASH, DISAGREEMENT, HANG
from ..io.outputs import write
from ..render.text import finding_lines, summary
from .running import FAILURES, NO_FAILURE, NOTHING_TRIED, UNFINISHED, Run, Summary

if TYPE_CHECKING:
    from ..checks.outcome import Outcome
    from .search import Failure

_COLUMNS = 79
_KINDS = {CRASH: "crash of", HANG: "hang of", DISAGREEMENT: "disagreement of"}


def name_of(failure: Failure) -> str:
    """What its files are called: the same for the same failure, whenever it is found."""
    words = "\0".join((*failure.key.how, *sorted(failure.key.clauses)))
    digest = blake2b(words.encode(errors="backslashreplace"), digest_size=4).hexdigest()
    return f"{failure.kind}-{digest}"


def save(failure: Failure, directory: str) -> None:
    """Write the bytes, the recipe and the text.  Raises OSError."""
    files = {
        "bin": failure.given.data,
        "toml": failure.recipe.encode(),
        "txt": text(failure, directory, whole=True).encode(),
    }
    for suffix, data in files.items():
        write(os.path.join(directory, f"{name_of(failure)}.{suffix}"), data)


def text(failure: Failure, directory: str, *, whole: bool = False) -> str:
    """What happened, what we say of the stream, and how it is repeated; with all our findings if `whole`."""
    given = failure.given
    who = failure.who.name + (f" and {failure.other.name}" if failure.other else "")
    lines = [f"{os.path.join(directory, name_of(failure))}.bin: {_KINDS[failure.kind]} {who}"]
    lines += _labelled("what", failure.what)
    if not failure.steady:
        lines += _labelled("note", "when tried again, it did not fail like that; it may depend on more than its input")
    deep = ", deep" if given.deep else ""
    lines += _labelled(
        "stream", f"{len(given.data):,} bytes, form {given.form}, mode {given.mode}, guest {guest(given)}{deep}"
    )
    try:
        outcome = verified(given)
    except Exception as error:  # the stream may be one on which our reader fails
        lines += _labelled("ours", f"streamfmt itself fails on it: {type(error).__name__}: {error}")
    else:
        lines += _labelled("ours", f"{outcome.describe()}; {summary(outcome)}")
        lines += [line for _, line in finding_lines(outcome)] if whole else _clauses(outcome)
    # Lines to be copied are not broken.
    lines += [f"  repeat   {line}" for line in repeats(failure, directory)]
    return "\n".join(lines) + "\n"


def repeats(failure: Failure, directory: str) -> list[str]:
    """The commands that show the failure again."""
    path, given = os.path.join(directory, f"{name_of(failure)}.bin"), failure.given
    specs = [failure.who, *([failure.other] if failure.other else [])]
    return [spec.repeated(path, given, guest(given)) for spec in specs]


def _clauses(outcome: Outcome) -> list[str]:
    found = [clause for clause in outcome.counts if outcome.verifier.findings.severity[clause] != "note"]
    return _labelled("clauses", ", ".join(found)) if found else []


def _labelled(label: str, words: str) -> list[str]:
    return [fill(words, _COLUMNS, initial_indent=f"  {label:<8} ", subsequent_indent=" " * 11, break_on_hyphens=False)]


def ending(summed: Summary, asked: Run, directory: str) -> str:
    """The last line: how much was tried, and what came of it."""
    rate = summed.inputs / summed.seconds if summed.seconds else 0.0
    many = len(summed.failures)
    came = {
        FAILURES: f"{many} failure{'s' if many > 1 else ''}, in {directory}",
        NO_FAILURE: "no failure",
        UNFINISHED: "no failure so far",
        NOTHING_TRIED: "nothing was tried",
    }[summed.result]
    stopped = "interrupted; " if summed.signal else "enough: " if summed.full else ""
    return (
        f"{stopped}{summed.inputs:,} inputs in {summed.seconds:.0f} s ({rate:,.0f}/s), "
        f"--seed {asked.seed} --jobs {asked.jobs}: {came}"
    )


def as_dict(summed: Summary, asked: Run, directory: str) -> dict[str, Any]:
    """The run as plain values; spec/json/fuzz.json describes them."""
    return {
        "format": "streamfmt-fuzz-2",
        "target": asked.target.name,
        "against": asked.against.name if asked.against else None,
        "seed": asked.seed,
        "jobs": asked.jobs,
        "inputs": summed.inputs,
        "seconds": round(summed.seconds, 3),
        "interrupted": bool(summed.signal),
        "error": summed.error or None,
        "result": summed.result,
        "status": summed.status,
        "failures": [_plain(failure, directory) for failure in in_order(summed)],
    }


def in_order(summed: Summary) -> list[Failure]:
    return sorted(summed.failures.values(), key=name_of)


def _plain(failure: Failure, directory: str) -> dict[str, Any]:
    return {
        "kind": failure.kind,
        "target": failure.who.name,
        "what": failure.what,
        "steady": failure.steady,
        "stream": {
            "file": os.path.join(directory, f"{name_of(failure)}.bin"),
            "bytes": len(failure.given.data),
            "form": failure.given.form,
            "mode": failure.given.mode,
            "guest": guest(failure.given),
            "deep": failure.given.deep,
        },
        "repeat": repeats(failure, directory),
    }
