"""Values of keys in a record of strings, each with a NUL at its end, as an edit changes them."""

from __future__ import annotations

from .. import tables
from ..errors import FieldError
from .fields import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .payloads import Read
    from .places import Found, Target

# Bytes of a record whose values are changed, and keys that a message has.
MOST = 16 << 20
_NAMED = 8


class Pairs:
    """The strings of a record that was found: values of keys that are to be others."""

    def __init__(self, found: Found, read: Read) -> None:
        self.found = found
        # How many bytes longer the record's body becomes.
        self.more = 0
        self._start = found.body + tables.SIZES[found.path]
        self._stop = found.body + found.length
        self._values: dict[int, bytes] = {}
        self._strings = self._split(read) if self._stop - self._start <= MOST else None

    def _split(self, read: Read) -> list[bytes] | None:
        """Keys and values in turn; None if they are no such strings."""
        *strings, rest = read(self._start, self._stop - self._start).split(b"\0")
        return None if rest or len(strings) % tables.PAIR_STRINGS else strings

    @staticmethod
    def _keys(strings: list[bytes]) -> list[bytes]:
        return strings[:: tables.PAIR_STRINGS]

    def put(self, target: Target, value: str) -> Change:
        """A key, which is the target's place, gets another value.  Raises FieldError."""
        strings, key = self._strings, target.place.encode()
        if strings is None:
            raise FieldError(target.text, f"{target.name} has no pairs of strings; {target.name}@OFFSET=HEX sets bytes")
        keys = self._keys(strings)
        if keys.count(key) != 1:
            known = ", ".join(ascii(each.decode("latin-1"))[1:-1] for each in keys[:_NAMED])
            more = ", and so on" if len(keys) > _NAMED else ""
            how = f"is there {keys.count(key)} times" if key in keys else f"is no key there, only {known}{more}"
            raise FieldError(target.text, f"{target.place} {how}")
        number = tables.PAIR_STRINGS * keys.index(key) + 1
        old, new = strings[number], value.encode(errors="surrogateescape")
        self._values[number] = new
        start = self._start + sum(map(len, strings[:number])) + number
        return Change(target.text, start, old, new, f"{old.decode('latin-1')!a} -> {value!a}")

    def change(self, read: Read) -> Change:
        """All that follows the record's fixed fields, with its padding, as it is to be.  Raises FieldError."""
        strings, align = self._split(read), self.found.layer.align
        if strings is None or self._keys(strings) != self._keys(self._strings or []):
            raise FieldError(self.found.path, "its keys change as bytes, and values by key: do one after the other")
        for number, value in self._values.items():
            strings[number] = value
        new = b"".join(string + b"\0" for string in strings)
        self.more = len(new) - (self._stop - self._start)
        before = -self.found.length % align
        padding = bytes(-(self.found.length + self.more) % align) if self.more else read(self._stop, before)
        old = read(self._start, self._stop + before - self._start)
        return Change(self.found.path, self._start, old, new + padding)
