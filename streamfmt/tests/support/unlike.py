"""Where readers do other than the clauses say: rows that nothing explains, and what is said that no stream shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...conformance.conditions import RELEASE, Peer
from ...conformance.predictions import HYPERVISOR, UNSEEN, Comparison
from ...schema.clauses import registry


def unexplained(peer: Peer, table: Iterable[Comparison]) -> Iterator[str]:
    """The rows that no clause accounts for, in words."""
    for row in table:
        if (row.verdict.verdict != row.expected or row.astray) and not row.excuse:
            clauses = ", ".join(f"{step.clause} {step.does or 'open'}" for step in row.steps) or "no finding"
            why = f" at {row.verdict.offset} ({row.verdict.message}; refused {row.verdict.refused or 'nothing'})"
            expected = f"{row.expected or 'nothing'} by {clauses}"
            yield f"{row.seen.case.name}: {peer.name} does {row.verdict.verdict}{why}, {expected}"


def unsupported(peer: Peer, table: Iterable[Comparison]) -> Iterator[str]:
    """Peer that pick what no row of their clause says, and rows seen running that no stream shows to be so."""
    taken = {(step.clause, step.does) for row in table for step in row.steps}
    shown = {(step.clause, step.does) for row in table if not row.excuse for step in row.steps if row.shows(step)}
    # Where another breach would have had the same outcome, it is not known which of them had it.
    decided = {
        (row.ended.clause, row.ended.does)
        for row in table
        if row.ended is not None and not row.excuse and [step.does for step in row.steps].count(row.ended.does) == 1
    }
    for clause in registry().values():
        known = {row.does: row.evidence for row in clause.known(peer.name, RELEASE)}
        yield from (
            f"{clause.id}: no row says {word}" for name, word in taken if name == clause.id and word not in known
        )
        for word, evidence in known.items():
            # What some reader does not survive is stored nowhere: not every row about that comes up here.
            if evidence == "run" and clause.survived and (clause.id, word) not in shown:
                yield f"{clause.id}: no stream shows that {peer.name} does {word}"
            if evidence != "run" and (clause.id, word) in decided:
                yield f"{clause.id}: {peer.name} was seen to {word}"


def unused(table: Iterable[Comparison]) -> set[str]:
    """Excuses that no stream needs."""
    return {*HYPERVISOR.values(), *UNSEEN.values()} - {row.excuse for row in table}
