"""One field of a header or a record, found in a file and overwritten: which bytes change, from what to what.

It goes by the generated tables, since loading the schemas takes longer than an edit of any file; what the tables do not
have, such as elements of lists that differ in size, is looked up in the schemas.
"""

from __future__ import annotations

from .. import tables
from ..errors import FieldError
from ..field_tables import FIELDS, LISTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .places import Found, Target

    # Gives bytes of the file as it is now: from an offset on, so many.
    Read = Callable[[int, int], bytes]
    # As in field_tables.FIELDS.
    Row = tuple[int, int, int, int, bool, bool, bool, dict[int, str]]

# Where the entries of Xen's save format have their names, and the records that have such entries: after a legacy
# stream's own fields they are the same.
_CONTEXT = "libxc.HVM_CONTEXT"
_CONTEXTS = {f"{layer}.HVM_CONTEXT" for layer in tables.RECORDS} & tables.FORMATS.keys()
# Bytes of a list that are looked through for an element of a name; letters of a value in a message.
_LIST_MAX = 1 << 20
_SAID = 40


class Change:
    """Bytes `old` of a file, from `start` on, become `data`: those of field `what`, which changes as `words` say."""

    __slots__ = ("data", "old", "start", "what", "words")

    def __init__(self, what: str, start: int, old: bytes, data: bytes, words: str = "") -> None:
        self.what = what
        self.start = start
        self.old = old
        self.data = data
        self.words = words

    @property
    def stop(self) -> int:
        return self.start + len(self.old)


def change(target: Target, found: Found | None, value: str, read: Read) -> Change:
    """What setting a field to `value`, in words, changes.  Raises FieldError."""
    path, start, length, place = "", 0, 1 << 63, target.place
    if found is not None:
        path, start, length = found.path, found.body, found.length
        if path in _CONTEXTS and place.partition(".")[0].partition("[")[0] in _KINDS:
            path, start, length, place = _entry(target, found, read)
    order = found.layer.order if found is not None else "<"
    if target.at is not None:
        if place:
            raise FieldError(target.text, f"either a field, or @ and an offset: not {place}@")
        return _bytes(target, start, start + length, value, read)
    if path not in tables.FORMATS:
        raise FieldError(target.text, f"it has no fields with names; {target.name}@OFFSET=HEX sets bytes")
    members = _members(path)
    if members and place not in FIELDS.get(path, {}) and not {".", "["} & {*place}:
        at, row = _member(target, path, start, length, order, members, read)
    else:
        at, row = _place(target, path, start, length, order, place, read)
    _, size, *_ = row
    if at + size > start + length:
        raise FieldError(target.text, "it lies after the end of the body")
    return put(target.text, row, at, value, order, read)


def put(what: str, row: Row, at: int, value: str, order: str, read: Read) -> Change:
    """A field that lies at `at`, overwritten.  Raises FieldError."""
    _, size, shift, bits, big, raw, signed, names = row
    old = read(at, size)
    if len(old) < size:
        raise FieldError(what, "the file ends before it")
    if raw:
        data = _hex(what, value)
        if len(data) != size:
            raise FieldError(what, f"{len(data)} bytes, not {size}")
        return Change(what, at, old, data)
    word = "big" if big or order == ">" else "little"
    number = _number(what, value, bits, signed, names)
    mask = (1 << bits) - 1
    before = int.from_bytes(old, word)  # type: ignore[arg-type] # it is one of the two
    after = before & ~(mask << shift) | (number & mask) << shift
    was = before >> shift & mask
    was -= (1 << bits) if signed and was >> bits - 1 else 0
    words = " -> ".join(names.get(each) or _said(each) for each in (was, number))
    return Change(what, at, old, after.to_bytes(size, word), words)  # type: ignore[arg-type] # likewise


def _said(value: int) -> str:
    return str(value) if abs(value) < 10 else f"{value} ({value:#x})"


def _number(what: str, value: str, bits: int, signed: bool, names: dict[int, str]) -> int:
    """The number that a value in words is: itself, or one that has that name."""
    codes = {name: code for code, name in names.items()}
    if value in codes:
        return codes[value]
    try:
        number = int(value, 0)
    except ValueError:
        known = f"; there are {', '.join(codes)}" if codes else ""
        raise FieldError(what, f"{value[:_SAID]!r} is no number{known}") from None
    least, most = (-(1 << bits - 1) if signed else 0), (1 << bits - signed) - 1
    if not least <= number <= most:
        raise FieldError(what, f"{value[:_SAID]} is not within {least} to {most}")
    return number


