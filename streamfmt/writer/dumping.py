"""Streams written down as recipes, part by part: what `spelling` reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..schema import libxc
from ..schema.decode import layouts
from ..schema.encode import Buffer, FieldError
from . import memory
from .parts import HEADERS, Part
from .recipes import FORMAT, Recipe

# What comes again and again, a few octets at a time.
_AGAIN = re.compile(rb"(?s)(\0|.{1,32}?)\1{11,}")
# Lists of numbers longer than this are told by ranges.
_MANY = 64
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TOML_MOST = (1 << 63) - 1
_FRAME = (1 << 52) - 1
_NAMES = {row.code: row.name for row in libxc.PAGE_TYPES}
# Pages by rule, for those who look at a recipe.
_RULES = ("zero", "pfn", "octet")


def dump(recipe: Recipe) -> str:
    """A recipe that makes the same stream: its parts one by one.  Raises FieldError."""
    lines = [head(recipe.form, recipe.mode, deep=recipe.deep, about=recipe.about)]
    lines += [text(part) for part in recipe.stream] or ["part = []\n"]
    if recipe.stream.big:
        lines.append(f"[[fault]]\nbig_endian = {value(sorted(recipe.stream.big))}\n")
    if recipe.stream.cut is not None:
        lines.append(f"[[fault]]\ncut = {recipe.stream.cut}\n")
    return "\n".join(lines)


def head(form: str = "auto", mode: str = "auto", *, deep: bool = False, about: str = "") -> str:
    """What a recipe of parts begins with."""
    keys = {"recipe": FORMAT, "about": about, "form": form, "mode": mode, "deep": deep}
    plain = {"about": "", "form": "auto", "mode": "auto", "deep": False}
    return "".join(f"{key} = {value(it)}\n" for key, it in keys.items() if it != plain.get(key))


def text(part: Part) -> str:
    """One part as a table of a recipe."""
    return "[[part]]\n" + "".join(f"{key} = {it}\n" for key, it in keys(part))


def keys(part: Part) -> Iterator[tuple[str, str]]:
    """The keys of a part's table and what stands behind them."""
    if not part.path:
        yield "raw", octets(part.octets or b"")
    else:
        short = _short(part)
        if short is not None:
            yield from short
        else:
            yield ("header" if part.path in HEADERS else "record"), value(part.path)
            if part.octets is not None:
                yield "octets", octets(part.octets)
            elif part.values:
                yield "fields", value(_plain(part))
    if part.patches:
        yield "set", value(dict(part.patches))
    if part.code is not None:
        yield "type", value(part.code)
    if part.claim is not None:
        yield "length", value(part.claim)
    if part.padding is not None:
        yield "padding", octets(part.padding)
    if part.fill:
        yield "zeros", value(part.fill)


def _plain(part: Part) -> dict[str, Any]:
    """Field values, page entries by what they say."""
    values = dict(part.values)
    if part.path == "libxc.PAGE_DATA" and "entries" in values:
        values["entries"] = [_entry(it) if isinstance(it, int) else it for it in values["entries"]]
    return values


def _entry(entry: int) -> dict[str, Any]:
    kind = entry >> 60
    found: dict[str, Any] = {"type": _NAMES.get(kind, kind), "pfn": entry & _FRAME}
    return found | ({"reserved": entry >> 52 & 0xFF} if entry >> 52 & 0xFF else {})


def _short(part: Part) -> list[tuple[str, str]] | None:
    """PAGE_DATA whose pages follow a rule, in short."""
    if part.path != "libxc.PAGE_DATA" or part.octets is not None or part.values.keys() != {"entries", "pages"}:
        return None
    entries = part.values["entries"]
    pages = [page for buffer in part.values["pages"] for page in _pages(buffer)]
    if not all(isinstance(it, int) and it >> 60 in _NAMES and not it >> 52 & 0xFF for it in entries):
        return None
    filled = [it & _FRAME for it in entries if _NAMES[it >> 60] in memory.DATA]
    if len(filled) != len(pages):
        return None
    shown = frames(entries)
    for name in _RULES if pages else ("octet",):
        made = memory.fill(name)
        if all(page == made(pfn) for page, pfn in zip(pages, filled, strict=True)):
            return [("pages", value(shown)), *([("fill", value(name))] if name != "octet" else [])]
    return None


