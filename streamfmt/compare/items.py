"""Records compared: as bytes first, and by their fields where those differ."""

from __future__ import annotations

from struct import Struct

from .. import tables
from ..codec.decode import layouts
from ..codec.payload import form, payloads
from ..payload_tables import ENTRY_NAMES
from .configurations import leaves_of as configuration
from .devices import PAYLOAD, by_fields
from .found import SHOWN, Difference, first_difference, leaf_differences
from .leaves import Leaf, leaves, of_payload
from .topics import CONFIGURATION, CONTEXT, IDENTITY, NUMBERING, PARAMS, STATES, VCPUS, in_base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from .bodies import Bodies
    from .devices import Devices
    from .found import Plain, Section
    from .leaves import Leaves
    from .side import Identity, Key, Part, Side

    # Where entries of an HVM context have their data, and how many bytes: by type and instance.
    Entries: TypeAlias = dict[tuple[int, int], tuple[int, int]]
    # Where bytes are, and how many.
    Span: TypeAlias = tuple[Bodies, int, int]

# Bytes of a body that is looked into; of a longer one only bytes are compared.
DECODE_MAX = 1 << 20
# Entries of an HVM context that are told apart: those of 3,000 vcpus.
ENTRIES_MAX = 1 << 15
_ENTRY = Struct("<HHI")
_PIECE = 64 << 10
# What is said of a vcpu lies in this part of records, or is all of them.
_INSIDE = "context."


def compare(section: Section, key: Key, a: Side, b: Side, devices: tuple[Devices, Devices] = ({}, {})) -> None:
    """Add what differs in what is about the same in both, of which `devices` are described."""
    about, identity = key
    one, other = a.items[key], b.items[key]
    item = label(about, identity, one[0])
    if len(one) == len(other) == 1 and _same(one[0], other[0], a.bodies, b.bodies):
        return
    if about == CONTEXT:
        _contexts(section, one[0], other[0], a, b)
    elif about in STATES:
        _states(section, item, one[0], other[0], a, b)
    elif any(part.size > DECODE_MAX for part in (*one, *other)):
        _opaque(section, item, "body", (a.bodies, one[0].at, one[0].size), (b.bodies, other[0].at, other[0].size))
    else:
        left, right = _leaves(about, one, a.bodies), _leaves(about, other, b.bodies)
        if about == CONFIGURATION:
            left, right = configuration(left, right)
        elif about != PARAMS and one[0].path != other[0].path:
            # What one of two forms does not say is no difference.
            both = left.keys() & right.keys()
            left, right = ({name: leaf for name, leaf in found.items() if name in both} for found in (left, right))
        if PAYLOAD in left and PAYLOAD in right:
            by_fields(identity, left, right, devices)
        leaf_differences(section, item, left, right)


def label(about: str, identity: Identity, part: Part) -> str:
    """Which of those that are about the same it is, in words."""
    layout = layouts().get(part.path)
    fields = {row.path for row in layout.fields} if layout is not None else set()
    words = [value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value) for value in identity]
    if about in VCPUS:
        return f"vcpu {words[0] if words else 0}"
    if "index" in fields and identity:
        return f"index {words[0]}"
    return " ".join(words)


def _same(one: Part, other: Part, a: Bodies, b: Bodies) -> bool:
    """Whether two records say the same, byte for byte."""
    if (one.path, one.order, one.size) != (other.path, other.order, other.size):
        return False
    pairs = zip(a.pieces(one.at, one.size), b.pieces(other.at, other.size), strict=False)
    return all(left == right for left, right in pairs)


def _states(section: Section, item: str, one: Part, other: Part, a: Side, b: Side) -> None:
    """States of programs, which any record may have: bytes, and beside them what both records say."""
    spans = []
    for part, side in ((one, a), (other, b)):
        fixed = min(layouts()[part.path].size, part.size)
        spans.append((side.bodies, part.at + fixed, part.size - fixed))
    if one.path == other.path:
        heads = [
            leaves(part.path, side.bodies.read(part.at, at - part.at), part.order)
            for part, side, (_, at, _) in ((one, a, spans[0]), (other, b, spans[1]))
        ]
        leaf_differences(section, item, *heads)
    if in_base64(one.path) != in_base64(other.path) and max(one.size, other.size) <= DECODE_MAX:
        datas = [
            _plain(part.path, bodies.read(at, size))
            for part, (bodies, at, size) in zip((one, other), spans, strict=True)
        ]
        leaf_differences(section, item, *({"state": Leaf(data)} for data in datas))
        return
    _opaque(section, item, "state", *spans)


def _plain(path: str, data: bytes) -> bytes:
    """A state that may be in base64, as far as it is that."""
    if not in_base64(path):
        return data
    from base64 import b64decode

    try:
        return b64decode(data)
    except ValueError:
        return data


