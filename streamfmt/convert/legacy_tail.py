"""Conversion of what a legacy stream says of a guest's vcpus, devices and clock."""

from __future__ import annotations

from struct import pack, unpack_from

from .. import tables
from . import legacy_memory, records
from .toolstack import pairs
from .wrappers import XAPI_HEADER, XAPI_QEMU_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Body, Record
    from ..reader.pump import Program
    from .legacy import Part

_VCPU = tables.SIZES["libxc.X86_PV_VCPU_BASIC"]
_EMULATOR = pack("<II", 0, 0)
_PAE_WIDTH, _PAE_LEVELS = min(tables.PV_COMBINATIONS)
# A record of the toolstack has a few entries; more than this is not looked into.
_TOOLSTACK_MAX = 1 << 20
_LENGTH = 4
_GENERATION_ID = tables.LEGACY_PARAM_INDEX[tables.LEGACY_HVM_GENERATION_ID_ADDR]
_XCR0 = 16


def tsc(part: Part, record: Record) -> Program:
    """The time stamp counter, which is in the first checkpoint only."""
    raw = yield from part.body(record).take(record.length)
    if len(raw) == record.length:
        mode, nsec, khz, incarnation = unpack_from(tables.LEGACY_TSC_FORMAT, raw)
        part.tsc = records.record(tables.LIBXC_X86_TSC_INFO, pack("<IIQII", mode, khz, nsec, incarnation, 0))
        part.put(record.offset, part.tsc)
        part.note("MAP-TSC", record.offset)


def param(part: Part, record: Record) -> Program:
    """An HVM parameter; of several the last counts, in this checkpoint and those that have none."""
    raw = yield from part.body(record).take(record.length)
    if len(raw) == record.length:
        _, part.params[tables.LEGACY_PARAM_INDEX[record.type]] = unpack_from(tables.LEGACY_PARAM_FORMAT, raw)


def toolstack(part: Part, record: Record) -> Program | None:
    """Keys of the device model; of several records the last counts."""
    return _toolstack(part, record) if record.length <= _TOOLSTACK_MAX else None


def _toolstack(part: Part, record: Record) -> Program:
    raw = yield from part.body(record).take(record.length)
    wrong: list[bytes] = []
    part.xenstore = pairs(raw[_LENGTH:], part.facts.word, wrong) or b""
    if part.xenstore and (part.informed or not part.order.wrapped):
        part.conversion.unfit("LOSE-TOOLSTACK", record.offset)
        part.xenstore = b""
    elif wrong:
        part.conversion.unfit("LOSE-NAME", record.offset, count=len(wrong))


def end_of_body(part: Part, record: Record) -> None:
    """All memory has come: HVM parameters, as far as receivers set them, begin the tail."""
    at = record.end
    legacy_memory.body_ends(part, record.offset)
    part.order.body_ends(at)
    part.vcpus = 0
    if part.order.current > 1 and part.order.keeping:
        part.put(at, part.tsc)  # a receiver wants it in each checkpoint
    found = []
    pair = [part.params.get(index) for index in tables.LEGACY_IOREQ_PARAMS]
    for index, value in part.params.items():
        if not value:
            part.note("DROP-PARAM-ZERO", at, f"parameter {index}")
        elif index in tables.LEGACY_IOREQ_PARAMS and not all(pair):
            part.note("DROP-IOREQ", at, f"parameter {index}")
        elif index == tables.LEGACY_ACPI_IOPORTS and value != tables.LEGACY_ACPI_IOPORTS_SET:
            part.note("DROP-ACPI-IOPORTS", at, f"{value:#x}")
        else:
            found.append((index, value))
            if index == _GENERATION_ID:
                part.note("MAP-GENERATION-ID", at, f"{value:#x}")
    part.put(at, records.params(found))
    if found:
        part.note("MAP-PARAMS", at, count=len(found))


# -- PV ---------------------------------------------------------------------------------------------------------------


def unmapped(part: Part, record: Record) -> Program:
    """Frames without a page: receivers of that time freed those that had come before."""
    word, body = part.facts.word, part.body(record)
    count = int.from_bytes((yield from body.take(_LENGTH)), "little")
    freed = 0
    while raw := (yield from body.piece(word)):
        for place in range(0, len(raw), word):
            freed += part.pfns.type_of(int.from_bytes(raw[place : place + word], "little")) is not None
    if freed:
        part.conversion.unfit("LOSE-UNMAPPED", record.offset, count=freed)
    if count > freed:
        part.note("DROP-UNMAPPED", record.offset, count=count - freed)


def vcpu(part: Part, record: Record) -> Program:
    """A vcpu's registers."""
    number, body = part.facts.vcpus[part.vcpus], part.body(record)
    part.vcpus += 1
    at = record.offset
    part.put(at, records.header(tables.LIBXC_X86_PV_VCPU_BASIC, _VCPU + record.length) + pack("<II", number, 0))
    part.note("MAP-VCPU", at)
    if part.facts.width == _PAE_WIDTH:
        yield from _levels(part, body)
    flags = tables.VCPU_CONTEXT_FLAGS[part.facts.width]
    if part.facts.mapped or not (yield from body.need(flags + 1)):
        part.copy(at, record.end)
        return
    # Before 3.1 no map of vcpus says that it is online, and its own flags do not (3.0).
    byte = body.window.head(flags + 1)[flags]
    part.copy(at, at + flags)
    part.put(at + flags, bytes([byte | tables.LEGACY_VCPU_ONLINE]))
    part.copy(at + flags + 1, record.end)
    if not byte & tables.LEGACY_VCPU_ONLINE:
        part.note("MAP-ONLINE", at)


