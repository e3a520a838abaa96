"""How the clauses of QEMU's streams are broken of which fields and order rules do not say it all."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from ..schema import qemu_stream as schema
from ..writer import Draft, Part, unknown
from ..writer import qemu as parts
from ..writer.qemu import Device
from .conforming import made
from .edits import Fault, after_end, at, nth, of, rotated, to, truncated
from .sample import Sample

Values = Callable[[st.DrawFn, Part], dict[str, Any]]
_ANY = made(("qemu",), clean=True)


def _having(*names: str, kind: str = "") -> st.SearchStrategy[Sample]:
    """Streams that have these records, of a kind that may have another."""
    paths = [f"qemu.{name}" for name in names]
    need = [*paths, *([f"qemu.{kind}"] if kind else [])]
    found = made(("qemu",), having=paths, need=need, clean=True)
    return found.filter(lambda sample: set(paths) <= sample.stream.paths)


def _put(name: str, values: Values, *more: str, kind: str = "") -> Fault:
    """With other values in one of the records."""
    path = f"qemu.{name}"

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        number = of(stream, path)[nth(draw, stream, path)]
        part = stream.parts[number]
        yield at(stream, number, replace(part, values={**part.values, **values(draw, part)}), drop=1)

    return to(_having(name, *more, kind=kind), edit)


def _patched(name: str, field: str, values: st.SearchStrategy[int]) -> Fault:
    """With another number in a field of one of the records."""
    path = f"qemu.{name}"

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        yield stream.patch(path, field, draw(values), nth(draw, stream, path))

    return to(_having(name), edit)


def _inserted(make: Callable[[st.DrawFn], list[Part]], *before: str) -> Fault:
    """With more parts before one of these records."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        for number in rotated(draw, of(stream, *(f"qemu.{name}" for name in before))):
            yield at(stream, number, *make(draw))

    return to(_having(*before), edit)


def _without(*names: str, kind: str) -> Fault:
    """Without any of these records."""
    paths = [f"qemu.{name}" for name in names]

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        yield replace(stream, parts=tuple(part for part in stream if part.path not in paths))

    return to(_having("RAM_EOS", kind=kind), edit)


# -- edits ------------------------------------------------------------------------------------------------------------


