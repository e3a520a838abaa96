"""Libxl and xl judge as the clauses say, and what they write conforms; `make peers` brings them.

Here they are asked of a part of the differential set; with STREAMFMT_WHOLE=1 in the environment of all of it, which
takes minutes for each release.
"""

from __future__ import annotations

import os

import pytest

from .. import verify
from ..conformance import predictions_toolstack as toolstack
from ..conformance.cases import plainly
from ..conformance.cases_toolstack import ASKED, cases_toolstack, configuration
from ..conformance.conditions import Peer
from ..conformance.host import Host
from ..conformance.peers import RELEASE, RELEASES
from ..conformance.predictions_toolstack import PEERS
from ..schema.clauses import registry
from ..writer import builders
from ..writer.builders import in_xl
from .support import log_lines, peers
from .support.good_streams import GOOD
from .support.unlike import unexplained

WHOLE = os.environ.get("STREAMFMT_WHOLE") == "1"
# Each so many-th stream is asked about: more of the machine's own release than of the others.
EVERY = {release: 80 if release == RELEASE else 320 for release in RELEASES}


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_readers_do_as_the_clauses_say(peer: Peer, release: str) -> None:
    """Each does with each stream the one thing that follows from the clauses, and stops where it should."""
    peers.require(peer.program, release)
    seen = None if WHOLE else toolstack.sample(EVERY[release], release == RELEASE)

    table = toolstack.compared(peer.of(release), seen, endless=toolstack.ENDLESS if WHOLE else 0)

    assert len(table) > 5
    assert list(unexplained(peer.of(release), table)) == []
    # What they print is known, with a rule that the stream breaks (see test_log_lines).
    assert [*log_lines.strange(log_lines.printed(table))] == []
    # A refusal is said before libxl dies of it.
    assert [row.seen.case.name for row in table if row.verdict.died and not row.verdict.message] == []


@pytest.mark.peer
def test_what_xl_saves_conforms() -> None:
    """A guest that xl restores and saves again: what it writes keeps every rule, and xl restores that, too.

    It has none of the keys of which libxl, saving, wants more than the format asks for.
    """
    peers.require(PEERS["xl"].program)
    with Host() as host:
        first, second = host.folder / "first", host.folder / "second"
        first.write_bytes(in_xl(plainly(GOOD["libxl-hvm"]), configuration("hvm")).render())
        restored = host.xl("restore", "-e", first)
        assert restored.status == 0, restored.log
        saved = host.xl("save", "guest", second)
        assert saved.status == 0, saved.log
        outcome = verify(second)

        assert (outcome.verdict, outcome.errors, outcome.warnings) == ("conforms", 0, 0)
        assert host.xl("restore", "-e", second).status == 0


@pytest.mark.peer
@pytest.mark.parametrize(("key", "kept"), [("a/b", True), ("a.b", False), ("a//b", False), ("a/", False)])
def test_xenstored_refuses_keys_and_libxl_goes_on(key: str, kept: bool) -> None:
    """A key with other characters is lost, and the guest restored without it (LIBXL-EMUXS-CHARSET)."""
    peers.require(PEERS["libxl"].program)
    stream = GOOD["libxl-hvm"].swap("libxl.EMULATOR_XENSTORE_DATA", builders.xenstore(key, "value"))
    with Host() as host:
        path = host.folder / "in"
        path.write_bytes(stream.render())
        did = host.restore(path, "hvm")

        assert did.status == 0, did.log
        assert ("xenstore write failed" in did.log) == (not kept)
        assert ("value" in host.store("ls", "-f", "/local/domain/0/device-model")) == kept


# -- the set, and what is said of it ----------------------------------------------------------------------------


def test_the_set_is_large_and_each_is_named() -> None:
    """Thousands of libxl streams and hundreds of xl files, none twice, each known by its name."""
    found = cases_toolstack()

    assert sum(not ASKED[case.form] for case in found) > 4000
    assert sum(bool(ASKED[case.form]) for case in found) > 1000
    assert len({case.name for case in found}) == len(found)
    assert len({(case.form, case.guest, case.mode, case.data) for case in found}) == len(found)


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_conditions_are_those_of_the_clauses(peer: Peer) -> None:
    """Each clause that says `when` libxl or xl does what has a function that picks it, and no other clause has one."""
    known = {(clause, release): peer.of(release).own_rows(clause) for clause in registry() for release in RELEASES}
    kept = {clause for clause in registry() for release in RELEASES if peer.of(release).kept_rows(clause)}
    picked = {*peer.depends, *peer.chosen, *peer.varies, *peer.shown} - {"LIBXC-DHDR-TYPE"}
    judged = {name for (name, _), rows in known.items() if any(row.when for row in rows)}

    # CKPT-DROP is about what a reader does after the breach of another rule.
    assert judged - {"CKPT-DROP"} <= picked
    assert picked - judged <= set(peer.shown)
    assert kept == set(peer.kept)
    assert all(known[clause, release] for clause in peer.context for release in RELEASES)
    # So a word names a row.
    assert not [name for name, rows in known.items() if len({row.does for row in rows}) < len(rows)]
