"""Damaged streams end in a verdict: no exception, no delay, nothing that depends on how the bytes came.

`campaign` makes the damage and says what is promised; here it runs a few thousand inputs, and hypothesis a few more
that it can make smaller.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .support.campaign import check, one, seeds

_JOBS = 20
_COUNT = 150 * (10 if os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough" else 1)


@pytest.mark.parametrize("job", range(_JOBS))
def test_seeded(job: int) -> None:
    """Thousands of damaged vectors and real streams, the same ones every time."""
    for number in range(job * _COUNT, (job + 1) * _COUNT):
        data, rng = one("suite", number)
        try:
            check(data, rng)
        except Exception as error:  # any at all is what this test is to find
            pytest.fail(f"python -m streamfmt.tests.support.campaign --seed suite --only {number}: {error!r}")


@given(
    number=st.deferred(lambda: st.integers(0, len(seeds()) - 1)),
    edits=st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(max_size=8), st.integers(0, 16)), max_size=4),
)
def test_any_edit(number: int, edits: list[tuple[int, bytes, int]]) -> None:
    """Bytes put in the place of others, at places that shrink towards the front."""
    data = seeds()[number].data
    for place, new, gone in edits:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + gone :]
    check(data, Random(0))


def test_damage_differs() -> None:
    """The inputs are not all the same, and they are made again from their numbers."""
    inputs = [one("suite", number)[0] for number in range(50)]

    assert inputs == [one("suite", number)[0] for number in range(50)]
    assert len(set(inputs)) > 45