def _opaque(section: Section, item: str, field: str, one: Span, other: Span) -> None:
    """Bytes that are not looked into."""
    (a, start, size), (b, there, length) = one, other
    at = 0
    for left, right in zip(a.pieces(start, size), b.pieces(there, length), strict=False):
        if left != right:
            at += first_difference(left, right)
            break
        at += len(left)
    if at == size == length:
        return
    section.add(Difference(item, field, _from(one, at), _from(other, at)))


def _from(span: Span, at: int) -> Plain:
    """What lies there from its byte `at` on."""
    bodies, first, size = span
    return {"bytes": size, "at": at, "hex": bodies.read(first + at, min(SHOWN, size - at)).hex()}


def _leaves(about: str, parts: list[Part], bodies: Bodies) -> Leaves:
    """The leaves of one thing, which several records may say together."""
    found: Leaves = {}
    for part in parts:
        raw = bodies.read(part.at, part.size)
        if about == CONFIGURATION:
            return _source(part, raw)
        mine = leaves(part.path, raw, part.order, part.width)
        for name in (*IDENTITY, *NUMBERING):
            mine.pop(name, None)
        if about == PARAMS:
            mine = _params(part, mine)
        elif not any(name.startswith(_INSIDE) for name in mine) and about in VCPUS:
            mine = {_INSIDE + name: leaf for name, leaf in mine.items()}
        found |= mine
    return found


def _params(part: Part, found: Leaves) -> Leaves:
    """HVM parameters by their names, of records that have one each or a few in a row, too."""
    if part.path == PARAMS:
        return found
    one = tables.LEGACY_PARAM_INDEX.get(part.type)
    numbers = tables.LEGACY_TAIL_PARAMS if one is None else (one,)
    (listed,) = layouts()[PARAMS].parts
    assert listed.element is not None
    names = next(row.names for row in listed.element.fields if row.path == "index")
    said = zip(numbers, found.values(), strict=False)
    return {names.get(number, f"{number:#x}"): leaf for number, leaf in said if leaf.value}


def _source(part: Part, raw: bytes) -> Leaves:
    """The text of a configuration."""
    layout = layouts()[part.path]
    size = int.from_bytes(raw[: layout.size], "little") if layout.size else len(raw)
    return {"": Leaf(raw[layout.size :][:size])}


# -- HVM contexts --------------------------------------------------------------------------------------------------


def _contexts(section: Section, one: Part, other: Part, a: Side, b: Side) -> None:
    """Entry by entry, by their types and instances."""
    left, right = _entries(one, a.bodies), _entries(other, b.bodies)
    if left is None or right is None:
        _opaque(section, "", "context", (a.bodies, one.at, one.size), (b.bodies, other.at, other.size))
        return
    for kind, instance in left | right:
        name = _entry_name(kind, instance)
        here, there = left.get((kind, instance)), right.get((kind, instance))
        if here is None or there is None:
            section.absent(name, "", there is None)
            continue
        datas = a.bodies.read(*here), b.bodies.read(*there)
        if datas[0] == datas[1]:
            continue
        found = [_entry_leaves(kind, data) for data in datas]
        if here[1] != there[1]:
            section.add(Difference(name, "length", here[1], there[1]))
        leaf_differences(section, name, *found)


def _entry_name(kind: int, instance: int) -> str:
    name = ENTRY_NAMES.get(kind) or (tables.HVM_TYPES[kind][0] if kind in tables.HVM_TYPES else f"type {kind}")
    return f"{name}[{instance}]" if instance else name


def _entry_leaves(kind: int, data: bytes) -> Leaves:
    path = form(f"hvm.{ENTRY_NAMES[kind]}", len(data)) if kind in ENTRY_NAMES else ""
    return of_payload(payloads()[path], data) if path else {"data": Leaf(data)}


def _entries(part: Part, bodies: Bodies) -> Entries | None:
    """The entries of a context, None if there are too many, or they do not fit."""
    found: Entries = {}
    at, end = part.at + layouts()[part.path].size, part.at + part.size
    entry = Struct(part.order + _ENTRY.format[1:])
    buffer, base = b"", at
    while at < end:
        if at + entry.size > base + len(buffer):
            buffer, base = bodies.read(at, min(_PIECE, end - at)), at
        if at + entry.size > base + len(buffer):
            return None
        kind, instance, size = entry.unpack_from(buffer, at - base)
        at += entry.size
        if at + size > end or size > DECODE_MAX or len(found) >= ENTRIES_MAX:
            return None
        # Of entries that are alike in this a restore takes each in turn, so the last counts.
        found[kind, instance] = at, size
        at += size
        if kind == tables.HVM_END:
            break
    return found
