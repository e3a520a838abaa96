"""What a fault is, and the kinds of it that the tables of faults are made of.

A fault draws a stream and gives changed ones, of which one, at least, should break the clause and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

from hypothesis import strategies as st

from ..writer import Draft, Part, raw, unknown
from .conforming import made
from .edits import insertions, nth
from .from_schema import cut_short
from .sample import Sample

Fault: TypeAlias = Callable[[st.DrawFn], Iterator[Sample]]
Edit: TypeAlias = Callable[[st.DrawFn, Draft], Iterator[Draft]]


def to(base: st.SearchStrategy[Sample], edit: Edit, **changes: Any) -> Fault:
    """A fault: what `edit` makes of the streams of `base`."""

    def fault(draw: st.DrawFn) -> Iterator[Sample]:
        sample = draw(base)
        for stream in edit(draw, sample.stream):
            yield replace(sample, stream=stream, **changes)

    return fault


def inserting(*parts: st.SearchStrategy[Part]) -> Edit:
    """One more record, anywhere."""
    return lambda draw, stream: insertions(draw, stream, draw(st.one_of(*parts)))


def unknowns(layer: str, least: int, most: int) -> st.SearchStrategy[Part]:
    """Records of a type within these bounds, with any body."""
    return st.builds(unknown, st.just(layer), st.integers(least, most), st.binary(max_size=9))


def swapping(path: str, make: Callable[[st.DrawFn, Part], Part]) -> Edit:
    """Another record for one of that path."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        number = nth(draw, stream, path)
        yield stream.swap(path, make(draw, stream.part(path, number)), nth=number)

    return edit


def ending(layer: str) -> Fault:
    """A stream cut within a layer, before anything is whole."""
    base = made((layer, "libxl", "xl") if layer == "libxc" else (layer,), clean=True)
    return lambda draw: cut_short(draw, draw(base), (layer,))


def after_end(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """Bytes after the end that have no meaning there: another stream, or noise."""
    noise = draw(st.binary(min_size=1, max_size=24).filter(any))
    yield stream.then(*stream) if draw(st.booleans()) else stream.then(raw(noise))