def _hex(what: str, value: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except ValueError:
        raise FieldError(what, f"{value[:_SAID]!r} is not bytes in hexadecimal") from None


def _bytes(target: Target, start: int, stop: int, value: str, read: Read) -> Change:
    """Bytes overwritten as they lie."""
    assert target.at is not None, "a field is put"
    data = _hex(target.text, value)
    if not data:
        raise FieldError(target.text, "no bytes are given")
    begin = start + target.at
    old = read(begin, min(len(data), max(stop - begin, 0)))
    if len(old) < len(data):
        raise FieldError(target.text, f"{len(data)} bytes are given, and {len(old)} are there")
    return Change(target.text, begin, old, data)


# -- places ---------------------------------------------------------------------------------------------------------


def _place(target: Target, path: str, start: int, length: int, order: str, place: str, read: Read) -> tuple[int, Row]:
    """Where a field lies in a body, and its row."""
    at = start
    while "[" in place and (row := LISTS.get(path, {}).get(place.partition("[")[0])) is not None:
        offset, unit, element, times = row
        number, bracket, rest = place.partition("[")[2].partition("]")
        if not bracket or not number.isdecimal() or len(number) > 9:
            raise FieldError(target.text, f"{place} has no number in brackets")
        if isinstance(times, str) and times:
            field = FIELDS[path][times]
            times = int.from_bytes(read(at + field[0], field[1]), "big" if field[4] or order == ">" else "little")
        room = max(start + length - at - offset, 0) // unit
        there = room if isinstance(times, str) else min(times, room)
        if int(number) >= there:
            raise FieldError(target.text, f"there are {there} of them, counted from 0")
        at, path, place = at + offset + unit * int(number), element, rest.removeprefix(".")
    known = FIELDS.get(path, {})
    if place in known:
        return at + known[place][0], known[place]
    return _by_schema(target, path, at, start + length - at, order, place, read)


def _by_schema(
    target: Target, path: str, start: int, length: int, order: str, place: str, read: Read
) -> tuple[int, Row]:
    """The same for what no table has."""
    from ..codec.decode import layouts
    from ..codec.locate import REACH, Places

    held = bytearray()

    def hold(count: int) -> bytearray:
        if len(held) < (count := min(count, length, REACH)):
            held.extend(read(start + len(held), count - len(held)))
        return held

    layout = layouts().get(path)
    if layout is None:
        known = ", ".join(FIELDS.get(path, ()))
        raise FieldError(target.text, f"{path} has no field {place}" + (f", only {known}" if known else ""))
    try:
        at, row, _ = Places(layout, length, order, hold).find(place)
    except FieldError as error:
        raise FieldError(target.text, str(error).partition(": ")[2]) from None
    size = row.offset, row.size, row.shift, row.bits
    return start + at + row.offset, (*size, row.big, row.raw, row.signed, row.names)


def _members(path: str) -> str:
    """The list of a body whose elements have an index and a value; empty if it has none."""
    for name, (_, _, element, _) in LISTS.get(path, {}).items():
        if {"index", "value"} <= FIELDS[element].keys():
            return name
    return ""


def _member(target: Target, path: str, start: int, length: int, order: str, name: str, read: Read) -> tuple[int, Row]:
    """The value of the element whose index has a name, or is a number."""
    offset, unit, element, _ = LISTS[path][name]
    index, value = FIELDS[element]["index"], FIELDS[element]["value"]
    key = target.place
    wanted = _number(target.text, key.upper() if key.upper() in index[7].values() else key, index[3], False, index[7])
    raw = read(start + offset, min(length - offset, _LIST_MAX))
    for at in range(0, len(raw) - unit + 1, unit):
        data = raw[at + index[0] : at + index[0] + index[1]]
        if int.from_bytes(data, "big" if order == ">" else "little") == wanted:
            return start + offset + at + value[0], value
    raise FieldError(target.text, f"{target.name} has no {key}, so its value is what receivers take without it")


# -- entries of an HVM context ------------------------------------------------------------------------------------

_KINDS = {name: code for code, (name, *_) in tables.HVM_TYPES.items()}
_ENTRY = f"{_CONTEXT}.context"
_HEAD = tables.SIZES[_ENTRY]


def _entry(target: Target, found: Found, read: Read) -> tuple[str, int, int, str]:
    """The entry of an HVM context that a place begins with: its path, where its data are, and the rest of the place."""
    head, _, rest = target.place.partition(".")
    name, _, number = head.removesuffix("]").partition("[")
    fitting = [each for each in _entries(found, _KINDS[name], read) if number in ("", str(each[2]))]
    if not fitting:
        raise FieldError(target.text, f"the context has no entry {head}")
    if len(fitting) > 1:
        raise FieldError(
            target.text, f"there are several of {name}, at {fitting[0][0]} and so on; the first: {name}[0]"
        )
    path = f"{_CONTEXT}.{name}"
    if path not in tables.FORMATS and rest:
        raise FieldError(target.text, f"fields of {name} have no names here; HVM_CONTEXT.{head}@OFFSET=HEX sets bytes")
    if not rest and target.at is None:
        raise FieldError(target.text, f"which field of {name}? @OFFSET=HEX sets bytes")
    at, length, _ = fitting[0]
    return path, at, length, rest


def _entries(found: Found, kind: int, read: Read) -> Iterator[tuple[int, int, int]]:
    """Entries of that kind in a context: where their data begin, how long they are, of which instance."""
    from struct import Struct

    head = Struct(found.layer.order + tables.FORMATS[_ENTRY])
    at, stop = found.body + tables.SIZES[found.path], found.body + found.length
    while at + _HEAD <= stop and len(raw := read(at, _HEAD)) == _HEAD:
        code, instance, length = head.unpack(raw)
        at += _HEAD
        if at + length > stop:
            return
        if code == kind:
            yield at, length, instance
        at += length
