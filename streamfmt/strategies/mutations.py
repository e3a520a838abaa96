"""What is done to a given stream: a value at its boundary, a cut, bytes in pieces, damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from .. import tables
from ..codec.decode import layouts
from ..reader.registry import ROWS
from ..schema.clauses import registry
from ..writer import HEADERS, RECORDS, Draft, Part, raw
from ..writer.boundaries import boundary_values, fields
from .breaking import breaking
from .conforming import OLD, VERSIONS, made
from .edits import at, exchanged
from .sample import Sample, apart

Buffer = bytes | bytearray | memoryview
# Bytes that are shown whole, and that are shown of more.
_MANY, _FIRST = 4096, 256

# -- boundaries -----------------------------------------------------------------------------------------------


def boundaries(sample: Sample) -> st.SearchStrategy[Sample]:
    """The sample with one field, length, count or record type at a boundary of what is possible or allowed.

    :param sample: a stream in parts, such as :func:`streams` gives.
    :returns: a strategy for samples, which may or may not conform.

    >>> from hypothesis import find
    >>> from streamfmt.strategies import boundaries, streams
    >>> good = find(streams("libxc", guest="hvm"), lambda _: True)
    >>> find(boundaries(good), lambda sample: "LIBXC-IHDR-VERSION" in sample.clauses).stream.parts[0]
    Part(path='libxc.image_header', values={'version': 3}, ..., patches=(('version', 0),), ...)
    """
    stream = sample.stream
    known = [number for number, part in enumerate(stream.parts) if _ways(part)]
    if not known:
        return st.just(sample)
    return (
        st.sampled_from(known)
        .flatmap(lambda number: _bounded(stream, number))
        .map(lambda found: replace(sample, stream=found))
    )


def _ways(part: Part) -> list[Callable[[st.DrawFn, Part], Part]]:
    """What of a part has boundaries."""
    found: list[Callable[[st.DrawFn, Part], Part]] = []
    if part.path in HEADERS | RECORDS and fields(part):
        found.append(_field)
    if part.path in RECORDS:
        found.append(_resized)
        found += [way for name, way in (("length", _claimed), ("type", _typed)) if name in part.ahead]
    return found


@st.composite
def _bounded(draw: st.DrawFn, stream: Draft, number: int) -> Draft:
    part = stream.parts[number]
    return exchanged(stream, number, draw(st.sampled_from(_ways(part)))(draw, part))


def _field(draw: st.DrawFn, part: Part) -> Part:
    rows = fields(part)
    place = draw(st.sampled_from(list(rows)))
    value = draw(st.sampled_from(boundary_values(rows[place])))
    return replace(part, patches=(*part.patches, (place, value)))


def _resized(draw: st.DrawFn, part: Part) -> Part:
    """A body of another length, which the header states correctly."""
    body = part.body("<")
    sizes = {0, 1, 7, 8, *(len(body) + off for off in (-8, -1, 1, 8, tables.PAGE_SIZE))}
    size = draw(st.sampled_from(sorted(size for size in sizes if size >= 0)))
    return replace(part, data=body[:size].ljust(size, b"\0"), patches=())


def _header_values(part: Part, name: str) -> list[int]:
    """Boundary values of a field of the part's record header."""
    row = next(row for row in layouts()[f"{part.layer}.record_header"].fields if row.path == name)
    return [int(value) for value in boundary_values(row)]


# Values stand in the same places whatever the part is, so that examples shrink to smaller parts.


def _claimed(draw: st.DrawFn, part: Part) -> Part:
    """A length that need not be that of the body."""
    length = len(part.body("<")) + part.fill
    limit = ROWS[part.layer].length_max or length
    near = (max(length + off, 0) for off in (1, -1, 8, -8))
    return replace(
        part, declared_length=draw(st.sampled_from((*_header_values(part, "length"), limit, limit + 1, *near)))
    )


def _typed(draw: st.DrawFn, part: Part) -> Part:
    """A type that its layer has, or one at the edge of those that it has not."""
    edge = _header_values(part, "type")
    known = [code for code in tables.RECORDS[part.layer] if code <= max(edge)]  # those without a header have no room
    return replace(part, code=draw(st.sampled_from((*known, min(max(known) + 1, max(edge)), *edge))))


# -- cuts and pieces ------------------------------------------------------------------------------------------


