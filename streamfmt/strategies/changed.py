"""What is done to a given stream: a value at its boundary, a cut, octets in pieces, damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from ..schema import libxc
from ..schema.clauses import registry
from ..schema.describe import Field
from ..writer import HEADERS, RECORDS, Part, Stream, raw
from .broken import breaking
from .edits import at, boundary_values, fields
from .sample import Sample
from .valid import streams

Buffer = bytes | bytearray | memoryview

# -- boundaries -----------------------------------------------------------------------------------------------


def boundaries(sample: Sample) -> st.SearchStrategy[Sample]:
    """The sample with one field, length, count or record type at a boundary of what is possible or allowed.

    What comes of it may conform or not.

    >>> from hypothesis import find
    >>> from streamfmt.strategies import boundaries, streams
    >>> good = find(streams("libxc", guest="hvm"), lambda _: True)
    >>> find(boundaries(good), lambda sample: "LIBXC-IHDR-VERSION" in sample.clauses).stream.parts[0]
    Part(path='libxc.image_header', values={'version': 3}, ..., patches=(('version', 0),), ...)
    """
    stream = sample.stream
    known = [number for number, part in enumerate(stream.parts) if part.path in HEADERS | RECORDS]
    if not known:
        return st.just(sample)
    return (
        st.sampled_from(known)
        .flatmap(lambda number: _bounded(stream, number))
        .map(lambda found: replace(sample, stream=found))
    )


@st.composite
def _bounded(draw: st.DrawFn, stream: Stream, number: int) -> Stream:
    part = stream.parts[number]
    rows = fields(part)
    ways: list[Callable[[st.DrawFn, Part, dict[str, Field]], Part]] = [_field] if rows else []
    if part.path in RECORDS:
        ways += [_resized, _claimed, _typed]
    changed = draw(st.sampled_from(ways or [_whole]))(draw, part, rows)
    return at(stream, number, changed, drop=1)


def _whole(_: st.DrawFn, part: Part, __: dict[str, Field]) -> Part:
    return part


def _field(draw: st.DrawFn, part: Part, rows: dict[str, Field]) -> Part:
    place = draw(st.sampled_from(list(rows)))
    value = draw(st.sampled_from(boundary_values(rows[place])))
    return replace(part, patches=(*part.patches, (place, value)))


def _resized(draw: st.DrawFn, part: Part, _: dict[str, Field]) -> Part:
    """A body of another length, which its header announces truly."""
    body = part.body("<")
    sizes = {0, 1, 7, 8, *(len(body) + off for off in (-8, -1, 1, 8, libxc.PAGE_SIZE))}
    size = draw(st.sampled_from(sorted(size for size in sizes if size >= 0)))
    return replace(part, octets=body[:size].ljust(size, b"\0"), patches=())


def _claimed(draw: st.DrawFn, part: Part, _: dict[str, Field]) -> Part:
    """Another length than that of the body."""
    length = len(part.body("<")) + part.fill
    limit = libxc.RECORD_LENGTH_MAX
    claims = {
        0,
        1,
        length - 8,
        length - 1,
        length + 1,
        length + 8,
        limit,
        limit + 1,
        0x7FFFFFFF,
        0xFFFFFFF8,
        0xFFFFFFFF,
    }
    return replace(part, claim=draw(st.sampled_from(sorted(claim for claim in claims if claim >= 0))))


def _typed(draw: st.DrawFn, part: Part, _: dict[str, Field]) -> Part:
    """Another type: one that its layer has, or the first and last of those that it has not."""
    codes = {row.code for path, row in RECORDS.items() if path.startswith(f"{part.layer}.")}
    codes |= {max(codes) + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
    return replace(part, code=draw(st.sampled_from(sorted(codes))))


# -- cuts and pieces ------------------------------------------------------------------------------------------


def cuts(sample: Sample) -> st.SearchStrategy[Sample]:
    """The sample cut short: before a header or a record, a few octets further, or anywhere.

    >>> from hypothesis import find
    >>> from streamfmt.strategies import cuts, streams
    >>> good = find(streams("libxc", guest="hvm"), lambda _: True)
    >>> find(cuts(good), lambda sample: sample.stream.cut > 40).stream.cut
    41
    """
    offsets = sample.stream.offsets()
    near = sorted({place + off for place in offsets for off in (0, 1, 4, 8, -1) if 0 <= place + off < offsets[-1]})
    if not near:
        return st.just(sample)
    anywhere = st.sampled_from(near) | st.integers(0, offsets[-1] - 1)
    return anywhere.map(lambda cut: replace(sample, stream=replace(sample.stream, cut=cut)))


def chunkings(octets: Buffer) -> st.SearchStrategy[list[bytes]]:
    """The octets in pieces, of any sizes: all at once, a few cuts, or all of one small size.

    >>> from hypothesis import find
    >>> from streamfmt.strategies import chunkings
    >>> find(chunkings(b"stream"), lambda pieces: len(pieces) > 1)
    [b'strea', b'm']
    """
    data = bytes(octets)
    if len(data) < 2:
        return st.just([data] if data else [])
    places = st.lists(st.integers(1, len(data) - 1), max_size=8, unique=True).map(sorted)
    # Thousands of tiny pieces tell no more than hundreds.
    regular = st.integers(0, len(data) - max(1, len(data) // 500)).map(
        lambda less: list(range(len(data) - less, len(data), len(data) - less))
    )
    return (regular | places).map(lambda found: _pieces(data, found))


def _pieces(data: bytes, places: list[int]) -> list[bytes]:
    return [data[start:stop] for start, stop in zip((0, *places), (*places, len(data)), strict=True)]


# -- damage ---------------------------------------------------------------------------------------------------


def mutations(given: Sample | Buffer) -> st.SearchStrategy[bytes]:
    """The octets of a stream, damaged once or a few times.

    A sample's records are dropped, doubled, moved and changed with their lengths and padding made right again, so that
    what follows is still read; some octets of the outcome may be flipped, put in or taken out besides.  Octets that
    come without parts are taken as they are.

    >>> from hypothesis import find
    >>> from streamfmt.strategies import mutations
    >>> find(mutations(b"octets"), lambda octets: len(octets) > 6)
    b'\\x00octets'
    """
    return _mutated_sample(given) if isinstance(given, Sample) else _damaged(bytes(given), 1)


@st.composite
def _mutated_sample(draw: st.DrawFn, sample: Sample) -> bytes:
    stream = sample.stream
    for _ in range(draw(st.integers(0, 3))):
        stream = draw(st.sampled_from((_doubled, _dropped, _moved, _flipped)))(draw, stream)
    octets = stream.render()
    return draw(_damaged(octets, 1)) if draw(st.booleans()) else octets


def _any(draw: st.DrawFn, stream: Stream) -> int:
    return draw(st.integers(0, len(stream.parts) - 1))


def _doubled(draw: st.DrawFn, stream: Stream) -> Stream:
    return at(stream, number, stream.parts[number]) if stream.parts and (number := _any(draw, stream)) >= 0 else stream


def _dropped(draw: st.DrawFn, stream: Stream) -> Stream:
    return at(stream, _any(draw, stream), drop=1) if stream.parts else stream


def _moved(draw: st.DrawFn, stream: Stream) -> Stream:
    if not stream.parts:
        return stream
    number = _any(draw, stream)
    return at(at(stream, number, drop=1), draw(st.integers(0, len(stream.parts) - 1)), stream.parts[number])


def _flipped(draw: st.DrawFn, stream: Stream) -> Stream:
    """With damage in the body of one record, whose length is that of what came of it."""
    number = _any(draw, stream) if stream.parts else -1
    if number < 0 or stream.parts[number].path not in RECORDS:
        return stream
    part = stream.parts[number]
    octets = draw(_damaged(part.body("<"), 0))
    return at(stream, number, replace(part, octets=octets, patches=()), drop=1)


@st.composite
def _damaged(draw: st.DrawFn, octets: bytes, least: int) -> bytes:
    """With some octets flipped, put in or taken out."""
    data = bytearray(octets)
    for _ in range(draw(st.integers(least, 4))):
        place = draw(st.integers(0, len(data)))
        way = draw(st.sampled_from(("in", "out", "flip")))
        if way == "in":
            data[place:place] = draw(st.binary(min_size=1, max_size=9))
        elif way == "out":
            del data[place : place + draw(st.integers(1, 9))]
        elif place < len(data):
            data[place] ^= draw(st.integers(1, 255))
    return bytes(data)


# -- all of it ------------------------------------------------------------------------------------------------


def inputs() -> st.SearchStrategy[Sample]:
    """All of the above: conforming streams, broken ones, and any of these at a boundary, cut or damaged.

    >>> from hypothesis import given
    >>> from streamfmt.strategies import inputs
    >>> @given(inputs())
    ... def test_reader(sample):
    ...     my_reader(sample.octets)
    """
    clauses = [clause.id for clause in registry().values() if clause.judged == "stream" and not clause.withdrawn]
    whole = st.one_of(streams(), streams(unknown=True), st.sampled_from(clauses).flatmap(breaking))
    return st.one_of(whole, whole.flatmap(boundaries), whole.flatmap(cuts), whole.flatmap(_mutated))


def _mutated(sample: Sample) -> st.SearchStrategy[Sample]:
    """A sample of damaged octets, read as what it was."""
    return mutations(sample).map(lambda octets: replace(sample, stream=Stream((raw(octets),))))
