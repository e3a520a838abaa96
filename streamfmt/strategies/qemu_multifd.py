"""Conforming channels of a QEMU migration with multifd."""

from __future__ import annotations

from hypothesis import strategies as st

from ..schema import qemu_multifd as schema
from ..schema.qemu_stream import PAGE_SIZE
from ..writer import Draft, Part
from ..writer import qemu as parts
from .images import Plan

_METHODS = st.sampled_from(sorted(schema.METHODS))


def stream(draw: st.DrawFn, plan: Plan) -> Draft:
    """A channel that has what the plan needs."""
    found = [parts.channel(draw(st.integers(0, 7)), draw(st.binary(min_size=16, max_size=16)))]
    method, number = draw(_METHODS), 0
    for _ in range(draw(st.integers(1, 3))):
        number += draw(st.integers(1, 3))
        found.append(_packet(draw, method, number))
    if "qemu-multifd.DEVICE_STATE" in plan.need or draw(st.booleans()):
        found.append(parts.device_packet("0000:00:04.0/vfio", draw(st.binary(max_size=9))))
    return Draft((*found, parts.packet(number + 1, sync=True)))


def _packet(draw: st.DrawFn, method: int, number: int) -> Part:
    """Pages and zero pages, one at least."""
    normal, zero = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    data = bytes([draw(st.integers(0, 255))]) * (normal * PAGE_SIZE if not method else normal * 9)
    pages = [page * PAGE_SIZE for page in range(normal + zero)]
    return parts.packet(number, "pc.ram", pages, zero, data, method=method, sync=draw(st.booleans()))
