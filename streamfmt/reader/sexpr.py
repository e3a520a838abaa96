"""The text of a XAPI image's XENOPS record: an S-expression, a list of (key value) pairs.

It is walked in constant memory and in time linear in its length, whatever is in it: nothing that is allowed nests
deeper than the list of pairs under one key, so depth is a place in the program, and the first thing that is not
allowed ends the walk.  The syntax is that of sexplib, which xenopsd reads it with (src/lexer.mll): atoms are bare, or
quoted with backslash escapes.
"""

from __future__ import annotations

import re

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .events import Record
    from .pump import Window

# What is kept of an atom: all of a key or a number, and of a configuration where the guest's name is.
_KEPT = 512
_PIECE = 32 << 10

_SPACE = rb"[ \t\r\n\f]"
# A bare atom, in which # and | do not make a comment's mark together.
_PLAIN = rb"[^ \t\r\n\f()\";#|]"
# Groups are repeated so often at most, and no pattern goes on after them: what re remembers of each has a bound, and
# nothing is tried again.  The same from there on is another match.
_TIMES = rb"{1,256}"
_BARE = rb"(?:" + _PLAIN + rb"+|#(?!\|)|\|(?!#))" + _TIMES
# A stretch inside quotes.  It stops at the closing one, and at an escape that is cut off or stands for no byte.
_ESCAPES = rb"\\(?:[^0-9]|[0-9](?=[^0-9]|[0-9][^0-9])|(?:[01][0-9]|2[0-4])[0-9]|25[0-5])"
_QUOTED = rb"(?:[^\"\\]+|" + _ESCAPES + rb")" + _TIMES
# Pairs of atoms without marks and escapes, which can be split in one way only; others are read atom by atom.
_ATOM = rb"(?:" + _PLAIN + rb"+(?!" + _PLAIN + rb")|\"[^\"\\]*\")" + _SPACE + rb"*"
_PAIR = rb"\(" + _SPACE + rb"*" + _ATOM + _ATOM + rb"\)" + _SPACE + rb"*"
_SPACES, _BARES, _QUOTEDS, _PAIRS = (
    re.compile(pattern, re.DOTALL) for pattern in (_SPACE + rb"+", _BARE, _QUOTED, rb"(?:" + _PAIR + rb")" + _TIMES)
)
_ESCAPE = 4  # bytes of the longest escape
_COMMENT = (b"#|", b"#;")
_NO_ATOM = (b"(", b")", b"")
# An escape of a decimal number or of a character that stands for itself, which is what names have.
_ESCAPED = re.compile(rb"\\(?:([0-9]{3})|([^0-9]))", re.DOTALL)
_NAME = re.compile(rb"\(\(id [^\s()]+\)\(name ?(?:([^\s()\"\\]+)|\"((?:[^\"\\]|\\.)*)\")\)", re.DOTALL)
_NUMBER = re.compile(rb"([-+]?)(0[xob]|0u|)([\da-f][\da-f_]*)", re.IGNORECASE)
_BASES = {b"": 10, b"0u": 10, b"0x": 16, b"0o": 8, b"0b": 2}


