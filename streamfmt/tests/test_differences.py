"""Thousands of streams judged by us and by real readers: no difference that the clauses do not tell.

The peers are installed and built by `make peers`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import data
from . import differences, peers
from .differential import cases


@pytest.mark.peer
@pytest.mark.parametrize("peer", differences.PEERS)
def test_readers_do_as_the_clauses_say(peer: str) -> None:
    """Each disagreement maps to a clause whose `readers` say so, and the page about them is current."""
    peers.require(differences.PEERS[peer])
    table = differences.judged(peer)
    page = Path(data.path("docs"), "differences.md").read_text(encoding="utf-8")

    assert list(differences.unexplained(peer, table)) == []
    assert differences.section(peer, table) in page, "docs/differences.md is stale: make differences"


def test_the_set_is_large_and_each_is_named() -> None:
    """Several thousand streams, none twice, each told by its name."""
    found = list(cases())

    assert len(found) > 5000
    assert len({case.name for case in found}) == len(found)
    assert len({(case.form, case.octets) for case in found}) == len(found)


def test_every_clause_with_a_vector_is_asked_about() -> None:
    """The set breaks every clause that a bare or libxl stream can break."""
    about = {case.name.split(" ")[0] for case in cases()}

    assert {"LIBXC-PAGE-COUNT", "LIBXL-EMU-ID", "CKPT-STATIC-ONCE"} <= about
