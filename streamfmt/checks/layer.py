"""What all checks are built on: the context of a stream that is judged, and the checks that all layers have."""

from __future__ import annotations

from _struct import unpack  # struct would be a module more to find

from .. import tables
from ..reader.events import LIST_PIECE, PAGE, Body, Layer, Record
from ..reader.fields import broken_rules
from ..reader.registry import load
from .findings import KEPT, Reports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Any

    from ..reader.configuration import Configuration
    from ..reader.events import Run
    from ..reader.identify import Identity
    from ..reader.pump import Program, Window

_STARTS = tables.MACHINE_STARTS["COLO"]
# What a stream may be declared to be; the first leaves it open.
MODES = tuple(_STARTS)
# Those of which a stream has checkpoints, at least one.
CHECKPOINTED = tuple(mode for mode, start in _STARTS.items() if start != _STARTS[MODES[0]])


# Lists that have rules about their elements, by the record's path; each is all that follows the fixed fields.
_LISTS = {path.rpartition(".")[0]: path for path in tables.RULES if path.rpartition(".")[0] in tables.UNITS}


class Context(Reports):
    """One stream that is being judged.

    `mode` is what it is declared to be, or has turned out to be; `deep` looks into page tables too.  `targets` are what
    it is for, by kind.  `stopped` is where and why reading stopped early, `complete` whether the stream is whole,
    `unjudged` where something begins that is not read, and what it is.  `configuration` is the guest's, as a container
    around it has that, from its record on.
    """

    window: Window
    exact: bool
    device_model: bool

    def __init__(self, mode: str, deep: bool, severity: Mapping[str, str], targets: Mapping[str, Any]) -> None:
        super().__init__(severity)
        self.mode = mode
        self.deep = deep
        self.targets = targets
        # What layers were judged for, in words, by their paths.
        self.aimed: dict[str, str] = {}
        self.layers: list[Layer] = []
        self.records = 0
        self.page_entries = 0
        self.content_pages = 0
        # Pages that the latest batch says it carries, and where it ends: the input may end before they have come.
        self._carried = self._batch_end = 0
        # The latest record, or run of batches.
        self.latest: Record | Run | None = None
        # What has been read last, before records that are all zeros: from where on it may be zeros, and its name.
        self.before: tuple[int, str] | None = None
        # How all stood before what may be no record.
        self.standing: Any = None  # a Standing
        self.stopped: tuple[int, str] | None = None
        self.complete = False
        self.unjudged: tuple[int, Identity] | None = None
        self.checkpoints = 0
        self.configuration: Configuration | None = None
        # What the channels of a migration in several files have brought, each a reader.qemu_multifd.Channel.
        self.channels: Sequence[Any] = ()
        # Whether a migration came to its end, and was judged with them.
        self.channels_judged = False
        self._checks: dict[str, Checks] = {}

    def checks(self, layer: Layer) -> Checks:
        """The checks of `layer`, with what they remember of it."""
        found = self._checks.get(layer.path)
        if found is None or found.layer is not layer:
            found = self._checks[layer.path] = load(layer.row.checks)(self, layer)
            if len(self.layers) < KEPT:
                self.layers.append(layer)
        return found

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


