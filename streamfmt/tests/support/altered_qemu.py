"""Streams of QEMU for `altered_streams`: something of everything that their schemas have, built from fields by name.

Nothing of the package is imported before it is used: the process may have another schema by then.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

# A machine type of which nothing is known but that all of its memory is in one piece.
_MACHINE = b"none"
# Memory of which some is at 4 GiB on every machine type that puts it there.
_LARGE = 5 << 30


def examples() -> Iterator[tuple[str, bytes]]:
    """All of them, by name."""
    from ...writer import Draft

    for name, made in _streams():
        yield name, Draft(tuple(made)).render()


def _streams() -> Iterator[tuple[str, Iterator[Any]]]:
    from ...schema import qemu_addresses, qemu_multifd
    from ...writer import qemu as parts
    from ...writer import vfio

    yield "record", iter(parts.device_record(_devices()))
    yield "record-footers", iter(parts.device_record(_devices(), footers=True))
    yield "migration", _migration()
    yield "zeros", _zeros()
    yield "blocks", _blocks()
    yield "word", _meaningless()
    yield "xen", _migration(footers=False)
    yield "live", _live()
    yield "commands", _commands()
    yield "advised", iter((*parts.opening(None), _command("POSTCOPY_ADVISE", min), *_end(1)))
    for shared in (False, True):
        yield f"compressed-{shared}", _compressed(shared)
        yield f"post-copy-{shared}", _postcopy(shared)
        yield f"mapped-{shared}", _mapped(shared)
    for name, (major, minor), *_ in qemu_addresses.LOW_MEMORY:
        for version in ((major, minor), *([(major - 1, 9)] if major else [])):
            yield f"memory-{name.decode()}{version[0]}", _large(name + b"%d.%d" % version)
    for machine in qemu_addresses.ONE_PIECE:
        yield "memory-one", _large(machine, qemu_addresses.RAM)
    for method in qemu_multifd.METHODS:
        yield f"channel-{method}", _channel(method)
    state = vfio.packet(0, b"state")
    yield "channel-state", iter((parts.channel(1), parts.device_packet("0000:00:04.0/vfio", state, 1)))


def _devices() -> list[Any]:
    from ...writer.qemu import Device

    return [Device("timer", b"T" * 9, 2), Device("0000:00:02.0/vga", b"", 1), Device("i8259", b"PIC", 1, 1)]


def _word(page: int, **values: Any) -> dict[str, Any]:
    return {"word.page": page, **values}


def _page(byte: int) -> bytes:
    from ...schema.qemu_stream import PAGE_SIZE

    return bytes((byte,)) * PAGE_SIZE


def _end(first: int, footers: bool = True, long: int = 0) -> Iterator[Any]:
    from ...writer import qemu as parts

    rows = [*_devices(), *([parts.Device("long", b"L" * long)] if long else [])]
    yield from parts.devices(first, rows, footers)
    yield parts.frame("EOF")
    yield parts.description(rows)


def _migration(footers: bool = True) -> Iterator[Any]:
    """Pages that are whole, zero and changed, of two blocks: of the first so many that they come in several records."""
    from ...schema import qemu_stream as schema
    from ...writer import qemu as parts

    many = 2 * schema.PAGES_MOST + 1
    yield from parts.opening(_MACHINE)
    yield from parts.memory("SECTION_START", 1, parts.blocks({"pc.ram": many + 4, "rom": 1}), footers)
    zeros = [*range(1, 3), many + 3, *range(many, many + 3)]
    words = (
        parts.page_of("pc.ram", 0, _page(1)),
        parts.pages({page: _page(page % 256) for page in range(3, many)}),
        parts.zeros(zeros),
        parts.zero_of("rom"),
        parts.frame("RAM_FLUSH", **_word(0)),
    )
    yield from parts.memory("SECTION_PART", 1, words, footers)
    changes = b"\0\1c"
    again = (
        parts.frame("RAM_XBZRLE_OF", name=b"pc.ram", **_word(0, changes=changes)),
        parts.frame("RAM_XBZRLE", pages=[_word(1, changes=changes), _word(2, changes=changes)]),
        parts.frame("RAM_HOOK", **_word(0)),
    )
    yield from parts.memory("SECTION_END", 1, again, footers)
    yield from _end(2, footers)


def _zeros() -> Iterator[Any]:
    """More zero pages in a row than a record has."""
    from ...schema import qemu_stream as schema
    from ...writer import qemu as parts

    count = schema.WORDS_MOST + 2
    yield from parts.opening(_MACHINE)
    yield from parts.memory("SECTION_START", 1, parts.blocks({"ram": count}))
    yield from parts.memory("SECTION_END", 1, (parts.zero_of("ram"), parts.zeros(range(1, count))))
    yield parts.frame("EOF")


def _live() -> Iterator[Any]:
    """A section that is sent in parts, and one so long that it is several records."""
    from ...schema import qemu_stream as schema
    from ...writer import qemu as parts

    yield from parts.opening(_MACHINE)
    yield parts.subsection(schema.UUID, bytes(schema.CONFIGURATIONS[schema.UUID] or 0))
    yield parts.subsection(schema.BITS, schema.PAGE_BITS.to_bytes(schema.CONFIGURATIONS[schema.BITS] or 0, "big"))
    yield from parts.begin(1, parts.Device("dirty-bitmap", b"begin"))
    yield from parts.part(1, b"more")
    yield from parts.part(1, b"end", last=True)
    yield from _end(2, long=schema.PIECE + 9)


def _command(name: str, length: Callable[[Iterable[int]], int] = max) -> Any:
    """A command with as much data as it may have, zeros, or as little."""
    from ...schema import qemu_stream as schema
    from ...writer import qemu as parts

    return parts.command(name, bytes(length(schema.COMMAND_LENGTHS[schema.COMMANDS[name]])))


def _commands() -> Iterator[Any]:
    """Each command that has nothing to do with post-copy."""
    from ...writer import qemu as parts

    yield from parts.opening(None)
    for name in ("OPEN_RETURN_PATH", "PING", "ENABLE_COLO", "POSTCOPY_RESUME", "SWITCHOVER_START"):
        yield _command(name)
    yield parts.command("RECV_BITMAP", b"\3ram")
    yield from _end(1)


def _compressed(shared: bool) -> Iterator[Any]:
    """Compressed pages; of shared memory blocks have an address, and one of them no pages."""
    from ...schema import qemu_stream as schema
    from ...writer import qemu as parts

    data = [zlib.compress(_page(page)) for page in range(4)]
    yield from parts.opening(_MACHINE, [schema.IGNORE_SHARED] if shared else [])
    sizes = {"ram": 4, "shared": 1} if shared else {"ram": 4}
    listed = parts.blocks(sizes, "RAM_BLOCK_AT", address=1 << 20) if shared else parts.blocks(sizes)
    yield from parts.memory("SECTION_START", 1, listed)
    words = (
        parts.frame("RAM_COMPRESSED_OF", name=b"ram", **_word(0, data=data[0])),
        parts.frame("RAM_COMPRESSED", pages=[_word(page, data=data[page]) for page in range(1, 4)]),
    )
    yield from parts.memory("SECTION_END", 1, words)
    yield from _end(2)


def _postcopy(shared: bool) -> Iterator[Any]:
    """What ends in post-copy, with its devices in a package, and large pages."""
    from ...schema import qemu_stream as schema
    from ...writer import qemu as parts

    yield from parts.opening(_MACHINE, [schema.IGNORE_SHARED] if shared else [])
    yield _command("POSTCOPY_ADVISE")
    at = {"address": 0} if shared else {}
    kinds: tuple[tuple[str, dict[str, int]], ...] = ("RAM_BLOCK", {}), ("RAM_BLOCK_SIZED", {"page_size": 2 << 20})
    entries = [
        [*parts.blocks({name: 1}, f"{kind}{'_AT' if shared else ''}", **more, **at)]
        for name, (kind, more) in zip(("ram", "huge"), kinds, strict=True)
    ]
    total = replace(entries[0][0], values=_word(2))
    words = (parts.zero_of("ram"), parts.page_of("huge", 0, _page(1)))
    yield from parts.memory("SECTION_START", 1, (total, *(row[1] for row in entries)))
    yield from parts.memory("SECTION_PART", 1, words)
    yield parts.command("POSTCOPY_RAM_DISCARD", b"\0\3ram\0" + bytes(16))
    package = (_command("POSTCOPY_LISTEN"), *parts.devices(2, _devices()), _command("POSTCOPY_RUN"))
    size = sum(part.extent for part in package)
    yield parts.command("PACKAGED", size.to_bytes(*schema.COMMAND_LENGTHS[schema.COMMANDS["PACKAGED"]], "big"))
    yield from package
    yield from parts.memory("SECTION_END", 1, words)
    yield parts.frame("EOF")


def _mapped(shared: bool) -> Iterator[Any]:
    """A file in which pages have places of their own."""
    from ...schema import qemu_stream as schema
    from ...writer import qemu as parts

    names = [schema.IGNORE_SHARED] if shared else []
    begin = [*parts.opening(_MACHINE, [*names, schema.MAPPED_RAM])]
    values = {"version": 1, "page_size": schema.PAGE_SIZE, "bitmap_offset": 0, "pages_offset": 0}
    kind = f"RAM_BLOCK_MAPPED{'_AT' if shared else ''}"
    total, block = parts.blocks({"ram": 2}, kind, **values, **({"address": 0} if shared else {}))
    head, *rest = parts.memory("SECTION_START", 1, ())
    bitmap = sum(part.extent for part in (*begin, head, total, replace(block, values={**block.values, "bitmap": b""})))
    pages, hole = bitmap + 8, 5
    yield from (*begin, head, total)
    places = {"bitmap": b"\3" + bytes(7), "bitmap_offset": bitmap, "pages_offset": pages + hole}
    yield replace(block, values={**block.values, **places})
    yield parts.frame("RAM_MAPPED_PAGES", pages=bytes(hole) + _page(1) + _page(2))
    yield from rest
    yield from parts.memory("SECTION_END", 1, ())
    yield from _end(2)


def _blocks() -> Iterator[Any]:
    """One block more than are read, each a page."""
    from ...schema import qemu_stream as schema
    from ...writer import Draft, raw
    from ...writer import qemu as parts

    count, name = schema.BLOCKS_MAX + 1, b"#####"
    one = Draft((parts.frame("RAM_BLOCK", name=name, length=schema.PAGE_SIZE),)).render()
    every = b"".join(one.replace(name, b"%05d" % number) for number in range(count))
    yield from parts.opening(_MACHINE)
    yield from parts.memory("SECTION_START", 1, (parts.frame("RAM_TOTAL", **_word(count)), raw(every)))


def _meaningless() -> Iterator[Any]:
    """A word whose flags mean nothing together."""
    from ...schema import qemu_stream as schema
    from ...writer import qemu as parts

    word = parts.frame("RAM_WORD", **_word(0, **{"word.flags": schema.ZERO | schema.PAGE}))
    yield from parts.opening(_MACHINE)
    yield from parts.memory("SECTION_START", 1, (*parts.blocks({"ram": 1}), word))


def _large(machine: bytes, ram: bytes = b"") -> Iterator[Any]:
    """The beginning of a large guest's memory, with pages near each place from which it may go on at 4 GiB."""
    from ...schema import qemu_addresses, qemu_stream
    from ...writer import qemu as parts

    size = qemu_stream.PAGE_SIZE
    ends = sorted({end // size for *_, end in qemu_addresses.LOW_MEMORY if end < _LARGE})
    name = (ram or b"pc" + qemu_addresses.RAM_END).decode()
    yield from parts.opening(machine)
    yield from parts.memory("SECTION_START", 1, parts.blocks({"rom": 1, name: _LARGE // size, "x.ran": 1}))
    words = (parts.zero_of("rom"), parts.zero_of(name), parts.zeros([page for end in ends for page in (end - 1, end)]))
    yield from parts.memory("SECTION_END", 1, words)
    yield parts.frame("EOF")


def _channel(method: int) -> Iterator[Any]:
    """Packets of a channel: pages that are sent by a method, zero pages, and a place to wait."""
    from ...schema import qemu_multifd as schema
    from ...schema.qemu_stream import PAGE_SIZE
    from ...writer import qemu as parts

    content = _page(1) + _page(2)
    packed = schema.METHODS[method] in ("zlib", "zstd")
    data = parts.packing(method)(content) if packed else content[: len(content) // 9] if method else content
    yield parts.channel(2, b"uuid")
    places = [page * PAGE_SIZE for page in (5, 6, 9)]
    yield parts.packet(1, "pc.ram", places, 1, data, method=method)
    yield parts.packet(2, "pc.ram", places[:2], 2, method=method, sync=True)
    yield parts.packet(3, sync=True)
