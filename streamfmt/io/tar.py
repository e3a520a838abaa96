"""The members of a tar archive, one after another, with their contents as spans: of v7, ustar, pax and GNU's formats.

tarfile knows them too, but it keeps what it finds of each member, takes a header's word for how much to read at once,
and cannot pass over what comes through a pipe; here a member costs one read of 512 bytes, from whatever it comes.
"""

from __future__ import annotations

from ..errors import DamagedError
from ..schema import tar
from .spans import Part, Span, pieces_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    # Start and length of what is no hole, the size of the whole, and where the first of them lies.
    from typing import TypeAlias

    Map: TypeAlias = tuple[list[tuple[int, int]], int, int]

# Bytes of a member's name and of attributes, and pieces between holes, beyond which no sane writer goes.
_NAME_MAX = 64 << 10
_ATTRIBUTES_MAX = 1 << 20
_PIECES_MAX = 1 << 16
_SIZE_MAX = 1 << 62
# Attributes that say where a member's holes are, in one of three ways; of all others only these count.
_HOLES = "GNU.sparse."
_KEPT = ("path", "size")


class Member:
    """A member that has content: its name, where the first of its headers is, and the content."""

    __slots__ = ("at", "name", "span")

    def __init__(self, name: str, at: int, span: Span) -> None:
        self.name = name
        self.at = at
        self.span = span


def members(span: Span) -> Iterator[Member]:
    """The members that are files.  Raises DamagedError."""
    at = first = 0
    name = b""
    title = ""
    general: dict[str, str] = {}
    own: dict[str, str] = {}
    while any(block := span.read(at, tar.BLOCK)):  # two blocks of zeros end it; some writers leave them out
        size, kind = _checked(block, at), block[tar.TYPE]
        after = at + tar.BLOCK
        if kind in (tar.LONG_NAME, tar.LONG_LINK):
            text = _content(span, after, size, _NAME_MAX)
            name = text.split(b"\0", 1)[0] if kind == tar.LONG_NAME else name
        elif kind == tar.PAX:
            own = _attributes(_content(span, after, size, _ATTRIBUTES_MAX), after)
        elif kind == tar.PAX_GLOBAL:
            general |= _attributes(_content(span, after, size, _ATTRIBUTES_MAX), after)
        else:
            known = general | own
            title = known.get(_HOLES + "name") or known.get("path") or _text(name or _short_name(block))
            size = 0 if kind in tar.EMPTY else _decimal(known.get("size", str(size)), at)
            content: Span = Part(span, after, size)
            if kind == tar.SPARSE:
                pairs, whole, after = _old_map(span, block, after)
                content = pieces_of(Part(span, after, size), _sound(pairs, whole, size, at), 0, whole)
            elif any(key.startswith(_HOLES) for key in known):
                pairs, whole, taken = _pax_map(known, content, at)
                content = pieces_of(content, _sound(pairs, whole, size - taken, at), taken, whole)
            if kind not in tar.EMPTY and not title.endswith("/"):
                yield Member(title, first, content)
            name, own = b"", {}
            first = after + _padded(size)
        at = after + _padded(size)
    if not block and (end := span.reach(at)) < at:
        raise DamagedError(f"the tar archive ends {_where(end)}, inside its member {title!r}")


def _where(at: int) -> str:
    return f"at {at} ({at:#x})"


