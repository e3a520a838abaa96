"""Pages that QEMU's stream has in another form: as changes of what they were (XBZRLE), or compressed.

Source: QEMU migration/xbzrle.c; migration/ram.c of 9.0 for the compressed ones.
"""

from __future__ import annotations

from ..tables import QEMU_PAGE_SIZE as PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# A number has two bytes at most, of seven bits each, the lowest first.
_MORE, _BITS = 0x80, 7


class FormError(ValueError):
    """Bytes that are no page: what is wrong with them, at which of them."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(what)
        self.at = at


def changes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The bytes of a page that change: where, and to what.  Raises FormError.

    Runs that stay and runs that change come in turn.  Only the first may have no bytes that stay, and no run changes
    none.
    """
    at = place = 0
    while at < len(raw):
        count, after = _number(raw, at)
        if at and not count:
            raise FormError(at, "a run of no bytes that stay")
        place += count
        if place > PAGE:
            raise FormError(at, f"a run that stays as far as byte {place:,} of a page")
        at = after
        count, after = _number(raw, at)
        if not count:
            raise FormError(at, "a run of no bytes that change")
        if place + count > PAGE:
            raise FormError(at, f"a run that changes as far as byte {place + count:,} of a page")
        if after + count > len(raw):
            raise FormError(at, f"a run of {count:,} bytes that change, of which {len(raw) - after:,} are there")
        yield place, raw[after : after + count]
        place += count
        at = after + count


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A number, and where what follows it is."""
    if at + 1 >= len(raw):
        raise FormError(at, "an end inside a run")
    first = raw[at]
    if not first & _MORE:
        return first, at + 1
    if raw[at + 1] & _MORE:
        raise FormError(at, "a number of more than two bytes")
    return first & ~_MORE | raw[at + 1] << _BITS, at + 2


def changed(page: bytes, raw: bytes) -> bytes:
    """The page that becomes of another.  Raises FormError."""
    found = bytearray(page)
    for at, data in changes(raw):
        found[at : at + len(data)] = data
    return bytes(found)


def inflated(raw: bytes) -> tuple[bytes, int]:
    """What bytes are when they are decompressed, a page at most, and how many of them that takes.  Raises FormError."""
    from zlib import decompressobj, error  # few streams have compressed pages

    stream = decompressobj()
    try:
        page = stream.decompress(raw, PAGE + 1)
    except error as reason:
        raise FormError(0, f"bytes that zlib cannot decompress ({reason})") from None
    if len(page) > PAGE:
        raise FormError(0, f"more than {PAGE:,} bytes when they are decompressed")
    if not stream.eof:
        raise FormError(len(raw), "an end inside what zlib made")
    return page, len(raw) - len(stream.unused_data)
