"""Compressed inputs, opened on the way: gzip, xz and zstd, recognised by their magics.

Output is made piece by piece into the reader's window, so a bomb costs time, not memory.  How far back the data refers,
its window or dictionary, has to be in memory: what says that it needs more than :data:`MEMORY_MAX` is refused for that.
"""

from __future__ import annotations

from ..errors import DamagedError, UnopenedError
from ..reader.identify import COMPRESSED
from .sources import Source, skippable_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..reader.pump import Window

# As `zstd -d` has it; `zstd --long=27` and `xz -9` need no more.
MEMORY_MAX = 128 << 20
# What no zstd refers back over, whatever it is asked for.
_ZSTD_MOST = 1 << 31
# What liblzma takes beside the dictionary.
_XZ_BESIDE = 1 << 20
# .xz file format 1.2: a stream's header of 12 bytes, then that of its first block: its size in units of 4 bytes less
# one, flags (two bits say how many filters, two which sizes are there), the sizes, then each filter's id, the size of
# its properties, and those.  LZMA2 is filter 0x21 and has one byte, from which the dictionary's size follows.
_XZ_HEADER, _XZ_BLOCK_MAX, _LZMA2 = 12, 1024, 0x21
# zstd's frames that hold no data: a magic, then how many bytes to pass over.
_SKIPPABLE_HEADER = 8
_PIECE = 128 << 10
# What xz gives at a time.  Where data is damaged, its decompressor loses what it had of a piece by then.
_PIECE_XZ = 4 << 10


class CompressedSource(Source):
    """What comes out of decompressing what `read` gives, which begins with `key`'s magic, or one of its frames."""

    def __init__(self, key: str, read: Callable[[int], bytes], window: Window | None = None) -> None:
        self._key = key
        self._read = read
        self._window = window
        self._made = 0
        self._make, self._errors = _decompressors(key)
        self._magic = next(raw for raw, name in COMPRESSED.items() if name == key)
        self._worker: Any = None
        self._piece = _PIECE_XZ if key == "xz" else _PIECE
        self._input = b""
        # How an xz stream begins, which its errors do not say.
        self._head = b""
        # Where bytes come through unchanged, after the compressed data, so that they are reported like any trailer.
        self._plain = False
        # What has come after a member's end, while it is too short to show what it is; bytes of it to pass over.
        self._after: bytes | None = b""
        self._passing = 0
        self._damage: DamagedError | None = None

    def read_into(self, room: memoryview) -> int:
        if self._damage is not None:
            raise self._damage
        try:
            while True:
                if (self._worker is None or self._worker.eof) and not self._plain:
                    self._next_member()
                if self._plain:
                    data = self._input or self._read(_PIECE)
                    count = min(len(data), len(room))
                    room[:count], self._input = data[:count], data[count:]
                    return count
                if not self._input and getattr(self._worker, "needs_input", True):
                    self._input = self._read(_PIECE)
                    if not self._input:
                        raise DamagedError(f"the {self._key} data ends early")
                data = self._decompressed(min(len(room), self._piece))
                self._input = getattr(self._worker, "unconsumed_tail", b"")
                if data:
                    room[: len(data)] = data
                    self._made += len(data)
                    return len(data)
        except self._errors as error:
            raise self._damaged(error) from error
        except MemoryError as error:
            raise UnopenedError(f"the {self._key} data needs more memory to decompress than there is") from error

    def _decompressed(self, limit: int) -> bytes:
        """The next bytes, at most `limit`; those before a damage come out before it is raised."""
        before = self._worker.copy() if self._key == "gzip" else None
        if self._key == "xz" and len(self._head) < _XZ_HEADER + _XZ_BLOCK_MAX:
            self._head += self._input[: _XZ_HEADER + _XZ_BLOCK_MAX]
        try:
            data: bytes = self._worker.decompress(self._input, limit)
        except self._errors as error:
            if before is None or not (data := _sound(before, self._input, limit, self._errors)):
                raise
            self._damage = self._damaged(error)
        return data

    def _damaged(self, error: Exception) -> DamagedError:
        if "emory usage limit" in str(error):  # all that liblzma says of a dictionary that is too large
            return _too_large("xz", _xz_dictionary(self._head))
        # What the libraries put before it says where in their code it was found.
        return DamagedError(f"the {self._key} data is damaged: {str(error).rpartition(': ')[2]}")

    def _next_member(self) -> None:
        """Another gzip member, xz stream or zstd frame may follow; anything else is handed on as it is.

        Reading may raise that nothing is there yet; called again, this goes on.
        """
        if self._after is None:
            self._after = self._worker.unused_data
        while True:
            if self._passing:
                passed = min(self._passing, len(self._after))
                self._after = self._after[passed:]
                self._passing -= passed
            if self._key == "xz" and self._worker is not None:
                self._after = self._after.lstrip(b"\0")  # stream padding
            skippable = self._key == "zstd" and skippable_frame(self._after)
            if not self._passing and len(self._after) >= (_SKIPPABLE_HEADER if skippable else len(self._magic)):
                if not skippable:
                    break
                self._passing = _SKIPPABLE_HEADER + int.from_bytes(self._after[4:_SKIPPABLE_HEADER], "little")
                continue
            more = self._read(_PIECE)
            if not more:
                if self._passing or skippable:
                    raise DamagedError(f"the {self._key} data ends early")
                break
            self._after += more
        self._input, self._after = self._after, None
        self._plain = not self._input.startswith(self._magic)
        if self._plain and self._window is not None:
            self._window.plain = self._made, self._key
        if not self._plain:
            self._worker, self._head = self._make(), b""


