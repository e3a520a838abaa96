"""What is done to mapped memory by the C library, as nothing of Python's is as fast."""

from __future__ import annotations

import ctypes

from .. import tables
from . import frames

PAGE = tables.PAGE_SIZE

_libc = ctypes.CDLL(None)
_memcmp = _libc.memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_memcmp.restype = ctypes.c_int
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
# Write access to each page of a range, without writing (madvise(2), MADV_POPULATE_WRITE).
_POPULATE = 23


def zero_pages(memory: memoryview) -> int:
    """The set of pages in it that are zeros, counted from its beginning.

    The C library's comparison stops at the first difference, and no view of Python's compares as fast: a page is
    compared to itself, one byte further on.
    """
    count = len(memory) // PAGE
    candidates = frames.of((at for at, byte in enumerate(bytes(memory[::PAGE])) if not byte), count)
    if not candidates:
        return frames.NONE
    address = _address(memory)
    found = frames.NONE
    for first, many in frames.runs(candidates):
        place, size = address + first * PAGE, many * PAGE
        if not _memcmp(place, place + 1, size - 1):
            found |= frames.run(first, many)
        elif many > 1:
            for page in range(first, first + many):
                place = address + page * PAGE
                if not _memcmp(place, place + 1, PAGE - 1):
                    found |= 1 << page
    return found


def populate(memory: memoryview) -> None:
    """Map all pages of it for writing in one go: a fault for each would take several times as long.

    It is whole pages.  A kernel that cannot (before Linux 5.14) leaves it to the faults.
    """
    _libc.madvise(_address(memory), len(memory), _POPULATE)


def _address(memory: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
