"""The two forms of a listing of records: a table for people, and JSON."""

from __future__ import annotations

from dataclasses import dataclass

from ..codec.decode import fixed, layouts
from ..reader.fields import name_of
from ..reader.identification import named
from .hexdump import hanging
from .pages import number
from .records import Brief, header_text, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..reader.events import Layer, Record

    # Where and why an input could not be read to its end.
    Stop = tuple[int, str] | None

FORMAT = "streamfmt-show-2"
_COLOURS = {"name": "\x1b[1m", "place": "\x1b[2m", "layer": "\x1b[1;36m", "bad": "\x1b[1;31m"}
_NAME_WIDTH = 17
_LENGTH_MAX = 10**7  # more would leave its column: only batches taken together have that
_DETAIL_LINES = 6  # for a record in all; what does not fit beside its name goes on below


@dataclass(slots=True)
class Row:
    """A record of the listing, or the page batches in a row that begin with it; `number` counts over all layers."""

    record: Record
    number: int
    brief: Brief

    @property
    def length(self) -> int:
        return self.brief.pages.length if self.brief.pages else self.record.length


class JsonLines:
    """A JSON object a line; spec/json/show.json describes them."""

    def __init__(self, write: Callable[[str], None], name: str) -> None:
        from json import dumps

        self._write = write
        self._dumps = dumps
        self._name = named(name)

    def _print(self, **values: object) -> None:
        self._write(self._dumps({"format": FORMAT} | self._name | values))

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        layout = layouts()[path]
        fields = fixed(layout, raw, layer.order)
        self._print(
            layer=layer.path,
            header=path,
            offset=at,
            length=len(raw),
            fields=plain(layout, fields),
            summary=header_text(layer, path, fields),
        )

    def row(self, row: Row) -> None:
        record, found = row.record, row.brief
        layout = layouts().get(record.path)
        pages = found.pages.as_dict() if found.pages else {}
        self._print(
            layer=record.layer.path,
            index=record.index,
            number=row.number,
            offset=record.offset,
            length=row.length,
            type=record.type,
            name=record.name,
            fields=plain(layout, found.fields) if layout else {},
            summary=found.summary,
            **pages,
        )

    def end(self, size: int, records: int, shown: int | None, stopped: Stop, remarks: list[str]) -> None:
        """What is known when an input has been read; of its records `shown` were wanted, if some were selected."""
        why = {"offset": stopped[0], "reason": stopped[1]} if stopped else None
        self._print(end=True, bytes=size, stopped=why, remarks=remarks)


class Table:
    """Lines for people: a heading for each layer, a line or more for each record."""

    def __init__(self, write: Callable[[str], None], name: str, width: int, spaced: bool, coloured: bool) -> None:
        self._write = write
        self._name = name
        self._width = width
        self._spaced = spaced
        self._coloured = coloured
        self._path = ""
        self._nested = False

    def _paint(self, kind: str, text: str) -> str:
        return f"{_COLOURS[kind]}{text}\x1b[0m" if self._coloured and text.strip() else text

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        text = header_text(layer, path, fixed(layouts()[path], raw, layer.order))
        if broken:
            text += f"; unexpected: {', '.join(map(name_of, broken))}"
        self._line(layer, ("", ""), at, len(raw), path.partition(".")[2].replace("_", " "), text)

    def row(self, row: Row) -> None:
        record, pages = row.record, row.brief.pages
        last = f"-{row.number + pages.records - 1}" if pages and pages.records > 1 else ""
        numbers = f"{row.number}{last}", f"{record.index}"
        self._line(record.layer, numbers, record.offset, row.length, record.name, row.brief.summary)

    def _line(self, layer: Layer, numbers: tuple[str, str], at: int, length: int, name: str, text: str) -> None:
        if not self._path:
            self._nested = not layer.row.image
            heading = f"{'index':>6}" if self._nested else ""
            self._write(f"{self._name}\n" + self._paint("place", f"record{heading}{'offset':>11}{'length':>10}"))
        if layer.path != self._path:
            self._path = layer.path
            self._write("\n" + self._paint("layer", layer.path))
        elif self._spaced and numbers[0]:
            self._write("")
        index = f"{numbers[1]:>6}" if self._nested else ""
        size = f"{length >> 20:,} MiB" if length >= _LENGTH_MAX else f"{length:,}"
        place = f"{numbers[0]:>6}{index} {at:#10x} {size:>9}  "
        named = f"{name:<{_NAME_WIDTH}}  "
        text = hanging(text, self._width, len(place + named), len(place) + 2, _DETAIL_LINES)
        self._write((self._paint("place", place) + self._paint("name", named) + text).rstrip())

    def end(self, size: int, records: int, shown: int | None, stopped: Stop, remarks: list[str]) -> None:
        if not self._path:
            self._write(f"{self._name}: {stopped[1] if stopped else 'nothing'}")
            return
        counted = number(records, "record", "records")
        lines = [f"{counted if shown is None else f'{shown:,} of {counted} shown'}, {size:,} bytes", *remarks]
        if stopped:
            at, reason = stopped
            lines.append(self._paint("bad", f"stopped at {at} ({at:#x}): {reason}"))
        self._write("\n" + "\n".join(lines))
