"""Places inside what records carry for others: entries of an HVM context, contexts of vcpus, bits of policies.

They are looked for only where a path goes into one, since their tables are apart.
"""

from __future__ import annotations

from .. import tables
from ..codec.named import LISTS, wanted
from ..errors import FieldError
from ..payload_tables import ENTRY_NAMES, FIELDS, FORMS, PLACES
from ..schema import features

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .places import Found, Target

    # Gives bytes of the file as it is now: from an offset on, so many.
    Read = Callable[[int, int], bytes]
    # As in field_tables.FIELDS.
    Row = tuple[int, int, int, int, bool, bool, bool, dict[int, str] | None]

# Bytes by which start info is recognised.
_MAGIC = 32
_KINDS = {name: code for code, name in ENTRY_NAMES.items()}


class Place:
    """Where a path goes on: inside `length` bytes at `start`, by the layout `path`, at `place` in it."""

    __slots__ = ("length", "path", "place", "start")

    def __init__(self, path: str, start: int, length: int, place: str) -> None:
        self.path = path
        self.start = start
        self.length = length
        self.place = place


def inside(target: Target, found: Found, read: Read) -> Place | None:
    """The payload that the target's path goes into; None if it goes into none.  Raises FieldError."""
    head, _, rest = target.place.partition(".")
    if f"{found.path}.context" in PLACES and head.partition("[")[0] in _KINDS:
        return _entry(target, found, head, rest, read)
    place = PLACES.get(found.path, {}).get(head)
    if place is None or not rest:
        return None
    at = tables.PLACES.get(found.path, {}).get(head, (tables.SIZES[found.path],))[0]
    length = found.length - at
    forms = FORMS[place]
    width = found.layer.width or getattr(found.layer.facts, "width", 0)
    path = forms.get(width if {*forms} == {*tables.VCPU_CONTEXT_SIZES} else length) or forms.get(0, "")
    if not path:
        raise FieldError(target.text, f"its {head} has {length} bytes, which no release of Xen writes")
    return Place(path, found.body + at, length, rest)


def page(target: Target, found: Found, kind: int, read: Read) -> Place:
    """What a page of the guest is, by its type and what it holds."""
    from ..reader.page_data import form_of

    path = form_of(kind, read(found.body, _MAGIC))
    if not path:
        raise FieldError(
            target.text, f"it is no page table and no start info; page[{target.number:#x}]@OFFSET=HEX sets bytes"
        )
    return Place(path, found.body, found.length, target.place)


def _entry(target: Target, found: Found, head: str, rest: str, read: Read) -> Place:
    """The entry of an HVM context that a path begins with."""
    name, _, number = head.removesuffix("]").partition("[")
    fitting = [each for each in _entries(found, _KINDS[name], read) if number in ("", str(each[2]))]
    if not fitting:
        raise FieldError(target.text, f"the context has no entry {head}")
    if len(fitting) > 1:
        raise FieldError(
            target.text, f"there are several of {name}, at {fitting[0][0]} and so on; the first: {name}[0]"
        )
    if not rest and target.at is None:
        raise FieldError(target.text, f"which field of {name}? @OFFSET=HEX sets bytes")
    at, length, _ = fitting[0]
    forms = FORMS[f"hvm.{name}"]
    path = forms.get(length) or forms.get(0, "")
    if rest and not path:
        raise FieldError(
            target.text, f"it has {length} bytes, which no release writes; HVM_CONTEXT.{head}@OFFSET=HEX sets bytes"
        )
    return Place(path, at, length, rest)


def _entries(found: Found, kind: int, read: Read) -> Iterator[tuple[int, int, int]]:
    """Entries of that kind in a context: where their data begin, how long they are, of which instance."""
    from struct import Struct

    entry = f"{found.path}.context"
    size = tables.SIZES[entry]
    head = Struct(found.layer.order + tables.FORMATS[entry])
    at, stop = found.body + tables.SIZES[found.path], found.body + found.length
    while at + size <= stop and len(raw := read(at, size)) == size:
        code, instance, length = head.unpack(raw)
        at += size
        if at + length > stop:
            return
        if code == kind:
            yield at, length, instance
        at += length


def bit(path: str, place: str) -> Row | None:
    """A bit of a register that has a name, by the register's place and that name; None if it is none."""
    register, _, name = place.rpartition(".")
    row = FIELDS.get(path, {}).get(register)
    names = features.FIELD_BITS.get(path, {}).get(register) or features.REGISTER_BITS.get(register.rpartition(".")[2])
    if row is None or not names:
        return None
    shifts = [shift for shift, known in names.items() if known == name]
    return (row[0], row[1], shifts[0], 1, row[4], False, False, {}) if shifts else None


def named(target: Target, found: Found, read: Read) -> tuple[int, Row] | None:
    """Where a bit or a number in a policy or a parameter lies by its name, and its row; None if none is called so.

    Raises FieldError where the record has no such leaf, MSR or parameter.
    """
    record = found.path.partition(".")[2]
    rows = wanted(record, target.place)
    for keys, field, shift, bits, names in rows:
        element = f"{found.path}.{LISTS[record]}"
        places = tables.PLACES[element]
        unit = tables.SIZES[element]
        first = found.body + tables.SIZES[found.path]
        for at in range(first, found.body + found.length - unit + 1, unit):
            raw = read(at, unit)
            values = {
                key: int.from_bytes(raw[start : start + size], found.layer.byte_order)
                for key, (start, size) in places.items()
            }
            if keys.items() <= values.items():
                start, size = places[field]
                return at + start, (start, size, shift, bits, False, False, False, names)
    if rows:
        raise FieldError(
            target.text, f"{record} has no {', '.join(f'{key} {it:#x}' for key, it in rows[0][0].items())}"
        )
    return None
