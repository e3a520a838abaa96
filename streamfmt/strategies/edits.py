"""Where a stream can be changed: which parts, and places for more records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from hypothesis import strategies as st

from ..schema import protocol
from ..schema.layers import LAYERS
from ..schema.machine import EITHER
from ..writer import HEADERS, RECORDS, Draft, Part

T = TypeVar("T")


def of(stream: Draft, path: str) -> list[int]:
    """Numbers of the parts of that path."""
    return [number for number, part in enumerate(stream.parts) if part.path == path]


def nth(draw: st.DrawFn, stream: Draft, path: str) -> int:
    """The number of the part of that path to change."""
    return draw(st.integers(0, len(of(stream, path)) - 1))


def rotated(draw: st.DrawFn, found: Sequence[T]) -> Iterator[T]:
    """All of them, beginning with any."""
    if found:
        first = draw(st.integers(0, len(found) - 1))
        yield from found[first:]
        yield from found[:first]


def at(stream: Draft, place: int, *parts: Part, drop: int = 0) -> Draft:
    """With parts before that of number `place`, and `drop` parts from there on left out."""
    return replace(stream, parts=(*stream.parts[:place], *parts, *stream.parts[place + drop :]))


def places(stream: Draft, layer: str) -> list[int]:
    """Numbers of the parts before which a record of that layer could stand; the last is after the last part."""
    machine = protocol.CHECKPOINTS if "libxl.header" in stream.paths else protocol.IMAGE
    state = machine.start
    headers = [number for number, part in enumerate(stream) if part.path in HEADERS and part.layer == layer]
    found = []
    for number, part in enumerate(stream):
        state = machine.step(state, part.kind) or state
        if headers and layer in machine.turns.values():
            inside = number >= headers[-1] and machine.turns[state] in (layer, EITHER)
        elif layer == "xapi":
            own = part.layer == layer and part.path in HEADERS | RECORDS
            inside = (own and part.name not in ("LIBXC", "END_OF_IMAGE")) or part.path == "libxc.END"
        else:
            inside = part.layer == layer
        if inside:
            found.append(number + 1)
    return found


def insertions(draw: st.DrawFn, stream: Draft, *parts: Part) -> Iterator[Draft]:
    """With more records of one layer, wherever such a record could stand."""
    for place in rotated(draw, places(stream, parts[0].layer)):
        yield at(stream, place, *parts)


# What follows a file's header, and the header's field that has its length.
_LENGTHS = {
    f"{layer.name}.{layer.records[0].name}": (f"{layer.name}.header", layer.length) for layer in LAYERS if layer.length
}


def exchanged(stream: Draft, number: int, part: Part) -> Draft:
    """With that part in the place of another, and its true length in the file's header if that has a field for it."""
    found = at(stream, number, part, drop=1)
    field = _LENGTHS.get(part.path)
    return found.patch(*field, part.extent) if field is not None and field[0] in stream.paths else found
