"""What the contents of pages are like: zero, the same as others, and how well they compress."""

from __future__ import annotations

from hashlib import blake2b
from zlib import compress

from .contents import ZERO
from .frames import PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Hashes that are kept, of 8 bytes each: with what Python needs for one that is some 8 MiB.  Where there are more pages
# that differ, only those are kept whose lowest bits are zero, one bit more each time: a sample that is even.
HASHES_MAX = 1 << 16
# Samples that are compressed: so many before only every second is taken, and so on.  Each is of some pages in a row.
_SAMPLES = 256
_LEVEL = 1


class Looks:
    """Looks at pages: `pages` counts them, `zero` those that are zero.

    `sampled` pieces of them were compressed.
    """

    def __init__(self) -> None:
        self.pages = self.zero = 0
        self.sampled = 0
        self._bits = 0
        self._counts: dict[int, int] = {}
        self._pieces = 0
        self._step = 1
        self._in = self._out = 0

    def add(self, data: bytes) -> None:
        """Pages that follow one another in the stream."""
        for at in range(0, len(data), PAGE):
            if data.startswith(ZERO, at):
                self.zero += 1
            else:
                self._hash(data[at : at + PAGE])
        self.pages += len(data) // PAGE
        if self._pieces % self._step == 0:
            self.sampled += 1
            self._in += self._step * len(data)
            self._out += self._step * min(len(compress(data, _LEVEL)), len(data))
            if self.sampled % _SAMPLES == 0:
                self._step *= 2
        self._pieces += 1

    def _hash(self, page: bytes) -> None:
        found = int.from_bytes(blake2b(page, digest_size=8).digest(), "little")
        if found & self._bits:
            return
        counts = self._counts
        counts[found] = counts.get(found, 0) + 1
        if len(counts) > HASHES_MAX:
            self._bits = self._bits << 1 | 1
            self._counts = {one: count for one, count in counts.items() if not one & self._bits}

    @property
    def exact(self) -> bool:
        """Whether the number of duplicates is no estimate."""
        return not self._bits

    @property
    def duplicates(self) -> int:
        """Pages, other than zero, that are the same as one that came before."""
        return (sum(self._counts.values()) - len(self._counts)) * (self._bits + 1)

    @property
    def compressed(self) -> float | None:
        """What share of their bytes is left when they are compressed fast; None if there are no pages."""
        return self._out / self._in if self._in else None

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return {
            "pages": self.pages,
            "zero": self.zero,
            "duplicates": self.duplicates,
            "exact": self.exact,
            "compressed": self.compressed,
            "sampled": self.sampled,
        }
