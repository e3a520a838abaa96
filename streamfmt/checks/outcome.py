"""Verdicts, and findings put into words or plain values.

An :class:`Outcome` is made when the input has ended, for whatever reason; the functions here render it.
"""

from __future__ import annotations

from ..reader.identify import describe, unread
from ..reader.reader import Reader
from ..reader.registry import READ
from .findings import IGNORED, KEPT, SEVERITIES
from .verifier import Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.failure import Failure
    from .findings import Finding

_COLUMNS = 80
_MARGIN = " " * 11
# A clause that is broken more often than this is one entry, unless all are wanted.
_LISTED = 3

CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED = "conforms", "does not conform", "not judged"


class Outcome:
    """The result of verifying one stream.

    `verdict` is "conforms", "does not conform" or "not judged"; `errors`, `warnings` and `notes` count findings;
    `size` is how many bytes of the uncompressed stream were read or skipped; `identity` is what its first bytes say.
    `failure` is None if the input was read to its end; otherwise it says why not, and the rest covers what came before.

    An outcome has no truth value: ask for `conforms`.
    """

    def __init__(
        self, reader: Reader, verifier: Verifier, strict: bool = False, failure: Failure | None = None
    ) -> None:
        self.verifier = verifier
        self.failure = failure
        self.size = reader.window.position
        identity = reader.identity
        if identity is None:
            assert failure is not None, "an outcome is made when the input has ended"
            identity = unread(failure.reason)
        self.identity = identity
        if failure is not None:
            verifier.ends(self.size)
        findings = verifier.findings
        self.errors, self.warnings, self.notes = map(findings.number, SEVERITIES)
        # Whether rules for the whole of it exist: not for what is only named, nor for such a thing in a container.
        judged = identity.key in READ and verifier.unjudged is None and failure is None
        if identity.key in READ and (self.errors or (strict and self.warnings) or (judged and not verifier.complete)):
            self.verdict = DOES_NOT_CONFORM
        elif not judged:
            self.verdict = NOT_JUDGED
        else:
            self.verdict = CONFORMS

    def __repr__(self) -> str:
        return f"<Outcome {self.verdict}>"

    def __bool__(self) -> bool:
        # Every object is true by default, and one that is false where its stream does not conform passes for None.
        raise TypeError("an Outcome is neither true nor false; ask for its .conforms")

    @property
    def conforms(self) -> bool:
        """Whether the verdict is that the stream conforms."""
        return self.verdict == CONFORMS

    @property
    def absent(self) -> bool:
        """Whether nothing was read, for a reason that is not the input's: there is nothing to say of a stream."""
        return self.identity.kind == "unread" and self.failure is not None and self.failure.foreign

    @property
    def findings(self) -> list[Finding]:
        """Breaches in the order in which they were found: the first 100 of each clause."""
        return self.verifier.findings.kept

    @property
    def counts(self) -> dict[str, int]:
        """How often each clause was broken, kept or not."""
        return self.verifier.findings.counts

    def as_dict(self, name: str = "") -> dict[str, Any]:
        """The outcome as plain values, as in spec/json/verify.json; `name` is the input's."""
        return as_dict(self, name)

    @property
    def status(self) -> int:
        """Exit status: 0 if the stream conforms, otherwise 1; that of `failure` if it is worse."""
        return max(int(not self.conforms), self.failure.status if self.failure else 0)

    def describe(self) -> str:
        """What the stream is, in a few words: "libxl v2 > libxc v3, x86 HVM, Xen 4.17"."""
        return describe(self.verifier.layers) or self.identity.name


def as_dict(outcome: Outcome, name: str) -> dict[str, Any]:
    """The outcome as plain values; spec/json/verify.json describes them."""
    from ..reader.names import named  # few want it as values

    verifier = outcome.verifier
    stopped, unjudged = verifier.stopped, verifier.unjudged
    return {
        "format": "streamfmt-verify-1",
        **named(name),
        "verdict": outcome.verdict,
        "status": outcome.status,
        "failure": outcome.failure.as_dict() if outcome.failure else None,
        "identity": {
            "key": outcome.identity.key,
            "kind": outcome.identity.kind,
            "name": outcome.identity.name,
            "evidence": outcome.identity.evidence,
        },
        "layers": [
            {
                "path": layer.path,
                "version": layer.version,
                "byte_order": layer.byte_order,
                "guest": layer.guest if layer.row.image else None,
                "xen": list(layer.xen) if layer.row.image else None,
                "records": layer.index,
            }
            for layer in verifier.layers
        ],
        "bytes": outcome.size,
        "records": verifier.records,
        "page_entries": verifier.page_entries,
        "pages_with_content": verifier.content_pages,
        "checkpoints": verifier.checkpoints,
        "errors": outcome.errors,
        "warnings": outcome.warnings,
        "notes": outcome.notes,
        "counts": dict(sorted(verifier.findings.counts.items())),
        "last": {clause: verifier.findings.last(clause)[0] for clause in sorted(verifier.findings.counts)},
        "ignored": ignored(outcome),
        "findings": [finding.as_dict() | {"hint": hint_of(finding.clause)} for finding in verifier.findings.kept],
        "stopped": {"offset": stopped[0], "reason": stopped[1]} if stopped else None,
        "unjudged": {"offset": unjudged[0], "name": unjudged[1].name, "evidence": unjudged[1].evidence}
        if unjudged
        else None,
        "abstained": dict(sorted(verifier.abstained.items())),
    }


def ignored(outcome: Outcome) -> list[str]:
    """The clauses that were broken and that nobody is to hear of, in order."""
    findings = outcome.verifier.findings
    return sorted(clause for clause in findings.counts if findings.severity[clause] == IGNORED)


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
    from ..schema.clauses import registry  # as in hint_of

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


def hint_of(clause: str) -> str:
    """What to do about a breach of `clause`."""
    from ..schema.clauses import registry  # texts are loaded only where something is printed with them

    return registry()[clause].hint


def summary(outcome: Outcome) -> str:
    """One line: the verdict, why, and where reading stopped early."""
    verifier, failure = outcome.verifier, outcome.failure
    if outcome.verdict == NOT_JUDGED and verifier.unjudged is None:
        if failure is None:
            return f"not judged: {outcome.identity.name} ({outcome.identity.evidence})"
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
        rest = f"not judged: what follows from {at} on, {identity.name} ({identity.evidence})"
        text = f"{rest}; before it: {counted or 'no finding'}" if outcome.verdict == NOT_JUDGED else f"{text}; {rest}"
    if verifier.stopped:
        text += f"; stopped at {verifier.stopped[0]}: {verifier.stopped[1]}"
    if failure:
        text += f"; unfinished: {failure}"
        if verifier.complete and not verifier.stopped:
            text += ", which is after the stream's end"
    return text


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


def totals(outcomes: Sequence[str]) -> str:
    """One line about several inputs, of which these are the verdicts, or what came instead."""
    several = {CONFORMS: "conform", DOES_NOT_CONFORM: "do not conform"}
    counts = {verdict: outcomes.count(verdict) for verdict in dict.fromkeys((*several, NOT_JUDGED, *outcomes))}
    parts = [f"{n:,} {verdict if n == 1 else several.get(verdict, verdict)}" for verdict, n in counts.items() if n]
    return f"{len(outcomes):,} inputs: {', '.join(parts)}"
