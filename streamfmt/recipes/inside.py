"""A device record in a part, taken apart into frames so that faults can be done to them, and put back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from .. import tables
from ..codec.content import joined
from ..errors import FieldError
from ..reader.events import Layer
from ..reader.qemu_inside import frames, within
from ..schema import qemu
from ..writer.draft import Draft
from ..writer.part import RECORDS, Part, raw, size
from .bodies import part_of_body
from .faults import Edited
from .toml import Table

# Bytes of a record that is taken apart.
MOST = 1 << 20
# What that costs: a step for so many bytes, and so many for each frame.
_BYTES, _FRAME = 4, 64
_FIELDS = {**qemu.HOLDERS, **dict.fromkeys(qemu.PIECES, "state")}


def taken_apart(part: Part, order: str, table: Table) -> tuple[Edited, Callable[[bytes], Part]]:
    """The device record in a part of that byte order, which a table's key `in` names, as parts that can be edited.

    They are its header, its frames as far as they can be told apart, and bytes.  Gives also what makes the part again,
    of the record's bytes.  Raises RecipeError.
    """
    try:
        frames = _frames(part, order)
    except ValueError as error:
        raise table.fail(str(error), "in") from None
    table.spend("steps", sum(part.extent for part in frames) // _BYTES + _FRAME * len(frames), "in")
    return Edited(Draft(frames)), partial(_put_back, part, order)


def _frames(part: Part, order: str) -> tuple[Part, ...]:
    """The parts of the device record in a part.  Raises ValueError."""
    if part.path not in _FIELDS:
        raise ValueError(f"{part.path} has no device record; {', '.join(_FIELDS)} have")
    fixed, contents = tables.SIZES[part.path], part.contents(order)
    if size(contents) > MOST:
        raise ValueError(f"{size(contents):,} bytes; a device record of {MOST:,} at most can be taken apart")
    state = joined(contents)[fixed:]
    layer = within(Layer(part.layer))
    header = f"{layer.name}.{layer.row.headers[0]}"
    end = tables.SIZES[header]
    if len(state) < end or not state.startswith(qemu.MAGIC):
        raise ValueError(f"it is no device record: it does not begin with {qemu.MAGIC.decode()} and a version")
    found = [part_of_body(header, state[:end], layer.order)]
    for record, _, body in frames(Layer(part.layer), 0, state):
        if record.path not in RECORDS:
            break
        found.append(part_of_body(record.path, body, layer.order))
        end = record.end
    return (*found, raw(state[end:])) if end < len(state) else tuple(found)


def _put_back(part: Part, order: str, state: bytes) -> Part:
    """The part with that as its device record, and with lengths to match.  Raises FieldError."""
    if part.data is not None:
        part = replace(part, values=part_of_body(part.path, joined((part.data,)), order).values, data=None)
        if not part.values:
            raise FieldError(part.path, "its bytes are not those of such a record")
    return replace(part, values={**part.values, _FIELDS[part.path]: state})
