"""What the pages of a channel of QEMU's multifd are compressed to: one stream of zlib or zstd over all its packets.

Each packet ends with what flushes the compressor, so that its pages come out of it with all that came before.
Sources: QEMU migration/multifd-zlib.c and migration/multifd-zstd.c.
"""

from __future__ import annotations

from ..tables import QEMU_MULTIFD_METHODS
from .qemu_pages import FormError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# How far back zstd's frames may refer: what its decompressor has as a limit, which QEMU leaves as it is.
MEMORY_MAX = 128 << 20


class UnopenedError(Exception):
    """Pages that are not decompressed; the message says why, and what to do."""


class Unpacking:
    """The decompressor of a channel, whose packets' flags have that method.  Raises UnopenedError."""

    def __init__(self, method: int) -> None:
        self.method = method
        self.name = QEMU_MULTIFD_METHODS.get(method, "what is not known")
        self._worker, self._error = _made(self.name)
        self._room = self._used = 0

    def begin(self, size: int) -> None:
        """A packet comes whose pages have so many bytes."""
        self._room, self._used = size, 0

    def more(self, raw: bytes) -> bytes:
        """What comes out of the next bytes of the packet; little more is made than its pages are.  Raises FormError."""
        found = b""
        try:
            while raw or not getattr(self._worker, "needs_input", True):
                found += self._worker.decompress(raw, self._room - len(found) + 1)
                self._used += len(raw)
                raw = b""
                if self._worker.eof:
                    raise FormError(self._used, f"an end of the {self.name} stream, which goes on over all packets")
                if len(found) > self._room:
                    raise FormError(self._used, f"more bytes than its pages when {self.name} has decompressed them")
        except self._error as reason:
            raise FormError(self._used, f"bytes that {self.name} cannot decompress ({reason})") from None
        self._room -= len(found)
        return found

    def end(self) -> None:
        """The packet has ended.  Raises FormError."""
        if self._room:
            less = f"{self._room:,} byte{'s' * (self._room > 1)} less"
            raise FormError(self._used, f"{less} than its pages when {self.name} has decompressed them")


def _made(name: str) -> tuple[Any, type[Exception]]:
    """A decompressor, and what it raises.  Imports are here: few channels are compressed."""
    if name == "zlib":
        import zlib

        return zlib.decompressobj(), zlib.error
    if name != "zstd":
        raise UnopenedError(f"pages compressed with {name} are not decompressed here: migrate with zlib or zstd")
    try:
        import zstandard
    except ImportError as error:
        raise UnopenedError("pages compressed with zstd need the package zstandard: pip install zstandard") from error
    from .zstd_frame import Frame

    return Frame(zstandard, MEMORY_MAX), zstandard.ZstdError
