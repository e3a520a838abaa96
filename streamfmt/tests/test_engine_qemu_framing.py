"""A guest's memory as QEMU's stream: whatever is in it and however it goes, what arrives is what was there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamfmt

from ..codec.content import Buffer
from ..engine import framing_qemu as framing
from ..engine.guest.memory import Memory
from ..writer.qemu import Device

PAGE = framing.PAGE
# A page of zeros, one that only begins so, one that begins with something, and one that ends with it.
CONTENTS = (bytes(PAGE), bytes(8) + b"\1" * (PAGE - 8), b"\2" * PAGE, bytes(PAGE - 1) + b"\3")
PAGES = 40


def joined(lists: list[list[Buffer]]) -> bytes:
    """All bytes of some lists, each of which the system takes in one call."""
    assert all(len(buffers) <= 1024 for buffers in lists)
    return b"".join(bytes(buffer) for buffers in lists for buffer in buffers)


def memory_of(raw: bytes, pages: int) -> bytes:
    """The memory that a stream leaves at a receiver whose own was full of something else."""
    found = bytearray(b"\xee" * (pages * PAGE))
    for item in streamfmt.open(raw):
        if not item.name.startswith(("RAM_ZERO", "RAM_PAGE")):
            continue
        fields = item.fields()
        for row in fields.get("pages", [fields]):
            page = row["word.page"] * PAGE
            found[page : page + PAGE] = row.get("data", bytes((row.get("fill", 0),)) * PAGE)
    return bytes(found)


@pytest.mark.parametrize("together", [3, framing.TOGETHER])
@given(
    memory=st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=PAGES),
    parts=st.lists(st.tuples(st.integers(0), st.dictionaries(st.integers(0, PAGES - 1), st.sampled_from(CONTENTS)))),
    holes=st.booleans(),
)
def test_what_arrives_is_what_was_there(
    together: int, memory: list[bytes], parts: list[tuple[int, Mapping[int, bytes]]], holes: bool
) -> None:
    """Any sets of frames, with writes between them, then those that were written since: all is there, and conforms."""
    pages = len(memory)
    view = memoryview(bytearray(b"".join(memory)))
    everything = (1 << pages) - 1
    with patch.object(framing, "TOGETHER", together):
        made = framing.Framing(view)
        raw = made.opening()
        # What is not populated is taken for zeros without a look.
        populated = sum(1 << page for page, data in enumerate(memory) if any(data)) if holes else None
        raw += joined(list(made.part(everything, populated)))
        left = 0
        for frames, writes in parts:
            for page, data in writes.items():
                if page < pages:
                    view[page * PAGE : (page + 1) * PAGE] = data
                    left |= 1 << page
            raw += joined(list(made.part(frames & everything)))
            left &= ~frames
        raw += joined(list(made.closing(left, "running", return_path=True))) + made.ending("running")
        made.close()
    outcome = streamfmt.verify(raw)

    assert outcome.conforms, outcome.findings
    assert not outcome.findings
    assert memory_of(raw, pages) == bytes(view)


def test_pages_in_a_row_go_as_they_lie() -> None:
    """More than go in one call, with zero pages among them: the buffers of content are the guest's memory itself."""
    pages = 3 * framing.TOGETHER + 7
    view = memoryview(bytearray(b"\5" * (pages * PAGE)))
    view[100 * PAGE : 101 * PAGE] = bytes(PAGE)
    view[framing.TOGETHER * PAGE : 2 * framing.TOGETHER * PAGE] = bytes(framing.TOGETHER * PAGE)
    made = framing.Framing(view)
    lists = list(made.part((1 << pages) - 1))
    whole = [buffer for buffers in lists for buffer in buffers if len(buffer) == PAGE]

    assert all(isinstance(buffer, memoryview) and buffer.obj is view.obj for buffer in whole)
    # The first page goes with the name of its block, and is copied.
    assert len(whole) == pages - 1 - framing.TOGETHER - 1
    raw = made.opening(False) + joined(lists) + joined(list(made.closing(0, "paused"))) + made.ending("paused")
    assert memory_of(raw, pages) == bytes(view)
    # Words and pages, and at most a hundred bytes for each list.
    assert len(raw) < len(whole) * (PAGE + 8) + (framing.TOGETHER + 2) * 9 + PAGE + 1000


def test_holes_are_not_looked_at() -> None:
    """Frames that are not populated stay without memory, however they are sent."""
    memory = Memory(64)
    try:
        memory.view[5 * PAGE : 6 * PAGE] = b"\1" * PAGE
        made = framing.Framing(memory.view)
        raw = made.opening() + joined(list(made.part((1 << 64) - 1, memory.populated())))
        raw += joined(list(made.closing(0, "running"))) + made.ending("running")
        made.close()

        assert memory.populated() == 1 << 5
        assert memory_of(raw, 64) == bytes(memory.view)
    finally:
        memory.close()


@pytest.mark.parametrize("release", framing.SHAPES)
def test_devices_have_numbers_of_their_own(release: str) -> None:
    """Whatever devices are sent, each section has its own number, and their state arrives as it was."""
    shape = framing.SHAPES[release]
    devices = [Device(f"device{number}", bytes((number,)) * (9 + 4000 * number), 3, number % 2) for number in range(6)]
    made = framing.Framing(memoryview(bytearray(PAGE)), shape, devices)
    raw = (
        made.opening(False)
        + joined(list(made.part(1)))
        + joined(list(made.closing(0, "paused")))
        + made.ending("paused")
    )
    rows = [item.fields() for item in streamfmt.open(raw) if item.name.startswith("SECTION_FULL")]

    assert streamfmt.verify(raw).conforms
    assert [row["payload"] for row in rows[:-1]] == [device.payload for device in devices]
    numbers = [row["section_id"] for row in rows]
    assert len({*numbers, shape.memory}) == len(rows) + 1
    assert numbers[-1] == shape.state
    assert framing.name_of_state(rows[-1]["payload"]) == "paused"


def test_words_are_big_endian() -> None:
    """By themselves, as rows, and on a machine of either byte order."""
    rows = framing.words(range(3, 5), 0x28)
    with patch.object(sys, "byteorder", "big"):
        swapped = framing.words([3, 4], 0x28)

    assert rows == bytes.fromhex("0000000000003028 0000000000004028") == framing.words([3, 4], 0x28)
    assert swapped == bytes.fromhex("2830000000000000 2840000000000000")
    assert framing.zero_words([3]) == bytes.fromhex("000000000000302200")


@pytest.mark.parametrize("payload", [b"", b"\0\0\0\4", b"\0\0\0\xff" + b"x" * 100])
def test_no_state(payload: bytes) -> None:
    """A state without a name is none."""
    assert framing.name_of_state(payload) == ""
