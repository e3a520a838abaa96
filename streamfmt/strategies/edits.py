"""What a fault is, and what the tables of faults are made of: bases, edits, and where a stream can be changed.

A fault draws a stream and gives changed ones, of which one, at least, should break the clause and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from hypothesis import strategies as st

from .. import tables
from ..reader.registry import ROWS
from ..schema import protocol
from ..schema.machine import EITHER
from ..writer import HEADERS, Draft, Part, raw, unknown
from .sample import Sample

T = TypeVar("T")
Fault: TypeAlias = Callable[[st.DrawFn], Iterator[Sample]]
Edit: TypeAlias = Callable[[st.DrawFn, Draft], Iterator[Draft]]

# -- where ----------------------------------------------------------------------------------------------------


def of(stream: Draft, *paths: str) -> list[int]:
    """Numbers of the parts of these paths."""
    return [number for number, part in enumerate(stream.parts) if part.path in paths]


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
    row = ROWS[layer]
    found = []
    for number, part in enumerate(stream):
        state = machine.step(state, part.kind) or state
        if headers and layer in machine.turns.values():
            inside = number >= headers[-1] and machine.turns[state] in (layer, EITHER)
        elif part.layer == layer:
            inside = part.name not in (*row.opening, row.end)
        else:
            # The end of what one of its records holds.
            inside = part.layer in row.opens.values() and part.name == ROWS[part.layer].end
        if inside:
            found.append(number + 1)
    return found


def insertions(draw: st.DrawFn, stream: Draft, *parts: Part) -> Iterator[Draft]:
    """With more records of one layer, wherever such a record could stand."""
    for place in rotated(draw, places(stream, parts[0].layer)):
        yield at(stream, place, *parts)


def exchanged(stream: Draft, number: int, part: Part) -> Draft:
    """With that part in the place of another, and its true length in the file's header if that has a field for it."""
    found = at(stream, number, part, drop=1)
    field = ROWS[part.layer].length if part.path else ""
    header = f"{part.layer}.header"
    return found.patch(header, field, part.extent) if field and part.is_record and header in stream.paths else found


# -- faults ---------------------------------------------------------------------------------------------------


def to(base: st.SearchStrategy[Sample], edit: Edit, **changes: Any) -> Fault:
    """A fault: what `edit` makes of the streams of `base`."""

    def fault(draw: st.DrawFn) -> Iterator[Sample]:
        sample = draw(base)
        for stream in edit(draw, sample.stream):
            yield replace(sample, stream=stream, **changes)

    return fault


def truncated(base: st.SearchStrategy[Sample], *layers: str) -> Fault:
    """A stream of `base` cut inside a part of one of the layers, or before it."""

    def fault(draw: st.DrawFn) -> Iterator[Sample]:
        sample = draw(base)
        offsets = sample.stream.offsets()
        for number in rotated(draw, [number for number, part in enumerate(sample.stream) if part.layer in layers]):
            extra = draw(st.integers(0, offsets[number + 1] - offsets[number] - 1)) if draw(st.booleans()) else 0
            yield replace(sample, stream=replace(sample.stream, cut=offsets[number] + extra))

    return fault


# -- edits ----------------------------------------------------------------------------------------------------


def inserting(*parts: st.SearchStrategy[Part]) -> Edit:
    """One more record, wherever such a record could stand."""
    return lambda draw, stream: insertions(draw, stream, draw(st.one_of(*parts)))


def into(part: st.SearchStrategy[Part]) -> Edit:
    """One more record, anywhere at all."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        more = draw(part)
        for place in rotated(draw, range(len(stream.parts) + 1)):
            yield at(stream, place, more)

    return edit


def leaving_out(*paths: str) -> Edit:
    """Without one of the parts of these paths."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        for number in rotated(draw, of(stream, *paths)):
            yield at(stream, number, drop=1)

    return edit


def doubling(first: str, last: str) -> Edit:
    """All from one part to another once more."""

    def edit(_: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        stop = stream.find(last) + 1
        yield at(stream, stop, *stream.parts[stream.find(first) : stop])

    return edit


def swapping(path: str, make: Callable[[st.DrawFn, Part], Part]) -> Edit:
    """Another record for one of that path."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        number = nth(draw, stream, path)
        yield stream.swap(path, make(draw, stream.part(path, number)), nth=number)

    return edit


def declaring(layer: str, lengths: st.SearchStrategy[int], *paths: str) -> Edit:
    """One of the records, those of a layer or of these paths, with such a length in its header."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        known = of(stream, *(paths or [f"{layer}.{name}" for name in tables.RECORDS[layer].values()]))
        number = draw(st.sampled_from(known))
        yield at(stream, number, replace(stream.parts[number], declared_length=draw(lengths)), drop=1)

    return edit


def either(*edits: Edit) -> Edit:
    """What each of these makes, one after another."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        for one in edits:
            yield from one(draw, stream)

    return edit


def big_endian(layer: str) -> Edit:
    """All of a layer in the other byte order."""
    return lambda _, stream: iter([stream.big_endian(layer)])


def after_end(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """Bytes after the end that have no meaning there: another stream, or noise."""
    noise = draw(st.binary(min_size=1, max_size=24).filter(any))
    yield stream.then(*stream) if draw(st.booleans()) else stream.then(raw(noise))


# -- records --------------------------------------------------------------------------------------------------


def unknowns(layer: str, *, optional: bool) -> st.SearchStrategy[Part]:
    """Records of types that the layer has not, with any body: of those that readers may skip, or of the others."""
    bit = ROWS[layer].optional
    codes = st.integers(bit, 2 * bit - 1) if optional else st.integers(max(tables.RECORDS[layer]) + 1, bit - 1)
    return st.builds(unknown, st.just(layer), codes, st.binary(max_size=9))


def ill_padded(draw: st.DrawFn, part: Part) -> Part:
    """The record, whose body takes padding, with one that is not zero."""
    count = -len(part.body("<")) % 8
    wrong = draw(st.integers(0, count - 1))
    padding = bytes(wrong) + bytes([draw(st.integers(1, 255))]) + bytes(count - 1 - wrong)
    return replace(part, padding=padding)
