"""Breaches that follow from the data of a clause: its fields and lengths, and the order rules.

Each function gives streams of which one, at least, breaks the clause and nothing else; `breaking` takes the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import strategies as st

from ..codec.decode import layouts
from ..reader.registry import ROWS
from ..schema.layers import LAYERS
from ..schema.model import Field
from ..schema.states import OrderRule
from ..writer import HEADERS, RECORDS, Draft
from ..writer.boundaries import boundary_values, fields
from . import records
from .conforming import around, made
from .edits import at, insertions, nth, of, places, rotated
from .images import LATER
from .sample import Sample


def having(path: str) -> st.SearchStrategy[Sample]:
    """Clean streams that have a header or record of that path."""
    layer = path.partition(".")[0]
    # That a header can be broken where another layer says what follows is for that layer to say.
    forms = (layer,) if path in HEADERS and ROWS[layer].opening else around(layer)
    found = made(forms, having=(path,), need=(path, LATER), clean=True)
    return found.filter(lambda sample: path in sample.stream.paths)


# -- fields ---------------------------------------------------------------------------------------------------


def broken_field(draw: st.DrawFn, path: str) -> Iterator[Sample]:
    """The field with a value that is not allowed."""
    layer, record, name = path.split(".", 2)
    where = f"{layer}.{record}"
    sample = draw(having(where))
    number = nth(draw, sample.stream, where)
    rows = {
        place: row
        for place, row in fields(sample.stream.part(where, number)).items()
        if re.sub(r"\[\d+\]", "", place) == name
    }
    place = draw(st.sampled_from(sorted(rows)))
    yield replace(sample, stream=sample.stream.patch(where, place, draw(bad_values(rows[place])), number))


def bad_values(row: Field) -> st.SearchStrategy[int | bytes]:
    """Values that the schema does not allow."""
    if row.raw:
        good = row.constant or bytes(row.size)
        changes = st.tuples(st.integers(0, row.size - 1), st.integers(1, 255))
        return changes.map(lambda row: good[: row[0]] + bytes([good[row[0]] ^ row[1]]) + good[row[0] + 1 :])
    bad = [value for value in boundary_values(row) if value not in (row.allowed or ())]
    most = (1 << row.bits) - 1
    return st.sampled_from(bad) | st.integers(0, most).filter(lambda value: value not in (row.allowed or ()))


# -- lengths --------------------------------------------------------------------------------------------------


def broken_length(draw: st.DrawFn, path: str) -> Iterator[Sample]:
    """One of the records with a body of another length, which its header announces truly."""
    sample = draw(having(path))
    number = nth(draw, sample.stream, path)
    layout = layouts()[path]
    length = len(sample.stream.part(path, number).body("<"))
    unit = max([part.unit for part in layout.parts], default=1) or 1
    near = {0, 1, layout.size, length, length + unit, layout.size + unit}
    row = RECORDS[path]
    near |= {layout.size + unit * count for count in (row.least, row.most or 0, *row.lengths)}
    sizes = sorted({size + off for size in near for off in (-1, 0, 1, 8) if size + off >= 0} - {length})
    for size in (draw(st.integers(0, 64)), *rotated(draw, sizes)):
        yield replace(sample, stream=sample.stream.resized(path, size, number))


# -- order ----------------------------------------------------------------------------------------------------

RULES: dict[str, list[tuple[str, OrderRule]]] = {}
for _layer in LAYERS:
    for _rule in _layer.rules:
        RULES.setdefault(_rule.clause, []).append((_layer.name, _rule))


def broken_order(draw: st.DrawFn, layer: str, rule: OrderRule, name: str) -> Iterator[Sample]:
    """A record of that name where the rule does not allow it, or without what the rule asks for."""
    sample = draw(_base(layer, rule, name))
    stream = sample.stream
    path = f"{layer}.{name}"
    ways = [_added, _moved] if rule.seen or not rule.unseen else [_missing, _moved, _added]
    for way in rotated(draw, ways):
        for found in way(draw, stream, path, [f"{layer}.{other}" for other in rule.unseen]):
            yield replace(sample, stream=found)


def _base(layer: str, rule: OrderRule, name: str) -> st.SearchStrategy[Sample]:
    """Streams for the rule: with the records that it is about, where streams of their kind have such."""
    need = [f"{layer}.{other}" for other in (name, *rule.seen, *rule.unseen)]
    seen = need[: 1 + len(rule.seen)]
    return made(around(layer), rule.guests, rule.versions, having=seen, need=(*need, LATER), clean=True)


def _added(draw: st.DrawFn, stream: Draft, path: str, _: list[str]) -> Iterator[Draft]:
    """With another such record anywhere."""
    known = of(stream, path)
    part = stream.parts[draw(st.sampled_from(known))] if known else draw(records.example(path))
    yield from insertions(draw, stream, part)


def _moved(draw: st.DrawFn, stream: Draft, path: str, _: list[str]) -> Iterator[Draft]:
    """With such a record somewhere else."""
    known = of(stream, path)
    if known:
        number = draw(st.sampled_from(known))
        rest = at(stream, number, drop=1)
        for place in rotated(draw, places(rest, path.partition(".")[0])):
            yield at(rest, place, stream.parts[number])


def _missing(draw: st.DrawFn, stream: Draft, path: str, unseen: list[str]) -> Iterator[Draft]:
    """Without what has to come before such a record: one of them, or all."""
    known = [number for other in unseen for number in of(stream, other)]
    for number in rotated(draw, known):
        yield at(stream, number, drop=1)
    if known:
        yield replace(stream, parts=tuple(part for part in stream if part.path not in unseen))
