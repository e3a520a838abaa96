"""Places in a stream that passes by: so many bytes on, or at a record, which is known once its header has passed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .. import tables
from ..codec.content import Buffer
from ..reader.events import Layer, Record, Run, Sink
from ..reader.failure import Failure, failed
from ..reader.reader import Reader

_RECORD = re.compile(r"(?:([a-z0-9-]+)\.)?([A-Za-z][A-Za-z0-9_]*)(?::([0-9]{1,12}))?(?:\+([0-9]{1,12}))?")
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_BYTES = re.compile(r"([0-9]{1,16})(KiB|MiB|GiB)?")
_NAMES = {name for records in tables.RECORDS.values() for name in records.values()}


@dataclass(frozen=True, slots=True)
class Place:
    """After `bytes` bytes; or, if a record is named, so many after the beginning of the `number`-th so named, from 1.

    If `bytes` is None it is where that record ends.  `layer` is the layer that it has to be of, or empty for any.
    """

    bytes: int | None
    record: str = ""
    number: int = 1
    layer: str = ""

    def __str__(self) -> str:
        if not self.record:
            return f"{self.bytes:,} bytes"
        name = f"{self.layer}.{self.record}" if self.layer else self.record
        return f"{name}:{self.number}" + ("" if self.bytes is None else f"+{self.bytes}")


FORM = "BYTES, or RECORD[:NUMBER][+BYTES] such as PAGE_DATA:3, libxl.END or CHECKPOINT:2+4"


def parse(text: str) -> Place:
    """A place, as people write it.

    :raises ValueError: it is none.
    """
    if match := _BYTES.fullmatch(text):
        return Place(int(match[1]) * _UNITS[match[2] or ""])
    match = _RECORD.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no place; the form is {FORM}")
    layer, name, number, more = match[1] or "", match[2].upper(), int(match[3] or 1), match[4]
    known = set(tables.RECORDS.get(layer, {}).values()) if layer else _NAMES
    if name not in known:
        raise ValueError(f"{text!r}: no record of {layer or 'any layer'} is called {name}")
    if not number:
        raise ValueError(f"{text!r}: records are counted from 1")
    return Place(None if more is None else int(more), name, number, layer)


class Finder(Sink):
    """Listens to a reader for the places that are wanted; `found` has the offset of each that is known."""

    every_page = True

    def __init__(self, places: tuple[Place, ...]) -> None:
        self.found: dict[Place, int] = {place: place.bytes or 0 for place in places if not place.record}
        self._left = {place: place.number for place in places if place.record}
        # Whether bytes may still begin a record.
        self.open = True

    @property
    def done(self) -> bool:
        """Whether all are known."""
        return not self._left

    def record(self, record: Record) -> None:
        end = record.end + record.padding
        for place in list(self._left):
            if place.record == record.name and place.layer in ("", record.layer.name):
                self._count(place, record.offset if place.bytes is not None else end)

    def pages(self, run: Run) -> None:
        self.record(run.record())

    def _count(self, place: Place, at: int) -> None:
        self._left[place] -= 1
        if not self._left[place]:
            del self._left[place]
            self.found[place] = at + (place.bytes or 0)

    def ended(self, layer: Layer, at: int) -> None:
        self.open = layer.parent is not None and not layer.parent.wraps


class Passing:
    """A reader of what passes, in pieces; `failure` says why it reads no longer, if it had to stop: a fault of its own.

    What passes is not held up by what the reader makes of it.
    """

    def __init__(self, sink: Sink, form: str) -> None:
        self.failure: Failure | None = None
        self.reader = Reader(sink, form)

    def see(self, buffer: Buffer) -> None:
        """These bytes come next."""
        if self.failure is None:
            try:
                self.reader.pump.feed(buffer)
            except Exception as error:  # whatever it is: the bytes go on
                self._fails(error)

    def end(self) -> None:
        """Nothing more comes."""
        if self.failure is None:
            try:
                self.reader.pump.end()
            except Exception as error:
                self._fails(error)

    def _fails(self, error: Exception) -> None:
        self.failure = failed(error, self.reader.window.position)

    @property
    def waiting(self) -> int:
        """How many bytes at the end of what passed are the beginning of something that cannot be read yet."""
        window = self.reader.window
        return 0 if self.failure or self.reader.pump.done else window.hi - window.lo
