"""What page batches say of the guest's frames, summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from .. import tables

# Ranges of frame numbers listed; of more, only the bounds are.
_RANGES = 4
# Runs of page entries that are listed.
SPANS_MAX = 1024


class Pages:
    """What page batches say of the guest's frames, summed up in constant memory; `kinds` are the types' names.

    With `spans` it also has the entries one after the other, those of one type whose frames follow one another as one:
    first and last frame and type of each, the first :data:`SPANS_MAX` of them.
    """

    __slots__ = (
        "_kinds",
        "_many",
        "_spanned",
        "compressed",
        "content",
        "high",
        "length",
        "low",
        "ranges",
        "records",
        "spans",
        "types",
    )

    def __init__(self, spans: bool = False, kinds: Mapping[int, str] = tables.PAGE_TYPES) -> None:
        self._kinds = kinds
        # Entries whose page's content is in these records; whether that of others comes elsewhere, compressed.
        self.content = 0
        self.compressed = False
        self.spans: list[list[int]] | None = [] if spans else None
        self._spanned = 0
        self.records = 0
        self.length = 0
        self.types: Counter[int] = Counter()
        self.low, self.high = 1 << 64, 0
        self.ranges: list[tuple[int, int]] = []
        self._many = False

    @property
    def entries(self) -> int:
        return self.types.total()

    def add(self, entries: Sequence[int], content: int) -> None:
        """Take in page entries as 64-bit integers, at least one, with the content of so many pages."""
        mask, shift = tables.ENTRY_PFN_MASK, tables.ENTRY_TYPE_SHIFT
        pfns = [entry & mask for entry in entries]
        low, high = min(pfns), max(pfns)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.content += content
        self.types.update([entry >> shift for entry in entries])
        if not self._many:
            self._note(pfns)
        if self.spans is not None:
            self._span(self.spans, entries)

    def _span(self, spans: list[list[int]], entries: Sequence[int]) -> None:
        """Note which frames and types come one after the other, as far as there is room."""
        mask, shift = tables.ENTRY_PFN_MASK, tables.ENTRY_TYPE_SHIFT
        for entry in entries:
            pfn, kind = entry & mask, entry >> shift
            if spans and spans[-1][1] + 1 == pfn and spans[-1][2] == kind:
                spans[-1][1] = pfn
            elif len(spans) < SPANS_MAX:
                spans.append([pfn, pfn, kind])
            else:
                return
            self._spanned += 1

    def _note(self, pfns: Sequence[int]) -> None:
        first, last = pfns[0], pfns[-1]
        # Savers send whole passes in ascending order: then a batch is one range.
        if last - first == len(pfns) - 1 and all(map(int.__eq__, pfns, range(first, last + 1))):
            self._range(first, last)
            return
        last = first
        for pfn in pfns[1:]:
            if pfn == last + 1:
                last = pfn
                continue
            self._range(first, last)
            if self._many:
                return
            first = last = pfn
        self._range(first, last)

    def _range(self, first: int, last: int) -> None:
        if self.ranges and self.ranges[-1][1] + 1 == first:
            self.ranges[-1] = (self.ranges[-1][0], last)
        elif len(self.ranges) < _RANGES:
            self.ranges.append((first, last))
        else:
            self._many = True
            self.ranges.clear()

    def merge(self, other: Pages) -> None:
        """Take in what another one has summed up, which comes after."""
        self.records += other.records
        self.length += other.length
        self.content += other.content
        self.compressed = self.compressed or other.compressed
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.types.update(other.types)
        self._many = self._many or other._many
        for first, last in other.ranges:
            if not self._many:
                self._range(first, last)
        if self._many:
            self.ranges.clear()
        if self.spans is not None and other.spans:
            self._spanned = self._merged(self.spans, other)

    def _merged(self, spans: list[list[int]], other: Pages) -> int:
        """Take in the runs of another; how many entries those that there was room for have."""
        count = self._spanned
        if count < self.entries - other.entries:
            return count  # some are missing before these
        for first, last, kind in other.spans or ():
            if spans and spans[-1][1] + 1 == first and spans[-1][2] == kind:
                spans[-1][1] = last
            elif len(spans) < SPANS_MAX:
                spans.append([first, last, kind])
            else:
                return count
            count += last - first + 1
        return count

    def names(self) -> dict[str, int]:
        """Entries by page type, in the order of the types' codes."""
        return {self._kinds.get(kind, f"type {kind}"): self.types[kind] for kind in sorted(self.types)}

    def as_dict(self) -> dict[str, object]:
        """The sums as JSON has them."""
        known = bool(self.types)
        return {
            "records": self.records,
            "entries": self.entries,
            "pages": self.content,
            "first_pfn": hex(self.low) if known else None,
            "last_pfn": hex(self.high) if known else None,
            "types": self.names(),
            **self._as_spans(),
        }

    def _as_spans(self) -> dict[str, object]:
        if self.spans is None:
            return {}
        kinds = self._kinds
        rows = [[hex(first), hex(last), kinds.get(kind, f"type {kind}")] for first, last, kind in self.spans]
        return {"frames": rows, "frames_left": self.entries - self._spanned}

    def text(self) -> str:
        """One phrase: how many, which frames, of what types."""
        if not self.types:
            return "no entries"
        ranges = [_span(first, last) for first, last in self.ranges] or [f"within {_span(self.low, self.high)}"]
        kinds = ", ".join(f"{count:,} {name}" for name, count in self.names().items())
        records = f"{self.records:,} records, " if self.records > 1 else ""
        frames = "pfn" if ranges == [hex(self.low)] else "pfns"
        text = f"{records}{number(self.entries, 'entry', 'entries')}, {frames} {', '.join(ranges)}: {kinds}"
        return text + ("; content comes compressed" if self.compressed else "")


def _span(first: int, last: int) -> str:
    return f"{first:#x}-{last:#x}" if last > first else f"{first:#x}"


def number(count: int, one: str, many: str) -> str:
    """A count and its noun."""
    return f"{count:,} {one if count == 1 else many}"
