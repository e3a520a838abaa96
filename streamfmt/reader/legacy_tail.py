"""The tails of a legacy stream, and the device model's record after an HVM guest's."""

from __future__ import annotations

from .. import tables
from . import framing
from .legacy_chunks import hand_over, refuse, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, Literal

    from .events import Layer, Sink
    from .legacy_state import State
    from .pump import Window

    ByteOrder = Literal["little", "big"]

_COUNT = 4
_SIGNATURE = min(len(data) for _, data, _, _ in tables.LEGACY_SIGNATURES)


def pv(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of a PV guest's tail.  Returns whether it was whole."""
    kind, most = tables.LEGACY_UNMAPPED, tables.LEGACY_UNMAPPED_MAX
    if not (yield from _counted(window, sink, layer, kind, most, slice(_COUNT), "the list of frames without a page")):
        return False
    for _ in state.vcpus:
        if not (yield from _vcpu(window, sink, layer, state)):
            return False
    kind = tables.LEGACY_SHARED_INFO
    return (yield from hand_over(window, sink, layer, kind, size_of(layer, kind)))


def _counted(
    window: Window, sink: Sink, layer: Layer, kind: int, most: int, place: slice, what: str, order: ByteOrder = "little"
) -> Generator[int, int, bool]:
    """Program of a record that says at `place` how many elements it has, `most` of them at most.

    Returns whether it was whole.
    """
    if not (yield place.stop):
        framing.cut(window, sink, layer, place.stop, what)
        return False
    count = int.from_bytes(window.head(place.stop)[place], order)
    size = size_of(layer, kind, count)
    if count > most:
        refuse(window, sink, layer, kind, size)
        return False
    return (yield from hand_over(window, sink, layer, kind, size))


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
    fixed, most = size_of(layer, kind, 0), tables.LEGACY_XSAVE_MAX
    place = slice(fixed // 2, fixed)
    return (yield from _counted(window, sink, layer, kind, most, place, "the XSAVE state of a vcpu"))


def hvm(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of an HVM guest's tail and the device model's record.  Returns whether they were whole."""
    kind = tables.LEGACY_HVM_TAIL
    if not (yield from hand_over(window, sink, layer, kind, size_of(layer, kind))):
        return False
    kind, most = tables.LEGACY_HVM_CONTEXT, tables.LEGACY_LENGTH_MAX
    if not (yield from _counted(window, sink, layer, kind, most, slice(_COUNT), "the HVM context")):
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
    state.remus = state.remus or kind == tables.LEGACY_QEMU_REMUS
    if not width:
        return (yield from _to_end(window, sink, layer, state, kind))
    place, most = slice(len(signature), len(signature) + width), tables.LEGACY_LENGTH_MAX
    what = "the length of the device model's state"
    return (yield from _counted(window, sink, layer, kind, most, place, what, order))


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
