"""Checks of what only PV images have: the guest's width, its p2m list, its vcpus, and whether its memory is whole."""

from __future__ import annotations

from itertools import pairwise
from struct import unpack_from

from .. import tables
from ..reader.events import LIST_PIECE
from ..reader.registry import load
from . import vcpu_context
from .pv_memory import FRAMES_MAX, LISTS_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Body, Layer, Record
    from ..reader.pump import Program
    from .libxc import Checks
    from .pv_memory import Memory

# Xen gives a PV guest at most this many vcpus (xen/include/asm-x86/config.h, MAX_VIRT_CPUS).
_VCPUS_MAX = 8192
_P2M = "libxc.X86_PV_P2M_FRAMES"


def pv_info(checks: Checks, body: Body) -> Program:
    """Program that judges X86_PV_INFO: its fields, and that such guests exist."""
    record = body.record
    values = yield from checks.values(body)
    if not values or checks.memory is None:
        return
    width, levels, *_ = values
    if (width, levels) not in tables.PV_COMBINATIONS:
        checks.context.report(
            "LIBXC-PVINFO-COMBO",
            record,
            f"a guest of {width}-byte words with {levels} levels of page tables does not exist",
            offset=record.body,
            length=2,
            field="guest_width",
            expected=" or ".join(map(str, tables.PV_COMBINATIONS)),
            actual=(width, levels),
        )
    elif checks.memory.guest_width is None:
        checks.memory.guest_width = width


