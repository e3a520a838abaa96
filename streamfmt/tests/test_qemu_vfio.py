"""Sections of VFIO devices in QEMU's streams: their ends are where their lengths say, whatever their data look like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from ..reader.qemu_vfio import pci_sizes, vectors
from ..schema import qemu_stream
from ..schema import vfio as schema
from ..strategies.vfio import NAME, NUMBER
from ..writer import Draft, Part, qemu, vfio
from ..writer.qemu import Device

# What would be taken for the end of the section, another's beginning, and the end of all.
_FOOTER = b"\x7e" + NUMBER.to_bytes(4, "big")
DECEIVING = (
    _FOOTER + b"\x02" + _FOOTER[1:] + _FOOTER + bytes(9) + b"\x04\0\0\0\x09\x04name" + bytes(8) + vfio.END + _FOOTER
)
CONFIG = vfio.configuration(vfio.pci(vfio.space()))


def _frames(kind: str, payload: bytes) -> list[Part]:
    """A part of the section, in as many records as it takes."""
    step = qemu_stream.PIECE
    first = qemu.frame(kind, section_id=NUMBER, payload=payload[:step])
    more = [qemu.frame("SECTION_DATA", payload=payload[at : at + step]) for at in range(step, len(payload), step)]
    return [first, *more, *qemu.footer(NUMBER)]


def _stream(part: bytes, last: bytes = vfio.END, full: bytes = CONFIG) -> bytes:
    parts = [*qemu.opening(b"none"), *qemu.begin(NUMBER, Device(NAME, vfio.SETUP))]
    parts += [*_frames("SECTION_PART", part), *_frames("SECTION_END", last)]
    if full:
        parts += qemu.devices(NUMBER, [Device(NAME, full)])
    return Draft((*parts, qemu.frame("EOF"))).render()


@given(st.lists(st.binary(max_size=60) | st.sampled_from((DECEIVING, b"")), max_size=3), st.integers(0, 70_000))
@settings(max_examples=30)
def test_data_may_look_like_anything(some: list[bytes], more: int) -> None:
    """Also where a piece ends inside a mark, and where pieces are many."""
    datas = [*some, (DECEIVING * (more // len(DECEIVING) + 1))[:more]]
    raw = _stream(b"".join(map(vfio.data, datas)) + vfio.END)

    outcome = streamfmt.verify(raw)

    assert outcome.findings == []
    assert outcome.conforms


@pytest.mark.parametrize("size", range(qemu_stream.PIECE - 34, qemu_stream.PIECE + 2))
def test_pieces_end_anywhere(size: int) -> None:
    """Marks may lie across the places where a payload is cut for being read."""
    assert streamfmt.verify(_stream(vfio.data(bytes(size)) + vfio.data(b"x") + vfio.END)).findings == []


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 2048])
@pytest.mark.parametrize("express", [False, True])
def test_configurations_of_any_device(count: int, express: bool) -> None:
    """How long it is follows from the configuration space, and the mark after it says of which bus it is."""
    space = vfio.space(msix=count, express=express)
    state = vfio.pci(space)
    raw = _stream(vfio.END, full=vfio.configuration(state))

    assert vectors(space) == count
    assert len(state) == pci_sizes(count)[express]
    assert streamfmt.verify(raw).findings == []


def test_a_display_has_more() -> None:
    """What is between that and the mark is passed over."""
    state = vfio.pci(vfio.space()) + b"\5\x18VFIOPCIDevice/VFIODisplay" + bytes(12)

    assert streamfmt.verify(_stream(vfio.END, full=vfio.configuration(state))).findings == []


def test_capabilities_in_a_circle() -> None:
    """A list of capabilities without an end has no MSI-X."""
    space = bytearray(vfio.space(msix=3))
    space[0x40:0x42] = b"\5\x40"

    assert vectors(bytes(space)) == 0


@given(st.integers(0, 400))
@settings(max_examples=40)
def test_cut_anywhere(size: int) -> None:
    """A stream that is cut does not conform, and nothing else is said of it."""
    raw = _stream(vfio.data(DECEIVING) + vfio.END)
    size = min(size, len(raw) - 1)
    outcome = streamfmt.verify(raw[:-size] if size else raw[:-1])

    assert not outcome.conforms
    assert {found.clause for found in outcome.findings} <= {"QEMU-TRUNC"}


@pytest.mark.parametrize("length", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_length_that_cannot_be(length: int) -> None:
    """No memory is taken for it: the stream ends first."""
    raw = _stream(vfio.mark(schema.DEV_DATA) + length.to_bytes(8, "big") + vfio.END)

    assert [found.clause for found in streamfmt.verify(raw).findings] == ["QEMU-TRUNC"]


def _channel(number: int, *packets: bytes) -> bytes:
    found = (qemu.device_packet(NAME, packet) for packet in packets)
    return Draft((qemu.channel(number), *found)).render()


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        (([0, 3], [2, 1]), ""),
        (([3], [1]), "packet 0 is in no channel"),
        (([0, 3], [0, 1, 2]), "comes twice"),
        (([0, 1], [2]), "configuration"),
        (([4, 0, 1], [2, 3]), "configuration"),
    ],
)
def test_packets_of_a_set_of_channels(channels: tuple[list[int], ...], said: str) -> None:
    """Numbers go over all channels, from 0 on, and the last has the configuration, which here has number 3."""
    outcomes, zero = [], qemu.zero_of("ram")
    for number, indices in enumerate(channels):
        rows = (vfio.packet(index, CONFIG if index == 3 else b"data", last=index == 3) for index in indices)
        outcomes.append(streamfmt.verify(_channel(number, *rows)))

    memory = [*qemu.memory("SECTION_START", 1, qemu.blocks({"ram": 1})), *qemu.memory("SECTION_PART", 1, [zero])]
    parts = [*qemu.opening(b"none"), *memory, *qemu.memory("SECTION_END", 1, ()), qemu.frame("EOF")]
    found = streamfmt.verify(Draft(tuple(parts)).render(), channels=outcomes).findings

    assert [row.clause for row in found] == (["VFIO-MFD-ORDER"] if said else [])
    assert all(said in row.message for row in found)
