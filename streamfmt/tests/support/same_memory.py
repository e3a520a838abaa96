"""Whether what a real restorer has is the memory of a guest of ours."""

from __future__ import annotations

from collections.abc import Mapping

from ... import tables
from ...engine.framing_xen import PAGE, Translated
from ...engine.interface import Guest

ZERO = bytes(PAGE)


def contents(guest: Guest) -> dict[int, bytes]:
    """Its pages as streams have them; those of zeros are left out."""
    pages: dict[int, bytes] = {}
    for frame in range(guest.pages):
        if isinstance(guest, Translated):
            page = bytes(guest.contents(frame, 1) or b"")
        else:
            page = bytes(guest.memory[frame * PAGE : (frame + 1) * PAGE])
        if page != ZERO:
            pages[frame] = page
    return pages


def levels(guest: Guest) -> dict[int, int]:
    """The page tables of a guest and their levels."""
    kinds = guest.types() or ()
    return {frame: tables.TABLE_LEVELS[kind] for frame, kind in enumerate(kinds) if kind in tables.TABLE_LEVELS}


def own(guest: Guest) -> set[int]:
    """Frames of a PV guest that a restorer writes itself: start info, and its lists of frames."""
    if guest.type == "hvm":
        return set()
    layout = guest._pv._layout  # type: ignore[attr-defined] # where the guest's kernel has them
    return {layout.start, layout.top, *layout.lists, *layout.leaves}


def assert_equal(guest: Guest, pages: Mapping[int, bytes]) -> None:
    """The pages are the guest's, but for what a restorer writes."""
    left = own(guest)
    ours = {frame: page for frame, page in contents(guest).items() if frame not in left}
    theirs = {frame: page for frame, page in pages.items() if page != ZERO and frame not in left}
    # Pages of Xen's own that a restorer makes are no guest's memory: they are above it.
    theirs = {frame: page for frame, page in theirs.items() if frame < guest.pages}
    assert ours.keys() == theirs.keys()
    assert [frame for frame in ours if ours[frame] != theirs[frame]] == []
