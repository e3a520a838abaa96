"""The files that a guest's memory is written to: raw, an ELF core, LiME.

Each says where the memory of a range begins in the file, and what stands before it.
"""

from __future__ import annotations

from struct import Struct

from ..errors import LimitError
from . import ELF, LIME, RAW
from .frames import PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    # First and number of the frames of each range, each time it is called: there may be millions.
    Ranges: TypeAlias = Callable[[], Iterator[tuple[int, int]]]
    # What stands at the beginning of the file, in pieces; then of each range the offset of its memory in the file, and
    # what stands just before that; and the size of the file.
    Shape: TypeAlias = tuple[Iterator[bytes], Iterator[tuple[int, bytes]], int]

# A raw file is as long as the highest frame: one that is longer than so many frames, and so many times those there are,
# is no memory of a guest, but a claim.  A guest's largest hole is that below 4 GiB.
_RAW_FRAMES, _RAW_TIMES = 4 << 20, 16
# struct lime_mem_range_header of LiME's format of version 1: addresses of the first byte and of the last.
_LIME = Struct("<IIQQQ")
_LIME_MAGIC, _LIME_VERSION = 0x4C694D45, 1
# ELF-64: Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr.
_EHDR, _PHDR, _SHDR = Struct("<16sHHIQQQIHHHHHH"), Struct("<IIQQQQQQ"), Struct("<IIQQQQIIQQ")
_IDENT = b"\x7fELF\x02\x01\x01"
_ET_CORE, _EM_X86_64, _PT_LOAD, _PT_NOTE, _RWX = 4, 62, 1, 4, 7
# With as many program headers or more, their number stands in a section header.
_PN_XNUM = 0xFFFF


def shape(kind: str, ranges: Ranges, notes: bytes = b"") -> Shape:
    """How a file of that kind looks that has these ranges of frames.  Raises LimitError."""
    return _SHAPES[kind](ranges, notes)


def _raw(ranges: Ranges, notes: bytes) -> Shape:
    frames = last = 0
    for first, count in ranges():
        frames += count
        last = first + count
    most = _RAW_FRAMES + _RAW_TIMES * frames
    if last > most:
        what = "frames up to the highest, as many as a raw file has (another kind of file has only those there are)"
        raise LimitError(0, what, last, most)
    return iter(()), ((first * PAGE, b"") for first, _ in ranges()), last * PAGE


def _lime(ranges: Ranges, notes: bytes) -> Shape:
    def each() -> Iterator[tuple[int, bytes]]:
        at = 0
        for first, count in ranges():
            at += _LIME.size
            address = first * PAGE
            yield at, _LIME.pack(_LIME_MAGIC, _LIME_VERSION, address, address + count * PAGE - 1, 0)
            at += count * PAGE

    return iter(()), each(), sum(_LIME.size + count * PAGE for _, count in ranges())


def _elf(ranges: Ranges, notes: bytes) -> Shape:
    segments, size = int(bool(notes)), 0
    for _, count in ranges():
        segments += 1
        size += count * PAGE
    many = segments >= _PN_XNUM
    headers = _EHDR.size + _SHDR.size * many
    at = headers + _PHDR.size * segments
    start = -(-(at + len(notes)) // PAGE) * PAGE
    number, shoff, shnum = (_PN_XNUM, _EHDR.size, 1) if many else (segments, 0, 0)
    sizes = _EHDR.size, _PHDR.size, number, _SHDR.size if many else 0, shnum, 0

    def head() -> Iterator[bytes]:
        yield _EHDR.pack(_IDENT, _ET_CORE, _EM_X86_64, 1, 0, headers, shoff, 0, *sizes)
        if many:
            yield _SHDR.pack(0, 0, 0, 0, 0, shnum, 0, segments, 0, 0)
        if notes:
            yield _PHDR.pack(_PT_NOTE, 0, at, 0, 0, len(notes), 0, 4)
        place = start
        for first, count in ranges():
            yield _PHDR.pack(_PT_LOAD, _RWX, place, 0, first * PAGE, count * PAGE, count * PAGE, PAGE)
            place += count * PAGE
        yield notes

    def places() -> Iterator[tuple[int, bytes]]:
        place = start
        for _, count in ranges():
            yield place, b""
            place += count * PAGE

    return head(), places(), start + size


_SHAPES = {RAW: _raw, ELF: _elf, LIME: _lime}
