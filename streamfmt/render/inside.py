"""A few words about what is inside a record for somebody else: the processor of a policy, the registers of a vcpu."""

from __future__ import annotations

from collections.abc import Callable, Generator

from ..codec.decode import values_of
from ..codec.payload import within
from ..reader.events import Body
from ..schema import features, libxc
from ..schema.layers import LAYERS
from ..schema.model import Field, Layout
from .pages import number

# Bytes that are looked at; leaves among which the first two of a policy are looked for.
_MOST = 8192
_LEAVES = 8


def about(body: Body, layout: Layout, taken: bytes) -> Generator[int, int, str]:
    """Program that looks at the rest of a record's body, consuming none of it; empty words where it says nothing.

    `taken` are its fixed fields, where there is no rest.
    """
    words = _WORDS.get(layout.path)
    if words is None:
        return ""
    if not body.left:
        return words(taken, body, layout)
    count = min(body.left, _MOST)
    if count <= 0 or not (yield from body.need(count)):
        return ""
    window = body.window
    return words(bytes(window.buf[window.lo : window.lo + count]), body, layout)


def _processor(raw: bytes, body: Body, layout: Layout) -> str:
    """Maker, family, model and stepping, as far as leaves 0 and 1 are there."""
    (part,) = layout.parts
    assert part.element is not None
    leaves: dict[int, dict[str, int]] = {}
    for at in range(0, min(len(raw), part.unit * _LEAVES) - part.unit + 1, part.unit):
        row = values_of(part.element.fields, raw[at : at + part.unit], body.order)
        leaves.setdefault(row["leaf"], row)
    words = []
    if 0 in leaves:
        name = b"".join(leaves[0][register].to_bytes(4, "little") for register in features.TEXTS[0][1])
        words += [name.decode()] if name.isalnum() and name.isascii() else []
    if 1 in leaves:
        eax = leaves[1]["eax"]
        family, model = eax >> 8 & 15, eax >> 4 & 15
        if family in (6, 15):
            model |= eax >> 12 & 0xF0
        words.append(f"family {family + (eax >> 20 & 255) * (family == 15)} model {model} stepping {eax & 15}")
    return ", ".join(words)


def _numbers(found: Layout, raw: bytes) -> dict[str, int]:
    """Fields of a payload that are numbers, at places that are always the same."""
    row: dict[str, int] = {}
    for item, at, _when in found.rows:
        if isinstance(item, Field) and at is not None and not item.raw:
            row[item.path] = int.from_bytes(raw[at : at + item.size], "little")
    return row


def _registers(raw: bytes, _: Body, layout: Layout) -> str:
    found = within(layout.path, "context", {}, len(raw))
    if found is None:
        return ""
    row = _numbers(found, raw)
    pointer = row.get("user_regs.rip", row.get("user_regs.eip", 0))
    return f"{'online' if row['flags'] & libxc.VCPU_ONLINE else 'offline'}, at {pointer:#x}"


def _shared(raw: bytes, body: Body, layout: Layout) -> str:
    """How many frames the guest has, and how its list of them is found."""
    layer = body.record.layer
    found = within(layout.path, "page", {}, len(raw), layer.width or getattr(layer.facts, "width", 0))
    if found is None or len(raw) < libxc.PAGE_SIZE:
        return ""
    row = _numbers(found, raw)
    cr3, pfns = row["arch.p2m_cr3"], row["arch.max_pfn"]
    how = f"p2m at {row['arch.p2m_vaddr']:#x}" if cr3 else f"p2m by frame {row['arch.pfn_to_mfn_frame_list_list']:#x}"
    return f"{number(pfns, 'frame', 'frames')}, {how}"


def _extended(raw: bytes, _: Body, layout: Layout) -> str:
    found = within(layout.path, "context", {}, len(raw))
    row = _numbers(found, raw) if found is not None else {}
    points = [name for name in ("syscall32", "sysenter") if row.get(f"{name}_callback_eip")]
    return f"enters by {' and '.join(points)}" if points else ""


def _components(raw: bytes, _: Body, __: Layout) -> str:
    value = int.from_bytes(raw[: libxc.XCR0_SIZE], "little")
    names = [name for name, bit in features.XCR0_BITS.items() if value >> bit & 1]
    return f"xcr0 {' '.join(names)}" if names else ""


_WORDS: dict[str, Callable[[bytes, Body, Layout], str]] = {
    "libxc.X86_CPUID_POLICY": _processor,
    "libxc.X86_PV_VCPU_BASIC": _registers,
    "libxc.X86_PV_VCPU_EXTENDED": _extended,
    "libxc.X86_PV_VCPU_XSAVE": _components,
    "libxc.SHARED_INFO": _shared,
    **{
        f"{name}.{record}": words
        for name in (layer.name for layer in LAYERS if layer.alias)
        for record, words in (("VCPU", _registers), ("VCPU_XSAVE", _components), ("SHARED_INFO", _shared))
    },
}
