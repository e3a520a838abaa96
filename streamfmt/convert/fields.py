"""One field of a header or a record, found in a file and overwritten: which bytes change, from what to what."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .. import tables
from ..codec import encode
from ..codec.decode import fixed, layouts
from ..codec.locate import REACH, Places
from ..errors import FieldError
from ..schema import hvm
from ..schema.model import Field, Layout, Part
from .places import Found, Target

# Gives bytes of the file as it is now: from an offset on, so many.
Read = Callable[[int, int], bytes]
_CONTEXT = "libxc.HVM_CONTEXT"
# Bytes of a list that are looked through for an element of a name.
_LIST_MAX = 1 << 20


class Change:
    """Bytes of a file, `old` from `start` on, become `data`; `what` says which field, `words` how it changes."""

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
    if target.at is not None:
        start, stop = (0, 1 << 63) if found is None else (found.body, found.body + found.length)
        if found is not None and target.place:
            start, stop = _entry(target, found, target.place, read)[:2]
        return _bytes(target, start, stop, value, read)
    assert found is not None, "only bytes have no name"
    layout = layouts().get(found.path)
    if layout is None:
        raise FieldError(target.text, f"nothing is known of {found.path}; {target.name}@OFFSET=HEX sets bytes")
    order = found.layer.order
    body, length, place = found.body, found.length, target.place
    if found.path == _CONTEXT and place.partition(".")[0].partition("[")[0] in _KINDS:
        body, stop, entry, place = _entry(target, found, place, read)
        if entry is None or not place:
            raise FieldError(target.text, "which field? @OFFSET=HEX sets bytes")
        layout, length = entry, stop - body
    elif (element := _named(layout, place)) is not None:
        return _member(target, found, element, value, read)
    held = bytearray()

    def hold(count: int) -> bytearray:
        if len(held) < (count := min(count, length, REACH)):
            held.extend(read(body + len(held), count - len(held)))
        return held

    try:
        at, field, owner = Places(layout, length, order, hold).find(place)
    except FieldError as error:
        raise FieldError(target.text, str(error).partition(": ")[2]) from None
    if at + field.offset + field.size > length:
        raise FieldError(target.text, "it lies after the end of the body")
    return put(target.text, owner, field, body + at, value, order, read)


def put(what: str, layout: Layout, field: Field, at: int, value: str, order: str, read: Read) -> Change:
    """One field overwritten in a block that begins at `at`."""
    start = at + field.offset
    old = read(start, field.size)
    word = "big" if order == ">" else "little"
    given = _value(what, field, value)
    data = bytearray(field.offset) + bytearray(old)
    encode.put(data, 0, field, given, order, what)
    new = bytes(data[field.offset :])
    if field.raw:
        return Change(what, start, old, new)
    shown = [_shown(layout, field, field.value(bytes(field.offset) + each, word)) for each in (old, new)]
    return Change(what, start, old, new, " -> ".join(shown))


def _shown(layout: Layout, field: Field, value: int) -> str:
    names = field.names
    return names.get(value) or (str(value) if abs(value) < 10 else f"{value} ({value:#x})")


def _value(what: str, field: Field, value: str) -> int | str | bytes:
    """What a value in words is for a field."""
    if field.raw:
        return _hex(what, value)
    try:
        return int(value, 0)
    except ValueError:
        return value


def _hex(what: str, value: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except ValueError:
        raise FieldError(what, f"{value!r} is not bytes in hexadecimal") from None


def _bytes(target: Target, start: int, stop: int, value: str, read: Read) -> Change:
    """Bytes overwritten as they lie."""
    assert target.at is not None
    data = _hex(target.text, value)
    if not data:
        raise FieldError(target.text, "no bytes are given")
    begin = start + target.at
    if begin + len(data) > stop:
        raise FieldError(target.text, f"only {max(stop - begin, 0)} bytes are there")
    old = read(begin, len(data))
    if len(old) < len(data):
        raise FieldError(target.text, f"only {len(old)} bytes are there, the file ends")
    return Change(target.text, begin, old, data)


# -- elements by name ---------------------------------------------------------------------------------------------


def _named(layout: Layout, place: str) -> Part | None:
    """The list whose elements have an index and a value, if `place` can only name one of its elements."""
    if (
        "." in place
        or "[" in place
        or any(isinstance(row.item, Field) and row.item.path == place for row in layout.rows)
    ):
        return None
    for part in layout.parts:
        if part.element is not None and part.unit and {"index", "value"} <= {row.path for row in part.element.fields}:
            return part
    return None


def _member(target: Target, found: Found, part: Part, value: str, read: Read) -> Change:
    """The value of the element that has an index."""
    element = part.element
    assert element is not None
    rows = {row.path: row for row in element.fields}
    codes = {name: code for code, name in rows["index"].names.items()}
    key = target.place
    wanted = codes.get(key.upper())
    if wanted is None:
        try:
            wanted = int(key, 0)
        except ValueError:
            raise FieldError(
                target.text, f"{key} is none of {', '.join(codes)}" if codes else "a number is wanted"
            ) from None
    begin = tables.SIZES[found.path]
    raw = read(found.body + begin, min(found.length - begin, _LIST_MAX))
    for at in range(0, len(raw) - part.unit + 1, part.unit):
        if fixed(element, raw[at : at + part.unit], found.layer.order)["index"] == wanted:
            return put(target.text, element, rows["value"], found.body + begin + at, value, found.layer.order, read)
    raise FieldError(target.text, f"{target.name} has no {key}, so its value is what receivers take without it")


# -- entries of an HVM context ------------------------------------------------------------------------------------

_KINDS = {row.name: row.code for row in hvm.CONTEXT_TYPES}
_HEAD = tables.SIZES[f"{_CONTEXT}.context"]


def _entry(target: Target, found: Found, place: str, read: Read) -> tuple[int, int, Layout | None, str]:
    """The entry of an HVM context that a place begins with: where its data are, their layout, the rest of the place.

    The layout is None of entries whose fields have no names here.
    """
    head, _, rest = place.partition(".")
    name, _, number = head.removesuffix("]").partition("[")
    if found.path != _CONTEXT or name not in _KINDS or (number and not number.isdecimal()):
        raise FieldError(target.text, f"{name} is none of the entries {', '.join(_KINDS)}")
    known = [(at, end) for at, end, instance in _entries(found, _KINDS[name], read) if number in ("", str(instance))]
    if not known:
        raise FieldError(target.text, f"the context has no entry {head}")
    if len(known) > 1:
        raise FieldError(
            target.text, f"there are several of {name}, at {known[0][0]} and so on; ask for one: {name}[0]"
        )
    layout = layouts().get(f"{_CONTEXT}.{name}")
    if layout is None and rest:
        raise FieldError(target.text, f"fields of {name} have no names here; {head}@OFFSET=HEX sets bytes")
    return *known[0], layout, rest


def _entries(found: Found, kind: int, read: Read) -> Iterator[tuple[int, int, int]]:
    """Entries of that kind in a context: where their data begin and end, and of which instance they are."""
    element = next(part.element for part in layouts()[_CONTEXT].parts)
    assert element is not None, "a context consists of entries"
    at, stop = found.body, found.body + found.length
    while at + _HEAD <= stop and len(raw := read(at, _HEAD)) == _HEAD:
        values = fixed(element, raw, found.layer.order)
        at, end = at + _HEAD, at + _HEAD + values["length"]
        if end > stop:
            return
        if values["typecode"] == kind:
            yield at, end, values["instance"]
        at = end
