"""Fields of a stream by their paths, as people write them: "xl.header.mandatory_flags.json", "HVM_PARAMS.HPET_ENABLED".

A path is that of a header or a record, with its layer or without, with a number in brackets where there are several,
and then that of a field.  "record[12]" is the record of that number, as show counts them.
"""

from __future__ import annotations

from .. import tables
from ..errors import FieldError
from ..reader.events import Body
from ..reader.qemu_inside import NAMED, Hears, Inside, lies_in
from ..reader.reader import Reader
from ..reader.registry import ROWS
from ..reader.stops import Stops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program

# Digits of a number in brackets, and of an offset, at most.
_DIGITS, _OFFSET = 9, 20
_HEX = frozenset("0123456789abcdefABCDEF")
# Records that a reader may hand over many at a time.
PAGES = ("PAGE_DATA", "PAGE_BATCH", "RAM_ZERO", "RAM_PAGE")
# A record of any type, by its number.
ANY = "record"
# A page of the guest, by its frame.
PAGE = "page"
_BATCH = "libxc.PAGE_DATA"
# The record that begins with the bytes of a guest's word.
_SAYS_WIDTH = "libxc.X86_PV_INFO"
# Layers by what their headers and records are called.
NAMES: dict[str, list[str]] = {}
for _layer, _row in ROWS.items():
    for _name in (*_row.headers, *tables.RECORDS[_layer].values()):
        NAMES.setdefault(_name, []).append(_layer)


class Target:
    """What a path names: field `place` of header or record `name`, in `layer` if that is not "", the `number`-th.

    With `at` it is the bytes from there on, in the body or, without a name, in the whole file.  `text` is the path.
    """

    __slots__ = ("at", "layer", "name", "number", "place", "text")

    def __init__(self, text: str) -> None:
        """Read a path.  Raises FieldError."""
        self.text = text
        self.at: int | None = None
        self.layer = self.name = ""
        self.number: int | None = None
        before, mark, number = text.rpartition("@")
        if mark and (at := _offset(number)) is not None:
            text, self.at = before, at
        if not text and self.at is not None:
            self.place = ""
            return
        while (name := _word(text)) in ROWS and name not in NAMES and text[len(name) :][:1] in (".", "/"):
            self.layer, text = name, text[len(name) + 1 :]
        rest = text[len(name) :]
        bracketed = rest[:1] == "["
        number, bracket, after = rest[1:].partition("]") if bracketed else ("", "", rest)
        digits = number[2:] if name == PAGE and number[:2] in ("0x", "0X") else number
        numeral = digits.isdecimal() if digits is number else bool(digits) and _HEX.issuperset(digits)
        plain = after[:1] in ("", ".") and (not bracketed or (bracket and numeral))
        known = name in (ANY, PAGE) or (name in NAMES and self.layer in (*NAMES[name], ""))
        if not (name and plain and known and len(number) <= (_OFFSET if name == PAGE else _DIGITS)):
            raise UnknownError(self.text, name if plain else text, self.layer)
        self.name = name
        self.number = int(number, 10 if digits is number else 16) if number else None
        self.place = after[1:]
        if not self.place and self.at is None:
            raise FieldError(self.text, f"which field of {name}?")
        if name == ANY and self.number is None:
            raise FieldError(self.text, f"which record? {ANY}[0] is the first")
        if name == PAGE and self.number is None:
            raise FieldError(self.text, f"which page? {PAGE}[0x1] is that of frame 0x1")

    def fits(self, layer: Layer, name: str) -> bool:
        """Whether a header or a record of that name in that layer may be it."""
        return self.name == name and self.layer in ("", layer.name)


def _word(text: str) -> str:
    """The letters, digits, hyphens and underscores that a text begins with."""
    count = 0
    while count < len(text) and (text[count].isalnum() or text[count] in "-_"):
        count += 1
    return text[:count]


