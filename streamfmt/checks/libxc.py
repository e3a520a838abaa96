"""Checks of libxc records that tables cannot express, and of an image as a whole."""

from __future__ import annotations

from itertools import pairwise
from struct import unpack_from

from .. import tables
from ..reader.events import Layer, Record
from ..reader.fields import broken_rules
from . import hvm
from .pv_memory import FRAMES_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..reader.pump import Program
    from .state import LayerState
    from .verifier import Verifier

VCPU_TYPES = frozenset(
    (
        tables.LIBXC_X86_PV_VCPU_BASIC,
        tables.LIBXC_X86_PV_VCPU_EXTENDED,
        tables.LIBXC_X86_PV_VCPU_XSAVE,
        tables.LIBXC_X86_PV_VCPU_MSRS,
    )
)
# Xen gives a PV guest at most this many vcpus (xen/include/asm-x86/config.h, MAX_VIRT_CPUS).
_VCPUS_MAX = 8192
# More p2m lists than this are not followed; every released saver writes one.
_LISTS_MAX = 64
# Bytes of a variable body judged at once: a multiple of every element's size.
_PIECE = 48 << 10


def wrong_guest(verifier: Verifier, record: Record) -> None:
    """A known type that this kind of guest has not."""
    expected = " or ".join(tables.LIBXC_GUESTS[record.type])
    guest = record.layer.guest or ""
    message = f"{record.name} belongs to {expected.upper()} guests, this one is {guest.upper()}"
    verifier.header_fault("LIBXC-REC-WRONG-GUEST", record, "type", message, expected, guest)


