"""The memory of a QEMU migration with multifd, which its channels have, compressed or not."""

from __future__ import annotations

import sys
import tracemalloc
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt
from streamfmt import data

from ..cli.main import main
from ..codec.qemu_channel import UnopenedError, Unpacking
from ..codec.qemu_pages import FormError
from ..errors import MalformedError, StreamError
from ..schema import qemu_multifd as schema
from ..schema.qemu_stream import PAGE_SIZE as PAGE
from ..writer import Draft, Part
from ..writer import qemu as parts

_REAL = Path(data.path("corpus", "real"))
ZERO = bytes(PAGE)
_CODES = {name: code for code, name in schema.METHODS.items()}
_PAGES = 24
# What a page is filled with, in which channel, or in the main stream, it comes, and which it is.
Sent = tuple[int, int, int]


def _main(rounds: Sequence[Sequence[int]], flushed: bool) -> bytes:
    """A main stream with these zero pages in each round."""
    words: list[list[Part]] = []
    for number, pages in enumerate(rounds):
        begun = (
            [*parts.blocks({"ram": _PAGES, "rom": 1}), parts.zero_of("rom"), parts.zero_of("ram")] if not number else []
        )
        zeros = [parts.zeros(pages)] if pages else []
        words.append([*begun, *zeros, *([parts.frame("RAM_FLUSH", **{"word.page": 0})] if flushed else [])])
    kinds = ["SECTION_START", *["SECTION_PART"] * (len(rounds) - 2), "SECTION_END"]
    sections = [part for kind, some in zip(kinds, words, strict=True) for part in parts.memory(kind, 1, some)]
    return bytes(Draft((*parts.opening(b"none"), *sections, parts.frame("EOF"))).render())


def _channel(number: int, rounds: Sequence[Sequence[tuple[Sequence[int], bytes]]], method: int) -> list[Part]:
    """A channel that has these packets in each round: pages, and the content of those before the zero pages."""
    made: list[Part] = [parts.channel(number)]
    packed: Callable[[bytes], bytes] = parts.packing(method) if method else bytes
    for some in rounds:
        for pages, content in some:
            zero = len(pages) - len(content) // PAGE
            raw = packed(content) if content else b""
            made.append(parts.packet(len(made), "ram", [page * PAGE for page in pages], zero, raw, method=method))
        made.append(parts.packet(len(made), sync=True))
    return made


def _rendered(made: Sequence[Part]) -> bytes:
    return bytes(Draft(tuple(made)).render())


@settings(max_examples=20)
@given(
    st.sampled_from(("none", "zlib", "zstd")),
    st.booleans(),
    st.lists(
        st.dictionaries(st.integers(0, _PAGES - 1), st.tuples(st.integers(0, 2), st.integers(0, 255)), max_size=9),
        min_size=2,
        max_size=5,
    ),
)
def test_the_last_round_counts(name: str, flushed: bool, rounds: list[dict[int, tuple[int, int]]]) -> None:
    """Of each page what its last round has, through whichever channel, or the main stream, it comes."""
    expected = {0: ZERO}
    zeros: list[list[int]] = []
    sent: list[list[list[tuple[Sequence[int], bytes]]]] = [[], []]
    for some in rounds:
        ways: dict[int, list[int]] = defaultdict(list)
        for page, (way, byte) in some.items():
            ways[way].append(page)
            expected[page] = bytes([byte]) * PAGE if way < 2 else ZERO
        zeros.append(sorted(ways[2]))
        for way in (0, 1):
            pages = sorted(ways[way], key=lambda page: expected[page] == ZERO)
            content = b"".join(expected[page] for page in pages if expected[page] != ZERO)
            sent[way].append([(pages, content)] if pages else [])
    stream = _main(zeros, flushed)
    channels = [_rendered(_channel(number, some, _CODES[name])) for number, some in enumerate(sent)]

    with streamfmt.open_memory(stream, channels=channels[::-1]) as memory:
        assert dict(memory) == expected
    outcomes = [streamfmt.verify(channel, deep=True) for channel in channels]
    assert [dict(outcome.counts) for outcome in outcomes] == [{}, {}]


# -- what is wrong ----------------------------------------------------------------------------------------------------

_STREAM = _main([[], []], flushed=True)
_A, _B = b"a" * PAGE, b"b" * PAGE


def _changed(number: int, method: int = 1, **values: Any) -> list[Part]:
    """A channel of two packets with pages, of which one is changed."""
    made = _channel(0, [[([1], _A), ([2, 3], _B)], []], method)
    place = [at for at, part in enumerate(made) if part.values.get("normal_pages")][number]
    made[place] = replace(made[place], values={**made[place].values, **values})
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (_changed(0, data=b"junk", data_size=4), "zlib cannot decompress"),
        (_changed(0, data=zlib.compress(_A), data_size=len(zlib.compress(_A))), "an end of the zlib stream"),
        (_changed(0, data=parts.packing(1)(_A + _A), data_size=len(parts.packing(1)(_A + _A))), "more bytes"),
        (_changed(0, data=parts.packing(1)(_A)[:9], data_size=9), "4,096 bytes less"),
        (_changed(1, 2, data=b"\xff" * 9, data_size=9), "zstd cannot decompress"),
        (_changed(1, **{"flags.method": 2}), "not compressed with zlib"),
        (_changed(0, **{"flags.method": 4}), "compressed with qpl are not decompressed"),
        (_changed(0, normal_pages=129), "the most is 128"),
        (_changed(0, 0, data=_A + b"x", data_size=PAGE + 1), "does not have the 4,096 bytes"),
        (_changed(0, data_size=1 << 31), "the input ends"),
        (_changed(0, block=b"disk".ljust(256, b"\0")), "does not list"),
        (_changed(0, offsets=[1 << 40] * 128), "none there"),
        (_changed(0)[:-1], "waits 1 time, and the main stream 2"),
        ([parts.channel(1), *_changed(0)[1:]], "have the numbers 1"),
        ([], "it is no channel of multifd"),
    ],
    ids=lambda row: row if isinstance(row, str) else "",
)
def test_what_is_wrong_is_said(made: list[Part], said: str) -> None:
    """By the channel, and where in it; and what does not need it is there all the same."""
    raw = _rendered(made) if made else b"nothing"
    with pytest.raises(StreamError, match=said) as raised:
        streamfmt.open_memory(_STREAM, channels=[raw])
    assert isinstance(raised.value, MalformedError)
    assert 0 <= raised.value.offset <= len(raw)
    with streamfmt.open_memory(_STREAM, channels=[raw], allow_damaged=True) as memory:
        assert memory.damage is not None
        assert {page: memory[page] for page in memory}.items() <= {0: ZERO, 1: _A, 2: _B, 3: ZERO}.items()