class BrokenError(Exception):
    """The text is not what it should be at stream offset `at`.

    `kind` is "form" (no list of pairs), "keys" (not those that are known), "values" (one of the wrong kind) or
    "comment": legal, but nothing here reads on after it.
    """

    def __init__(self, kind: str, at: int, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.at = at
        self.message = message


class Value:
    """A key's value, at stream offset `at`, `size` bytes of the text.

    `data` are how an atom begins, without its quotes; of a list they are empty if that is.
    """

    __slots__ = ("at", "data", "size")

    def __init__(self, at: int, data: bytes, size: int) -> None:
        self.at = at
        self.data = data
        self.size = size


class EndedError(Exception):
    """The input ends inside the text; the reader reports that."""


def walk(window: Window, record: Record) -> Generator[int, int, dict[str, Value]]:
    """Program that reads the record's body: its keys with their values.  Raises BrokenError and EndedError."""
    return (yield from _Text(window, record).keys())


def number(data: bytes) -> int | None:
    """The number that OCaml reads from an atom, None if it does not."""
    found = _NUMBER.fullmatch(data)
    if found is None:
        return None
    try:
        value = int(found[3].replace(b"_", b""), _BASES[found[2].lower()])
    except ValueError:
        return None  # digits of a larger base
    # A number with a prefix may use the sign's bit too.
    most = tables.XAPI_LENGTH_MAX if not found[2] else 2 * tables.XAPI_LENGTH_MAX + 1
    if value > most:
        return None
    return -value if found[1] == b"-" else value


def guest(configuration: bytes) -> str:
    """The guest's name, quoted, that a vm_str begins with; nothing if it does not."""
    found = _NAME.match(_unescaped(configuration))
    if found is None:
        return ""
    name = found[1] if found[1] is not None else _unescaped(found[2])
    return f"{name.decode(errors='replace')!a}"


def _unescaped(data: bytes) -> bytes:
    """What a quoted atom stands for."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1]) & 0xFF]) if found[1] else found[2], data)


class _Text:
    """A body being read.  Its methods are programs."""

    __slots__ = ("_end", "_window")

    def __init__(self, window: Window, record: Record) -> None:
        self._window = window
        self._end = record.end

    def _held(self) -> int:
        """Bytes of the text that are in the window."""
        w = self._window
        return min(w.hi - w.lo, self._end - w.position)

    def _more(self, count: int = 1) -> Generator[int, int, bool]:
        """Have `count` bytes in the window, or all that are left of the text; False if none are."""
        w = self._window
        left = self._end - w.position
        count = min(count, left)
        # More are asked for than are needed, so that a source that gives no more than that is not asked for each byte.
        if w.hi - w.lo < count and not (yield min(left, _PIECE)) and w.hi - w.lo < count:
            raise EndedError
        return count > 0

    def _next(self) -> Generator[int, int, bytes]:
        """The next byte that is no white space, unconsumed; none at the end."""
        w = self._window
        while (yield from self._more()):
            found = _SPACES.match(w.buf, w.lo, w.lo + self._held())
            if found:
                w.lo = found.end()
                continue
            byte = bytes(w.buf[w.lo : w.lo + 1])
            comment = byte == b";"
            if byte == b"#" and (yield from self._more(2)):
                comment = bytes(w.buf[w.lo : w.lo + 2]) in _COMMENT
            if comment:
                raise BrokenError("comment", w.position, "there is a comment, which no writer puts there")
            return byte
        return b""

    def _bare(self) -> Generator[int, int, Value]:
        w = self._window
        start, kept = w.position, b""
        while (yield from self._more()):
            lo, hi = w.lo, w.lo + self._held()
            found = _BARES.match(w.buf, lo, hi)
            if found is None:
                if w.buf[lo] in b"#|":
                    raise BrokenError("form", w.position, "an atom holds a comment's mark")
                break
            w.lo = found.end()
            undecided = w.lo == hi and w.buf[hi - 1] in b"#|" and w.position < self._end
            w.lo -= undecided
            kept += w.buf[lo : min(w.lo, lo + _KEPT - len(kept))]
            if undecided:
                yield from self._more(2)
        return Value(start, kept, w.position - start)

    def _quoted(self) -> Generator[int, int, Value]:
        w = self._window
        start, kept = w.position, b""
        w.lo += 1
        while (yield from self._more()):
            lo = w.lo
            found = _QUOTEDS.match(w.buf, lo, lo + self._held())
            if found:
                w.lo = found.end()
                kept += w.buf[lo : min(w.lo, lo + _KEPT - len(kept))]
                continue
            if w.buf[lo] == ord('"'):
                w.lo += 1
                return Value(start, kept, w.position - start)
            held = self._held()
            if held >= _ESCAPE:
                raise BrokenError("form", w.position, "an escape stands for no byte")
            if held == self._end - w.position:
                break
            yield from self._more(_ESCAPE)
        raise BrokenError("form", start, "a quoted atom has no end")

    def _atom(self) -> Generator[int, int, Value]:
        """The atom that begins here; what is kept of it is from inside its quotes."""
        return (yield from self._quoted() if self._window.buf[self._window.lo] == ord('"') else self._bare())

    def _expect(self, byte: bytes, what: str) -> Generator[int, int, None]:
        """Pass over white space and one byte."""
        found = yield from self._next()
        at = self._window.position
        if found != byte:
            there = f"there is {found.decode('latin-1')!a}" if found else "the text ends"
            raise BrokenError("form", at, f"{there} where {what} should be")
        self._window.lo += 1

    def keys(self) -> Generator[int, int, dict[str, Value]]:
        """The whole text."""
        found: dict[str, Value] = {}
        yield from self._expect(b"(", "a list of pairs")
        while (yield from self._next()) != b")":
            yield from self._expect(b"(", "a pair of key and value")
            key = yield from self._key(found)
            found[key] = yield from self._value(key)
            yield from self._expect(b")", "the end of a pair")
        at = self._window.position
        self._window.lo += 1
        missing = [name for name in tables.XENOPS_REQUIRED if name not in found]
        if missing:
            raise BrokenError("keys", at, f"there is no {' and no '.join(missing)}")
        if (yield from self._next()):
            raise BrokenError("form", self._window.position, "more text follows the list")
        return found

    def _key(self, found: dict[str, Value]) -> Generator[int, int, str]:
        byte, at = (yield from self._next()), self._window.position
        if byte in _NO_ATOM:
            raise BrokenError("form", at, "a pair has no key")
        key = (yield from self._atom()).data.decode("latin-1")
        if key not in tables.XENOPS_KEYS:
            raise BrokenError("keys", at, f"the key {key[:32]!a} is not known")
        if key in found:
            raise BrokenError("keys", at, f"the key {key} comes a second time")
        return key

    def _value(self, key: str) -> Generator[int, int, Value]:
        w = self._window
        form = tables.XENOPS_KEYS[key]
        byte, at = (yield from self._next()), w.position
        if byte in (b")", b""):
            raise BrokenError("form", at, f"the key {key} has no value")
        if form == "pairs":
            if byte != b"(":
                raise BrokenError("values", at, f"the value of {key} is no list")
            return (yield from self._pairs(key))
        if byte == b"(":
            raise BrokenError("values", at, f"the value of {key} is a list")
        value = yield from self._atom()
        if form == "integer" and number(value.data) is None:
            raise BrokenError("values", at, f"the value of {key} is no number")
        return value

    def _pairs(self, key: str) -> Generator[int, int, Value]:
        """A list of pairs of atoms; as many at once as the window holds whole."""
        w = self._window
        start = w.position
        w.lo += 1
        any_pair = b""
        while (byte := (yield from self._next())) != b")":
            any_pair = byte
            found = _PAIRS.match(w.buf, w.lo, w.lo + self._held())
            if found:
                w.lo = found.end()
                continue
            good = byte == b"("
            if good:
                w.lo += 1
                for _ in range(2):
                    byte = yield from self._next()
                    good = good and byte not in _NO_ATOM
                    if good:
                        yield from self._atom()
                byte = yield from self._next()
            if not good or byte != b")":
                kind, words = ("values", "is no pair of atoms") if byte else ("form", "has no end")
                raise BrokenError(kind, w.position, f"what {key} lists {words}")
            w.lo += 1
        w.lo += 1
        return Value(start, any_pair, w.position - start)
