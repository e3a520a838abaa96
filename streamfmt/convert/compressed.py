"""Compressed pages of a legacy stream, as whole pages again.

Each comes as changes to what the same frame had when it came last in this form, so that has to be kept: memory for
each distinct frame that comes compressed, a page each.  Page tables come whole always, and are not kept.
"""

from __future__ import annotations

from collections import deque

from .. import tables
from ..reader.legacy_compressed import EMPTY, FULL, PAGE, RUN_MASK, STAY, WORD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHIFT, _MASK = tables.ENTRY_TYPE_SHIFT, tables.ENTRY_PFN_MASK
# Pages that are handed on together.
_TOGETHER = 32


class UnknownPageError(Exception):
    """A page comes as changes to one that never came in this form."""


class Decoder:
    """Puts the contents of batches, which come apart from them, together with them again."""

    def __init__(self) -> None:
        self._entries: deque[int] = deque()
        self._raw = b""
        self._known: dict[int, bytes] = {}

    def announce(self, entries: Sequence[int]) -> None:
        """A batch without contents has come; entries are as a libxc image has them."""
        self._entries.extend(entries)

    def feed(self, data: bytes) -> Iterator[tuple[list[int], list[bytes]]]:
        """The next compressed data; yields entries of batches, and contents of those that have any.

        Raises UnknownPageError.
        """
        raw = self._raw + data
        place = 0
        entries: list[int] = []
        pages: list[bytes] = []
        while self._entries:
            entry = self._entries[0]
            if entry >> _SHIFT in tables.PAGE_TYPES_DATA:
                end, page = self._page(raw, place, entry)
                if not end:
                    break
                place = end
                pages.append(page)
            entries.append(self._entries.popleft())
            if len(pages) == _TOGETHER or len(entries) == tables.BATCH_MAX:
                yield entries, pages
                entries, pages = [], []
        self._raw = raw[place:]
        if entries:
            yield entries, pages

    def rest(self) -> list[int]:
        """A body ends: the entries without contents that came after all contents.  The next body begins anew."""
        left = [entry for entry in self._entries if entry >> _SHIFT not in tables.PAGE_TYPES_DATA]
        self._entries.clear()
        self._raw = b""
        return left

    def _page(self, raw: bytes, place: int, entry: int) -> tuple[int, bytes]:
        """The page whose data begins at `place`, and where that ends; 0 if it is not there whole.

        What cannot be a page has been reported as that by the checks.
        """
        pfn = entry & _MASK
        first = raw[place : place + 1]
        if not first:
            return 0, b""
        known = self._known.get(pfn)
        if first[0] == FULL:
            end = place + 1 + PAGE
            page = raw[place + 1 : end]
        elif first[0] == EMPTY:
            end, page = place + 1, known or b""
        else:
            end, page = _changed(raw, place, known)
        if end > len(raw) or not end:
            return 0, b""
        if not page:
            raise UnknownPageError
        if entry >> _SHIFT in tables.PAGE_TYPES_TABLE:
            self._known.pop(pfn, None)
        else:
            self._known[pfn] = page
        return end, page


def _changed(raw: bytes, place: int, known: bytes | None) -> tuple[int, bytes]:
    """A page that comes in runs, of words that follow or stay, and where it ends; 0 if it is not there whole."""
    page = bytearray(known or bytes(PAGE))
    at, stays = 0, False
    while at < PAGE:
        if place >= len(raw):
            return 0, b""
        marker = raw[place]
        length = WORD * (marker & RUN_MASK)
        place += 1
        if marker & STAY:
            stays = True
        else:
            page[at : at + length] = raw[place : place + length]
            place += length
        at += length
        if not length:
            return 0, b""
    return place, b"" if stays and known is None else bytes(page)
