"""Thousands of streams judged by us and by real readers: no difference that the clauses do not explain.

The peers are installed and built by `make peers`.
"""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import pytest

from .. import data
from ..conformance import differences
from ..conformance.cases import Case, cases
from ..conformance.conditions import Peer
from ..conformance.conditions_script import SCRIPT
from ..conformance.conditions_xenguest import XENGUEST
from ..conformance.looks import look
from ..conformance.peers import RELEASE, RELEASES, Verdict, script_modules
from ..conformance.predictions import PEERS, Comparison, Step, steps
from ..corpus import store
from ..schema.clauses import FATAL, registry
from .support import peers
from .support.corpus import BREAKING
from .support.good_streams import HVM
from .support.unlike import unexplained, unsupported, unused

# With STREAMFMT_WHOLE=1 in the environment the other releases, too, are asked about the whole set.
WHOLE = os.environ.get("STREAMFMT_WHOLE") == "1"
EVERY = 24


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    """The streams and what we see in them are kept for all tests here, and not for those that follow."""
    yield
    differences.looks.cache_clear()
    cases.cache_clear()


# The script of the other releases is the same: see below.
@pytest.mark.peer
@pytest.mark.parametrize("peer", [*map(XENGUEST.of, RELEASES), SCRIPT], ids=lambda peer: f"{peer.name}-{peer.release}")
def test_readers_do_as_the_clauses_say(peer: Peer) -> None:
    """Each reader does with each stream the one thing that follows from the clauses, and stops where it should."""
    peers.require(peer.program, peer.release)
    whole = WHOLE or peer.release == RELEASE
    seen = None if whole else [look(case) for case in cases() if not crc32(case.name.encode()) % EVERY]
    table = differences.compared(peer, seen)

    assert len(table) > 300
    assert list(unexplained(peer, table)) == []
    assert not [row.seen.case.name for row in table if row.verdict.verdict == "accept" and row.verdict.refused]
    stored = {row["sha256"] for row in store.read_index()}
    died = [row.seen for row in table if row.verdict.verdict in FATAL]
    assert [seen.case.name for seen in died if sha256(seen.data).hexdigest() in stored] == []
    if whole:
        # What the clauses say was seen running has been seen here, and the page about it is current.
        page = Path(data.path("docs"), "differences.md").read_text(encoding="utf-8")
        assert list(unsupported(peer, table)) == []
        assert peer.name != XENGUEST.name or unused(table) == set()
        assert differences.section(peer, table) in page, "docs/differences.md is stale: make differences"


# -- the set ----------------------------------------------------------------------------------------------------


def test_the_set_is_large_and_each_is_named() -> None:
    """Several thousand streams, none twice, each known by its name."""
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


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_conditions_are_those_of_the_clauses(peer: Peer) -> None:
    """Each clause that says `when` a reader does what has a function that picks it, and no other clause has one."""
    known = {(clause, release): peer.of(release).rows(clause) for clause in registry() for release in RELEASES}
    kept = {clause for clause in registry() for release in RELEASES if peer.of(release).kept_rows(clause)}

    assert {name for (name, _), rows in known.items() if any(row.when for row in rows)} == {
        *peer.depends,
        *peer.chosen,
        *peer.varies,
    }
    assert kept == set(peer.kept)
    assert set(peer.chosen) <= set(peer.context)
    assert all(known[clause, release] for clause in peer.context for release in RELEASES)
    # So a word names a row.
    assert not [name for name, rows in known.items() if len({row.does for row in rows}) < len(rows)]


def _code(script: str) -> dict[str, str]:
    """Its modules, without what does not run: comments, and tests of their own."""
    modules = Path(script_modules(script), "xen", "migration").glob("*.py")
    return {path.name: ast.unparse(ast.parse(path.read_bytes())) for path in modules if path.name != "tests.py"}


@pytest.mark.peer
@pytest.mark.parametrize("release", sorted({*RELEASES} - {RELEASE}))
def test_the_script_of_another_release_is_the_same(release: str) -> None:
    """What its modules do in one release they do in all, and the clauses say the same of it."""
    mine, other = (peers.require(SCRIPT.program, each) for each in (RELEASE, release))

    assert _code(mine) == _code(other)
    assert [SCRIPT.rows(clause) for clause in registry()] == [SCRIPT.of(release).rows(clause) for clause in registry()]
    rows = [row for clause in registry().values() for row in clause.known(SCRIPT.name, release)]
    assert not [row for row in rows if (RELEASE in row.ran) != (release in row.ran)]


@pytest.mark.parametrize(
    ("verdict", "stopped", "refused", "reported"),
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
def test_another_verdict_is_reported(verdict: str, stopped: int, refused: str, reported: bool) -> None:
    """Only the verdict that follows is explained, and only where the reader stops after the record it refuses."""
    stream = BREAKING["LIBXC-SHINFO-LEN"]["short"].stream
    seen = look(Case("short", stream, "libxc", "pv"))
    after = stream.offset("libxc.SHARED_INFO") + 8 + 4096
    row = Comparison(seen, tuple(steps(seen, XENGUEST)), Verdict(verdict, "", after + stopped, refused))

    assert bool(list(unexplained(XENGUEST, [row]))) == reported


def test_a_clause_that_leaves_it_open_is_reported() -> None:
    """An error of which nothing is known of the reader explains nothing."""
    seen = look(Case("hvm", HVM, "libxc", "hvm"))
    verdict = Verdict("reject", "", 0, "settscinfo: Invalid argument")

    row = Comparison(seen, (Step(0, "LIBXC-PAGE-LEN", ""),), verdict)

    assert list(unexplained(XENGUEST, [row]))
