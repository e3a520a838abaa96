"""A stream that is being edited: each edit takes about the same time, however many parts there are.

:class:`Stream` is made anew by each edit, which is fine for a few; a recipe may have thousands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..codec.content import Content
from ..writer.draft import Draft
from ..writer.part import HEADERS, Part, Patched

# Parts are kept in blocks of so many, twice that at most.
_BLOCK = 256
# How many bodies are kept that fields are overwritten in, and up to how many bytes of each.
_KEPT = 64
_SMALL = 64 << 10


class _Block:
    """Some parts in a row, how many there are of each path, and how many bytes they have, once that has been asked."""

    __slots__ = ("extents", "parts", "paths", "whole")

    def __init__(self, parts: list[Part], extents: list[int | None]) -> None:
        self.parts = parts
        self.extents = extents
        self.paths = Counter(part.path for part in parts)
        self.whole: int | None = None

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        if self.whole is None:
            self.whole = self.before(len(self.parts))
        return self.whole

    def before(self, upto: int) -> int:
        """Bytes of the parts before that one."""
        found = 0
        for number, (part, extent) in enumerate(zip(self.parts[:upto], self.extents[:upto], strict=True)):
            if extent is None:
                extent = self.extents[number] = part.extent  # noqa: PLW2901 - it is what was asked for
            found += extent
        return found


# Block and place in it.
Spot = tuple[int, int]


class Edited:
    """The parts of a stream, by spots that `find` gives and the next edit makes void; and what else a stream has.

    `fresh` are parts that have come since it was emptied.
    """

    def __init__(self, stream: Draft) -> None:
        self.big = stream.big
        self.cut = stream.cut
        self.fresh: list[Part] = []
        self._blocks: list[_Block] = []
        # Of parts whose fields were overwritten, what became of their bodies; not of all, which would be too much.
        self._patched: dict[int, Patched] = {}
        self._extend(0, stream.parts)

    def stream(self) -> Draft:
        """What has become of it."""
        return Draft(tuple(self), self.big, self.cut)

    def __iter__(self) -> Iterator[Part]:
        for block in self._blocks:
            yield from block.parts

    @property
    def paths(self) -> Counter[str]:
        """How often each schema path is there."""
        found: Counter[str] = Counter()
        for block in self._blocks:
            found += block.paths
        return found

    def has(self, path: str) -> bool:
        return any(block.paths[path] for block in self._blocks)

    def find(self, path: str, nth: int = 0) -> Spot:
        """Where the `nth` part of that path is; negative numbers count from the end.  Raises IndexError."""
        if nth < 0:
            nth += sum(block.paths[path] for block in self._blocks)
        if nth >= 0:
            for number, block in enumerate(self._blocks):
                if nth < block.paths[path]:
                    return number, [at for at, part in enumerate(block.parts) if part.path == path][nth]
                nth -= block.paths[path]
        raise IndexError(path)

    def part(self, spot: Spot) -> Part:
        return self._blocks[spot[0]].parts[spot[1]]

    def swap(self, spot: Spot, *parts: Part) -> None:
        """Put `parts` in the place of one."""
        number, at = spot
        block = self._blocks[number]
        gone = block.parts[at]
        self.fresh += [part for part in parts if part is not gone]
        self._patched.pop(id(gone), None)
        block.paths[gone.path] -= 1
        block.paths.update(part.path for part in parts)
        block.parts[at : at + 1] = parts
        block.extents[at : at + 1] = [None] * len(parts)
        block.whole = None
        if len(block.parts) > 2 * _BLOCK:
            del self._blocks[number]
            self._extend(number, block.parts, block.extents)
        elif not block.parts:
            del self._blocks[number]

    def before(self, spot: Spot, *parts: Part) -> None:
        self.swap(spot, *parts, self.part(spot))

    def after(self, spot: Spot, *parts: Part) -> None:
        self.swap(spot, self.part(spot), *parts)

    def then(self, *parts: Part) -> None:
        if self._blocks and parts:
            last = self._blocks[-1]
            self.swap((len(self._blocks) - 1, len(last.parts) - 1), last.parts[-1], *parts)
        else:
            self.fresh += parts
            self._extend(0, parts)

    def patch(self, spot: Spot, place: str, value: int | Content) -> int:
        """Overwrite one field; how many steps that took.  Raises FieldError."""
        part = self.part(spot)
        patched = self._patched.get(id(part))
        steps = 1 - patched.walked if patched is not None else len(part.patches)
        if patched is None:
            patched = Patched(part, "<")
            for earlier in part.patches:
                patched.put(*earlier)
        patched.put(place, value)
        new = replace(part, patches=(*part.patches, (place, value)))
        self.swap(spot, new)
        self.fresh.clear()  # nothing else of it can be wrong
        if len(self._patched) >= _KEPT or patched.held > _SMALL:
            self._patched.clear()
        self._patched[id(new)] = patched
        return steps + patched.walked

    def offset(self, spot: Spot) -> int:
        """Where in the bytes that part begins."""
        number, at = spot
        return sum(block.size for block in self._blocks[:number]) + self._blocks[number].before(at)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        whole = sum(block.size for block in self._blocks)
        return whole if self.cut is None else min(whole, self.cut)

    def headed(self) -> set[str]:
        """The layers that have a header."""
        return {path.partition(".")[0] for path, count in self.paths.items() if count and path in HEADERS}

    def _extend(self, number: int, parts: Iterable[Part], extents: Iterable[int | None] = ()) -> None:
        """Put blocks of these parts in the place `number`."""
        some = list(parts)
        known = [*extents] or [None] * len(some)
        self._blocks[number:number] = [
            _Block(some[at : at + _BLOCK], known[at : at + _BLOCK]) for at in range(0, len(some), _BLOCK)
        ]
