"""What Xen's own convert-legacy-stream does with a legacy stream, by the clauses.

The clauses' `readers` say what it does where they are broken and, as `kept` rows, where they are not and it fails all
the same.  Where that depends on the stream a function here picks the row, by what the stream has.  Its releases all
have the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from struct import unpack_from
from typing import TYPE_CHECKING, NamedTuple

from .. import tables
from ..checks.findings import Finding
from ..checks.verifier import Verifier
from ..codec.content import Buffer
from ..reader.events import Layer, Record, Run
from ..reader.reader import Reader
from ..schema.clauses import CONVERTER, Behaviour, registry
from .asked import INPUTS, headed, wraps

if TYPE_CHECKING:
    from ..reader.pump import Program

_SHIFT, _MASK = tables.LEGACY_TYPE_SHIFT, tables.LEGACY_PFN_MASK
# What it knows as a hole, and drops.
_HOLE = tables.LEGACY_XTAB << _SHIFT
# The one form of the device model's record that it has.
_COUNTED = "QEMU_0002"
_BLOCKS = (tables.LEGACY_VCPU_TAG, tables.LEGACY_EXTV_TAG, tables.LEGACY_XCNT_TAG)
# Where a toolstack's record has its version, after its number and length, and its regions.
_LENGTHS, _REGIONS = 8, 16
_PFN = {4: "I", 8: "Q"}
REJECT, ACCEPT = "reject", "accept"


class Step(NamedTuple):
    """What the script does by `clause` when it gets to byte `at`; `does` is empty if the clause leaves that open.

    `row` is what the clause says of it; None if it says nothing.
    """

    at: int
    clause: str
    does: str
    row: Behaviour | None = None

    @property
    def differs(self) -> bool:
        """Whether the clause says why we do otherwise."""
        return self.row is not None and bool(self.row.why)


class Chunk(NamedTuple):
    """A record of the stream, and its bytes from its number on."""

    name: str
    at: int
    raw: bytes


class Watching(Verifier):
    """A verifier that remembers every record of legacy streams, and where the first checkpoint ends."""

    def __init__(self, mode: str = "auto", deep: bool = False) -> None:
        super().__init__(mode, deep)
        self.seen: list[tuple[str, int, int]] = []
        self.first: int | None = None

    def record(self, record: Record) -> Program | None:
        if record.layer.row.alias:
            self.seen.append((record.name, record.offset, record.end))
        return super().record(record)

    def pages(self, run: Run) -> None:
        if run.layer.row.alias:
            self.seen.append((run.record().name, run.offset, run.offset + run.size))
        super().pages(run)

    def checkpoint(self, layer: Layer, at: int) -> None:
        super().checkpoint(layer, at)
        self.first = at if self.first is None else self.first


class Look:
    """A stream as the script sees it that is given it with these options, by their long names.

    `chunks` and `findings` are those of the first checkpoint, which is all that the script reads; `more` says whether
    others follow.
    """

    def __init__(self, data: Buffer, options: Mapping[str, str], watching: Watching) -> None:
        self.data = data
        self.pv = options["guest-type"] == "pv"
        self.word = int(options["width"]) // 8
        self.bare = not wraps(options)
        self.skips = self.bare and "skip-qemu" in options
        self.headed = headed(options)
        end = len(data) if watching.first is None else watching.first
        self.more = watching.first is not None
        self.chunks = [Chunk(name, at, bytes(data[at:stop])) for name, at, stop in watching.seen if at < end]
        # At its end all is applied, and judged then.
        self.findings: list[Finding] = [found for found in watching.findings.kept if found.offset <= end]

    def named(self, *names: str) -> list[Chunk]:
        """The records of these names."""
        return [chunk for chunk in self.chunks if chunk.name in names]

    def chunk(self, finding: Finding) -> Chunk | None:
        """The record that a finding is about, if it was read."""
        rows = (chunk for chunk in self.chunks if chunk.at <= finding.offset <= chunk.at + len(chunk.raw))
        return next((chunk for chunk in rows if chunk.name == finding.record), None)

    def entries(self) -> Iterator[tuple[Chunk, list[int]]]:
        """Each batch and its entries, without what lies above their 32 bits."""
        for chunk in self.named("PAGE_BATCH"):
            count = int.from_bytes(chunk.raw[:4], "little")
            count = min(count, (len(chunk.raw) - 4) // self.word)
            found = unpack_from(f"<{count}{_PFN[self.word]}", chunk.raw, 4)
            yield chunk, [entry & 0xFFFFFFFF for entry in found]

    def params(self) -> list[tuple[Chunk, int]]:
        """Chunks that have a parameter, and its value."""
        return [
            (chunk, int.from_bytes(chunk.raw[8:16], "little"))
            for chunk in self.chunks
            if chunk.name.startswith("HVM_") and len(chunk.raw) == 16
        ]


def look(data: Buffer, options: Mapping[str, str]) -> Look:
    """Our own look at such a stream."""
    watching = Watching()
    form = INPUTS[1] if headed(options) else f"legacy-{options['width']}"
    reader = Reader(watching, form, exact=True, guest=options["guest-type"])
    reader.pump.feed(data)
    reader.pump.end()
    return Look(data, options, watching)


# -- where a clause is broken ---------------------------------------------------------------------------------

Picks = Callable[[Look, Finding], str]


def _rejects(bad: Callable[[Look, Finding], bool]) -> Picks:
    return lambda seen, finding: REJECT if bad(seen, finding) else ACCEPT


def _unknown_block(seen: Look, finding: Finding) -> bool:
    chunk = seen.chunk(finding)
    return chunk is not None and chunk.raw[finding.offset - chunk.at :][: len(_BLOCKS[0])] not in _BLOCKS


def _wrong_toolstack(seen: Look, finding: Finding) -> bool:
    """What a libxl stream is to have keys of: nothing at all, or a version and whole regions."""
    chunk = seen.chunk(finding)
    if seen.bare or chunk is None or len(chunk.raw) == _LENGTHS:
        return False
    version = int.from_bytes(chunk.raw[_LENGTHS : _LENGTHS + 4], "little")
    return len(chunk.raw) < _REGIONS or version != 1 or _names(chunk, seen.word) is None


def _names(chunk: Chunk, word: int) -> list[bytes] | None:
    """The names of regions, as the script finds them; None if one is not whole."""
    at, found = _REGIONS, []
    for _ in range(int.from_bytes(chunk.raw[_REGIONS - 4 : _REGIONS], "little")):
        length = int.from_bytes(chunk.raw[at + 24 : at + 28], "little")
        end = at + 28 + length + (4 if word == 8 else 0)
        if at + 28 > len(chunk.raw) or end > len(chunk.raw):
            return None
        found.append(chunk.raw[at + 28 : at + 28 + length])
        at = end
    return found


def _map(seen: Look, finding: Finding) -> bool:
    """A highest vcpu that is not -1, or a map after it."""
    highest, follows = unpack_from("<ii", seen.data, finding.offset)
    return bool(highest != -1 or follows > 0)


def _far(seen: Look, finding: Finding) -> bool:
    """More pages are listed than the stream has bytes for."""
    last = seen.chunks[-1]
    return finding.field == "count" and not any(chunk.name == "SHARED_INFO" for chunk in seen.chunks) and last.at > 0


BROKEN: dict[str, Picks] = {
    # A size is expected where only that is wrong, and not how the block lies.
    "LEGACY-EXTINFO-BLOCKS": _rejects(lambda _, found: not found.expected or int(found.actual) < int(found.expected)),
    "LEGACY-EXTINFO-TAG": _rejects(_unknown_block),
    "LEGACY-P2M-SIZE": _rejects(lambda seen, _: seen.pv),
    "LEGACY-VCPU-ID": _rejects(_map),
    "LEGACY-QEMU-PRESENT": _rejects(lambda seen, _: not seen.skips),
    "LEGACY-VCPU-MAP": _rejects(lambda seen, _: seen.pv),
    "LEGACY-TOOLSTACK": _rejects(_wrong_toolstack),
    "LEGACY-UNMAPPED": _rejects(_far),
}


# -- where it is kept -----------------------------------------------------------------------------------------

Keeps = Callable[[Look], int | None]


def _first(*names: str) -> Keeps:
    return lambda seen: next((chunk.at for chunk in seen.named(*names)), None)


def _no_info(seen: Look) -> int | None:
    return _first("P2M_FRAME_LIST")(seen) if seen.pv and not seen.named("EXTENDED_INFO") else None


def _signature(seen: Look) -> int | None:
    others = [chunk.at for chunk in seen.chunks if chunk.name.startswith("QEMU_") and chunk.name != _COUNTED]
    return min(others, default=None) if not seen.skips else None


def _kinds(entries: Sequence[int]) -> list[int]:
    return [entry >> _SHIFT for entry in entries]


def _holes(seen: Look) -> int | None:
    """An XTAB entry with anything beside its type."""
    for chunk, rows in seen.entries():
        if any(row >> _SHIFT == tables.LEGACY_XTAB and row != _HOLE for row in rows):
            return chunk.at
    return None


def _empty(seen: Look) -> int | None:
    """A batch of XTAB entries alone that have nothing beside their type."""
    return next((chunk.at for chunk, rows in seen.entries() if set(rows) == {_HOLE}), None)


def _twice(seen: Look) -> int | None:
    """A frame twice in a batch, apart from holes that it drops."""
    for chunk, rows in seen.entries():
        frames = [row & _MASK for row in rows if row != _HOLE]
        if len(set(frames)) < len(frames):
            return chunk.at
    return None


def _paged(seen: Look) -> int | None:
    return next((chunk.at for chunk, rows in seen.entries() if tables.LEGACY_PAGEDTAB in _kinds(rows)), None)


def _maps(seen: Look) -> int | None:
    """A second map of vcpus."""
    return next((chunk.at for chunk in seen.named("VCPU_INFO")[1:]), None) if seen.pv else None


def _again(seen: Look) -> int | None:
    """A parameter that comes more than once."""
    known: set[str] = set()
    for chunk, _ in seen.params():
        if chunk.name in known and not seen.pv:
            return chunk.at
        known.add(chunk.name)
    return None


def _unnamed(seen: Look) -> int | None:
    """A region without a name, or with one that is no text, of which a libxl stream is to have keys."""
    for chunk in () if seen.bare else seen.named("TOOLSTACK"):
        if any(not name or not _text(name) for name in _names(chunk, seen.word) or ()):
            return chunk.at
    return None


def _text(name: bytes) -> bool:
    try:
        return bool(name.decode())
    except UnicodeDecodeError:
        return False


def _levels(seen: Look) -> int | None:
    """The top page table of a 32-bit guest is one of the second level."""
    kinds = {row & _MASK: row >> _SHIFT & 7 for _, rows in seen.entries() for row in rows}
    for chunk in seen.named("VCPU"):
        if len(chunk.raw) == 2800:
            (cr3,) = unpack_from("<I", chunk.raw, 2728)
            if kinds.get(cr3 >> 12 | (cr3 & 0xFFF) << 20) == 2:
                return chunk.at
    return None


KEPT: dict[str, Keeps] = {
    "XL-MAGIC": lambda seen: 0 if seen.headed else None,
    "LEGACY-TMEM-FORM": _first("TMEM", "TMEM_EXTRA"),
    "LEGACY-COMPRESSED-FORM": _first("ENABLE_COMPRESSION", "COMPRESSED_DATA"),
    "LEGACY-QEMU-PRESENT": _signature,
    "LEGACY-TOOLSTACK": _unnamed,
    "LEGACY-VCPU-INFO": _maps,
    "LEGACY-NO-EXTINFO": _no_info,
    "LEGACY-HOLES": _holes,
    "LEGACY-HOLES-ALONE": _empty,
    "LEGACY-PAGE-REPEAT": _twice,
    "LEGACY-PAGE-PAGED": _paged,
    "LEGACY-PARAM-LAST": _again,
    "LEGACY-VERIFY": _first("ENABLE_VERIFY_MODE"),
    "LEGACY-LAST-WHOLE": lambda seen: len(seen.chunks) and seen.chunks[-1].at if seen.more else None,
    "LEGACY-LEVELS": _levels,
}


# -- both -----------------------------------------------------------------------------------------------------


def rows(clause: str, kept: bool) -> list[Behaviour]:
    """What a clause says of the script, where it is broken or where it is `kept`."""
    return [row for row in registry()[clause].readers if row.reader == CONVERTER and row.kept == kept]


def steps(seen: Look) -> list[Step]:
    """What the script does with a stream by the clauses, in the order in which it comes upon it."""
    found = []
    for finding in seen.findings:
        known = rows(finding.clause, kept=False)
        if not known and registry()[finding.clause].severity != "error":
            continue
        depends = any(row.when for row in known)
        does = BROKEN[finding.clause](seen, finding) if depends else known[0].does if known else ""
        found.append(_step(finding.offset, finding.clause, does, known))
    for clause, keeps in KEPT.items():
        at = keeps(seen)
        if at is not None:
            known = rows(clause, kept=True)
            found.append(_step(at, clause, known[0].does, known))
    return sorted(found, key=lambda step: step.at)


def _step(at: int, clause: str, does: str, known: Sequence[Behaviour]) -> Step:
    return Step(at, clause, does, next((row for row in known if row.does == does), None))


def expected(found: Sequence[Step]) -> str:
    """Its verdict: "accept", "reject", or nothing if a clause leaves that open."""
    if any(not step.does for step in found):
        return ""
    return REJECT if any(step.does == REJECT for step in found) else ACCEPT
