"""Checks of libxl records that tables cannot express, and of what follows a stream."""

from __future__ import annotations

from struct import unpack, unpack_from

from .. import tables
from ..reader.events import Layer, Record
from ..reader.fields import broken_rules
from .messages import characters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from ..reader.pump import Program
    from .state import LayerState
    from .verifier import Verifier

_XENSTORE = "libxl.EMULATOR_XENSTORE_DATA"
_PIECE = 32 << 10
_NEW = "NEW"
_UNKNOWN, _TRADITIONAL, _UPSTREAM = (
    tables.EMULATOR_IDS[name] for name in ("UNKNOWN", "QEMU_TRADITIONAL", "QEMU_UPSTREAM")
)


def is_legacy(raw: bytes) -> bool:
    """Whether a stream header says that the legacy converter wrote the stream."""
    return bool(unpack(tables.FORMATS["libxl.header"], raw)[-1] & tables.LIBXL_OPTIONS.get("legacy", 0))


def body(verifier: Verifier, state: LayerState, record: Record) -> Program | None:
    """Program that judges the record's body, if there is anything in it to judge."""
    if not record.length or record.length < tables.SIZES[record.path]:
        return None
    if record.type in (tables.LIBXL_EMULATOR_XENSTORE_DATA, tables.LIBXL_EMULATOR_CONTEXT):
        return _emulator(verifier, state, record)
    if record.type == tables.LIBXL_CHECKPOINT_STATE:
        return _state(verifier, record)
    return None


def _state(verifier: Verifier, record: Record) -> Program:
    name = yield from control_id(verifier, record)
    if name and name != _NEW:
        state_fault(verifier, record, "COLO-NEW-FWD", f"{name} belongs on the back channel", _NEW, name)


def control_id(verifier: Verifier, record: Record) -> Generator[int, int, str | None]:
    """Program that reads a CHECKPOINT_STATE and judges its fields: the id's name, "" if it has none, None if cut."""
    w = verifier.window
    size = tables.SIZES[record.path]
    if w.hi - w.lo < size and not (yield size):
        return None
    at, raw = w.position, w.take(size)
    verifier.broken_rules(broken_rules(record.path, raw, record.layer.order), record, raw, at)
    (number,) = unpack(record.layer.order + tables.FORMATS[record.path], raw)
    return tables.CHECKPOINT_STATES.get(number, "")


def state_fault(verifier: Verifier, record: Record, clause: str, message: str, expected: str, actual: str) -> None:
    """A breach by the control id of a CHECKPOINT_STATE."""
    place, size = tables.PLACES[record.path]["control_id"]
    at = record.body + place
    verifier.report(
        clause, record, message, offset=at, length=size, field="control_id", expected=expected, actual=actual
    )


def checkpoint_end(verifier: Verifier, state: LayerState, record: Record) -> None:
    """A checkpoint is closed."""
    context = tables.BITS["libxl"][tables.LIBXL_EMULATOR_CONTEXT]
    if verifier.mode == "colo" and state.layer.guest == "hvm" and not state.seen & context:
        verifier.report("LIBXL-EMU-CTX", record, "a checkpoint of a COLO stream has no EMULATOR_CONTEXT")
    state.seen = state.seen & ~(tables.LIBXL_TAIL | tables.CHECKPOINT_OPEN) | tables.CHECKPOINT_CLOSED
    # What kind of guest it is, is told once.
    state.fired.intersection_update(("COLO-HVM",))


def announced(verifier: Verifier, state: LayerState, record: Record) -> None:
    """COLO announces the next checkpoint; in any other place the order of the records forbids it."""
    if not state.seen & tables.CHECKPOINT_CLOSED:
        return
    state.seen &= ~tables.CHECKPOINT_CLOSED
    if verifier.mode == "auto":
        verifier.mode = "colo"
    elif verifier.mode == "remus":
        verifier.report("LIBXL-CKPTSTATE-CTX", record, "CHECKPOINT_STATE in a stream of Remus")


def next_checkpoint(verifier: Verifier, image: Layer, at: int) -> None:
    """The first record of a later checkpoint has come, at `at`."""
    outer = verifier.enclosing(image)
    if outer is None or not outer.seen & tables.CHECKPOINT_CLOSED:
        return
    if verifier.mode == "auto":
        verifier.mode = "remus"
    elif verifier.mode == "colo" and image.guest == "hvm":
        message = "a checkpoint begins that no CHECKPOINT_STATE has announced"
        verifier.report("LIBXL-CKPTSTATE-ID", outer.layer, message, offset=at, expected="NEW", actual="libxc records")


def never_checkpointed(verifier: Verifier, layer: Layer, at: int) -> None:
    """A stream that is declared checkpointed has ended without one."""
    if layer.name == "libxc" and verifier.enclosing(layer) is not None:
        return  # the libxl stream around it tells
    message = f"the stream ends without a checkpoint, and is declared {verifier.mode}"
    verifier.report("CKPT-CKPT-REC", layer, message, offset=at, expected="CHECKPOINT", actual="END")