def p2m_frames(checks: Checks, body: Body) -> Program:
    """Program that judges X86_PV_P2M_FRAMES: its range, its length, and that each frame is the guest's."""
    record, memory = body.record, checks.memory
    values = yield from checks.values(body)
    if not values or memory is None:
        return
    start, end = values
    if not _range(checks, memory, record, start, end):
        return
    if record.layer.guest != "pv":
        return  # of a guest of unknown kind nothing is remembered
    end = memory.end_pfn = max(end, memory.end_pfn or 0)
    unit = tables.UNITS[record.path][0]
    memory.keep(body.left // unit, body.at)
    first, at = 0, body.at
    while raw := (yield from body.piece(unit, LIST_PIECE)):
        frames = unpack_from(f"{body.order}{len(raw) // unit}Q", raw)
        if max(frames) > end:
            for place, frame in enumerate(frames):
                where = at + unit * place
                if frame > end and not checks.context.findings.full("LIBXC-P2M-ENTRY", record, where):
                    _p2m_entry(checks, record, where, first + place, f"frame {frame:#x}", end)
        if memory.frames_known and memory.frames is not None:
            memory.frames.extend(frames)
        first, at = first + len(frames), at + len(raw)


def _range(checks: Checks, memory: Memory, record: Record, start: int, end: int) -> bool:
    """Judge the frames that a list says it is about; whether its entries can be judged by them."""
    size, unit = tables.SIZES[record.path], tables.UNITS[record.path][0]
    if start > end:
        message = f"the list starts at frame {start:#x}, after its end {end:#x}"
        checks.context.report_field("LIBXC-P2M-RANGE", record, "start_pfn", message, f"at most {end:#x}", f"{start:#x}")
        return False
    if not end:
        checks.context.report("LIBXC-P2M-E0", record, "a guest of one page", field="end_pfn")
    if memory.guest_width is None:
        return True
    per_frame = tables.PAGE_SIZE // memory.guest_width
    expected = size + unit * (end // per_frame - start // per_frame + 1)
    if record.length != expected:
        if not (record.length - size) % unit:  # else the length rule has spoken
            message = f"length is {record.length}, expected {expected} for frames {start:#x} to {end:#x}"
            checks.context.report_header("LIBXC-P2M-LEN", record, "length", message, expected, record.length)
        return False
    if memory.end_pfn is None and start >= per_frame:
        message = f"the first list starts at frame {start:#x}: those below have no place in one"
        checks.context.report_field(
            "LIBXC-P2M-START", record, "start_pfn", message, f"below {per_frame:#x}", f"{start:#x}"
        )
    return True


def _p2m_entry(checks: Checks, where: Record | Layer, at: int, place: int, actual: str, end: int) -> None:
    message = f"entry {place} of the p2m list is {actual}, expected an ordinary page, sent, of at most {end:#x}"
    expected, prefix = f"an ordinary page of at most {end:#x}", f"frames[{place}]"
    checks.context.report_field("LIBXC-P2M-ENTRY", where, "", message, expected, actual, f"{_P2M}.frames", at, prefix)


def vcpu(checks: Checks, body: Body) -> Program:
    """Program that judges a vcpu's record: its fixed fields, that it is the only one of its kind, its MSRs."""
    record = body.record
    values = yield from checks.values(body)
    if not values or checks.memory is None:
        return
    number, *_ = values
    key = record.type, number
    if not body.left:
        pass  # an empty one counts as if it were not there
    elif key in checks.memory.vcpus:
        message = f"vcpu {number} has another {record.name}; readers use the last"
        checks.context.report_field("LIBXC-VCPU-REPEAT", record, "vcpu_id", message, actual=number)
    elif number < _VCPUS_MAX:
        checks.memory.vcpus.add(key)
        if checks.context.configuration is not None and record.type == tables.LIBXC_X86_PV_VCPU_BASIC:
            load("checks.configured:vcpu")(checks.context, record, number)
    if record.type == tables.LIBXC_X86_PV_VCPU_BASIC and number < _VCPUS_MAX:
        yield from vcpu_context.context(checks, body, number)
    if checks.context.deep and body.left:
        yield from load("checks.payloads:vcpu")(checks, body, number)
    yield from checks.elements(body)


def image_complete(checks: Checks, memory: Memory, at: int) -> None:
    """Judge what only a whole image, or a whole checkpoint of it, shows."""
    layer = checks.layer
    if (tables.LIBXC_X86_PV_VCPU_BASIC, 0) not in memory.vcpus:
        checks.context.report("LIBXC-VCPU0-BASIC", layer, "vcpu 0 has no X86_PV_VCPU_BASIC", offset=at)
    if layer.checkpoints > 1:  # coverage is judged once, but the types of pages change
        if memory.end_pfn is not None and memory.pfns.known:
            _judge_frames(checks, memory, memory.end_pfn)
            _judge_names(checks, memory, memory.end_pfn)
        return
    if memory.end_pfn is None:
        memory.pfns.give_up("there is no p2m list to judge by")
    if memory.end_pfn is None or not memory.pfns.known:
        for clause in ("LIBXC-P2M-ENTRY", "LIBXC-PAGE-COVER", "LIBXC-VCPU-PFN"):
            checks.context.abstain(clause, memory.pfns.why)
        return
    if not memory.frames_known:
        most = f"{FRAMES_MAX:,} p2m frames in {LISTS_MAX:,} lists"
        checks.context.abstain("LIBXC-P2M-ENTRY", f"more than {most} are not followed")
    _judge_frames(checks, memory, memory.end_pfn)
    _judge_names(checks, memory, memory.end_pfn)
    count, first = memory.pfns.uncovered(memory.end_pfn)
    if count:
        checks.context.report(
            "LIBXC-PAGE-COVER",
            layer,
            f"{count:,} of the guest's {memory.end_pfn + 1:,} frames were never sent, the first is {first:#x}",
            offset=at,
            expected=f"{memory.end_pfn + 1} frames",
            actual=f"{memory.end_pfn + 1 - count} frames",
        )


def _judge_names(checks: Checks, memory: Memory, end: int) -> None:
    """Frames that vcpus name, and that page tables lead to."""
    vcpu_context.named_frames(checks, memory, end)
    if memory.trees is not None and end:
        load("checks.page_tables:judge")(checks, memory, memory.trees, end)


def _judge_frames(checks: Checks, memory: Memory, end: int) -> None:
    """Each frame of the p2m lists is an ordinary page that has been sent; those above `end` have been reported."""
    unit = tables.UNITS[_P2M][0]
    lists = [*memory.frames_from, (len(memory.frames or ()), 0)]
    for (first, begin), (after, _) in pairwise(lists):
        for place, frame in enumerate(memory.frames[first:after] if memory.frames else ()):
            kind = memory.pfns.type_of(frame)
            at = begin + unit * place
            if (
                frame > end
                or kind == tables.PAGE_TYPE_PLAIN
                or checks.context.findings.full("LIBXC-P2M-ENTRY", checks.layer, at)
            ):
                continue
            actual = f"frame {frame:#x}, {'never sent' if kind is None else tables.PAGE_TYPES.get(kind)}"
            _p2m_entry(checks, checks.layer, at, place, actual, end)
