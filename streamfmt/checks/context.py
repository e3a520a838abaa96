"""What is known of a stream that is judged, and how a breach in it is reported."""

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

    from ..reader.configuration import Configuration
    from ..reader.events import Run
    from ..reader.identify import Identity
    from ..reader.window import Window
    from .layer import Checks

_STARTS = tables.MACHINE_STARTS["COLO"]
# What a stream may be declared to be; the first leaves it open.
MODES = tuple(_STARTS)
# Those of which a stream has checkpoints, at least one.
CHECKPOINTED = tuple(mode for mode, start in _STARTS.items() if start != _STARTS[MODES[0]])


class Context:
    """One stream that is being judged.

    `mode` is what it is declared to be, or has turned out to be; `deep` looks into page tables too.  `severity` says
    how much a breach of each clause weighs.  `stopped` is where and why reading stopped early, `complete` whether the
    stream is whole, `unjudged` where something begins that is not read, and what it is.  `lost` if data was lost, and
    nothing after that means what it says.  `configuration` is the guest's, as a container around it has that, from its
    record on.
    """

    window: Window
    exact: bool

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
        # The latest record, or run of batches.
        self.latest: Record | Run | None = None
        self.stopped: tuple[int, str] | None = None
        self.complete = self.lost = False
        self.unjudged: tuple[int, Identity] | None = None
        self.checkpoints = 0
        self.configuration: Configuration | None = None
        self._checks: dict[str, Checks] = {}

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
        order = where.layer.order if isinstance(where, Record) else where.order
        for row in rows:
            clause, field, offset, size, _, _, _, allowed = row
            if self.findings.full(clause, where, at + offset):
                continue
            actual, expected = messages.number(value_of(row, raw, order)), messages.allowed_words(allowed)
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

    def lose(self, at: int, why: str) -> None:
        """Data was lost at offset `at`: what follows is not what it looks like, and is not judged."""
        self.lost = True
        self.stopped = at, why

    # -- pages ------------------------------------------------------------------------------------------------

    def carries(self, pages: int, end: int) -> None:
        """A batch has come that ends at offset `end` and whose entries say that so many pages follow."""
        self.content_pages += pages
        self._carried, self._batch_end = pages, end

    def carried(self, record: Record | None) -> int:
        """Pages that the record carries, if it is the latest batch."""
        return self._carried if record is not None and record.end == self._batch_end else 0

    def ends(self, at: int) -> None:
        """The input ends at offset `at`: pages that would have come after it were not read."""
        missing = max(self._batch_end - at, 0)
        self.content_pages -= min(-(-missing // PAGE), self._carried)
        self._carried = 0
