"""A frame of zstd, decompressed a block at a time, so that what it holds is never all in memory."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# RFC 8878 section 3.1.1: the frame header with its magic is 5 bytes at least before its size shows; a block's header
# says in its lowest bit whether it is the last, then its type, then its size, which for one byte repeated is not that
# of its content.
_HEADER_MIN, _HEADER_MAX = 5, 18
_BLOCK_HEADER = 3
_REPEATED = 1


class Frame:
    """zstandard's decompressor in the clothes of the standard library's.

    zstandard hands out all that its input holds, and four bytes can hold 128 KiB, so it is given no more than one
    block at a time (RFC 8878 section 3.1.1: a frame is a header, blocks, and perhaps a checksum).

    `module` is zstandard, and `memory` how far back the frame may refer, in bytes.  `check` gets the module and how the
    frame begins, and raises what is in the way of opening it.
    """

    def __init__(self, module: Any, memory: int, check: Callable[[Any, bytes], None] | None = None) -> None:
        self._module = module
        self._check = check
        self._worker = module.ZstdDecompressor(max_window_size=memory).decompressobj()
        self._pending = memoryview(b"")
        self._input = b""
        self._at = 0
        # Bytes that are still to come of the frame's header or of a block; None before the former.
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
            raw = self._input[self._at : self._at + count]
            self._at += count
            self._part = (self._part or count) - count
            self._pending = memoryview(self._worker.decompress(raw))
        out, self._pending = self._pending[:limit], self._pending[limit:]
        return bytes(out)

    def _ready(self) -> int:
        """How much input belongs to one part of the frame; 0 if more has to come before that shows."""
        held = len(self._input) - self._at
        if self._part is None:
            if held < _HEADER_MIN:
                return 0
            begin = self._input[self._at : self._at + _HEADER_MAX]
            size = int(self._module.frame_header_size(begin))
            if held < size:
                return 0
            if self._check is not None:
                self._check(self._module, begin)
            self._part = size
        elif not self._part and not self._last:
            if held < _BLOCK_HEADER:
                return 0
            head = int.from_bytes(self._input[self._at : self._at + _BLOCK_HEADER], "little")
            self._last = bool(head & 1)
            self._part = _BLOCK_HEADER + (1 if head >> 1 & 3 == _REPEATED else head >> 3)
        # After the last block there is a checksum or nothing, and no output.
        return min(held, self._part) if self._part else held