def cuts(sample: Sample) -> st.SearchStrategy[Sample]:
    """The sample cut short: before a header or a record, a few bytes further, or anywhere.

    :param sample: a stream in parts, such as :func:`streams` gives.
    :returns: a strategy for samples, which may or may not conform.

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


def chunkings(content: Buffer) -> st.SearchStrategy[list[bytes]]:
    """The bytes in pieces: all at once, a few pieces of any size, or many of the same size.

    :param content: the bytes of a stream, or any others.
    :returns: a strategy for lists of bytes objects.

    >>> from hypothesis import find
    >>> from streamfmt.strategies import chunkings
    >>> find(chunkings(b"stream"), lambda pieces: len(pieces) > 1)
    [b'strea', b'm']
    """
    data = bytes(content)
    if len(data) < 2:
        return st.just([data] if data else [])
    places = st.lists(st.integers(1, len(data) - 1), max_size=8, unique=True).map(sorted)
    # Thousands of tiny pieces show no more than hundreds.
    regular = st.integers(0, len(data) - max(1, len(data) // 500)).map(
        lambda less: list(range(len(data) - less, len(data), len(data) - less))
    )
    return (regular | places).map(lambda found: _pieces(data, found))


def _pieces(data: bytes, places: list[int]) -> list[bytes]:
    return [data[start:stop] for start, stop in zip((0, *places), (*places, len(data)), strict=True)]


# -- damage ---------------------------------------------------------------------------------------------------


def mutations(given: Sample | Buffer) -> st.SearchStrategy[bytes]:
    """The bytes of a stream, damaged once or a few times.

    Records are dropped, duplicated, moved and changed, with lengths and padding corrected so that readers go on; then
    some bytes may be changed, inserted or deleted.

    :param given: a sample or bytes; bytes are taken apart as far as they are a stream.
    :returns: a strategy for bytes.

    >>> from hypothesis import find
    >>> from streamfmt.strategies import mutations
    >>> find(mutations(b"bytes"), lambda data: len(data) > 5)
    b'\\x00bytes'
    """
    return _mutated(given if isinstance(given, Sample) else apart(bytes(given))).map(lambda sample: _Shown(sample.data))


class _Shown(bytes):
    """Bytes, as Hypothesis shows them: many by how they begin, as it warns of examples of many pages."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        whole = bytes(self)
        few = len(whole) <= _MANY
        printer.text(repr(whole) if few else f"<{len(whole):,} bytes that begin {whole[:_FIRST]!r}>")


@st.composite
def _mutated(draw: st.DrawFn, sample: Sample) -> Sample:
    """The sample after some damage; its repr has its parts as long as it is in parts."""
    stream = sample.stream
    known = [number for number, part in enumerate(stream.parts) if part.path in HEADERS | RECORDS]
    changes = draw(st.integers(0, 3)) if known else 0
    for _ in range(changes):
        stream = draw(st.sampled_from((_doubled, _dropped, _moved, _flipped)))(draw, stream)
    if not changes or draw(st.booleans()):
        stream = Draft((raw(draw(_damaged(stream.render()))),))
    return replace(sample, stream=stream)


def _any(draw: st.DrawFn, stream: Draft) -> int:
    return draw(st.integers(0, len(stream.parts) - 1))


def _doubled(draw: st.DrawFn, stream: Draft) -> Draft:
    number = _any(draw, stream)
    return at(stream, number, stream.parts[number])


def _dropped(draw: st.DrawFn, stream: Draft) -> Draft:
    return at(stream, _any(draw, stream), drop=1) if len(stream.parts) > 1 else stream


def _moved(draw: st.DrawFn, stream: Draft) -> Draft:
    number = _any(draw, stream)
    return at(at(stream, number, drop=1), _any(draw, stream), stream.parts[number])


def _flipped(draw: st.DrawFn, stream: Draft) -> Draft:
    """With damage in the body of one record, whose length is that of what came of it."""
    known = [
        number for number, part in enumerate(stream.parts) if part.path in RECORDS and part.declared_length is None
    ]
    if not known:
        return stream
    number = draw(st.sampled_from(known))
    part = stream.parts[number]
    content = draw(_damaged(part.body("<")))
    return exchanged(stream, number, replace(part, data=content, patches=()))


@st.composite
def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """With some bytes flipped, put in or taken out."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        way = draw(st.sampled_from(("in", "out", "flip") if data else ("in",)))
        place = draw(st.integers(0, len(data) - (way != "in")))
        if way == "in":
            data[place:place] = draw(st.binary(min_size=1, max_size=9))
        elif way == "out":
            del data[place : place + draw(st.integers(1, 9))]
        else:
            data[place] ^= draw(st.integers(1, 255))
    return bytes(data)


# -- all of it ------------------------------------------------------------------------------------------------


def inputs(form: str | None = None) -> st.SearchStrategy[Sample]:
    """All of the above: conforming streams, broken ones, and any of these at a boundary, cut or damaged.

    :param form: only of this form, as for :func:`streamfmt.verify`; "legacy" is those of either width.
    :returns: a strategy for samples.

    >>> from hypothesis import given
    >>> from streamfmt.strategies import inputs
    >>> @given(inputs())
    ... def test_reader(sample):
    ...     my_reader(sample.data)
    """
    clauses = [clause.id for clause in registry().values() if clause.judged == "stream" and not clause.withdrawn]
    forms = [name for name, row in ROWS.items() if form in (name, row.alias)]
    wrong = st.sampled_from(clauses).flatmap(breaking)
    wrong = wrong if form is None else wrong.filter(lambda sample: sample.form in forms)
    whole = st.one_of(made(forms, versions=(*VERSIONS, OLD)), made(forms, unknown=True), wrong)
    return st.one_of(whole, whole.flatmap(boundaries), whole.flatmap(cuts), whole.flatmap(_mutated))
