"""A guest's memory is found in all images as a restore would have it, and read where it lies."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import streamfmt

from .. import tables
from ..api import Form, Guest
from ..errors import LimitError, MalformedError, StreamError, TruncatedError
from ..io.memory import MemorySource, ObjectSource, from_object
from ..io.sources import drive
from ..memory.collector import Collector
from ..memory.image import Memory
from ..memory.saved import UnfitIndexError
from ..strategies import Sample, streams
from ..writer import builders
from .support import plain_memory_legacy, plain_memory_v3, plain_wrappers
from .support.good_streams import HVM
from .support.plain_drawn import setups
from .support.plain_guests import Setup, saved
from .support.plain_memory import Image, PlainError

Sampled = Callable[[str], bytes]
PAGE = 4096
FORMS: tuple[Form, ...] = ("libxc", "libxl", "xl")
WIDE: dict[int, Form] = {8: "legacy-64", 4: "legacy-32"}


def once(data: bytes, form: str = "auto", guest: Guest | None = None) -> Memory:
    """The memory in what can be read only once: pages are put by."""
    collector = Collector(form, guest)
    source = from_object(ObjectSource(io.BytesIO(data)), collector.reader)
    collector.reading(source)
    drive(collector.reader.pump, source)
    collector.end()
    return Memory(collector.frames, collector.contents, collector.damage, lambda: None, None)


def expected(image: Image) -> dict[int, bytes]:
    """Pages of an image that a plain reader has read, without those that a receiver frees."""
    return {pfn: data for pfn, (_, data) in image.pages.items() if pfn not in image.gone}


@settings(max_examples=60)
@given(st.sampled_from(FORMS).flatmap(streams))
def test_it_is_what_a_plain_reader_finds(sample: Sample) -> None:
    """Of any conforming stream, checkpointed ones too: every page, in order, whether it is read later or put by."""
    assume(not sample.stream.guest)  # a legacy stream
    data = sample.data
    pages = expected(plain_memory_v3.read(data))
    with streamfmt.open_memory(data) as memory:
        assert dict(memory) == pages
        assert list(memory) == sorted(pages)
        assert [pfn for first, count in memory.ranges() for pfn in range(first, first + count)] == sorted(pages)
        assert len(memory) == len(pages)
    assert dict(once(data)) == pages


@settings(max_examples=60)
@given(setups(), st.sampled_from([bytes, plain_wrappers.xend, plain_wrappers.xapi, plain_wrappers.xapi_records]))
def test_legacy_memory_is_what_a_plain_reader_finds(setup: Setup, wrap: Callable[[bytes], bytes]) -> None:
    """Of streams of all releases, in any wrapper, whose pages come compressed, to be compared, or are freed again."""
    inner = saved(setup)
    guest: Guest = "pv" if setup.guest == "pv" else "hvm"
    pages = expected(plain_memory_legacy.read(inner, setup.word, guest))
    data, form = wrap(inner), WIDE[setup.word] if wrap is bytes else "auto"
    with streamfmt.open_memory(data, form=form, guest=guest) as memory:
        assert dict(memory) == pages
    assert dict(once(data, form, guest)) == pages


def checkpointed(sample: Sampled) -> bytes:
    """A real stream of five checkpoints, four of them whole."""
    return sample("hvm-remus.bin.gz")


@settings(max_examples=40)
@given(st.data())
def test_of_a_stream_that_is_cut_the_last_checkpoint_counts(data: st.DataObject) -> None:
    """Wherever a checkpointed stream ends: memory is as of the last whole one, or the stream is refused."""
    sample = data.draw(streams("libxl", mode="remus"))
    whole = sample.data
    cut = whole[: data.draw(st.integers(200, len(whole)))]
    try:
        pages = expected(plain_memory_v3.read(cut))
    except PlainError:
        with pytest.raises(StreamError):
            streamfmt.open_memory(cut, form="libxl")
        return
    with streamfmt.open_memory(cut, form="libxl") as memory:
        assert dict(memory) == pages
    assert dict(once(cut, "libxl")) == pages


def test_checkpoints_reuse_what_was_put_by(sample: Sampled) -> None:
    """Pages of a later checkpoint go where those lay that no checkpoint wants any more."""
    data = checkpointed(sample)
    memory = once(data)
    size = os.fstat(memory._contents._spool).st_size

    assert dict(memory) == expected(plain_memory_v3.read(data))
    assert size < PAGE * (len(memory) + 2 * 40)  # a page for each, and those of two checkpoints


def test_pages_of_a_file_are_not_read(sample: Sampled) -> None:
    """Finding memory reads the headers and entries, and nothing of the pages, until one is asked for."""
    data = sample("pv-list.bin.gz")
    read = 0

    class Counting(MemorySource):
        def read_into(self, room: memoryview) -> int:
            nonlocal read
            got = super().read_into(room[: 12 << 10])
            read += got
            return got

    collector = Collector()
    source = Counting(data)
    collector.reading(source)
    drive(collector.reader.pump, source)
    collector.end()

    assert read < len(data) / 50
    assert len(Memory(collector.frames, collector.contents, None, lambda: None, None)) == 2007


def test_the_interface(tmp_path: Path, sample: Sampled) -> None:
    """Frames, types, ranges, bytes at an address, whatever has been iterated over; and what is not there."""
    path = tmp_path / "guest.bin"
    path.write_bytes(sample("pv-list.bin.gz"))
    image = plain_memory_v3.read(path.read_bytes())
    with streamfmt.open(path) as stream:
        next(stream)
        memory = stream.memory
        assert stream.memory is memory
        kinds = {pfn: tables.PAGE_TYPES[kind] for pfn, (kind, _) in image.pages.items()}
        assert {pfn: memory.type(pfn) for pfn in memory} == kinds
        assert memory.read(2 * PAGE - 3, 6) == image.pages[1][1][-3:] + image.pages[2][1][:3]
        assert (memory.type(37), 37 in memory, memory.get(37), -1 in memory) == (None, False, None, False)
        with pytest.raises(KeyError):
            memory[37]
        with pytest.raises(KeyError):
            memory.read(37 * PAGE - 1, 2)
        assert sum(1 for _ in stream) > 5
    with pytest.raises(ValueError, match="read at any place"), open(path, "rb") as file:
        streamfmt.open_memory(file)
    with open(path, "rb") as file, streamfmt.open_memory(file.fileno()) as memory:
        assert memory[1] == image.pages[1][1]


def test_an_index_is_used_again(tmp_path: Path, sample: Sampled) -> None:
    """What it says is what the stream says, and the stream is not passed over for it."""
    path, index = tmp_path / "guest.bin", tmp_path / "guest.pages"
    path.write_bytes(sample("pv-list.bin.gz"))
    with streamfmt.open_memory(path, index=index) as memory:
        pages = dict(memory)
        memory.save(index)
    # The header of a batch, in a place that no sample has: whoever passed over the stream would stop there.
    data = bytearray(path.read_bytes())
    data[4133688 + 4 : 4133688 + 8] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(StreamError):
        streamfmt.open_memory(path)
    with streamfmt.open_memory(path, index=index) as memory:
        assert dict(memory) == pages
        assert {memory.type(pfn) for pfn in pages} >= {"NOTAB", "L1TAB"}
    path.write_bytes(sample("pv-list.bin.gz"))
    packed = tmp_path / "guest.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with streamfmt.open_memory(packed) as memory, pytest.raises(ValueError, match="not compressed"):
        memory.save(index)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda data: b"", "no index", id="empty"),
        pytest.param(lambda data: b"x" + data[1:], "no index", id="magic"),
        pytest.param(lambda data: data[:16] + b"\2" + data[17:], "version 2", id="version"),
        pytest.param(lambda data: data[:-1], "as many bytes", id="cut"),
        pytest.param(lambda data: data + b"x", "as many bytes", id="longer"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), "damaged", id="digest"),
        pytest.param(lambda data: data[:96] + bytes([data[96] ^ 0x80]) + data[97:], "damaged", id="flag"),
        pytest.param(lambda data: data[:94] + b"\xff" + data[95:], "beyond its input", id="place"),
        pytest.param(lambda data: data[:40] + b"\xff" * 8 + data[48:], "as many bytes", id="leaves"),
    ],
)
def test_an_index_that_does_not_fit(
    spoil: Callable[[bytes], bytes], words: str, tmp_path: Path, sample: Sampled
) -> None:
    """Damaged in whatever way, it is refused, and says why."""
    path, index = tmp_path / "guest.bin", tmp_path / "guest.pages"
    path.write_bytes(sample("hvm-64.bin.gz"))
    with streamfmt.open_memory(path) as memory:
        memory.save(index)
    index.write_bytes(spoil(index.read_bytes()))
    with pytest.raises(UnfitIndexError, match=words):
        streamfmt.open_memory(path, index=index)


def test_an_index_of_another_input(tmp_path: Path, sample: Sampled) -> None:
    """One of another length is refused, and one of as many bytes that are others."""
    path, index = tmp_path / "guest.bin", tmp_path / "guest.pages"
    data = sample("hvm-64.bin.gz")
    path.write_bytes(data)
    with streamfmt.open_memory(path) as memory:
        memory.save(index)
    for other, words in ((data + b"\0", "bytes"), (data[:200] + b"x" + data[201:], "another input")):
        path.write_bytes(other)
        with pytest.raises(UnfitIndexError, match=words):
            streamfmt.open_memory(path, index=index)


def bare(entries: list[tuple[int, str]]) -> bytes:
    """An image whose entries come in records of one, none with a page."""
    parts = [builders.page_data([pfn], kind, []) for pfn, kind in entries]
    return HVM.before("libxc.PAGE_DATA", *parts).render()


def test_frames_here_and_there_are_refused() -> None:
    """An index takes memory in proportion to what comes: frames all over 2^40 do not make it long."""
    few = [(number << 27, "XALLOC") for number in range(200)]
    many = [(number << 20, "XALLOC") for number in range(1100)]
    with streamfmt.open_memory(bare(few)) as memory:
        assert all(pfn in memory for pfn, _ in few)
    with pytest.raises(LimitError, match="areas of 2 MiB") as refused:
        streamfmt.open_memory(bare(many))
    assert refused.value.limit == 1024 + 1028 // 256
    begin = len(HVM.upto("libxc.PAGE_DATA").render())
    assert begin <= refused.value.offset < len(bare(many))


def test_what_is_no_memory(sample: Sampled) -> None:
    """Something else, a cut stream and a batch that cannot be read are refused; what there is can be had."""
    with pytest.raises(StreamError):
        streamfmt.open_memory(b"MZ" * 100)
    whole = sample("hvm-64.bin.gz")
    cut = whole[:100_000]
    with pytest.raises(TruncatedError):
        streamfmt.open_memory(cut)
    with streamfmt.open_memory(cut, allow_damaged=True) as memory:
        assert isinstance(memory.damage, TruncatedError)
        pages = expected(plain_memory_v3.read(whole))
        assert dict(memory) == {pfn: pages[pfn] for pfn in range(24)}
    assert dict(once(cut)) == {pfn: pages[pfn] for pfn in range(24)}
    wrong = HVM.swap("libxc.PAGE_DATA", builders.page_data([1, 2], "NOTAB", [bytes(PAGE)])).render()
    with pytest.raises(MalformedError, match="PAGE_DATA has"):
        streamfmt.open_memory(wrong)


def test_page_types_that_are_reserved(sample: Sampled) -> None:
    """The record's length says whether a page belongs to such an entry; the others are in their places."""
    data = bytearray(sample("hvm-64.bin.gz"))
    entry = data.index((60).to_bytes(8, "little"), 744)
    data[entry + 7] = 0x50
    with pytest.raises(MalformedError, match="reserved"):
        streamfmt.open_memory(bytes(data))
    with streamfmt.open_memory(bytes(data), allow_damaged=True) as memory:
        assert dict(memory) == expected(plain_memory_v3.read(sample("hvm-64.bin.gz")))
