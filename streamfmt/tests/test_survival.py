"""No stored stream is one that a real reader does not survive, and no clause says how to make one.

What breaks such a clause is made when tests run, by `support.drawn`, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from .. import tables
from ..checks.verifier import Verifier
from ..conformance.cases import DIRTY
from ..corpus import entries, store
from ..reader.events import Record
from ..schema.clauses import FATAL, OTHERWISE, SCRIPT, Clause, registry
from .support.corpus import BREAKING
from .support.drawn import fatal
from .support.vector import judge

if TYPE_CHECKING:
    from ..reader.pump import Program

INDEX = store.read_index()
CLAUSES = registry().values()


class _Noting(Verifier):
    """A verifier that keeps the path and the length of every record."""

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        self.seen: list[tuple[str, int]] = []

    def record(self, record: Record) -> Program | None:
        self.seen.append((record.path, record.length))
        return super().record(record)

    def oversize(self, record: Record) -> None:
        self.seen.append((record.path, record.length))
        super().oversize(record)


@pytest.fixture(scope="module")
def noted() -> dict[str, list[tuple[str, int]]]:
    """The records of each stored stream, by its id."""
    found = {}
    for row in INDEX:
        if row["file"] is not None:
            verifier = _Noting(row["mode"])
            judge(store.pieces(row), row["as"], verifier=verifier)
            found[row["id"]] = verifier.seen
    return found


def test_none_is_foretold() -> None:
    """No row about a clause that a stream of the corpus breaks has it that a reader does not survive this."""
    assert [row["id"] for row in INDEX if any(known["does"] in FATAL for known in row["known"])] == []


def test_no_recipe_makes_one() -> None:
    """Nor do the recipes, whether or not the index is current."""
    about = {entry.collection for entry in entries.entries() if entry.kind in ("broken", "several")}

    assert about & {clause.id for clause in CLAUSES if not clause.survived} == set()


def test_records_of_libxl_are_no_longer_than_libxenguest_allows(noted: dict[str, list[tuple[str, int]]]) -> None:
    """A reader that believes a length has to get that much memory (LIBXL-REC-LEN-MAX): no record claims much."""
    assert not registry()["LIBXL-REC-LEN-MAX"].survived
    assert [
        name
        for name, seen in noted.items()
        if any(path.startswith("libxl.") and length > tables.RECORD_LENGTH_MAX for path, length in seen)
    ] == []


def test_lists_of_the_back_channel_are_no_longer_than_a_primary_reads(noted: dict[str, list[tuple[str, int]]]) -> None:
    """What a primary does about a list that it does not read is left to chance (COLO-DIRTY-LEN)."""
    found = [(name, length) for name, seen in noted.items() for path, length in seen if path == DIRTY]

    assert found
    assert [name for name, length in found if length > tables.RECORD_LENGTH_MAX] == []


def test_no_checkpoint_breaks_off_in_libxl(noted: dict[str, list[tuple[str, int]]]) -> None:
    """A stream of checkpoints does not end among libxl's records of one, the first of which no finding would show."""
    assert not registry()["CKPT-DROP"].survived
    assert [name for name, seen in noted.items() if _open(path for path, _ in seen)] == []


def _open(paths: Iterable[str]) -> bool:
    """Whether the last checkpoint of libxc is not closed by libxl."""
    opened = inside = False
    for path in paths:
        inside |= path.startswith("libxl.")
        opened = path == "libxc.CHECKPOINT" or (opened and path != "libxl.CHECKPOINT_END")
    return inside and opened


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_a_clause_is_no_recipe(clause: Clause) -> None:
    """It says that a reader does not survive, in which releases, and not what; a script's own error is no such end."""
    for row in clause.readers:
        if row.does in FATAL and row.reader != SCRIPT:
            assert (row.note, row.when) in {("", ""), ("", OTHERWISE)}, row


@pytest.mark.parametrize("clause", fatal())
def test_such_clauses_are_tested_all_the_same(clause: str) -> None:
    """Streams made on the spot break them in a good many ways."""
    made = {vector.stream.render() for vector in BREAKING[clause].values()}

    assert len(made) >= 8
