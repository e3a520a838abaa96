"""What the other side was seen to do, clause by clause: for who tries his own side of COLO against ours."""

from __future__ import annotations

from collections.abc import Iterable

from ...checks.findings import Finding
from ...schema.colo import OF_LISTS, OF_PRIMARY, OF_SECONDARY
from ..checkpointing.verdicts import KEPT, NOT_SEEN


def of_secondary(checkpoints: int, error: BaseException | None, shifted: bool) -> dict[str, str]:
    """Verdicts on a secondary's back channel, by how many checkpoints it has taken up and what ended it.

    :param shifted: its lists have zeros before their frames.
    """
    found = {
        **dict.fromkeys(OF_SECONDARY, KEPT if checkpoints else NOT_SEEN),
        **dict.fromkeys(OF_LISTS, KEPT if checkpoints > 1 else NOT_SEEN),
    }
    clause, _, words = str(error).partition(": ")
    if clause in found:
        found[clause] = f"error: {words}"
    if shifted:
        found["COLO-DIRTY-HDR"] = "error: eight zeros lie before the frames of its lists, uncounted"
    return found


def of_primary(findings: Iterable[Finding], checkpoints: int) -> dict[str, str]:
    """Verdicts on a primary's stream: those on COLO always, and on all other clauses that it broke."""
    found = dict.fromkeys(OF_PRIMARY, KEPT if checkpoints > 1 else NOT_SEEN)
    for finding in findings:
        if found.get(finding.clause) in (None, KEPT, NOT_SEEN):
            found[finding.clause] = f"{finding.severity} at {finding.offset}: {finding.message}"
    return found