def _renumbered(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """A part of a section that has not begun, with its footer."""
    kinds = ("qemu.SECTION_PART", "qemu.SECTION_END")
    for number in rotated(draw, of(stream, *kinds)):
        other = draw(st.integers(1000, 9999))
        found = stream
        for place in (number, number + 1):
            part = found.parts[place]
            if "section_id" in part.values:
                found = at(found, place, replace(part, values={**part.values, "section_id": other}), drop=1)
        yield found


def _after_end(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """The end of a section, and then more of it."""
    for number in rotated(draw, of(stream, "qemu.SECTION_END")):
        part = stream.parts[number]
        rest = [parts.frame("RAM_EOS", **{"word.page": 0})]
        stop = number + 1
        while stop < len(stream.parts) and stream.parts[stop].path.startswith("qemu.RAM_"):
            stop += 1
        memory = rest if stop > number + 1 else []
        footer = stream.parts[stop : stop + 1] if stream.parts[stop].path == "qemu.SECTION_FOOTER" else ()
        again = replace(part, values={**part.values, "payload": b"" if memory else b"\1"})
        yield at(stream, stop + len(footer), again, *memory, *footer)


def _other_footer(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """A footer with another number, or none."""
    for number in rotated(draw, of(stream, "qemu.SECTION_FOOTER")[1:]):
        part = stream.parts[number]
        yield at(stream, number, replace(part, values={"section_id": draw(st.integers(1000, 9999))}), drop=1)


def _by_descriptor(_: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """Without words about pages, and where the guest is said to go on at the receiver."""
    left = tuple(part for part in stream if part.path not in (*_PAGES, "qemu.RAM_FLUSH"))
    yield at(replace(stream, parts=left), of(stream, "qemu.SECTION_START")[0], parts.command("SWITCHOVER_START"))


def _twice(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """Two sections of one device."""
    rows = [Device("timer", bytes(24), 2), Device("timer", bytes(24), 2)]
    yield Draft((*parts.device_record(rows, draw(st.booleans())),))


def _ping(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    number = of(stream, "qemu.EOF")[-1]
    yield at(stream, number, parts.command("PING", draw(st.binary(min_size=4, max_size=4))))


def _state(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    number = of(stream, "qemu.EOF")[-1]
    name = draw(st.sampled_from(("POSTCOPY_LISTEN", "POSTCOPY_RUN")))
    yield at(stream, number, parts.command(name))


def _package(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    number = of(stream, "qemu.EOF")[-1]
    ping, eof = parts.command("PING", bytes(4)), parts.frame("EOF")
    more = [ping] * draw(st.integers(1, 3))
    before = [] if _opens(stream) else [parts.command("OPEN_RETURN_PATH")]
    yield at(stream, number, *before, _packaged(ping, eof, *more), ping, eof, *more)


def _packaged(*frames: Part, wrong: int = 0) -> Part:
    """The command before a package of these frames, by so many bytes wrong about them."""
    return parts.command("PACKAGED", (sum(part.extent for part in frames) + wrong).to_bytes(4, "big"))


def _bad_package(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With a package of nothing, one that nothing ends, and one in another."""
    number = of(stream, "qemu.EOF")[-1]
    ping, eof = parts.command("PING", bytes(4)), parts.frame("EOF")
    before = [] if _opens(stream) else [parts.command("OPEN_RETURN_PATH")]
    inner = _packaged(eof)
    rows = (
        [_packaged()],
        [_packaged(ping), ping],
        [_packaged(ping, ping, wrong=-draw(st.integers(1, 8))), ping, ping],
        [_packaged(inner, eof), inner, eof],
    )
    yield at(stream, number, *before, *draw(st.sampled_from(rows)))


def _no_block(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With a command that asks for the bitmap of a block that is not there, or of no name."""
    number = of(stream, "qemu.EOF")[-1]
    data = draw(st.sampled_from((b"", b"\0", b"\4none", b"\3no", b"\2none")))
    yield at(stream, number, parts.command("RECV_BITMAP", data))


def _opens(stream: Draft) -> bool:
    code = schema.COMMANDS["OPEN_RETURN_PATH"]
    names = ("OPEN_RETURN_PATH", code)
    return any(part.path == "qemu.COMMAND" and part.values.get("command") in names for part in stream)


def _postcopy(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With the commands that start the guest, once the memory has been announced."""
    number = of(stream, "qemu.EOF")[-1]
    yield at(stream, number, parts.command("POSTCOPY_LISTEN"), parts.command("POSTCOPY_RUN"))


def _described(text: Callable[[st.DrawFn, bytes], bytes]) -> Fault:
    return _put("VMDESCRIPTION", lambda draw, part: {"text": text(draw, bytes(part.values["text"]))})


def _cut_description(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    number = stream.find("qemu.VMDESCRIPTION")
    first, last = stream.offsets()[number : number + 2]
    yield replace(stream, cut=draw(st.integers(first + 1, last - 1)))


def _pages(name: str, field: str, values: st.SearchStrategy[Any]) -> Fault:
    """With another value in the first page of a row, or of a word that names its block."""
    place = field if name.endswith("_OF") else f"pages[0].{field}"
    return _patched(name, place, values)


def _longer(name: str, field: str, size: int) -> Fault:
    """With more of what follows a word than a page could need."""

    def values(draw: st.DrawFn, part: Part) -> dict[str, Any]:
        data = bytes(size)
        if name.endswith("_OF"):
            return {field: data}
        return {"pages": [{**part.values["pages"][0], field: data}]}

    return _put(name, values)


def _packed(name: str, field: str, contents: st.SearchStrategy[bytes]) -> Fault:
    """With another content of a page that is not sent as it is; only --deep sees it."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        values: dict[str, Any] = {field: draw(contents)}
        part = stream.part(f"qemu.{name}")
        if not name.endswith("_OF"):
            values = {"pages": [{**part.values["pages"][0], **values}]}
        yield stream.put(f"qemu.{name}", **values)

    return to(_having(name), edit, deep=True)


def _among_places(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With a word of pages, or for channels, before the end of the memory."""
    name = stream.part("qemu.RAM_BLOCK_MAPPED").values["name"].decode()
    words = (parts.zero_of(name), parts.page_of(name, 0, bytes(4096)), parts.frame("RAM_FLUSH", **{"word.page": 0}))
    yield stream.before("qemu.RAM_EOS", draw(st.sampled_from(words)), nth=-1)


def _to_others(draw: st.DrawFn, part: Part) -> dict[str, Any]:
    return {"name": bytes(part.values["name"]) + b"?"}


def _bare(sample: Sample) -> Sample:
    """Without the description, which may be cut."""
    rest = tuple(part for part in sample.stream if part.path != "qemu.VMDESCRIPTION")
    return replace(sample, stream=replace(sample.stream, parts=rest))


def _configured(sample: Sample) -> bool:
    """Whether shared memory is left out, and the first part of the configuration says so."""
    paths = sample.stream.paths
    return "qemu.SUBSECTION" in paths and "qemu.RAM_BLOCK_MAPPED_AT" not in paths


# Words that bring pages.
_PAGES = tuple(f"qemu.RAM_{name}" for name in ("ZERO", "ZERO_OF", "PAGE", "PAGE_OF", "XBZRLE", "XBZRLE_OF"))
_FAR = st.integers(1000, (1 << 52) - 1)
_ONE = (0x002, 0x004, 0x008, 0x010, 0x040, 0x080, 0x100, 0x200)
_FLAGS = st.integers(0, 0xFFF).filter(lambda flags: flags & ~schema.CONTINUE not in _ONE)

# Changes: none that change, none that stay after others, too far, cut, and a number of three bytes.
_CHANGES = st.sampled_from((b"\0\0\1", b"\0\1\7\0\1\7", b"\xff\x1f\2\1\2", b"\0\5\1\2", b"\x80\x80\1\1"))
_ZLIB = st.sampled_from((b"no zlib", zlib.compress(bytes(4096))[:-1], zlib.compress(bytes(4097))))
_PARTS = st.sampled_from((zlib.compress(bytes(4095)), zlib.compress(bytes(4096)) + b"?"))

FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "QEMU-TRUNC": truncated(_having("VMDESCRIPTION", "RAM_EOS").map(_bare), "qemu"),
    "QEMU-AFTER": to(_ANY, after_end),
    "QEMU-SEC-TYPE": _inserted(lambda draw: [unknown("qemu", draw(st.integers(9, 0x7D)))], "RAM_TOTAL", "SECTION_END"),
    "QEMU-SUB-KNOWN": _put("SUBSECTION", lambda draw, _: {"name": b"configuration/" + draw(st.binary(max_size=9))}),
    "QEMU-SUB-VERSION": _put("SUBSECTION", lambda draw, _: {"version_id": draw(st.integers(2, 9))}),
    "QEMU-CFG-CAPS": to(
        made(("qemu",), having=("qemu.SUBSECTION",), need=("qemu.SUBSECTION", "qemu.RAM_BLOCK_AT"), clean=True).filter(
            _configured
        ),
        lambda draw, stream: iter(
            [
                stream.swap(
                    "qemu.SUBSECTION",
                    [*parts.opening(b"", (schema.IGNORE_SHARED, draw(st.binary(min_size=1, max_size=9))))][-1],
                )
            ]
        ),
    ),
    "QEMU-SEC-IDSTR": _put("SECTION_START", lambda draw, _: {"idstr": b""}, kind="SECTION_DATA"),
    "QEMU-SEC-ID": to(_having("SECTION_DATA"), _renumbered),
    "QEMU-SEC-ORDER": to(_having("SECTION_END"), _after_end),
    "QEMU-SEC-DUP": to(_ANY, _twice),
    "QEMU-FTR-MATCH": to(_having("SECTION_FOOTER", "RAM_EOS"), _other_footer),
    "QEMU-RAM-VERSION": _put(
        "SECTION_START", lambda draw, _: {"version_id": draw(st.sampled_from((0, 3, 5)))}, "RAM_TOTAL"
    ),
    "QEMU-RAM-COMBO": _inserted(
        lambda draw: [parts.frame("RAM_WORD", **{"word.page": 0, "word.flags": draw(_FLAGS)})], "RAM_EOS"
    ),
    "QEMU-RAM-BLOCK": (_put("RAM_ZERO_OF", _to_others), _put("RAM_PAGE_OF", _to_others)),
    "QEMU-RAM-SUM": _put(
        "RAM_BLOCK", lambda draw, part: {"length": part.values["length"] + 4096 * draw(st.integers(9, 99))}
    ),
    "QEMU-RAM-CONT-FIRST": to(
        _having("RAM_XBZRLE"),
        lambda _, stream: iter(
            [replace(stream, parts=tuple(part for part in stream if not part.path.endswith("_OF")))]
        ),
    ),
    "QEMU-RAM-CONT-ALONE": (
        *(
            _patched(f"RAM_{name}", "word.flags", st.just(getattr(schema, name) | schema.CONTINUE))
            for name in ("EOS", "TOTAL", "FLUSH")
        ),
    ),
    "QEMU-RAM-RANGE": (
        *(_pages(name, "word.page", _FAR) for name in ("RAM_ZERO", "RAM_PAGE", "RAM_XBZRLE")),
        *(_pages(name, "word.page", _FAR) for name in ("RAM_ZERO_OF", "RAM_PAGE_OF", "RAM_COMPRESSED")),
    ),
    "QEMU-RAM-FILL": tuple(_pages(name, "fill", st.integers(1, 255)) for name in ("RAM_ZERO", "RAM_ZERO_OF")),
    "QEMU-RAM-XBZRLE": (
        *(_pages(name, "encoding", st.integers(2, 255)) for name in ("RAM_XBZRLE", "RAM_XBZRLE_OF")),
        _longer("RAM_XBZRLE", "changes", 4097),
    ),
    "QEMU-RAM-COMPRESSED": (
        _longer("RAM_COMPRESSED_OF", "data", 4111),
        _longer("RAM_COMPRESSED", "data", 0),
        _pages("RAM_COMPRESSED", "length", st.integers(1 << 20, (1 << 32) - 1)),
    ),
    "QEMU-RAM-CHANGES": tuple(_packed(name, "changes", _CHANGES) for name in ("RAM_XBZRLE", "RAM_XBZRLE_OF")),
    "QEMU-RAM-ZLIB": tuple(_packed(name, "data", _ZLIB) for name in ("RAM_COMPRESSED", "RAM_COMPRESSED_OF")),
    "QEMU-RAM-ZLIB-PAGE": tuple(_packed(name, "data", _PARTS) for name in ("RAM_COMPRESSED", "RAM_COMPRESSED_OF")),
    "QEMU-RAM-HOOK": _inserted(lambda draw: [parts.frame("RAM_HOOK", **{"word.page": 0})], "RAM_EOS"),
    "QEMU-RAM-COVER": _without("RAM_ZERO", "RAM_ZERO_OF", "RAM_PAGE", "RAM_PAGE_OF", kind="RAM_BLOCK_SIZED"),
    "QEMU-MFD-ALONE": to(
        _having("RAM_FLUSH"),
        lambda _, stream: iter([replace(stream, parts=tuple(part for part in stream if part.path not in _PAGES))]),
    ),
    "QEMU-CPR-ALONE": to(_having("RAM_FLUSH"), _by_descriptor),
    "QEMU-POSTCOPY": to(_having("COMMAND", kind="RAM_BLOCK_SIZED"), _postcopy),
    "QEMU-CMD-RANGE": _patched("COMMAND", "command", st.integers(12, 0xFFFF)),
    "QEMU-CMD-LEN": _put("COMMAND", lambda draw, part: {"data": bytes(draw(st.sampled_from((1, 2, 3, 5))))}),
    "QEMU-CMD-PING-RP": to(_having("RAM_XBZRLE"), _ping),
    "QEMU-CMD-STATE": to(_having("RAM_XBZRLE"), _state),
    "QEMU-CMD-PACKAGED": to(_having("RAM_XBZRLE"), _package),
    "QEMU-CMD-PACKAGE": to(_having("RAM_XBZRLE"), _bad_package),
    "QEMU-CMD-BLOCK": to(_having("RAM_XBZRLE"), _no_block),
    "QEMU-DESC-OPT": (
        _described(lambda draw, text: text[: draw(st.integers(0, len(text) - 1))]),
        to(_having("VMDESCRIPTION"), _cut_description),
    ),
    "QEMU-DESC-SECTIONS": _put(
        "SECTION_FULL", lambda draw, part: {"version_id": part.values["version_id"] + 1}, "VMDESCRIPTION"
    ),
    "QEMU-MAP-VERSION": _put("RAM_BLOCK_MAPPED", lambda draw, _: {"version": draw(st.integers(2, 9))}),
    "QEMU-MAP-PAGE": _put("RAM_BLOCK_MAPPED", lambda draw, _: {"page_size": draw(st.sampled_from((2048, 8192)))}),
    "QEMU-MAP-RAM": _put("SECTION_START", lambda draw, _: {"idstr": draw(st.sampled_from((b"ra", b"rAm", b"\0ram")))}),
    "QEMU-MAP-WORDS": to(_having("RAM_BLOCK_MAPPED"), _among_places),
    "QEMU-MAP-PLACE": _put(
        "RAM_BLOCK_MAPPED", lambda draw, part: {"pages_offset": draw(st.integers(1, part.values["bitmap_offset"]))}
    ),
}
