"""A verification's outcome as people read it: lines of findings, a verdict in a line, within 80 columns."""

from __future__ import annotations

from ..checks.findings import KEPT, SEVERITIES
from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED, Outcome, hint_of
from ..reader.registry import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..reader.identify import Identity

_COLUMNS = 80
_MARGIN = " " * 11
# A clause that is broken more often than this is one entry, unless all are wanted.
_LISTED = 3


def finding_lines(
    outcome: Outcome, hints: bool = True, severities: Sequence[str] = SEVERITIES, every: bool = False
) -> list[tuple[str, str]]:
    """Lines about findings of these severities, with the one that colours them ("" for none).

    A clause that is broken again and again is one entry unless `every` finding that was kept is wanted.
    """
    lines: list[tuple[str, str]] = []
    seen: set[str] = set()
    findings = outcome.verifier.findings
    for finding in findings.kept:
        clause, first = finding.clause, finding.clause not in seen
        grouped = not every and findings.counts[clause] > _LISTED
        if finding.severity not in severities or (grouped and not first):
            continue
        seen.add(clause)
        head = f"  {finding.severity:<7}  {clause}  at {finding.offset} ({finding.offset:#x}), "
        place = _place(finding.layer, finding.index, finding.record)
        if len(head + place) <= _COLUMNS:
            lines.append((finding.severity, head + place))
        else:
            lines += [(finding.severity, head.rstrip(" ,")), ("", _MARGIN + place)]
        lines += _wrapped(finding.message)
        if grouped:
            lines += _wrapped(f"{times(findings.counts[clause])}; the last {_last(outcome, clause)}")
        if hints and finding.severity != "note" and first:
            hint = hint_of(clause)
            lines += _wrapped(f"hint: {hint}") if hint else []
    for clause, count in findings.counts.items():
        if every and count > KEPT and findings.severity[clause] in severities:
            lines += _wrapped(f"... and {count - KEPT:,} more of {clause}; the last {_last(outcome, clause)}", "  ")
    return lines


def clause_lines(outcome: Outcome) -> list[tuple[str, str]]:
    """Lines about each clause that is broken, the worst and most frequent first, with the one that colours them."""
    from ..schema.clauses import registry  # texts are loaded only where something is printed with them

    findings = outcome.verifier.findings
    first: dict[str, int] = {}
    for finding in findings.kept:
        first.setdefault(finding.clause, finding.offset)
    lines: list[tuple[str, str]] = []
    for clause in sorted(first, key=lambda name: (SEVERITIES.index(findings.severity[name]), -findings.counts[name])):
        count, last = findings.counts[clause], findings.last(clause)[0]
        where = f"from {first[clause]} to {last}" if count > 1 else f"at {last}"
        lines.append(
            (findings.severity[clause], f"  {findings.severity[clause]:<7}  {clause}  {times(count)}, {where}")
        )
        lines += _wrapped(registry()[clause].title)
    return lines


def times(count: int) -> str:
    """How often, for people."""
    return f"{count:,} times" if count > 1 else "once"


def _place(layer: str, index: int | None, record: str) -> str:
    return layer + (f" record {index} {record}" if record else "")


def _last(outcome: Outcome, clause: str) -> str:
    """Where a clause was broken last, for people."""
    offset, layer, index, record = outcome.verifier.findings.last(clause)
    return f"at {offset} ({offset:#x}), {_place(layer, index, record)}"


def _wrapped(text: str, margin: str = _MARGIN) -> list[tuple[str, str]]:
    """Plain lines of `text` below a finding, within 80 columns.  Lines of its own, such as commands, stay lines."""
    if "\n" in text:
        return [line for part in text.splitlines() for line in _wrapped(part, margin)]
    if len(text) <= _COLUMNS - len(margin):
        return [("", margin + text)]
    from textwrap import wrap  # short texts need none

    return [("", margin + line) for line in wrap(text, _COLUMNS - len(margin), break_on_hyphens=False)]