def test_two_guests_and_no_migration(tmp_path: Path) -> None:
    """Channels of two guests, or of what has none, are refused; so is an index of them."""
    channels = [
        _rendered(_channel(0, [[], []], 0)),
        _rendered([parts.channel(1, b"u" * 16), *_channel(1, [[], []], 0)[1:]]),
    ]
    with pytest.raises(StreamError, match="several guests"):
        streamfmt.open_memory(_STREAM, channels=channels)
    with pytest.raises(StreamError, match="no channels belong to it"):
        streamfmt.open_memory(_REAL / "hvm-64.bin.gz", channels=channels[:1])
    with pytest.raises(ValueError, match="index"):
        streamfmt.open_memory(_STREAM, channels=channels[:1], index=tmp_path / "index")


@given(st.binary(max_size=40), st.integers(0, 2000))
def test_any_damage_is_met(junk: bytes, at: int) -> None:
    """Whatever bytes a channel has, its memory is there, or what is wrong with it."""
    raw = bytearray(_rendered(_changed(0, 2)))
    raw[at : at + len(junk)] = junk
    with streamfmt.open_memory(_STREAM, channels=[bytes(raw)], allow_damaged=True) as memory:
        assert len(dict(memory)) <= _PAGES


@pytest.mark.parametrize("method", [1, 2])
def test_no_more_is_made_than_pages_have(method: int) -> None:
    """What claims to be a page, and is 64 MiB, is not decompressed."""
    size = 64 << 20
    raw = zlib.compress(bytes(size)) if method == 1 else zstandard.compress(bytes(size))
    stream = Unpacking(method)
    stream.begin(PAGE)
    tracemalloc.start()
    with pytest.raises(FormError, match="more bytes"):
        stream.more(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20


def test_zstd_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install; zlib needs nothing."""
    raw = _rendered(_changed(0, 2))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    Unpacking(1)
    with pytest.raises(UnopenedError, match="pip install zstandard"):
        Unpacking(2)
    outcome = streamfmt.verify(raw, deep=True)
    assert "pip install zstandard" in outcome.as_dict()["abstained"]["QEMU-MFD-DATA"]


def test_a_guest_that_ran() -> None:
    """What changed while it was sent is what QEMU had in the end, by pmemsave."""
    stem = str(_REAL / "qemu-multifd-pc-zstd-11.1.")
    channels = [f"{stem}ch{letter}.bin.gz" for letter in "AB"]
    assert [dict(streamfmt.verify(name, deep=True).counts) for name in channels] == [{}, {}]
    with streamfmt.open_memory(f"{stem}main.bin.gz", channels=channels) as memory:
        assert sorted(memory) == list(range(1024))
        changed = b"".join(memory[page] for page in range(0x20, 0x30))
        others = {memory[page] for page in memory if not 0x20 <= page < 0x30}
    assert sha256(changed).hexdigest() == "1828ec873679c75278a61f54e03aa37c5478c5558dfb9aa3cd37c49314642fbe"
    assert others == {ZERO}


# -- on the command line ----------------------------------------------------------------------------------------------


def test_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """extract takes the channels' files; a set with zlib has the memory of one without."""
    out = tmp_path / "memory"
    stem = str(_REAL / "qemu-multifd-pc-")
    names = {
        kind: [f"{stem}{kind}.ch{letter}.bin.gz" for letter in some]
        for kind, some in {"7.2": "AB", "zlib-7.2": "A"}.items()
    }
    found = []
    for channels in names.values():
        command = ["extract", "--memory", "raw", f"{stem}7.2.main.bin.gz", "--channels", *channels, "-o", str(out)]
        assert main(command) == 0
        found.append(out.read_bytes())
    assert found[0] == found[1]
    assert len(found[0]) == 4 << 20
    capsys.readouterr()
    made = tmp_path / "channel"
    made.write_bytes(_rendered(_changed(0, data=b"junk", data_size=4)))
    stream = tmp_path / "main"
    stream.write_bytes(_STREAM)
    out.unlink()
    command = ["extract", "--memory", "raw", str(stream), "--channels", str(made), "-o", str(out)]
    assert main(command) == 1
    assert not out.exists()
    assert f"channel {made}: a packet has bytes that zlib cannot decompress" in capsys.readouterr().err
    assert main([*command, "--allow-damaged"]) == 1
    assert out.exists()
    assert main([*command[:5], str(tmp_path / "none"), "-o", str(out)]) == 3
    assert main(["extract", str(stream), "libxc", "--channels", str(made)]) == 2
    assert main([*command, "--index"]) == 2
