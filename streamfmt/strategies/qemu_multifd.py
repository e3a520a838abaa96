"""Conforming channels of a QEMU migration with multifd."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from ..schema import qemu_multifd as schema
from ..schema.qemu_stream import PAGE_SIZE
from ..writer import Draft, Part
from ..writer import qemu as parts
from .images import Plan
from .vfio import packets

_METHODS = st.sampled_from(sorted(schema.METHODS))


def stream(draw: st.DrawFn, plan: Plan) -> Draft:
    """A channel that has what the plan needs."""
    found = [parts.channel(draw(st.integers(0, 7)), draw(st.binary(min_size=16, max_size=16)))]
    method, number = draw(_METHODS), 0
    packed = _packing(method)
    for _ in range(draw(st.integers(1, 3))):
        number += draw(st.integers(1, 3))
        found.append(_packet(draw, method, number, packed))
    if "qemu-multifd.DEVICE_STATE" in plan.need or draw(st.booleans()):
        found += packets(draw)
    return Draft((*found, parts.packet(number + 1, sync=True)))


def _packing(method: int) -> Callable[[bytes], bytes]:
    """What makes of pages what a packet has; of methods that nothing here decompresses, anything."""
    if schema.METHODS[method] in ("zlib", "zstd"):
        return parts.packing(method)
    return lambda pages: pages[: len(pages) // 9] if method else pages


def _packet(draw: st.DrawFn, method: int, number: int, packed: Callable[[bytes], bytes]) -> Part:
    """Pages and zero pages, one at least."""
    normal, zero = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    content = bytes([draw(st.integers(0, 255))]) * (normal * PAGE_SIZE)
    pages = [page * PAGE_SIZE for page in range(normal + zero)]
    data = packed(content) if normal else b""
    return parts.packet(number, "pc.ram", pages, zero, data, method=method, sync=draw(st.booleans()))
