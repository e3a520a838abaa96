"""What holds of every input, whatever its bytes are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..checks.layer import MODES
from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED
from ..render.text import finding_lines, summary
from ..writer import Draft
from .support.corpus import EACH_SMALL, SMALL
from .support.good_streams import HVM, LIBXL_HVM, PV
from .support.vector import judge, judged, reported

FORMS = st.sampled_from(("auto", "libxc", "libxl"))


def _first(stream: Draft, count: int) -> bytes:
    return Draft(stream.parts[:count]).render()


# Headers that are right, and all static data, so that what follows is looked at as records.
STARTS = (
    _first(HVM, 2),
    _first(HVM, 5),
    _first(PV, 2),
    _first(PV, 7),
    _first(LIBXL_HVM, 1),
    _first(LIBXL_HVM, 4),
    _first(HVM.big_endian("libxc"), 2),
)


@st.composite
def _records(draw: st.DrawFn) -> bytes:
    """Records that are framed well enough to be walked through, with anything in them."""
    found = b""
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.one_of(st.integers(0, 0x14), st.integers(0, 0xFFFFFFFF)))
        body = draw(st.binary(max_size=80))
        length = draw(st.one_of(st.just(len(body)), st.integers(0, 0xFFFFFFFF)))
        found += kind.to_bytes(4, "little") + length.to_bytes(4, "little") + body + bytes(-len(body) & 7)
    return found


@given(data=st.binary(max_size=4000), form=FORMS)
def test_any_bytes(data: bytes, form: str) -> None:
    """Anything at all gets a verdict, and no stream is made of noise."""
    outcome = judge([data], form)

    assert outcome.verdict in {DOES_NOT_CONFORM, NOT_JUDGED}
    assert summary(outcome)


@given(start=st.sampled_from(STARTS), rest=st.one_of(st.binary(max_size=600), _records()), mode=st.sampled_from(MODES))
def test_any_bytes_after_good_headers(start: bytes, rest: bytes, mode: str) -> None:
    """What follows good headers is reported alike however it is cut, and in words."""
    data = start + rest
    outcome = judge([data], "auto", mode)

    assert outcome.verdict in {CONFORMS, DOES_NOT_CONFORM}
    assert len(finding_lines(outcome, every=True)) >= len(outcome.verifier.findings.kept)
    assert reported(outcome) == reported(judge([data[at : at + 3] for at in range(0, len(data), 3)], "auto", mode))
    assert all(finding.offset <= len(data) for finding in outcome.verifier.findings.kept)


@pytest.mark.parametrize("clause", SMALL)
def test_strict(clause: str) -> None:
    """--strict lets a warning decide like an error, a note never, and changes no finding."""
    for name, vector in SMALL[clause].items():
        lax = judged(vector)
        strict = judge(vector.pieces(), vector.form, vector.mode, deep=vector.deep, strict=True)

        assert (lax.errors, lax.warnings, lax.notes) == (strict.errors, strict.warnings, strict.notes), name
        assert lax.as_dict()["findings"] == strict.as_dict()["findings"], name
        assert strict.verdict == (DOES_NOT_CONFORM if lax.warnings else lax.verdict), name
        assert strict.status == (strict.verdict != CONFORMS), name


@given(places=st.lists(st.integers(0, len(EACH_SMALL) - 1), min_size=2, max_size=4))
def test_verifications_do_not_disturb_each_other(places: list[int]) -> None:
    """What is reported of a stream does not depend on those judged before it."""
    first = [reported(judged(EACH_SMALL[place])) for place in places]
    again = [reported(judged(EACH_SMALL[place])) for place in reversed(places)]

    assert first == again[::-1]
