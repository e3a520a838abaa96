"""What checks are given: where findings go, what is known of the whole stream, and the checks of its other layers."""

from __future__ import annotations

from .. import tables
from ..reader.events import PAGE, Layer, Record
from ..reader.fields import damaged, places, value_of
from ..reader.registry import load
from . import messages
from .findings import KEPT, Finding, Findings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..reader.identify import Identity
    from ..reader.window import Window
    from .layer import Checks

MODES = ("auto", "plain", *(CHECKPOINTED := ("remus", "colo")))


class Context:
    """One stream that is being judged.

    `mode` is what it is declared to be, or has turned out to be; `deep` looks into page tables too.  `severity` says
    how much a breach of each clause weighs.  `stopped` is where and why reading stopped early, `complete` whether the
    stream is whole, `unjudged` where something begins that is not read, and what it is.
    """

    window: Window

    def __init__(self, mode: str, deep: bool, severity: Mapping[str, str]) -> None:
        self.mode = mode
        self.deep = deep
        self.findings = Findings(severity)
        self.abstained: dict[str, str] = {}
        self.layers: list[Layer] = []
        self.records = 0
        self.page_entries = 0
        self.content_pages = 0
        # Pages that the latest batch says it carries, and where it ends: the input may end before they have come.
        self._carried = self._batch_end = 0
        self.stopped: tuple[int, str] | None = None
        self.complete = False
        self.unjudged: tuple[int, Identity] | None = None
        self.checkpoints = 0
        # The checks of the layer that closed the latest checkpoint.
        self.image: Checks | None = None
        self._checks: dict[str, Checks] = {}

    def forget(self) -> None:
        """Let go of what only judging needs.  What came out stays, is small, and can be handed to other processes."""
        self.image = None
        self._checks.clear()
        del self.window

    def checks(self, layer: Layer) -> Checks:
        """The checks of `layer`, with what they remember of it."""
        found = self._checks.get(layer.path)
        if found is None or found.layer is not layer:
            found = self._checks[layer.path] = load(layer.row.checks)(self, layer)
            if len(self.layers) < KEPT:
                self.layers.append(layer)
        return found

    # -- findings ---------------------------------------------------------------------------------------------

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
        if self.findings.full(clause, where, offset):
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
        place, size = tables.PLACES[header][field]
        at += place
        self.report(clause, where, message, offset=at, length=size, field=field, expected=expected, actual=actual)

    def report_length(self, clause: str, record: Record, expected: str) -> None:
        """A length that is not as it has to be."""
        message = f"length is {record.length}, expected {expected}"
        self.report_header(clause, record, "length", message, expected, record.length)

    def report_rules(
        self, rows: Sequence[tuple[Any, ...]], where: Layer | Record, raw: bytes, at: int, prefix: str = ""
    ) -> None:
        """Findings for fields of a layout at stream offset `at` whose rules do not hold; `prefix` names an element."""
        order = where.layer.order if isinstance(where, Record) else where.order
        for row in rows:
            clause, field, offset, size, _, _, _, allowed = row
            if self.findings.full(clause, where, at + offset):
                continue
            actual = value_of(row, raw, order)
            expected = messages.allowed_words(allowed)
            field = prefix + field
            message = f"{field} is {messages.number(actual)}, expected {expected}"
            if isinstance(where, Layer) and field in where.row.magic and (wrong := damaged(where.name, raw)):
                here = [byte for byte in wrong if offset <= byte[0] < offset + size]
                message = f"the {field} is damaged: {places(here)}"
            self.report(
                clause,
                where,
                message,
                offset=at + offset,
                length=size,
                field=field,
                expected=expected,
                actual=messages.number(actual),
            )

    def abstain(self, clause: str, why: str) -> None:
        """Say that a rule was not judged."""
        self.abstained.setdefault(clause, why)

    # -- pages ------------------------------------------------------------------------------------------------

    def carries(self, pages: int, end: int) -> None:
        """A batch has come that ends at offset `end` and whose entries say that so many pages follow."""
        self.content_pages += pages
        self._carried, self._batch_end = pages, end

    def ends(self, at: int) -> None:
        """The input ends at offset `at`: pages that would have come after it were not read."""
        missing = max(self._batch_end - at, 0)
        self.content_pages -= min(-(-missing // PAGE), self._carried)
        self._carried = 0
