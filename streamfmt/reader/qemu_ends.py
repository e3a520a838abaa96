"""Where a section of QEMU's stream ends, which nothing says: only what follows shows it.

Most streams have a footer after each section, with its number.  Under Xen there are none: then the next section's
header is looked for, whose number is one that no section has had, or the end of all.  What a device's state looks like
may deceive: so of devices whose lengths are known (spec/qemu-machines.toml) it is first looked where these end.
"""

from __future__ import annotations

from .. import tables
from .pump import Window
from .qemu_sizes import AFTER_NAME, NAME_MAX, NUMBER, TYPE, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .qemu_state import Section, State

PIECE = tables.QEMU_PIECE
_EOF, _START, _PART, _END, _FULL, _COMMAND, _FOOTER = (
    tables.QEMU_EOF,
    tables.QEMU_SECTION_START,
    tables.QEMU_SECTION_PART,
    tables.QEMU_SECTION_END,
    tables.QEMU_SECTION_FULL,
    tables.QEMU_COMMAND,
    tables.QEMU_SECTION_FOOTER,
)
_NUMBER = NUMBER
FOOTER = TYPE + NUMBER
# What may follow a footer.
_NEXT = bytes((_EOF, _START, _PART, _END, _FULL, _COMMAND))
# Fixed bytes of a section's header, before and after its name; and how many show it, or what else ends a section.
TAIL = AFTER_NAME
HEAD = TYPE + size_of("SECTION_FULL", 0, 0) - TAIL
LOOK = HEAD + NAME_MAX + TAIL
_PRINTABLE = bytes(range(0x20, 0x7F))
_SHORTEST = 2
# Numbers of sections, instances and versions that real ones have are below this, but for some instances.
_SMALL = 1 << 16
# How the description begins, after the end and its own length.
_DESCRIPTION = b"%c%c" % (_EOF, tables.QEMU_VMDESCRIPTION)
_LIMIT = 1 << 28


# How far ahead may be looked: as far as it helps; not beyond the stream; not beyond what has come, unless the end of
# the section is not in that, since the writer may wait for an answer.
FAR, EXACT, NEAR = range(3)


def find(window: Window, state: State, head: int, ahead: int) -> Generator[int, int, tuple[int, bool]]:
    """Program that says how many bytes of payload come after `head` bytes, and whether more follow than a piece has.

    It is never more than a piece.  Nothing of it is consumed.
    """
    w = window
    whole = head + PIECE + LOOK
    lengths = known(state.section) if head else ()
    if lengths and ahead == EXACT and w.hi - w.lo < head + lengths[0] + 1:
        yield head + lengths[0] + 1  # no such device has fewer, and its end another byte
    if ahead == FAR:
        ended = not (w.hi - w.lo >= whole or (yield whole))
        return _first(w, state, head, head, ended, lengths)
    # No byte may be asked for that another stream could have, but a file can be looked into.
    held = w.hi - w.lo
    if seen := w.look(w.base + w.hi, max(whole - held, 0)):
        both = Window(0)
        both.buf = w.buf[w.lo : w.hi] + seen
        both.hi = len(both.buf)
        return _first(both, state, head, head, both.hi < whole, lengths)
    # One after the other, until the end is seen.
    looked = head
    ended = w.hi - w.lo <= head + FOOTER and not (yield head + FOOTER + 1)
    while True:
        if w.hi - w.lo >= whole or ended:
            return _first(w, state, head, looked, ended, lengths)
        count, more = _first(w, state, head, looked, False, lengths)
        if not more:
            return count, False
        looked = max(head, w.hi - w.lo - LOOK)
        ended = not (yield w.hi - w.lo + 1)


def known(section: Section | None) -> tuple[int, ...]:
    """The lengths that such a section is known to have, the least first; none if it is not known."""
    if section is None or not section.name:
        return ()
    return tables.QEMU_SECTION_LENGTHS.get((section.name.rpartition(b"/")[2], section.version), ())


