"""Findings: what breaks which clause, where; the collection that counts them; and how a breach is reported.

A finding is data.  Texts, JSON and other reports are renderings of it (``outcome``).
"""

from __future__ import annotations

from .. import tables
from ..reader.events import Layer, Record
from ..reader.fields import damaged, places, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, TypeAlias

    # What a collection is put back to: how many are kept, how often each clause was broken, and where last.
    Standing: TypeAlias = tuple[int, dict[str, int], dict[str, tuple[Layer | Record, int | None]]]

# Findings kept per clause; the rest are counted.  Memory and time stay bounded whatever the stream says.
KEPT = 100
SEVERITIES = ("error", "warning", "note")
# What a clause weighs that the user does not want to hear of: its breaches are counted only.
IGNORED = "ignored"


class Finding:
    """One breach of one clause, which cannot be changed.

    `severity` is "error", "warning" or "note"; `offset` and `length` are in bytes of the uncompressed stream.  `layer`
    is a path such as "libxl/libxc"; `index` and `record` are number and name of the record, None and "" outside one;
    `field` is a field of its schema, or "".  `expected`, `actual` and `message` are text.
    """

    # In the order in which people read them.
    clause: str
    severity: str
    layer: str
    offset: int
    length: int
    index: int | None
    record: str
    field: str
    expected: str
    actual: str
    message: str
    __slots__ = tuple(__annotations__)

    def __init__(self, **values: Any) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, values[name])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a finding cannot be changed: {name}")

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        # Pickling and copying set what there is one by one.
        self.__init__(**state[1])  # type: ignore[misc] # a new object, which nothing has been set in

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Finding) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.clause, self.offset, self.field))

    def __repr__(self) -> str:
        return f"Finding({self.severity} {self.clause} at {self.offset}: {self.message})"

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


class Findings:
    """All findings of one stream: the first :data:`KEPT` per clause, how many there were of each, where the last was.

    `severity` says how much a breach of each clause weighs.
    """

    __slots__ = ("_last", "counts", "kept", "severity")

    def __init__(self, severity: Mapping[str, str] = tables.SEVERITY) -> None:
        self.severity = severity
        self.kept: list[Finding] = []
        self.counts: dict[str, int] = {}
        self._last: dict[str, tuple[Layer | Record, int | None]] = {}

    def full(self, clause: str, where: Layer | Record, offset: int | None = None) -> bool:
        """Whether findings of `clause` are only counted by now; if so this counts one, at `offset` of the stream.

        Checks that a stream can make fire millions of times ask before they put a finding together.  Without an
        `offset` the place is the record's header.
        """
        if not self.counted(clause):
            return False
        self.counts[clause] = self.counts.get(clause, 0) + 1
        self._last[clause] = where, offset
        return True

    def counted(self, clause: str) -> bool:
        """Whether findings of `clause` are only counted by now."""
        return self.counts.get(clause, 0) >= KEPT or self.severity[clause] == IGNORED

    def again(self, clause: str, often: int, where: Record, place: int) -> None:
        """Count more findings of a clause that are only counted by now, the last `place` bytes from `where` on."""
        self.counts[clause] = self.counts.get(clause, 0) + often
        self._last[clause] = where, where.offset + place

    def keep(self, finding: Finding) -> None:
        """Count a finding and keep it."""
        self.counts[finding.clause] = self.counts.get(finding.clause, 0) + 1
        self.kept.append(finding)

    def last(self, clause: str) -> tuple[int, str, int | None, str]:
        """Where a clause was broken last: offset, path of the layer, index and name of the record if it is in one."""
        if clause in self._last:
            where, offset = self._last[clause]
            if isinstance(where, Record):
                return where.offset if offset is None else offset, where.layer.path, where.index, where.name
            return offset or 0, where.path, None, ""
        found = next(finding for finding in reversed(self.kept) if finding.clause == clause)
        return found.offset, found.layer, found.index, found.record

    def standing(self) -> Standing:
        """What there is by now, for :meth:`restore`."""
        return len(self.kept), self.counts.copy(), self._last.copy()

    def restore(self, standing: Standing) -> None:
        """Forget all that was found since."""
        kept, self.counts, self._last = standing
        del self.kept[kept:]

    def forget(self, at: int) -> int:
        """Forget what was found after offset `at`, but for clauses of which more was found than is kept; how much."""
        return self._drop(one for one in self.kept if one.offset > at)

    def forget_within(self, start: int, stop: int) -> int:
        """Forget in the same way what was found in bytes of those from `start` to `stop`; how much."""
        return self._drop(one for one in self.kept if one.offset < stop and one.offset + one.length > start)

    def _drop(self, some: Iterable[Finding]) -> int:
        gone = [one for one in some if self.counts[one.clause] <= KEPT]
        self.kept[:] = [one for one in self.kept if not any(one is other for other in gone)]
        for one in gone:
            self.counts[one.clause] -= 1
            if not self.counts[one.clause]:
                del self.counts[one.clause]
        return len(gone)

    def number(self, severity: str) -> int:
        """How many findings of that severity there were, kept or not."""
        return sum(count for clause, count in self.counts.items() if self.severity[clause] == severity)


