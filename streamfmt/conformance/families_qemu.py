"""Families of what is done to good streams of QEMU: other packages, other names, and no memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..writer import Draft, Part
from ..writer import qemu as parts


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