def _levels(part: Part, body: Body) -> Program:
    """Program that refuses a guest without PAE: its top page table has two levels, which an image cannot say."""
    place = tables.VCPU_CONTEXT_CR3[_PAE_WIDTH]
    if not (yield from body.need(place + _PAE_WIDTH)):
        return
    (folded,) = unpack_from("<I", body.window.head(place + _PAE_WIDTH), place)
    kind = part.pfns.type_of(folded >> 12 | (folded & 0xFFF) << 20)
    if tables.TABLE_LEVELS.get(kind or 0) == _PAE_LEVELS - 1:
        part.conversion.unfit("REFUSE-LEVELS", body.at)


def extended(part: Part, record: Record) -> None:
    """System call entry points of the vcpu before."""
    _of_vcpu(part, record, tables.LIBXC_X86_PV_VCPU_EXTENDED, record.offset)


def xsave(part: Part, record: Record) -> None:
    """Extended processor state of the vcpu before, without its mask and length."""
    start = record.offset + tables.SIZES[record.path]
    size = record.end - start
    if size >= _XCR0 and size != part.facts.xsave - tables.SIZES[record.path]:
        part.note("LEGACY-XSAVE-SIZE", record.offset)
        part.conversion.mends("LEGACY-XSAVE-SIZE")
    if size:
        _of_vcpu(part, record, tables.LIBXC_X86_PV_VCPU_XSAVE, start)


def _of_vcpu(part: Part, record: Record, kind: int, start: int) -> None:
    length = _VCPU + record.end - start
    number = part.facts.vcpus[part.vcpus - 1]
    part.put(record.offset, records.header(kind, length) + pack("<II", number, 0))
    part.copy(start, record.end)
    part.put(record.end, records.padding(length))
    part.note("MAP-VCPU", record.offset)


def shared_info(part: Part, record: Record) -> None:
    """The shared info page, with which an image ends."""
    part.put(record.offset, records.header(tables.LIBXC_SHARED_INFO, record.length))
    part.copy(record.offset, record.end)
    part.note("MAP-SHARED-INFO", record.offset)
    part.order.image_ends(record.end)


# -- HVM --------------------------------------------------------------------------------------------------------------


def special_pages(part: Part, record: Record) -> Program:
    """Frames of special pages, which are HVM parameters."""
    raw = yield from part.body(record).take(record.length)
    if len(raw) == record.length:
        values = list(zip(tables.LEGACY_TAIL_PARAMS, unpack_from("<3Q", raw), strict=True))
        for index, value in values:
            if not value:
                part.note("DROP-PARAM-ZERO", record.offset, f"parameter {index}")
        part.put(record.offset, records.params(pair for pair in values if pair[1]))
        part.note("MAP-SPECIAL-PAGES", record.offset)


def hvm_context(part: Part, record: Record) -> None:
    """Xen's save format of virtual hardware, with which an image ends."""
    start, length = record.offset + _LENGTH, record.length - _LENGTH
    part.put(record.offset, records.header(tables.LIBXC_HVM_CONTEXT, length))
    part.copy(start, record.end)
    part.put(record.end, records.padding(length))
    part.note("MAP-HVM-CONTEXT", record.offset)
    part.order.image_ends(record.end)
    if part.order.wrapped and part.xenstore:
        part.put(record.end, records.record(tables.LIBXL_EMULATOR_XENSTORE_DATA, _EMULATOR, part.xenstore))
        part.note("MAP-TOOLSTACK", record.end)


def device_model(part: Part, record: Record) -> None:
    """The device model's state, with its length."""
    if not part.order.wrapped:
        _trailer(part, record)
        return
    start = record.offset + tables.SIZES[record.path]
    length = len(_EMULATOR) + record.end - start
    part.put(record.offset, records.header(tables.LIBXL_EMULATOR_CONTEXT, length) + _EMULATOR)
    part.copy(start, record.end)
    part.put(record.end, records.padding(length))
    part.note("MAP-QEMU", record.offset)


def _trailer(part: Part, record: Record) -> None:
    """Leave the state as it is, after the image, if it can be there."""
    outer = part.layer.parent
    beside = outer is not None and bool(outer.row.opens)
    if part.order.checkpointed:
        part.conversion.unfit("LOSE-STATE", record.offset)
    elif beside:
        _beside(part, record)
    else:
        part.copy(record.offset, record.end)
        part.note("MAP-QEMU-TRAILER", record.offset)


def _beside(part: Part, record: Record) -> None:
    """Make the state a record of its own, after that of the image.

    QEMU_TRAD is what xenopsd calls the state of either emulator (xen-api ocaml/xenopsd/xc/domain.ml, suspend).
    """
    start = record.offset + tables.SIZES[record.path]
    length = record.end - start
    if record.type == tables.LEGACY_QEMU_TO_END:
        part.conversion.unfit("REFUSE-STATE", record.offset)
    elif length > XAPI_QEMU_MAX:
        part.conversion.unfit("XAPI-QEMU-MAX", record.offset)
    part.put(record.offset, XAPI_HEADER.pack(tables.XAPI_QEMU_TRAD, length))
    part.copy(start, record.end)
    part.note("MAP-QEMU-RECORD", record.offset)


def device_model_to_end(part: Part, record: Record) -> None:
    """The device model's state follows, as far as the input goes."""
    if not part.order.wrapped:
        _trailer(part, record)
        return
    part.order.state_begins(record.end, _EMULATOR)
    part.note("MAP-QEMU", record.offset)


def device_model_piece(part: Part, record: Record) -> None:
    """A piece of that state."""
    part.copy(record.offset, record.end)
    part.order.state_goes_on(record.length)
