"""QEMU's streams: real ones, whole and in pieces; words about pages, fast and one by one; sections without lengths."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import streamfmt
from streamfmt import data
from streamfmt.cli.main import main
from streamfmt.corpus.entries import unpacked

from ..reader.pump import Window
from ..reader.qemu_rows import clean
from ..reader.qemu_state import Block
from ..schema import qemu_stream as schema
from ..writer import Draft
from ..writer import qemu as parts
from ..writer.qemu import Device
from .support.vector import judge, reported

REAL = sorted(Path(data.path("corpus", "real")).glob("qemu-*.gz"))
# What is said of those that are not whole by themselves.
SAID = {
    "qemu-cut-cancel-none-64M-11.1": {"QEMU-TRUNC"},
    "qemu-multifd-none-11.1.main": {"QEMU-MFD-ALONE"},
    "qemu-multifd-pc-7.2.main": {"QEMU-RAM-COVER"},
    "qemu-multifd-pc-zstd-11.1.main": {"QEMU-MFD-ALONE"},
    "qemu-postcopy-none-40M-11.1": {"QEMU-POSTCOPY"},
}
PAGE = schema.PAGE_SIZE


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name.removesuffix(".bin.gz"))
def test_real_streams(path: Path) -> None:
    """All that QEMU wrote is read to its last byte, in pieces of any size alike, and conforms unless it was cut."""
    raw = unpacked(path)
    whole = judge([raw])
    pieces = [raw[at : at + 4093] for at in range(0, len(raw), 4093)]

    assert len(REAL) >= 14
    assert whole.size == len(raw)
    assert set(whole.counts) == SAID.get(path.name.removesuffix(".bin.gz"), set())
    assert reported(judge(pieces)) == reported(whole)
    if len(raw) < 5000:
        assert reported(judge([raw[at : at + 1] for at in range(len(raw))])) == reported(whole)


@pytest.mark.parametrize("name", ["qemu-mig-none-1M-5.2", "qemu-dm-pc-5.2"])
def test_exactly(name: str) -> None:
    """Where sections have footers no byte after the end is asked for; the description is left then."""
    raw = unpacked(Path(data.path("corpus", "real", f"{name}.bin.gz")))
    size = next(item.offset + 1 for item in streamfmt.open(raw) if item.name == "EOF")
    out, into = os.pipe()
    with open(out, "rb", buffering=0) as reading, open(into, "wb") as writing:
        writing.write(raw[:size] + b"rest")
        writing.flush()
        outcome = streamfmt.verify(reading, exact=True)

        assert (outcome.conforms, outcome.size) == (True, size)
        assert reading.read(8) == b"rest"


@pytest.mark.parametrize("footers", [True, False])
def test_exactly_in_a_file(footers: bool, tmp_path: Path) -> None:
    """There a section's end is looked for without a step for each byte, and all is as it is without --exact."""
    path = tmp_path / "record"
    rows = [Device("strange", bytes(range(256)) * 12_000, 1), Device("timer", bytes(24), 2)]
    raw = parts.device_record(rows, footers).render()
    rest = b"rest" if footers else b""  # without footers what follows the end may as well be the device's
    path.write_bytes(raw + rest)

    with path.open("rb", buffering=0) as reading:
        outcome = streamfmt.verify(reading.fileno(), form="qemu", exact=True)

        assert reading.read() == rest
    assert (outcome.conforms, outcome.size) == (True, len(raw))
    assert outcome.as_dict()["records"] == streamfmt.verify(raw).as_dict()["records"]


def test_devices_are_shown_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    """With the description each field has its name and value."""
    path = data.path("corpus", "real", "qemu-mig-pc-4M-10.0.bin.gz")

    assert main(["show", "--full", "--type", "VMDESCRIPTION", "--type", "SECTION_FULL", path]) == 0
    out = capsys.readouterr().out
    assert "section 21: 0000:00:01.3/piix4_pm" in out or "/piix4_pm, version 3" in out
    assert "  cpu_ticks_offset = " in out
    assert "  runstate = " in out


