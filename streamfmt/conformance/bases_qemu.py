"""Good streams of QEMU for judging us by real QEMU, and the machines that load them: `SETUPS`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from zlib import compress

from ..corpus import entries
from ..recipes.from_stream import from_bytes
from ..recipes.load import load
from ..schema import qemu_stream as schema
from ..writer import Draft, Part
from ..writer import qemu as parts
from .qemu import Setup

_UUID = "00112233-4455-6677-8899-aabbccddeeff"
# The memory of machines here, in pages; and machines of which every release has the same.
PAGES = 256
_NONE = ("-M", "none", "-m", "1M")
_PC = "pc-i440fx-5.2"
_BARE = ("-global", "migration.send-configuration=off")
_XEN = (*_BARE, *["-global", "migration.send-section-footer=off", "-global", "migration.store-global-state=off"])

# By what a case calls its guest.
SETUPS = {
    "none": Setup(_NONE),
    "shared": Setup((*_NONE, "-uuid", _UUID), ("x-ignore-shared", "validate-uuid")),
    "postcopy": Setup(_NONE, ("postcopy-ram",)),
    "compressed": Setup(_NONE, ("compress",), until=(9, 1)),
    "mapped": Setup(_NONE, ("mapped-ram",), mapped=True, since=(9, 0)),
    "pc": Setup(("-M", _PC, "-m", "32M", *_BARE)),
    "xen": Setup(("-M", f"{_PC},suppress-vmdesc=on", "-m", "32M", *_XEN)),
}
_PAGE = schema.PAGE_SIZE
# What is in a page that has something.
DATA = bytes(range(256)) * (_PAGE // 256)


def real(name: str) -> Draft:
    """A stream that QEMU has written, in parts."""
    path = entries.folder() / entries.REAL / f"qemu-{name}.bin.gz"
    return load(from_bytes(entries.unpacked(path))[0]).stream


def _without(stream: Draft, *paths: str) -> Draft:
    return replace(stream, parts=tuple(part for part in stream if part.path not in paths))


def _from(stream: Draft, path: str) -> tuple[Part, ...]:
    """The parts from the first of that path on."""
    return stream.parts[stream.find(path) :]


def _words(none: Draft) -> Draft:
    """Memory sent in all ways that all releases take."""
    changes = [{"word.page": page, "changes": b"\1\2\x55\xaa"} for page in (4, 10)]
    inside = (
        parts.zero_of("ram"),
        parts.zeros(range(1, 10)),
        parts.pages({10: DATA, 12: DATA, 11: bytes(_PAGE)}),
        parts.zeros(range(13, PAGES)),
    )
    again = (
        parts.page_of("ram", 3, DATA),
        parts.frame("RAM_XBZRLE_OF", name=b"ram", **{"word.page": 3}, changes=b"\0\1\x83"),
        parts.frame("RAM_XBZRLE", pages=changes),
    )
    return _of_memory(none, inside, again)


def _compressed(none: Draft) -> Draft:
    """Memory sent as older releases send it on demand."""
    small = compress(DATA)
    inside = (
        parts.zero_of("ram"),
        parts.zeros(range(1, 10)),
        parts.frame("RAM_COMPRESSED", pages=[{"word.page": page, "data": small} for page in (10, 11)]),
        parts.zeros(range(12, PAGES)),
    )
    again = (parts.frame("RAM_COMPRESSED_OF", name=b"ram", **{"word.page": 3}, data=small),)
    return _of_memory(none, inside, again)


def _alone(none: Draft) -> Draft:
    """A migration whose pages went elsewhere."""
    return _of_memory(none, *[(parts.frame("RAM_FLUSH", **{"word.page": 0}),)] * 2)


def _of_memory(none: Draft, inside: tuple[Part, ...], again: tuple[Part, ...]) -> Draft:
    """A migration with these pages, and some once more at its end."""
    return Draft(
        (
            *parts.opening(b"none"),
            *parts.memory("SECTION_START", 2, parts.blocks({"ram": PAGES})),
            *parts.memory("SECTION_PART", 2, inside),
            *parts.memory("SECTION_END", 2, again),
            *_from(_without(none, "qemu.VMDESCRIPTION"), "qemu.SECTION_FULL"),
        )
    )


def _commanded(none: Draft) -> Draft:
    """Devices in a package, by an open way back."""
    devices = [part for part in _from(none, "qemu.SECTION_FULL") if part.path != "qemu.VMDESCRIPTION"]
    begin = none.parts[: none.find("qemu.SECTION_START")]
    memory = none.parts[none.find("qemu.SECTION_START") : none.find("qemu.SECTION_FULL")]
    size = sum(part.extent for part in devices)
    return Draft(
        (
            *begin,
            parts.command("OPEN_RETURN_PATH"),
            parts.command("PING", b"\0\0\0\1"),
            *memory,
            parts.command("PACKAGED", size.to_bytes(4, "big")),
            *devices,
            parts.frame("EOF"),
        )
    )


def _advised(none: Draft) -> Draft:
    """A migration that may end by post-copy, and does not."""
    at = none.find("qemu.SECTION_START")
    announced = (parts.command("OPEN_RETURN_PATH"), parts.command("POSTCOPY_ADVISE", _PAGE.to_bytes(8, "big") * 2))
    rest = (part for part in none.parts[at:] if part.path != "qemu.VMDESCRIPTION")
    return Draft((*none.parts[:at], *announced, *rest))


def _postcopied(none: Draft) -> Draft:
    """A migration that ends by post-copy: a page that was sent is given up, and comes again."""
    advised = _advised(none)
    first, last = (advised.find(f"qemu.SECTION_{name}") for name in ("END", "FULL"))
    package = (parts.command("POSTCOPY_LISTEN"), *advised.parts[last:-1], parts.command("POSTCOPY_RUN"))
    return Draft(
        (
            *advised.parts[:first],
            parts.command("POSTCOPY_RAM_DISCARD", discarded()),
            parts.command("PACKAGED", sum(part.extent for part in package).to_bytes(4, "big")),
            *package,
            parts.frame("SECTION_PART", section_id=2, payload=b""),
            parts.page_of("ram", 0, bytes(_PAGE)),
            parts.frame("RAM_EOS", **{"word.page": 0}),
            *parts.footer(2),
            *advised.parts[first:last],
            parts.frame("EOF"),
        )
    )


def discarded(name: bytes = b"ram", version: int = 0) -> bytes:
    """What a command says that gives up the first page of a block."""
    return b"%c%c%s\0" % (version, len(name), name) + bytes(8) + _PAGE.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class Base:
    """A good stream that things are done to, by these families, and the name of the setup that loads it.

    Fields are set in parts of which the path begins with `about`.
    """

    stream: Draft
    setup: str
    families: str
    about: str = ""


@cache
def bases() -> dict[str, Base]:
    """The good streams, by name."""
    none, pc = real("mig-none-1M-5.2"), real("dm-pc-5.2")
    shared = _without(real("mig-none-1M-uuid-ignshared-11.1"), "qemu.COMMAND", "qemu.VMDESCRIPTION")
    return {
        "none": Base(none, "none", "field order pair cut insert section flip empty"),
        "words": Base(_words(none), "none", "field order pair cut word content", "qemu.RAM_"),
        # Releases do not survive being set up like this for what they refuse before its memory.
        "compressed": Base(_compressed(none), "compressed", "field content", "qemu.RAM_COMPRESSED"),
        "multifd": Base(_alone(none), "none", "order"),
        "package": Base(_commanded(none), "none", "order cut pack"),
        # Nothing is done to this one: what goes wrong once the guest runs there few releases survive.
        "postcopy": Base(_postcopied(none), "postcopy", ""),
        "advised": Base(_advised(none), "postcopy", "announce"),
        "shared": Base(shared, "shared", "configure order"),
        "mapped": Base(real("mapped-none-1M-11.1"), "mapped", "place rename"),
        "pc": Base(pc, "pc", "order pair section head"),
        "xen": Base(_without(pc, "qemu.SECTION_FOOTER"), "xen", "section cut"),
    }
