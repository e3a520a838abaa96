"""How the rules about channels of a QEMU migration with multifd are broken beyond what the schema says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from ..schema import qemu_multifd as schema
from ..schema.qemu_stream import PAGE_SIZE
from ..writer import Draft, Part
from ..writer import qemu as parts
from .conforming import made
from .edits import Fault, at, nth, of, rotated, to, truncated
from .sample import Sample


def _having(name: str) -> st.SearchStrategy[Sample]:
    path = f"qemu-multifd.{name}"
    found = made(("qemu-multifd",), having=(path,), need=(path,), clean=True)
    return found.filter(lambda sample: path in sample.stream.paths)


def _patched(name: str, field: str, values: st.SearchStrategy[int]) -> Fault:
    """With another number in a field of one of the packets."""
    path = f"qemu-multifd.{name}"

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        yield stream.patch(path, field, draw(values), nth(draw, stream, path))

    return to(_having(name), edit)


def _put(values: Callable[[st.DrawFn, Part], dict[str, Any]], **changes: Any) -> Fault:
    """With other values in a packet that has pages."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        for number in rotated(draw, of(stream, "qemu-multifd.PAGES")):
            part = stream.parts[number]
            yield at(stream, number, replace(part, values={**part.values, **values(draw, part)}), drop=1)

    return to(_having("PAGES"), edit, **changes)


def _longer(draw: st.DrawFn, part: Part) -> dict[str, Any]:
    """Pages that are not compressed, and a few bytes more."""
    data = bytes(PAGE_SIZE + draw(st.integers(1, 9)))
    return {"normal_pages": 1, "flags.method": 0, "data_size": len(data), "data": data}


def _damaged(draw: st.DrawFn, part: Part) -> dict[str, Any]:
    """Compressed pages of which one is missing, or what is no such thing."""
    page = bytes([draw(st.integers(0, 255))]) * PAGE_SIZE
    method = draw(st.sampled_from((1, 2)))
    data = draw(st.sampled_from((parts.packing(method)(page), b"\xff" * 9)))
    return {"normal_pages": 2, "flags.method": method, "data_size": len(data), "data": data}


FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "QEMU-MFD-TRUNC": truncated(_having("PAGES"), "qemu-multifd"),
    "QEMU-MFD-FLAGS": (
        _patched("PAGES", "flags.method", st.sampled_from((3, 5, 6, 7, 9, 31))),
        _patched("PAGES", "flags.unknown", st.integers(1, (1 << 25) - 1)),
    ),
    "QEMU-MFD-COUNT": (
        _patched("PAGES", "pages_allocated", st.integers(schema.OFFSETS + 1, (1 << 32) - 1)),
        _patched("PAGES", "zero_pages", st.integers(schema.OFFSETS + 1, (1 << 32) - 1)),
    ),
    "QEMU-MFD-SIZE": _put(_longer),
    "QEMU-MFD-DATA": _put(_damaged, deep=True),
    "QEMU-MFD-BLOCK": _put(lambda draw, _: {"block": draw(st.sampled_from((bytes(256), b"p" * 256)))}),
}
