"""How the rules about VFIO devices are broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from hypothesis import strategies as st

from ..schema import vfio as schema
from ..writer import Draft, vfio
from ..writer import qemu as parts
from . import vfio as made
from .edits import Fault, at, of, to
from .sample import Sample

Payload = Callable[[st.DrawFn], bytes]
_SETUP, _CONFIG = vfio.mark(schema.DEV_SETUP), vfio.mark(schema.DEV_CONFIG)
_STATE = vfio.pci(vfio.space())


def _payload(kind: str, make: Payload, base: st.SearchStrategy[Sample] | None = None) -> Fault:
    """With another payload in a section of that kind."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        number = of(stream, f"qemu.{kind}")[0]
        part = stream.parts[number]
        yield at(stream, number, replace(part, values={**part.values, "payload": make(draw)}), drop=1)

    return to(made.devices() if base is None else base, edit)


def _version(kind: str) -> Fault:
    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        yield stream.patch(f"qemu.{kind}", "version_id", draw(st.integers(2, 1 << 31)), 0)

    return to(made.devices(), edit)


def _early(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """Without the last part."""
    number = of(stream, "qemu.SECTION_END")[0]
    yield at(stream, number, drop=2)


def _packet(make: Payload) -> Fault:
    """With another packet after the others."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        yield Draft((*stream, parts.device_packet(made.NAME, make(draw))))

    return to(made.channels(), edit)


def _unknown(draw: st.DrawFn) -> bytes:
    """What is no mark, and no flag of the proposal."""
    mark = schema.MARK | draw(st.integers(7, 0xFFFF))
    return draw(st.sampled_from((vfio.mark(mark), b"\xf0" * 8, b"\xff" * 8)))


FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "VFIO-SEC-VERSION": (_version("SECTION_START"), _version("SECTION_FULL")),
    "VFIO-MARK-KNOWN": (
        _payload("SECTION_START", _unknown),
        _payload("SECTION_PART", lambda draw: vfio.data(draw(st.binary(max_size=9))) + _unknown(draw)),
        _payload("SECTION_FULL", _unknown),
    ),
    "VFIO-SETUP-EOS": _payload(
        "SECTION_START", lambda draw: _SETUP + draw(st.sampled_from((_SETUP, vfio.data(b"x")))) + vfio.END
    ),
    "VFIO-CFG-EOS": _payload(
        "SECTION_FULL", lambda draw: _CONFIG + _STATE + draw(st.sampled_from((vfio.READY, vfio.data(b"x") + vfio.END)))
    ),
    "VFIO-INIT-ONCE": _payload(
        "SECTION_PART", lambda draw: draw(st.sampled_from((b"", vfio.data(b"x")))) + vfio.INIT_SENT
    ),
    "VFIO-MARK-PLACE": (
        _payload("SECTION_START", lambda draw: vfio.data(draw(st.binary(max_size=9))) + vfio.END),
        _payload("SECTION_PART", lambda _: vfio.SETUP),
        _payload("SECTION_PART", lambda _: vfio.configuration(_STATE)),
        _payload("SECTION_PART", lambda _: vfio.READY),
    ),
    "VFIO-ORDER": to(made.devices(), _early),
    "VFIO-P-FLAG": _payload(
        "SECTION_START",
        lambda draw: bytes((schema.FLAG_CONTINUE, draw(st.sampled_from((3, 5, 6, 7, 0x10, 0x80))))),
        made.proposals(),
    ),
    "VFIO-MFD-SHORT": _packet(lambda draw: draw(st.binary(max_size=schema.PACKET_SIZE - 1))),
    "VFIO-MFD-VERSION": _packet(lambda draw: vfio.packet(9, b"x", version=draw(st.integers(1, 9)))),
    "VFIO-MFD-FLAGS": _packet(lambda draw: vfio.packet(9, b"")[:-4] + draw(st.integers(2, 1 << 31)).to_bytes(4, "big")),
    "VFIO-MFD-INDEX": _packet(lambda draw: vfio.packet(draw(st.sampled_from((0, schema.PACKET_NONE))), b"x")),
    "VFIO-MFD-CONFIG": _packet(
        lambda draw: vfio.packet(9, draw(st.sampled_from((b"", vfio.END, vfio.END + vfio.END, _CONFIG))), last=True)
    ),
}
