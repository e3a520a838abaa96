"""Xen's C reader does with streams of the strategies what the clauses say: these are not chosen by hand.

What is expected is that of `conformance.predictions`, to which readers are held on a fixed set of streams too.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ..conformance.cases import Case
from ..conformance.conditions_xenguest import XENGUEST
from ..conformance.looks import look
from ..conformance.predictions import Comparison, steps
from ..schema.clauses import registry
from ..strategies import Sample, boundaries, breaking, cuts, streams
from .support import peers
from .support.unlike import unexplained

_CLAUSES = [
    row.id
    for row in registry().values()
    if row.judged == "stream" and not row.withdrawn and row.id.startswith(("LIBXC-", "CKPT-"))
]
_GOOD = streams("libxc")
FAMILIES: dict[str, st.SearchStrategy[Sample]] = {
    "conforming": _GOOD,
    "broken": st.sampled_from(_CLAUSES).flatmap(breaking).filter(lambda sample: sample.form == "libxc"),
    "boundaries": _GOOD.flatmap(boundaries),
    "cuts": _GOOD.flatmap(cuts),
}


def _drawn(strategy: st.SearchStrategy[Sample], least: int = 0) -> list[Sample]:
    """As many examples as the profile says, and `least` of them at least."""
    found: list[Sample] = []

    @settings(phases=(Phase.generate,), max_examples=max(settings().max_examples, least))
    @given(strategy)
    def keep(sample: Sample) -> None:
        found.append(sample)

    keep()
    return found


def _case(number: int, sample: Sample) -> Case:
    headers = [part for part in sample.stream if part.path == "libxc.domain_header"]
    guest = "pv" if headers and headers[0].values["type"] == 1 else "hvm"
    checkpointed = "libxc.CHECKPOINT" in sample.stream.paths
    mode = sample.mode if sample.mode != "auto" else "remus" if checkpointed else "plain"
    return Case(f"{number}: {sample!r}", sample.stream, "libxc", guest, mode)


def _rows(samples: Iterable[Sample]) -> list[Comparison]:
    cases = [_case(number, sample) for number, sample in enumerate(samples)]
    verdicts = peers.xenguest((case.kind, case.data) for case in cases)
    seen = map(look, cases)
    return [Comparison(own, tuple(steps(own, XENGUEST)), verdict) for own, verdict in zip(seen, verdicts, strict=True)]


@pytest.mark.peer
@pytest.mark.parametrize("family", FAMILIES)
def test_the_c_reader_does_as_the_clauses_say(family: str) -> None:
    """It takes or refuses each stream as the clauses say, or its fake hypervisor says why it cannot."""
    peers.require("xenpeer")
    table = _rows(_drawn(FAMILIES[family]))

    assert list(unexplained(XENGUEST, table)) == []


@pytest.mark.peer
def test_the_c_reader_takes_conforming_streams() -> None:
    """Of either guest, version and mode there are streams that need no excuse."""
    peers.require("xenpeer")
    # Which examples come first changes with the source of whatever is loaded: a hundred are too few for all eight.
    table = _rows(_drawn(_GOOD, 400))
    taken = {(row.seen.case.guest, row.seen.version, row.seen.case.mode) for row in table if row.expected == "accept"}
    accepted = [row for row in table if row.verdict.verdict == "accept"]

    assert {row.expected for row in accepted} == {"accept"}
    assert taken == {
        (guest, version, mode) for guest in ("hvm", "pv") for version in (2, 3) for mode in ("plain", "remus")
    }
    assert len(accepted) > len(table) // 10
