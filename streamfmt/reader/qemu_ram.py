"""The memory in QEMU's stream: words, each about a page, and what belongs to them.

Words of one kind in a row are one record, up to a number of them.  Those that are in order (zero pages and whole ones,
of the block named last, within it) are handed over as a run, by columns of their bytes: no page costs a call, and no
content is looked at.
"""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from . import framing
from .events import Headless, Run
from .qemu_blocks import blocks
from .qemu_rows import HIGH, LOW, clean
from .qemu_sizes import WORD, field, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .events import Layer, Record, Sink
    from .pump import Window
    from .qemu_state import State

_WORD = WORD
_FLAGS = (1 << tables.QEMU_PAGE_BITS) - 1
# Those of them that are in the byte before its last.
_HIGH_FLAGS = _FLAGS >> 8
_CONTINUE = tables.QEMU_FLAG_CONTINUE
_PAGE = tables.QEMU_PAGE_SIZE
# Whole pages in a row after which as many more are likely.
_LONG = 32
# Of words with as much after each: the record, bytes of a word with that, and how many of them a record has at most.
_FIXED = {
    tables.QEMU_RAM_ZERO: (size_of("RAM_ZERO.pages"), tables.QEMU_WORDS_MOST),
    tables.QEMU_RAM_PAGE: (size_of("RAM_PAGE.pages"), tables.QEMU_PAGES_MOST),
}
# What is after a zero page's word.
_FILL = size_of("RAM_ZERO.pages") - _WORD
# Bytes of words with something of another length that are one record.
_SPAN = 64 << 10


# How pages are sent, as types of theirs; the numbers are our own.
FORMS = {
    tables.QEMU_RAM_ZERO: 0,
    tables.QEMU_RAM_PAGE: 1,
    tables.QEMU_RAM_XBZRLE: 2,
    tables.QEMU_RAM_COMPRESSED: 3,
}


class Rest(Headless):
    """Words of which the first, as many as `begun`, were in order and came in a run."""

    __slots__ = ("begun",)


class Words(Run):
    """Words about pages in a row, `entries` of them; `count` is how many records begin with them."""

    __slots__ = ("kind",)

    def __init__(self, layer: Layer, window: Window, kind: int, size: int, words: int, begun: int, pages: int) -> None:
        super().__init__(layer, window, begun, size, words, pages)
        self.kind = kind

    @property
    def stretches(self) -> int:
        return self.entries

    def record(self, entry: int = 0) -> Record:
        record = Headless(self.layer, self.kind, self.offset, self.size * self.entries)
        record.index = self.index
        return record

    def raw(self) -> list[int]:
        """The pages, in the form of a libxc image's entries: with what :data:`FORMS` has for a type."""
        buf, first = self._window.buf, self._lo
        form, bits = FORMS[self.kind] << tables.ENTRY_TYPE_SHIFT, tables.QEMU_PAGE_BITS
        places = range(first, first + self.size * self.entries, self.size)
        return [form | unpack_from(">Q", buf, place)[0] >> bits for place in places]


