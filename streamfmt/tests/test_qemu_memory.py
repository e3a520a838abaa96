"""The memory in QEMU's streams is what a restore would have, however it was sent and however it is read."""

from __future__ import annotations

import io
import json
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt
from streamfmt import data
from streamfmt.corpus.entries import unpacked

from ..cli.main import main
from ..codec.qemu_pages import FormError, changed, inflated
from ..errors import StreamError
from ..io.memory import MemorySource, ObjectSource
from ..io.sources import drive
from ..memory.collector import Collector
from ..memory.image import Memory
from ..memory.qemu import rows
from ..memory.qemu_layout import low_end
from ..memory.registers import Vcpus
from ..memory.statistics import Statistics
from ..payload_tables import QEMU_CPU, QEMU_CPU_FIELDS
from ..schema import qemu_stream as schema
from ..writer import Draft, Part
from ..writer import qemu as parts

PAGE = schema.PAGE_SIZE
GIB = 1 << 30
ZERO = bytes(PAGE)
PACKED = zlib.compress(ZERO)


def once(raw: bytes) -> dict[int, bytes]:
    """The memory in what can be read only once: pages are put by."""
    collector = Collector()
    source = ObjectSource(io.BytesIO(raw))
    collector.reading(source)
    drive(collector.reader.pump, source)
    collector.end()
    assert collector.damage is None
    return dict(Memory(collector.frames, collector.contents, None, lambda: None, None))


def migration(sent: list[Part], pages: int, machine: bytes = b"none", other: int = 1) -> bytes:
    """A migration in which these words come, after which there is a block that is no memory."""
    blocks = parts.blocks({"ram": pages, "rom": other})
    return Draft(
        (
            *parts.opening(machine),
            *parts.memory("SECTION_START", 1, blocks),
            *parts.memory("SECTION_PART", 1, sent),
            *parts.memory("SECTION_END", 1, (parts.page_of("rom", 0, b"\7" * PAGE), parts.zeros([0]))),
            parts.frame("EOF"),
        )
    ).render()


words = st.tuples(st.sampled_from("pzxc"), st.integers(0, 39), st.integers(0, 255), st.integers(1, 20))


