"""What the C library finds in mapped memory, as nothing of Python's is as fast."""

from __future__ import annotations

import ctypes

from .. import tables
from . import frames

PAGE = tables.PAGE_SIZE

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_memcmp.restype = ctypes.c_int


def zero_pages(memory: memoryview) -> int:
    """The set of pages in it that are zeros, counted from its beginning.

    The C library's comparison stops at the first difference, and no view of Python's compares as fast: a page is
    compared to itself, one byte further on.
    """
    count = len(memory) // PAGE
    candidates = frames.of((at for at, byte in enumerate(bytes(memory[::PAGE])) if not byte), count)
    if not candidates:
        return frames.NONE
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
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
