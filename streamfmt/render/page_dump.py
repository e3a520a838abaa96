"""One page of a guest by what it holds: the entries of a page table, Xen's start info, or its bytes.

A page may come several times, in a live stream or in checkpoints: each time is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from struct import unpack_from
from typing import Any

from .. import tables
from ..codec.payload import payloads, tree
from ..payload_tables import FORMS
from ..reader.events import PAGE, Body, Record
from ..reader.page_data import PageData
from ..reader.pump import Window
from ..schema import features
from .hexdump import hanging
from .pages import number

_MARGIN = 8
_LINE = 16
# How a page that Xen has described itself in begins, and what is in that of a 64-bit guest.
_XEN, _WIDE = b"xen-", b"x86_64"
_MAGIC = 32
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
        wanted: list[tuple[int, int]] = []  # types, and which page of the record it is
        before = 0
        while walk.entries_left and not walk.cut:
            entries = yield from walk.entries()
            for entry, kind in zip(entries, walk.kinds, strict=False):
                if entry & tables.ENTRY_PFN_MASK == self._pfn:
                    wanted.append((kind, before))
                before += kind in tables.PAGE_TYPES_DATA
        start = body.at
        for kind, place in wanted:
            self.found += 1
            begin()
            gap = start + PAGE * place - body.at
            if kind not in tables.PAGE_TYPES_DATA:
                self._note(f"frame {self._pfn:#x}, {tables.PAGE_TYPES.get(kind, f'type {kind}')}, has no content")
            elif (yield from body.skip(gap)) < gap:
                return
            else:
                at = body.at
                raw = yield from body.take(PAGE)
                self._page(tables.PAGE_TYPES[kind], kind, at, raw)

    def _note(self, text: str) -> None:
        self._write(" " * _MARGIN + hanging(text, self._width, _MARGIN, _MARGIN + 2))

    def _page(self, name: str, kind: int, at: int, raw: bytes) -> None:
        cut = f", cut off after {number(len(raw), 'byte', 'bytes')}" if len(raw) < PAGE else ""
        self._note(f"frame {self._pfn:#x}, {name}, at {at:#x}{cut}")
        if kind in tables.PAGE_TYPES_TABLE:
            lines = _entries(raw)
        elif raw.startswith(_XEN):
            lines = _start_info(raw)
        else:
            lines = _bytes(raw)
        for line in lines:
            self._note(line)


def _entries(raw: bytes) -> Iterator[str]:
    """Entries of a page table that are not 0: where they point, and their bits by name."""
    shift, mask = tables.PTE_PFN
    rest = ~(mask << shift)
    zero = 0
    for slot, entry in enumerate(unpack_from(f"<{len(raw) // 8}Q", raw)):
        if not entry:
            zero += 1
        elif entry & tables.PTE_PRESENT:
            names = [name for bit, name in features.PTE_BITS.items() if entry >> bit & 1]
            other = entry & rest & ~sum(1 << bit for bit in features.PTE_BITS)
            yield f"[{slot}] frame {entry >> shift & mask:#x} {' '.join(names)}" + (f" +{other:#x}" if other else "")
        else:
            yield f"[{slot}] not present, {entry:#x}"
    if zero:
        yield f"{number(zero, 'entry is', 'entries are')} 0"


def _start_info(raw: bytes) -> Iterator[str]:
    """Fields of start info that are not 0."""
    forms = FORMS["START_INFO"]
    layout = payloads()[forms[max(forms) if _WIDE in raw[:_MAGIC] else min(forms)]]
    for name, value in tree(layout, raw, lambda _, value: value).items():
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
