"""Thousands of streams judged by us and by real readers: no difference that the clauses do not tell.

The peers are installed and built by `make peers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .. import data
from ..schema.clauses import registry
from . import differences, peers
from .conditions import CONTEXT, DEPENDS, KEPT, RELEASE, XENGUEST, rows
from .differences import Row, Step, steps
from .differential import Case, cases
from .looking import look
from .peers import Verdict
from .support.corpus import BREAKING
from .support.good_streams import HVM


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    """The streams and what we see in them are kept for all tests here, and not for those that follow."""
    yield
    differences.looks.cache_clear()
    cases.cache_clear()


@pytest.mark.peer
@pytest.mark.parametrize("peer", differences.PEERS)
def test_readers_do_as_the_clauses_say(peer: str) -> None:
    """Each reader does with each stream the one thing that follows from the clauses, and stops where it should.

    What the clauses say was seen running has been seen here, and the page that tells of it is current.
    """
    peers.require(differences.PEERS[peer])
    table = differences.judged(peer)
    page = Path(data.path("docs"), "differences.md").read_text(encoding="utf-8")

    assert list(differences.unexplained(peer, table)) == []
    assert list(differences.untold(peer, table)) == []
    assert not [row.seen.case.name for row in table if row.verdict.verdict == "accept" and row.verdict.refused]
    if peer == XENGUEST:
        assert differences.unused(table) == set()
    assert differences.section(peer, table) in page, "docs/differences.md is stale: make differences"


# -- the set ----------------------------------------------------------------------------------------------------


def test_the_set_is_large_and_each_is_named() -> None:
    """Several thousand streams, none twice, each told by its name."""
    found = list(cases())

    assert len(found) > 5000
    assert len({case.name for case in found}) == len(found)
    assert len({(case.form, case.mode, case.data) for case in found}) == len(found)


def test_real_streams_are_in_the_set() -> None:
    """What Xen's own saver wrote, HVM, PV and checkpointed, whole and broken."""
    made = Counter(case.name.partition(":")[0] for case in cases() if case.name.startswith("real-"))

    assert set(made) == {"real-hvm", "real-pv", "real-remus", "real-pv-list"}
    assert made["real-hvm"] > 50
    assert made["real-pv"] > 200


# -- what is expected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", differences.PEERS)
def test_conditions_are_those_of_the_clauses(peer: str) -> None:
    """Each clause that says `when` a reader does what has a function that picks it, and no other clause has one."""
    known = {clause.id: rows(clause.id, peer) for clause in registry().values()}
    kept = {clause.id for clause in registry().values() for row in clause.known(peer, RELEASE) if row.kept}

    assert {name for name, told in known.items() if any(row.when for row in told)} == {
        clause for clause, reader in DEPENDS if reader == peer
    }
    assert kept == {clause for clause, reader in KEPT if reader == peer}
    assert all(len(known[clause]) == 1 for clause, reader in CONTEXT if reader == peer)
    # So a word names a row.
    assert not [name for name, told in known.items() if len({row.does for row in told}) < len(told)]


@pytest.mark.parametrize(
    ("verdict", "stopped", "refused", "told"),
    [
        ("reject", 0, "", False),
        ("accept", 0, "", True),
        ("crash", 0, "", True),
        ("hang", 0, "", True),
        ("reject", 8, "", True),
        ("reject", -4112, "", True),
        ("reject", -4112, "settscinfo: Invalid argument", False),
        ("reject", -4112, "domctl: Invalid argument", True),
    ],
)
def test_another_verdict_is_told(verdict: str, stopped: int, refused: str, told: bool) -> None:
    """Only the verdict that follows is explained, and only where the reader stops behind the record it refuses."""
    stream = BREAKING["LIBXC-SHINFO-LEN"]["short"].stream
    seen = look(Case("short", stream, "libxc", "pv"))
    behind = stream.offset("libxc.SHARED_INFO") + 8 + 4096
    row = Row(seen, tuple(steps(seen, XENGUEST)), Verdict(verdict, "", behind + stopped, refused))

    assert bool(list(differences.unexplained(XENGUEST, [row]))) == told


def test_a_clause_that_leaves_it_open_is_told() -> None:
    """An error of which nothing is known of the reader explains nothing."""
    seen = look(Case("hvm", HVM, "libxc", "hvm"))
    verdict = Verdict("reject", "", 0, "settscinfo: Invalid argument")

    assert list(differences.unexplained(XENGUEST, [Row(seen, (Step(0, "LIBXC-PAGE-LEN", ""),), verdict)]))
