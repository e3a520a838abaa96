"""Our own look at a case: what we find, and what else decides what a reader will do with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .. import tables
from ..checks.findings import Finding, Findings
from ..checks.verifier import Verifier
from ..reader.events import Layer, Record
from ..reader.reader import Reader
from ..reader.registry import ROWS
from ..schema import libxc
from ..schema.clauses import SCRIPT, registry
from .cases import Case

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.pump import Program

HEADER = tables.SIZES["libxc.record_header"]
# The longest headers, which are read whole.
_HEADERS = 48
_PFN = (1 << 52) - 1
_LOST = "STREAM-FRAMING-LOST"
# After every byte: when the stream is complete.
LATER = 1 << 62
_DATA = {row.code for row in libxc.PAGE_TYPES if row.data}
# What is inside state is for Xen and the processor to judge: Xen does not run here, and its script does not look.
_NOT_LOOKING = {"xen", SCRIPT}
_STATE = {
    clause.id
    for clause in registry().values()
    if clause.deep and all(row.reader in _NOT_LOOKING for row in clause.readers)
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as our reader met it."""

    name: str
    at: int
    length: int
    index: int


class _All(Findings):
    """What breaks rules in the bytes of a loss, too: a reader comes to it first."""

    def forget(self, at: int) -> int:
        return 0

    def forget_within(self, start: int, stop: int) -> int:
        return 0


class _Watching(Verifier):
    """A verifier that remembers every record, where each CHECKPOINT ended, and where domain headers are."""

    def __init__(self, mode: str) -> None:
        super().__init__(mode, deep=True)
        self.findings = _All(self.findings.severity)
        self.seen: list[Seen] = []
        self.whole: list[int] = []
        self.domains: list[int] = []

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        super().header(layer, path, at, raw, broken)
        if path == "libxc.domain_header":
            self.domains.append(at)

    def record(self, record: Record) -> Program | None:
        if record.layer.header_size == HEADER:
            self.seen.append(Seen(record.path, record.offset, record.length, record.index))
        return super().record(record)

    def oversize(self, record: Record) -> None:
        self.seen.append(Seen(record.path, record.offset, record.length, record.index))
        super().oversize(record)

    def checkpoint(self, layer: Layer, at: int) -> None:
        super().checkpoint(layer, at)
        self.whole.append(at)


