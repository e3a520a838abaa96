"""Compressed inputs, below the command line: what comes out is what went in, and it comes in small pieces."""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from zlib import crc32

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import streamfmt

from ..cli.main import main
from ..errors import DamagedError, UnopenedError
from ..io.compressed import CompressedSource
from ..io.sources import compressed


def _frame(data: bytes, checksum: bool = True, sized: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized).compress(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": _frame,
}
_BOMB = 64 << 20
_ENOUGH = 4 << 20


def unpacked(key: str, packed: bytes, seed: int | None = None) -> bytes:
    """What comes out of `packed`, which comes in pieces of any size if a seed is given."""
    rng = Random(seed)
    left = memoryview(packed)

    def read(size: int) -> bytes:
        nonlocal left
        size = size if seed is None else min(size, rng.choice((1, 2, 3, 4, 17, 1000, 70_000)))
        data, left = bytes(left[:size]), left[size:]
        return data

    source = CompressedSource(key, read)
    room = memoryview(bytearray(100_000))
    found = bytearray()
    while got := source.read_into(room):
        found += room[:got]
    return bytes(found)


# Noise, one byte repeated, and what compresses in between: zstd has a kind of block for each.
PIECES = st.lists(st.tuples(st.sampled_from(("noise", "zeros", "text")), st.integers(0, 300_000)), max_size=4)