class Checks:
    """Judges one layer and remembers what its rules need; each layer's own checks are derived from this.

    `seen` has a bit for each record type that has come, `fired` the order rules already broken in this checkpoint.
    `trailer` is the clause for what known tools leave after the layer, unless that is no matter of its own, and `last`
    what it ends with, if that is no record.
    """

    trailer = "STREAM-TRAILER"
    last = ""
    # The records that the guest's state is in, and what that is, by the kind of guest; none for one of several.
    state: Mapping[str, tuple[tuple[str, str], ...]] = {
        "hvm": (("HVM_CONTEXT", "its vcpus and devices"), ("HVM_PARAMS", "its parameters")),
        "pv": (("X86_PV_VCPU_BASIC", "the registers of its vcpus"), ("SHARED_INFO", "its shared info")),
    }

    def __init__(self, context: Context, layer: Layer) -> None:
        self.context = context
        self.layer = layer
        self.seen = 0
        self.fired: set[str] = set()
        self._bits = tables.BITS[layer.name]
        self._names = tables.RECORDS[layer.name]

    @property
    def partial(self) -> Sequence[str]:
        """Names of records of which some may have come, and more are due."""
        return ()

    # -- events, as the reader has them -----------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        """A header of `layer`, which this judges."""
        if broken:
            self.context.report_rules(broken, layer, raw, at, path)

    def record(self, record: Record) -> Program | None:
        """A record: its type, its place among the others, its length; a program that judges its body, if any."""
        if record.type not in self._names:
            self.unknown(record)
            return None
        return self.known(record)

    def doubted(self, record: Record, done: int = 0, owed: int = 0) -> Program | None:
        """A program that judges an END before which what every saver sends has not come, or what is `owed` beside that.

        None if it has, or if END closes nothing because all is `done`.
        """
        owed = (owed | tables.OWED[self.layer.name].get(self.layer.guest, 0)) & ~self.seen
        if not owed or done or self.context.exact or self.context.lost:
            return None
        program: Program = load("checks.zeros:end")(self, record, owed)
        return program

    def known(self, record: Record) -> Program | None:
        """A record of a known type: a program that judges its body, if any."""
        self.order(record)
        self.length(record)
        return self.body(record)

    def body(self, record: Record) -> Program | None:
        """Program that judges the record's body, if there is anything in it to judge: its fixed fields at least."""
        path = record.path
        if (path not in tables.RULES and path not in _LISTS) or record.length < tables.SIZES[path]:
            return None
        body = Body(self.context.window, record)
        return self._with_elements(body) if path in _LISTS else self.fixed(body)

    def _with_elements(self, body: Body) -> Program:
        yield from self.fixed(body)
        yield from self.elements(body)

    def pages(self, run: Run) -> None:
        """Clean page batches."""

    def passed(self, last: Record, at: int) -> None:
        """Page batches, from `at` on, that are not judged."""

    def configured(self, body: Body) -> Generator[int, int, None]:
        """Program that takes up the guest's configuration from the record that has it, of which nothing is consumed."""
        found = yield from load("reader.configuration:read")(body)
        self.context.configuration = found or self.context.configuration

    def padding(self, record: Record, at: int, raw: bytes) -> None:
        """Padding that is not zero."""
        self.context.report(
            record.layer.row.padding,
            record,
            f"padding is not zero: {raw.hex(' ')}",
            offset=at,
            length=len(raw),
            field="padding",
            expected="zero",
            actual=raw.hex(" "),
        )

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        """Bytes of a body that come after it."""

    def checkpoint(self, at: int) -> None:
        """The record that closes a checkpoint of the layer has come."""

    def ended(self, at: int) -> None:
        """The layer has ended at `at`: a stream that is declared checkpointed has had one."""
        mode, parent = self.context.mode, self.layer.parent
        outermost = self.layer.row.closes and not (parent and parent.row.closes)
        if outermost and mode in CHECKPOINTED and not self.context.checkpoints:
            message = f"the stream ends without a checkpoint, and is declared {mode}"
            self.context.report("CKPT-CKPT-REC", self.layer, message, offset=at, expected="CHECKPOINT", actual="END")

    def unfinished(self, at: int) -> bool:
        """The input ends inside the layer, after what it holds.  Returns whether that has been reported."""
        return False

    def inside(self, what: str, at: int) -> str:
        """What it is that the input ends inside of, at offset `at`, where `what` is not all that is known."""
        return what

    def inner(self, at: int, identity: Identity) -> None:
        """What is inside begins at `at` and is `identity`."""

    def bare(self, record: Record) -> bool:
        """A file inside this, or in what is inside, has no configuration in `record`.  Whether that is reported."""
        return self.layer.parent is not None and self.context.checks(self.layer.parent).bare(record)

    def oversize(self, record: Record) -> None:
        """A length that nothing is read after."""
        most = record.layer.row.length_max
        self.context.stopped = record.offset, "no reader takes a record this long, so nothing after it can be trusted"
        message = f"length is {record.length:,}, the limit is {most:,}"
        self.context.report_header(
            record.layer.row.too_long, record, "length", message, f"at most {most}", record.length
        )

    def trailing(self, at: int, count: int, head: bytes, zero: bool) -> None:
        """Something follows the outermost END."""
        load("checks.trailing:judge")(self, at, count, head, zero)  # little follows a good stream

    # -- what tables say --------------------------------------------------------------------------------------

    def unknown(self, record: Record) -> None:
        """A record of a type that no release has given a meaning."""
        clauses = record.layer.row.unknown
        optional = bool(record.type & record.layer.row.optional)
        clause = clauses[optional]
        if self.context.findings.full(clause, record):
            return
        kind = f"{record.type:#x}"
        message = f"record type {kind} is not known" + (", and may be skipped" if optional else "")
        self.context.report_header(clause, record, "type", message, "a known type", kind)

    def order(self, record: Record) -> None:
        """Judge the record's place among the others, once per rule and checkpoint."""
        layer = record.layer
        rules = tables.ORDER[layer.name].get((layer.guest, layer.version if layer.row.image else 0))
        seen = self.seen
        for clause, has, lacks, unless in rules.get(record.type, ()) if rules else ():
            if (has & seen or lacks & ~seen or not has | lacks) and not unless & seen and clause not in self.fired:
                self.fired.add(clause)
                from .messages import order_message

                message = order_message(layer.name, record.name, has & seen, lacks & ~seen)
                self.context.report(clause, record, message)
        self.seen = seen | self._bits[record.type]

    def length(self, record: Record) -> None:
        """Judge the body's length by the schema alone."""
        row = tables.LENGTHS.get(record.path)
        if row is None:
            return
        clause, fixed, unit, least, most, lengths = row
        lengths = self.lengths(record, lengths)
        rest = record.length - fixed
        count, over = divmod(rest, unit or 1)
        good = not over and count >= least and (most is None or count <= most) and (not lengths or rest in lengths)
        if not (good and (unit or not rest)) and not self.tolerated(record, rest):
            from .messages import length_words  # most lengths are right

            self.context.report_length(clause, record, length_words(fixed, unit, least, most, lengths))

    def lengths(self, record: Record, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """The sizes that a record's variable part may have, of which the schema has `lengths`."""
        return lengths

    def tolerated(self, record: Record, rest: int) -> bool:
        """Whether a wrong length has a clause of its own; then it is reported.  `rest` is that of the variable part."""
        return False

    # -- bodies -----------------------------------------------------------------------------------------------

    def fixed(self, body: Body) -> Generator[int, int, bytes]:
        """Program that reads the fixed fields and judges them by their rules; none if the stream ends first."""
        record = body.record
        size = tables.SIZES[record.path]
        if not (yield from body.need(size)):
            return b""
        at, raw = body.at, body.window.take(size)
        broken = broken_rules(record.path, raw, body.order)
        if broken:
            self.context.report_rules(broken, record, raw, at)
        return raw

    def values(self, body: Body) -> Generator[int, int, tuple[Any, ...]]:
        """Program that reads and judges the fixed fields too: their values, none if the stream ends first."""
        raw = yield from self.fixed(body)
        return unpack(body.order + tables.FORMATS[body.record.path], raw) if raw else ()

    def elements(self, body: Body) -> Program:
        """Program that judges each element of the list that is the rest of a body by the field rules for it."""
        record, number = body.record, 0
        path = _LISTS.get(record.path)
        if path is None:
            return
        unit, at = tables.SIZES[path], body.at
        while raw := (yield from body.piece(unit, LIST_PIECE)):
            for offset in range(0, len(raw), unit):
                element = raw[offset : offset + unit]
                broken = broken_rules(path, element, body.order)
                if broken:
                    prefix = f"{path.rpartition('.')[2]}[{number + offset // unit}]."
                    self.context.report_rules(broken, record, element, at + offset, path, prefix)
            number += len(raw) // unit
            at += len(raw)
