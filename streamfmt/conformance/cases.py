"""Several thousand streams, each a good one with one thing done to it, for judging us by real readers.

What is done is systematic: every field of every header, record and element takes its boundary values, every length
and padding is off, every record is left out, doubled, exchanged, moved to each place and taken for each other type,
and the stream is cut at each boundary.  The good ones are those of the corpus and what Xen's own saver wrote.  The
corpus's streams about each clause come on top.  Names say what was done; nothing is random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import blake2b
from itertools import chain

from .. import tables
from ..corpus import entries
from ..corpus.entries import Entry
from ..reader.registry import ROWS
from ..recipes.from_stream import from_bytes
from ..recipes.load import load
from ..writer import HEADERS, RECORDS, Draft, Part, raw, record, unknown
from ..writer.boundaries import boundary_values, fields
from ..writer.builders import in_xl

# What verify-stream-v2 takes.
FORMS = ("libxc", "libxl", "xl")
# What xenpeer calls them.
_KIND = {"plain": "", "colo": "-colo"}
BACK = "back-channel"
DIRTY = "libxc.CHECKPOINT_DIRTY_PFN_LIST"
# Of the guest that xenpeer saves to try a back channel.
COLO_PAGES = 72
# The last frame of the good PV guest, which has no page.
PV_HOLE = 3
# Larger streams of the corpus show nothing that small ones do not.
_SIZE_MAX = 60_000
# What of the corpus comes on top, in this order, by kind, and the word for it in a name.
_KINDS = {
    "good": "accepted ",
    "accepted": "accepted ",
    "places": "",
    "history": "",
    "hostile": "",
    "broken": "",
    "several": "several ",
}


@dataclass(frozen=True)
class Case:
    """A stream, and how to read it: as `form` ("libxc", "libxl", "xl"), by a restorer of `guest`.

    `mode` is what it is declared to be, to us and to them.
    """

    name: str
    stream: Draft
    form: str
    guest: str
    mode: str = "plain"

    @property
    def remus(self) -> bool:
        """Whether a restorer is to take checkpoints."""
        return self.mode != "plain"

    @property
    def image(self) -> bool:
        """Whether it is a bare image."""
        return ROWS[self.form].image

    @property
    def back(self) -> bool:
        """Whether it is COLO's back channel."""
        return self.form == BACK

    @property
    def kind(self) -> str:
        """What xenpeer is asked to read it as."""
        if self.back:
            return "hvm-colo-back"
        return self.guest + _KIND.get(self.mode, "-remus")

    @cached_property
    def data(self) -> bytes:
        """Its bytes."""
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


