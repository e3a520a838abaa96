"""What `streamfmt show` says of page batches, in constant memory."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamfmt import tables
from streamfmt.render.pages import Pages

# -- page batches -----------------------------------------------------------------------------------------------

ENTRIES = st.lists(
    st.builds(lambda kind, pfn: kind << 60 | pfn, st.sampled_from(sorted(tables.PAGE_TYPES)), st.integers(0, 40)),
    min_size=1,
    max_size=30,
)


def carrying(entries: list[int]) -> int:
    """How many of these have content."""
    return sum(entry >> tables.ENTRY_TYPE_SHIFT in tables.PAGE_TYPES_DATA for entry in entries)


def test_many_ranges_become_bounds() -> None:
    """A few ranges of frames are listed one by one, many only by the lowest and the highest."""
    few, many = Pages(), Pages()
    few.add([1, 2, 3, 7, 9, 10], 6)
    many.add([*range(100, 0, -2)], 50)

    assert few.text() == "6 entries, pfns 0x1-0x3, 0x7, 0x9-0xa: 6 NOTAB"
    assert many.text() == "50 entries, pfns within 0x2-0x64: 50 NOTAB"
    assert many.ranges == []


def test_compressed_content_is_elsewhere() -> None:
    """Batches whose content comes compressed have none of it, alone or taken together with others."""
    here, there = Pages(), Pages()
    here.add([1, 2], 2)
    there.compressed = True
    there.add([3, 4], 0)
    here.merge(there)

    assert there.text() == "2 entries, pfns 0x3-0x4: 2 NOTAB; content comes compressed"
    assert here.text() == "4 entries, pfns 0x1-0x4: 4 NOTAB; content comes compressed"
    assert (there.as_dict()["pages"], here.as_dict()["pages"]) == (0, 2)


@given(ENTRIES, st.lists(st.integers(1, 29), max_size=3))
def test_sums_do_not_depend_on_the_cut(entries: list[int], cuts: list[int]) -> None:
    """Batches taken together say the same however they were cut, merged or added."""
    whole, added, merged = Pages(), Pages(), Pages()
    whole.add(entries, carrying(entries))
    edges = sorted({0, len(entries), *(cut for cut in cuts if cut < len(entries))})
    for start, stop in pairwise(edges):
        added.add(entries[start:stop], carrying(entries[start:stop]))
        part = Pages()
        part.add(entries[start:stop], carrying(entries[start:stop]))
        merged.merge(part)

    pfns = [entry & tables.ENTRY_PFN_MASK for entry in entries]
    assert whole.text() == added.text() == merged.text()
    assert whole.as_dict() == added.as_dict() == merged.as_dict()
    assert (whole.low, whole.high, whole.entries) == (min(pfns), max(pfns), len(entries))
    assert whole.content == merged.content == carrying(entries)
    if whole.ranges:
        assert [pfn for first, last in whole.ranges for pfn in range(first, last + 1)] == pfns
