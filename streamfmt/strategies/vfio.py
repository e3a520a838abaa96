"""Conforming streams of QEMU with a VFIO device: of each generation, and the packets of channels."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import strategies as st

from ..schema import vfio as schema
from ..writer import Draft, Part, vfio
from ..writer import qemu as parts
from ..writer.qemu import Device
from .sample import Sample

NAME, NUMBER = "0000:00:05.0/vfio", 7
# What looks like the end of the section, and of all.
_FOOTER = b"\x7e" + NUMBER.to_bytes(4, "big")
_data = st.binary(max_size=24) | st.sampled_from((_FOOTER + b"\0", _FOOTER + b"\2" + _FOOTER[1:], vfio.END, b""))


def _configuration(draw: st.DrawFn) -> bytes:
    space = vfio.space(msix=draw(st.sampled_from((0, 1, 9))), express=draw(st.booleans()))
    return vfio.configuration(vfio.pci(space, draw(st.sampled_from(schema.PCI_VERSIONS))))


def _datas(draw: st.DrawFn) -> bytes:
    return b"".join(map(vfio.data, draw(st.lists(_data, max_size=2)))) + vfio.END


def _items(*items: tuple[int, bytes]) -> bytes:
    """Items of the proposal's form, of flags and what they have; all but the last say that another follows."""
    lengths = (schema.FLAG_CONFIG, schema.FLAG_MEMORY)
    last = len(items) - 1
    return b"".join(
        bytes((flag | schema.FLAG_CONTINUE * (number < last),))
        + (len(raw).to_bytes(8, "big") if flag in lengths else b"")
        + raw
        for number, (flag, raw) in enumerate(items)
    )


def _proposal(draw: st.DrawFn) -> tuple[bytes, list[bytes], bytes, bytes]:
    memory = (schema.FLAG_MEMORY, draw(_data))
    start = _items((schema.FLAG_SETUP, b""), *([memory] if draw(st.booleans()) else []))
    size = sum(schema.PROPOSAL_PCI) if draw(st.booleans()) else schema.PROPOSAL_PCI[0]
    pci = (schema.FLAG_PCI, b"\1" * (size - 4) + bytes(4))
    return start, [_items(memory)], _items(memory, pci, (schema.FLAG_CONFIG, draw(_data))), b""


def _marked(draw: st.DrawFn) -> tuple[bytes, list[bytes], bytes, bytes]:
    middle = [_datas(draw) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        middle.append(vfio.INIT_SENT)
    full = draw(st.sampled_from((_configuration(draw), vfio.END, vfio.READY)))
    old = draw(st.booleans()) and full not in (vfio.END, vfio.READY)
    last = _datas(draw)
    return vfio.SETUP, middle, full + last if old else last, b"" if old else full


def sections(draw: st.DrawFn) -> Iterator[Part]:
    """A migration of such a device alone."""
    start, middle, last, full = _proposal(draw) if draw(st.integers(0, 3)) == 3 else _marked(draw)
    yield from parts.opening(b"none")
    yield from parts.begin(NUMBER, Device(NAME, start))
    for payload in middle:
        yield from parts.part(NUMBER, payload)
    yield from parts.part(NUMBER, last, last=True)
    if full:
        yield from parts.devices(NUMBER, [Device(NAME, full)])
    yield parts.frame("EOF")


def packets(draw: st.DrawFn) -> Iterator[Part]:
    """Packets of the device: its data, and maybe the configuration."""
    count = draw(st.integers(1, 2))
    for index in range(count):
        yield parts.device_packet(NAME, vfio.packet(index, draw(_data)))
    if draw(st.booleans()):
        yield parts.device_packet(NAME, vfio.packet(count, _configuration(draw), last=True))


@st.composite
def devices(draw: st.DrawFn) -> Sample:
    """Such a migration with marks, with a configuration of its own after a part."""
    stream = [*parts.opening(b"none"), *parts.begin(NUMBER, Device(NAME, vfio.SETUP))]
    stream += parts.part(NUMBER, _datas(draw))
    stream += parts.part(NUMBER, vfio.INIT_SENT)
    stream += parts.part(NUMBER, _datas(draw), last=True)
    stream += parts.devices(NUMBER, [Device(NAME, _configuration(draw))])
    return Sample(Draft((*stream, parts.frame("EOF"))), "qemu")


@st.composite
def proposals(draw: st.DrawFn) -> Sample:
    """One in the form of the proposal."""
    start, middle, last, _ = _proposal(draw)
    stream = [*parts.opening(b"none"), *parts.begin(NUMBER, Device(NAME, start))]
    stream += (part for payload in middle for part in parts.part(NUMBER, payload))
    return Sample(Draft((*stream, *parts.part(NUMBER, last, last=True), parts.frame("EOF"))), "qemu")


@st.composite
def channels(draw: st.DrawFn) -> Sample:
    """A channel that has packets of the device alone."""
    return Sample(Draft((parts.channel(0), *packets(draw))), "qemu-multifd")
