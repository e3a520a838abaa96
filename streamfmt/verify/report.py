"""Verdicts, and findings put into words or plain values.

Nothing here is needed for a verdict's making: :func:`verify_fd` and its kin drive the reader, :func:`as_text` and
:func:`as_dict` render what came out.
"""

from __future__ import annotations

from ..reader.identify import READ, describe
from ..reader.stack import Reader
from .findings import KEPT, SEVERITIES
from .verifier import Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .findings import Finding

_COLUMNS = 80
_MARGIN = " " * 11

CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED = "conforms", "does not conform", "not judged"


class Outcome:
    """What came out of verifying one stream: the verifier behind it, and the verdict.

    `verdict` is "conforms", "does not conform" or "not judged"; `errors`, `warnings` and `notes` count findings,
    `size` the octets of the stream that went by.  `identity` is what its first octets say it is.
    """

    def __init__(self, reader: Reader, verifier: Verifier, strict: bool = False) -> None:
        self.verifier = verifier
        self.size = reader.window.position
        identity = reader.identity
        assert identity is not None, "an outcome is made when the input has ended"
        self.identity = identity
        findings = verifier.findings
        self.errors, self.warnings, self.notes = map(findings.number, SEVERITIES)
        # Whether rules for the whole of it exist: not for what is only named, nor for such a thing in a container.
        judged = identity.key in READ and verifier.unjudged is None
        if identity.key in READ and (self.errors or (strict and self.warnings) or (judged and not verifier.complete)):
            self.verdict = DOES_NOT_CONFORM
        elif not judged:
            self.verdict = NOT_JUDGED
        else:
            self.verdict = CONFORMS

    def __repr__(self) -> str:
        return f"<Outcome {self.verdict}>"

    @property
    def findings(self) -> list[Finding]:
        """What breaks a rule, in the order it was found: the first 100 of each clause."""
        return self.verifier.findings.kept

    @property
    def counts(self) -> dict[str, int]:
        """How often each clause was broken, kept or not."""
        return self.verifier.findings.counts

    def as_dict(self, name: str = "") -> dict[str, Any]:
        """The outcome as plain values; spec/json/verify.json describes them.  `name` is the input's."""
        return as_dict(self, name)

    @property
    def status(self) -> int:
        """Exit status: 0 if the stream conforms, else 1."""
        return int(self.verdict != CONFORMS)

    def describe(self) -> str:
        """What the stream is, in a few words: "libxl v2 > libxc v3, x86 HVM, Xen 4.17"."""
        return describe(self.verifier.layers) or self.identity.name


def as_dict(outcome: Outcome, name: str) -> dict[str, Any]:
    """The outcome as plain values; spec/json/verify.json describes them."""
    verifier = outcome.verifier
    stopped, unjudged = verifier.stopped, verifier.unjudged
    return {
        "format": "streamfmt-verify-1",
        "file": name,
        "verdict": outcome.verdict,
        "status": outcome.status,
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
                "guest": layer.guest if layer.name == "libxc" else None,
                "xen": list(layer.xen) if layer.name == "libxc" else None,
                "records": layer.index,
            }
            for layer in verifier.layers
        ],
        "octets": outcome.size,
        "records": verifier.records,
        "page_entries": verifier.page_entries,
        "pages_with_content": verifier.content_pages,
        "checkpoints": verifier.checkpoints,
        "errors": outcome.errors,
        "warnings": outcome.warnings,
        "notes": outcome.notes,
        "counts": dict(sorted(verifier.findings.counts.items())),
        "findings": [finding.as_dict() for finding in verifier.findings.kept],
        "stopped": {"offset": stopped[0], "reason": stopped[1]} if stopped else None,
        "unjudged": {"offset": unjudged[0], "name": unjudged[1].name, "evidence": unjudged[1].evidence}
        if unjudged
        else None,
        "abstained": dict(sorted(verifier.abstained.items())),
    }


def finding_lines(
    outcome: Outcome, hints: bool = True, severities: Sequence[str] = SEVERITIES
) -> list[tuple[str, str]]:
    """Lines about each finding of these severities, with the one that colours them ("" for none)."""
    lines: list[tuple[str, str]] = []
    told: set[str] = set()
    findings = outcome.verifier.findings
    for finding in findings.kept:
        if finding.severity not in severities:
            continue
        place = finding.layer + (f" record {finding.index} {finding.record}" if finding.record else "")
        head = f"  {finding.severity:<7}  {finding.clause}  at {finding.offset} ({finding.offset:#x}), "
        if len(head + place) <= _COLUMNS:
            lines.append((finding.severity, head + place))
        else:
            lines += [(finding.severity, head.rstrip(" ,")), ("", _MARGIN + place)]
        lines += _wrapped(finding.message)
        if hints and finding.severity != "note" and finding.clause not in told:
            hint = hint_of(finding.clause)
            lines += _wrapped(f"hint: {hint}") if hint else []
        told.add(finding.clause)
    for clause, count in findings.counts.items():
        if count > KEPT and findings.severity[clause] in severities:
            lines.append(("", f"  ... and {count - KEPT:,} more of {clause}"))
    return lines


def _wrapped(text: str) -> list[tuple[str, str]]:
    """Plain lines of `text` below a finding, within 80 columns.  Lines of its own, such as commands, stay lines."""
    if "\n" in text:
        return [line for part in text.splitlines() for line in _wrapped(part)]
    if len(text) <= _COLUMNS - len(_MARGIN):
        return [("", _MARGIN + text)]
    from textwrap import wrap  # short texts need none

    return [("", _MARGIN + line) for line in wrap(text, _COLUMNS - len(_MARGIN), break_on_hyphens=False)]


def hint_of(clause: str) -> str:
    """What to do about a breach of `clause`."""
    from ..schema.clauses import registry  # texts are loaded only where something is printed with them

    return registry()[clause].hint


def summary(outcome: Outcome) -> str:
    """One line: the verdict, why, and where reading stopped early."""
    verifier = outcome.verifier
    if outcome.verdict == NOT_JUDGED and verifier.unjudged is None:
        return f"not judged: {outcome.identity.name} ({outcome.identity.evidence})"
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
    return text


def extent(outcome: Outcome) -> str:
    """One line: how much was read."""
    verifier = outcome.verifier
    text = f"{verifier.records:,} records, {verifier.page_entries:,} pages, {outcome.size:,} octets"
    return text + (f", {verifier.checkpoints} checkpoints" if verifier.checkpoints else "")
