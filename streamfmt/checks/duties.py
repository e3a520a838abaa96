"""What a reader has to do with a stream, by the clauses that the stream breaks.

The corpus's index says it of each stream, and fuzzing holds readers to it.  A verdict's making does not need this.
"""

from __future__ import annotations

from ..schema.clauses import registry
from .outcome import CONFORMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .outcome import Outcome

ACCEPT, REJECT, EITHER = "accept", "reject", "either"

# What a clause asks of readers, by the words it begins with.
_MUST = (("must reject", REJECT), ("must fail", REJECT), ("must", ACCEPT))


def duty(outcome: Outcome) -> tuple[str, str]:
    """What any reader has to do with the stream, accept or reject, or may do either; and why."""
    found = {REJECT: "", EITHER: "", ACCEPT: ""}
    read = {layer.path for layer in outcome.verifier.layers}
    for name, layer in dict.fromkeys((row.clause, row.layer) for row in outcome.findings):
        clause = registry()[name]
        does = next((does for words, does in _MUST if clause.reader.startswith(words)), EITHER)
        if does == REJECT and (outcome.verdict == CONFORMS or layer not in read):
            # The stream is whole, and what it was sent for has failed; or it is inside what readers hand on unread.
            does = EITHER
        why = f"{clause.id}: {clause.reader}"
        if clause.id == "LIBXC-REC-LENGTH-MAX" and _ends_inside(outcome):
            does, why = REJECT, f"{why}, and who has no such limit comes to the end of the input"
        found[does] = found[does] or why
    if found[REJECT]:
        return REJECT, found[REJECT]
    if outcome.verifier.unjudged is not None or not outcome.verifier.layers:
        return EITHER, "nothing is known of what it holds"
    if found[EITHER]:
        return EITHER, found[EITHER]
    return ACCEPT, found[ACCEPT] or "it breaks no rule"


def _ends_inside(outcome: Outcome) -> bool:
    """Whether the record that is too long is not there whole, and nothing before it can be gone back to."""
    finding = next(row for row in outcome.findings if row.clause == "LIBXC-REC-LENGTH-MAX")
    return finding.offset + int(finding.actual) > outcome.size and not outcome.verifier.checkpoints