def section(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of the words of one section.  Returns whether they ended as they should."""
    w = window
    while True:
        if w.hi - w.lo < _WORD and not (yield _WORD):
            framing.cut(w, sink, layer, _WORD, "a word of the memory" if w.hi > w.lo else "the memory, before its end")
            return False
        (word,) = unpack_from(">Q", w.buf, w.lo)
        flags = word & _FLAGS
        found = _KINDS.get(flags)
        if found is None:
            yield from _alone(w, sink, layer, state, tables.QEMU_RAM_WORD)
            sink.unsound(layer, w.position - _WORD, "word")
            return False
        kind, read = found
        if not (yield from read(w, sink, layer, state, kind)):
            return False
        if kind == tables.QEMU_RAM_EOS:
            return True


def _alone(window: Window, sink: Sink, layer: Layer, state: State, kind: int) -> Generator[int, int, bool]:
    """Program of a word that nothing follows."""
    state.run = -1
    size = size_of(tables.RECORDS[layer.name][kind])
    assert size, "a word of no bytes would be read for ever"
    record = Headless(layer, kind, window.position, size)
    layer.index += 1
    return framing.body(window, sink, record)


def _total(window: Window, sink: Sink, layer: Layer, state: State, kind: int) -> Generator[int, int, bool]:
    """Program of how much memory there is, and in which blocks."""
    (word,) = unpack_from(">Q", window.buf, window.lo)
    if not (yield from _alone(window, sink, layer, state, kind)):
        return False
    return (yield from blocks(window, sink, layer, state, word & ~_FLAGS))


# -- words that name a block ------------------------------------------------------------------------------------------


def _named(window: Window, sink: Sink, layer: Layer, state: State, kind: int) -> Generator[int, int, bool]:
    """Program of a word that names the block."""
    w = window
    path = tables.RECORDS[layer.name][kind]
    first = tables.SIZES[f"{layer.name}.{path}"]
    if not (yield first):
        framing.cut(w, sink, layer, first, "a word of the memory")
        return False
    after = first + field(path, "name_length", w.buf, w.lo)
    head, place = _AFTER[kind] if kind in _AFTER else (_CONTENT[kind], 0)
    # Of the content itself nothing is needed.
    there = after + (head if head < _PAGE else 0)
    if not (yield there):
        framing.cut(w, sink, layer, there, "what follows a word of the memory")
        return False
    name = bytes(w.buf[w.lo + first : w.lo + after])
    size = after + head
    if kind in _AFTER:
        size += int.from_bytes(w.buf[w.lo + after + place : w.lo + size], "big")
    state.about(name)
    state.words(kind not in _CHANGES)
    state.run = -1
    record = Headless(layer, kind, w.position, size)
    layer.index += 1
    if _too_long(kind, record.length):
        sink.oversize(record)
        return False
    return (yield from framing.body(w, sink, record))


def _after(path: str, *counts: int) -> int:
    """What comes after a word, or its block's name, that is always there."""
    ahead = tables.SIZES[f"qemu.{path}"] if counts[1:] or path.endswith("_OF") else _WORD
    return size_of(path, *counts) - ahead


_CHANGED, _PACKED = _after("RAM_XBZRLE.pages", 0), _after("RAM_COMPRESSED.pages", 0)
# Bytes that come after a word, or its name, and where in them the length of the rest is.
_AFTER = {
    tables.QEMU_RAM_XBZRLE_OF: (_after("RAM_XBZRLE_OF", 0, 0), 1),
    tables.QEMU_RAM_COMPRESSED_OF: (_after("RAM_COMPRESSED_OF", 0, 0), 0),
    tables.QEMU_RAM_XBZRLE: (_CHANGED, 1),
    tables.QEMU_RAM_COMPRESSED: (_PACKED, 0),
}
# What comes again, as changes to what it was.
_CHANGES = (tables.QEMU_RAM_XBZRLE, tables.QEMU_RAM_XBZRLE_OF)
# What comes after a name whose length is always the same.
_CONTENT = {
    tables.QEMU_RAM_ZERO_OF: _after("RAM_ZERO_OF", 0),
    tables.QEMU_RAM_PAGE_OF: _after("RAM_PAGE_OF", 0),
}


def _too_long(kind: int, length: int) -> bool:
    """Whether compressed pages have more than any page could need."""
    compressed = (tables.QEMU_RAM_COMPRESSED, tables.QEMU_RAM_COMPRESSED_OF)
    return kind in compressed and length > _SPAN


# -- words about the block named before -------------------------------------------------------------------------------


def _row(window: Window, sink: Sink, layer: Layer, state: State, kind: int) -> Generator[int, int, bool]:
    """Program of words with as much after each."""
    w = window
    size, most = _FIXED[kind]
    if state.run != kind or sink.every_page:
        state.run, state.used = kind, 0
    if state.block is not None and not sink.every_page and tables.QEMU_MAPPED_RAM not in state.capabilities:
        fill = _FILL if kind == tables.QEMU_RAM_ZERO else 0
        if fill and w.hi - w.lo < size:
            yield size
        if count := clean(w, state.block, size, fill):
            return (yield from _run(w, sink, layer, state, kind, count))
    used = state.used
    flags = w.buf[w.lo + HIGH] & _HIGH_FLAGS, w.buf[w.lo + LOW]
    count = 1
    while count < most - used:
        # There is another word in any case.
        if w.hi - w.lo < size * count + _WORD and not (yield size * count + _WORD):
            break
        word = w.lo + size * count
        if (w.buf[word + HIGH] & _HIGH_FLAGS, w.buf[word + LOW]) != flags:
            break
        count += 1
    state.words(count)
    record = Rest(layer, kind, w.position, size_of(tables.RECORDS[layer.name][kind], count))
    record.begun = used
    if used:
        record.index -= 1
    else:
        layer.index += 1
    state.used = (used + count) % most
    return (yield from framing.body(w, sink, record))


def _run(window: Window, sink: Sink, layer: Layer, state: State, kind: int, count: int) -> Generator[int, int, bool]:
    """Program that hands over words that are in order, as far as they go."""
    w, block = window, state.block
    size, most = _FIXED[kind]
    fill = _FILL if size < _PAGE else 0
    flags = w.buf[w.lo + LOW]
    while count and block is not None:
        used = state.used
        begun = -(-(used + count) // most) - -(-used // most)
        state.used = (used + count) % most
        block.words += count
        run = Words(layer, w, kind, size, count, begun, count if size > _PAGE else 0)
        if used:
            run.index -= 1
        sink.pages(run)
        layer.index += begun
        left = size * count
        left -= yield -left
        if left:
            sink.truncated(layer, run.record(), w.base + w.hi, left, "a page")
            return False
        if count >= _LONG and size > _PAGE:
            w.widen()  # most of what such a run costs is a turn of this loop
        if w.hi - w.lo < _WORD + fill and not (yield _WORD + fill):
            break
        count = clean(w, block, size, fill, count) if w.buf[w.lo + LOW] == flags else 0
    return True


def _varied(window: Window, sink: Sink, layer: Layer, state: State, kind: int) -> Generator[int, int, bool]:
    """Program of words with something after each that has a length of its own."""
    w = window
    state.run = -1
    head, place = _AFTER[kind]
    flags = w.buf[w.lo + HIGH] & _HIGH_FLAGS, w.buf[w.lo + LOW]
    size = count = 0
    while size < _SPAN // 2 and count < tables.QEMU_PAGES_MOST:
        need = size + _WORD
        if w.hi - w.lo < need and not (yield need):
            break
        at = w.lo + size
        if (w.buf[at + HIGH] & _HIGH_FLAGS, w.buf[at + LOW]) != flags:
            break
        need += head
        if w.hi - w.lo < need and not (yield need):
            break
        at = w.lo + size + _WORD
        length = _WORD + head + int.from_bytes(w.buf[at + place : at + head], "big")
        if count and _too_long(kind, length):
            break
        size += length
        count += 1
    if not count:
        framing.cut(w, sink, layer, _WORD + head, "what follows a word of the memory")
        return False
    state.words(count * (kind not in _CHANGES))
    record = Headless(layer, kind, w.position, size_of(tables.RECORDS[layer.name][kind], size))
    layer.index += 1
    if _too_long(kind, size) and count == 1:
        sink.oversize(record)
        return False
    return (yield from framing.body(w, sink, record))


# By its flags: the record of a word that is about no page, and what reads it.
_ALONE: dict[int, tuple[int, Callable[..., Generator[int, int, bool]]]] = {
    tables.QEMU_FLAG_TOTAL: (tables.QEMU_RAM_TOTAL, _total),
    tables.QEMU_FLAG_EOS: (tables.QEMU_RAM_EOS, _alone),
    tables.QEMU_FLAG_FLUSH: (tables.QEMU_RAM_FLUSH, _alone),
    tables.QEMU_FLAG_HOOK: (tables.QEMU_RAM_HOOK, _alone),
}
# The same of all.  Loaders take CONTINUE for what it says about a page, and where there is none for nothing.
_KINDS = {
    **_ALONE,
    **{flags | _CONTINUE: row for flags, row in _ALONE.items()},
    tables.QEMU_FLAG_ZERO: (tables.QEMU_RAM_ZERO_OF, _named),
    tables.QEMU_FLAG_PAGE: (tables.QEMU_RAM_PAGE_OF, _named),
    tables.QEMU_FLAG_XBZRLE: (tables.QEMU_RAM_XBZRLE_OF, _named),
    tables.QEMU_FLAG_COMPRESSED: (tables.QEMU_RAM_COMPRESSED_OF, _named),
    tables.QEMU_FLAG_ZERO | _CONTINUE: (tables.QEMU_RAM_ZERO, _row),
    tables.QEMU_FLAG_PAGE | _CONTINUE: (tables.QEMU_RAM_PAGE, _row),
    tables.QEMU_FLAG_XBZRLE | _CONTINUE: (tables.QEMU_RAM_XBZRLE, _varied),
    tables.QEMU_FLAG_COMPRESSED | _CONTINUE: (tables.QEMU_RAM_COMPRESSED, _varied),
}
