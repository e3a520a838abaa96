"""Families of what is done to good streams of QEMU: other packages, names and contents of pages, and no memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from zlib import compress

from ..writer import Draft, Part
from ..writer import qemu as parts
from .bases_qemu import DATA


def put(stream: Draft, at: int, *new: Part, drop: int = 0) -> Draft:
    """With other parts there, in the place of so many."""
    return replace(stream, parts=(*stream.parts[:at], *new, *stream.parts[at + drop :]))


def packed(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Other packages: of nothing, without an end, in one another, and with more after their end."""
    ping, eof = parts.command("PING", bytes(4)), parts.frame("EOF")
    one = parts.command("PACKAGED", b"\0\0\0\1")
    for word, size, frames in (
        ("nothing", 0, ()),
        ("EOF", 1, (eof,)),
        ("a PING and EOF", 10, (ping, eof)),
        ("EOF and a PING", 10, (eof, ping)),
        ("a PING", 9, (ping,)),
        ("a part of a PING", 8, (ping,)),
        ("a package", 10, (one, eof)),
        ("a package without its frames", 9, (one,)),
    ):
        package = (parts.command("PACKAGED", size.to_bytes(4, "big")), *frames)
        yield f"a package of {word}", put(stream, stream.find("qemu.SECTION_START"), *package)


def renamed(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Other names of the memory's section."""
    for name in (b"raM", b"ra", b"rams"):
        at = stream.find("qemu.SECTION_START")
        part = stream.parts[at]
        new = replace(part, values={**part.values, "idstr": name})
        yield f"a section {name.decode()}", put(stream, at, new, drop=1)


def emptied(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """No word about any page, with and without the command after which the guest goes on."""
    left = Draft(tuple(part for part in stream.parts if not part.path.startswith(("qemu.RAM_ZERO", "qemu.RAM_PAGE"))))
    yield "no page", left
    switch = parts.command("SWITCHOVER_START")
    yield "no page, and SWITCHOVER_START", put(left, left.find("qemu.SECTION_START"), switch)


# What may be no page's changes, and not what zlib makes of a page.
_PACKED = {
    "changes": {
        "nothing": b"",
        "all of it": b"\xff\x1f\1\7",
        "a change of nothing": b"\0\0\1",
        "two changes in a row": b"\0\1\7\0\1\7",
        "a change that goes too far": b"\xff\x1f\2\1\2",
        "what stays too far": b"\x81\x20\1\2",
        "the end too early": b"\0\5\1\2",
        "an end in a number": b"\0\1\7\1",
        "a long number": b"\x80\x80\1\1",
    },
    "data": {
        "nothing": b"",
        "no zlib": b"no zlib",
        "no end": compress(DATA)[:-1],
        "a wrong sum": compress(DATA)[:-1] + b"?",
        "a byte too many": compress(DATA + b"\1"),
        "a byte too few": compress(DATA[1:]),
        "a byte after it": compress(DATA) + b"?",
        "stored": compress(DATA, 0),
    },
}


def contents(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Other things in the place of a page's changes, and of what a page was compressed to."""
    for at, part in enumerate(stream.parts):
        for field in _PACKED if part.path.startswith(("qemu.RAM_XBZRLE", "qemu.RAM_COMPRESSED")) else ():
            first, *rest = part.values.get("pages", (part.values,))
            for what, data in _PACKED[field].items() if field in first else ():
                row = {**first, field: data}
                new = type(part)(part.path, {"pages": [row, *rest]} if "pages" in part.values else row)
                yield f"{part.path} {what}", put(stream, at, new, drop=1)
