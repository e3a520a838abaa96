"""The two forms of a listing of records: a table for people, and JSON."""

from __future__ import annotations

from dataclasses import dataclass

from ..codec.decode import fixed, layouts
from ..reader.fields import name_of
from ..reader.identification import named
from .headers import header_text
from .hexdump import hanging
from .pages import number
from .records import Brief, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Any

    from ..reader.events import Layer, Record
    from ..reader.pump import Window

    # Where and why an input could not be read to its end.
    Stop = tuple[int, str] | None

FORMAT = "streamfmt-show-3"
_COLOURS = {"name": "\x1b[1m", "place": "\x1b[2m", "layer": "\x1b[1;36m", "bad": "\x1b[1;31m"}
_NAME_WIDTH = 17
_LENGTH_MAX = 10**7  # more would leave its column: only batches taken together have that
_DETAIL_LINES = 6  # for a record in all; what does not fit beside its name goes on below
# The text of a configuration: lines that are shown of it, and what they begin with.
_SOURCE_LINES = 12
_SOURCE_MARGIN = " " * 8


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
    """A JSON object a line; spec/json/show.json describes them.

    A record's line is written as it is read: :meth:`begin`, the program that that returns, :meth:`row`.
    """

    def __init__(self, write: Callable[[str], object], name: str, full: bool = False) -> None:
        from json import dumps

        from .tree import Tree  # tables do not need it

        self._write = write
        self._dumps = dumps
        self._name = named(name)
        self._tree = Tree(write, full)
        self._begun = False

    def _print(self, **values: object) -> None:
        self._write(self._dumps({"format": FORMAT} | self._name | values) + "\n")

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

    def begin(self, record: Record, place: int, window: Window) -> Generator[int, int, Brief]:
        """Program that writes the line of a record as far as its fields, and says what it is in short."""
        self._begun = True
        self._write(self._dumps(self._place(Row(record, place, Brief({}, ""))))[:-1] + ', "fields": ')
        return (yield from self._tree.record(record, window))

    def _place(self, row: Row) -> dict[str, object]:
        record = row.record
        return {
            "format": FORMAT,
            **self._name,
            "layer": record.layer.path,
            "index": record.index,
            "number": row.number,
            "offset": record.offset,
            "length": row.length,
            "type": record.type,
            "name": record.name,
        }

    def row(self, row: Row) -> None:
        """A record, or the rest of the line that has been begun for it."""
        found = row.brief
        rest: dict[str, object] = {"summary": found.summary}
        rest |= found.pages.as_dict() if found.pages else {}
        if found.configuration is not None:
            rest["configuration"] = found.configuration.as_dict()
        if self._begun:
            self._write(", " + self._dumps(rest)[1:] + "\n")
            self._begun = False
            return
        layout = layouts().get(row.record.path)
        fields = plain(layout, found.fields) if layout else {}
        self._write(self._dumps(self._place(row) | {"fields": fields} | rest) + "\n")

    def object(self, row: Row, fields: dict[str, Any]) -> None:
        """A record of which these fields are wanted, and no others."""
        self._write(self._dumps(self._place(row) | {"fields": fields, "summary": ""}) + "\n")

    def end(self, size: int, records: int, shown: int | None, stopped: Stop, remarks: list[str]) -> None:
        """What is known when an input has been read; of its records `shown` were wanted, if some were selected."""
        if self._begun:
            self._write(', "summary": "not read to its end"}\n')
        why = {"offset": stopped[0], "reason": stopped[1]} if stopped else None
        self._print(end=True, bytes=size, stopped=why, remarks=remarks)


class Table:
    """Lines for people: a heading for each layer, a line or more for each record."""

    def __init__(
        self, write: Callable[[str], None], name: str, width: int, spaced: bool, coloured: bool, full: bool = False
    ) -> None:
        self._write = write
        self._name = name
        self._width = width
        self._spaced = spaced
        self._full = full
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
        if row.brief.source:
            self._source(row.brief.source)

    def _source(self, data: bytes) -> None:
        """The text of a configuration below its record, as it is; S-expressions with a line for each pair."""
        text = data.partition(b"\0")[0].decode(errors="backslashreplace")
        if text.startswith("("):
            text = text.replace(")(", ")\n(")
        lines = text.splitlines()
        for line in lines if self._full else lines[:_SOURCE_LINES]:
            safe = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in line.expandtabs())
            room = self._width - len(_SOURCE_MARGIN)
            self._write(_SOURCE_MARGIN + (safe if self._full or len(safe) <= room else safe[: room - 4] + " ..."))
        if len(lines) > _SOURCE_LINES and not self._full:
            self._write(f"{_SOURCE_MARGIN}... {number(len(lines) - _SOURCE_LINES, 'more line', 'more lines')} (--full)")

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
        limit = None if self._full else _DETAIL_LINES
        text = hanging(text, self._width, len(place + named), len(place) + 2, limit)
        self._write((self._paint("place", place) + self._paint("name", named) + text).rstrip())

    def _broken(self, text: str) -> str:
        return hanging(text, self._width, 0, 2)

    def end(self, size: int, records: int, shown: int | None, stopped: Stop, remarks: list[str]) -> None:
        if not self._path:
            self._write(self._broken(f"{self._name}: {stopped[1] if stopped else 'nothing'}"))
            return
        counted = number(records, "record", "records")
        lines = [f"{counted if shown is None else f'{shown:,} of {counted} shown'}, {size:,} bytes"]
        lines += [self._broken(remark) for remark in remarks]
        if stopped:
            at, reason = stopped
            lines.append(self._paint("bad", self._broken(f"stopped at {at} ({at:#x}): {reason}")))
        self._write("\n" + "\n".join(lines))
