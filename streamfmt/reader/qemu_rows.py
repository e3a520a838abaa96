"""How many words of QEMU's memory are in order, of many in a row that have as much after each.

They are looked at by columns of their bytes, or all together where each is about the page after the one before: no
page costs a step.
"""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from .qemu_sizes import WORD, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .pump import Window
    from .qemu_state import Block

_WORD = WORD
_PAGE = tables.QEMU_PAGE_SIZE
_FLAGS = _PAGE - 1
# Words that are compared at once: first, since in a mixed stream most runs end soon, and from then on.
_FEW, _MANY = 16, 512
# Bytes of a word that have flags, and of the first of these those that belong to the page's number.
HIGH, LOW = _WORD - 2, _WORD - 1
_PLAIN = bytes(range(0, 256, (_FLAGS >> 8) + 1))


def clean(window: Window, block: Block, size: int, fill: int, before: int = 0) -> int:
    """How many words in a row, of which all is in the window that is looked at, have the first one's flags.

    And are about a page of the block; and have 0 after them, of zero pages.  So many came `before` them in the row.
    """
    buf, lo = window.buf, window.lo
    held = max((window.hi - lo - _WORD - fill) // size + 1, 0)
    flags = buf[lo + LOW]
    count, most = 0, _FEW if before < _FEW else _MANY
    while count < held:
        if fill and count and (clean := _close(buf, lo, block, held - count)):
            count += clean
            lo += clean * size
            continue
        step = min(most, held - count)
        clean = _rising(buf, lo, block, size, step, flags)
        count += clean
        lo += clean * size
        if clean < step:
            break
        most = _MANY
    # Those that are about pages here and there have the same flags.
    while count < held and buf[lo + LOW] == flags:
        step = min(most, held - count)
        clean = _anywhere(buf, lo, block, size, step, fill)
        count += clean
        if clean < step:
            break
        lo += step * size
        most = _MANY
    return count


# -- words that rise ---------------------------------------------------------------------------------------------------

# By the bytes of a word with what is after it: of the lanes of a number, which are as long as what is compared of each,
# 1 in each of them; and in each how far its page is from the first's.
_RISING: dict[int, tuple[int, int]] = {}
_ZERO = size_of("RAM_ZERO.pages")


def _rising(buf: bytearray, lo: int, block: Block, size: int, most: int, flags: int) -> int:
    """How many words are each about the page after the one before, of `most`: all together are one number, or are not.

    As far as the block goes; none if the first has other flags.
    """
    (first,) = unpack_from(">Q", buf, lo)
    most = min(most, (block.length - 1 - first + flags) // _PAGE + 1)
    if first & _FLAGS != flags or most <= 0:
        return 0
    # With a zero page's word its fill is compared, which is 0.
    lane = size if size == _ZERO else _WORD
    bits = 8 * lane
    if size == _ZERO:
        words: bytes | bytearray = buf[lo : lo + most * size]
        first <<= bits - 8 * _WORD
    else:
        words = memoryview(buf)[lo : lo + (most - 1) * size + _WORD].cast("Q")[:: size // _WORD].tobytes()
    if size not in _RISING:
        lanes = ((page * _PAGE).to_bytes(_WORD, "big").ljust(lane, b"\0") for page in range(_MANY))
        _RISING[size] = int.from_bytes((1).to_bytes(lane, "big") * _MANY, "big"), int.from_bytes(b"".join(lanes), "big")
    ones, steps = _RISING[size]
    left = (_MANY - most) * bits
    other: int = int.from_bytes(words, "big") ^ first * (ones >> left) + (steps >> left)
    return most - -(-other.bit_length() // bits)


# -- words here and there ----------------------------------------------------------------------------------------------


def _anywhere(buf: bytearray, lo: int, block: Block, size: int, step: int, fill: int) -> int:
    """How many words, of so many, are in order whatever pages they are about."""
    columns = [(LOW, bytes(buf[lo + LOW : lo + _WORD])), (HIGH, _PLAIN), *block.classes]
    if fill:
        columns.append((_WORD, b"\0"))
    clean = step
    for place, allowed in columns:
        column = buf[lo + place : lo + place + (clean - 1) * size + 1 : size]
        if column.translate(None, allowed):
            clean -= len(column.lstrip(allowed))
            if not clean:
                break
    if clean < step and not block.exact:
        clean = _beyond(buf, lo, block, size, columns, clean, step)
    return clean


def _beyond(
    buf: bytearray, lo: int, block: Block, size: int, columns: list[tuple[int, bytes]], clean: int, step: int
) -> int:
    """How many words are in order after `clean` ones, where the classes are stricter than the block's end is."""
    others = [row for row in columns if row not in block.classes]
    while clean < step:
        at = lo + clean * size
        (word,) = unpack_from(">Q", buf, at)
        if word & ~_FLAGS >= block.length or any(buf[at + place] not in allowed for place, allowed in others):
            break
        clean += 1
    return clean


# -- zero pages -------------------------------------------------------------------------------------------------------

_FLAGGED = tables.QEMU_FLAG_ZERO | tables.QEMU_FLAG_CONTINUE
# Pages whose numbers differ in their last bits alone, which are in as many bytes of a word before its last.
_UPPER = 5
_ALIKE = 1 << 8 * (_WORD - _UPPER) - tables.QEMU_PAGE_BITS


def _close(buf: bytearray, lo: int, block: Block, held: int) -> int:
    """How many words of zero pages rise page by page from the one at `lo` on, as far as it is seen at once; or 0."""
    (first,) = unpack_from(">Q", buf, lo)
    page = first >> tables.QEMU_PAGE_BITS & _ALIKE - 1
    count = min(held, _ALIKE - page)
    if count < _MANY:
        return 0
    (last,) = unpack_from(">Q", buf, lo + (count - 1) * _ZERO)
    if last != first + (count - 1) * _PAGE or last >= block.length:
        return 0
    alike = memoryview(_alike(buf[lo : lo + _UPPER]))
    return count if buf.startswith(alike[page * _ZERO : (page + count) * _ZERO], lo) else 0


# Those of the first pages.
_firsts = b""


def _alike(upper: bytearray) -> bytearray:
    """The words of all zero pages that begin with these bytes, and what is after each."""
    global _firsts  # noqa: PLW0603 - few streams need it
    if not _firsts:
        words = bytearray(_ALIKE * _ZERO)
        last = bytes(page | _FLAGGED >> 8 for page in _PLAIN)
        words[_UPPER::_ZERO] = b"".join(bytes((byte,)) * len(last) for byte in range(256))
        words[HIGH::_ZERO] = last * 256
        words[LOW::_ZERO] = bytes((_FLAGGED & 0xFF,)) * _ALIKE
        _firsts = bytes(words)
    words = bytearray(_firsts)
    for place, byte in enumerate(upper):
        if byte:
            words[place::_ZERO] = bytes((byte,)) * _ALIKE
    return words
