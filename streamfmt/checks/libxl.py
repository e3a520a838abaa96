"""Checks of the libxl stream: its checkpoints, and the bodies of its records."""

from __future__ import annotations

from _struct import unpack_from  # struct would be a module more to find

from .. import tables
from ..reader.events import PIECE, Body
from ..reader.fields import number
from ..reader.registry import Position, load
from ..reader.xenstore import Pairs
from . import layer as base
from .layer import MODES
from .xenstored import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from .layer import Context

_NEW = "NEW"
_UNKNOWN, _TRADITIONAL, _UPSTREAM = (
    tables.EMULATOR_IDS[name] for name in ("UNKNOWN", "QEMU_TRADITIONAL", "QEMU_UPSTREAM")
)
_NO_STATE = "has no EMULATOR_CONTEXT, and the configuration is an HVM guest's"
# States of the machine of checkpoints.
_TAIL, _BETWEEN = "tail", "between"
_MARKS = {_TAIL: tables.CHECKPOINT_OPEN, _BETWEEN: tables.CHECKPOINT_CLOSED}
# The clauses about the device model's state.
_STATE = ("LIBXL-EMU-EMPTY", "LIBXL-EMU-QEMU", "LIBXL-EMU-WHOLE")
_EMULATORS = (tables.LIBXL_EMULATOR_XENSTORE_DATA, tables.LIBXL_EMULATOR_CONTEXT)


class Checks(base.Checks):
    """Judges a libxl stream; `legacy` if the legacy converter says that it wrote it."""

    legacy = False

    def __init__(self, context: Context, layer: Layer) -> None:
        super().__init__(context, layer)
        self.position = Position("checkpoints")
        self.kind = Position("COLO", context.mode)

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self.legacy = bool(number(path, "options.legacy", raw, ">") & tables.LIBXL_OPTIONS["legacy"])
        super().header(layer, path, at, raw, broken)

    def _mark(self) -> None:
        """The order rules see the states between and in checkpoints as if they were records that have come."""
        self.seen = self.seen & ~(tables.CHECKPOINT_OPEN | tables.CHECKPOINT_CLOSED) | _MARKS.get(
            self.position.state, 0
        )

    def record(self, record: Record) -> Program | None:
        if record.type == tables.LIBXL_END and (program := self.doubted(record, owed=self._owed())):
            return program
        return super().record(record)

    def known(self, record: Record) -> Program | None:
        if record.type == tables.LIBXL_END and self._owed() & ~self.seen:
            self.context.report("LIBXL-EMU-CTX", record, f"the stream {_NO_STATE}")
        fired = len(self.fired)
        program = super().known(record)
        if record.type == tables.LIBXL_END and len(self.fired) > fired and not self.context.exact:
            # An END that comes too early may be zeros.
            program = load("checks.zeros:early")(self, record)
        return program

    def _device_model(self) -> int:
        """The bit of EMULATOR_CONTEXT if the guest is known to have a device model: it is HVM, and not PVH."""
        said = self.context.configuration
        known = said is not None and said.type == "hvm" and self.layer.guest == "hvm"
        return self._bits[tables.LIBXL_EMULATOR_CONTEXT] if known else 0

    def _owed(self) -> int:
        """What has to come before END, unless that only closes a stream of checkpoints."""
        return 0 if self.context.checkpoints else self._device_model()

    def body(self, record: Record) -> Program | None:
        before = self.position.state
        self.position.force(record.path, self.layer.row)
        if self.position.state != before:
            if record.type == tables.LIBXL_CHECKPOINT_END:
                self._checkpoint_end(record)
            elif record.type == tables.LIBXL_CHECKPOINT_STATE and not self._begins(record.path):
                self.context.report("LIBXL-CKPTSTATE-CTX", record, "CHECKPOINT_STATE in a stream of Remus")
            self._mark()
        if not record.length or record.length < tables.SIZES[record.path]:
            return None
        if record.type in _EMULATORS:
            return _emulator(self, Body(self.context.window, record))
        if record.type == tables.LIBXL_CHECKPOINT_STATE:
            return self._state(Body(self.context.window, record))
        return None

    def _state(self, body: Body) -> Program:
        name = yield from control_id(self, body)
        if name and name != _NEW:
            message = f"{name} belongs on the back channel"
            self.context.report_field("COLO-NEW-FWD", body.record, "control_id", message, _NEW, name)

    # -- checkpoints ------------------------------------------------------------------------------------------

    def image_record(self, path: str) -> None:
        """A record of the image inside has come, at schema path `path`, with which the machine of checkpoints moves."""
        self.position.step(path)
        self._mark()

    def _checkpoint_end(self, record: Record) -> None:
        """A checkpoint is closed."""
        context = self._bits[tables.LIBXL_EMULATOR_CONTEXT]
        if self.layer.guest == "hvm" and not self.seen & context:
            if self.context.mode == "colo":
                self.context.report("LIBXL-EMU-CTX", record, "a checkpoint of a COLO stream has no EMULATOR_CONTEXT")
            elif self._device_model():
                self.context.report("LIBXL-EMU-CTX", record, f"a checkpoint {_NO_STATE}")
        self.seen &= ~tables.LIBXL_TAIL
        self.kind.step(record.path)
        # What kind of guest it is, is reported once.
        self.fired.intersection_update(("COLO-HVM",))
        self.context.checkpoints += 1

    def next_checkpoint(self, image: Layer, at: int) -> None:
        """The first record of a later checkpoint of the image has come, at `at`."""
        if self.position.state == _BETWEEN and not self._begins(f"{image.name}.*") and image.guest == "hvm":
            message = "a checkpoint begins that no CHECKPOINT_STATE has announced"
            expected, actual = "NEW", "libxc records"
            self.context.report("LIBXL-CKPTSTATE-ID", self.layer, message, offset=at, expected=expected, actual=actual)

    def _begins(self, path: str) -> bool:
        """A checkpoint begins with a record, where the second shows what kind of stream it is.  Whether it may so."""
        allowed = self.kind.step(path)
        if allowed and self.context.mode == MODES[0] and self.kind.state in MODES:
            self.context.mode = self.kind.state
        return allowed


