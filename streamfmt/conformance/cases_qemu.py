"""Streams of QEMU, each a good one with one thing done to it, for judging us by real QEMU: as `cases` has it for Xen.

Of each part every field takes its boundary values; parts are left out, doubled, moved and mixed with others; bytes
have bits turned, in headers and in what devices have to say; sections are longer or shorter; streams are cut; pages
come as what is none.  What a QEMU is known not to survive is not in the set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from typing import Any
from zlib import crc32

from .. import tables
from ..corpus import entries
from ..schema import qemu_stream as schema
from ..writer import Draft, raw
from ..writer import qemu as parts
from .bases_qemu import PAGES, bases, discarded
from .cases import Case, cuts, field_values, order
from .families_qemu import contents, emptied, packed, put, renamed

FORM = "qemu"
# Commands after which some releases wait for what never comes.
_AWAITED = ("ENABLE_COLO",)
# A length that no release tries to get memory for.
_BELIEVED = 1 << 20
_PAGE = schema.PAGE_SIZE


# -- families ---------------------------------------------------------------------------------------------------------


_FRAMES = {
    **{f"type {kind:#x}": raw(bytes((kind,))) for kind in (5, 6, 7, 9, 0x7D, 0x7E, 0xFF)},
    "EOF": parts.frame("EOF"),
    "another CONFIGURATION": parts.frame("CONFIGURATION", machine=b"none"),
    "a footer": parts.frame("SECTION_FOOTER", section_id=2),
    **{
        f"{name} of {size}": parts.command(name, bytes(size))
        for name in schema.COMMANDS
        if name not in _AWAITED
        for size in (0, 4, 16)
    },
    **{f"command {code}": parts.frame("COMMAND", command=code, data=b"") for code in (0, 12, 13, 0x63, 0xFFFF)},
}
_WORDS = {
    f"word {flags:#x}": parts.frame("RAM_WORD", **{"word.page": 0, "word.flags": flags})
    for flags in (*(1 << bit for bit in range(12)), 0, 0xA, 0x12, 0x18, 0x21, 0x24, 0x30, 0x820, 0xFFF)
}


def _inserted(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Other frames between those that there are."""
    for path in ("qemu.SECTION_START", "qemu.SECTION_FULL", "qemu.EOF"):
        for word, new in _FRAMES.items():
            yield f"{word} before {path}", put(stream, stream.find(path), new)


