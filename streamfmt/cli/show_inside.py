"""Frames of device records that lie in records of other layers, listed where frames are asked for by their type.

They have the number of the record that they lie in.
"""

from __future__ import annotations

from ..reader.events import Body
from ..reader.pump import Pump, Window
from ..reader.qemu_inside import Hears, Inside, taken
from ..render.qemu_inside import MOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from ..render.listing import JsonLines, Table

    # Program that shows a record in a window, under a number.
    Show = Callable[[Record, Window, int], Program]


class _Frames(Hears):
    """Shows those of the frames of a device record that are wanted, under the number of the record around it."""

    def __init__(self, listing: Within, number: int) -> None:
        self._listing = listing
        self._number = number

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._listing.out.header(layer, path, at, raw, broken)

    def record(self, record: Record) -> Program | None:
        listing = self._listing
        listing.count += 1
        if (record.layer.name, record.type) not in listing.types:
            return None
        listing.shown += 1
        return listing.show(record, self.window, self._number)


class Within:
    """Lists frames of these types in a stream's records by `show`, with their layers' headers in `out`.

    There were `count` frames, `shown` of these types; `stopped` is where and why frames could not be read to their end.
    """

    def __init__(self, out: Table | JsonLines, types: Collection[tuple[str, int]], show: Show) -> None:
        self.out = out
        self.types = types
        self.show = show
        self.count = self.shown = 0
        self.stopped: tuple[int, str] | None = None
        self._number = 0
        self._inside = Inside(lambda record: _Frames(self, self._number))

    def read(self, body: Body, number: int, wanted: bool) -> Program:
        """Program of a record of that number: it is shown itself, if it is `wanted`, then what is inside."""
        self._number = number
        if not wanted:
            yield from self._inside.read(body)
        elif body.left > MOST:
            self.stopped = body.at, f"over {MOST:,} bytes: ask for the frames without the record that they lie in"
            yield from self.show(body.record, body.window, number)
        else:
            window = Window(body.left)
            window.base, window.eof = body.at, True
            raw = yield from taken(body, body.left)
            window.buf[: len(raw)] = raw
            window.hi = len(raw)
            for program in (self.show(body.record, window, number), self._inside.read(Body(window, body.record))):
                window.lo = 0
                Pump(program, window).run()  # all bytes that there are are there, so it comes to its end

    def end(self) -> None:
        """The stream has ended."""
        self._inside.end()
        if (failure := self._inside.failure) is not None:
            self.stopped = failure.offset, str(failure).partition(": ")[2]
