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
    from .payloads import Place, Read, Row
    from .places import Found, Target

    # Fields and lists by layout, as in field_tables.
    Tables = tuple[dict[str, dict[str, Row]], dict[str, dict[str, tuple[int, int, str, int | str]]]]

# Records that have more inside than their own fields, and how the paths of that begin.
_DEEPER = (
    "HVM_CONTEXT",
    "X86_PV_VCPU_BASIC",
    "X86_PV_VCPU_EXTENDED",
    "X86_PV_VCPU_XSAVE",
    "SHARED_INFO",
    "VCPU",
    "VCPU_XSAVE",
)
_PAYLOADS = ("hvm.", "pv.")
# Records that have lists whose elements say what they are about.
_NAMED = ("X86_CPUID_POLICY", "X86_MSR_POLICY", "HVM_PARAMS")
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
    path, start, length, place, order = "", 0, 1 << 63, target.place, "<"
    if found is not None:
        path, start, length, order = found.path, found.body, found.length, found.layer.order
        inner = _inside(target, found, read)
        if inner is not None:
            path, start, length, place, order = inner.path, inner.start, inner.length, inner.place, "<"
    if target.at is not None:
        if place:
            raise FieldError(target.text, f"either a field, or @ and an offset: not {place}@")
        return _bytes(target, start, start + length, value, read)
    if path not in tables.FORMATS and not path.startswith(_PAYLOADS):
        raise FieldError(target.text, f"it has no fields with names; {target.name}@OFFSET=HEX sets bytes")
    fields, _ = _tables(path)
    members = _members(path)
    if found is not None and path.endswith(_NAMED) and (named := _named(target, members, found, read)) is not None:
        at, row = named
    elif members and place not in fields.get(path, {}) and not {".", "["} & {*place}:
        at, row = _member(target, path, start, length, order, members, read)
    else:
        at, row = _place(target, path, start, length, order, place, read)
    _, size, *_ = row
    if at + size > start + length:
        raise FieldError(target.text, "it lies after the end of the body")
    return put(target.text, row, at, value, order, read)


def _tables(path: str) -> Tables:
    """The tables that have the layout's fields and lists."""
    if not path.startswith(_PAYLOADS):
        return FIELDS, LISTS
    from .. import payload_tables  # few edits go into payloads

    return payload_tables.FIELDS, payload_tables.LISTS


def _inside(target: Target, found: Found, read: Read) -> Place | None:
    """The payload that a path goes into, if any."""
    if found.page is not None and target.place:
        from .payloads import page

        return page(target, found, found.page, read)
    if found.path.partition(".")[2] not in _DEEPER:
        return None
    from .payloads import inside

    return inside(target, found, read)


def _named(target: Target, members: str, found: Found, read: Read) -> tuple[int, Row] | None:
    """What a policy or a parameter has by name; an element's value itself is found without loading their names."""
    if members and "." not in target.place and not target.place.islower():
        return None
    from .payloads import named

    return named(target, found, read)


def put(what: str, row: Row, at: int, value: str, order: str, read: Read) -> Change:
    """A field that lies at `at`, overwritten.  Raises FieldError."""
    _, size, shift, bits, big, raw, signed, known = row
    names = known or {}
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
        raise FieldError(
            target.text, f"{len(data)} byte{'s are' if len(data) > 1 else ' is'} given, and {len(old)} are there"
        )
    return Change(target.text, begin, old, data)


# -- places ---------------------------------------------------------------------------------------------------------


def _place(target: Target, path: str, start: int, length: int, order: str, place: str, read: Read) -> tuple[int, Row]:
    """Where a field lies in a body, and its row."""
    at = start
    fields, lists = _tables(path)
    while "[" in place and (row := lists.get(path, {}).get(place.partition("[")[0])) is not None:
        offset, unit, element, times = row
        number, bracket, rest = place.partition("[")[2].partition("]")
        if not bracket or not number.isdecimal() or len(number) > 9:
            raise FieldError(target.text, f"{place} has no number in brackets")
        if isinstance(times, str) and times:
            field = fields[path][times]
            times = int.from_bytes(read(at + field[0], field[1]), "big" if field[4] or order == ">" else "little")
        room = max(start + length - at - offset, 0) // unit
        there = room if isinstance(times, str) else min(times, room)
        if int(number) >= there:
            raise FieldError(target.text, f"there are {there} of them, counted from 0")
        at, path, place = at + offset + unit * int(number), element, rest.removeprefix(".")
    known = fields.get(path, {})
    if place in known:
        return at + known[place][0], known[place]
    if fields is not FIELDS:
        from .payloads import bit

        if (found := bit(path, place)) is not None:
            return at + found[0], found
    return _by_schema(target, path, at, start + length - at, order, place, read)


def _by_schema(
    target: Target, path: str, start: int, length: int, order: str, place: str, read: Read
) -> tuple[int, Row]:
    """The same for what no table has."""
    from ..codec.decode import layouts
    from ..codec.locate import REACH, Places
    from ..codec.payload import payloads

    held = bytearray()

    def hold(count: int) -> bytearray:
        if len(held) < (count := min(count, length, REACH)):
            held.extend(read(start + len(held), count - len(held)))
        return held

    layout = (payloads() if path.startswith(_PAYLOADS) else layouts()).get(path)
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
    names = index[7] or {}
    wanted = _number(target.text, key.upper() if key.upper() in names.values() else key, index[3], False, names)
    raw = read(start + offset, min(length - offset, _LIST_MAX))
    for at in range(0, len(raw) - unit + 1, unit):
        data = raw[at + index[0] : at + index[0] + index[1]]
        if int.from_bytes(data, "big" if order == ">" else "little") == wanted:
            return start + offset + at + value[0], value
    raise FieldError(target.text, f"{target.name} has no {key}, so its value is what receivers take without it")
