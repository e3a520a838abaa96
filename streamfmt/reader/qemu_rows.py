"""How many words of QEMU's memory are in order, of many in a row that have as much after each.

They are looked at by columns of their bytes, or all together where each is about the page after the one before: no
page costs a step.
"""

from __future__ import annotations

from _struct import Struct, unpack_from

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
_PLAIN = bytes(range(0, 256, 16))


def clean(window: Window, block: Block, size: int, fill: int) -> int:
    """How many words in a row, of which all is in the window that is looked at, have the first one's flags.

    And are about a page of the block; and have 0 after them, of zero pages.
    """
    buf, lo = window.buf, window.lo
    held = max((window.hi - lo - _WORD - fill) // size + 1, 0)
    # The first word's flags are in the last byte, and in half of the one before.
    if not fill and (count := _apart(buf, lo, block, size, held)):
        return count
    columns = [(LOW, bytes(buf[lo + LOW : lo + _WORD])), (HIGH, _PLAIN), *block.classes]
    if fill:
        columns.append((_WORD, b"\0"))
    count, most = 0, _FEW
    while count < held:
        if fill and count and (clean := _close(buf, lo, block, held - count)):
            count += clean
            lo += clean * size
            continue
        clean = step = min(most, held - count)
        for place, allowed in columns:
            column = buf[lo + place : lo + place + (clean - 1) * size + 1 : size]
            if column.translate(None, allowed):
                clean -= len(column.lstrip(allowed))
                if not clean:
                    break
        if clean < step and not block.exact:
            clean = _beyond(window, lo, block, size, columns, clean, step)
        count += clean
        if clean < step:
            break
        lo += step * size
        most = _MANY
    return count


def _beyond(
    window: Window, lo: int, block: Block, size: int, columns: list[tuple[int, bytes]], clean: int, step: int
) -> int:
    """How many words are in order after `clean` ones, where the classes are stricter than the block's end is."""
    buf = window.buf
    others = [row for row in columns if row not in block.classes]
    while clean < step:
        at = lo + clean * size
        (word,) = unpack_from(">Q", buf, at)
        if word & ~_FLAGS >= block.length or any(buf[at + place] not in allowed for place, allowed in others):
            break
        clean += 1
    return clean


# -- whole pages ------------------------------------------------------------------------------------------------------

# For so many words: what unpacks them; one for each; and how far from the first's page each one's is, if they rise.
_ROWS: dict[int, tuple[Struct, int, int]] = {}
# There are few lengths of windows, but more of runs.
_ROWS_MAX = 32


def _row_of(held: int) -> tuple[Struct, int, int]:
    found = _ROWS.get(held)
    if found is None:
        if len(_ROWS) >= _ROWS_MAX:
            _ROWS.clear()
        unpacker = Struct(">" + f"Q{_PAGE}x" * (held - 1) + "Q")
        ones = int.from_bytes((1).to_bytes(_WORD, "big") * held, "big")
        steps = b"".join((page * _PAGE).to_bytes(_WORD, "big") for page in range(held))
        found = _ROWS[held] = unpacker, ones, int.from_bytes(steps, "big")
    return found


def _apart(buf: bytearray, lo: int, block: Block, size: int, held: int) -> int:
    """How many words there are with pages between them, if all of them are in order; else 0."""
    if held < 2:
        return 0
    unpacker, ones, steps = _row_of(held)
    end = lo + (held - 1) * size + _WORD
    (first,) = unpack_from(">Q", buf, lo)
    if first < block.length - (held - 1) * _PAGE:
        # Most often each is about the page after the one before: then all words, as one number, are known.
        words = memoryview(buf)[lo:end].cast("Q")[:: size // _WORD].tobytes()
        if int.from_bytes(words, "big") == first * ones + steps:
            return held
    alike = buf[lo + LOW : end : size].count(buf[lo + LOW]) == held
    if not alike or buf[lo + HIGH : end : size].translate(None, _PLAIN):
        return 0
    return held if max(unpacker.unpack_from(buf, lo)) < block.length else 0


# -- zero pages -------------------------------------------------------------------------------------------------------

_ZERO = size_of("RAM_ZERO.pages")
_FLAGGED = tables.QEMU_FLAG_ZERO | tables.QEMU_FLAG_CONTINUE
# Pages whose numbers differ in their last bits alone; and by what their words begin with otherwise, these words.
_ALIKE = 1 << 12
_UPPER = 5
_patterns: dict[bytes, bytes] = {}
_PATTERNS_MAX = 8


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
    pattern = _pattern(bytes(buf[lo : lo + _UPPER]))
    return count if buf.startswith(pattern[page * _ZERO : (page + count) * _ZERO], lo) else 0


def _pattern(upper: bytes) -> bytes:
    """The words of all zero pages that begin with these bytes, and what is after each."""
    found = _patterns.get(upper)
    if found is None:
        if not _patterns:
            words = ((page * _PAGE | _FLAGGED).to_bytes(_WORD, "big") + b"\0" for page in range(_ALIKE))
            _patterns[bytes(_UPPER)] = b"".join(words)
        made = bytearray(_patterns[bytes(_UPPER)])
        for place, byte in enumerate(upper):
            if byte:
                made[place::_ZERO] = bytes((byte,)) * _ALIKE
        if len(_patterns) >= _PATTERNS_MAX:
            _patterns.popitem()  # which is never the first
        found = _patterns[upper] = bytes(made)
    return found
