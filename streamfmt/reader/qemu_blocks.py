"""The list of memory's blocks in QEMU's stream, and files in which their pages have places of their own."""

from __future__ import annotations

from .. import tables
from . import framing
from .events import Headless
from .qemu_sizes import WORD, field, size_of
from .qemu_state import Block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .events import Layer, Sink
    from .pump import Window
    from .qemu_state import State

_FLAGS = (1 << tables.QEMU_PAGE_BITS) - 1
# Pages that a word of a bitmap is about.
_WORD_PAGES = 8 * WORD
_KINDS = {
    # Whether it has the size of its pages, and an address.
    (False, False): tables.QEMU_RAM_BLOCK,
    (False, True): tables.QEMU_RAM_BLOCK_AT,
    (True, False): tables.QEMU_RAM_BLOCK_SIZED,
    (True, True): tables.QEMU_RAM_BLOCK_SIZED_AT,
}


def blocks(window: Window, sink: Sink, layer: Layer, state: State, total: int) -> Generator[int, int, bool]:
    """Program of the blocks that have so many bytes together.  Returns whether they were whole, and had as many."""
    w = window
    state.left = total
    first, plain = tables.SIZES["qemu.RAM_BLOCK"], size_of("RAM_BLOCK", 0)
    address = tables.QEMU_IGNORE_SHARED in state.capabilities
    mapped = tables.QEMU_MAPPED_RAM in state.capabilities
    while state.left:
        if not (yield from _there(w, sink, layer, first)):
            return False
        named = field("RAM_BLOCK", "name_length", w.buf, w.lo)
        size = plain + named
        if not (yield from _there(w, sink, layer, size)):
            return False
        name = bytes(w.buf[w.lo + first : w.lo + first + named])
        length = int.from_bytes(w.buf[w.lo + first + named : w.lo + size], "big")
        if mapped:
            done = yield from _mapped(w, sink, layer, named, length, address)
        else:
            sized = state.advised and (yield from _is_sized(w, size + WORD * address))
            kind = _KINDS[sized, address]
            size = size_of(tables.RECORDS[layer.name][kind], named)
            if not (yield from _there(w, sink, layer, size)):
                return False
            done = yield from _hand_over(w, sink, layer, kind, size)
        state.strangers = state.strangers or not name or name in state.blocks
        state.blocks.setdefault(name, Block(length))
        if not done:
            return False
        if len(state.blocks) > tables.QEMU_BLOCKS_MAX:
            sink.unsound(layer, w.position, f"list of at most {tables.QEMU_BLOCKS_MAX:,} blocks")
            return False
        if length > state.left or not length:
            sink.unsound(layer, w.position, "list of blocks")
            return False
        state.left -= length
    return True


def _there(window: Window, sink: Sink, layer: Layer, size: int) -> Generator[int, int, bool]:
    """Whether so many bytes of a block's entry are there; it is reported if not."""
    if window.hi - window.lo >= size or (yield size):
        return True
    framing.cut(window, sink, layer, size, "the list of the memory's blocks")
    return False


def _is_sized(window: Window, size: int) -> Generator[int, int, bool]:
    """Whether an entry that would have `size` bytes has a size of pages too, as of a block of large ones.

    No name is empty, so where the next block's would be there is a number; and after the last block a word has flags.
    """
    if not (yield size + WORD):
        return False
    raw = window.buf[window.lo + size : window.lo + size + WORD]
    return not raw[0] and not int.from_bytes(raw, "big") & _FLAGS


def _hand_over(window: Window, sink: Sink, layer: Layer, kind: int, size: int) -> Generator[int, int, bool]:
    record = Headless(layer, kind, window.position, size)
    layer.index += 1
    return framing.body(window, sink, record)


def _mapped(
    window: Window, sink: Sink, layer: Layer, named: int, length: int, address: bool
) -> Generator[int, int, bool]:
    """Program of a block whose pages have a place of their own, and of the pages."""
    w, state = window, layer.facts
    kind = tables.QEMU_RAM_BLOCK_MAPPED_AT if address else tables.QEMU_RAM_BLOCK_MAPPED
    path = tables.RECORDS[layer.name][kind]
    fixed = size_of(path, named, 0)
    if not (yield from _there(w, sink, layer, fixed)):
        return False
    raw = w.head(fixed)
    bitmap, pages = (int.from_bytes(each, "big") for each in (raw[-2 * WORD : -WORD], raw[-WORD:]))
    count = -(-length // state.page)
    # Of memory that is shared and left out there is nothing else.
    size = size_of(path, named, -(-count // _WORD_PAGES) * WORD if bitmap or pages else 0)
    if state.shift is None and bitmap:
        state.shift = bitmap - (w.position + fixed)
    if not (yield from _hand_over(w, sink, layer, kind, size)):
        return False
    if not (bitmap or pages):
        return True
    at = pages - (state.shift or 0)
    if at < w.position or bitmap - (state.shift or 0) != w.position - size + fixed:
        sink.unsound(layer, w.position, "place of pages")
        return False
    size = size_of("RAM_MAPPED_PAGES", at - w.position + length)
    return (yield from _hand_over(w, sink, layer, tables.QEMU_RAM_MAPPED_PAGES, size))
