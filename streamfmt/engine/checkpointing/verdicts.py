"""What the other side was seen to do, clause by clause: for who tries his own primary or standby against ours."""

from __future__ import annotations

from collections.abc import Iterable

from ...checks.findings import Finding
from ...schema.checkpointing import OF_PRIMARY

KEPT, NOT_SEEN = "kept", "not seen"


def of_stream(findings: Iterable[Finding], checkpoints: int) -> dict[str, str]:
    """Verdicts on a primary's stream: those on checkpoints always, and on all other clauses that it broke."""
    found = dict.fromkeys(OF_PRIMARY, KEPT if checkpoints > 1 else NOT_SEEN)
    for finding in findings:
        if found.get(finding.clause) in (None, KEPT, NOT_SEEN):
            found[finding.clause] = f"{finding.severity} at {finding.offset}: {finding.message}"
    return found


def of_standby(checkpoints: int, said: bytes) -> dict[str, str]:
    """Verdicts on what a standby has sent back besides acknowledgements: nothing should come."""
    verdict = KEPT if checkpoints else NOT_SEEN
    return {"REMUS-BACK": f"error: it has sent {len(said)} bytes: {said[:80]!r}" if said else verdict}