def _content(pieces: list[tuple[str, int]]) -> bytes:
    make: dict[str, Callable[[int], bytes]] = {
        "noise": Random(0).randbytes,
        "zeros": bytes,
        "text": lambda count: b"xen " * (count // 4),
    }
    return b"".join(make[kind](count) for kind, count in pieces)


@given(pieces=PIECES, checksum=st.booleans(), sized=st.booleans(), seed=st.integers(0, 1000))
def test_zstd_frames(pieces: list[tuple[str, int]], checksum: bool, sized: bool, seed: int) -> None:
    """Frames of all kinds of blocks, followed by another and by something else, however they are cut."""
    data = _content(pieces)
    packed = _frame(data, checksum, sized) + _frame(b"second") + b"plain"

    assert unpacked("zstd", packed) == unpacked("zstd", packed, seed) == data + b"secondplain"


def _byte_by_byte(packed: bytes) -> bytes | None:
    """What zstandard itself makes of a frame and what follows it; None if it refuses.

    Given all at once it would judge a frame's size where no reader of a stream can.
    """
    worker = zstandard.ZstdDecompressor().decompressobj()
    data = bytearray()
    try:
        for at in range(len(packed)):
            if worker.eof:
                return bytes(data + packed[at:])
            data += worker.decompress(packed[at : at + 1])
    except zstandard.ZstdError:
        return None
    return bytes(data) if worker.eof else None


@given(pieces=PIECES, place=st.integers(0), bit=st.integers(0, 7), cut=st.booleans())
def test_zstd_damage(pieces: list[tuple[str, int]], place: int, bit: int, cut: bool) -> None:
    """A frame that is cut or has a bit flipped is refused, or gives the same, as from zstandard byte by byte."""
    packed = bytearray(_frame(_content(pieces)))
    place = 4 + place % (len(packed) - 4)
    if cut:
        del packed[place:]
    else:
        packed[place] ^= 1 << bit
    try:
        found: bytes | None = unpacked("zstd", bytes(packed))
    except DamagedError:
        found = None

    assert found == _byte_by_byte(bytes(packed))


@pytest.mark.parametrize("key", PACKERS)
def test_a_bomb_costs_no_memory(key: str) -> None:
    """A few bytes that hold very many come out in pieces."""
    packed = PACKERS[key](bytes(_BOMB))
    source = CompressedSource(key, lambda size: pieces.pop() if pieces else b"")
    pieces = [packed]
    room = memoryview(bytearray(256 << 10))
    tracemalloc.start()
    count = 0
    while got := source.read_into(room):
        count += got
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == _BOMB
    assert peak < _ENOUGH


# RFC 8878 section 3.1.1: a frame's header whose window has 2 to the power of `log` bytes, then one raw block.
def _windowed(data: bytes, log: int) -> bytes:
    block = (len(data) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\0" + bytes([(log - 10) << 3]) + block + data


def _xz(data: bytes, size: int) -> bytes:
    return lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": size}])


def _large(bits: int) -> bytes:
    """xz data whose only block says that its dictionary has the size that `bits` mean; making such takes the memory."""
    data = bytearray(_xz(b"x", 1 << 20))
    size = 4 * (data[12] + 1)
    data[12 + 4] = bits
    data[12 + size - 4 : 12 + size] = crc32(data[12 : 12 + size - 4]).to_bytes(4, "little")
    return bytes(data)


_MIB = 1 << 20
# 192 MiB and 1,536 MiB.
_LARGE = (_large(31), _large(37))
_SKIPPED = b"\x5e\x2a\x4d\x18" + (7).to_bytes(4, "little") + b"skipped"


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(
    ("key", "packed"),
    [("zstd", _windowed(b"content", log)) for log in (10, 23, 27)] + [("xz", _xz(b"content", 64 * _MIB))],
)
def test_what_the_limit_takes_is_opened(key: str, packed: bytes, seed: int | None) -> None:
    """Windows up to those of `zstd --long=27`, and dictionaries up to those of `xz -9`."""
    assert unpacked(key, packed, seed) == b"content"


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(
    ("key", "packed", "message"),
    [
        ("zstd", _windowed(b"x", 31), "needs 2,048 MiB to decompress; the limit is 128 MiB: try zstd -dc --long=31 "),
        ("zstd", _windowed(b"x", 28), "needs 256 MiB to decompress; the limit is 128 MiB"),
        ("zstd", _frame(b"first") + _windowed(b"x", 28), "needs 256 MiB to decompress; the limit is 128 MiB"),
        ("zstd", b"\x28\xb5\x2f\xfd\x01\x00\x2a", "needs dictionary 42"),
        ("zstd", _windowed(b"x", 32), "that it needs 4,096 MiB to decompress, which is more than zstd takes"),
        ("zstd", _windowed(b"x", 41), "that it needs 2,097,152 MiB to decompress, which is more than zstd takes"),
        (
            "zstd",
            b"\x28\xb5\x2f\xfd\xe0" + (1 << 33).to_bytes(8, "little"),
            "8,192 MiB to decompress, which is more than ",
        ),
        ("xz", _LARGE[0], "needs 192 MiB to decompress; the limit is 128 MiB: try xz -dc FILE"),
        ("xz", _LARGE[1], "needs 1,536 MiB to decompress; the limit is 128 MiB"),
        ("xz", _xz(b"first", _MIB) + _LARGE[0], "needs 192 MiB to decompress"),
    ],
)
def test_what_needs_more_is_not_called_damaged(key: str, packed: bytes, message: str, seed: int | None) -> None:
    """What the data says it needs is reported, with the limit and what to do; and that is no fault of the data."""
    with pytest.raises(UnopenedError, match=message):
        unpacked(key, packed, seed)
    outcome = streamfmt.verify(packed)

    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.status) == ("unopened", 3)


@pytest.mark.parametrize("seed", [None, *range(5)])
def test_frames_without_data_are_passed_over(seed: int | None) -> None:
    """Before the first frame, between two, and after the last; what follows is handed on."""
    packed = _SKIPPED * 2 + _frame(b"first ") + _SKIPPED + _frame(b"second ") + _SKIPPED + b"plain"

    assert compressed(packed[:6]) == "zstd"
    assert unpacked("zstd", packed, seed) == b"first second plain"
    for cut in range(4, len(_SKIPPED)):
        with pytest.raises(DamagedError, match="ends early"):
            unpacked("zstd", _frame(b"first") + _SKIPPED[:cut], seed)


@pytest.mark.parametrize(
    ("key", "packed", "message"),
    [
        ("gzip", gzip.compress(b"x" * 99, mtime=0)[:-8] + bytes(8), "damaged: incorrect data check"),
        ("zstd", _frame(b"x" * 99, True)[:-4] + bytes(4), "damaged: Restored data doesn't match checksum"),
        ("zstd", b"\x28\xb5\x2f\xfd\x08\x58\x01\x00\x00", "damaged: Unsupported frame parameter"),
    ],
    ids=["gzip checksum", "zstd checksum", "zstd parameter"],
)
def test_damage_is_described_in_few_words(key: str, packed: bytes, message: str) -> None:
    """What is wrong, without the libraries' names for the places where they found it."""
    with pytest.raises(DamagedError, match=f"^the {key} data is {message}$"):
        unpacked(key, packed, None)


@pytest.mark.parametrize("number", range(2))
def test_every_way_calls_it_the_same(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What needs more memory than we give is "unopened" and costs 3, for the library, verify and tee alike."""
    path = tmp_path / "large.xz"
    path.write_bytes(_LARGE[number])
    verified = main(["verify", "--json", str(path)]), json.loads(capsys.readouterr().out)
    with path.open("rb") as file:
        command = [sys.executable, "-m", "streamfmt", "tee", "--json"]
        done = subprocess.run(command, stdin=file, capture_output=True, check=False)
    copied = done.returncode, json.loads(done.stderr.splitlines()[0])

    assert done.stdout == _LARGE[number]
    for status, found in (verified, copied):
        assert (status, found["failure"]["kind"]) == (3, "unopened")
    assert verified[1]["failure"]["reason"] == streamfmt.verify(path).failure.reason  # type: ignore[union-attr]