def _pages(buffer: Buffer) -> Iterator[bytes]:
    for at in range(0, len(buffer), libxc.PAGE_SIZE):
        yield bytes(buffer[at : at + libxc.PAGE_SIZE])


def frames(entries: Iterable[int]) -> str:
    """Page entries as `memory.frames` reads them."""
    found = []
    for first, last in runs(entries):
        name = _NAMES[first >> 60]
        shown = _run(first & _FRAME, last & _FRAME)
        found.append(shown if name == "NOTAB" else f"{shown} {name}")
    return ", ".join(found)


# -- TOML -----------------------------------------------------------------------------------------------------


def value(it: Any) -> str:
    """A value in TOML, on one line."""
    if isinstance(it, bool):
        return "true" if it else "false"
    if isinstance(it, int):
        return str(it) if -_TOML_MOST <= it <= _TOML_MOST else f'"{it:#x}"'
    if isinstance(it, str):
        return _quoted(it)
    if isinstance(it, (bytes, bytearray, memoryview)):
        return octets(it)
    if isinstance(it, Mapping):
        inner = ", ".join(f"{_key(name)} = {value(each)}" for name, each in it.items())
        return f"{{ {inner} }}" if inner else "{}"
    if len(it) > _MANY and all(type(each) is int for each in it):
        return _quoted(", ".join(_run(*run) for run in runs(it)))
    return f"[{', '.join(map(value, it))}]"


def runs(numbers: Iterable[int]) -> list[list[int]]:
    """First and last of numbers that follow one another."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _run(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def octets(it: Buffer) -> str:
    """Octets in TOML: text where that is plain, else hexadecimal; what comes again and again is told once."""
    data = bytes(it)
    pieces = []
    at = 0
    for run in _AGAIN.finditer(data):
        pieces += [_piece(data[at : run.start()])] if at < run.start() else []
        pieces.append(_piece(run[1], len(run[0]) // len(run[1])))
        at = run.end()
    if at < len(data) or not pieces:
        pieces.append(_piece(data[at:]))
    return pieces[0] if len(pieces) == 1 else f"[{', '.join(pieces)}]"


def _piece(data: bytes, times: int = 1) -> str:
    if not any(data) and data:
        return f"{{ zeros = {len(data) * times} }}"
    plain = all(0x20 <= octet < 0x7F for octet in data)
    if plain and times == 1:
        return _quoted(data.decode())
    told = f"text = {_quoted(data.decode())}" if plain else f'hex = "{data.hex()}"'
    return f"{{ {told}" + (f", times = {times} }}" if times > 1 else " }")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(it if " " <= it != "\x7f" else f"\\u{ord(it):04x}" for it in escaped) + '"'


# -- from octets ----------------------------------------------------------------------------------------------


def part_of_body(path: str, body: bytes, order: str, **rest: Any) -> Part:
    """A part of these octets, told by its fields if these make the same."""
    from ..schema.decode import LayoutError, whole

    layout = layouts().get(path)
    if layout is not None:
        try:
            values = whole(layout, body, order)
            if path == "libxc.PAGE_DATA":
                words = [it["type"] << 60 | it["reserved"] << 52 | it["pfn"] for it in values["entries"]]
                values = {"entries": words, "pages": values["pages"]} | (
                    {"reserved": values["reserved"]} if values["reserved"] else {}
                )
            part = Part(path, values, **rest)
            if part.body(order) == body:
                return part
        except (LayoutError, FieldError):
            pass  # its octets tell it
    return Part(path, octets=body, **rest)