def _emulator(verifier: Verifier, state: LayerState, record: Record) -> Program:
    w = verifier.window
    size = tables.SIZES[record.path]
    xenstore = record.type == tables.LIBXL_EMULATOR_XENSTORE_DATA
    if xenstore and record.length <= _PIECE:
        if w.hi - w.lo < record.length and not (yield record.length):
            return
        width = draft_width(bytes(w.buf[w.lo : w.lo + record.length]), record.layer.order)
        if width:
            message = f"the body has the form of the July 2015 draft, {width}-bit layout, which no release reads"
            verifier.report("LIBXL-EMUXS-DRAFT", record, message, offset=record.body, length=record.length)
            return
    if w.hi - w.lo < size and not (yield size):
        return
    at, raw = w.position, w.take(size)
    verifier.broken_rules(broken_rules(record.path, raw, record.layer.order), record, raw, at)
    emulator, *_ = unpack(record.layer.order + tables.FORMATS[record.path], raw)
    place, length = tables.PLACES[record.path]["emulator_id"]
    if emulator == _TRADITIONAL:
        message = "the emulator is qemu-traditional, which Xen 4.21 stopped writing"
        verifier.report("LIBXL-EMU-TRADITIONAL", record, message, offset=at + place, length=length, field="emulator_id")
    elif emulator != _UPSTREAM and not (emulator == _UNKNOWN and state.legacy):
        expected = f"{_TRADITIONAL} or {_UPSTREAM}"
        expected += f" ({_UNKNOWN} only in a converted stream)" if emulator == _UNKNOWN else ""
        verifier.report(
            "LIBXL-EMU-ID",
            record,
            f"emulator_id is {emulator}, expected {expected}",
            offset=at + place,
            length=length,
            field="emulator_id",
            expected=expected,
            actual=emulator,
        )
    if xenstore:
        if record.length == size:
            verifier.report("LIBXL-EMUXS-OMIT", record, "the record carries no keys and must be left out")
        else:
            yield from _pairs(verifier, record)


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
        size, unit = tables.SIZES[entry], tables.UNITS[entry][0]
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


def _pairs(verifier: Verifier, record: Record) -> Program:
    """NUL-terminated keys and values in turn; a string of any length in constant memory."""
    w = verifier.window
    strings = 0
    length = 0  # of the string so far
    start = w.position
    bad_pair = bad_char = False

    def pairs(at: int, message: str) -> None:
        verifier.report(
            "LIBXL-EMUXS-PAIRS", record, message, offset=at, field=f"pairs[{strings // tables.PAIR_STRINGS}]"
        )

    while w.position < record.end:
        piece = min(record.end - w.position, _PIECE)
        if w.hi - w.lo < piece and not (yield piece):
            return
        if bad_pair:
            return  # one finding is enough, and the body may be endless
        at, raw = w.position, w.take(piece)
        ends = raw.split(b"\0")
        for number, text in enumerate(ends):
            key = strings % tables.PAIR_STRINGS == 0
            if text and key and not length and text[0] == ord("/") and not bad_pair:
                bad_pair = True
                pairs(start, f"key {strings // tables.PAIR_STRINGS} begins with a slash; keys are relative")
            wrong = b"" if bad_char else text.translate(None, tables.XENSTORE_KEY if key else tables.XENSTORE_VALUE)
            if wrong:
                bad_char = True
                other = wrong[0]
                verifier.report(
                    "LIBXL-EMUXS-CHARSET",
                    record,
                    f"{'key' if key else 'value'} {strings // tables.PAIR_STRINGS} has byte {other:#04x}",
                    offset=at + text.index(other),
                    length=1,
                    field=f"pairs[{strings // tables.PAIR_STRINGS}].{'key' if key else 'value'}",
                    expected=characters(tables.XENSTORE_KEY if key else tables.XENSTORE_VALUE),
                    actual=f"{other:#04x}",
                )
            length += len(text)
            at += len(text) + 1
            if number < len(ends) - 1:
                if key and not length and not bad_pair:
                    bad_pair = True
                    pairs(start, f"key {strings // tables.PAIR_STRINGS} is empty")
                strings += 1
                length = 0
                start = at
    if bad_pair:
        return
    if length:
        pairs(start, "the last string has no NUL at its end")
    elif strings % tables.PAIR_STRINGS:
        pairs(start, "the last key has no value")


def trailing(verifier: Verifier, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
    """What lies behind the outermost END: something known, another stream, or nothing anybody knows."""
    known = next(
        (name for data, whole, name in tables.TRAILERS if head.startswith(data) and (not whole or count == len(data))),
        "zeros up to the end, as on a block device" if zero else "",
    )
    if known:
        verifier.report("STREAM-TRAILER", layer, f"{count:,} bytes follow END: {known}", offset=at, length=count)
        return
    other = next((name for _, _, place, data, name in tables.MAGICS if not place and head.startswith(data)), "")
    shown = f"another {other}" if other else f"nothing known, beginning {head[:16].hex(' ')}"
    clause = "LIBXL-END-LAST" if layer.name == "libxl" else "LIBXC-END-LAST"
    verifier.report(
        clause,
        layer,
        f"{count:,} bytes follow END: {shown}",
        offset=at,
        length=count,
        expected="the end of the input",
        actual=f"{count} bytes",
    )
