"""Channels of QEMU's multifd: by themselves, and together with their main stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamfmt
from streamfmt import data
from streamfmt.checks.outcome import Outcome
from streamfmt.cli.main import main

from ..schema import qemu_multifd as schema
from ..schema.qemu_stream import PAGE_SIZE as PAGE
from ..writer import Draft, Part
from ..writer import qemu as parts

_REAL = Path(data.path("corpus", "real"))
SETS = {
    "none-11.1": ("qemu-multifd-none-11.1.main", "qemu-multifd-none-11.1.chA", "qemu-multifd-none-11.1.chB"),
    "pc-7.2": ("qemu-multifd-pc-7.2.main", "qemu-multifd-pc-7.2.chA", "qemu-multifd-pc-7.2.chB"),
}


def _files(name: str) -> list[Path]:
    return [_REAL / f"{file}.bin.gz" for file in SETS[name]]


@pytest.mark.parametrize("name", SETS)
def test_real_sets(name: str) -> None:
    """A main stream with all of its channels has lost nothing; without one of them it has, and that is said."""
    stream, *channels = _files(name)
    outcomes = [streamfmt.verify(path) for path in channels]

    assert all(outcome.conforms and not outcome.counts for outcome in outcomes)
    assert not streamfmt.verify(stream, channels=outcomes).counts
    assert streamfmt.verify(stream).conforms
    for rest in (outcomes[:1], outcomes[1:]):
        assert "QEMU-RAM-COVER" in streamfmt.verify(stream, channels=rest).counts
    assert "QEMU-MFD-SET" in streamfmt.verify(stream, channels=outcomes[1:]).counts
    assert "QEMU-MFD-SET" in streamfmt.verify(stream, channels=outcomes * 2).counts
    assert "QEMU-MFD-NUMBER" in streamfmt.verify(stream, channels=outcomes * 2).counts


@pytest.mark.parametrize("name", ["hvm-64.bin.gz", "hvm-64-broken.bin.gz", "qemu-dm-q35-10.0.bin.gz"])
def test_channels_of_no_migration_are_refused(name: str) -> None:
    """What is no migration has no channels, whatever else is wrong with it; one that breaks off is judged."""
    channels = [streamfmt.verify(path) for path in _files("none-11.1")[1:]]

    with pytest.raises(ValueError, match="it has no channels, since it is no migration of QEMU"):
        streamfmt.verify(_REAL / name, channels=channels)
    assert not streamfmt.verify(_REAL / "qemu-cut-cancel-none-64M-11.1.bin.gz", channels=channels).conforms


def test_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """verify takes the channels' files, names what is none, and takes one main stream at a time."""
    stream, *channels = map(str, _files("none-11.1"))

    assert main(["verify", "--json", stream, "--channels", *channels]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["identity"]["key"], row["verdict"], row["counts"]) for row in rows] == [
        ("qemu-multifd", "conforms", {}),
        ("qemu-multifd", "conforms", {}),
        ("qemu", "conforms", {}),
    ]
    assert main(["verify", stream]) == 0
    assert "load this alone as completed" in " ".join(capsys.readouterr().out.split())
    assert main(["verify", "-q", stream, "--channels", stream]) == 1
    assert "is no channel of multifd" in capsys.readouterr().err
    record = data.path("corpus", "real", "qemu-dm-pc-5.2.bin.gz")
    for main_stream in (record, channels[1]):
        assert main(["verify", "-q", main_stream, "--channels", channels[0]]) == 1
        assert "is no whole QEMU migration, so the channels were not judged" in capsys.readouterr().err
    assert main(["verify", stream, stream, "--channels", *channels]) == 2
    assert main(["show", channels[0]]) == 0
    assert "128 zero pages" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(ValueError, match="no channel"):
        streamfmt.verify(stream, channels=[streamfmt.verify(stream)])


# -- sets that are made -----------------------------------------------------------------------------------------------


def _main(pages: int, *, flushed: bool = True) -> bytes:
    """A main stream without pages."""
    words = [parts.frame("RAM_FLUSH", **{"word.page": 0})] if flushed else []
    begun = parts.memory("SECTION_START", 1, [*parts.blocks({"ram": pages}), *words])
    return bytes(Draft((*parts.opening(b"none"), *begun, parts.frame("EOF"))).render())


