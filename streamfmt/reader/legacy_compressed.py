"""Compressed content of pages in a legacy stream: page after page, each in markers and words that follow them.

A page is EMPTY, FULL with 4,096 bytes after it, or runs: of words that follow, and of words that stay as they were.  It
may go on in the next piece.  Only the markers are looked at, which is what shows where pages end.
Source: tools/libxc/xc_compression.c of Xen 4.4, xc_compression_uncompress_page.
"""

from __future__ import annotations

from .. import tables

PAGE, WORD = tables.PAGE_SIZE, 4
EMPTY, FULL = 0x00, 0x80
# A run's length is in the lowest bits of its marker; the highest says whether its words stay.
RUN_MASK, STAY = 0x7F, 0x80


class Walk:
    """The walk through pieces: `pages` that are whole so far, `at` how much of the present one has come, in bytes.

    `wrong` says why no page can be like this; `taken` is how many bytes of the latest piece came before that.
    """

    __slots__ = ("_copy", "at", "pages", "taken", "wrong")

    def __init__(self) -> None:
        self.pages = self.at = self.taken = 0
        self.wrong = ""
        # Bytes of the present run, or whole page, that have not come.
        self._copy = 0

    @property
    def within(self) -> bool:
        """Whether a page has begun that is not whole."""
        return bool(self.at or self._copy)

    def feed(self, data: bytes) -> None:
        """The next piece."""
        place, size = 0, len(data)
        while not self.wrong:
            step = min(self._copy, size - place)
            place += step
            self._copy -= step
            if self._copy or place == size:
                break
            self._page_ends()
            self._marker(data[place])
            place += not self.wrong
        else:
            self.taken = place
            return
        self.taken = place
        if not self._copy:
            self._page_ends()

    def _page_ends(self) -> None:
        if self.at == PAGE:
            self.pages += 1
            self.at = 0

    def _marker(self, marker: int) -> None:
        length = WORD * (marker & RUN_MASK)
        if marker == EMPTY and not self.at:
            self.pages += 1
        elif marker == FULL and not self.at:
            self.at = self._copy = PAGE
        elif not length:
            self.wrong = f"marker {marker:#04x} within a page, at byte {self.at:,} of it"
        elif self.at + length > PAGE:
            self.wrong = f"a run of {length} bytes at byte {self.at:,} of a page"
        else:
            self.at += length
            if not marker & STAY:
                self._copy = length
