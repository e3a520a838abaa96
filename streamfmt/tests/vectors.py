"""Every vector, by clause.

Each clause that a stream alone can break has at least one accepting and one breaking stream here; `test_closure`
holds the tables to that.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import vectors_hvm, vectors_libxc, vectors_libxl, vectors_pv
from .good import GOOD
from .vector import Table, Vector

_MODULES = (vectors_libxl, vectors_libxc, vectors_pv, vectors_hvm)


def _merged(name: str) -> Table:
    found: Table = {}
    for module in _MODULES:
        for clause, cases in getattr(module, name).items():
            assert clause not in found, f"{clause} is in two modules"
            found[clause] = cases
    return found


# What each clause accepts beyond the good streams, which break nothing.
ACCEPTING = _merged("ACCEPTING")
BREAKING = _merged("BREAKING")


def _listed(table: Table) -> Iterator[tuple[str, str, Vector]]:
    for clause, cases in table.items():
        for name, vector in cases.items():
            yield clause, name, vector


ACCEPTED: list[tuple[str, str, Vector]] = [
    *(("good", name, Vector(stream)) for name, stream in GOOD.items()),
    *_listed(ACCEPTING),
]
BROKEN: list[tuple[str, str, Vector]] = list(_listed(BREAKING))
EVERY: list[tuple[str, str, Vector]] = [*ACCEPTED, *BROKEN]
# Those that are worth feeding octet by octet.
SMALL: list[tuple[str, str, Vector]] = [row for row in EVERY if not row[2].large]


def names(listed: list[tuple[str, str, Vector]]) -> list[str]:
    """Test ids."""
    return [f"{clause}:{name}" for clause, name, _ in listed]