class Reports:
    """What was found in one stream.  `severity` says how much a breach of each clause weighs.

    `abstained` is why a rule was not judged, by clause.  `lost` if data was lost, and nothing after that means what it
    says.
    """

    def __init__(self, severity: Mapping[str, str]) -> None:
        self.findings = Findings(severity)
        self.abstained: dict[str, str] = {}
        self.lost = False

    def report(
        self,
        clause: str,
        where: Layer | Record,
        message: str,
        *,
        offset: int | None = None,
        length: int = 0,
        field: str = "",
        expected: object = "",
        actual: object = "",
    ) -> None:
        """One breach.  `offset` defaults to the record's header."""
        if self.lost or self.findings.full(clause, where, offset):
            return
        record = where if isinstance(where, Record) else None
        layer = where.layer if isinstance(where, Record) else where
        self.findings.keep(
            Finding(
                clause=clause,
                severity=self.findings.severity[clause],
                layer=layer.path,
                offset=record.offset if offset is None and record else offset or 0,
                length=length,
                index=record.index if record else None,
                record=record.name if record else "",
                field=field,
                expected=str(expected),
                actual=str(actual),
                message=message,
            )
        )

    def report_field(
        self,
        clause: str,
        where: Layer | Record,
        field: str,
        message: str,
        expected: object = "",
        actual: object = "",
        path: str = "",
        at: int | None = None,
        prefix: str = "",
    ) -> None:
        """One breach that shows in a fixed field of a record, or of layout `path` at stream offset `at`.

        `prefix` names the element that the layout is of.
        """
        place, size = tables.PLACES[path or where.path][field]
        if at is None:
            assert isinstance(where, Record), "only a record's body has a place of its own"
            at = where.body
        at, field = at + place, prefix + field
        self.report(clause, where, message, offset=at, length=size, field=field, expected=expected, actual=actual)

    def report_header(
        self, clause: str, record: Record, field: str, message: str, expected: object = "", actual: object = ""
    ) -> None:
        """One breach that shows in a record's header, by its `type` or `length`."""
        layer = record.layer
        where: Layer | Record = record
        at = record.offset
        header = f"{layer.name}.record_header"
        if not layer.header_size:
            # A file header says how long the one body after it is.
            where, header, field = layer, f"{layer.name}.header", layer.row.length
            at -= tables.SIZES[header]
        self.report_field(clause, where, field, message, expected, actual, header, at)

    def report_length(self, clause: str, record: Record, expected: str) -> None:
        """A length that is not as it has to be."""
        message = f"length is {record.length}, expected {expected}"
        self.report_header(clause, record, "length", message, expected, record.length)

    def report_rules(
        self,
        rows: Sequence[tuple[Any, ...]],
        where: Layer | Record,
        raw: bytes,
        at: int,
        path: str = "",
        prefix: str = "",
    ) -> None:
        """Findings for fields whose rules do not hold, of a layout as in :meth:`report_field`, which is `raw`."""
        from .messages import allowed_words, number  # most fields are as they should be

        order = where.layer.order if isinstance(where, Record) else where.order
        for row in rows:
            clause, field, offset, size, _, _, _, allowed = row
            if self.findings.full(clause, where, at + offset):
                continue
            actual, expected = number(value_of(row, raw, order)), allowed_words(allowed)
            message = f"{prefix}{field} is {actual}, expected {expected}"
            if isinstance(where, Layer) and field in where.row.magic:
                from ..reader.damage import instead  # most headers are as they should be

                if wrong := damaged(where.name, raw):
                    here = [byte for byte in wrong if offset <= byte[0] < offset + size]
                    message = f"the {field} is damaged: {places(here)}"
                message += instead(where.name, where.parent is None, raw)
            self.report_field(clause, where, field, message, expected, actual, path, at, prefix)

    def abstain(self, clause: str, why: str) -> None:
        """Say that a rule was not judged."""
        self.abstained.setdefault(clause, why)
