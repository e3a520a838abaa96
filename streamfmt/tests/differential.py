"""Several thousand streams, each a good one with one thing done to it, for judging us by real readers.

What is done is systematic: every field of every header, record and element takes its boundary values, every length
and padding is off, every record is left out, doubled, exchanged and moved to each place, and the stream is cut at
each boundary.  The vectors of all clauses come on top.  Names say what was done; nothing is random.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from ..schema.describe import Field, Layout, catalogue
from .good import HVM, HVM_V2, LIBXL_HVM, LIBXL_PV, PV, PV_V2, REMUS_HVM, REMUS_PV
from .streams import HEADERS, RECORDS, Part, Stream, in_xl, raw, unknown
from .vectors import ACCEPTED, BREAKING

LIMIT = 128 << 20
# Octets of an xl header and what comes before the stream in the file made here.
_OUTER = 120
# Larger streams tell nothing that small ones do not.
_SIZE_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """A stream, and how it is to be read: as `form` ("libxc", "libxl", "xl"), by a restorer of `guest`.

    `touched` is the schema path of the field that was changed, if one was.
    """

    name: str
    stream: Stream
    form: str
    guest: str
    remus: bool = False
    touched: str = ""

    @property
    def octets(self) -> bytes:
        return self.stream.render()


@cache
def _layouts() -> dict[str, Layout]:
    return catalogue()


def _values(row: Field) -> list[int | bytes]:
    """Boundary values of a field, and each bit of one that is reserved."""
    if row.raw:
        if row.size > 64:
            return []
        return [b"\1" + bytes(row.size - 1), bytes(row.size - 1) + b"\x80", bytes(row.size), b"\xff" * row.size]
    most = (1 << row.bits) - 1
    found = {0, 1, most, most >> 1, (most >> 1) + 1}
    for value in row.allowed or ():
        found |= {value, value - 1, value + 1}
    if row.allowed == (0,):
        found |= {1 << bit for bit in range(row.bits)}
    if row.bits <= 4:
        found |= set(range(most + 1))
    return sorted(value for value in found if 0 <= value <= most)


def _places(stream: Stream) -> Iterator[tuple[Part, int]]:
    """Each part that has a layout, and which of its path it is."""
    seen: dict[str, int] = {}
    for part in stream:
        nth = seen.setdefault(part.path, 0)
        seen[part.path] += 1
        if part.path in HEADERS or part.path in RECORDS:
            yield part, nth


def _fields(stream: Stream) -> Iterator[tuple[str, Stream, str]]:
    for part, nth in _places(stream):
        layout = _layouts()[part.path]
        body = part.body("<")
        rows = [(row.path, row) for row in layout.fields]
        if layout.parts and layout.parts[0].element is not None and layout.parts[0].unit:
            first = layout.parts[0]
            count = (len(body) - layout.size) // first.unit
            if part.path == "libxc.PAGE_DATA":
                count = int.from_bytes(body[:4], "little")
            for number in sorted({0, count - 1} & set(range(count))):
                rows += [
                    (f"{first.name}[{number}].{row.path}".rstrip("."), row) for row in layout.parts[0].element.fields
                ]
        for path, row in rows:
            for value in _values(row):
                told = value.hex() if isinstance(value, bytes) else f"{value:#x}"
                changed = stream.patch(part.path, path, value, nth)
                if changed.render() != stream.render():
                    yield f"{part.path}#{nth}.{path}={told}", changed, re.sub(r"\[\d+\]", "", f"{part.path}.{path}")


def _lengths(stream: Stream) -> Iterator[tuple[str, Stream, str]]:
    for part, nth in _places(stream):
        if part.path in HEADERS:
            continue
        length = len(part.body("<"))
        for size in sorted({0, 1, length - 8, length - 1, length + 1, length + 8, length + 4096} - {length}):
            if size >= 0:
                yield f"{part.path}#{nth} of {size}", stream.resized(part.path, size, nth), part.path
        for claim in sorted(
            {0, length - 8, length + 8, LIMIT, LIMIT + 1, LIMIT + 8, 0xFFFFFFF8, 0xFFFFFFFF} - {length}
        ):
            if claim >= 0:
                yield f"{part.path}#{nth} claims {claim}", stream.edit(part.path, nth, claim=claim), part.path
        if length % 8:
            yield f"{part.path}#{nth} padded", stream.edit(part.path, nth, padding=b"\xff" * (-length % 8)), part.path
        for code in (0x0B, 0x13, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            yield f"{part.path}#{nth} is {code:#x}", stream.edit(part.path, nth, code=code), part.path


def _order(stream: Stream) -> Iterator[tuple[str, Stream]]:
    parts = stream.parts
    for at, part in enumerate(parts):
        where = f"{at} {part.path}"
        rest = (*parts[:at], *parts[at + 1 :])
        yield f"without {where}", replace(stream, parts=rest)
        yield f"twice {where}", replace(stream, parts=(*parts[:at], part, *parts[at:]))
        for to in range(len(rest) + 1):
            if to not in (at, at + 1):
                yield f"{where} to {to}", replace(stream, parts=(*rest[:to], part, *rest[to:]))
        layer = "libxl" if part.path.startswith("libxl") else "libxc"
        if part.path not in HEADERS:
            for code in (0x13, 0x80000000):
                added = (*parts[:at], unknown(layer, code, b"body"), *parts[at:])
                yield f"{code:#x} before {where}", replace(stream, parts=added)


def _cuts(stream: Stream) -> Iterator[tuple[str, Stream]]:
    offsets = stream.offsets()
    for at in offsets:
        for cut in (at - 1, at, at + 1, at + 4, at + 8):
            if 0 < cut < offsets[-1]:
                yield f"cut at {cut}", replace(stream, cut=cut)
    yield "junk behind", stream.then(raw(b"\xa5" * 24))


_PLAIN: tuple[tuple[str, Stream, str, str], ...] = (
    ("hvm", HVM, "libxc", "hvm"),
    ("hvm-v2", HVM_V2, "libxc", "hvm"),
    ("pv", PV, "libxc", "pv"),
    ("pv-v2", PV_V2, "libxc", "pv"),
    ("remus-hvm", REMUS_HVM, "libxc", "hvm"),
    ("remus-pv", REMUS_PV, "libxc", "pv"),
    # The script takes no xenstore record at all.
    ("libxl-hvm", LIBXL_HVM.without("libxl.EMULATOR_XENSTORE_DATA"), "libxl", "hvm"),
    ("libxl-pv", LIBXL_PV, "libxl", "pv"),
    ("xl-hvm", in_xl(LIBXL_HVM.without("libxl.EMULATOR_XENSTORE_DATA")), "xl", "hvm"),
)


def _form(stream: Stream) -> str:
    first = stream.parts[0].path if stream.parts else ""
    return {"libxl.header": "libxl", "libxc.image_header": "libxc", "xl.header": "xl"}.get(first, "")


def _guest(stream: Stream) -> str:
    kinds = [part.values.get("type") for part in stream if part.path == "libxc.domain_header"]
    return "pv" if kinds and kinds[0] == 1 else "hvm"


def _vectors() -> Iterator[Case]:
    tables = [(clause, "accepted ", vectors) for clause, vectors in ACCEPTED.items()]
    for clause, kind, vectors in (*tables, *((clause, "", vectors) for clause, vectors in BREAKING.items())):
        for name, vector in vectors.items():
            form = _form(vector.stream)
            if not form or vector.large or vector.deep or vector.mode not in ("auto", "remus"):
                continue
            if sum(map(len, vector.stream.pieces())) <= _SIZE_MAX:
                remus = "libxc.CHECKPOINT" in vector.stream.paths
                yield Case(f"{clause} {kind}{name}", vector.stream, form, _guest(vector.stream), remus)


@cache
def cases() -> tuple[Case, ...]:
    """All of them, each once."""
    return tuple(_cases())


def _cases() -> Iterator[Case]:
    seen: set[tuple[str, bytes]] = set()
    for name, stream, form, guest in _PLAIN:
        remus = name.startswith("remus")
        made = [("as it is", stream), *_cuts(stream)]
        if remus:
            # Moving every record of three checkpoints would be thousands: their order is that of the first.
            made += [row for row in _order(stream) if " to " not in row[0]]
        else:
            made += _order(stream)
        for what, changed, touched in (*_fields(stream), *_lengths(stream), *((*row, "") for row in made)):
            if form == "xl" and (changed.parts[2:] != stream.parts[2:] or (changed.cut or 0) > _OUTER):
                continue  # the stream inside has had its turn
            case = Case(f"{name}: {what}", changed, form, guest, remus, touched)
            if (form, case.octets) not in seen:
                seen.add((form, case.octets))
                yield case
    for case in _vectors():
        if (case.form, case.octets) not in seen:
            seen.add((case.form, case.octets))
            yield case
