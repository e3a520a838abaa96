"""How data is lost, and how vcpus name what they must not: clauses that are broken by what records hold, or lack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from hypothesis import strategies as st

from .. import tables
from ..schema import libxc, states
from ..writer import TOP_TABLE, Draft, Part, pages, raw
from . import records
from .conforming import made
from .edits import Edit, Fault, at, insertions, of, swapping, to

BASIC = "libxc.X86_PV_VCPU_BASIC"
_PLAIN = made(("libxc", "libxl", "xl"), modes=("plain",), clean=True)
_HVM = made(("libxc", "libxl", "xl"), ("hvm",), clean=True)
_PV = made(("libxc", "libxl", "xl"), ("pv",), clean=True)
_WIDTHS = {size: width for width, size in libxc.VCPU_CONTEXT_SIZES.items()}


def _zeros(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With zeros in place of all that comes from one of the records on that savers send last."""
    last = {f"libxc.{name}" for guests in states.OWED["libxc"].values() for name in guests}
    number = draw(st.sampled_from(of(stream, *last)))
    # A vcpu's record may be one of several, of which it is not the first.
    number = of(stream, stream.parts[number].path)[0]
    yield Draft((*stream.parts[:number], raw(b"", fill=draw(st.integers(32, 5000)))))


def _beyond(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    frame = draw(st.just(libxc.PFN_MAX + 1) | st.integers(libxc.PFN_MAX + 1, tables.ENTRY_PFN_MASK))
    yield from insertions(draw, stream, pages((frame, draw(records.kinds))))


def _context(make: Callable[[st.DrawFn, int, int], dict[int, int] | None]) -> Edit:
    """With words in a vcpu's context, by their places, that `make` makes for a width and the vcpu's number."""

    def edit(draw: st.DrawFn, part: Part) -> Part:
        blob = bytearray(part.values["context"])
        width = _WIDTHS[len(blob)]
        for place, value in (make(draw, width, part.values["vcpu_id"]) or {}).items():
            blob[place : place + width] = value.to_bytes(width, "little")
        return replace(part, values={**part.values, "context": bytes(blob)})

    return swapping(BASIC, edit)


def _named(draw: st.DrawFn, width: int, number: int) -> dict[int, int]:
    """A frame that is not what the vcpu takes it for, in one of the places that name one."""
    far = draw(st.sampled_from((1 << 20, (1 << 20) - 1)))
    tables_ = {tables.VCPU_CONTEXT_CR3[width]: draw(st.sampled_from((0, 1, far))) << libxc.PAGE_SHIFT}
    choices = [tables_]
    if width in tables.VCPU_CONTEXT_CR1:
        second = draw(st.sampled_from((0, 1, far)))
        choices.append({tables.VCPU_CONTEXT_CR1[width]: second << libxc.PAGE_SHIFT | 1})
    frame = draw(st.sampled_from((TOP_TABLE, far)))
    entries, first = tables.VCPU_CONTEXT_GDT_ENTS[width], tables.VCPU_CONTEXT_GDT_FRAMES[width]
    choices.append({entries: draw(st.integers(1, libxc.GDT_FRAME_ENTRIES)), first: frame})
    choices.append({entries: draw(st.integers(libxc.GDT_ENTRIES_MAX + 1, records.U32))})
    if not number:
        choices.append({tables.VCPU_CONTEXT_DX[width]: frame})
    return draw(st.sampled_from(choices))


def _vm86(draw: st.DrawFn, width: int, _: int) -> dict[int, int] | None:
    place = tables.VCPU_CONTEXT_EFLAGS.get(width)
    flags = draw(st.integers(0, records.U32))
    return None if place is None else {place: flags | libxc.EFLAGS_VM}


def _without_r8(_: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """An image of the Xen that lost r8 to r15, with all other registers as they were."""
    major, minor = libxc.XEN_WITHOUT_R8
    found = stream.put("libxc.domain_header", xen_major=major, xen_minor=minor)
    for number in of(found, BASIC):
        part = found.parts[number]
        blob = bytearray(part.values["context"])
        for spans in (tables.VCPU_CONTEXT_R8_R11, tables.VCPU_CONTEXT_R12_R15):
            start, size = spans.get(_WIDTHS[len(blob)], (0, 0))
            blob[start : start + size] = bytes(size)
        found = at(found, number, replace(part, values={**part.values, "context": bytes(blob)}), drop=1)
    yield found


FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "STREAM-ZEROS": to(_PLAIN, _zeros),
    "LIBXC-PAGE-PFN-MAX": to(_HVM, _beyond),
    "LIBXC-VCPU-PFN": to(_PV, _context(_named)),
    "LIBXC-VCPU-EFLAGS-VM": to(_PV, _context(_vm86)),
    "LIBXC-VCPU-R8": to(_PV, _without_r8),
}
