"""One page of a guest by what it holds: the entries of a page table, Xen's start info, or its bytes.

A page may come several times, in a live stream or in checkpoints: each time is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from struct import unpack_from
from typing import Any

from .. import tables
from ..codec.payload import payloads, tree
from ..reader.events import PAGE, Body, Record
from ..reader.page_data import PageData, carrying, form_of
from ..reader.pump import Window
from ..schema import features
from .hexdump import hanging
from .pages import number
from .tree import plain

_MARGIN = 8
_LINE = 16
_PRINTABLE = bytes(code if 32 <= code < 127 else ord(".") for code in range(256))


class PageDump:
    """Writes what page `pfn` holds line by line to `write`, in `width` columns; `found` counts how often it came."""

    def __init__(self, write: Callable[[str], None], pfn: int, width: int) -> None:
        self.found = 0
        self._write = write
        self._pfn = pfn
        self._width = width

    def record(self, record: Record, window: Window, begin: Callable[[], object]) -> Generator[int, int, None]:
        """Program that looks for the page in a PAGE_DATA record, and calls `begin` before the first line of one."""
        body = Body(window, record)
        walk = PageData(body)
        if not (yield from walk.begin()):
            return
        wanted = yield from carrying(walk, (self._pfn,))
        start = body.at
        for _, kind, place in wanted:
            self.found += 1
            begin()
            gap = start + PAGE * place - body.at
            if place < 0:
                self._none(tables.PAGE_TYPES.get(kind, f"type {kind}"))
            elif (yield from body.skip(gap)) < gap:
                return
            else:
                at = body.at
                raw = yield from body.take(PAGE)
                self._page(tables.PAGE_TYPES[kind], kind, at, raw)

    def _note(self, text: str) -> None:
        self._write(" " * _MARGIN + hanging(text, self._width, _MARGIN, _MARGIN + 2))

    def _none(self, name: str) -> None:
        self._note(f"frame {self._pfn:#x}, {name}, has no content")

    def _page(self, name: str, kind: int, at: int, raw: bytes) -> None:
        cut = f", cut off after {number(len(raw), 'byte', 'bytes')}" if len(raw) < PAGE else ""
        self._note(f"frame {self._pfn:#x}, {name}, at {at:#x}{cut}")
        form = form_of(kind, raw)
        if kind in tables.PAGE_TYPES_TABLE:
            lines = _entries(raw)
        elif form:
            lines = _start_info(form, raw)
        else:
            lines = _bytes(raw)
        for line in lines:
            self._note(line)


class PageObject(PageDump):
    """The same as the fields of a JSON object for each time that it comes, which `emit` takes."""

    def __init__(self, pfn: int) -> None:
        super().__init__(lambda _: None, pfn, 0)
        self.emit: Callable[[dict[str, Any]], None] = lambda _: None

    def _none(self, name: str) -> None:
        self.emit({"pfn": hex(self._pfn), "type": name, "offset": None})

    def _page(self, name: str, kind: int, at: int, raw: bytes) -> None:
        fields: dict[str, Any] = {"pfn": hex(self._pfn), "type": name, "offset": at}
        form = form_of(kind, raw)
        if kind in tables.PAGE_TYPES_TABLE:
            fields["decoded"] = {"entries": [_object(slot, entry) for slot, entry in _slots(raw) if entry]}
        elif form:
            fields["decoded"] = tree(payloads()[form], raw, plain)
        self.emit(fields | {"payload": form or None, "page": raw.hex()})


def _slots(raw: bytes) -> Iterator[tuple[int, int]]:
    return enumerate(unpack_from(f"<{len(raw) // 8}Q", raw))


def _bits(entry: int) -> tuple[int, list[str], int]:
    """The frame that an entry has, its bits that are set by name, and what has no name."""
    shift, mask = tables.PTE_PFN
    names = [name for bit, name in features.PTE_BITS.items() if entry >> bit & 1]
    return entry >> shift & mask, names, entry & ~(mask << shift) & ~sum(1 << bit for bit in features.PTE_BITS)


def _object(slot: int, entry: int) -> dict[str, Any]:
    """An entry of a page table as JSON has it; of one that is not present nobody says what its bits are."""
    if not entry & tables.PTE_PRESENT:
        return {"slot": slot, "value": hex(entry)}
    frame, names, other = _bits(entry)
    return {"slot": slot, "value": hex(entry), "frame": hex(frame), "bits": names, "other": hex(other)}


def _entries(raw: bytes) -> Iterator[str]:
    """Entries of a page table that are not 0: where they point, and their bits by name."""
    zero = 0
    for slot, entry in _slots(raw):
        if not entry:
            zero += 1
        elif entry & tables.PTE_PRESENT:
            frame, names, other = _bits(entry)
            yield f"[{slot}] frame {frame:#x} {' '.join(names)}" + (f" +{other:#x}" if other else "")
        else:
            yield f"[{slot}] not present, {entry:#x}"
    if zero:
        yield f"{number(zero, 'entry is', 'entries are')} 0"


def _start_info(form: str, raw: bytes) -> Iterator[str]:
    """Fields of start info that are not 0."""
    for name, value in tree(payloads()[form], raw, lambda _, value: value).items():
        yield from _field(name, value)


def _field(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        if text:
            yield f"{name} = {ascii(text.decode('latin-1')) if text.isascii() else text.hex()}"
    elif value:
        yield f"{name} = {value:#x}"


def _bytes(raw: bytes) -> Iterator[str]:
    """Sixteen bytes a line; lines that repeat the one before are counted."""
    last, same = b"", 0
    for place in range(0, len(raw), _LINE):
        row = raw[place : place + _LINE]
        if row == last:
            same += 1
            continue
        yield from _more(same)
        last, same = row, 0
        yield f"{place:#05x}  {row.hex(' ')}  {row.translate(_PRINTABLE).decode()}"
    yield from _more(same)


def _more(same: int) -> Iterator[str]:
    if same:
        yield f"... {number(same, 'more line', 'more lines')} like that"