def control_id(checks: base.Checks, body: Body) -> Generator[int, int, str | None]:
    """Program that reads a CHECKPOINT_STATE and judges its fields: the id's name, "" if it has none, None if cut."""
    values = yield from checks.values(body)
    return tables.CHECKPOINT_STATES.get(values[0], "") if values else None


def _emulator(checks: Checks, body: Body) -> Program:
    record = body.record
    if checks.context.configuration is not None:
        load("checks.configured:emulator")(checks.context, checks.context.configuration, record)
    xenstore = record.type == tables.LIBXL_EMULATOR_XENSTORE_DATA
    if xenstore and record.length <= PIECE:
        if not (yield from body.need(record.length)):
            return
        window = body.window
        width = draft_width(bytes(window.buf[window.lo : window.lo + record.length]), body.order)
        if width:
            message = f"the body has the form of the July 2015 draft, {width}-bit layout, which no release reads"
            checks.context.report("LIBXL-EMUXS-DRAFT", record, message, offset=record.body, length=record.length)
            return
    values = yield from checks.values(body)
    if not values:
        return
    emulator, *_ = values
    if emulator == _TRADITIONAL:
        message = "the emulator is qemu-traditional, which Xen 4.21 stopped writing"
        checks.context.report_field("LIBXL-EMU-TRADITIONAL", record, "emulator_id", message)
    elif emulator != _UPSTREAM and not (emulator == _UNKNOWN and checks.legacy):
        expected = f"{_TRADITIONAL} or {_UPSTREAM}"
        expected += f" ({_UNKNOWN} only in a converted stream)" if emulator == _UNKNOWN else ""
        message = f"emulator_id is {emulator}, expected {expected}"
        checks.context.report_field("LIBXL-EMU-ID", record, "emulator_id", message, expected, emulator)
    if xenstore and not body.left:
        checks.context.report("LIBXL-EMUXS-OMIT", record, "the record carries no keys and must be left out")
    elif xenstore:
        yield from _pairs(checks, body)
    else:
        yield from load("checks.device_model:state")(checks, body, "context", *_STATE)


def draft_width(body: bytes, order: str) -> int:
    """32 or 64 if `body` is a toolstack record of that width, as the July 2015 draft had it; else 0."""
    for width in tables.DRAFT_WIDTHS:
        path = f"libxl.XENSTORE_DATA_{width}"
        offset = tables.SIZES[path]
        if len(body) <= offset:
            continue
        version, count = unpack_from(order + tables.FORMATS[path], body)
        if version != tables.DRAFT_VERSION or not 0 < count <= len(body):
            continue
        entry = f"{path}.entries"
        size, unit = tables.LEAST[entry], tables.UNITS[entry][0]
        place, _ = tables.PLACES[entry]["namelen"]
        for _ in range(count):
            if offset + size > len(body):
                break
            (length,) = unpack_from(order + "I", body, offset + place)
            offset += size + unit * length
        else:
            if offset == len(body):
                return int(width)
    return 0


def _pairs(checks: Checks, body: Body) -> Program:
    """Keys are relative and not empty, strings of their characters, and each key has a value; one finding of each.

    And xenstored takes them: what it would refuse to write has a clause for each reason.
    """
    walk = Pairs(body)
    bad_pair = bad_char = False
    refused = Refused(checks, body)

    def report(message: str) -> None:
        nonlocal bad_pair
        if not bad_pair:
            bad_pair = True
            field = f"pairs[{walk.pair}]"
            checks.context.report("LIBXL-EMUXS-PAIRS", body.record, message, offset=walk.start, field=field)

    while (yield from walk.next()):
        if bad_pair and walk.at - walk.begin >= PIECE:
            return  # one finding is enough, and the body may be endless
        text, key = walk.text, walk.key
        if key and not walk.before and text.startswith(b"/"):
            report(f"key {walk.pair} begins with a slash; keys are relative")
        wrong = b"" if bad_char else text.translate(None, tables.XENSTORE_KEY if key else tables.XENSTORE_VALUE)
        if wrong:
            bad_char = True
            _bad_character(checks, body, walk, wrong[0])
        if key and walk.whole and not walk.before and not text:
            report(f"key {walk.pair} is empty")
        refused.see(walk)
    if body.left:
        return  # the stream ends first
    if walk.before:
        report("the last string has no NUL at its end")
    elif not walk.key:
        report("the last key has no value")


def _bad_character(checks: Checks, body: Body, walk: Pairs, other: int) -> None:
    from .messages import characters  # few have such

    kind = "key" if walk.key else "value"
    checks.context.report(
        "LIBXL-EMUXS-CHARSET",
        body.record,
        f"{kind} {walk.pair} has byte {other:#04x}",
        offset=walk.at + walk.text.index(other),
        length=1,
        field=f"pairs[{walk.pair}].{kind}",
        expected=characters(tables.XENSTORE_KEY if walk.key else tables.XENSTORE_VALUE),
        actual=f"{other:#04x}",
    )
