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

# With these a COLO back channel begins, which has no header.
_BACK = ("libxl.CHECKPOINT_STATE", "libxc.CHECKPOINT_DIRTY_PFN_LIST")


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

    @property
    def form(self) -> str:
        """What a reader would have to be told that sees no first octets; empty if none reads what comes first."""
        first = next((part for part in self.parts), None)
        if first is None:
            return ""
        if first.path in _BACK:
            return "back-channel"
        return first.layer if first.path in HEADERS else ""

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

    @property
    def size(self) -> int:
        """How many octets it has."""
        whole = self.offsets()[-1]
        return whole if self.cut is None else min(whole, self.cut)

    def offset(self, path: str, nth: int = 0) -> int:
        """Where in the octets that part begins."""
        return self.offsets()[self.find(path, nth)]

    def offsets(self) -> list[int]:
        """Where each part begins, and where the last one ends if nothing cuts the stream."""
        found = [0]
        for part in self.parts:
            found.append(found[-1] + part.extent)
        return found

    def _buffers(self, part: Part) -> list[Buffer]:
        if ANNOUNCING.get(part.path) in self.big:
            part = replace(part, patches=(*part.patches, ("options.endian", 1)))
        return part.buffers(">" if part.layer in self.big else "<")

    def batches(self) -> Iterator[list[Buffer]]:
        """The stream's octets, part by part: a large one never is in memory whole."""
        left = self.cut
        for part in self:
            buffers = self._buffers(part)
            if left is None:
                yield buffers
                continue
            if left < size(buffers):
                yield list(_first(buffers, left))
                return
            left -= size(buffers)
            yield buffers

    def pieces(self) -> Iterator[Buffer]:
        """The stream's octets, a few at a time."""
        for buffers in self.batches():
            yield from buffers

    def render(self) -> bytes:
        return b"".join(self.pieces())


def _first(buffers: list[Buffer], count: int) -> Iterator[Buffer]:
    """The first octets of some buffers."""
    for buffer in buffers:
        if count < len(buffer):
            yield memoryview(buffer)[:count]
            return
        yield buffer
        count -= len(buffer)
