"""Several thousand streams, each a good one with one thing done to it, for judging us by real readers.

What is done is systematic: every field of every header, record and element takes its boundary values, every length
and padding is off, every record is left out, doubled, exchanged, moved to each place and taken for each other type,
and the stream is cut at each boundary.  The good ones are those of `good` and what Xen's own saver wrote.  The
vectors of all clauses come on top.  Names say what was done; nothing is random.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import blake2b
from itertools import chain

from .. import data
from ..recipes.samples import in_xl
from ..schema.libxc import PAGE_SIZE
from ..strategies.edits import boundary_values, fields
from ..writer import HEADERS, RECORDS, Draft, Part, raw, unknown
from .good import END, HVM, HVM_V2, LIBXL_HVM, LIBXL_PV, PV, PV_V2, REMUS_HVM, REMUS_PV, VERIFY
from .vectors import ACCEPTED, BREAKING, HISTORY, HOSTILE, PLACES, SEVERAL

LIMIT = 128 << 20
# Bytes of an xl header and what comes before the stream in the file made here.
_OUTER = 120
# Larger streams tell nothing that small ones do not.
_SIZE_MAX = 1 << 20


@dataclass(frozen=True)
class Case:
    """A stream, and how it is to be read: as `form` ("libxc", "libxl", "xl"), by a restorer of `guest`.

    `mode` is what it is declared to be, to us and to them.
    """

    name: str
    stream: Draft
    form: str
    guest: str
    mode: str = "plain"

    @property
    def remus(self) -> bool:
        return self.mode != "plain"

    @cached_property
    def data(self) -> bytes:
        return self.stream.render()


def _places(stream: Draft) -> Iterator[tuple[Part, int]]:
    """Each part that has a layout, and which of its path it is; of one that comes again and again first and last."""
    seen: dict[str, int] = {}
    again = Counter(map(id, stream))
    left = Counter(again)
    for part in stream:
        nth = seen.setdefault(part.path, 0)
        seen[part.path] += 1
        left[id(part)] -= 1
        if (part.path in HEADERS or part.path in RECORDS) and left[id(part)] in (0, again[id(part)] - 1):
            yield part, nth


def _fields(stream: Draft) -> Iterator[tuple[str, Draft]]:
    for part, nth in _places(stream):
        body = part.body("<")
        for path, row in fields(part).items():
            # A page has no boundaries.
            for value in boundary_values(row) if row.size < PAGE_SIZE else ():
                told = value.hex() if isinstance(value, bytes) else f"{value:#x}"
                changed = stream.patch(part.path, path, value, nth)
                if changed.part(part.path, nth).body("<") != body:
                    yield f"{part.path}#{nth}.{path}={told}", changed


def _lengths(stream: Draft) -> Iterator[tuple[str, Draft]]:
    for part, nth in _places(stream):
        if part.path in HEADERS:
            continue
        length = len(part.body("<"))
        for size in sorted({0, 1, length - 8, length - 1, length + 1, length + 8, length + 4096} - {length}):
            if size >= 0:
                yield f"{part.path}#{nth} of {size}", stream.resized(part.path, size, nth)
        for claim in sorted(
            {0, length - 8, length + 8, LIMIT, LIMIT + 1, LIMIT + 8, 0xFFFFFFF8, 0xFFFFFFFF} - {length}
        ):
            if claim >= 0:
                yield f"{part.path}#{nth} claims {claim}", stream.edit(part.path, nth, declared_length=claim)
        if length % 8:
            yield f"{part.path}#{nth} padded", stream.edit(part.path, nth, padding=b"\xff" * (-length % 8))


def _types(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Each record as one of every other type that its layer has, and of types that it has not."""
    for part, nth in _places(stream):
        if part.path in HEADERS:
            continue
        layer = part.path.partition(".")[0]
        known = {row.code for path, row in RECORDS.items() if path.startswith(f"{layer}.")}
        for code in sorted(known | {max(known) + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}):
            if code != RECORDS[part.path].code:
                yield f"{part.path}#{nth} is {code:#x}", stream.edit(part.path, nth, code=code)


def _order(stream: Draft, moving: bool = True) -> Iterator[tuple[str, Draft]]:
    parts = stream.parts
    for at, part in enumerate(parts):
        where = f"{at} {part.path}"
        rest = (*parts[:at], *parts[at + 1 :])
        yield f"without {where}", replace(stream, parts=rest)
        yield f"twice {where}", replace(stream, parts=(*parts[:at], part, *parts[at:]))
        for to in range(len(rest) + 1) if moving else ():
            if to not in (at, at + 1):
                yield f"{where} to {to}", replace(stream, parts=(*rest[:to], part, *rest[to:]))
        layer = "libxl" if part.path.startswith("libxl") else "libxc"
        if part.path not in HEADERS:
            for code in (0x13, 0x80000000):
                added = (*parts[:at], unknown(layer, code, b"body"), *parts[at:])
                yield f"{code:#x} before {where}", replace(stream, parts=added)


def _cuts(stream: Draft) -> Iterator[tuple[str, Draft]]:
    offsets = stream.offsets()
    for at in offsets:
        for cut in (at - 1, at, at + 1, at + 4, at + 8):
            if 0 < cut < offsets[-1]:
                yield f"cut at {cut}", replace(stream, cut=cut)
    yield "junk behind", stream.then(raw(b"\xa5" * 24))


# -- what it is done to -----------------------------------------------------------------------------------------


