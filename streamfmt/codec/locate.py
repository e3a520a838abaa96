"""Where in a body a field lies that is named by its place: "version", "entries[2].type", "a.b[3].c".

The body need not be in memory: what the walk looks at is asked for, and fields that it need not pass are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ..errors import FieldError, LayoutError
from ..schema.model import Block, Field, Item, Layout, Part
from .decode import Scopes, element, part, referred, times, values_of

_LIST = re.compile(r"([^][]*)\[(\d+)\]\.?")
# How far into a body, in bytes, fields are found, and elements that differ in size are looked for.
REACH = 16 << 20
WALK = 1 << 20
_FAR = f"it lies over {REACH:,} bytes into the body, too far to be overwritten"
# Digits of an element's number at most.
_DIGITS = 9


class Places:
    """The places of a body of `size` bytes; `hold` gives as many of its first bytes as are asked for, or there are.

    What has been found of lists whose elements differ in size is kept until :meth:`forget`.  `steps` is how many it
    took to find them.
    """

    def __init__(self, layout: Layout, size: int, order: str, hold: Callable[[int], bytearray]) -> None:
        self.steps = 0
        self._layout = layout
        self._size = size
        self._order = order
        self._hold = hold
        self._starts: dict[tuple[int, int], Sequence[int]] = {}

    def find(self, place: str) -> tuple[int, Field, Layout]:
        """Where the block begins that the field lies in, the field, and its layout.  Raises FieldError."""
        layout, at, done = self._layout, 0, 0
        scopes: Scopes = ({},)
        for step in _LIST.finditer(place):
            if step.start() != done:
                break
            done = step.end()
            at, found = self._seek(layout.items, at, step[1], scopes, place)
            if isinstance(found, Part) and found.element is None and found.listed and done == len(place):
                start = self._start(range(at, self._end(found, at, scopes), found.unit), found.unit, step[2], place)
                return start, _bytes(found), layout
            if not isinstance(found, Part) or found.element is None:
                raise FieldError(place, f"{layout.path} has no list {step[1]}".rstrip())
            at, layout = self._element(found, at, step[2], scopes, place), found.element
            scopes = ({}, *scopes)
        at, found = self._seek(layout.items, at, place[done:], scopes, place)
        if not isinstance(found, Field):
            known = ", ".join(dict.fromkeys(row.item.path for row in layout.rows if isinstance(row.item, Field)))
            raise FieldError(place, f"{layout.path} has no such field{f', only {known}' if known else ''}")
        if at + found.offset + found.size > REACH:
            raise FieldError(place, _FAR)
        return at, found, layout

    def lists(self) -> Iterator[tuple[Part, Sequence[int]]]:
        """The lists of the layout itself, and where their whole elements begin."""
        scopes: Scopes = ({},)
        for row in self._layout.rows:
            if isinstance(row.item, Part) and row.item.element is not None:
                try:
                    at, found = self._seek(self._layout.items, 0, row.item.name, scopes, row.item.name)
                except FieldError:
                    return  # the rest is not whole
                if found is row.item:
                    yield row.item, self._elements(row.item, at, scopes)

    def forget(self) -> None:
        """What was found may not hold any more."""
        self._starts.clear()

    def _seek(
        self, items: tuple[Item, ...], at: int, name: str, scopes: Scopes, place: str
    ) -> tuple[int, Field | Part | None]:
        """The field or the part of that name, and where its block begins, or it; None and where the items end."""
        for item in items:
            if isinstance(item, Block):
                for row in item.fields:
                    if row.path == name:
                        return at, row
                if at + item.size > len(data := self._hold(at + item.size)):
                    raise FieldError(place, "it lies after the end of the body" if at + item.size <= REACH else _FAR)
                scopes[0].update(values_of(item.fields, bytes(data[at : at + item.size]), self._order))
                at += item.size
            elif isinstance(item, Part):
                if item.name == name:
                    return at, item
                at = self._past(item, at, scopes, place)
            else:
                at, found = self._seek(item.chosen(referred(item.on, scopes)), at, name, scopes, place)
                if found is not None:
                    return at, found
        return at, None

    def _past(self, row: Part, at: int, scopes: Scopes, place: str) -> int:
        """Where a part ends.  Raises FieldError."""
        count = times(row, scopes)
        if row.unit and count is not None:
            return min(at + row.unit * count, self._size)
        if row.open:
            return self._size
        try:
            return part(row, bytes(self._hold(min(self._size, WALK))[:WALK]), at, self._order, scopes)[1]
        except LayoutError as error:
            raise FieldError(place, f"what comes before it is not whole: {error}") from None

    def _element(self, row: Part, at: int, number: str, scopes: Scopes, place: str) -> int:
        """Where an element of a list begins.  Raises FieldError."""
        return self._start(self._elements(row, at, scopes), row.unit, number, place)

    def _start(self, starts: Sequence[int], unit: int, number: str, place: str) -> int:
        """Where one of several things begins.  Raises FieldError."""
        if len(number) > _DIGITS or int(number) >= len(starts):
            raise FieldError(place, "there are fewer of them")
        found = starts[int(number)]
        if found + unit > REACH:
            raise FieldError(place, _FAR)
        return found

    def _end(self, row: Part, at: int, scopes: Scopes) -> int:
        """Where the last whole one of a list's elements of one size ends."""
        count, room = times(row, scopes), max(self._size - at, 0) // row.unit
        return at + row.unit * (room if count is None else min(count, room))

    def _elements(self, row: Part, at: int, scopes: Scopes) -> Sequence[int]:
        """Where each element of a list begins that is whole."""
        assert row.element is not None
        if row.unit:
            return range(at, self._end(row, at, scopes), row.unit)
        count = times(row, scopes)
        key = at, len(scopes)
        if key not in self._starts:
            raw = bytes(self._hold(min(self._size, WALK))[:WALK])
            starts: list[int] = []
            try:
                while at < len(raw) and (count is None or len(starts) < count):
                    start = at
                    _, at = element(row.element, raw, at, self._order, scopes)
                    starts.append(start)
            except LayoutError:
                pass  # the rest is not whole
            self.steps += 4 * len(starts)
            self._starts[key] = starts
        return self._starts[key]


def _bytes(row: Part) -> Field:
    """One of the blocks of bytes that a list consists of, as a field."""
    return Field("", 0, row.unit, 0, 8 * row.unit, False, True, False, None, {}, None, row.doc)
