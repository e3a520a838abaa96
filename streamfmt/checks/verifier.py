"""The verifier: listens to the reader, keeps what order rules need, and collects findings.

Rules that a table expresses are judged here, from the generated tables: field values, lengths, record order.
The rest are functions in ``libxc``, ``page_data``, ``hvm`` and ``libxl``, called by record type.
"""

from __future__ import annotations

from .. import tables
from ..reader.events import HEADER, PAGE, Layer, Record, Run, Sink
from ..reader.fields import MAGIC, damaged, places, value_of
from . import libxc, libxl, messages, page_data
from .findings import KEPT, Finding, Findings
from .state import LayerState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..reader.identify import Identity
    from ..reader.pump import Program
    from ..reader.window import Window

# By layer; the second, in layers that have optional records, for types with bit 31.
_UNKNOWN = {
    "libxl": ("LIBXL-REC-UNKNOWN-MAND", "LIBXL-REC-UNKNOWN-OPT"),
    "libxc": ("LIBXC-REC-UNKNOWN-MAND", "LIBXC-REC-UNKNOWN-OPT"),
    "xapi": ("XAPI-TYPE",),
}
_TRUNCATED = {
    "libxl": "LIBXL-REC-TRUNC",
    "libxc": "LIBXC-REC-TRUNC",
    "xl": "XL-TRUNC",
    "libvirt": "LIBVIRT-TRUNC",
    "xapi": "XAPI-TRUNC",
    "xl-migrate": "XL-MIGRATE-TRUNC",
}
MODES = ("auto", "plain", "remus", "colo")


