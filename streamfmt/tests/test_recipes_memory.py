"""Guest memory by rule: contents do not depend on how many frames are asked for at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..recipes import memory

RULES = {name: memory.fill(name, seed=3) for name in memory.FILLS} | {"hex": memory.pattern(b"\1\2\3")}


@pytest.mark.parametrize("name", RULES)
@given(first=st.integers(0, 1 << 52), before=st.integers(0, 200), after=st.integers(1, 200))
def test_pages_at_once_are_the_pages_one_by_one(name: str, first: int, before: int, after: int) -> None:
    """Runs that begin and end anywhere hold whole pages, each as if it were alone."""
    buffers = RULES[name](first, before + after)
    assert all(len(buffer) % memory.PAGE == 0 for buffer in buffers)

    data = b"".join(buffers)
    assert len(data) == (before + after) * memory.PAGE
    alone = b"".join(RULES[name](first + before, 1))
    assert data[before * memory.PAGE :][: memory.PAGE] == alone


def test_random_pages_of_a_gib_differ() -> None:
    """No two of them are alike, so nothing that merges equal pages makes them fewer."""
    pages = memory.fill("random")
    kept = {bytes(buffer[at : at + 16]) for buffer in pages(5, 1 << 18) for at in range(0, len(buffer), memory.PAGE)}
    assert len(kept) == 1 << 18
