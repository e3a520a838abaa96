"""What the clauses do not explain of what real readers did, and what they say that no stream shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...conformance.conditions import Peer
from ...conformance.evidence import Claim, borne_out
from ...conformance.predictions import HYPERVISOR, UNSEEN, Comparison
from ...schema.clauses import registry


def unexplained(peer: Peer, table: Iterable[Comparison]) -> Iterator[str]:
    """The rows that no clause accounts for, in words."""
    for row in table:
        if row.chance and row.verdict.verdict in ("reject", "crash"):
            continue
        if (row.verdict.verdict != row.expected or row.astray) and not row.excuse:
            clauses = ", ".join(f"{step.clause} {step.does or 'open'}" for step in row.steps) or "no finding"
            why = f" at {row.verdict.offset} ({row.verdict.message}; refused {row.verdict.refused or 'nothing'})"
            expected = f"{row.expected or 'nothing'} by {clauses}"
            yield f"{row.seen.case.name}: {peer.name} {peer.release} does {row.verdict.verdict}{why}, {expected}"


def unsupported(peer: Peer, table: Iterable[Comparison]) -> Iterator[str]:
    """In words: what is expected of a reader that no row says, and rows that name a release wrongly, or should."""
    table = list(table)
    seen = borne_out(table)
    expected = {Claim(step.clause, step.does, step.kept) for row in table for step in row.steps if step.does}
    for clause in registry().values():
        rows = {Claim(clause.id, row.does, row.kept): row for row in clause.known(peer.name, peer.release)}
        yield from (
            f"{clause.id}: no row says {claim.does}"
            for claim in expected
            if claim.clause == clause.id and claim not in rows
        )
        for claim, row in rows.items():
            # What some reader does not survive is stored nowhere: not every row about that comes up here.
            if peer.release in row.ran and clause.survived and claim not in seen:
                yield f"{clause.id}: no stream shows that {peer.name} {peer.release} does {row.does}"
            if peer.release not in row.ran and claim in seen:
                yield f"{clause.id}: {peer.name} {peer.release} was seen to {row.does}"


def unused(table: Iterable[Comparison]) -> set[str]:
    """Excuses that no stream needs."""
    return {*HYPERVISOR.values(), *UNSEEN.values()} - {row.excuse for row in table}