def summary(outcome: Outcome) -> str:
    """One line: the verdict, why, and where reading stopped early."""
    verifier, failure = outcome.verifier, outcome.failure
    if outcome.verdict == NOT_JUDGED and verifier.unjudged is None:
        if failure is None:
            return f"not judged: {_named(outcome.identity)}"
        if outcome.identity.key not in READ:
            return f"not judged: {failure}"
    numbers = []
    for count, word in ((outcome.errors, "error"), (outcome.warnings, "warning"), (outcome.notes, "note")):
        if count:
            numbers.append(f"{count:,} {word}{'s' if count > 1 else ''}")
    counted = ", ".join(numbers)
    text = outcome.verdict + (f": {counted}" if counted else "")
    if verifier.unjudged:
        at, identity = verifier.unjudged
        rest = f"not judged: what follows from {at} on, {_named(identity)}"
        text = f"{rest}; before it: {counted or 'no finding'}" if outcome.verdict == NOT_JUDGED else f"{text}; {rest}"
    if verifier.stopped:
        text += f"; stopped at {verifier.stopped[0]}: {verifier.stopped[1]}"
    if outcome.verdict == DOES_NOT_CONFORM and outcome.identity.doubt:
        text += f"; {outcome.identity.doubt}: {outcome.identity.hint}"
    if failure:
        text += f"; unfinished: {failure}"
        if verifier.complete and not verifier.stopped:
            text += ", which is after the stream's end"
    return text


def _named(identity: Identity) -> str:
    """What is not judged, why it is taken for that, and what to do."""
    doubt = f", but {identity.doubt}" if identity.doubt else ""
    return f"{identity.name} ({identity.evidence}{doubt})" + (f"; {identity.hint}" if identity.hint else "")


def extent_lines(outcome: Outcome) -> list[str]:
    """How much was read."""
    verifier = outcome.verifier
    parts = [f"{verifier.records:,} records"]
    if verifier.page_entries:
        parts += [f"{verifier.page_entries:,} page entries", f"{verifier.content_pages:,} pages"]
    parts.append(f"{outcome.size:,} bytes")
    if verifier.checkpoints:
        parts.append(f"{verifier.checkpoints:,} checkpoints")
    # A number stays with what it counts.
    joined = ", ".join(part.replace(" ", "\xa0") for part in parts)
    first, *rest = [line.replace("\xa0", " ") for _, line in _wrapped(joined)]
    return ["  read     " + first.lstrip(), *rest]


def variant_lines(outcome: Outcome) -> list[str]:
    """What could have written devices' state, where that shows it, and what it was judged for."""
    rows = [("machine", variant.words()) for _, variant in outcome.variants]
    rows += [("target", words) for words in outcome.verifier.aimed.values()]
    rows += [("target", f"{words}: not judged, since nothing in this stream is for it") for words in outcome.unmet]
    lines: list[str] = []
    for label, words in dict.fromkeys(rows):
        first, *rest = (line for _, line in _wrapped(words))
        lines += [f"  {label:<7}  {first.lstrip()}", *rest]
    return lines


def abstained_lines(outcome: Outcome) -> list[str]:
    """What was not judged, and why."""
    lines: list[str] = []
    for clause, why in sorted(outcome.verifier.abstained.items()):
        lines += ("  not judged  " + clause, *(line for _, line in _wrapped(why)))
    return lines


def totals(outcomes: Sequence[str]) -> str:
    """One line about several inputs, of which these are the verdicts, or what came instead."""
    several = {CONFORMS: "conform", DOES_NOT_CONFORM: "do not conform"}
    counts = {verdict: outcomes.count(verdict) for verdict in dict.fromkeys((*several, NOT_JUDGED, *outcomes))}
    parts = [f"{n:,} {verdict if n == 1 else several.get(verdict, verdict)}" for verdict, n in counts.items() if n]
    return f"{len(outcomes):,} inputs: {', '.join(parts)}"
