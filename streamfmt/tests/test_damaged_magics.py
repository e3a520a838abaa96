"""Damaged magics: a header is known again though some of its first bytes are others, and judged."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import streamfmt

from .. import tables
from ..cli.main import main
from ..reader.fields import MAGICS, damaged
from ..reader.registry import ROWS
from .support.good_streams import GOOD
from .support.vector import judge

# A stream that begins with each magic.
STREAMS = {
    "libxl": "libxl-hvm",
    "libxc": "hvm",
    "xl": "xl-hvm",
    "libvirt": "libvirt-hvm",
    "xapi": "xapi-hvm",
    "xl-migrate": "migration",
    "xapi-legacy": "xapi-legacy",
    "xend": "xend-pv",
    "qemu": "qemu-record",
    "qemu-multifd": "qemu-channel",
}


def _clauses(layer: str) -> set[str]:
    """The clauses about a layer's magic."""
    rows = (row for path, rows in tables.RULES.items() if path.startswith(f"{layer}.") for row in rows)
    return {row[0] for row in rows if any(row[1] in layer.magic for layer in ROWS.values())}


def _flipped(data: bytes, bit: int) -> bytes:
    broken = bytearray(data)
    broken[bit // 8] ^= 1 << bit % 8
    return bytes(broken)


def test_every_magic_has_a_stream() -> None:
    """No header with a clause about its magic is left out."""
    assert STREAMS.keys() == MAGICS.keys()


@pytest.mark.parametrize("layer", STREAMS)
def test_any_bit(layer: str) -> None:
    """Any flipped bit of a magic is one finding, of its clause, and all else is judged as ever."""
    data = GOOD[STREAMS[layer]].render()
    sound = judge([data])
    for bit in range(8 * len(MAGICS[layer])):
        broken = _flipped(data, bit)
        outcome = judge([broken])
        found = set(outcome.counts) - set(sound.counts)
        assert len(found) == 1
        assert found <= _clauses(layer)
        assert (outcome.errors, outcome.size) == (1, sound.size)
        identity = streamfmt.identify(broken)
        assert (identity.key, identity.known) == (layer, True)
        assert identity.description == streamfmt.identify(data).description
        place = bit // 8
        assert f"byte {place} is {broken[place]:#04x}, expected {data[place]:#04x}" in identity.doubt


@pytest.mark.parametrize("layer", ["libxl", "libxc"])
@pytest.mark.parametrize("around", ["xl-hvm", "libvirt-hvm"])
def test_inside(layer: str, around: str) -> None:
    """A damaged magic inside a container is known again too."""
    data = GOOD[around].render()
    at = data.index(MAGICS[layer])
    outcome = judge([_flipped(data, 8 * at + 3)])

    assert outcome.errors == 1
    assert set(outcome.counts) & _clauses(layer)


# A layer that ends with its input has nothing after it.
@pytest.mark.parametrize("layer", [layer for layer in STREAMS if ROWS[layer].trailing or ROWS[layer].holds])
@pytest.mark.parametrize("bit", [3, 61])
def test_exactly(layer: str, bit: int) -> None:
    """Exact reading knows a damaged magic as well, and reads nothing after the stream."""
    data = _flipped(GOOD[STREAMS[layer]].render(), bit % (8 * len(MAGICS[layer])))
    out, into = os.pipe()
    with open(out, "rb", buffering=0) as reading, open(into, "wb") as writing:
        writing.write(data + b"rest")
        writing.flush()
        outcome = streamfmt.verify(reading, exact=True)
        assert (outcome.errors, outcome.size) == (1, len(data))
        assert set(outcome.counts) & _clauses(layer)
        assert reading.read(8) == b"rest"


@pytest.mark.parametrize("layer", STREAMS)
def test_how_much(layer: str) -> None:
    """One byte in four may be another; with more, or with less than the whole magic, it is none."""
    magic = MAGICS[layer]
    rng = random.Random(layer)
    for _ in range(50):
        raw = bytearray(magic + b"rest")
        places = rng.sample(range(len(magic)), len(magic) // 4 + 1)
        raw[places[0]] ^= 0xFF
        for place in places[1:]:
            assert damaged(layer, bytes(raw))
            raw[place] ^= rng.randrange(1, 256)
        assert not damaged(layer, bytes(raw))
    assert not damaged(layer, magic)
    assert not damaged(layer, _flipped(magic, 0)[:-1])


def test_another_version_is_no_damage() -> None:
    """What has both a damaged magic and a version that is not known is not that header."""
    data = bytearray(_flipped(GOOD["hvm"].render(), 0))
    data[15] = 9
    outcome = judge([bytes(data)])

    assert list(outcome.counts) == ["LIBXC-IHDR-VERSION"]
    assert outcome.verifier.stopped is not None


def test_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """identify and verify name the byte."""
    path = tmp_path / "guest"
    path.write_bytes(_flipped(GOOD["hvm"].render(), 24))

    assert main(["identify", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "but: libxc image header at offset 0 with a damaged marker: byte 3 is 0xfe, expected 0xff" in (
        " ".join(shown.split())
    )
    assert max(map(len, shown.splitlines()[1:])) <= 80
    assert main(["verify", str(path)]) == 1
    assert "the marker is damaged: byte 3 is 0xfe, expected 0xff\n" in capsys.readouterr().out


@pytest.mark.parametrize("at", [4, 20, 27])
@pytest.mark.parametrize("lost", [0, 1], ids=["added", "lost"])
def test_a_byte_lost_or_added_in_a_magic(lost: int, at: int) -> None:
    """What follows is out of its place, so nothing of it is judged."""
    data = GOOD[STREAMS["xl"]].render()
    outcome = streamfmt.verify(data[:at] + b"Q" * (1 - lost) + data[at + lost :])

    assert not outcome.conforms
    assert not outcome.findings


def test_a_magic_inside_that_a_transfer_changed() -> None:
    """It is one finding, which says what the transfer did; what follows is not read."""
    (finding,) = judge([GOOD["migration"].render().replace(b"\r", b"")]).findings

    assert finding.clause == "XL-MAGIC"
    assert "each carriage return was dropped on the way" in finding.message