def test_a_mapped_file_is_not_read(tmp_path: Path) -> None:
    """Pages with places of their own are passed over, however many: a hole of 64 GiB takes no time."""
    pages = 16 << 20
    path = tmp_path / "guest"
    begin = [*parts.opening(b"none", (schema.MAPPED_RAM,))]
    head, *rest = parts.memory("SECTION_START", 1, ())
    total, block = parts.blocks(
        {"ram": pages}, "RAM_BLOCK_MAPPED", version=1, page_size=PAGE, bitmap_offset=0, pages_offset=0
    )
    at = sum(part.extent for part in (*begin, head, total, block))
    values = {**block.values, "bitmap_offset": at, "pages_offset": 4 << 20, "bitmap": bytes(pages // 8)}
    with path.open("wb") as file:
        file.write(Draft((*begin, head, total, type(block)(block.path, values))).render())
        file.seek((4 << 20) + pages * PAGE)
        file.write(Draft((*rest, parts.frame("EOF"))).render())

    assert streamfmt.verify(path).conforms


@pytest.mark.parametrize(("bits", "size"), [(10, "1,024"), (13, "8,192"), (64, "at least 1,073,741,824")])
def test_other_pages_are_not_judged(bits: int, size: str) -> None:
    """Of a guest whose pages are not of 4 KiB all is judged that comes before them, and nothing held against it."""
    begin = [*parts.opening(b"virt"), parts.subsection(schema.BITS, bits.to_bytes(4, "big"))]
    raw = Draft((*begin, *parts.memory("SECTION_START", 1, parts.blocks({"ram": 2})))).render()
    outcome = streamfmt.verify(raw)

    assert (outcome.verdict, outcome.findings) == ("not judged", [])
    assert f"memory in pages of {size} bytes" in outcome.as_dict()["unjudged"]["name"]


def test_changes_and_compressed_pages_are_looked_into() -> None:
    """Only with --deep: of each finding the place inside the page is said, in pieces as at once."""
    sent = [
        parts.zero_of("ram"),
        parts.frame("RAM_XBZRLE", pages=[{"word.page": 1, "changes": b"\0\1\7\1\0"}]),
        parts.frame("RAM_XBZRLE_OF", name=b"ram", changes=b"\5\0", **{"word.page": 1}),
        parts.frame("RAM_COMPRESSED_OF", name=b"ram", data=b"junk", **{"word.page": 1}),
    ]
    memory = parts.memory("SECTION_END", 1, sent)
    start = parts.memory("SECTION_START", 1, parts.blocks({"ram": 2}))
    raw = Draft((*parts.opening(b"none"), *start, *memory, parts.frame("EOF"))).render()
    plain, deep = judge([raw]), judge([raw], deep=True)

    assert plain.counts == {}
    assert deep.counts == {"QEMU-RAM-CHANGES": 2, "QEMU-RAM-ZLIB": 1}
    assert [finding.field for finding in deep.findings] == ["pages[0].changes", "changes", "data"]
    assert deep.findings[0].offset == raw.index(b"\0\1\7\1\0") + 4
    for size in (1, 7, 30):
        assert reported(judge([raw[at : at + size] for at in range(0, len(raw), size)], deep=True)) == reported(deep)


# -- words ------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from((0, 0, 0, 1))), max_size=14),
    st.booleans(),
    st.lists(st.integers(1, 60), max_size=4),
)
def test_rows_are_judged_alike(words: list[tuple[int, int]], filled: bool, cuts: list[int]) -> None:
    """What is judged by columns is judged as each word by itself would be, however the bytes come."""
    length = 8
    row = b"".join(
        struct.pack(">Q", page << 12 | (0x28 if filled else 0x22)) + (bytes(PAGE) if filled else bytes([fill]))
        for page, fill in words
    )
    start = Draft((*parts.opening(b"none"), *parts.memory("SECTION_START", 1, parts.blocks({"ram": length})))).render()
    named = parts.zero_of("ram")
    head, eos, footer = parts.memory("SECTION_END", 1, ())
    raw = start + Draft((head, named)).render() + row + Draft((eos, footer, parts.frame("EOF"))).render()
    outcome = judge([raw])
    beyond = sum(page >= length for page, _ in words)
    other = 0 if filled else sum(fill > 0 for _, fill in words)

    counts = {"QEMU-RAM-RANGE": beyond, "QEMU-RAM-FILL": other, "QEMU-RAM-COVER": int(len(words) + 1 < length)}
    assert outcome.counts == {clause: count for clause, count in counts.items() if count}
    sizes = iter(cuts)
    pieces, at = [], 0
    while at < len(raw):
        size = next(sizes, 997)
        pieces.append(raw[at : at + size])
        at += size
    assert reported(judge(pieces)) == reported(outcome)


# Most rows rise, and one word is of another kind, at the ends of what is looked at together.
_STEPS = st.sampled_from((1, 1, 1, 2, 0))
_ODD = st.sampled_from((0, 0, 5, 17, 257, 273, 600, 4000))
_rows = st.tuples(st.integers(0, 9000), st.integers(1, 5000), _STEPS, _ODD)


@settings(max_examples=30)
@example([(0, 40, 1, 17)], 9000 * PAGE, False, 0)
@example([(0, 400, 1, 257)], 9000 * PAGE, False, 99)
@example([(3000, 5000, 1, 2000)], 9000 * PAGE, False, 99)
@given(st.lists(_rows, min_size=1, max_size=3), st.integers(1, 9000 * PAGE), st.booleans(), st.sampled_from((0, 99)))
def test_words_in_order_are_all_found(
    found: list[tuple[int, int, int, int]], length: int, filled: bool, before: int
) -> None:
    """Rows that rise, stay or have gaps, of which one word may be of another kind: as many as are found one by one."""
    words = [(page + number * step, number == odd - 1) for page, count, step, odd in found for number in range(count)]
    words = words[:40] if filled else words
    flags, other = (0x28, 0x22) if filled else (0x22, 0x28)
    size = 8 + (PAGE if filled else 1)
    raw = b"".join(
        (page << 12 | (other if odd else flags)).to_bytes(8, "big").ljust(size, b"\0") for page, odd in words
    )
    window = Window(len(raw))
    window.buf[:] = raw
    window.hi = len(raw)
    block = Block(length)
    due = next((n for n, (page, odd) in enumerate(words) if odd or page * PAGE >= length), len(words))
    if words[0][1]:
        return  # its flags are those of the row then

    assert clean(window, block, size, 0 if filled else 1, before) == due


@given(st.integers(1, 1 << 40), st.integers(0, 1 << 52))
def test_classes_of_a_block(pages: int, page: int) -> None:
    """Bytes that show that a page lies in a block never do of one that does not."""
    block = Block(pages * PAGE)
    word = (page << 12 & (1 << 64) - 1).to_bytes(8, "big")
    inside = all(word[place] in allowed for place, allowed in block.classes)
    within = int.from_bytes(word, "big") < block.length

    assert within or not inside
    assert inside or not within or not block.exact


# -- sections ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.booleans())
def test_payloads_may_be_anything(payloads: list[bytes], footers: bool) -> None:
    """A record whose payloads look like nothing else is divided as it was made."""
    rows = [Device("device", payload, 1, number) for number, payload in enumerate(payloads)]
    stream = parts.device_record(rows, footers)
    raw = stream.render()
    if any(mark in payload + b"\0" for payload in payloads for mark in (b"\x7e\0\0", b"\4\0\0", b"\1\0\0", b"\0\6")):
        judge([raw])  # whatever comes of it
        return
    lengths = [item.length for item in streamfmt.open(raw) if item.name == "SECTION_FULL"]

    assert lengths == [13 + len("device") + len(payload) for payload in payloads]


def test_numbers_may_fall() -> None:
    """As in records of QEMU 11.1: no number comes twice, and that is all that is sure of them."""
    names = [(6, "apic"), (0, "timer"), (3, "cpu_common")]
    sections = [part for number, name in names for part in parts.devices(number, [Device(name, b"\x11" * 30)], False)]
    raw = Draft((*parts.opening(None), *sections, parts.frame("EOF"))).render()

    assert [item.length for item in streamfmt.open(raw) if item.name == "SECTION_FULL"] == [47, 48, 53]


def test_more_blocks_than_are_read() -> None:
    """A list that goes on is refused with its limit, before it takes memory."""
    sizes = {f"block{number}": 1 for number in range(schema.BLOCKS_MAX + 1)}
    head, *rest = parts.memory("SECTION_START", 2, ())
    raw = Draft((*parts.opening(None), head, *parts.blocks(sizes), *rest, parts.frame("EOF"))).render()

    assert f"at most {schema.BLOCKS_MAX:,} blocks" in judge([raw]).as_dict()["stopped"]["reason"]


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"devices": ' * 40_000, b"1" * 200_000, b'{"devices": 1}', b'{"devices": [[]]}', b"\xff" * 9],
    ids=["deep", "deeper", "number", "no-list", "no-device", "no-text"],
)
def test_hostile_descriptions(text: bytes) -> None:
    """They are no JSON, or not of devices: a finding, and nothing worse."""
    raw = Draft((*parts.opening(None), parts.frame("EOF"), parts.frame("VMDESCRIPTION", text=text))).render()

    assert set(judge([raw]).counts) == {"QEMU-DESC-OPT"}


@given(st.binary(max_size=300))
def test_anything_may_follow_the_header(rest: bytes) -> None:
    """Nothing that follows makes more of it than findings."""
    outcome = judge([b"QEVM\0\0\0\3" + rest], "qemu")

    assert outcome.failure is None
    assert json.dumps(outcome.as_dict())
