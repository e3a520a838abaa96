"""Inputs until there are better ones: good streams with up to three things done to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from ..writer import Part, Stream
from .samples import good


@dataclass(frozen=True, slots=True)
class Sample:
    """A stream, and what it is given out for."""

    stream: Stream
    form: str
    mode: str
    deep: bool = False


_GOOD = list(good().values())
_LENGTHS = st.one_of(st.integers(0, 64), st.sampled_from([0xFFF, 0x1000, 0x1FFF8, 0x20000, 0xFFFFFFFF]))


def _resized(part: Part, length: int) -> Part:
    body = part.body("<")
    return replace(part, octets=body[:length].ljust(min(length, 1 << 17), b"\0"), patches=())


def _edited(draw: st.DrawFn, part: Part) -> tuple[Part, ...]:
    """One part with one thing done to it."""
    kind = draw(st.sampled_from(["resized", "claim", "code", "left out", "twice", "octet"]))
    if kind == "left out":
        return ()
    if kind == "twice":
        return (part, part)
    if kind == "octet":
        body = bytearray(part.body("<"))
        if body:
            body[draw(st.integers(0, min(len(body), 64) - 1))] = draw(st.integers(0, 255))
        return (replace(part, octets=bytes(body), patches=()),)
    if not part.is_record:
        return (part,)
    if kind == "resized":
        return (_resized(part, draw(_LENGTHS)),)
    if kind == "claim":
        return (replace(part, claim=draw(_LENGTHS)),)
    return (replace(part, code=draw(st.one_of(st.integers(0, 40), st.just(0x80000001)))),)


@st.composite
def _inputs(draw: st.DrawFn) -> Sample:
    stream, form, mode = draw(st.sampled_from(_GOOD))
    for _ in range(draw(st.integers(0, 3))):
        if stream.parts:
            at = draw(st.integers(0, len(stream.parts) - 1))
            stream = replace(
                stream, parts=(*stream.parts[:at], *_edited(draw, stream.parts[at]), *stream.parts[at + 1 :])
            )
    # Mostly all of it; what is small is short.
    size = stream.offsets()[-1]
    cut = draw(st.integers(0, 8 * size))
    if cut < size:
        stream = replace(stream, cut=cut)
    return Sample(stream, form, mode)


def inputs() -> st.SearchStrategy[Sample]:
    """Streams of all kinds, good and broken."""
    return _inputs()