class Verifier(Sink):
    """A sink that judges.  Feed it through a Reader; then `findings`, `stopped` and the counts say what came out.

    `deep` looks into page tables too.  `mode` is what the stream is declared to be.  `severity` says how much a breach
    of each clause weighs.
    """

    def __init__(self, mode: str = "auto", deep: bool = False, severity: Mapping[str, str] = tables.SEVERITY) -> None:
        self.mode = mode
        self.deep = self.every_page = deep
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
        # Where a stream begins that is not read, and what it is.
        self.unjudged: tuple[int, Identity] | None = None
        self.checkpoints = 0
        self.window: Window
        self._image: LayerState | None = None
        self._states: dict[str, LayerState] = {}

    def forget(self) -> None:
        """Let go of what only judging needs.  What came out stays, is small, and can be handed to other processes."""
        self._image = None
        self._states.clear()
        del self.window

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

    def header_fault(
        self, clause: str, record: Record, field: str, message: str, expected: object = "", actual: object = ""
    ) -> None:
        """One breach that shows in a record's header, by its `type` or `length`."""
        layer = record.layer
        where: Layer | Record = record
        at = record.offset
        header = f"{layer.name}.record_header"
        if not layer.header_size:
            # A file header says how long the one body behind it is.
            where, header, field = layer, f"{layer.name}.header", tables.LENGTH_FIELDS[layer.name]
            at -= tables.SIZES[header]
        place, size = tables.PLACES[header][field]
        at += place
        self.report(clause, where, message, offset=at, length=size, field=field, expected=expected, actual=actual)

    def unknown(self, record: Record) -> None:
        """A record of a type that no release has given a meaning."""
        clauses = _UNKNOWN[record.layer.name]
        optional = bool(record.type & tables.OPTIONAL[record.layer.name])
        clause = clauses[optional]
        if self.findings.full(clause, record):
            return
        kind = f"{record.type:#x}"
        message = f"record type {kind} is not known" + (", and may be skipped" if optional else "")
        self.header_fault(clause, record, "type", message, "a known type", kind)

    def broken_rules(
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
            if field in MAGIC and isinstance(where, Layer) and (wrong := damaged(where.name, raw)):
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

    # -- events -----------------------------------------------------------------------------------------------

    def state(self, layer: Layer) -> LayerState:
        """What is remembered of `layer`."""
        state = self._states.get(layer.path)
        if state is None or state.layer is not layer:
            state = self._states[layer.path] = LayerState(layer)
            if len(self.layers) < KEPT:
                self.layers.append(layer)
        return state

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if layer.parent is not None and layer.parent.name == "back-channel":
            from . import backchannel

            backchannel.header(self, layer, at, raw)
            return
        state = self.state(layer)
        if path == "libxl.header":
            state.legacy = libxl.is_legacy(raw)
        elif layer.wraps:
            from . import xl_libvirt

            xl_libvirt.header(self, state, at, raw)
        if broken:
            self.broken_rules(broken, layer, raw, at)
        if path == "libxc.domain_header" and self.mode == "colo" and layer.guest == "pv":
            message = "the guest is PV, in a stream that is declared COLO"
            self.report("COLO-HVM", layer, message, offset=at, field="type", expected="hvm", actual="pv")
            outer = self.enclosing(layer)
            if outer is not None:
                outer.fired.add("COLO-HVM")

    def record(self, record: Record) -> Program | None:
        self.records += 1
        layer = record.layer
        if layer.parent is not None and layer.parent.name == "back-channel":
            from . import backchannel  # few streams are one

            return backchannel.record(self, record)
        state = self.state(layer)
        kind = record.type
        if state.seen & tables.FRESH and kind != tables.LIBXC_END:
            self._resumed(state, record.offset)
        if kind not in tables.RECORDS[layer.name]:
            self.unknown(record)
            return None
        if layer.name == "libxl":
            self.order(state, record)
            self.length(state, record)
            if kind == tables.LIBXL_CHECKPOINT_END and state.seen & tables.CHECKPOINT_OPEN:
                libxl.checkpoint_end(self, state, record)
                self.checkpoints += 1
            elif kind == tables.LIBXL_CHECKPOINT_STATE:
                libxl.announced(self, state, record)
            return libxl.body(self, state, record)
        if layer.wraps:
            from . import xl_libvirt  # many streams are in none

            self.order(state, record)
            self.length(state, record)
            return xl_libvirt.body(self, state, record)
        if layer.guest is not None and layer.guest not in tables.LIBXC_GUESTS[kind]:
            libxc.wrong_guest(self, record)
            return None
        self.order(state, record)
        if kind == tables.LIBXC_PAGE_DATA:
            return page_data.body(self, state, record)
        self.length(state, record)
        return libxc.body(self, state, record)

    def order(self, state: LayerState, record: Record) -> None:
        """Judge the record's place among the others, once per rule and checkpoint."""
        layer = record.layer
        version = layer.version if layer.name == "libxc" else tables.LIBXC_VERSIONS[-1]
        table = tables.ORDER[layer.name].get((layer.guest, version), {})
        seen = state.seen
        for clause, has, lacks, unless in table.get(record.type, ()):
            if (has & seen or lacks & ~seen or not has | lacks) and not unless & seen and clause not in state.fired:
                state.fired.add(clause)
                self.report(clause, record, messages.order_message(layer.name, record.name, has & seen, lacks & ~seen))
        state.seen = seen | tables.BITS[layer.name][record.type]

    def length(self, state: LayerState, record: Record) -> None:
        """Judge the body's length by the schema alone."""
        row = tables.LENGTHS.get(record.path)
        if row is None:
            return
        clause, fixed, unit, least, most, lengths = row
        if record.type in libxc.VCPU_TYPES and record.layer.name == "libxc":
            lengths = libxc.vcpu_lengths(state, record, lengths)
        rest = record.length - fixed
        count, over = divmod(rest, unit) if unit else (rest, 0)
        if over or count < (least if unit else 0) or (not unit and rest) or (most is not None and count > most):
            good = False
        else:
            good = not lengths or rest in lengths
        if good or libxc.tolerated(self, record, rest):
            return
        expected = messages.length_words(fixed, unit, least, most, lengths)
        message = f"length is {record.length}, expected {expected}"
        self.header_fault(clause, record, "length", message, expected, record.length)

    def pages(self, run: Run) -> None:
        self.records += run.count
        self.page_entries += run.entries
        self.carries(run.pages, run.offset + run.size * run.count)
        layer = run.layer
        state = self.state(layer)
        if state.seen & tables.FRESH:
            self._resumed(state, run.offset)
        self.order(state, Record(layer, tables.LIBXC_PAGE_DATA, run.offset, 0))
        if layer.guest == "pv":
            page_data.note_run(self, state, run)

    def carries(self, pages: int, end: int) -> None:
        """A batch has come that ends at offset `end` and whose entries say that so many pages follow."""
        self.content_pages += pages
        self._carried, self._batch_end = pages, end

    def ends(self, at: int) -> None:
        """The input ends at offset `at`: pages that would have come after it were not read."""
        missing = max(self._batch_end - at, 0)
        self.content_pages -= min(-(-missing // PAGE), self._carried)
        self._carried = 0

    def padding(self, record: Record, at: int, raw: bytes) -> None:
        clause = "LIBXL-REC-PAD" if record.layer.name == "libxl" else "LIBXC-REC-PAD-ZERO"
        self.report(
            clause,
            record,
            f"padding is not zero: {raw.hex(' ')}",
            offset=at,
            length=len(raw),
            field="padding",
            expected="zero",
            actual=raw.hex(" "),
        )

    def checkpoint(self, layer: Layer, at: int) -> None:
        state = self.state(layer)
        libxc.image_complete(self, state, at)
        state.seen = state.seen & ~tables.LIBXC_TAIL | tables.FRESH
        state.fired.clear()
        state.vcpus.clear()
        self._image = state
        outer = self.enclosing(layer)
        if outer is None:
            self.checkpoints += 1
        else:
            outer.seen = (outer.seen | tables.CHECKPOINT_OPEN) & ~tables.CHECKPOINT_CLOSED

    def enclosing(self, layer: Layer) -> LayerState | None:
        """What is remembered of the libxl stream that a libxc image is in, if it is in one."""
        parent = layer.parent
        return self.state(parent) if parent is not None and parent.name == "libxl" else None

    def _resumed(self, state: LayerState, at: int) -> None:
        """The first libxc record after a checkpoint has come, and does not close the image."""
        state.seen &= ~tables.FRESH
        libxl.next_checkpoint(self, state.layer, at)

    def _at_checkpoint(self) -> bool:
        """Whether nothing has come since the last whole checkpoint."""
        image = self._image
        if image is None or not image.seen & tables.FRESH:
            return False
        outer = self.enclosing(image.layer)
        return outer is None or bool(outer.seen & tables.CHECKPOINT_CLOSED)

    def ended(self, layer: Layer, at: int) -> None:
        if layer.name == "libxc":
            state = self.state(layer)
            if not state.seen & tables.FRESH:
                libxc.image_complete(self, state, at)
            outer = self.enclosing(layer)
            if outer is not None:
                outer.seen &= ~tables.CHECKPOINT_CLOSED
        if self.mode in ("remus", "colo") and not self.checkpoints and not layer.wraps:
            libxl.never_checkpointed(self, layer, at)
        self.complete = True

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self.ends(at)
        if layer.name == "xl-migrate" and self.complete:
            from . import xl_migrate

            xl_migrate.unfinished(self, layer, at)
            return
        self.stopped = at, f"the input ends inside {what}"
        self.complete = False
        if self.checkpoints and self.mode != "plain":
            # A checkpointed stream may simply stop; only between two checkpoints is nothing lost.
            self.complete = True
            if self._at_checkpoint() and missing == HEADER:
                self.stopped = None
            else:
                libxc.cut_after_checkpoint(self, record or layer, at)
            return
        self.report(
            _TRUNCATED[layer.name],
            record or layer,
            f"the input ends at {at}, inside {what}; at least {missing:,} more bytes belong there",
            offset=at,
            length=missing,
            expected=f"{missing:,} more bytes",
            actual="end of input",
        )

    def oversize(self, record: Record) -> None:
        self.records += 1
        if record.layer.name == "xapi":
            from . import xapi

            xapi.oversize(self, record)
            return
        self.stopped = record.offset, "no reader takes a record this long, so nothing after it can be trusted"
        message = f"length is {record.length:,}, the limit is {tables.RECORD_LENGTH_MAX:,}"
        expected = f"at most {tables.RECORD_LENGTH_MAX}"
        self.header_fault("LIBXC-REC-LENGTH-MAX", record, "length", message, expected, record.length)

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.state(layer)
        self.stopped = at, f"this is no {layer.name} {what} that can be relied on"

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        from . import backchannel

        backchannel.misplaced(self, record, at, raw)

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        from . import xl_libvirt

        if not read:
            self.unjudged = at, identity
        xl_libvirt.inner(self, self.state(layer), at, identity)

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        if layer.name == "xapi":
            from . import xapi

            xapi.trailing(self, layer, at, count, head, zero)
        elif layer.name == "xl-migrate":
            from . import xl_migrate

            xl_migrate.trailing(self, layer, at, count, head)
        else:
            libxl.trailing(self, layer, at, count, head, zero)
