"""How a breach is reported: by a record, a header, a field or its bytes."""

from __future__ import annotations

from .. import tables
from ..reader.events import Layer, Record
from ..reader.fields import damaged, places, value_of
from .findings import Finding, Findings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


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
            if isinstance(where, Layer) and field in where.row.magic and (wrong := damaged(where.name, raw)):
                here = [byte for byte in wrong if offset <= byte[0] < offset + size]
                message = f"the {field} is damaged: {places(here)}"
            elif isinstance(where, Layer) and field in where.row.magic:
                from ..reader.damage import instead  # most headers are as they should be

                message += instead(where.name, where.parent is None, raw)
            self.report_field(clause, where, field, message, expected, actual, path, at, prefix)

    def abstain(self, clause: str, why: str) -> None:
        """Say that a rule was not judged."""
        self.abstained.setdefault(clause, why)
