"""A guest's memory: what has contents, what is zeros, and what other processes may give for it."""

from __future__ import annotations

import fcntl
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine import frames as sets
from ..engine.guest.memory import PAGE, PAGES_MAX, Memory, of_runs
from ..errors import GuestError

PAGES = 700
FRAMES = st.sets(st.integers(0, PAGES - 1), max_size=40)


@settings(max_examples=25)
@given(written=FRAMES, zeros=FRAMES, private=st.booleans(), at=st.integers(0, PAGE - 1))
def test_contents_are_found(written: set[int], zeros: set[int], private: bool, at: int) -> None:
    """What was written is populated, what has a byte that is not 0 is filled, wherever in the page that is."""
    memory = Memory(PAGES, private=private)
    for frame in zeros:
        memory.view[frame * PAGE] = 0
    for frame in written:
        memory.view[frame * PAGE + at] = 7

    populated = memory.populated()

    try:
        assert sets.of(written | zeros, PAGES) & ~populated == 0
        assert private or populated == sets.of(written | zeros, PAGES)
        assert memory.filled(populated) == sets.of(written, PAGES)
    finally:
        memory.close()


@settings(max_examples=25)
@given(contents=st.dictionaries(st.integers(0, PAGES - 1), st.integers(1, 255), max_size=20), zeros=FRAMES)
def test_digest_is_of_contents_alone(contents: dict[int, int], zeros: set[int]) -> None:
    """It is the same whether zeros are pages or holes, shared or private; it differs if one page does or has moved."""
    memories = [Memory(PAGES), Memory(PAGES), Memory(PAGES, private=True)]
    for number, memory in enumerate(memories):
        for frame in zeros if number else ():
            memory.view[frame * PAGE] = 0
        for frame, value in contents.items():
            memory.view[frame * PAGE + 9] = value

    try:
        plain, *others = (memory.digest() for memory in memories)
        assert others == [plain, plain]
        first = min(contents, default=0)
        memories[0].view[first * PAGE : (first + 1) * PAGE] = bytes(PAGE)
        memories[0].view[(first + 1) % PAGES * PAGE + 10] ^= 1
        assert memories[0].digest() != plain
    finally:
        for memory in memories:
            memory.close()


@pytest.mark.parametrize("private", [False, True])
def test_cleared_frames_are_zeros(private: bool) -> None:
    """They have no contents, others keep theirs; frames of a memory file take no space any more."""
    memory = Memory(64, private=private)
    memory.view[: 8 * PAGE] = b"x" * (8 * PAGE)

    memory.clear(sets.run(2, 3) | sets.run(7, 1))

    assert memory.filled(sets.run(0, 64)) == sets.of([0, 1, 5, 6], 64)
    memory.clear(sets.run(0, 64))
    assert not memory.populated()
    memory.close()
    memory.close()


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 90)), max_size=12))
def test_runs_are_sets(runs: list[tuple[int, int]]) -> None:
    """A set of runs has what each of them has, and no more."""
    frames = {frame for first, count in runs for frame in range(first, first + count)}

    assert of_runs(runs, 400) == sets.of(frames, 400)


def test_sparse_memory_costs_what_is_written() -> None:
    """64 GiB with a few pages: nothing but these is looked at."""
    memory = Memory(1 << 24)
    written = {0, 5, 1 << 20, (1 << 24) - 1}
    for frame in written:
        memory.view[frame * PAGE] = 1
    begun = time.process_time()

    found = memory.filled(memory.populated())
    digest = memory.digest()

    assert time.process_time() - begun < 2
    assert found == sets.of(written, 1 << 24)
    assert memory.populated() == found
    assert len(digest) == 64
    memory.close()


def test_memory_is_shared_by_its_descriptor() -> None:
    """Another mapping of it sees the same; each is closed for itself."""
    memory = Memory(16)
    other = Memory.adopt(os.dup(memory.descriptor))

    memory.view[PAGE] = 5
    memory.close()

    assert other.pages == 16
    assert other.view[PAGE] == 5
    other.close()


@pytest.mark.parametrize(("size", "seals"), [(PAGE, 0), (PAGE + 1, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW), (0, 6)])
def test_memory_that_may_vanish_is_refused(size: int, seals: int) -> None:
    """A descriptor of a file that may shrink, or is no whole pages, is refused and closed."""
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    if seals:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)

    with pytest.raises(GuestError, match=r"memory|pages"):
        Memory.adopt(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_what_is_no_memory_is_refused() -> None:
    """A pipe, and sizes that cannot be."""
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(GuestError, match="not that of a guest's memory"):
        Memory.adopt(reading)
    for pages in (0, -1, PAGES_MAX + 1):
        with pytest.raises(GuestError, match="cannot be made"):
            Memory(pages)