def _padded(size: int) -> int:
    return -(-size // tar.BLOCK) * tar.BLOCK


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _checked(block: bytes, at: int) -> int:
    """The size that a header says."""
    if len(block) < tar.BLOCK:
        raise DamagedError(f"the tar archive ends inside a header {_where(at)}")
    if not tar.sum_fits(block):
        raise DamagedError(f"the tar archive has no header {_where(at)}, where its next member should begin")
    return _number(block[tar.SIZE], at)


def _number(field: bytes, at: int) -> int:
    """A number of a header: octal digits, or binary after a first byte of 0x80 (GNU); 0xff is a negative one's."""
    try:
        value = int.from_bytes(field[1:], "big") if field[0] & 0x80 else int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        value = -1
    if field[0] == 0xFF or not 0 <= value < _SIZE_MAX:
        raise DamagedError(f"the tar archive's header {_where(at)} has a size that is no number")
    return value


def _decimal(text: str, at: int) -> int:
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
    if not 0 <= value < _SIZE_MAX:
        raise DamagedError(f"an attribute of the tar archive's member {_where(at)} is no number: {text[:32]!r}")
    return value


def _short_name(block: bytes) -> bytes:
    """The name that a header has itself."""
    prefix = block[tar.PREFIX].split(b"\0", 1)[0] if block[tar.USTAR] == tar.USTAR_MAGIC else b""
    name = block[tar.NAME].split(b"\0", 1)[0]
    return prefix + b"/" + name if prefix else name


def _content(span: Span, at: int, size: int, most: int) -> bytes:
    """What a header says that is about another member."""
    if size > most:
        raise DamagedError(
            f"the tar archive has {size:,} bytes of names or attributes {_where(at)}; the limit is {most:,}"
        )
    found = span.read(at, size)
    if len(found) < size:
        raise DamagedError(f"the tar archive ends inside names or attributes {_where(at)}")
    return found


def _attributes(text: bytes, at: int) -> dict[str, str]:
    """Attributes that matter: records of a length, a blank, a key, "=", a value and a line feed."""
    found: dict[str, str] = {}
    listed: list[str] = []
    place = 0
    while place < len(text) and text[place]:
        blank = text.find(b" ", place, place + 20)
        length = int(text[place:blank]) if blank > place and text[place:blank].isdigit() else 0
        key, equals, value = text[blank + 1 : place + length - 1].partition(b"=")
        if not equals or length <= blank - place or place + length > len(text):
            raise DamagedError(f"the tar archive has attributes that cannot be read {_where(at + place)}")
        name = _text(key)
        if name in (_HOLES + "offset", _HOLES + "numbytes"):
            listed.append(_text(value))
        elif name in _KEPT or name.startswith(_HOLES):
            found[name] = _text(value)
        place += length
    if listed:
        found[_HOLES + "map"] = ",".join(listed)
    return found


# -- files with holes -----------------------------------------------------------------------------------------------


def _old_map(span: Span, block: bytes, at: int) -> Map:
    """The map of GNU's old format, whose continuation is between the header and what it is about."""
    whole = _number(block[tar.SPARSE_SIZE], at)
    pairs = _pairs(block[tar.SPARSE_PAIRS], at)
    more = block[tar.SPARSE_MORE]
    while more:
        block = _content(span, at, tar.BLOCK, tar.BLOCK)
        pairs += _pairs(block[tar.SPARSE_NEXT_PAIRS], at)
        more = block[tar.SPARSE_NEXT_MORE]
        at += tar.BLOCK
        if len(pairs) > _PIECES_MAX:
            raise _too_many(at)
    return pairs, whole, at


def _pairs(raw: bytes, at: int) -> list[tuple[int, int]]:
    width = tar.SPARSE_NUMBER
    numbers = [raw[place : place + width] for place in range(0, len(raw), width)]
    both = zip(numbers[::2], numbers[1::2], strict=True)
    return [(_number(start, at), _number(length, at)) for start, length in both if start[0]]


def _pax_map(known: dict[str, str], content: Span, at: int) -> Map:
    """The map of a later format, with how many bytes of the content it takes."""
    whole = _decimal(known.get(_HOLES + "realsize") or known.get(_HOLES + "size", ""), at)
    taken = 0
    if known.get(_HOLES + "major", "0") == "1":
        words, taken = _leading(content, at)
    else:
        words = known.get(_HOLES + "map", "").split(",") if known.get(_HOLES + "map") else []
    if len(words) > 2 * _PIECES_MAX:
        raise _too_many(at)
    numbers = [_decimal(word, at) for word in words]
    return list(zip(numbers[::2], numbers[1::2], strict=False)), whole, taken


def _leading(content: Span, at: int) -> tuple[list[str], int]:
    """The numbers that a content begins with: how many pairs, then these, a line each, to the end of a block."""
    text, count, lines = b"", 0, 0
    while not count or lines < count:
        block = content.read(len(text), tar.BLOCK)
        text += block
        lines += block.count(b"\n")
        if not count and lines:
            count = 1 + 2 * _decimal(_text(text.split(b"\n", 1)[0]), at)
        if not block or not lines or count > 2 * _PIECES_MAX:
            raise _too_many(at)
    return [_text(word) for word in text.split(b"\n", count)[1:count]], len(text)


def _too_many(at: int) -> DamagedError:
    return DamagedError(
        f"the tar archive's member {_where(at)} has more than {_PIECES_MAX:,} holes, or no list of them"
    )


def _sound(pairs: list[tuple[int, int]], whole: int, size: int, at: int) -> list[tuple[int, int]]:
    """The pairs, if they come in order, lie in the whole, and are as many bytes as there are."""
    end = 0
    for start, length in pairs:
        if start < end:
            raise DamagedError(f"the holes of the tar archive's member {_where(at)} are not in order")
        end = start + length
    if end > whole or sum(length for _, length in pairs) > size:
        raise DamagedError(f"the holes of the tar archive's member {_where(at)} do not fit its size")
    return pairs