@dataclass(frozen=True)
class Look:
    """Our own look at a case: what we find, and what a :class:`_Watching` has seen; `version` is the image's.

    `tails` are the beginnings and ends of what a reader reads whole before it looks into it.
    """

    case: Case
    data: bytes
    findings: tuple[Finding, ...]
    records: tuple[Seen, ...]
    whole: tuple[int, ...]
    domains: tuple[int, ...]
    version: int
    stopped: int | None = None
    tails: tuple[tuple[int, int], ...] = ()

    @property
    def lost(self) -> int | None:
        """Where no record begins that should, None if there is no such place."""
        found = next((row.offset for row in self.findings if row.clause == _LOST), None)
        return found if found is None or self.stopped is None else self.stopped

    @property
    def layer_lost(self) -> str:
        """The layer whose record should begin there; empty if there is no such place."""
        return next((row.layer.rpartition("/")[2] for row in self.findings if row.clause == _LOST), "")

    @cached_property
    def clauses(self) -> frozenset[str]:
        return frozenset(row.clause for row in self.findings)

    def comes(self, row: Finding) -> int:
        """Where a reader comes to what a finding is about: of lost framing, not before the record should end."""
        return self.lost if row.clause == _LOST and self.lost is not None else row.offset

    def dropped(self, at: int) -> bool:
        """Whether a reader of checkpoints keeps aside what is there and never applies it (CKPT-BUFFER, CKPT-DROP)."""
        return self.case.remus and bool(self.whole) and at >= self.whole[-1]

    def buffered(self, at: int) -> bool:
        """Whether it is kept aside at first."""
        return self.case.remus and bool(self.whole) and at >= self.whole[0]

    def applied(self, name: str) -> list[Seen]:
        """Records of that name which libxenguest acts upon."""
        return [row for row in self.records if row.name == name and not self.dropped(row.at)]

    def before(self, name: str) -> set[str]:
        """Names of what comes before the first record of that name, or all there are."""
        names = [row.name for row in self.records]
        return set(names[: names.index(name)] if name in names else names)

    def extent(self, at: int) -> tuple[int, int]:
        """How far a reader has read that stops at the record, or the header, that this byte is in."""
        rows = [row for row in self.records if row.at <= at < row.at + HEADER + (row.length + 7 & ~7)]
        if not rows:
            return at - at % 8, at + _HEADERS
        end = rows[-1].at + HEADER + (rows[-1].length + 7 & ~7)
        end = max([end, *(last for first, last in self.tails if first <= at < last)])
        applied = [whole for whole in self.whole if whole > at] if self.buffered(at) else []
        return rows[-1].at, min(max(end, *applied[:1]) if applied else end, len(self.data))

    def number(self, row: Seen, at: int, size: int) -> int:
        """An integer `at` bytes into a record's body."""
        return int.from_bytes(self.data[row.at + HEADER + at :][:size], "little")

    def memory(self) -> tuple[dict[int, int], dict[int, int]]:
        """Types of the frames that have been sent, by frame, and where the last content of each lies."""
        types: dict[int, int] = {}
        contents: dict[int, int] = {}
        for row in self.applied("libxc.PAGE_DATA"):
            at = row.at + 2 * HEADER + 8 * self.number(row, 0, 4)
            for kind, pfn in self.entries(row):
                types[pfn] = kind
                if kind in _DATA:
                    contents[pfn] = at
                    at += libxc.PAGE_SIZE
        return types, contents

    def first(self, *names: str) -> int:
        """Where the first record of these names is; after the last byte if there is none."""
        return min((row.at for row in self.records if row.name in names), default=LATER)

    def entries(self, row: Seen) -> Iterator[tuple[int, int]]:
        """Type and frame of each page entry of a PAGE_DATA record that is there."""
        for place in range(min(self.number(row, 0, 4), (row.length - HEADER) // 8)):
            entry = self.number(row, HEADER + 8 * place, 8)
            yield entry >> 60, entry & _PFN


def _image(path: str) -> bool:
    """Whether a layer's records are those of an image, such as a back channel has."""
    row = ROWS.get(path.rpartition("/")[2])
    return row is not None and row.image


def look(case: Case, data: bytes | None = None) -> Look:
    """Judge a case ourselves, page tables included; with other bytes if given."""
    data = case.data if data is None else data
    verifier = _Watching(case.mode)
    reader = Reader(verifier, case.form)
    reader.pump.feed(data)
    reader.pump.end()
    if verifier.whole and verifier.stopped and _LOST in verifier.findings.counts:
        verifier.whole += _closes(data, verifier.stopped[0])
    version = max((layer.version for layer in verifier.layers if layer.row.image), default=0)
    # Nor at the device model's record, which is no layer that the stream consists of, and no image either.
    read = {layer.path for layer in verifier.layers}
    findings = [row for row in verifier.findings.kept if row.layer in read or _image(row.layer)]
    return Look(
        case,
        data,
        tuple(row for row in findings if row.clause not in _STATE),
        tuple(verifier.seen),
        tuple(verifier.whole),
        tuple(verifier.domains),
        version,
        verifier.stopped and verifier.stopped[0],
    )


def _closes(data: bytes, at: int) -> list[int]:
    """Where the checkpoint ends that a reader comes to which goes on from header to header, whatever they are, if any.

    So readers do that keep all of a checkpoint aside, and look at it at its end; with an END the stream is over.
    """
    while at + HEADER <= len(data):
        kind, length = (int.from_bytes(data[place : place + 4], "little") for place in (at, at + 4))
        at += HEADER + (length + 7 & ~7)
        if kind == tables.LIBXC_END or length > libxc.RECORD_LENGTH_MAX or at > len(data):
            break
        if tables.RECORDS["libxc"].get(kind) == "CHECKPOINT":
            return [at]
    return []


def actual(finding: Finding) -> int:
    """The number that a finding is about."""
    return int(finding.actual, 0)