def _real(name: str) -> Draft:
    """A bare libxc image of the corpus, in parts."""
    with gzip.open(data.path("corpus", "real", name)) as file:
        content = file.read()
    names = {row.code: path for path, row in RECORDS.items() if path.startswith("libxc.")}
    parts = [Part("libxc.image_header", data=content[:24]), Part("libxc.domain_header", data=content[24:40])]
    at = 40
    while at < len(content):
        kind, length = (int.from_bytes(content[place : place + 4], "little") for place in (at, at + 4))
        parts.append(Part(names[kind], data=content[at + 8 :][:length]))
        at += 8 + (length + 7 & ~7)
    return Draft(tuple(parts))


def _plainly(stream: Draft) -> Draft:
    """Without xenstore records: the script refuses them all, and would not come to what the stream is about."""
    return replace(stream, parts=tuple(part for part in stream if part.path != "libxl.EMULATOR_XENSTORE_DATA"))


_LIBXL_HVM = _plainly(LIBXL_HVM)


@dataclass(frozen=True, slots=True)
class Base:
    """A good stream that things are done to, how it is read, and by which of the families they are done."""

    stream: Draft
    form: str
    guest: str
    mode: str = "plain"
    families: str = "field length type order move cut"


def _bases() -> dict[str, Base]:
    # Moving every record of three checkpoints would be thousands: their order is that of the first.
    checkpointed = "field length type order cut"
    return {
        "hvm": Base(HVM, "libxc", "hvm"),
        "hvm-v2": Base(HVM_V2, "libxc", "hvm"),
        "pv": Base(PV, "libxc", "pv"),
        "pv-v2": Base(PV_V2, "libxc", "pv"),
        "remus-hvm": Base(REMUS_HVM, "libxc", "hvm", "auto", checkpointed),
        "remus-pv": Base(REMUS_PV, "libxc", "pv", "auto", checkpointed),
        "libxl-hvm": Base(_LIBXL_HVM, "libxl", "hvm"),
        "libxl-pv": Base(LIBXL_PV, "libxl", "pv"),
        # An END behind it makes the script take a checkpointed stream.
        "remus-verified": Base(
            REMUS_HVM.before("libxc.X86_TSC_INFO", VERIFY).then(END), "libxc", "hvm", "auto", families=""
        ),
        "xl-hvm": Base(in_xl(_LIBXL_HVM), "xl", "hvm"),
        # Real ones are large, so less is done to them.
        "real-hvm": Base(_real("hvm-64.bin.gz"), "libxc", "hvm", families="order cut"),
        "real-pv": Base(_real("pv-24.bin.gz"), "libxc", "pv", families="length order cut"),
        "real-remus": Base(_real("hvm-remus.bin.gz"), "libxc", "hvm", "auto", ""),
        "real-pv-list": Base(_real("pv-list.bin.gz"), "libxc", "pv", families=""),
    }


def _done(base: Base) -> Iterator[tuple[str, Draft]]:
    stream, families = base.stream, base.families.split()
    made: list[Iterable[tuple[str, Draft]]] = [[("as it is", stream)]]
    if "cut" in families:
        made.append(_cuts(stream))
    if "order" in families:
        made.append(_order(stream, "move" in families))
    for family, make in (("field", _fields), ("length", _lengths), ("type", _types)):
        if family in families:
            made.append(make(stream))
    yield from chain(*made)


def _form(stream: Draft) -> str:
    first = stream.parts[0].path if stream.parts else ""
    return {"libxl.header": "libxl", "libxc.image_header": "libxc", "xl.header": "xl"}.get(first, "")


def _guest(stream: Draft) -> str:
    kinds = [part.values.get("type") for part in stream if part.path == "libxc.domain_header"]
    return "pv" if kinds and kinds[0] == 1 else "hvm"


def _vectors() -> Iterator[Case]:
    tables = (
        (ACCEPTED, "accepted "),
        (PLACES, ""),
        (HISTORY, ""),
        (HOSTILE, ""),
        (BREAKING, ""),
        (SEVERAL, "several "),
    )
    for clause, kind, vectors in [
        (clause, kind, vectors) for table, kind in tables for clause, vectors in table.items()
    ]:
        for name, vector in vectors.items():
            form = _form(vector.stream)
            # Legacy streams are named, and not judged.
            if not form or vector.large or vector.mode == "colo" or name.startswith("legacy-"):
                continue
            about = "EMUXS" in clause or vector.stream.cut is not None
            stream = vector.stream if about else _plainly(vector.stream)
            if sum(map(len, stream.pieces())) <= _SIZE_MAX:
                checkpointed = form != "libxc" or "libxc.CHECKPOINT" in stream.paths
                mode = vector.mode if vector.mode != "auto" else "auto" if checkpointed else "plain"
                yield Case(f"{clause} {kind}{name}", stream, form, _guest(stream), mode)


@cache
def cases() -> tuple[Case, ...]:
    """All of them, each once."""
    return tuple(_cases())


def _cases() -> Iterator[Case]:
    seen: set[bytes] = set()
    made = (
        Case(f"{name}: {what}", changed, base.form, base.guest, base.mode)
        for name, base in _bases().items()
        for what, changed in _done(base)
        # The stream inside a container has had its turn.
        if base.form != "xl" or (changed.parts[2:] == base.stream.parts[2:] and (changed.cut or 0) <= _OUTER)
    )
    for case in chain(made, _vectors()):
        digest = blake2b(f"{case.form} {case.mode} ".encode() + case.data).digest()
        if digest not in seen:
            seen.add(digest)
            yield case