def field_values(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Each field with each of its boundary values."""
    for part, nth in _places(stream):
        body = part.body("<")
        for path, row in fields(part).items():
            # A page has no boundaries.
            for value in boundary_values(row) if row.size < tables.PAGE_SIZE else ():
                shown = value.hex() if isinstance(value, bytes) else f"{value:#x}"
                changed = stream.patch(part.path, path, value, nth)
                if changed.part(part.path, nth).body("<") != body:
                    yield f"{part.path}#{nth}.{path}={shown}", changed


def _lengths(stream: Draft) -> Iterator[tuple[str, Draft]]:
    limit = tables.RECORD_LENGTH_MAX
    for part, nth in _places(stream):
        if part.path in HEADERS:
            continue
        length = len(part.body("<"))
        for size in sorted({0, 1, length - 8, length - 1, length + 1, length + 8, length + 4096} - {length}):
            if size >= 0:
                yield f"{part.path}#{nth} of {size}", stream.resized(part.path, size, nth)
        for claim in sorted(
            {0, length - 8, length + 8, limit, limit + 1, limit + 8, 0xFFFFFFF8, 0xFFFFFFFF} - {length}
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
        known = tables.RECORDS[part.layer].keys()
        for code in sorted(known | {max(known) + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}):
            if code != RECORDS[part.path].code:
                yield f"{part.path}#{nth} is {code:#x}", stream.edit(part.path, nth, code=code)


def order(
    stream: Draft, moving: bool = True, codes: tuple[int, ...] = (0x13, 0x80000000)
) -> Iterator[tuple[str, Draft]]:
    """Each part left out, doubled and, if asked for, moved to each place; and parts of other types between them."""
    parts = stream.parts
    for at, part in enumerate(parts):
        where = f"{at} {part.path}"
        rest = (*parts[:at], *parts[at + 1 :])
        yield f"without {where}", replace(stream, parts=rest)
        yield f"twice {where}", replace(stream, parts=(*parts[:at], part, *parts[at:]))
        for to in range(len(rest) + 1) if moving else ():
            if to not in (at, at + 1):
                yield f"{where} to {to}", replace(stream, parts=(*rest[:to], part, *rest[to:]))
        if part.path not in HEADERS:
            for code in codes:
                new = unknown(part.layer, code, b"body") if ROWS[part.layer].header_size else raw(b"body")
                added = (*parts[:at], new, *parts[at:])
                yield f"{code:#x} before {where}", replace(stream, parts=added)


def cuts(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """The stream cut at each boundary and beside it, and with more after it."""
    offsets = stream.offsets()
    for at in offsets:
        for cut in (at - 1, at, at + 1, at + 4, at + 8):
            if 0 < cut < offsets[-1]:
                yield f"cut at {cut}", replace(stream, cut=cut)
    yield "junk after", stream.then(raw(b"\xa5" * 24))


# -- what it is done to -----------------------------------------------------------------------------------------


def _real(name: str) -> Draft:
    """A bare libxc image of the corpus, in parts."""
    return load(from_bytes(entries.unpacked(entries.folder() / entries.REAL / name))[0]).stream


def plainly(stream: Draft) -> Draft:
    """Without xenstore records: the script refuses them all, and would not come to what the stream is about."""
    return replace(stream, parts=tuple(part for part in stream if part.path != "libxl.EMULATOR_XENSTORE_DATA"))


def rings(pv: Draft, pfn: int) -> Draft:
    """A PV guest whose start_info page, its first, names that frame for each of its rings, and all else."""
    page = pfn.to_bytes(8, "little") * (tables.PAGE_SIZE // 8)
    contents = b"".join(pv.part("libxc.PAGE_DATA").values["pages"])
    return pv.put("libxc.PAGE_DATA", pages=[page, contents[tables.PAGE_SIZE :]])


def _interrupted(stream: Draft, *more: Part) -> Draft:
    """After the first checkpoint come bytes that are no records, and those given."""
    odd = (code.to_bytes(4, "little") + bytes(4) for code in range(0x12345600, 0x52345600, 0x10000000))
    return stream.after("libxc.CHECKPOINT", raw(b"".join(odd)), *more)


@dataclass(frozen=True, slots=True)
class Base:
    """A good stream that things are done to, how it is read, and by which of the families they are done.

    After `outer` parts of a container is a stream that has had its turn, but for its first two parts.
    """

    stream: Draft
    form: str
    guest: str
    mode: str = "plain"
    families: str = "field length type order move cut"
    outer: int = 0

    def about(self, changed: Draft) -> bool:
        """Whether what is done is done to what the base is for."""
        if not self.outer:
            return True
        inside, begun = self.stream.parts[self.outer :], self.stream.offsets()[self.outer + 2]
        return changed.parts[self.outer :] == inside and (changed.cut or 0) < begun


def _bases() -> dict[str, Base]:
    good = {entry.name: entry.recipe.stream for entry in entries.collection(entries.BASES)}
    hvm, remus, libxl_hvm = good["hvm"], good["remus-hvm"], plainly(good["libxl-hvm"])
    # An END after the last checkpoint makes the script take a checkpointed stream.
    verified = remus.before("libxc.X86_TSC_INFO", record("libxc.VERIFY")).then(hvm.part("libxc.END"))
    # Moving every record of three checkpoints would be thousands: their order is that of the first.
    checkpointed = "field length type order cut"
    return {
        "hvm": Base(hvm, "libxc", "hvm"),
        "hvm-v2": Base(good["hvm-v2"], "libxc", "hvm"),
        "pv": Base(good["pv"], "libxc", "pv"),
        "pv-v2": Base(good["pv-v2"], "libxc", "pv"),
        "pv-rings-far": Base(rings(good["pv"], PV_HOLE + 1), "libxc", "pv", families=""),
        "pv-rings-in-a-hole": Base(rings(good["pv"], PV_HOLE), "libxc", "pv", families=""),
        "remus-hvm": Base(remus, "libxc", "hvm", "auto", checkpointed),
        "remus-pv": Base(good["remus-pv"], "libxc", "pv", "auto", checkpointed),
        "libxl-hvm": Base(libxl_hvm, "libxl", "hvm"),
        "libxl-pv": Base(good["libxl-pv"], "libxl", "pv"),
        "remus-interrupted": Base(_interrupted(remus), "libxc", "hvm", "auto", ""),
        "remus-interrupted-and-ended": Base(
            _interrupted(remus, hvm.part("libxc.END")), "libxc", "hvm", "auto", families=""
        ),
        "remus-verified": Base(verified, "libxc", "hvm", "auto", families=""),
        "xl-hvm": Base(in_xl(libxl_hvm), "xl", "hvm", outer=2),
        # Real ones are large, so less is done to them.
        "real-hvm": Base(_real("hvm-64.bin.gz"), "libxc", "hvm", families="order cut"),
        "real-pv": Base(_real("pv-24.bin.gz"), "libxc", "pv", families="length order cut"),
        "real-remus": Base(_real("hvm-remus.bin.gz"), "libxc", "hvm", "auto", ""),
        "real-pv-list": Base(_real("pv-list.bin.gz"), "libxc", "pv", families=""),
        # What checkpoints hold has had its turn: a COLO secondary reads them by the same code.
        "colo-hvm": Base(remus, "libxc", "hvm", "colo", "type cut"),
        "colo-far": Base(good["back-channel"].put(DIRTY, pfns=[COLO_PAGES]), BACK, "hvm", "colo", ""),
        "colo-back": Base(good["back-channel"], BACK, "hvm", "colo", "field length type cut"),
    }


def done(base: Base) -> Iterator[tuple[str, Draft]]:
    """What the families of a base make of it, and the words for that."""
    stream, families = base.stream, base.families.split()
    made: list[Iterable[tuple[str, Draft]]] = [[("as it is", stream)]]
    if "cut" in families:
        made.append(cuts(stream))
    if "order" in families:
        made.append(order(stream, "move" in families))
    for family, make in (("field", field_values), ("length", _lengths), ("type", _types)):
        if family in families:
            made.append(make(stream))
    yield from chain(*made)


def _form(stream: Draft) -> str:
    return stream.form if stream.form in (*FORMS, BACK) else ""


def _guest(stream: Draft) -> str:
    kinds = [part.values.get("type") for part in stream if part.path == "libxc.domain_header"]
    return "pv" if kinds and kinds[0] == 1 else "hvm"


def from_corpus() -> Iterator[Case]:
    """The corpus's streams that the readers know, those about clauses among them, if they are small."""
    for kind, words in _KINDS.items():
        for name in entries.names():
            found = (entry for entry in entries.collection(name) if entry.kind == kind)
            yield from (_case(entry, words) for entry in found if _known(entry))


def _known(entry: Entry) -> bool:
    made = entry.recipe
    known = _form(made.stream) and (made.mode != "colo" or made.stream.form == BACK)
    return bool(known) and made.stream.size <= _SIZE_MAX and not _legacy(made.stream)


def _legacy(stream: Draft) -> bool:
    """Whether there is a legacy stream in it, which these readers have converted first."""
    return any(part.layer in ROWS and ROWS[part.layer].alias for part in stream)


def _case(entry: Entry, words: str) -> Case:
    stream, mode = entry.recipe.stream, entry.recipe.mode
    if "EMUXS" not in entry.collection and stream.cut is None:
        stream = plainly(stream)
    form = _form(stream)
    if form == BACK:
        mode = "colo"
    if mode == "auto" and ROWS[form].image and "libxc.CHECKPOINT" not in stream.paths:
        mode = "plain"
    return Case(f"{entry.collection} {words}{entry.name}", stream, form, _guest(stream), mode)


@cache
def cases() -> tuple[Case, ...]:
    """All of them, each once."""
    return tuple(_cases())


def _cases() -> Iterator[Case]:
    seen: set[bytes] = set()
    made = (
        Case(f"{name}: {what}", changed, base.form, base.guest, base.mode)
        for name, base in _bases().items()
        for what, changed in done(base)
        if base.about(changed)
    )
    for case in chain(made, from_corpus()):
        digest = blake2b(f"{case.form} {case.mode} ".encode() + case.data).digest()
        if digest not in seen:
            seen.add(digest)
            yield case
