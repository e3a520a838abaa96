"""Streams as lists of parts, which can be edited: each edit gives a new :class:`Stream`.

Whoever wants a stream that is broken in one way takes a good one and edits it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..schema.encode import Buffer
from .parts import HEADERS, Part, size

# Headers in which a layer announces the byte order of what follows them.
ANNOUNCING = {"libxl.header": "libxl", "libxc.image_header": "libxc"}


@dataclass(frozen=True, slots=True)
class Stream:
    """Parts in order.  `big` names the layers that are written big-endian; `cut` ends the octets early.

    A part is named by its path and, where there are several, by which of them it is (`nth`).
    """

    parts: tuple[Part, ...]
    big: frozenset[str] = frozenset()
    cut: int | None = None

    def __iter__(self) -> Iterator[Part]:
        for part in self.parts:
            yield from part.parts()

    @property
    def paths(self) -> frozenset[str]:
        """Schema paths of everything in the stream."""
        return frozenset(part.path for part in self.parts)

    def find(self, path: str, nth: int = 0) -> int:
        """Where in `parts` the `nth` part of that path is; negative numbers count from the end."""
        return [number for number, part in enumerate(self.parts) if part.path == path][nth]

    def part(self, path: str, nth: int = 0) -> Part:
        return self.parts[self.find(path, nth)]

    def swap(self, path: str, *parts: Part, nth: int = 0) -> Stream:
        """With `parts` in the place of one."""
        at = self.find(path, nth)
        return replace(self, parts=(*self.parts[:at], *parts, *self.parts[at + 1 :]))

    def before(self, path: str, *parts: Part, nth: int = 0) -> Stream:
        return self.swap(path, *parts, self.part(path, nth), nth=nth)

    def after(self, path: str, *parts: Part, nth: int = 0) -> Stream:
        return self.swap(path, self.part(path, nth), *parts, nth=nth)

    def without(self, path: str, nth: int = 0) -> Stream:
        return self.swap(path, nth=nth)

    def moved(self, path: str, *, before: str, nth: int = 0, before_nth: int = 0) -> Stream:
        """With the `nth` part of `path` taken out and put before another."""
        return self.without(path, nth).before(before, self.part(path, nth), nth=before_nth)

    def then(self, *parts: Part) -> Stream:
        return replace(self, parts=(*self.parts, *parts))

    def edit(self, path: str, nth: int = 0, **changes: Any) -> Stream:
        """With other attributes of one part, such as `claim` or `octets`."""
        return self.swap(path, replace(self.part(path, nth), **changes), nth=nth)

    def put(self, path: str, nth: int = 0, **values: Any) -> Stream:
        """With other values for the schema to build one part from."""
        return self.edit(path, nth, values={**self.part(path, nth).values, **values})

    def patch(self, path: str, place: str, value: int | bytes, nth: int = 0) -> Stream:
        """With one field overwritten behind the schema's back."""
        return self.edit(path, nth, patches=(*self.part(path, nth).patches, (place, value)))

    def resized(self, path: str, length: int, nth: int = 0) -> Stream:
        """With the body of one record, which its header announces truly, shortened or filled up with zeros."""
        body = self.part(path, nth).body("<")
        return self.edit(path, nth, octets=body[:length].ljust(length, b"\0"), patches=())

    def big_endian(self, *layers: str) -> Stream:
        """With those of the layers big-endian that have a header to say so."""
        headed = {path.partition(".")[0] for path in self.paths & HEADERS.keys()}
        return replace(self, big=frozenset(layers) & headed)

    def upto(self, path: str, nth: int = 0, extra: int = 0) -> Stream:
        """Cut where that part begins, or `extra` octets further."""
        return replace(self, cut=self.offset(path, nth) + extra)

    def offset(self, path: str, nth: int = 0) -> int:
        """Where in the octets that part begins."""
        return self.offsets()[self.find(path, nth)]

    def offsets(self) -> list[int]:
        """Where each part begins, and where the last one ends if nothing cuts the stream."""
        found = [0]
        for part in self.parts:
            found.append(found[-1] + sum(size(self._buffers(each)) for each in part.parts()))
        return found

    def _buffers(self, part: Part) -> list[Buffer]:
        if ANNOUNCING.get(part.path) in self.big:
            part = replace(part, patches=(*part.patches, ("options.endian", 1)))
        return part.buffers(">" if part.layer in self.big else "<")

    def pieces(self) -> Iterator[Buffer]:
        """The stream's octets, a few at a time: a large one never is in memory whole."""
        left = self.cut
        for part in self:
            for piece in self._buffers(part):
                if left is None:
                    yield piece
                elif left > 0:
                    yield piece[:left]
                    left -= len(piece[:left])

    def render(self) -> bytes:
        return b"".join(self.pieces())
