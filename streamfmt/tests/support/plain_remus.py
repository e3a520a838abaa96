"""The compressed pages of Remus checkpoints (Xen 4.2 to 4.5), coded and decoded plainly; nothing of the product."""

from __future__ import annotations

from collections import OrderedDict

PAGE, WORD = 4096, 4
EMPTY, FULL, SKIP, RUN_MAX = 0x00, 0x80, 0x80, 127
CACHE = 8192  # pages that a sender remembers


def encoded(old: bytes, new: bytes) -> bytes:
    """A page as a change of what the receiver has."""
    if old == new:
        return bytes([EMPTY])
    words = [old[at : at + WORD] == new[at : at + WORD] for at in range(0, PAGE, WORD)]
    found = bytearray()
    at = 0
    while at < len(words):
        run = 1
        while at + run < len(words) and run < RUN_MAX and words[at + run] == words[at]:
            run += 1
        if words[at]:
            found.append(SKIP | run)
        else:
            found.append(run)
            found += new[at * WORD : (at + run) * WORD]
        at += run
    return bytes(found)


class Compressor:
    """A sender: it remembers what it last sent of each page, of `cache` pages at most."""

    def __init__(self, cache: int = CACHE) -> None:
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._room = cache

    def add(self, pfn: int, page: bytes, table: bool = False) -> bytes:
        """The page's coding.  Page tables are sent whole, and forgotten."""
        old = self._cache.pop(pfn, None)
        if not table:
            self._cache[pfn] = page
            if len(self._cache) > self._room:
                self._cache.popitem(last=False)
        if old is None or table:
            return bytes([FULL]) + page
        return encoded(old, page)


def decoded(old: bytes, data: bytes, at: int) -> tuple[bytes, int]:
    """A page from its coding at an offset, and where that ends.  Raises ValueError if it is wrong."""
    if at >= len(data):
        raise ValueError("no coding left")
    if data[at] == EMPTY:
        return old, at + 1
    if data[at] == FULL:
        if at + 1 + PAGE > len(data):
            raise ValueError("a whole page is cut short")
        return data[at + 1 : at + 1 + PAGE], at + 1 + PAGE
    page, offset = bytearray(old), 0
    while offset < PAGE:
        if at >= len(data):
            raise ValueError("a page's coding is cut short")
        marker = data[at]
        size = (marker & 0x7F) * WORD
        if not size:
            raise ValueError("a run of no words")
        at += 1
        if not marker & SKIP:
            if at + size > len(data) or offset + size > PAGE:
                raise ValueError("a run is too long")
            page[offset : offset + size] = data[at : at + size]
            at += size
        offset += size
    if offset != PAGE:
        raise ValueError("a skip goes beyond the page")
    return bytes(page), at
