"""What is kept of page tables of a PV guest is what they held, and never more than there is room for."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..checks import page_trees
from ..checks.page_trees import Trees

# A few tables in a row, entries for frames in a row or not, to be written or read, some absent.
_ENTRIES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 40), st.booleans()), max_size=8)


@settings(max_examples=25)
@given(_ENTRIES)
def test_runs_are_the_entries(rows: list[tuple[int, int, int, bool]]) -> None:
    """A table of level 1 is kept as runs that say of each present entry where it is and where it leads."""
    words: list[int] = []
    for gap, count, frame, writable in rows:
        words += [0x6666 << 12] * gap + [(frame + place) << 12 | writable << 1 | 1 for place in range(count)]
    trees = Trees()

    trees.note(7, 1, 4096, struct.pack("<512Q", *words, *[0] * (512 - len(words))))

    plain = [(4096 + 8 * slot, slot, word >> 12, bool(word & 2)) for slot, word in enumerate(words) if word & 1]
    kept = [
        (at + 8 * place, slot + place, frame + place, writable)
        for at, slot, frame, count, writable in trees.runs(7)
        for place in range(count)
    ]
    assert kept == plain


def test_too_many_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of level 1 are let go of without those above, and a frame that comes again counts once."""
    monkeypatch.setattr(page_trees, "ENTRIES_MAX", 600)
    apart = struct.pack("<512Q", *(frame << 13 | 1 for frame in range(512)))
    few, more = Trees(), Trees()

    for trees in (few, more):
        for _ in range(3):
            trees.note(1, 2, 0, apart)
            trees.note(2, 1, 0, apart)
    more.note(3, 1, 0, apart)

    assert (few.known, few.leaves_known, len(few.leaves)) == (True, True, 1)
    assert (more.known, more.leaves_known, len(more.leaves)) == (True, False, 0)
    assert len(list(more.of(1))) == 512
