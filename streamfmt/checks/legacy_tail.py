"""Checks of a legacy stream's tails: frames without a page, vcpus, virtual hardware, the device model's state."""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from ..reader.legacy_pages import CODES
from ..reader.registry import load
from . import vcpu_context
from .legacy_memory import gross
from .messages import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Body
    from ..reader.pump import Program
    from .legacy import Checks

_XCR0 = 16
_STATE = ("LEGACY-QEMU-FORM", "LEGACY-QEMU-FORM", "LEGACY-QEMU-WHOLE")
_SIGNATURE = "signature"


def unmapped(checks: Checks, body: Body) -> Program:
    """Program that judges the list of frames without a page: no more than the guest has, each of them its own."""
    record, word, size = body.record, checks.facts.word, checks.facts.p2m_size
    values = yield from checks.values(body)
    if not values:
        return
    number = values[0]
    if number > size:
        message = f"{number:,} frames have no page, and the guest has {size:,}"
        checks.context.report_field("LEGACY-UNMAPPED", record, "count", message, f"at most {size}", number)
        checks.lose(record.offset, "the tail")
        return
    at, place = body.at, 0
    while raw := (yield from body.piece(word)):
        frames = unpack_from(f"<{len(raw) // word}{CODES[word]}", raw)
        wrong = [(here, frame) for here, frame in enumerate(frames, place) if frame >= size]
        lost = gross(len(wrong), len(frames))
        for here, frame in wrong[:1] if lost else wrong:
            where = at + word * here
            if not checks.context.findings.full("LEGACY-UNMAPPED", record, where):
                message = f"entry {here} is frame {frame:#x}, the guest has {size:#x}"
                checks.context.report(
                    "LEGACY-UNMAPPED",
                    record,
                    message,
                    offset=where,
                    length=word,
                    field=f"pfns[{here}]",
                    expected=f"below {size:#x}",
                    actual=f"{frame:#x}",
                )
        if lost:
            checks.lose(record.offset, "the tail")
        place += len(frames)


# -- vcpus ------------------------------------------------------------------------------------------------------------


def _number(checks: Checks) -> int:
    """Which vcpu the latest context is of."""
    return checks.facts.vcpus[max(checks.vcpu - 1, 0)]


def vcpu(checks: Checks, body: Body) -> Program:
    """Program that remembers the frames that a vcpu names; they are judged when the checkpoint is whole."""
    checks.vcpu += 1
    facts, memory, size = checks.facts, checks.memory, body.left
    if memory is None or not (yield from body.need(size)):
        return
    raw, number = body.window.head(size), _number(checks)
    if checks.context.deep:
        vcpu_context.registers(checks, body.record, raw, facts.width, body.at)
    entries = vcpu_context.gdt_entries(raw, facts.width)
    if entries > tables.GDT_ENTRIES_MAX:
        place = tables.VCPU_CONTEXT_GDT_ENTS[facts.width]
        message = f"vcpu {number} has a GDT of {entries:,} entries, the last ones of which are Xen's"
        checks.context.report(
            "LEGACY-VCPU-PFN",
            body.record,
            message,
            offset=body.at + place,
            length=facts.width,
            field="context",
            expected=f"at most {tables.GDT_ENTRIES_MAX}",
            actual=entries,
        )
    second = tables.VCPU_CONTEXT_GDT_FRAMES[facts.width] + facts.width
    for frame, place, level in vcpu_context.named(raw, facts.width, number):
        # Xen 3.0 translates the first frame of a GDT only (xc_linux_save.c).
        if facts.mapped or level or place < second:
            memory.name(frame, body.at + place, level, number)


def extended(checks: Checks, body: Body) -> Program:
    """Program that judges the system call entry points of a vcpu: that they are of the vcpu before."""
    record = body.record
    values = yield from checks.values(body)
    if not values:
        return
    vcpu, size, *_ = values
    number, fits = _number(checks), 0 < size <= record.length
    checks.displaced = checks.displaced or vcpu != number or not fits
    if vcpu != number:
        message = f"it is of vcpu {vcpu}, after the context of vcpu {number}"
        checks.context.report_field("LEGACY-VCPU-EXT", record, "vcpu", message, number, vcpu)
    elif not fits:
        message = f"its size is {size:,}, and it has {record.length}"
        checks.context.report_field("LEGACY-VCPU-EXT", record, "size", message, f"at most {record.length}", size)
    if vcpu != number and not fits:
        checks.lose(record.offset, "what the tail has of a vcpu")


def xsave(checks: Checks, body: Body) -> Program:
    """Program that judges XSAVE state: as long as extended info says, and long enough."""
    record = body.record
    values = yield from checks.values(body)
    if not values:
        return
    _, size = values
    due = checks.facts.xsave - tables.SIZES[record.path]
    if size != due and checks.displaced:
        checks.lose(record.offset, "what the tail has of a vcpu")  # which has been reported
    elif size < _XCR0:
        message = f"the state has {count(size, 'byte')}: too few for xcr0 and xcr0_accum"
        checks.context.report_field("LEGACY-XSAVE-SIZE", record, "size", message, f"at least {_XCR0}", size)
    elif size != due:
        message = f"the state has {size:,} bytes, and by xcnt each has {due:,}: readers take that many"
        checks.context.report_field("LEGACY-XSAVE-SIZE", record, "size", message, due, size)
    elif checks.context.deep:
        yield from load("checks.payloads:saved_area")(checks, body, _number(checks))


# -- HVM --------------------------------------------------------------------------------------------------------------


def hvm_context(checks: Checks, body: Body) -> Program:
    """Program that judges Xen's save format of virtual hardware."""
    if not (yield from checks.fixed(body)):
        return
    yield from load("checks.hvm:legacy_context")(checks, body)


def device_model(checks: Checks, body: Body) -> Program:
    """Program that judges a device model's state whose length comes before it."""
    if (yield from checks.fixed(body)):
        yield from load("checks.device_model:state")(checks, body, "state", *_STATE)


def state(checks: Checks, body: Body) -> Program:
    """Program that judges a piece of a state that goes to the end of the input: it is of a record of QEMU."""
    if not checks.seen_state and body.left:
        checks.seen_state = True
        at, size = body.at, len(tables.QEMU_MAGIC)
        head = yield from body.take(size)
        if not tables.QEMU_MAGIC.startswith(head[:size]) or len(head) < min(size, body.record.length):
            message = f"the device model's state begins {head.hex(' ')}, which is no record of QEMU"
            checks.context.report(
                "LEGACY-QEMU-FORM",
                body.record,
                message,
                offset=body.record.body,
                length=len(head),
                field="state",
                expected=tables.QEMU_MAGIC.decode(),
                actual=head.hex(" "),
            )
            return
        checks.model = load("checks.qemu_inner:Inner")(checks.context, checks.layer, at)
        checks.model.feed(head)
    if checks.model is not None:
        while piece := (yield from body.piece()):
            checks.model.feed(piece)


def state_ends(checks: Checks, at: int) -> None:
    """Judge that a state that went to the end of the input, at `at`, has ended by then."""
    inner = checks.model
    if inner is None:
        return
    inner.end()
    if inner.cut and not inner.broken:
        message = f"the device model's state ends inside {inner.cut}: it may be cut"
        clause = "LEGACY-QEMU-WHOLE"
        checks.context.report(clause, checks.layer, message, offset=at, expected="00, which ends its sections")
