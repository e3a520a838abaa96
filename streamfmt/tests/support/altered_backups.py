"""Backups whose every field counts, for comparing what two schemas make of them.

None is built by the schema, which only reads them; what is of the package is imported when it is used (see
`altered_streams`).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import Any

from . import backups

BLOCK = 512
# Links, devices, folders and FIFOs, of whose size there is no content.
_EMPTY = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
# As GNU tar writes numbers that octal digits do not have room for.
_BINARY = b"\x80" + bytes(7)


def _binary(number: int) -> bytes:
    return _BINARY + number.to_bytes(4, "big")


def _member(content: bytes, change: dict[int, bytes]) -> bytes:
    """A member of GNU's format, with some of its header's bytes changed."""
    archive = backups.tar({"x": content}, tarfile.GNU_FORMAT)
    return backups.with_sum(archive[:BLOCK], change) + backups.padded(content)


def _octal(*numbers: int) -> bytes:
    return b"".join(b"%011o\0" % number for number in numbers)


def _sparse(stream: bytes) -> bytes:
    """A file with so many holes that their map needs a header and two blocks more."""
    stream = backups.padded(stream)
    pairs = [(0, len(stream)), *((len(stream) + 2 * BLOCK * place, BLOCK) for place in range(1, 27))]
    whole = pairs[-1][0] + BLOCK
    numbers = [_octal(*pair) for pair in pairs]
    more = b"".join(numbers[4:25]) + b"\1" + bytes(7) + b"".join(numbers[25:]).ljust(BLOCK, b"\0")
    change = {156: b"S", 386: b"".join(numbers[:4]), 482: b"\1", 483: _binary(whole)}
    content = stream + b"x" * BLOCK * (len(pairs) - 1)
    return _member(content, change)[:BLOCK] + more + content


def _tars(stream: bytes) -> Iterator[tuple[str, bytes]]:
    named = {0: b"n" * 100}
    yield "long name", _member(stream, named)
    yield "prefix", _member(stream, named | {257: b"ustar\00000", 345: b"p" * 155 + b"p"})
    yield "binary size", _member(stream, {124: _binary(len(stream))})
    yield "sparse", _sparse(stream)
    yield "gnu", backups.tar({"n" * 300: stream}, tarfile.GNU_FORMAT)
    yield "long link", _member(b"l" * 300, {156: b"K"}) + _member(stream, {})
    yield "pax", backups.tar({"n" * 300: stream}, tarfile.PAX_FORMAT)
    text = b"18 path=of all it\n"
    yield "pax of all", _member(text, {156: b"g"}) + _member(stream, {})
    for kind in _EMPTY:
        yield f"empty {kind.decode()}", _member(b"", {124: _octal(BLOCK), 156: kind}) + _member(stream, {})


def _vhds(stream: bytes) -> Iterator[tuple[str, bytes]]:
    disk = backups.padded(stream)
    yield "vhd", backups.dynamic(disk)
    # The table, which begins with a block that is not there, is right after the header.
    yield "vhd with holes", backups.dynamic(bytes(8 << 10) + disk)
    yield "differencing vhd", backups.footer(1 << 20, 4, BLOCK) + backups.header(1, 1 << 20, 3 * BLOCK, "C:\\base.vhd")
    broken = bytearray(backups.dynamic(disk))
    broken[100] ^= 1
    yield "vhd with one footer", bytes(broken)


def examples(stream: bytes) -> dict[str, bytes]:
    """All of them, with that stream in it."""
    return dict((*_tars(stream), *_vhds(stream)))


def opened(raw: bytes) -> list[Any]:
    """The images in a backup, and what is wrong with it; the error's type if the reader fails on another schema."""
    from ...api import identify
    from ...io.backups import Backup
    from ...io.spans import FileSpan

    fd = os.memfd_create("backup")
    found: list[Any] = []
    try:
        os.write(fd, raw)
        backup = Backup()
        for image in backup.within(FileSpan(fd, 0, len(raw))):
            content = image.span.read(0, 1 << 20)
            found.append((image.path, image.offset, image.words, content, identify(content).key))
        found.append((backup.members, backup.remarks))
    except Exception as error:  # it may fail in any way
        found.append((type(error).__name__, str(error)))
    finally:
        os.close(fd)
    return found
