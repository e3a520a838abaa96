"""Compressed inputs, opened on the way: gzip, xz and zstd, recognised by their magics.

Output is made piece by piece into the reader's window, so a bomb costs time, not memory; a decompressor that would
need more memory than :data:`MEMORY_MAX` is refused.
"""

from __future__ import annotations

from .identify import COMPRESSED
from .sources import DamagedError, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MEMORY_MAX = 128 << 20
_PIECE = 128 << 10
# What xz gives at a time.  Where data is damaged, its decompressor loses what it had of a piece by then.
_PIECE_XZ = 4 << 10
# RFC 8878 section 3.1.1: the frame header with its magic is 5 octets at least before its size shows; a block's header
# says in its lowest bit whether it is the last, then its type, then its size, which for one octet repeated is not that
# of its content.
_ZSTD_HEADER_MIN, _ZSTD_HEADER_MAX = 5, 18
_ZSTD_BLOCK_HEADER = 3
_ZSTD_REPEATED = 1


class CompressedSource(Source):
    """What comes out of decompressing what `read` gives, which begins with `key`'s magic."""

    def __init__(self, key: str, read: Callable[[int], bytes]) -> None:
        self._key = key
        self._read = read
        self._make, self._errors = _decompressors(key)
        self._worker: Any = self._make()
        self._piece = _PIECE_XZ if key == "xz" else _PIECE
        self._input = b""
        # Behind the compressed data, where octets come through unchanged, so that they are told like any trailer.
        self._plain = False
        # What has come behind a member's end, while it is too short to tell what it is.
        self._behind: bytes | None = None
        self._damage: DamagedError | None = None

    def read_into(self, room: memoryview) -> int:
        if self._damage is not None:
            raise self._damage
        try:
            while True:
                if self._worker.eof and not self._plain:
                    self._next_member()
                if self._plain:
                    data = self._input or self._read(_PIECE)
                    count = min(len(data), len(room))
                    room[:count], self._input = data[:count], data[count:]
                    return count
                if not self._input and self._needs_input():
                    self._input = self._read(_PIECE)
                    if not self._input:
                        raise DamagedError(f"the {self._key} data ends early")
                data = self._decompressed(min(len(room), self._piece))
                self._input = getattr(self._worker, "unconsumed_tail", b"")
                if data:
                    room[: len(data)] = data
                    return len(data)
        except self._errors as error:
            raise self._damaged(error) from error
        except MemoryError as error:
            raise DamagedError(f"the {self._key} data needs too much memory to open") from error

    def _decompressed(self, limit: int) -> bytes:
        """The next bytes, at most `limit`; those before a damage come out before it is raised."""
        before = self._worker.copy() if self._key == "gzip" else None
        try:
            data: bytes = self._worker.decompress(self._input, limit)
        except self._errors as error:
            if before is None or not (data := _sound(before, self._input, limit, self._errors)):
                raise
            self._damage = self._damaged(error)
        return data

    def _damaged(self, error: Exception) -> DamagedError:
        return DamagedError(f"the {self._key} data is damaged: {error}")

    def _needs_input(self) -> bool:
        return bool(getattr(self._worker, "needs_input", True))

    def _next_member(self) -> None:
        """Another gzip member, xz stream or zstd frame may follow; anything else is handed on as it is.

        Reading may raise that nothing is there yet; called again, this goes on.
        """
        magic = next(octets for octets, key in COMPRESSED.items() if key == self._key)
        rest = self._worker.unused_data if self._behind is None else self._behind
        while True:
            if self._key == "xz":
                rest = rest.lstrip(b"\0")  # stream padding
            self._behind = rest
            more = self._read(_PIECE) if len(rest) < len(magic) else b""
            if not more:
                break
            rest += more
        self._input, self._behind = rest, None
        self._plain = not rest.startswith(magic)
        if not self._plain:
            self._worker = self._make()


def _sound(worker: Any, octets: bytes, limit: int, errors: tuple[type[Exception], ...]) -> bytes:
    """What zlib's `worker` makes of as many of `octets` as it can take before the error that all of them end in.

    It loses what it made in a call that ends in an error.
    """
    from bisect import bisect_left

    def fails(count: int) -> bool:
        try:
            worker.copy().decompress(octets[:count], limit)
        except errors:
            return True
        return False

    count = bisect_left(range(len(octets) + 1), True, key=fails) - 1
    return bytes(worker.decompress(octets[: max(count, 0)], limit))


class _Zstd:
    """zstandard's decompressor in the clothes of the standard library's.

    zstandard hands out all that its input holds, and four octets can hold 128 KiB, so it is given no more than one
    block at a time (RFC 8878 section 3.1.1: a frame is a header, blocks, and perhaps a checksum).
    """

    def __init__(self, module: Any) -> None:
        self._header_size = module.frame_header_size
        self._worker = module.ZstdDecompressor(max_window_size=MEMORY_MAX).decompressobj()
        self._pending = memoryview(b"")
        self._input = b""
        self._at = 0
        # Octets that are still to come of the frame's header or of a block; None before the former.
        self._part: int | None = None
        self._last = False

    @property
    def eof(self) -> bool:
        return bool(self._worker.eof) and not self._pending

    @property
    def needs_input(self) -> bool:
        return not self._pending and not self._ready()

    @property
    def unused_data(self) -> bytes:
        return bytes(self._worker.unused_data) + self._input[self._at :]

    def decompress(self, data: bytes, limit: int) -> bytes:
        if data:
            self._input, self._at = self._input[self._at :] + data, 0
        while not self._pending and not self._worker.eof and (count := self._ready()):
            octets = self._input[self._at : self._at + count]
            self._at += count
            self._part = (self._part or count) - count
            self._pending = memoryview(self._worker.decompress(octets))
        out, self._pending = self._pending[:limit], self._pending[limit:]
        return bytes(out)

    def _ready(self) -> int:
        """How much input belongs to one part of the frame; 0 if more has to come before that shows."""
        held = len(self._input) - self._at
        if self._part is None:
            if held < _ZSTD_HEADER_MIN:
                return 0
            self._part = int(self._header_size(self._input[self._at : self._at + _ZSTD_HEADER_MAX]))
        elif not self._part and not self._last:
            if held < _ZSTD_BLOCK_HEADER:
                return 0
            head = int.from_bytes(self._input[self._at : self._at + _ZSTD_BLOCK_HEADER], "little")
            self._last = bool(head & 1)
            self._part = _ZSTD_BLOCK_HEADER + (1 if head >> 1 & 3 == _ZSTD_REPEATED else head >> 3)
        # Behind the last block there is a checksum or nothing, and no output.
        return min(held, self._part) if self._part else held


def _decompressors(key: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """A maker of decompressors, and the errors they raise.  Imports are here: few inputs are compressed."""
    if key == "gzip":
        import zlib

        return (lambda: zlib.decompressobj(31)), (zlib.error,)
    if key == "xz":
        import lzma

        return (lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, MEMORY_MAX)), (lzma.LZMAError, EOFError)
    try:
        import zstandard
    except ImportError as error:
        raise DamagedError("zstd data needs the package zstandard: pip install zstandard") from error
    return (lambda: _Zstd(zstandard)), (zstandard.ZstdError,)