def _offset(text: str) -> int | None:
    """An offset, decimal or with 0x hexadecimal; None if it is none."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if not 0 < len(digits) <= _OFFSET or not _HEX.issuperset(digits):
        return None
    return int(digits, 16) if digits is not text else int(digits) if digits.isdecimal() else None


class UnknownError(FieldError):
    """There is no header or record of a name."""

    def __init__(self, path: str, name: str, layer: str) -> None:
        super().__init__(
            path, f"{layer or 'no layer'} has no header or record {name}".replace("no layer has no", "there is no")
        )
        self.name = name
        self.known = [known for known, layers in NAMES.items() if not layer or layer in layers]


class Found:
    """A header or a record where it lies: its schema `path`, and `length` bytes of its body at `body`.

    It may be a page in a record, whose type is `page`.
    """

    __slots__ = ("body", "layer", "length", "page", "path", "record")

    def __init__(
        self, layer: Layer, path: str, body: int, length: int, record: Record | None = None, page: int | None = None
    ) -> None:
        self.page = page
        self.layer = layer
        self.path = path
        self.body = body
        self.length = length
        self.record = record


class Locating(Stops):
    """Finds headers and records in a stream: for each of `targets` the first two that it may be.

    With `configuration` the records that have the guest's are found too.
    """

    def __init__(self, targets: Sequence[Target], form: str = "auto", guest: str | None = None) -> None:
        self.reader = Reader(self, form, guest=guest)
        self.targets = targets
        self.found: dict[Target, list[Found]] = {target: [] for target in targets}
        self.configurations: list[Found] = []
        self.headers: dict[str, Found] = {}
        self.every_page = any(target.name in (ANY, PAGE, *PAGES) for target in targets)
        self._frames: dict[int, list[Target]] = {}
        for target in targets:
            if target.name == PAGE and target.number is not None:
                self._frames.setdefault(target.number, []).append(target)
        self._counts: dict[Target, int] = dict.fromkeys(targets, 0)
        self._records = 0
        # What looks into records in which others lie, where one of those is wanted.
        deep = any((f"{target.layer}.{target.name}" if target.layer else target.name) in NAMED for target in targets)
        self._inside = Inside(lambda record: _Inner(self.take)) if deep else None

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        found = Found(layer, path, at, len(raw))
        self.headers.setdefault(layer.path, found)
        self.take(found)

    def record(self, record: Record) -> Program | None:
        number, self._records = self._records, self._records + 1
        layer = record.layer
        if record.path == layer.row.configuration and len(self.configurations) < _TWO:
            self.configurations.append(Found(layer, record.path, record.body, record.length, record))
        found = Found(layer, record.path, record.body, record.length, record)
        self.take(found)
        for target in self.targets:
            if target.name == ANY and target.number == number:
                self.found[target].append(found)
        if self._inside is not None and lies_in(record):
            return self._inside.read(Body(self.window, record))
        if record.path == _BATCH and self._frames:
            return self._pages(record)
        return self._width(record) if record.path == _SAYS_WIDTH else None

    def _pages(self, record: Record) -> Program:
        """Pages that are wanted, where their content lies in a record."""
        from ..reader.page_data import PageData, carrying

        walk = PageData(Body(self.window, record))
        if not (yield from walk.begin()):
            return
        wanted = yield from carrying(walk, self._frames)
        start = walk.body.at
        for pfn, kind, place in wanted:
            at = start + _SIZE * place
            for target in self._frames[pfn]:
                if place >= 0 and at + _SIZE <= record.end and len(self.found[target]) < _TWO:
                    self.found[target].append(Found(record.layer, PAGE, at, _SIZE, record, kind))

    def _width(self, record: Record) -> Program:
        """The width of the guest, by which pages that come later have their layout."""
        if record.length and (yield from Body(self.window, record).need(1)):
            record.layer.width = self.window.buf[self.window.lo]

    def pages(self, run: Run) -> None:
        self._records += run.count

    def unread(self, layer: Layer) -> bool:
        return True

    def passed(self, last: Record, at: int, count: int) -> None:
        self._records += count

    def take(self, found: Found) -> None:
        """A header or a record: it may be what a target is."""
        for target in self.targets:
            if target.fits(found.layer, found.path.partition(".")[2]):
                count = self._counts[target]
                self._counts[target] = count + 1
                if target.number in (None, count) and len(self.found[target]) < _TWO:
                    self.found[target].append(found)

    def the(self, target: Target) -> Found:
        """The one that a target is.  Raises StreamError where the stream is to blame, and FieldError."""
        if self._inside is not None:
            self._inside.end()
        found = self.found[target]
        if len(found) > 1 and target.name == PAGE:
            raise FieldError(
                target.text, f"it comes several times, at {found[0].body} and {found[1].body}; @OFFSET=HEX sets bytes"
            )
        if len(found) > 1:
            one, two = (each.path for each in found)
            which = f"{one} or {two}" if one != two else f"{one.partition('.')[2]}[0] is the first"
            raise FieldError(
                target.text, f"there are several of {target.name}, at {found[0].body} and {found[1].body}; {which}"
            )
        if not found:
            self.finish(self.reader.identity)
            failure = self.failure or (self._inside.failure if self._inside is not None else None)
            if failure is not None:
                raise failure
            if target.name == PAGE:
                raise FieldError(
                    target.text,
                    f"no PAGE_DATA has content of page {target.number:#x}; pages are set in libxc images only",
                )
            count = self._counts[target]
            how = f"only {count} of {target.name}" if count else f"no {target.name}"
            raise FieldError(target.text, f"there is {how} in it")
        return found[0]


class _Inner(Hears):
    """Hears of a device record inside another, for what looks for headers and records."""

    def __init__(self, take: Callable[[Found], None]) -> None:
        self._take = take

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._take(Found(layer, path, at, len(raw)))

    def record(self, record: Record) -> None:
        self._take(Found(record.layer, record.path, record.body, record.length, record))


_TWO = 2
_SIZE = tables.PAGE_SIZE
