"""Every vector, by clause.

Each clause that a stream alone can break has at least one accepting and one breaking stream here; `test_closure`
holds the tables to that.
"""

from __future__ import annotations

from . import (
    vectors_capture,
    vectors_checkpoint,
    vectors_containers,
    vectors_hvm,
    vectors_libxc,
    vectors_libxl,
    vectors_pv,
    vectors_xapi,
)
from .good import GOOD
from .vector import Table, Vector

_MODULES = (
    vectors_capture,
    vectors_checkpoint,
    vectors_containers,
    vectors_xapi,
    vectors_libxl,
    vectors_libxc,
    vectors_pv,
    vectors_hvm,
)


def _merged(name: str) -> Table:
    found: Table = {}
    for module in _MODULES:
        for clause, cases in getattr(module, name).items():
            known = found.setdefault(clause, {})
            assert not known.keys() & cases.keys(), f"{clause} has two vectors of one name"
            known.update(cases)
    return found


# What each clause accepts beyond the good streams, which break nothing.
ACCEPTING = _merged("ACCEPTING")
BREAKING = _merged("BREAKING")


# What clauses a test runs over, each with all its vectors; "good" has the streams that are not about any one.
ACCEPTED: Table = {"good": {name: Vector(stream) for name, stream in GOOD.items()}, **ACCEPTING}
# Those worth feeding octet by octet, by clause, and one after another, the good ones first.
SMALL: Table = {
    clause: {
        f"{kind}:{name}": vector
        for kind, table in (("accepted", ACCEPTED), ("broken", BREAKING))
        for name, vector in table.get(clause, {}).items()
        if not vector.large
    }
    for clause in (*ACCEPTED, *(clause for clause in BREAKING if clause not in ACCEPTED))
}
EACH_SMALL: list[Vector] = [vector for cases in SMALL.values() for vector in cases.values()]
