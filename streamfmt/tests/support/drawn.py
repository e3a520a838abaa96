"""Vectors of the clauses whose breach a real reader does not survive: none is stored, the strategies make them."""

from __future__ import annotations

from itertools import cycle, islice, product

from hypothesis import HealthCheck, Phase, given, settings

from ...schema.clauses import registry
from ...strategies import Sample
from ...strategies.breaking import broken, ways
from ...strategies.edits import Fault
from ...strategies.from_schema import RULES
from .good_streams import GOOD
from .vector import Table, Vector, judged

# Of each clause: so many that every part of its rule is broken by one, in whatever order they come; or as many as it
# takes for so many different ones.
_COUNTS = (12, 24, 48)
_DIFFERENT = 8
# Larger ones show nothing that small ones do not.
_SIZE_MAX = 60_000


def fatal() -> list[str]:
    """Ids of the clauses that a stream alone can break, and whose breach is known to end a reader."""
    return [
        clause.id
        for clause in registry().values()
        if clause.judged == "stream" and not clause.withdrawn and not clause.survived
    ]


def vectors(clause: str) -> dict[str, Vector]:
    """As many streams that break the clause whenever this is called, by numbers."""
    known = ways(clause)
    for count in _COUNTS:
        samples = [sample for way in known for sample in _drawn(clause, way, count // len(known))]
        if len({sample.stream.render() for sample in samples}) >= _DIFFERENT:
            break
    return {
        f"drawn-{number}": Vector(sample.stream, sample.form, sample.mode, sample.deep)
        for number, sample in enumerate(samples)
    }


def displaced() -> Table:
    """By clause, streams in which a record of an order rule comes before what the rule has before it.

    These are the ones that break one of the above as well, perhaps among others.
    """
    found: Table = {}
    for clause, rules in RULES.items():
        for layer, rule in rules:
            for name, other in product(rule.on, rule.unseen):
                moved = f"{layer}.{name}", f"{layer}.{other}"
                for base, stream in GOOD.items():
                    if stream.paths >= set(moved) and stream.find(moved[1]) < stream.find(moved[0]):
                        vector = Vector(stream.moved(moved[0], before=moved[1]))
                        if not judged(vector).verifier.findings.counts.keys().isdisjoint(fatal()):
                            found.setdefault(clause, {})[f"{base}-{name}-before-{other}"] = vector
    return found


def _drawn(clause: str, way: Fault, count: int) -> list[Sample]:
    found: list[Sample] = []

    @settings(
        phases=(Phase.generate,),
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(broken(clause, way))
    def keep(sample: Sample) -> None:
        if sample.stream.size <= _SIZE_MAX:
            found.append(sample)

    keep()
    # Processes that share the tests out among them have to come to the same number of vectors.
    return list(islice(cycle(found), count))