def _too_large(key: str, size: int) -> UnopenedError:
    """What to raise of data that refers so far back, 0 if that is not known."""
    need = f"{-(-size >> 20):,} MiB" if size > MEMORY_MAX else "more memory"
    if key == "zstd" and size > _ZSTD_MOST:
        return UnopenedError(f"the zstd data says that it needs {need} to decompress, which is more than zstd takes")
    hint = f"{key} -dc {f'--long={(size - 1).bit_length()} ' if key == 'zstd' else ''}FILE"
    return UnopenedError(
        f"the {key} data needs {need} to decompress; the limit is {MEMORY_MAX >> 20} MiB: try {hint} | streamfmt VERB -"
    )


def _sound(worker: Any, raw: bytes, limit: int, errors: tuple[type[Exception], ...]) -> bytes:
    """What zlib's `worker` makes of as many of `raw` as it can take before the error that all of them end in.

    It loses what it made in a call that ends in an error.
    """
    from bisect import bisect_left

    def fails(count: int) -> bool:
        try:
            worker.copy().decompress(raw[:count], limit)
        except errors:
            return True
        return False

    count = bisect_left(range(len(raw) + 1), True, key=fails) - 1
    return bytes(worker.decompress(raw[: max(count, 0)], limit))


def _xz_dictionary(head: bytes) -> int:
    """The size of the dictionary of the first block of an xz stream that begins so; 0 if that does not show."""
    block = head[_XZ_HEADER : _XZ_HEADER + 4 * (head[_XZ_HEADER] + 1)] if len(head) > _XZ_HEADER else b""
    at = 2
    try:
        for flag in (0x40, 0x80):  # sizes of what is compressed and of what it holds
            if block[1] & flag:
                _, at = _number(block, at)
        for _ in range((block[1] & 3) + 1):
            kind, at = _number(block, at)
            size, at = _number(block, at)
            if kind == _LZMA2:
                bits = block[at]
                return (1 << 32) - 1 if bits == 40 else (2 | bits & 1) << (bits >> 1) + 11
            at += size
    except IndexError:
        pass
    return 0


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A number of the xz format, seven bits a byte, and where it ends.  Raises IndexError."""
    found = shift = 0
    while raw[at] & 0x80:
        found |= (raw[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return found | raw[at] << shift, at + 1


def _zstd_window(head: bytes) -> int:
    """How far a frame that begins so refers back by its window descriptor; 0 if it has none (RFC 8878, 3.1.1.1)."""
    if head[4] & 0x20:  # all of it is one segment
        return 0
    base = 1 << 10 + (head[5] >> 3)
    return base + (base >> 3) * (head[5] & 7)


def _check_zstd(module: Any, head: bytes) -> None:
    """Raise what is in the way of opening the frame that begins so."""
    try:
        frame = module.get_frame_parameters(head)
    except module.ZstdError:
        if (size := _zstd_window(head)) > _ZSTD_MOST:
            raise _too_large("zstd", size) from None
        raise
    if frame.dict_id:
        raise UnopenedError(
            f"the zstd data needs dictionary {frame.dict_id}: try zstd -dc -D DICT FILE | streamfmt VERB -"
        )
    if frame.window_size > MEMORY_MAX:
        raise _too_large("zstd", frame.window_size)


def _decompressors(key: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """A maker of decompressors, and the errors they raise.  Imports are here: few inputs are compressed."""
    if key == "gzip":
        import zlib

        return (lambda: zlib.decompressobj(31)), (zlib.error,)
    if key == "xz":
        import lzma

        limit = MEMORY_MAX + _XZ_BESIDE
        return (lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, limit)), (lzma.LZMAError, EOFError)
    try:
        import zstandard
    except ImportError as error:
        raise UnopenedError("zstd data needs the package zstandard: pip install zstandard") from error
    from ..codec.zstd_frame import Frame

    return (lambda: Frame(zstandard, MEMORY_MAX, _check_zstd)), (zstandard.ZstdError,)
