"""An index of a guest's memory, kept in a file for the next time.

The file has a header, leaves of the index, and a digest of both.  It says which input it is of: by its size and by
samples of its bytes, evenly spread, with its beginning and its end.
"""

from __future__ import annotations

import os
from array import array
from hashlib import blake2b
from struct import Struct

from ..errors import MalformedError
from ..io.outputs import write_all
from .frames import BROKEN, HERE, LEAF, PAGE, PLACE, SPOOLED, TYPE, Frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..io.outputs import Target
    from ..io.sources import Reread

# What is put after the input's name to name the index beside it.
SUFFIX = ".pages"
# Magic, version, bytes of a page, the input's size, entries that it has, leaves that follow, and its samples' digest.
_HEAD = Struct("<16sIIQQQ32s")
_MAGIC, _VERSION = b"streamfmt pages\n", 1
_DIGEST = 32
_LEAF_SIZE = 8 + 8 * LEAF
# Samples: the ends, and so many blocks between them.
_END, _BLOCKS, _BLOCK = 64 << 10, 64, 4 << 10
_KNOWN = TYPE | HERE | BROKEN


class UnfitIndexError(MalformedError):
    """A file that is no index, is damaged, or is the index of another input."""


def save(target: Target, frames: Frames, size: int, reread: Reread) -> None:
    """Write the index of an input of so many bytes, all of it or nothing.  Raises OSError."""
    write_all(target, _pieces(frames, size, reread))


def _pieces(frames: Frames, size: int, reread: Reread) -> Iterator[bytes]:
    digest = blake2b(digest_size=_DIGEST)
    head = _HEAD.pack(_MAGIC, _VERSION, PAGE, size, frames.entries, len(frames), _samples(size, reread))
    digest.update(head)
    yield head
    for pfn, values in frames.values():
        piece = (pfn // LEAF).to_bytes(8, "little") + _little(values[:]).tobytes()
        digest.update(piece)
        yield piece
    yield digest.digest()


def load(path: str | os.PathLike[str], size: int, reread: Reread) -> Frames:
    """The index in a file, of an input of so many bytes.  Raises UnfitIndexError and OSError."""
    frames = Frames()
    digest = blake2b(digest_size=_DIGEST)
    with open(path, "rb") as file:
        head = file.read(_HEAD.size)
        digest.update(head)
        if len(head) < _HEAD.size or head[: len(_MAGIC)] != _MAGIC:
            raise UnfitIndexError(0, "this is no index of a guest's memory")
        _, version, page, due, frames.entries, leaves, samples = _HEAD.unpack(head)
        if (version, page) != (_VERSION, PAGE):
            raise UnfitIndexError(0, f"an index of version {version}, which this release does not read")
        if due != size:
            raise UnfitIndexError(0, f"the index of an input of {due:,} bytes, and this one has {size:,}")
        if os.fstat(file.fileno()).st_size != _HEAD.size + leaves * _LEAF_SIZE + _DIGEST:
            raise UnfitIndexError(_HEAD.size, f"an index that should have {leaves:,} parts has not as many bytes")
        for _ in range(leaves):
            piece = file.read(_LEAF_SIZE)
            digest.update(piece)
            frames.put_leaf(int.from_bytes(piece[:8], "little"), _leaf(piece[8:], size))
        if file.read(_DIGEST) != digest.digest():
            raise UnfitIndexError(_HEAD.size, "an index whose digest is another: it is damaged")
    if samples != _samples(size, reread):
        raise UnfitIndexError(0, "the index of another input: this one has as many bytes, and others")
    return frames


def _leaf(data: bytes, size: int) -> array[int]:
    values = array("Q", data)
    _little(values)
    if len(values) != LEAF or any(value & (1 << PLACE) - 1 & ~_KNOWN for value in values):
        raise UnfitIndexError(_HEAD.size, "an index with values that have no meaning: it is damaged")
    if (max(values) >> PLACE) + PAGE > max(size, PAGE):
        raise UnfitIndexError(_HEAD.size, "an index with pages beyond its input: it is damaged")
    return values


def _little(values: array[int]) -> array[int]:
    from sys import byteorder

    if byteorder == "big":
        values.byteswap()
    return values


def storable(frames: Frames) -> bool:
    """Whether all pages lie in the input, so that an index says where."""
    return not any(value & SPOOLED for _, values in frames.values() for value in values)


def _samples(size: int, reread: Reread) -> bytes:
    """The digest of an input's samples."""
    digest = blake2b(digest_size=_DIGEST)
    room = memoryview(bytearray(_END))
    step = max(size // _BLOCKS, 1)
    for at, count in ((0, _END), *((at, _BLOCK) for at in range(0, size, step)), (max(size - _END, 0), _END)):
        done = 0
        while done < count and (got := reread(room[done:count], at + done)):
            done += got
        digest.update(room[:done])
    return digest.digest()
