"""Streams written down as recipes, part by part: what `parse` reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..codec.content import Buffer, Content, Made, joined, pieces
from ..schema import libxc
from ..writer.entries import IMAGE, SHAPES, Shape
from ..writer.part import HEADERS, Part
from . import memory
from .load import FORMAT, Recipe
from .parse import AROUND

# How long what a page repeats may be.
_PERIODS = (1, 2, 4, 8)
# What comes again and again, a few bytes at a time.
_PERIOD, _TIMES = 32, 12
_AGAIN = re.compile(rb"(?s)(\0|.{1,%d}?)\1{%d,}" % (_PERIOD, _TIMES - 1))
# Quotes that would end a text of several lines, or stand at its end.
_QUOTES = re.compile(r'"(?=""|\Z)')
# Tables in a row from which on each has a line of its own.
_ROWS = 2
# Lists of numbers longer than this are written as ranges.
_MANY = 64
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TOML_MOST = (1 << 63) - 1
# Rules that contents may follow, those first that say most.
_RULES = ("zero", "pfn", "byte", "random")
# A part of which nothing is said but what it is.
_BARE_PART = Part("")


def dump(recipe: Recipe) -> str:
    """A recipe that makes the same stream: its parts one by one.  Raises FieldError."""
    lines = [
        head(recipe.form, recipe.mode, deep=recipe.deep, about=recipe.about, broken=recipe.faults, target=recipe.target)
    ]
    lines += [text(part) for part in recipe.stream] or ["part = []\n"]
    if recipe.stream.big:
        lines.append(f"[[fault]]\nbig_endian = {value(sorted(recipe.stream.big))}\n")
    if recipe.stream.cut is not None:
        lines.append(f"[[fault]]\ncut = {recipe.stream.cut}\n")
    return "\n".join(lines)


def head(
    form: str = "auto",
    mode: str = "auto",
    *,
    deep: bool = False,
    about: str = "",
    broken: bool = False,
    target: str = "",
) -> str:
    """What a recipe of parts begins with."""
    keys = {
        "recipe": FORMAT,
        "about": about,
        "form": form,
        "mode": mode,
        "deep": deep,
        "target": target,
        "broken": broken,
    }
    plain = {"about": "", "form": "auto", "mode": "auto", "deep": False, "target": "", "broken": False}
    return "".join(f"{key} = {value(it)}\n" for key, it in keys.items() if it != plain.get(key))


def text(part: Part, keys: Iterable[tuple[str, str]] | None = None, note: str = "") -> str:
    """One part as a table of a recipe: `keys`, if given, stand for its body."""
    rows = [*(body_of(part) if keys is None else keys), *_around(part)]
    return (f"# {note}\n" if note else "") + "[[part]]\n" + "".join(f"{key} = {it}\n" for key, it in rows)


def body_of(part: Part) -> list[tuple[str, str]]:
    """The keys of what a part is, and their values."""
    if not part.path:
        return [("raw", data(part.data or b""))]
    short = _short(part)
    if short is not None:
        return short
    fields = [("fields", value(_plain(part)))] if part.data is None and part.values else []
    return [("header" if part.path in HEADERS else "record", value(part.path)), *fields]


def _around(part: Part) -> Iterator[tuple[str, str]]:
    """What is said of a part beyond its fields."""
    for key, (name, _) in AROUND.items():
        it = getattr(part, name)
        if it != getattr(_BARE_PART, name) and (part.path or key != "bytes"):
            yield key, value(dict(it) if key == "set" else it)


def _plain(part: Part) -> dict[str, Any]:
    """Field values, page entries by what they say."""
    values = dict(part.values)
    shape = SHAPES.get(part.path)
    if shape is not None and "entries" in values:
        values["entries"] = [shape.values(it) if isinstance(it, int) else it for it in values["entries"]]
    return values


def _short(part: Part) -> list[tuple[str, str]] | None:
    """A record of pages that breaks no rule of its own, in short."""
    shape = SHAPES.get(part.path)
    if shape is None or part.data is not None or part.values.keys() != {"entries", "pages"}:
        return None
    entries = part.values["entries"]
    if not all(isinstance(it, int) for it in entries) or not shape.plain(entries):
        return None
    filled = shape.with_contents(entries)
    pages = [page for buffer in pieces(part.values["pages"]) for page in _pages(buffer)]
    if len(filled) != len(pages):
        return None
    contents = Contents(filled)
    for page in pages:
        contents.add(page)
    return [*pages_of(shape, entries), *contents.keys()]


def pages_of(shape: Shape, entries: Iterable[int]) -> list[tuple[str, str]]:
    """The keys that a record of pages has for plain entries."""
    keys = [("pages", value(frames(entries, shape)))]
    return keys if shape is IMAGE else [("record", value(shape.path)), *keys]


class Contents:
    """Pages as they come, for frames `pfns`: by the rule that all follow, or each by what is repeated in it.

    At most `limit` pages are kept that only their bytes describe; with more all are `dropped`.
    """

    def __init__(self, pfns: Sequence[int], limit: int = 1 << 62) -> None:
        self.kept = 0
        self.dropped = False
        self._pfns = pfns
        self._limit = limit
        self._count = 0
        self._rules = {name: memory.fill(name) for name in _RULES}
        self._runs: list[tuple[bytes, int]] = []

    def add(self, page: bytes) -> None:
        """The next page; the last may be a part of one."""
        number = self._count
        follows = {
            name: made
            for name, made in self._rules.items()
            if number < len(self._pfns) and [page] == made(self._pfns[number], 1)
        }
        if not follows:
            self._spell()
            self._keep(page)
        self._rules = follows
        self._count += 1

    def _spell(self) -> None:
        """Keep what is repeated in the pages that a rule stood for so far."""
        for made in list(self._rules.values())[:1]:
            for pfn in self._pfns[: self._count]:
                self._keep(*map(bytes, made(pfn, 1)))
        self._rules = {}

    def _keep(self, page: bytes) -> None:
        pattern = _pattern(page)
        self.kept += pattern == page
        self.dropped = self.dropped or self.kept > self._limit
        if self.dropped:
            self._runs.clear()
            return
        times = len(page) // len(pattern)
        if self._runs and self._runs[-1][0] == pattern:
            times += self._runs.pop()[1]
        self._runs.append((pattern, times))

    def keys(self) -> list[tuple[str, str]]:
        """What to say of them beside the frames."""
        if self._rules:
            name = next(iter(self._rules)) if self._count else "byte"
            return [("fill", value(name))] if name != "byte" else []
        if len(self._runs) == 1 and len(self._runs[0][0]) < libxc.PAGE_SIZE:
            return [("fill", _hex(self._runs[0][0]))]
        return [("contents", f"[{', '.join(self.pieces())}]")]

    def pieces(self) -> list[str]:
        """All their bytes, in TOML."""
        self._spell()
        return [
            data(pattern * times) if times == 1 or not any(pattern) else _hex(pattern, times)
            for pattern, times in self._runs
        ]


def _pattern(page: bytes) -> bytes:
    """What a page repeats, itself if nothing."""
    for period in _PERIODS:
        if len(page) > period and page[:period] * (len(page) // period) == page:
            return page[:period]
    return page


def _pages(buffer: Buffer) -> Iterator[bytes]:
    for at in range(0, len(buffer), libxc.PAGE_SIZE):
        yield bytes(buffer[at : at + libxc.PAGE_SIZE])


def frames(entries: Iterable[int], shape: Shape = IMAGE) -> str:
    """Plain page entries as `memory.frames` reads them."""
    found = []
    for first, last in _of_a_type(runs(entries), shape):
        name = shape.type(first)
        shown = _run(shape.frame(first), shape.frame(last))
        found.append(shown if name == "NOTAB" else f"{shown} {name}")
    return ", ".join(found)


def _of_a_type(runs: Iterable[Sequence[int]], shape: Shape) -> Iterator[tuple[int, int]]:
    """Runs that do not go on from the last frame there can be to the first one of the next type."""
    for first, last in runs:
        bounds = [number << shape.bits for number in range((first >> shape.bits) + 1, (last >> shape.bits) + 1)]
        yield from zip((first, *bounds), (*(bound - 1 for bound in bounds), last), strict=True)


# -- TOML -----------------------------------------------------------------------------------------------------


def value(it: Any) -> str:
    """A value in TOML, on one line but for long lists of tables."""
    if isinstance(it, bool):
        return "true" if it else "false"
    if isinstance(it, int):
        return str(it) if -_TOML_MOST <= it <= _TOML_MOST else f'"{it:#x}"'
    if isinstance(it, str):
        return _quoted(it)
    if isinstance(it, (bytes, bytearray, memoryview, Made)):
        return data(it)
    if isinstance(it, Mapping):
        inner = ", ".join(f"{key_of(name)} = {value(each)}" for name, each in it.items())
        return f"{{ {inner} }}" if inner else "{}"
    if len(it) > _MANY and all(type(each) is int for each in it):
        return _quoted(", ".join(_run(*run) for run in runs(it)))
    if len(it) > _ROWS and all(isinstance(each, Mapping) for each in it):
        return "[\n" + "".join(f"  {value(each)},\n" for each in it) + "]"
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


def data(it: Content) -> str:
    """Bytes in TOML: plain text, with or without a NUL at its end, else hexadecimal; repeats are written once.

    A text of several lines has them in the recipe too, so that it can be edited.
    """
    data = joined((it,))
    lines = _lines(data)
    if lines:
        return lines
    text = data.decode("latin-1")
    ended = text[:-1] if text.endswith("\0") and len(text) > 1 else text
    if all(" " <= letter <= "~" or letter in "\t\r\n" for letter in ended) and not _AGAIN.search(data):
        return _quoted(text)
    pieces = []
    at = 0
    for run in _AGAIN.finditer(data) if _repeats(data) else ():
        pieces += [_piece(data[at : run.start()])] if at < run.start() else []
        pieces.append(_piece(run[1], len(run[0]) // len(run[1])))
        at = run.end()
    if at < len(data) or not pieces:
        pieces.append(_piece(data[at:]))
    return pieces[0] if len(pieces) == 1 else f"[{', '.join(pieces)}]"


def _repeats(data: bytes) -> bool:
    """Whether _AGAIN may be in the data: where they are no text, looking for that takes a hundred times as long."""
    whole = int.from_bytes(data, "little")
    for period in range(1, _PERIOD + 1):
        same = (whole ^ whole >> 8 * period).to_bytes(len(data), "little")
        if bytes((_TIMES - 1) * period) in same[: max(len(data) - period, 0)]:
            return True
    return False


def _lines(data: Buffer) -> str:
    """Bytes as a text of several lines, if they are one, in UTF-8, and not for the most part repeats."""
    try:
        text = bytes(data).decode()
    except UnicodeDecodeError:
        return ""
    body = text.removesuffix("\0")
    if "\n" not in body or not all(letter.isprintable() or letter in "\t\r\n" for letter in body):
        return ""
    if 2 * sum(len(run[0]) for run in _AGAIN.finditer(data)) > len(data):
        return ""
    # A carriage return that stands for itself would be lost, and quotes must not end the text.
    escaped = _QUOTES.sub(r'\\"', text.replace("\\", "\\\\")).replace("\r", "\\u000d").replace("\0", "\\u0000")
    return f'"""\n{escaped}"""'


def _hex(data: bytes, times: int = 1) -> str:
    return f'{{ hex = "{data.hex()}", times = {times} }}' if times > 1 else f'{{ hex = "{data.hex()}" }}'


def _piece(data: bytes, times: int = 1) -> str:
    if not any(data) and data:
        return f"{{ zeros = {len(data) * times} }}"
    plain = all(0x20 <= byte < 0x7F for byte in data)
    if plain and times == 1:
        return _quoted(data.decode())
    return f"{{ text = {_quoted(data.decode())}, times = {times} }}" if plain else _hex(data, times)


def key_of(name: str) -> str:
    """A key in TOML."""
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(it if " " <= it != "\x7f" else f"\\u{ord(it):04x}" for it in escaped) + '"'
