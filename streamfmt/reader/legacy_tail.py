"""The tails of a legacy stream, and the device model's record after an HVM guest's."""

from __future__ import annotations

from .. import tables
from . import framing
from .legacy_chunks import hand_over, refuse, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from .events import Layer, Sink
    from .legacy_state import State
    from .pump import Window

_COUNT = 4
_SIGNATURE = min(len(data) for _, data, _, _ in tables.LEGACY_SIGNATURES)


def pv(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of a PV guest's tail.  Returns whether it was whole."""
    if not (yield _COUNT):
        framing.cut(window, sink, layer, _COUNT, "the list of frames without a page")
        return False
    count = int.from_bytes(window.head(_COUNT), "little")
    size = size_of(layer, tables.LEGACY_UNMAPPED, count)
    if count > tables.LEGACY_UNMAPPED_MAX:
        refuse(window, sink, layer, tables.LEGACY_UNMAPPED, size)
        return False
    if not (yield from hand_over(window, sink, layer, tables.LEGACY_UNMAPPED, size)):
        return False
    for _ in state.vcpus:
        if not (yield from _vcpu(window, sink, layer, state)):
            return False
    kind = tables.LEGACY_SHARED_INFO
    return (yield from hand_over(window, sink, layer, kind, size_of(layer, kind)))


def _vcpu(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of what a tail has of one vcpu.  Returns whether it was whole.

    Its XSAVE state is as long as it says itself: that is what all writers do, while readers take the length that the
    extended info has for all of them, which is another with some releases (4.2.4, 4.3.1 and later).
    """
    kind = tables.LEGACY_VCPU
    if not (yield from hand_over(window, sink, layer, kind, size_of(layer, kind, state.context))):
        return False
    kind = tables.LEGACY_VCPU_EXT
    if state.extended and not (yield from hand_over(window, sink, layer, kind, size_of(layer, kind))):
        return False
    if not state.xsave:
        return True
    kind = tables.LEGACY_VCPU_XSAVE
    fixed = size_of(layer, kind, 0)
    if not (yield fixed):
        framing.cut(window, sink, layer, fixed, "the XSAVE state of a vcpu")
        return False
    size = int.from_bytes(window.head(fixed)[fixed // 2 :], "little")
    if size > tables.LEGACY_XSAVE_MAX:
        refuse(window, sink, layer, kind, size_of(layer, kind, size))
        return False
    return (yield from hand_over(window, sink, layer, kind, size_of(layer, kind, size)))


def hvm(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of an HVM guest's tail and the device model's record.  Returns whether they were whole."""
    kind = tables.LEGACY_HVM_TAIL
    if not (yield from hand_over(window, sink, layer, kind, size_of(layer, kind))):
        return False
    if not (yield _COUNT):
        framing.cut(window, sink, layer, _COUNT, "the HVM context")
        return False
    length = int.from_bytes(window.head(_COUNT), "little")
    size = size_of(layer, tables.LEGACY_HVM_CONTEXT, length)
    if length > tables.LEGACY_LENGTH_MAX:
        refuse(window, sink, layer, tables.LEGACY_HVM_CONTEXT, size)
        return False
    if not (yield from hand_over(window, sink, layer, tables.LEGACY_HVM_CONTEXT, size)):
        return False
    return not sink.device_model or (yield from _device_model(window, sink, layer, state))


def _device_model(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of the device model's record, if there is one.  Returns whether it was whole."""
    whole = yield _SIGNATURE
    head = window.head(_SIGNATURE)
    begun = [row for row in tables.LEGACY_SIGNATURES if row[1].startswith(head)]
    if not head or not begun:
        return True
    if not whole:
        framing.cut(window, sink, layer, _SIGNATURE, "the device model's signature")
        return False
    if len(begun) > 1:
        longest = len(begun[0][1])
        yield longest
        begun = [row for row in begun if window.head(longest).startswith(row[1])]
    return (yield from _state(window, sink, layer, state, begun[0]))


def _state(window: Window, sink: Sink, layer: Layer, state: State, form: tuple[Any, ...]) -> Generator[int, int, bool]:
    """Program of the device model's state in that form."""
    kind, signature, width, order = form
    size = len(signature) + width
    state.remus = state.remus or kind == tables.LEGACY_QEMU_REMUS
    if not width:
        return (yield from _to_end(window, sink, layer, state, kind))
    if not (yield size):
        framing.cut(window, sink, layer, size, "the length of the device model's state")
        return False
    length = int.from_bytes(window.head(size)[len(signature) :], order)
    size = size_of(layer, kind, length)
    if length > tables.LEGACY_LENGTH_MAX:
        refuse(window, sink, layer, kind, size)
        return False
    return (yield from hand_over(window, sink, layer, kind, size))


def _to_end(window: Window, sink: Sink, layer: Layer, state: State, kind: int) -> Generator[int, int, bool]:
    """Program of a device model's state that is all the rest of the input, which is handed over in pieces."""
    if not (yield from hand_over(window, sink, layer, kind, size_of(layer, kind))):
        return False
    state.last = True
    kind = tables.LEGACY_QEMU_STATE
    while True:
        yield tables.LEGACY_QEMU_PIECE
        count = min(window.hi - window.lo, tables.LEGACY_QEMU_PIECE)
        if not count:
            return True
        if not (yield from hand_over(window, sink, layer, kind, size_of(layer, kind, count))):
            return False