def _channel(number: int, packets: Sequence[Part], uuid: bytes = bytes(16)) -> Outcome:
    return streamfmt.verify(bytes(Draft((parts.channel(number, uuid), *packets)).render()))


@given(st.data(), st.integers(1, 3), st.integers(1, 40))
def test_pages_that_are_spread_over_channels(drawn: st.DataObject, channels: int, pages: int) -> None:
    """However pages are spread: all of them are enough, and one less is not."""
    cut = drawn.draw(st.lists(st.integers(0, pages), max_size=4).map(lambda found: sorted({0, pages, *found})))
    runs = list(pairwise(cut))
    packets: list[list[Part]] = [[] for _ in range(channels)]
    for number, (first, last) in enumerate(runs):
        offsets = [page * PAGE for page in range(first, last)]
        zero = drawn.draw(st.integers(0, len(offsets)))
        made = parts.packet(number, "ram", offsets, zero, bytes((len(offsets) - zero) * PAGE))
        packets[drawn.draw(st.integers(0, channels - 1))].append(made)
    packets[-1].append(parts.packet(len(runs), sync=True))
    outcomes = [_channel(number, rows) for number, rows in enumerate(packets)]

    assert not streamfmt.verify(_main(pages), channels=outcomes).counts
    assert streamfmt.verify(_main(pages + 1), channels=outcomes).counts == {"QEMU-RAM-COVER": 1}
    beyond = streamfmt.verify(_main(pages - 1), channels=outcomes).counts if pages > 1 else {"QEMU-MFD-RANGE": 1}
    assert beyond == {"QEMU-MFD-RANGE": 1}


_ALL = [parts.packet(0, "ram", [0], 1), parts.packet(1, "ram", [PAGE], 1), parts.packet(2, sync=True)]


@pytest.mark.parametrize(
    ("channels", "clause"),
    [
        ([(0, _ALL[:1]), (1, _ALL[2:])], {"QEMU-RAM-COVER", "QEMU-MFD-NUMBER"}),
        ([(0, _ALL), (2, [])], {"QEMU-MFD-SET"}),
        ([(0, _ALL), (0, [])], {"QEMU-MFD-SET"}),
        ([(0, [*_ALL, parts.packet(1, "ram", [0], 1)])], {"QEMU-MFD-NUMBER"}),
        ([(0, [*_ALL, parts.packet(3, "rom", [0], 1)])], {"QEMU-MFD-RANGE"}),
        ([(0, [*_ALL, parts.packet(3, "ram", [2 * PAGE], 1)])], {"QEMU-MFD-RANGE"}),
    ],
    ids=["missing-page", "number-2", "twice", "packet-twice", "other-block", "beyond"],
)
def test_sets_that_are_none(channels: list[tuple[int, list[Part]]], clause: set[str]) -> None:
    """What does not fit is said, each by its clause."""
    outcomes = [_channel(number, packets) for number, packets in channels]

    assert set(streamfmt.verify(_main(2), channels=outcomes).counts) == clause


def test_two_guests() -> None:
    """Channels of two guests are no set."""
    outcomes = [_channel(0, _ALL), _channel(1, [], b"\1" * 16)]

    assert set(streamfmt.verify(_main(2), channels=outcomes).counts) == {"QEMU-MFD-SET"}


@given(st.binary(max_size=64), st.integers(0, 400))
def test_anything_may_follow(junk: bytes, cut: int) -> None:
    """A channel that breaks off, or goes on as none would, is a finding with a place."""
    whole = bytes(Draft((parts.channel(0), *_ALL)).render())
    outcome = streamfmt.verify(whole + junk)
    assert outcome.conforms == (not junk)
    short = streamfmt.verify(whole[: len(whole) - 1 - cut])

    assert set(short.counts) == {"QEMU-MFD-TRUNC"}
    assert json.dumps(outcome.as_dict())


def test_lengths_that_lie() -> None:
    """A packet that claims 4 GiB of content is skipped, not kept, and is cut."""
    packet = Part("qemu-multifd.PAGES", {**parts.packet(0, "ram", [0], 0).values, "data_size": (1 << 32) - 1})
    values: dict[str, Any] = {**packet.values, "flags.method": 1}
    outcome = streamfmt.verify(bytes(Draft((parts.channel(0), Part(packet.path, values))).render()))

    assert set(outcome.counts) == {"QEMU-MFD-TRUNC"}
    assert schema.OFFSETS == 128
