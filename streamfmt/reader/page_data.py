"""The walk through a PAGE_DATA record: its fixed fields, its entries in pieces, then its pages."""

from __future__ import annotations

from struct import unpack_from

from .. import tables
from .events import ENTRY, PAGE, PAGE_FIXED, PIECE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterator, Sequence

    from .events import Body

_FIXED = "libxc.PAGE_DATA"
# How a page that Xen has described itself in begins, within so many bytes, and what is in that of a 64-bit guest.
_XEN, _WIDE, _MAGIC = b"xen-", b"x86_64", 32
# The page type in an entry's highest byte; types whose pages carry content, and all that are known.
_KIND = bytes(top >> tables.ENTRY_TYPE_SHIFT - 8 * (ENTRY - 1) for top in range(256))
_DATA, _KNOWN = bytes(tables.PAGE_TYPES_DATA), bytes(tables.PAGE_TYPES)


class PageData:
    """`count` is what the record says, `room` for how many entries there is room, `head` its fixed fields.

    `entries_left` of the entries have not been read; `pages` of those that have carry content, `unknown` have a type
    that no release has given a meaning; `kinds` and `raw` are types and bytes of the latest.  `cut` once the stream has
    ended before an entry.
    """

    __slots__ = ("body", "count", "cut", "entries_left", "head", "kinds", "pages", "raw", "reserved", "room", "unknown")

    def __init__(self, body: Body) -> None:
        self.body = body
        self.head = self.raw = self.kinds = b""
        self.count = self.reserved = self.room = self.entries_left = 0
        self.pages = self.unknown = 0
        self.cut = False

    def begin(self) -> Generator[int, int, bool]:
        """Read the fixed fields.  Returns whether they were there."""
        raw = yield from self.body.take(PAGE_FIXED)
        return self.begins(raw)

    def begins(self, raw: bytes) -> bool:
        """Take the fixed fields from `raw`.  Returns whether they are whole."""
        self.head = raw
        if len(raw) < PAGE_FIXED:
            return False
        self.count, self.reserved = unpack_from(self.body.order + tables.FORMATS[_FIXED], self.head)
        self.room = self.body.left // ENTRY
        self.entries_left = min(self.count, self.room)
        return True

    @property
    def fits(self) -> bool:
        """Whether there is room for all of its entries."""
        return self.count <= self.room

    def entries(self) -> Generator[int, int, Sequence[int]]:
        """The next entries, as 64-bit integers; none after the last, fewer than there should be if the stream ends."""
        number = min(self.entries_left, PIECE // ENTRY)
        if not number:
            return ()
        raw = yield from self.body.take(ENTRY * number)
        self.cut = len(raw) < ENTRY * number
        self.entries_left -= number
        return self.unpacked(raw)

    def unpacked(self, raw: bytes) -> Sequence[int]:
        """The entries that `raw` holds, which are the next."""
        self.raw = raw
        order, got = self.body.order, len(raw) // ENTRY
        self.kinds = kinds = raw[0 if order == ">" else ENTRY - 1 : ENTRY * got : ENTRY].translate(_KIND)
        self.pages += got - len(kinds.translate(None, _DATA))
        self.unknown += len(kinds.translate(None, _KNOWN))
        return unpack_from(f"{order}{got}Q", raw)

    @property
    def expected(self) -> int:
        """How long the record should be by the entries read."""
        length: int = PAGE_FIXED + ENTRY * self.count + PAGE * self.pages
        return length


class PageBatch:
    """Some of a PAGE_DATA record's entries, in order, and their contents; iterate over it for one entry at a time.

    `pfns` are guest frame numbers, `types` the names of their types.  `contents`, at stream offset `offset` in bytes,
    has a page for each entry whose type is in :attr:`WITH_CONTENT`.  It is a view of the reader's memory, released when
    anything more is requested of the stream.
    """

    __slots__ = ("_lent", "contents", "offset", "pfns", "types")

    WITH_CONTENT = frozenset(tables.PAGE_TYPES[kind] for kind in tables.PAGE_TYPES_DATA)

    def __init__(
        self, pfns: tuple[int, ...], types: tuple[str, ...], offset: int, contents: memoryview, lent: list[memoryview]
    ) -> None:
        # What is to be released when the stream goes on: a slice outlives the view that it was taken from.
        self._lent = lent
        self.pfns = pfns
        self.types = types
        self.offset = offset
        self.contents = contents

    def __iter__(self) -> Iterator[tuple[int, str, memoryview | None]]:
        """Yield frame number, type name, and the page or None, for each entry."""
        at = 0
        for pfn, kind in zip(self.pfns, self.types, strict=True):
            if kind in self.WITH_CONTENT:
                page = self.contents[at : at + PAGE]
                self._lent.append(page)
                yield pfn, kind, page
                at += PAGE
            else:
                yield pfn, kind, None


def carrying(walk: PageData, wanted: Container[int]) -> Generator[int, int, list[tuple[int, int, int]]]:
    """Program that reads the entries of a record whose fixed fields have been read, and picks those of some frames.

    Frame and type of each, and which page of the record its content is: -1 for one without.
    """
    found, before = [], 0
    while walk.entries_left and not walk.cut:
        entries = yield from walk.entries()
        for entry, kind in zip(entries, walk.kinds, strict=False):
            carries = kind in tables.PAGE_TYPES_DATA
            pfn = entry & tables.ENTRY_PFN_MASK
            if pfn in wanted:
                found.append((pfn, kind, before if carries else -1))
            before += carries
    return found


def form_of(kind: int, raw: bytes) -> str:
    """The payload that a page of that type is by what it holds; empty if it is none whose layout is known."""
    if kind in tables.PAGE_TYPES_TABLE:
        return "pv.PAGE_TABLE"
    if raw.startswith(_XEN):
        return "pv.START_INFO_64" if _WIDE in raw[:_MAGIC] else "pv.START_INFO_32"
    return ""
