"""Where fields inside payloads lie in a record's body, by paths as `edit` has them: "CPU[1].rip", "context.vcpu"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..errors import FieldError
from ..payload_tables import ENTRY_NAMES, FORMS, PLACES
from ..schema import features
from ..schema.libxc import WIDTHS
from ..schema.model import Field, Layout
from .decode import layouts, values_of
from .locate import Places
from .named import wanted
from .payload import ORDER, form, payloads

# How the name of a field ends whose payload depends on the width of the guest, where that is not known.
_WIDE = tuple(f"_{8 * width}" for width in WIDTHS)
# Bytes of a list that are looked through for an element of a name.
_LIST_MAX = 64 << 10
Hold = Callable[[int], bytearray]
_KINDS = {name: code for code, name in ENTRY_NAMES.items()}


def find(path: str, size: int, order: str, hold: Hold, place: str) -> tuple[int, Field, int] | None:
    """Where the block begins that such a field lies in, the field, and how many steps it took to find that.

    It is None if `place` goes into no payload.

    :param path: of the record's layout, `size` bytes of which `hold` gives the first ones.
    :raises FieldError: where it does, and there is no such field.
    """
    head, _, rest = place.partition(".")
    if not rest:
        return None
    if f"{path}.context" in PLACES and head.partition("[")[0] in _KINDS:
        name, _, number = head.removesuffix("]").partition("[")
        for steps, (kind, instance, at, length) in enumerate(_entries(path, size, order, hold)):
            if kind == _KINDS[name] and number in ("", str(instance)):
                return *_field(form(f"hvm.{name}", length), at, length, hold, rest, place), steps
        raise FieldError(place, f"the context has no entry {head}")
    head, wide, bits = head.partition("_") if head.endswith(_WIDE) else (head, "", "")
    what = PLACES.get(path, {}).get(head)
    if what is None:
        return None
    at = next((row.offset for row in layouts()[path].fields if row.path == head), layouts()[path].size)
    if {*FORMS[what]} == {*WIDTHS} and not wide:
        raise FieldError(place, f"a guest of which width? {' or '.join(f'{head}{end}.{rest}' for end in _WIDE)}")
    found = form(what, int(bits) // 8 if wide else size - at)
    return *_field(found, at, size - at, hold, rest, place), 0


def member(path: str, size: int, order: str, hold: Hold, place: str) -> tuple[int, Field, int] | None:
    """The same for what an element of a policy or a parameter has by name; None if no element has it."""
    rows = wanted(path.partition(".")[2], place)
    if not rows:
        return None
    part = layouts()[path].parts[0]
    element = part.element
    assert element is not None
    held = hold(min(size, _LIST_MAX))
    for steps, at in enumerate(range(layouts()[path].size, len(held) - part.unit + 1, part.unit)):
        values = values_of(element.fields, bytes(held[at : at + part.unit]), order)
        for keys, name, shift, bits, names in rows:
            if keys.items() <= values.items():
                row = next(row for row in element.fields if row.path == name)
                return at, replace(row, shift=shift, bits=bits, names=names), steps
    return None


def put_at(layout: Layout, size: int, hold: Hold, place: str) -> tuple[int, Field]:
    """Where the block begins that a field of a payload lies in, or a bit of one that has a name, and the field.

    Raises FieldError.
    """
    try:
        at, row, _ = Places(layout, size, ORDER, hold).find(place)
    except FieldError:
        register, _, name = place.rpartition(".")
        names = features.FIELD_BITS.get(layout.path, {}).get(register)
        names = names or features.REGISTER_BITS.get(register.rpartition(".")[2], {})
        shift = next((bit for bit, known in names.items() if known == name), None)
        if shift is None:
            raise
        at, row, _ = Places(layout, size, ORDER, hold).find(register)
        row = replace(row, shift=shift, bits=1)
    return at, row


def _field(path: str, at: int, length: int, hold: Hold, rest: str, place: str) -> tuple[int, Field]:
    if not path:
        raise FieldError(place, f"of {length} bytes it is nothing whose fields have names")
    try:
        start, row = put_at(payloads()[path], length, lambda count: hold(at + count)[at:], rest)
    except FieldError as error:
        raise FieldError(place, str(error).partition(": ")[2]) from None
    return at + start, row


def _entries(path: str, size: int, order: str, hold: Hold) -> Iterator[tuple[int, int, int, int]]:
    """Type and instance of each entry of an HVM context, and where its data begin, of what length."""
    at = layouts()[path].size
    word = "big" if order == ">" else "little"
    while at + 8 <= size and len(raw := hold(at + 8)) >= at + 8:
        kind, instance, length = (
            int.from_bytes(raw[at + first : at + last], word)  # type: ignore[arg-type] # it is one of the two
            for first, last in ((0, 2), (2, 4), (4, 8))
        )
        at += 8
        if at + length > size:
            return
        yield kind, instance, at, length
        at += length
