"""Every vector, by clause: the corpus, in the shape that tests run over it.

Each clause that a stream alone can break has at least one accepting and one breaking stream; `test_closure` holds the
corpus to that.  Breaches that a real reader does not survive are not stored: those are made here, from strategies.
"""

from __future__ import annotations

from ...corpus import entries
from .drawn import fatal, vectors
from .good_streams import GOOD
from .vector import Table, Vector

# Streams from this size on are not worth feeding in small pieces.
_LARGE = 60_000


def _tables(kind: str) -> Table:
    found: Table = {}
    for name in entries.names():
        for entry in entries.collection(name):
            if entry.kind == kind:
                made = entry.recipe
                large = made.stream.size > _LARGE
                vector = Vector(made.stream, made.form, made.mode, made.deep, large, made.target)
                found.setdefault(name, {})[entry.name] = vector
    return found


# What each clause accepts beyond the good streams, which break nothing.
ACCEPTING = _tables("accepted")
BREAKING = _tables("broken") | {clause: vectors(clause) for clause in fatal()}
# Streams that break a clause and, since that cannot be helped, others.
SEVERAL = _tables("several")
# Records in every place that the rules leave them.
PLACES = _tables("places")


# What clauses a test runs over, each with all its vectors; "good" has the streams that are not about any one.
ACCEPTED: Table = {"good": {name: Vector(stream) for name, stream in GOOD.items()}, **ACCEPTING}
# Those worth feeding byte by byte by clause, and one after another, the good ones first; none that is for a target.
SMALL: Table = {
    clause: found
    for clause in (*ACCEPTED, *(clause for clause in BREAKING if clause not in ACCEPTED))
    if (
        found := {
            f"{kind}:{name}": vector
            for kind, table in (("accepted", ACCEPTED), ("broken", BREAKING))
            for name, vector in table.get(clause, {}).items()
            if not vector.large and not vector.target
        }
    )
}
EACH_SMALL: list[Vector] = [vector for cases in SMALL.values() for vector in cases.values()]