def _word(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Other words between those about pages."""
    for path in ("qemu.RAM_TOTAL", "qemu.RAM_ZERO", "qemu.RAM_PAGE", "qemu.RAM_XBZRLE", "qemu.RAM_EOS"):
        for word, new in _WORDS.items():
            yield f"{word} before {path}", put(stream, stream.find(path), new)


def _sections(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Sections of other devices, versions and lengths."""
    for at, part in enumerate(stream.parts):
        if part.path != "qemu.SECTION_FULL":
            continue
        values = part.values
        idstr = bytes(values["idstr"])
        payload = bytes(part.body(">"))[len(idstr) + 13 :]
        other = {
            "a version more": {"version_id": values["version_id"] + 1},
            "version 0": {"version_id": 0},
            "another instance": {"instance_id": values["instance_id"] + 7},
            "another name": {"idstr": idstr + b"?"},
            "a shorter name": {"idstr": idstr[1:]},
            "a byte more": {"payload": payload + b"\0"},
            "a byte less": {"payload": payload[:-1]},
            "a byte first": {"payload": b"\0" + payload},
        }
        for word, row in other.items():
            new = replace(part, values={**values, **row})
            if new.values != values:
                yield f"{at} {idstr.decode()} with {word}", put(stream, at, new, drop=1)


def _paired(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Whole sections left out, doubled and late, each with its footer; and more of the memory after its end."""
    last = stream.find("qemu.EOF")
    for at, part in enumerate(stream.parts):
        pair = stream.parts[at : at + 2]
        if part.path == "qemu.SECTION_FULL" and pair[1].path == "qemu.SECTION_FOOTER":
            rest = put(stream, at, drop=2)
            yield f"without {at} and its footer", rest
            yield f"twice {at} and its footer", put(stream, at, *pair)
            yield f"{at} and its footer last", put(rest, last - 2, *pair)
        if part.path == "qemu.SECTION_END":
            more = (type(part)("qemu.SECTION_PART", {"section_id": part.values["section_id"], "payload": b""}),)
            section = (*more, parts.frame("RAM_EOS", **{"word.page": 0}), *parts.footer(part.values["section_id"]))
            yield f"more of the memory after {at}", put(stream, stream.find("qemu.SECTION_FULL"), *section)
            yield f"without {at}", put(stream, at, drop=3)


def _configured(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Other parts of the configuration."""
    for at, part in enumerate(stream.parts):
        if part.path == "qemu.SUBSECTION":
            size = len(part.body(">")) - len(bytes(part.values["name"])) - 5
            other: dict[str, dict[str, Any]] = {
                "version 2": {"version_id": 2},
                "version 0": {"version_id": 0},
                "another name": {"name": bytes(part.values["name"]) + b"?"},
                "other content": {"payload": b"\0\0\0\1" + bytes(size - 4)},
            }
            for word, row in other.items():
                yield f"{at} with {word}", put(stream, at, type(part)(part.path, {**part.values, **row}), drop=1)


def _announced(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Commands of post-copy where none is due, short of those after which it begins."""
    new = {
        "ADVISE": parts.command("POSTCOPY_ADVISE", _PAGE.to_bytes(8, "big") * 2),
        "ADVISE of other pages": parts.command("POSTCOPY_ADVISE", bytes(16)),
        "RUN": parts.command("POSTCOPY_RUN"),
        "DISCARD of another block": parts.command("POSTCOPY_RAM_DISCARD", discarded(b"rum")),
        "DISCARD of another version": parts.command("POSTCOPY_RAM_DISCARD", discarded(version=1)),
        "RESUME": parts.command("POSTCOPY_RESUME"),
    }
    for path in ("qemu.COMMAND", "qemu.SECTION_START", "qemu.SECTION_END"):
        for word, part in new.items():
            yield f"{word} before {path}", put(stream, stream.find(path), part)
    at = stream.find("qemu.SECTION_START") - 1
    for word, part in new.items():
        yield f"{word} for ADVISE", put(stream, at, part, drop=1)


def _placed(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Other places of pages in a file."""
    path = "qemu.RAM_BLOCK_MAPPED"
    values = stream.part(path).values
    bitmap, pages = int(values["bitmap_offset"]), int(values["pages_offset"])
    other = {
        "version": (0, 2),
        "page_size": (_PAGE - 1, 2 * _PAGE),
        "bitmap_offset": (0, 1 << 40),
        "pages_offset": (0, bitmap, pages + 1, pages + _PAGE, 1 << 40),
        "length": (0, _PAGE, (PAGES + 1) * _PAGE),
    }
    for field, row in other.items():
        for value in row:
            yield f"{field} {value:#x}", stream.patch(path, field, value)


def _turned(stream: Draft, places: range) -> Iterator[tuple[str, Draft]]:
    data = stream.render()
    for at in places:
        bit = (0, 6, 3, 1, 7)[at % 5]
        yield f"bit {bit} of {at:#x}", Draft((raw(data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]),))


def _flips(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Bits of a small stream, but for most of those of zero pages."""
    offsets = dict(zip((part.path for part in stream), stream.offsets(), strict=False))
    start, stop = offsets["qemu.RAM_ZERO"] + 18, offsets["qemu.SECTION_END"]
    yield from _turned(stream, range(12, start))
    yield from _turned(stream, range(stop, offsets.get("qemu.VMDESCRIPTION", stream.size)))


def _heads(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Bits of the headers of all sections."""
    for part, at in zip(stream, stream.offsets(), strict=False):
        if part.path == "qemu.SECTION_FULL":
            yield from _turned(stream, range(at, at + 14 + len(part.values["idstr"]), 5))


_FAMILIES: dict[str, Callable[[Draft], Iterator[tuple[str, Draft]]]] = {
    "field": field_values,
    "order": lambda stream: order(stream, False, ()),
    "move": lambda stream: order(stream, True, ()),
    "cut": cuts,
    "insert": _inserted,
    "word": _word,
    "section": _sections,
    "flip": _flips,
    "head": _heads,
    "place": _placed,
    "content": contents,
    "pack": packed,
    "rename": renamed,
    "empty": emptied,
    "announce": _announced,
    "pair": _paired,
    "configure": _configured,
}


def _survived(data: bytes) -> bool:
    """Whether all releases are known to survive it: none gets memory for a claim, or waits for what never comes."""
    stop = tables.SIZES["qemu.header"] + 1
    for mark, size in ((data[:stop], 4), (schema.CAPABILITIES + b"\0\0\0\1", 4)):
        at = data.find(mark) + len(mark)
        if at >= len(mark) and int.from_bytes(data[at : at + size], "big") > _BELIEVED:
            return False
    return not any(b"\x08" + schema.COMMANDS[name].to_bytes(2, "big") + b"\0\0" in data for name in _AWAITED)


def from_corpus() -> Iterator[Case]:
    """The corpus's small streams, which are of machines that none of these loaders is."""
    for name in entries.names():
        for entry in entries.collection(name):
            stream = entry.recipe.stream
            if stream.form == FORM and stream.size < _BELIEVED:
                yield Case(f"{entry.collection} {entry.kind} {entry.name}", stream, FORM, "none", "plain")


def made() -> Iterator[Case]:
    """All that is made, of which none has been rendered yet; some are alike."""
    for name, base in bases().items():
        yield Case(f"{name}: as it is", base.stream, FORM, base.setup)
        for family in base.families.split():
            for what, changed in _FAMILIES[family](base.stream):
                if family != "field" or what.startswith(base.about):
                    yield Case(f"{name}: {what}", changed, FORM, base.setup)
    yield from from_corpus()


def sample(every: int) -> tuple[Case, ...]:
    """Of what is made each so many-th, spread over all, but for what some release may not survive."""
    found = (case for case in made() if not crc32(case.name.encode()) % every)
    return tuple(case for case in found if case.data and _survived(case.data))


@cache
def cases_qemu() -> tuple[Case, ...]:
    """All of them, each once."""
    found: dict[bytes, Case] = {}
    for case in made():
        if case.data and _survived(case.data):
            found.setdefault(blake2b(f"{case.guest} ".encode() + case.data).digest(), case)
    return tuple(found.values())
