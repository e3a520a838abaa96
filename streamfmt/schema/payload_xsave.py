"""The XSAVE area: what a processor stores of a vcpu beyond its general registers, component by component.

The format is the standard one, in which each component has one place; the compacted one is in no stream, since no
loader takes it.  CPUID leaf 0xd says the places.  Processors of Intel's have one set of them and AMD's another, and an
area ends where the last component that the guest has ever had on does: so the length tells which set it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from construct import Array, Bytes, Const, GreedyBytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct
from construct.core import Construct

from .features import XCR0_BITS
from .payload_words import FXSAVE, Payload

SDM_XSAVE = "Intel SDM volume 1, chapter 13"
APM_XSAVE = "AMD APM volume 2, section 11.5"
_NOWHERE = -1


class Component(NamedTuple):
    """A component: its bit in XCR0, its place in Intel's areas and in AMD's, below 0 where it has none."""

    name: str
    bit: int
    intel: int
    amd: int
    declared: Construct
    doc: str

    @property
    def size(self) -> int:
        """Its bytes."""
        return int(self.declared.sizeof())


def _head() -> Iterator[Construct]:
    """The legacy region, and the area's header of 64 bytes."""
    yield "legacy" / FXSAVE * "x87 and SSE registers as FXSAVE stores them."
    yield (
        "header"
        / Struct(
            "xstate_bv" / Int64ul * "Components whose state is in the area.",
            "xcomp_bv" / Const(0, Int64ul) * "Components of the compacted format, which no loader takes.",
            "reserved" / Bytes(48) * "Reserved.",
        )
        * "What the area holds."
    )


# Where components begin.
_HEAD = int(Struct(*_head()).sizeof())
_TILES = Struct(
    "palette" / Int8ul * "How the tiles are laid out, 0 if they are not in use.",
    "start_row" / Int8ul * "Row at which an interrupted instruction goes on.",
    "reserved" / Bytes(14) * "Reserved.",
    "columns" / Array(16, Int16ul) * "Bytes of a row, of each tile.",
    "rows" / Array(16, Int8ul) * "Rows, of each tile.",
)
COMPONENTS = (
    Component(
        "ymm_high",
        XCR0_BITS["avx"],
        _HEAD,
        _HEAD,
        Array(16, Bytes(16)),
        "Upper halves of the AVX registers.",
    ),
    Component(
        "bndregs",
        XCR0_BITS["bndregs"],
        960,
        _NOWHERE,
        Array(4, Struct("lower" / Int64ul * "Lower bound.", "upper" / Int64ul * "Upper bound, its complement.")),
        "Bound registers of MPX.",
    ),
    Component(
        "bndcsr",
        XCR0_BITS["bndcsr"],
        1024,
        _NOWHERE,
        Struct(
            "bndcfgu" / Int64ul * "Configuration of MPX.",
            "bndstatus" / Int64ul * "Its status.",
            "reserved" / Bytes(48) * "Reserved.",
        ),
        "Configuration and status of MPX.",
    ),
    Component("opmask", XCR0_BITS["opmask"], 1088, 832, Array(8, Int64ul), "Mask registers k0 to k7 of AVX-512."),
    Component("zmm_high", XCR0_BITS["zmm"], 1152, 896, Array(16, Bytes(32)), "Upper halves of zmm0 to zmm15."),
    Component("zmm", XCR0_BITS["zmm_high"], 1664, 1408, Array(16, Bytes(64)), "Registers zmm16 to zmm31."),
    Component(
        "protection_keys",
        XCR0_BITS["pkru"],
        2688,
        2432,
        Struct("pkru" / Int32ul * "Rights by protection key, two bits each.", "reserved" / Int32ul * "Reserved."),
        "Rights of user pages.",
    ),
    Component("amx_cfg", XCR0_BITS["amx_cfg"], 2752, _NOWHERE, _TILES, "Configuration of the tiles of AMX."),
    Component("amx_data", XCR0_BITS["amx_data"], 2816, _NOWHERE, Array(8, Bytes(1024)), "Tiles of AMX."),
)


def places(amd: bool) -> dict[int, tuple[int, int]]:
    """Where each component lies, by its bit, and its bytes, in the areas of one maker's processors."""
    found = {row.bit: (row.amd if amd else row.intel, row.size) for row in COMPONENTS}
    return {bit: place for bit, place in found.items() if place[0] >= 0}


def _area(amd: bool) -> Iterator[Construct]:
    yield from _head()
    at = _HEAD
    for row in COMPONENTS:
        start = row.amd if amd else row.intel
        if start < 0:
            continue
        if start > at:
            yield f"unused_{at}" / Bytes(start - at) * "Bytes that no component has."
        yield row.name / row.declared * row.doc
        at = start + row.size


def _size(amd: bool) -> int:
    return max(at + size for at, size in places(amd).values())


def _ends(amd: bool) -> set[int]:
    """How long areas may be: to the end of one of their components, or of none."""
    return {_HEAD, *(at + size for at, size in places(amd).values())}


def payloads(path: str, doc: str, source: str, masks: tuple[Construct, ...]) -> tuple[Payload, ...]:
    """The forms of what begins with masks and goes on with an area: Intel's, AMD's, and one of any length."""
    before = sum(mask.sizeof() for mask in masks)
    intel, amd = _ends(False), _ends(True) - _ends(False)
    return (
        Payload(
            path,
            doc,
            f"{source}; {SDM_XSAVE}",
            Struct(*masks, *_area(False)),
            before + _size(False),
            ends=tuple(sorted(before + end for end in intel)),
        ),
        Payload(
            f"{path}_AMD",
            "The same from processors that have components as AMD places them.",
            f"{source}; {APM_XSAVE}",
            Struct(*masks, *_area(True)),
            before + _size(True),
            ends=tuple(sorted(before + end for end in amd)),
        ),
        Payload(
            f"{path}_ANY",
            "The same of a length that neither has.",
            f"{source}; {SDM_XSAVE}",
            Struct(*masks, *_head(), "components" / GreedyBytes * "Components, where CPUID leaf 0xd says."),
        ),
    )
