"""A guest's memory: a memory file with holes, mapped; or private memory with huge pages, faster to fill.

Holes are read as zeros and take no space, but reading them through the mapping makes pages of them: whoever walks over
memory asks for `populated` first.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from ...errors import GuestError
from .. import frames as sets

PAGE = 4096
# A machine's largest memory: what a mapping of this size and the bitmaps over it can be handled at.
PAGES_MAX = 1 << 26
# Frames compared with zeros in one go; more would not stay in a processor's cache beside the zeros.
_BLOCK = 128
_ZEROS = bytes(_BLOCK * PAGE)
_WORDS = PAGE // 8
# Not in Python's mmap before 3.13 (linux/mman.h): memory is reserved when it is written, not when it is mapped.
_NORESERVE = 0x4000
# Write access to each page of a range, without writing (madvise(2), MADV_POPULATE_WRITE).
_POPULATE = 23
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
# Entries of a pagemap that are read in one go; the highest byte of each says if the page is in memory or swapped out
# (Documentation/admin-guide/mm/pagemap.rst, bits 63 and 62).
_AT_ONCE = 1 << 16
_THERE = bytes(1 if byte & 0xC0 else 0 for byte in range(256))
_FULL = b"\xff"

_libc = ctypes.CDLL(None)
_memcmp: Callable[[int, int, int], int] = _libc.memcmp
_libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_zeros = ctypes.cast(ctypes.c_char_p(_ZEROS), ctypes.c_void_p).value or 0


class Memory:
    """Memory of `pages` frames of 4096 bytes, all holes at first.  `descriptor` is -1 where it is private.

    :raises GuestError: there cannot be so much, or the descriptor is not that of such memory.
    """

    def __init__(self, pages: int, *, private: bool = False, descriptor: int = -1) -> None:
        self.pages = pages
        self.descriptor = descriptor
        if not 0 < pages <= PAGES_MAX:
            self._drop()
            raise GuestError(f"a guest of {pages:,} pages cannot be made: 1 to {PAGES_MAX:,} can")
        try:
            self._map = _private(pages) if private else self._shared(pages)
        except (OSError, ValueError) as error:
            self._drop()
            raise GuestError(f"memory of {pages:,} pages cannot be had: {error}") from None
        self.view = memoryview(self._map)
        self._words = self.view.cast("Q")
        first = ctypes.c_char.from_buffer(self._map)
        self.address = ctypes.addressof(first)
        del first  # while it lives, the mapping cannot be closed

    @classmethod
    def adopt(cls, descriptor: int) -> Self:
        """The memory that a descriptor from another process stands for; it belongs to this memory from now on.

        :raises GuestError: it is none that stays as large as it is, so that its pages could vanish while we read them.
        """
        try:
            size, seals = os.fstat(descriptor).st_size, fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError as error:
            os.close(descriptor)
            raise GuestError(f"the descriptor is not that of a guest's memory: {error.strerror}") from None
        if size % PAGE or seals & _SEALS != _SEALS:
            os.close(descriptor)
            raise GuestError(f"a guest's memory is whole pages of a fixed size; this one has {size:,} bytes")
        return cls(size // PAGE, descriptor=descriptor)

    def _shared(self, pages: int) -> mmap.mmap:
        if self.descriptor < 0:
            self.descriptor = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self.descriptor, pages * PAGE)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return mmap.mmap(self.descriptor, pages * PAGE)

    def populated(self) -> int:
        """The set of frames that may have contents.  All others are holes."""
        found = _present(self.address, self.pages) if self.descriptor < 0 else _data(self.descriptor, self.pages)
        return of_runs(found, self.pages)

    def filled(self, frames: int) -> int:
        """Those of these frames that have a byte other than 0.  Holes among them become pages: leave them out."""
        found: list[tuple[int, int]] = []
        for first, count in sets.runs(frames):
            for at in range(first, first + count, _BLOCK):
                self._filled(at, min(_BLOCK, first + count - at), found)
        return of_runs(found, self.pages)

    def _filled(self, first: int, count: int, found: list[tuple[int, int]]) -> None:
        """Adds the runs of frames that have contents, of at most a block."""
        start = self.address + first * PAGE
        if not _memcmp(start, _zeros, count * PAGE):
            return
        # Where the first word is not 0, as in most pages that have contents, there is nothing to compare.
        words = self._words[first * _WORDS : (first + count) * _WORDS : _WORDS].tolist()
        if all(words):
            found.append((first, count))
            return
        for number, word in enumerate(words):
            if word or _memcmp(start + number * PAGE, _zeros, PAGE):
                found.append((first + number, 1))

    def clear(self, frames: int) -> None:
        """Make holes of these frames."""
        how = mmap.MADV_DONTNEED if self.descriptor < 0 else mmap.MADV_REMOVE
        for first, count in sets.runs(frames):
            self._map.madvise(how, first * PAGE, count * PAGE)

    def populate(self) -> None:
        """Make pages of all holes, here and now.  Raises GuestError if there are not so many."""
        try:
            self._map.madvise(_POPULATE)
        except OSError as error:
            if error.errno != errno.EINVAL:  # which a kernel without it says (before Linux 5.14)
                raise GuestError(f"memory of {self.pages:,} pages cannot be had: {error.strerror}") from None
            for place in range(0, self.pages * PAGE, PAGE):
                self.view[place] = self.view[place]

    def digest(self) -> str:
        """A hash of all contents: the same whether zeros are holes or pages."""
        found = hashlib.sha256(self.pages.to_bytes(8, "little"))
        for first, count in sets.runs(self.filled(self.populated())):
            found.update(first.to_bytes(8, "little") + count.to_bytes(8, "little"))
            found.update(self.view[first * PAGE : (first + count) * PAGE])
        return found.hexdigest()

    def close(self) -> None:
        """Give it back.  Never raises, and may come again; what still looks at it keeps it until it is gone."""
        try:
            self._words.release()
            self.view.release()
            self._map.close()
        except BufferError:
            pass
        self._drop()

    def _drop(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _private(pages: int) -> mmap.mmap:
    found = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    try:
        found.madvise(mmap.MADV_HUGEPAGE)
    except OSError:  # a kernel without huge pages: slower, and the same otherwise
        pass
    return found


def of_runs(runs: Iterable[tuple[int, int]], pages: int) -> int:
    """The set of the frames in these runs, first frame and count each, all below `pages`."""
    bitmap = bytearray((pages + 7) // 8)
    for first, count in runs:
        stop = first + count
        low, high = first >> 3, stop >> 3
        if low == high:
            bitmap[low] |= ((1 << count) - 1) << (first & 7)
            continue
        bitmap[low] |= 0xFF << (first & 7) & 0xFF
        if high - low > 1:
            bitmap[low + 1 : high] = _FULL * (high - low - 1)
        if stop & 7:
            bitmap[high] |= (1 << (stop & 7)) - 1
    return int.from_bytes(bitmap, "little")


def _data(descriptor: int, pages: int) -> Iterator[tuple[int, int]]:
    """The runs of pages of a memory file that are not holes: lseek(2), SEEK_DATA and SEEK_HOLE."""
    at, end = 0, pages * PAGE
    while at < end:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start // PAGE, (at - start) // PAGE


def _present(address: int, pages: int) -> Iterator[tuple[int, int]]:
    """The runs of pages of private memory that are in memory or swapped out: /proc/PID/pagemap, 8 bytes a page.

    mincore(2) would take pages that are swapped out for holes.
    """
    descriptor = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for base in range(0, pages, _AT_ONCE):
            count = min(_AT_ONCE, pages - base)
            entries = os.pread(descriptor, count * 8, (address // PAGE + base) * 8)
            there = entries[7::8].translate(_THERE)
            start = there.find(b"\1")
            while start >= 0:
                stop = there.find(b"\0", start)
                stop = count if stop < 0 else stop
                yield base + start, stop - start
                start = there.find(b"\1", stop)
    finally:
        os.close(descriptor)
