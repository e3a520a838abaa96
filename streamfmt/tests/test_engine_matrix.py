"""Guests of every kind by every policy, live or not, at rates from none to beyond the link: one table, one judgement.

A part of the table that has each kind at each rate runs always; all of it does with
``STREAMFMT_HYPOTHESIS=thorough python -m pytest streamfmt/tests/test_engine_matrix.py``.
"""

from __future__ import annotations

import io
import os
from contextlib import closing
from dataclasses import dataclass
from itertools import product

import pytest

from .. import verify
from ..conformance.peers import RELEASES, XENPEER
from ..conformance.restored import taken
from ..engine.configuration import Configuration
from ..engine.guest import makes
from ..engine.interface import Guest
from ..engine.migrate import Way
from ..engine.orders import Orders
from ..engine.policies import TABLE, policy
from ..engine.precopy import Settings
from ..engine.too_fast import remedy
from ..schema import libxc
from .support import peers
from .support.guests import need
from .support.moving import Moved, moved, way, working
from .support.same_memory import assert_equal

PAGES, FILLED, WRITTEN = 256, 100, 64
# Bytes a second while the guest runs: about 1,000 pages.  What is filled takes some rounds of its writes, and what it
# writes takes longer than it may stand.
SPEED, DOWNTIME = 4e6, 0.03
GUESTS = (("model", "hvm"), ("model", "pv"), ("process", "hvm"), ("kvm", "hvm"))
# Pages a second; a guest that writes more than the link takes is throttled where its policy would wait for ever.
RATES = (0.0, 500.0, 5_000.0, 50_000.0)
BEYOND = RATES[2:]
_PARAMETERS = {"N": "3", "SECONDS": "0.1"}
POLICIES = tuple(f"{row.name}={_PARAMETERS[row.parameter]}" if row.parameter else row.name for row in TABLE)
_THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of the table."""

    guest: tuple[str, str]
    rate: float
    policy: str
    live: bool
    verify: bool

    def __str__(self) -> str:
        words = [*self.guest, f"{self.rate:g}", self.policy, "live" if self.live else "non-live"]
        return "-".join([*words, *["verify"] * self.verify])


def table() -> list[Cell]:
    """All of it; every third is sent twice, to be compared."""
    rows = product(GUESTS, RATES, POLICIES, (True, False))
    return [Cell(*row, verify=not at % 3) for at, row in enumerate(rows)]


def sample() -> list[Cell]:
    """Each kind at each rate: not live at one of them, by the policies in turn at the others."""
    rows = enumerate(product(enumerate(GUESTS), enumerate(RATES)))
    return [
        Cell(guest, rate, POLICIES[at % len(POLICIES)], live=number != which, verify=not at % 3)
        for at, ((number, guest), (which, rate)) in rows
    ]


def test_the_sample_has_all_values() -> None:
    """All policies while the guest runs, all kinds of guests at all rates, and each kind stopped first."""
    cells = sample()

    assert {cell.policy for cell in cells if cell.live} == set(POLICIES)
    assert {(cell.guest, cell.rate) for cell in cells} == set(product(GUESTS, RATES))
    assert {cell.guest for cell in cells if not cell.live} == set(GUESTS)
    assert {cell.verify for cell in cells} == {True, False}
    assert {cell.guest[0] for cell in cells} == set(makes.KINDS)


def _moved(cell: Cell) -> Moved:
    kind, image = cell.guest
    need(kind)
    wanted = makes.Wanted(image, PAGES, filled=FILLED, written=WRITTEN, rate=cell.rate, locality="scattered")
    settings = Settings(policy(cell.policy), remedy("throttle"), cell.verify)

    def another(image: str, config: Configuration) -> Guest:
        return makes.empty(kind, image, config.pages, config.vcpus, host=1)

    return moved(makes.running(kind, wanted), Way(settings, Orders(SPEED, DOWNTIME), cell.live), make=another)


@pytest.mark.parametrize("cell", table() if _THOROUGH else sample(), ids=str)
def test_it_arrives(cell: Cell) -> None:
    """Both digests agree; no page is lost or repeated here, there, or after it went on there; the stream conforms."""
    found = _moved(cell)
    assert found.errors == {}
    assert found.guest is not None
    with closing(found.sending.guest) as here, closing(found.guest) as there:
        statistics = found.sending.statistics
        outcome = verify(io.BytesIO(found.stream), strict=True, deep=True)

        assert (there.running, here.running) == (True, False)
        there.pause()
        assert (here.broken(), there.broken()) == ([], [])
        assert found.digest == here.digest() != ""
        assert (outcome.verdict, outcome.findings) == ("conforms", [])
        assert statistics.sent == len(found.stream)
        assert statistics.sent_frames == sum(row.frames for row in statistics.rounds) >= PAGES * (1 + cell.verify)
        assert statistics.downtime is not None
        assert statistics.pause is not None
        assert 0 < statistics.downtime <= statistics.pause <= statistics.seconds
        if not cell.rate:
            # A PV guest itself writes a page when it is asked to stop.
            assert statistics.sent_frames <= PAGES * (1 + cell.verify) + (here.type == "pv")
        if cell.live and cell.rate in BEYOND and cell.policy != "non-live":
            assert sum(row.dirty for row in statistics.rounds) >= WRITTEN / 2


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("live", [True, False], ids=["live", "non-live"])
@pytest.mark.parametrize("kind", ["hvm", "pv"])
def test_the_same_bytes(kind: str, live: bool, name: str) -> None:
    """The same seed and a stopped clock, also of a guest that writes meanwhile; another seed has others."""
    streams = []
    for seed in (7, 7, 8):
        guest = working(kind, clock=lambda: 0.0, seed=seed)
        guest.advance(0.25)
        steps = iter((0.001, 0.002, 0.0005))

        def work(found: Moved) -> None:
            found.sending.guest.advance(next(steps, 0.0))  # type: ignore[attr-defined] # noqa: B023 # it is a model

        found = moved(guest, way(name, verify=live, live=live), clock=lambda: 0.0, look=work)
        assert found.errors == {}
        assert found.guest is not None
        streams.append(found.stream)
        if live and name != "non-live":
            assert found.sending.statistics.sent_frames > 2 * guest.pages
        for each in (guest, found.guest):
            each.close()

    assert streams[0] == streams[1] != streams[2]


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("guest", GUESTS, ids="-".join)
def test_readers_of_xen_have_the_same_memory(guest: tuple[str, str], release: str) -> None:
    """What was recorded of a guest that wrote more than the link took is accepted; page by page it is what is here."""
    peers.require(XENPEER, release)
    found = _moved(Cell(guest, RATES[-1], "xen", live=True, verify=release == RELEASES[-1]))
    assert found.errors == {}
    assert found.guest is not None
    found.guest.close()
    with closing(found.sending.guest) as here:
        assert len(found.sending.statistics.rounds) > 2
        read = taken(guest[1], found.stream[found.stream.index(libxc.MARKER) :], release)

        assert read.accepted, read.log
        assert_equal(here, read.pages)
