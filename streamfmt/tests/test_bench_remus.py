"""The benchmark's row of checkpoints: what it measures is there, and what is missing is said."""

from __future__ import annotations

import pytest

from ..bench import remus
from ..bench.moves import Moved
from ..bench.process import NotMeasuredError
from ..bench.remus_rows import REMUS
from ..conformance.host import LIBXLPEER
from ..engine.guest.makes import available
from .support import peers


def test_checkpoints_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them, with all figures."""
    if why := available()["process"]:
        pytest.skip(why)
    monkeypatch.setattr(remus, "_COUNT", 20)
    found = remus.ours()

    assert 0.001 < found.total < 1
    assert 0 < found.pause < found.total
    assert 0 < found.downtime < 1
    assert found.sent > remus.PAGES * 4096


@pytest.mark.peer
def test_checkpoints_of_xl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rate, by the bytes that go."""
    peers.require(LIBXLPEER)
    monkeypatch.setattr(remus, "_MEASURED", 0.3)

    assert 0.001 < remus.xens().total < 0.2


def test_figures_of_a_pair() -> None:
    """Rates are floors, times are limits."""
    pair = Moved(0.004, 0.01, 0.002), Moved(0.01)
    (row,) = REMUS
    values = {figure.name: (round(figure.of(*pair), 6), figure.floor) for figure in row.figures}

    assert values == {
        "rate": (250.0, True),
        "against xl": (2.5, True),
        "stood": (2.0, False),
        "failover": (10.0, False),
    }


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Xen's programs, or a kernel that tracks writes."""
    monkeypatch.setattr("streamfmt.engine.guest.pagemap.missing", lambda: "it cannot")
    with pytest.raises(NotMeasuredError, match="it cannot"):
        REMUS[0].needs()