@settings(max_examples=20)
@given(st.lists(words, min_size=1, max_size=8))
def test_memory_is_as_it_was_sent(sent: list[tuple[str, int, int, int]]) -> None:
    """Of each page the last that came counts: whole, zero, compressed, or as changes of what it was."""
    expected: dict[int, bytes] = {}
    found: list[Part] = [parts.zero_of("ram")]
    expected[0] = ZERO
    for kind, first, byte, count in sent:
        some = range(first, min(first + count, 40))
        if kind == "p":
            found.append(parts.pages({page: bytes([byte]) * PAGE for page in some}))
            expected |= {page: bytes([byte]) * PAGE for page in some}
        elif kind == "z":
            found.append(parts.zeros(some))
            expected |= dict.fromkeys(some, ZERO)
        elif kind == "c":
            page = bytes([byte, 1]) * (PAGE // 2)
            word = {"word.page": first, "data": zlib.compress(page)}
            found.append(parts.frame("RAM_COMPRESSED", pages=[word]))
            expected[first] = page
        elif first in expected:
            change = bytes([count, 1, byte])
            found.append(parts.frame("RAM_XBZRLE", pages=[{"word.page": first, "changes": change}]))
            before = expected[first]
            expected[first] = before[:count] + bytes([byte]) + before[count + 1 :]
    raw = migration(found, 40)

    with streamfmt.open_memory(raw) as memory:
        assert dict(memory) == expected
    assert once(raw) == expected
    for looking in (False, True):
        numbers = Statistics(looking=looking)
        numbers.reading(MemorySource(raw))
        numbers.reader.pump.feed(raw)
        numbers.reader.pump.end()
        numbers.end()
        assert sum(count for _, count in numbers.frames.ranges()) == len(expected)
        assert sum(kind.bytes for kind in numbers.kinds.values()) == len(raw)
        assert {name: kind.count for name, kind in numbers.kinds.items() if ".RAM" in name} == Counter(
            f"qemu.{item.name}" for item in streamfmt.open(raw) if item.name.startswith("RAM")
        )


@settings(max_examples=10)
@given(st.binary(min_size=1, max_size=5), st.integers(0, 3))
def test_mapped_memory(bits: bytes, hole: int) -> None:
    """A page is where it has its place if its bit is set, and zero if not, whatever is there."""
    pages = 8 * len(bits) - 3
    fixed = {"version": 1, "page_size": PAGE, "bitmap_offset": 0, "pages_offset": 0}
    begin = [*parts.opening(b"none", (schema.MAPPED_RAM,))]
    total, block = parts.blocks({"ram": pages}, "RAM_BLOCK_MAPPED", **fixed)
    block = replace(block, values={**block.values, "bitmap": bits.ljust(8, b"\0")})
    head, *rest = parts.memory("SECTION_START", 1, ())
    end = sum(part.extent for part in (*begin, head, total, block))
    block = replace(block, values={**block.values, "bitmap_offset": end - 8, "pages_offset": end + hole})
    content = bytes(hole) + b"".join(bytes([page % 255 + 1]) * PAGE for page in range(pages))
    body = (*begin, head, total, block, parts.frame("RAM_MAPPED_PAGES", pages=content), *rest, parts.frame("EOF"))
    raw = Draft(body).render()
    there = [bits[page // 8] >> page % 8 & 1 for page in range(pages)]
    expected = {page: bytes([page % 255 + 1]) * PAGE if there[page] else ZERO for page in range(pages)}

    with streamfmt.open_memory(raw) as memory:
        assert dict(memory) == expected
    assert once(raw) == expected
    assert [(first + n, bit) for first, count, bit in rows(bits, pages) for n in range(count)] == [
        (page, bool(bit)) for page, bit in enumerate(there)
    ]


@pytest.mark.parametrize(
    ("machine", "size", "low"),
    [
        (b"pc-i440fx-7.2", 3583 << 20, 3583 << 20),
        (b"pc-i440fx-7.2", 3584 << 20, 3 * GIB),
        (b"pc-i440fx-10.0", 5 * GIB, 3 * GIB),
        (b"pc-i440fx-1.7", 3584 << 20, 3584 << 20),
        (b"pc-i440fx-1.7", 5 * GIB, 3584 << 20),
        (b"pc-q35-2.12", 2815 << 20, 2815 << 20),
        (b"pc-q35-2.12", 2816 << 20, 2 * GIB),
        (b"isapc", 5 * GIB, 3584 << 20),
        (b"none", 5 * GIB, 5 * GIB),
        (b"pc-i440fx-focal", GIB, None),
        (b"microvm", GIB, None),
        (None, GIB, None),
    ],
)
def test_where_machines_have_their_memory(machine: bytes | None, size: int, low: int | None) -> None:
    """As `info mtree` of QEMU 7.2 has it for those that are known."""
    assert low_end(machine, size) == low


def test_above_the_hole() -> None:
    """Pages beyond what is below are at 4 GiB; in a row they may be on both sides of the hole."""
    last = 3 * GIB // PAGE - 1
    row = {page: bytes([1 + page & 0xFF]) * PAGE for page in range(last - 1, last + 3)}
    sent = [parts.zero_of("ram"), parts.pages(row), parts.zeros(range(last + 3, last + 5))]
    raw = migration(sent, 4 * GIB // PAGE, b"pc-i440fx-7.2")
    with streamfmt.open_memory(raw) as memory:
        assert list(memory.ranges()) == [(0, 1), (last - 1, 2), (4 * GIB // PAGE, 4)]
        assert [memory[pfn] for pfn in (last - 1, last, 4 * GIB // PAGE, 4 * GIB // PAGE + 1)] == [*row.values()]


def test_what_it_is_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which block it is, where its pages are, what is left out and what has not come."""
    path, out = tmp_path / "guest", tmp_path / "raw"
    path.write_bytes(migration([parts.zero_of("ram")], 3, b"microvm"))

    said = (
        "block ram, by offset in the block, since machine microvm is not known; 1 other block left out; "
        "2 of its pages are not in the stream"
    )
    assert main(["extract", "--memory", "raw", "--index", str(path), "-o", str(out)]) == 1
    assert " ".join(capsys.readouterr().out.split()).endswith(said)
    assert out.stat().st_size == PAGE
    assert not path.with_suffix(".pages").exists()
    assert main(["extract", "--memory", "raw", str(path)]) == 1
    assert capsys.readouterr().err == f"streamfmt: {path}: memory is missing: {said}\n"
    path.write_bytes(migration([], 3, b"microvm"))
    assert main(["extract", "--memory", "raw", str(path)]) == 1
    assert "nothing to write (block ram, by offset" in capsys.readouterr().err


def test_registers_of_a_real_guest() -> None:
    """A guest that has not begun to run is where an x86 begins."""
    collector = Collector()
    vcpus = collector.states = Vcpus(collector)
    collector.reader.pump.feed(unpacked(Path(data.path("corpus", "real", "qemu-mig-pc-4M-10.0.bin.gz"))))
    collector.reader.pump.end()

    (registers,) = vcpus.registers.values()
    assert {name: registers[name] for name in ("rip", "cr0", "cs", "cs.base", "cs.limit", "cs.flags")} == {
        "rip": 0xFFF0,
        "cr0": 0x60000010,
        "cs": 0xF000,
        "cs.base": 0xFFFF0000,
        "cs.limit": 0xFFFF,
        "cs.flags": 0x9B,
    }


@pytest.mark.parametrize("name", ["pc-4M-xbzrle-5.2", "pc-4M-10.0"])
def test_registers_lie_where_the_stream_says(name: str) -> None:
    """Fields of a vcpu have the places and sizes that the description in a stream of real QEMU gives them."""
    with streamfmt.open(data.path("corpus", "real", f"qemu-mig-{name}.bin.gz")) as stream:
        (described,) = (json.loads(item.fields()["text"]) for item in stream if item.name == "VMDESCRIPTION")
    vcpu = next(row for row in described["devices"] if row["name"] == QEMU_CPU[0].decode())
    places, at = {}, 0
    for field in vcpu["fields"]:
        count = field.get("array_len", 1)
        each = field.get("struct", {}).get("fields", [{"size": field["size"]}])
        for part in each * count:
            places[at] = field["name"].removeprefix("env."), part["size"]
            at += part["size"]

    assert (vcpu["version"], at) == QEMU_CPU[1:]
    assert {place: places[place][1] for place, _ in QEMU_CPU_FIELDS.values()} == dict(QEMU_CPU_FIELDS.values())
    named = {
        "rip": "eip",
        "cr0": "cr[0]",
        "cr4": "cr[4]",
        "mxcsr": "mxcsr",
        "tr.base": "tr",
        "gs.kernel": "kernelgsbase",
    }
    assert {name: places[QEMU_CPU_FIELDS[name][0]][0] for name in named} == named


def test_a_record_of_devices_has_no_memory() -> None:
    """It has a place in the row of layers with memory, and none in it."""
    with streamfmt.open_memory(data.path("corpus", "real", "qemu-dm-pc-5.2.bin.gz")) as memory:
        assert not memory


@settings(max_examples=50)
@given(st.binary(max_size=24))
def test_changes_that_are_none(raw: bytes) -> None:
    """Any bytes are changes of a page or an error that says where."""
    try:
        page = changed(ZERO, raw)
    except FormError as error:
        page, at = ZERO, error.at
    else:
        at = 0

    assert len(page) == PAGE
    assert 0 <= at <= len(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"x", PACKED[:-5], zlib.compress(bytes(1 << 20))], ids=["nothing", "junk", "cut", "bomb"]
)
def test_compressed_pages_that_are_none(raw: bytes) -> None:
    """As loaders do, less than a page is taken, and what is behind one passed over; more is none."""
    assert inflated(PACKED + b"x") == (ZERO, len(PACKED))
    assert inflated(zlib.compress(ZERO[1:]))[0] == ZERO[1:]
    with pytest.raises(FormError):
        inflated(raw)


def test_a_page_that_cannot_be_made_is_missed() -> None:
    """Then the memory is damaged, and the others are there."""
    sent = [parts.zero_of("ram"), parts.frame("RAM_XBZRLE", pages=[{"word.page": 1, "changes": b"\0\0\1"}])]
    raw = migration(sent, 2)
    with pytest.raises(StreamError, match="no bytes that change"):
        streamfmt.open_memory(raw)
    with streamfmt.open_memory(raw, allow_damaged=True) as memory:
        assert list(memory) == [0]


def test_what_comes_after_the_memory_may_be_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The description that ends the stream is read by none: without its end the memory is whole, which is said."""
    whole, cut, out = tmp_path / "whole", tmp_path / "cut", tmp_path / "memory"
    described = parts.frame("VMDESCRIPTION", text=b'{"devices": []}')
    raw = migration([parts.zero_of("ram"), parts.zeros([1])], 2) + Draft((described,)).render()
    whole.write_bytes(raw)
    cut.write_bytes(raw[:-3])

    assert main(["extract", "--memory", "raw", str(whole), "-o", str(out)]) == 0
    assert "the memory is whole" not in capsys.readouterr().err
    first = out.read_bytes()
    assert main(["extract", "--memory", "raw", str(cut), "-o", str(out)]) == 0
    said = capsys.readouterr().err

    assert "the memory is whole; after it, the input ends" in said
    assert out.read_bytes() == first == bytes(2 * PAGE)