def _first(
    window: Window, state: State, head: int, looked: int, ended: bool, lengths: tuple[int, ...]
) -> tuple[int, bool]:
    """The same from what the window has, which is all if the stream has `ended`; no place before `looked` is an end.

    `lengths` are those that the section may have, as far as that is known.
    """
    w = window
    lo, first = w.lo + head, w.lo + looked
    last = min(w.hi, lo + PIECE)
    section = state.section
    footer = bytes((_FOOTER,)) + (section.id if section else 0).to_bytes(_NUMBER, "big")
    for length in lengths:
        if lo + length <= last and _ends_at(w, state, footer, lo + length, ended):
            return length, False
    found = last + 1
    mode = state.footers
    if mode is not False:
        found = min(found, _footer(w, footer, first, last, ended))
    other = _header(w, state, first, min(last, found - 1))
    if mode is not True:
        other = min(other, _other(w, state, first, min(last, other, found - 1), ended))
    else:
        other = min(other, _unlike(w, state, first, min(last, other, found - 1), ended))
        if other <= last and w.buf[other - FOOTER] == _FOOTER and other - FOOTER >= lo:
            other -= FOOTER  # a footer of another section, or of none
    found = min(found, other)
    if found <= last:
        return found - lo, False
    if ended and last == w.hi:
        return last - lo, False
    return PIECE, True


def _ends_at(window: Window, state: State, footer: bytes, at: int, ended: bool) -> bool:
    """Whether what ends a section is at that place."""
    if state.footers is not False and _footer(window, footer, at, at, ended) == at:
        return True
    if state.footers:
        return False
    return at in (_header(window, state, at, at), _other(window, state, at, at, ended))


def _footer(window: Window, footer: bytes, first: int, last: int, ended: bool) -> int:
    """Where a footer is, with something that may follow one, or else any; beyond `last` if there is none."""
    w = window
    at, other = first - 1, last + 1
    while (at := w.buf.find(footer, at + 1, min(last + FOOTER, w.hi))) >= 0:
        after = at + FOOTER
        if (w.buf[after] in _NEXT) if after < w.hi else ended:
            return at
        if after < w.hi:
            other = min(at, other)
    return other


def _header(window: Window, state: State, first: int, last: int) -> int:
    """Where a section's header is, of a number that none has had; beyond `last` if there is none."""
    w = window
    best = last + 1
    for kind in (_FULL, _START):
        mark = bytes((kind, 0, 0))  # a number below 65,536
        at = first - 1
        while (at := w.buf.find(mark, at + 1, min(best + len(mark) - 1, w.hi))) >= 0:
            if _is_header(w, state, at):
                best = at
                break
    return best


def _is_header(window: Window, state: State, at: int) -> bool:
    w = window
    size = w.buf[at + HEAD - 1] if at + HEAD <= w.hi else 0
    end = at + HEAD + size
    if size < _SHORTEST or end + TAIL > w.hi:
        return False
    if w.buf[at + HEAD : end].translate(None, _PRINTABLE):
        return False
    version = int.from_bytes(w.buf[end + _NUMBER : end + TAIL], "big")
    return version < _SMALL and int.from_bytes(w.buf[at + 1 : at + 1 + _NUMBER], "big") not in state.ids


def _unlike(window: Window, state: State, first: int, last: int, ended: bool) -> int:
    """Where the end of all is, after a footer of another section; beyond `last` if it is not there."""
    at = _other(window, state, first, last, ended, live=False)
    return at if at <= last and window.buf[at - FOOTER] == _FOOTER else last + 1


def _other(window: Window, state: State, first: int, last: int, ended: bool, live: bool = True) -> int:
    """Where anything else is that ends a section without a footer: more of a live one, a command, the end of all."""
    w = window
    best = last + 1
    numbers = [number.to_bytes(_NUMBER, "big") for number in state.live] if live else []
    for mark in (bytes((kind,)) + number for number in numbers for kind in (_PART, _END)):
        at = w.buf.find(mark, first, min(best + len(mark) - 1, w.hi))
        best = at if at >= 0 else best
    at = first - 1
    while (at := w.buf.find(_DESCRIPTION, at + 1, min(best + 1, w.hi))) >= 0:
        start = at + 2 + _NUMBER
        if w.buf[start : start + 1] == b"{" and int.from_bytes(w.buf[at + 2 : start], "big") < _LIMIT:
            return at
    if ended and first < w.hi <= last + 1 and best >= w.hi and w.buf[w.hi - 1] == _EOF:
        return w.hi - 1
    return best
