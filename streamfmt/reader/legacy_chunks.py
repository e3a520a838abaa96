"""Chunks of a legacy stream that are no batches: how long each is, and what follows those of transcendent memory."""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from . import framing
from .events import Headless, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .events import Layer, Sink
    from .legacy_state import State
    from .pump import Window

_NUMBER = 4
_ONES = tables.LEGACY_ALL_ONES
# The parts of transcendent memory whose layout depends on its version: a page, a pool's end, a page that is gone.
_PARTS = dict(
    zip(
        tables.LEGACY_OID_SIZES,
        (
            (tables.LEGACY_TMEM_PAGE_0, tables.LEGACY_TMEM_POOL_END_0, tables.LEGACY_TMEM_FLUSHED_0),
            (tables.LEGACY_TMEM_PAGE_1, tables.LEGACY_TMEM_POOL_END_1, tables.LEGACY_TMEM_FLUSHED_1),
        ),
        strict=True,
    )
)


def size_of(layer: Layer, kind: int, *counts: int) -> int:
    """Bytes of a record's body by the schema: of its fixed fields, and of so many elements of each part that varies.

    A part whose elements are not alike in size is counted in bytes.
    """
    path = f"{layer.name}.{tables.RECORDS[layer.name][kind]}"
    units = tables.UNITS.get(path, ())
    fixed: int = tables.SIZES[path]
    return fixed + sum(count * (unit or 1) for count, unit in zip(counts, units, strict=True))


def hand_over(window: Window, sink: Sink, layer: Layer, kind: int, length: int) -> Generator[int, int, bool]:
    """Program that hands over a record without a number, of so many bytes.  Returns whether the stream had them."""
    record = Headless(layer, kind, window.position, length)
    layer.index += 1
    return framing.body(window, sink, record)


def refuse(window: Window, sink: Sink, layer: Layer, kind: int, length: int) -> None:
    """Report a record whose length, or what it follows from, is beyond the format's limits: reading stops there."""
    record = Headless(layer, kind, window.position, length)
    layer.index += 1
    sink.oversize(record)


def chunk(window: Window, sink: Sink, layer: Layer, state: State, number: int) -> Generator[int, int, bool]:
    """Program of the chunk that begins here with its number.  Returns whether what follows can be read."""
    name = tables.RECORDS[layer.name].get(number)
    length = most = 0
    if number in _LENGTHS:
        first, most, counts = _LENGTHS[number]
        first = first or state.word
        if not (yield _NUMBER + first):
            framing.cut(window, sink, layer, _NUMBER + first, f"the chunk {name}")
            return False
        said = int.from_bytes(window.head(_NUMBER + first)[_NUMBER:], "little")
        length = size_of(layer, number, *counts(said))
    elif name is not None:
        length = size_of(layer, number)
        if not (yield _NUMBER + length):
            framing.cut(window, sink, layer, _NUMBER + length, f"the chunk {name}")
            return False
    record = Record(layer, number, window.position, length)
    layer.index += 1
    if most and length - first > most:
        sink.oversize(record)
        return False
    state.chunk(number)
    if number == tables.LEGACY_VCPU_INFO:
        yield from _map(window, state, length)
    version, *_ = unpack_from("<I", window.head(_NUMBER + _NUMBER).ljust(_NUMBER + _NUMBER, b"\0"), _NUMBER)
    window.lo += _NUMBER
    if not (yield from framing.body(window, sink, record)):
        return False
    if number == tables.LEGACY_TMEM:
        state.tmem = version
    if number in _MORE and state.tmem in _PARTS:
        return (yield from _MORE[number](window, sink, layer, state.tmem or 0))
    if name is None or number in _MORE:
        sink.unsound(layer, record.offset, "chunk")
        return False
    return True


def _map(window: Window, state: State, length: int) -> Generator[int, int, None]:
    """Program that takes the map of vcpus from a chunk of which nothing has been read."""
    if (yield _NUMBER + length):
        raw = window.head(_NUMBER + length)[_NUMBER:]
        state.online(int.from_bytes(raw[:4], "little"), unpack_from(f"<{(length - 4) // 8}Q", raw, 4))


# Of chunks whose length is not fixed: size of the integer that they begin with (0: a word of the toolstack), the most
# bytes after it, and how many elements of each part follow from what it says.
_LENGTHS: dict[int, tuple[int, int, Callable[[int], tuple[int, ...]]]] = {
    tables.LEGACY_VCPU_INFO: (
        4,
        8 * (tables.LEGACY_VCPU_ID_MAX // 64 + 1),
        lambda highest: (highest // 64 + 1,),
    ),
    tables.LEGACY_COMPRESSED_DATA: (0, tables.LEGACY_LENGTH_MAX, lambda length: (length,)),
    # Version and count are within its length.
    tables.LEGACY_TOOLSTACK: (4, tables.LEGACY_LENGTH_MAX, lambda length: (0, length - 8)),
}

# -- transcendent memory ----------------------------------------------------------------------------------------------


def _pools(window: Window, sink: Sink, layer: Layer, version: int) -> Generator[int, int, bool]:
    """Program of the pools after a TMEM chunk, to their end.  Returns whether they were whole."""
    size = size_of(layer, tables.LEGACY_TMEM_POOL)
    while True:
        ended = yield from _end(window, sink, layer, "the pools of transcendent memory")
        if ended is not None:
            return ended
        if not (yield size):
            framing.cut(window, sink, layer, size, "a pool of transcendent memory")
            return False
        _, flags, pages = unpack_from("<III", window.buf, window.lo)
        if not (yield from hand_over(window, sink, layer, tables.LEGACY_TMEM_POOL, size)):
            return False
        page = tables.PAGE_SIZE << (flags >> 4 & 0xF)
        if not (yield from _pages(window, sink, layer, version, pages, page)):
            return False


def _pages(window: Window, sink: Sink, layer: Layer, version: int, count: int, page: int) -> Generator[int, int, bool]:
    """Program of a pool's pages, so many at most.  Returns whether they were whole."""
    oid = tables.LEGACY_OID_SIZES[version]
    kind, end, _ = _PARTS[version]
    for _ in range(count):
        if not (yield oid):
            framing.cut(window, sink, layer, oid, "a page of transcendent memory")
            return False
        if window.head(oid) == b"\xff" * oid:
            return (yield from hand_over(window, sink, layer, end, size_of(layer, end)))
        if not (yield from hand_over(window, sink, layer, kind, size_of(layer, kind, page))):
            return False
    return True


def _flushed(window: Window, sink: Sink, layer: Layer, version: int) -> Generator[int, int, bool]:
    """Program of the pages that are gone, to their end.  Returns whether they were whole."""
    _, _, kind = _PARTS[version]
    size = size_of(layer, kind)
    while True:
        ended = yield from _end(window, sink, layer, "the pages that are gone from transcendent memory")
        if ended is not None:
            return ended
        if not (yield from hand_over(window, sink, layer, kind, size)):
            return False


def _end(window: Window, sink: Sink, layer: Layer, what: str) -> Generator[int, int, bool | None]:
    """Program of the end of a list in transcendent memory; None if it goes on."""
    if not (yield 4):
        framing.cut(window, sink, layer, 4, what)
        return False
    if int.from_bytes(window.head(4), "little") != _ONES:
        return None
    kind = tables.LEGACY_TMEM_END
    return (yield from hand_over(window, sink, layer, kind, size_of(layer, kind)))


_MORE = {tables.LEGACY_TMEM: _pools, tables.LEGACY_TMEM_EXTRA: _flushed}