def vcpu_lengths(state: LayerState, record: Record, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes a vcpu's context may have, given the guest's width."""
    if record.type == tables.LIBXC_X86_PV_VCPU_BASIC and state.guest_width in tables.VCPU_CONTEXT_SIZES:
        return (tables.VCPU_CONTEXT_SIZES[state.guest_width],)
    return lengths


def tolerated(verifier: Verifier, record: Record, rest: int) -> bool:
    """Whether a wrong length is one of the empty forms that have clauses of their own; then it is reported."""
    if record.layer.name != "libxc" or record.type not in VCPU_TYPES:
        return False
    if rest < 0:
        clause, message = "LIBXC-VCPU-HDR", f"length is {record.length}: too short for a vcpu number"
    elif rest == 0 and record.type == tables.LIBXC_X86_PV_VCPU_BASIC:
        clause, message = "LIBXC-REC-NO-EMPTY", "the record carries nothing and should have been left out"
    elif rest == 0:
        clause, message = "LIBXC-ERRATA-1", hvm.ERRATA
    else:
        return False
    verifier.header_fault(clause, record, "length", message, actual=record.length)
    return True


def body(verifier: Verifier, state: LayerState, record: Record) -> Program | None:
    """Program that judges the record's body, if there is anything in it to judge."""
    if record.type == tables.LIBXC_CHECKPOINT and verifier.mode == "plain":
        verifier.report("LIBXC-CKPT-PLAIN", record, "CHECKPOINT in a plain stream")
    if record.type in _FORBIDDEN:
        verifier.report(_FORBIDDEN[record.type], record, f"{record.name} must not be in a forward stream")
    check = _BODIES.get(record.type)
    if check is None or not record.length or record.length < tables.SIZES[record.path]:
        return None
    return check(verifier, state, record)


_FORBIDDEN = {
    tables.LIBXC_TOOLSTACK: "LIBXC-TOOLSTACK",
    tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST: "LIBXC-DIRTY-FWD",
}


def fixed(verifier: Verifier, record: Record) -> Program:
    """Program that judges the fixed fields by their rules and leaves them in the window, unconsumed."""
    size = tables.SIZES[record.path]
    w = verifier.window
    if w.hi - w.lo < size and not (yield size):
        return
    raw = bytes(w.buf[w.lo : w.lo + size])
    broken = broken_rules(record.path, raw, record.layer.order)
    if broken:
        verifier.broken_rules(broken, record, raw, record.body)


def elements(verifier: Verifier, record: Record, path: str, unit: int) -> Program:
    """Program that judges each element of the rest of a body by the field rules of layout `path`."""
    w = verifier.window
    if path not in tables.RULES:
        return
    order = record.layer.order
    while record.end - w.position >= unit:
        piece = min(record.end - w.position, _PIECE) // unit * unit
        if w.hi - w.lo < piece and not (yield piece):
            return
        at, raw = w.position, w.take(piece)
        for offset in range(0, piece, unit):
            element = raw[offset : offset + unit]
            broken = broken_rules(path, element, order)
            if broken:
                number = (at + offset - record.body - tables.SIZES[record.path]) // unit
                prefix = f"{path.rpartition('.')[2]}[{number}]."
                verifier.broken_rules(broken, record, element, at + offset, prefix)


def _simple(verifier: Verifier, state: LayerState, record: Record) -> Program:
    return fixed(verifier, record)


def _msr_policy(verifier: Verifier, state: LayerState, record: Record) -> Program:
    path = "libxc.X86_MSR_POLICY"
    return elements(verifier, record, f"{path}.msrs", tables.UNITS[path][0])


def _pv_info(verifier: Verifier, state: LayerState, record: Record) -> Program:
    yield from fixed(verifier, record)
    w = verifier.window
    if w.hi - w.lo < tables.SIZES[record.path]:
        return
    width, levels, *_ = unpack_from(record.layer.order + tables.FORMATS[record.path], w.buf, w.lo)
    if (width, levels) not in tables.PV_COMBINATIONS:
        verifier.report(
            "LIBXC-PVINFO-COMBO",
            record,
            f"a guest of {width}-byte words with {levels} levels of page tables does not exist",
            offset=record.body,
            length=2,
            field="guest_width",
            expected=" or ".join(map(str, tables.PV_COMBINATIONS)),
            actual=(width, levels),
        )
    elif state.guest_width is None:
        state.guest_width = width


def _p2m_frames(verifier: Verifier, state: LayerState, record: Record) -> Program:
    w = verifier.window
    size = tables.SIZES[record.path]
    if w.hi - w.lo < size and not (yield size):
        return
    order = record.layer.order
    start, end = unpack_from(order + tables.FORMATS[record.path], w.take(size))
    unit = tables.UNITS[record.path][0]
    if start > end:
        message = f"the list starts at frame {start:#x}, behind its end {end:#x}"
        _start_fault(verifier, record, "LIBXC-P2M-RANGE", message, f"at most {end:#x}", start)
        return
    if not end:
        verifier.report("LIBXC-P2M-E0", record, "a guest of one page: known readers crash on it", field="end_pfn")
    if state.guest_width is not None:
        per_frame = tables.PAGE_SIZE // state.guest_width
        expected = size + unit * (end // per_frame - start // per_frame + 1)
        if record.length != expected:
            if (record.length - size) % unit:
                return  # the length rule has spoken
            message = f"length is {record.length}, expected {expected} for frames {start:#x} to {end:#x}"
            verifier.header_fault("LIBXC-P2M-LEN", record, "length", message, expected, record.length)
            return
        if state.end_pfn is None and start >= per_frame:
            message = f"the first list starts at frame {start:#x}: those below have no place in one"
            _start_fault(verifier, record, "LIBXC-P2M-START", message, f"below {per_frame:#x}", start)
    if record.layer.guest != "pv":
        return  # of a guest of unknown kind nothing is remembered
    end = state.end_pfn = max(end, state.end_pfn or 0)
    count = (record.length - size) // unit
    if state.frames is None:
        from array import array  # an extension module that only PV images need

        state.frames = array("Q")
    if len(state.frames) + count > FRAMES_MAX or len(state.frames_from) == _LISTS_MAX:
        state.frames_known = False
    if state.frames_known:
        state.frames_from.append((len(state.frames), w.position))
    for first in range(0, count, _PIECE // unit):
        number = min(_PIECE // unit, count - first)
        if w.hi - w.lo < unit * number and not (yield unit * number):
            return
        at = w.position
        frames = unpack_from(f"{order}{number}Q", w.buf, w.lo)
        w.lo += unit * number
        if max(frames) > end:
            for place, frame in enumerate(frames):
                if frame > end and not verifier.findings.full("LIBXC-P2M-ENTRY", record, at + unit * place):
                    _p2m_entry(verifier, record, at + unit * place, first + place, f"frame {frame:#x}", end)
        if state.frames_known:
            state.frames.extend(frames)


def _start_fault(verifier: Verifier, record: Record, clause: str, message: str, expected: str, start: int) -> None:
    """A breach by the frame that a p2m list starts with."""
    place, length = tables.PLACES[record.path]["start_pfn"]
    at = record.body + place
    field = "start_pfn"
    verifier.report(
        clause, record, message, offset=at, length=length, field=field, expected=expected, actual=f"{start:#x}"
    )


def _p2m_entry(verifier: Verifier, where: Record | Layer, at: int, place: int, actual: str, end: int) -> None:
    verifier.report(
        "LIBXC-P2M-ENTRY",
        where,
        f"entry {place} of the p2m list is {actual}, expected an ordinary page, sent, of at most {end:#x}",
        offset=at,
        length=tables.UNITS["libxc.X86_PV_P2M_FRAMES"][0],
        field=f"frames[{place}]",
        expected=f"an ordinary page of at most {end:#x}",
        actual=actual,
    )


def _vcpu(verifier: Verifier, state: LayerState, record: Record) -> Program:
    yield from fixed(verifier, record)
    w = verifier.window
    size = tables.SIZES[record.path]
    if w.hi - w.lo < size:
        return
    vcpu, *_ = unpack_from(record.layer.order + tables.FORMATS[record.path], w.buf, w.lo)
    key = record.type, vcpu
    if record.length == size:
        pass  # an empty one counts as if it were not there
    elif key in state.vcpus:
        verifier.report(
            "LIBXC-VCPU-REPEAT",
            record,
            f"vcpu {vcpu} has another {record.name}; readers use the last",
            offset=record.body,
            length=tables.PLACES[record.path]["vcpu_id"][1],
            field="vcpu_id",
            actual=vcpu,
        )
    elif vcpu < _VCPUS_MAX:
        state.vcpus.add(key)
    if record.type == tables.LIBXC_X86_PV_VCPU_MSRS:
        w.lo += size
        yield from elements(verifier, record, f"{record.path}.msrs", tables.UNITS[record.path][0])


_BODIES: dict[int, Callable[[Verifier, LayerState, Record], Program]] = {
    tables.LIBXC_X86_PV_INFO: _pv_info,
    tables.LIBXC_X86_PV_P2M_FRAMES: _p2m_frames,
    **dict.fromkeys(VCPU_TYPES, _vcpu),
    tables.LIBXC_X86_TSC_INFO: _simple,
    tables.LIBXC_HVM_CONTEXT: hvm.context,
    tables.LIBXC_HVM_PARAMS: hvm.params,
    tables.LIBXC_X86_MSR_POLICY: _msr_policy,
}


def image_complete(verifier: Verifier, state: LayerState, at: int) -> None:
    """Judge what only a whole image, or a whole checkpoint of it, shows."""
    layer = state.layer
    if layer.guest != "pv":
        return
    if (tables.LIBXC_X86_PV_VCPU_BASIC, 0) not in state.vcpus:
        verifier.report("LIBXC-VCPU0-BASIC", layer, "vcpu 0 has no X86_PV_VCPU_BASIC", offset=at)
    if layer.checkpoints > 1:  # coverage is judged once, but the types of pages change
        if state.end_pfn is not None and state.pfns.known:
            _judge_frames(verifier, state, state.end_pfn)
        return
    if state.end_pfn is None:
        state.pfns.give_up("there is no p2m list to judge by")
    if state.end_pfn is None or not state.pfns.known:
        for clause in ("LIBXC-P2M-ENTRY", "LIBXC-PAGE-COVER"):
            verifier.abstain(clause, state.pfns.why)
        return
    if not state.frames_known:
        most = f"{FRAMES_MAX:,} p2m frames in {_LISTS_MAX:,} lists"
        verifier.abstain("LIBXC-P2M-ENTRY", f"more than {most} are not followed")
    _judge_frames(verifier, state, state.end_pfn)
    count, first = state.pfns.uncovered(state.end_pfn)
    if count:
        verifier.report(
            "LIBXC-PAGE-COVER",
            layer,
            f"{count:,} of the guest's {state.end_pfn + 1:,} frames were never sent, the first is {first:#x}",
            offset=at,
            expected=f"{state.end_pfn + 1} frames",
            actual=f"{state.end_pfn + 1 - count} frames",
        )


def _judge_frames(verifier: Verifier, state: LayerState, end: int) -> None:
    """Each frame of the p2m lists is an ordinary page that has been sent; those above `end` have been told."""
    unit = tables.UNITS["libxc.X86_PV_P2M_FRAMES"][0]
    lists = [*state.frames_from, (len(state.frames or ()), 0)]
    for (first, begin), (after, _) in pairwise(lists):
        for place, frame in enumerate(state.frames[first:after] if state.frames else ()):
            kind = state.pfns.type_of(frame)
            at = begin + unit * place
            if (
                frame > end
                or kind == tables.PAGE_TYPE_PLAIN
                or verifier.findings.full("LIBXC-P2M-ENTRY", state.layer, at)
            ):
                continue
            actual = f"frame {frame:#x}, {'never sent' if kind is None else tables.PAGE_TYPES.get(kind)}"
            _p2m_entry(verifier, state.layer, at, place, actual, end)


def cut_after_checkpoint(verifier: Verifier, where: Layer | Record, at: int) -> None:
    """The stream stops inside a checkpoint, after at least one whole one."""
    verifier.report(
        "CKPT-CUT",
        where,
        f"the input ends at {at}, inside checkpoint {verifier.checkpoints + 1}; "
        f"the guest is usable as of checkpoint {verifier.checkpoints}",
        offset=at,
        actual="end of input",
    )
