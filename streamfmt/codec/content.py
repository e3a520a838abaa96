"""Bytes on their way out: buffers that are there, and such as are made only when they are written.

So a value that repeats, or follows a rule, costs nothing however long it is: its length is known beforehand, and its
bytes come in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

# Pieces have about this many bytes.
PIECE = 256 << 10
# What is no longer than this is made at once: it takes no more than what would make it.
SMALL = 256
# Zeros are taken from here, however many.
_ZEROS = memoryview(bytes(4 * PIECE))


class Made:
    """As many bytes as `size` says, which `make` gives in pieces as often as it is called."""

    __slots__ = ("_make", "size")

    def __init__(self, size: int, make: Callable[[], Iterable[Buffer]]) -> None:
        self._make = make
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<{self.size:,} bytes>"

    def pieces(self) -> Iterator[Buffer]:
        """The bytes, a few at a time."""
        return iter(self._make())


# Bytes that are there, or will be.
Content: TypeAlias = Buffer | Made


class Numbers:
    """As many integers as `count` says, from `least` to `most`, which `make` gives as often as it is called."""

    __slots__ = ("_make", "count", "least", "most")

    def __init__(self, count: int, make: Callable[[], Iterable[int]], least: int, most: int) -> None:
        self._make = make
        self.count = count
        self.least = least
        self.most = most

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(self._make())


def pieces(contents: Iterable[Content]) -> Iterator[Buffer]:
    """The bytes of all of them, a few at a time."""
    for content in contents:
        if isinstance(content, Made):
            yield from content.pieces()
        else:
            yield content


def joined(contents: Iterable[Content]) -> bytes:
    """The bytes of all of them in one piece."""
    return b"".join(pieces(contents))


def span(contents: Iterable[Content], start: int, stop: int) -> Iterator[Buffer]:
    """The bytes from `start` to `stop`, or as many as there are; what lies before is not made if it need not be."""
    at = 0
    for content in contents:
        if at >= stop:
            return
        if at + len(content) <= start:
            at += len(content)
            continue
        for piece in pieces((content,)):
            if at >= stop:
                return
            first, last = max(start - at, 0), min(stop - at, len(piece))
            if first < last:
                yield piece if last - first == len(piece) else memoryview(piece)[first:last]
            at += len(piece)


def repeated(block: Content, times: int) -> Content:
    """The same bytes several times over."""
    size = len(block) * times
    if times == 1:
        return block
    if not size:
        return b""
    if isinstance(block, Made) or len(block) > PIECE:
        return Made(size, lambda: (piece for _ in range(times) for piece in pieces((block,))))

    if size <= SMALL:
        return bytes(block) * times

    def make() -> Iterator[Buffer]:
        some = bytes(block) * min(PIECE // len(block), times)
        whole, rest = divmod(size, len(some))
        for _ in range(whole):
            yield some
        if rest:
            yield memoryview(some)[:rest]

    return Made(size, make)


def zeros(count: int) -> Content:
    """So many zeros."""
    return _ZEROS[:count] if count <= len(_ZEROS) else Made(count, lambda: _zeros(count))


def _zeros(count: int) -> Iterator[Buffer]:
    while count:
        yield (piece := _ZEROS[:count])
        count -= len(piece)


def resized(content: Content, length: int) -> Content:
    """The first bytes, filled up with zeros if there are fewer than `length`."""
    base, kept = (content.base, content.kept) if isinstance(content, _Resized) else (content, len(content))
    kept = min(kept, length)
    if isinstance(base, Made) or (length > kept and length > SMALL):
        return _Resized(base, kept, length)
    return memoryview(base)[:length] if length > SMALL else bytes(base[:kept]).ljust(length, b"\0")


class _Resized(Made):
    """The first `kept` bytes of `base`, then zeros.  Resized again it is no deeper."""

    __slots__ = ("base", "kept")

    def __init__(self, base: Content, kept: int, length: int) -> None:
        super().__init__(length, self._pieces)
        self.base = base
        self.kept = kept

    def _pieces(self) -> Iterator[Buffer]:
        yield from span((self.base,), 0, self.kept)
        yield from _zeros(self.size - self.kept)
