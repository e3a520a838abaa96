"""Checks of the memory in QEMU's stream: its blocks, words about pages that are not in order, and whether all came."""

from __future__ import annotations

from _struct import unpack_from

from .. import tables
from ..reader.registry import load
from .qemu import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..reader.events import Body, Record
    from ..reader.pump import Program
    from .qemu import Checks

_WORD = 8
_FLAGS = (1 << tables.QEMU_PAGE_BITS) - 1
_PAGE = tables.QEMU_PAGE_SIZE
_RANGE, _BLOCK, _FIRST = "QEMU-RAM-RANGE", "QEMU-RAM-BLOCK", "QEMU-RAM-CONT-FIRST"
_PACKED = {
    tables.QEMU_RAM_COMPRESSED_OF: "QEMU-RAM-COMPRESSED",
    tables.QEMU_RAM_COMPRESSED: "QEMU-RAM-COMPRESSED",
    tables.QEMU_RAM_XBZRLE_OF: "QEMU-RAM-XBZRLE",
    tables.QEMU_RAM_XBZRLE: "QEMU-RAM-XBZRLE",
}
_XBZRLE = (tables.QEMU_RAM_XBZRLE, tables.QEMU_RAM_XBZRLE_OF)
_ZEROS = (tables.QEMU_RAM_ZERO, tables.QEMU_RAM_ZERO_OF)
# The most that zlib makes of a page: compressBound of its size.
COMPRESSED_MAX = _PAGE + (_PAGE >> 12) + (_PAGE >> 14) + (_PAGE >> 25) + 13
# Names of blocks that a finding has.
_NAMES = 4


def count(number: int, noun: str) -> str:
    """So many of something."""
    words: str = load("checks.messages:count")(number, noun)  # as `shown`
    return words


def block(checks: Checks, body: Body) -> Program:
    """Program that judges an entry of the list of blocks: its name is its own, and its length is left of the total."""
    record, facts = body.record, checks.facts
    raw = yield from body.take(min(record.length, 1 + 255 + _WORD))
    if not raw or len(raw) < 1 + raw[0] + _WORD:
        return
    name = raw[1 : 1 + raw[0]]
    length = int.from_bytes(raw[1 + raw[0] : 1 + raw[0] + _WORD], "big")
    left = facts.left
    at = record.body + 1 + len(name)
    if not name or not length or name in facts.blocks:
        why = "has no name" if not name else "has no memory" if not length else "is in the list already"
        message = f"block {shown(name)!r} {why}"
        checks.context.report(_BLOCK, record, message, field="name", actual=shown(name))
    elif length > left:
        message = f"block {shown(name)} has {length:,} bytes, and of the total {left:,} are left"
        checks.context.report(
            "QEMU-RAM-SUM", record, message, offset=at, length=_WORD, field="length", expected=left, actual=length
        )
    elif record.type in _MAPPED:
        yield from _mapped(checks, body, raw, length)


_MAPPED = (tables.QEMU_RAM_BLOCK_MAPPED, tables.QEMU_RAM_BLOCK_MAPPED_AT)
_MAP_VERSION = 1


def _mapped(checks: Checks, body: Body, raw: bytes, length: int) -> Program:
    """Program that judges where the pages of a block are in a file: after the bitmap, and nothing else before them."""
    record, facts = body.record, checks.facts
    start = 1 + raw[0] + _WORD * (1 + (record.type == tables.QEMU_RAM_BLOCK_MAPPED_AT))
    raw += yield from body.take(start + 4 + 3 * _WORD - len(raw))
    if len(raw) < start + 4 + 3 * _WORD:
        return
    version = int.from_bytes(raw[start : start + 4], "big")
    page, bitmap, pages = unpack_from(">3Q", raw, start + 4)
    at = record.body + start
    if version > _MAP_VERSION:
        message = f"the places of pages have version {version}, which no QEMU knows"
        checks.context.report(
            "QEMU-MAP-VERSION", record, message, offset=at, length=4, field="version", expected=1, actual=version
        )
    if page != facts.page:
        message = f"pages of {page:,} bytes, and the guest's have {facts.page:,}"
        checks.context.report(
            "QEMU-MAP-PAGE",
            record,
            message,
            offset=at + 4,
            length=_WORD,
            field="page_size",
            expected=facts.page,
            actual=page,
        )
    after = at + 4 + 3 * _WORD
    shift = facts.shift or 0
    if (bitmap or pages) and (bitmap - shift != after or pages - shift < record.end):
        message = (
            f"the bitmap is said to be at {bitmap:#x} and the pages at {pages:#x}, and the bitmap is at {after:#x}"
        )
        expected = f"{after + shift:#x}, and after it"
        checks.context.report(
            "QEMU-MAP-PLACE",
            record,
            message,
            offset=at + 4 + _WORD,
            length=2 * _WORD,
            field="bitmap_offset",
            expected=expected,
            actual=f"{bitmap:#x}, {pages:#x}",
        )


def unmapped(checks: Checks, record: Record) -> None:
    """Report a word that brings pages, in a file where they have places of their own."""
    clause = "QEMU-MAP-WORDS"
    if not checks.context.findings.full(clause, record, record.body):
        message = "a word of memory in a file whose pages have places of their own, where only EOS may come"
        checks.context.report(clause, record, message, length=_WORD)


def oversize(checks: Checks, record: Record) -> None:
    """Report compressed data that is longer than any page's."""
    checks.context.stopped = record.offset, "no page has as much compressed, so nothing after it can be trusted"
    message = f"a compressed page of {count(record.length, 'byte')}, with what is before it"
    checks.context.report(
        "QEMU-RAM-COMPRESSED",
        record,
        message,
        field="length" if record.type == tables.QEMU_RAM_COMPRESSED_OF else "pages[0].length",
        expected=f"at most {COMPRESSED_MAX}",
        actual=record.length,
    )


# -- words ------------------------------------------------------------------------------------------------------------


def word(checks: Checks, body: Body) -> Program:
    """Program that reports a word whose flags mean nothing."""
    raw = yield from body.take(_WORD)
    flags = int.from_bytes(raw, "big") & _FLAGS
    message = f"the flags {flags:#05x} mean nothing together"
    checks.context.report_field("QEMU-RAM-COMBO", body.record, "word.flags", message, "one flag", f"{flags:#05x}")


def alone(checks: Checks, body: Body) -> Program:
    """Program that judges a word that is about no page: it goes on with no block."""
    raw = yield from body.take(_WORD)
    flags = int.from_bytes(raw, "big") & _FLAGS
    clause, record = "QEMU-RAM-CONT-ALONE", body.record
    if flags & tables.QEMU_FLAG_CONTINUE and not checks.context.findings.full(clause, record, record.body):
        message = f"the flags {flags:#05x} say that the word is about the block named before, and it is about no page"
        plain = f"{flags & ~tables.QEMU_FLAG_CONTINUE:#05x}"
        checks.context.report_field(clause, record, "word.flags", message, plain, f"{flags:#05x}")


def hook(checks: Checks, body: Body) -> Program:
    """Program that reports what is for another transport."""
    yield from alone(checks, body)
    message = "a word for a transport of its own, such as RDMA, which a stream on its own has no use for"
    checks.context.report("QEMU-RAM-HOOK", body.record, message, length=_WORD, field="word.flags")


def flush(checks: Checks, body: Body) -> Program:
    """Program that takes note that channels of multifd have pages of this memory."""
    checks.flushed = True
    return alone(checks, body)


def named(checks: Checks, body: Body) -> Program:
    """Program that judges a word that names a block: there is such a block."""
    record, facts = body.record, checks.facts
    name = facts.named or b""
    head = _WORD + 1 + len(name)
    raw = yield from body.take(min(record.length, head + 4))
    _came(checks, record, 1)
    if facts.block is None:
        message = f"there is no block {shown(name)!r} in the list"
        at = record.body + _WORD + 1
        checks.context.report(_BLOCK, record, message, offset=at, length=len(name), field="name", actual=shown(name))
    else:
        _page(checks, record, record.body, int.from_bytes(raw[:_WORD], "big"))
    rest = raw[head:]
    if record.type in _ZEROS and rest:
        _fill(checks, record, record.body + head, rest[0])
    if record.type in _PACKED:
        size = 3 if record.type in _XBZRLE else 4
        sound = _packed(checks, record, record.body + head, rest[:size])
        if sound and checks.context.deep:
            yield from _content(checks, body, body.left, rest[size:])


def _came(checks: Checks, record: Record, words: int) -> None:
    """Count words about pages, and those after which there is content."""
    checks.context.page_entries += words
    checks.context.carries(0 if record.type in _ZEROS else words, record.end)


def _page(checks: Checks, record: Record, at: int, number: int, prefix: str = "") -> None:
    """Judge that a word's page, at stream offset `at`, is in the block."""
    block = checks.facts.block
    if block is None or number & ~_FLAGS < block.length or checks.context.findings.full(_RANGE, record, at):
        return
    name = shown(checks.facts.named or b"")
    message = f"page {number >> tables.QEMU_PAGE_BITS:#x} is beyond block {name}, which has {block.length:#x} bytes"
    checks.context.report(
        _RANGE,
        record,
        message,
        offset=at,
        length=_WORD,
        field=f"{prefix}word.page",
        expected=f"below {-(-block.length // _PAGE):#x}",
        actual=f"{number >> tables.QEMU_PAGE_BITS:#x}",
    )


def _fill(checks: Checks, record: Record, at: int, value: int, prefix: str = "") -> None:
    """Judge what the bytes of a page are that has no content."""
    clause = "QEMU-RAM-FILL"
    if value and not checks.context.findings.full(clause, record, at):
        message = f"a page of bytes {value:#04x}, where only 0 is left out"
        checks.context.report(
            clause, record, message, offset=at, length=1, field=f"{prefix}fill", expected=0, actual=value
        )


def _unnamed(checks: Checks, record: Record) -> None:
    """Judge that a block has been named before words that name none."""
    if checks.facts.named is None and _FIRST not in checks.fired:
        checks.fired.add(_FIRST)
        message = "the word says that its block is the last one's, and none has been named"
        checks.context.report(_FIRST, record, message, length=_WORD, field="pages[0].word.flags")


def row(checks: Checks, body: Body) -> Program:
    """Program that judges words that are not all in order."""
    record = body.record
    _unnamed(checks, record)
    size = _WORD + (1 if record.type in _ZEROS else _PAGE)
    yield from body.need(record.length)
    window = body.window
    last = min(window.hi - window.lo, record.length) - _WORD
    _came(checks, record, record.length // size)
    for number, place in enumerate(range(0, last + 1, size), record.begun):
        (value,) = unpack_from(">Q", window.buf, window.lo + place)
        at, prefix = record.body + place, f"pages[{number}]."
        _page(checks, record, at, value, prefix)
        if size == _WORD + 1 and place < last:
            _fill(checks, record, at + _WORD, window.buf[window.lo + place + _WORD], prefix)


def varied(checks: Checks, body: Body) -> Program:
    """Program that judges words with changes, or compressed pages."""
    record = body.record
    _unnamed(checks, record)
    size = 3 if record.type in _XBZRLE else 4
    for number in _count():
        at = body.at
        raw = yield from body.take(_WORD + size)
        if len(raw) < _WORD + size:
            return
        prefix = f"pages[{number}]."
        _came(checks, record, 1)
        _page(checks, record, at, int.from_bytes(raw[:_WORD], "big"), prefix)
        sound = _packed(checks, record, at + _WORD, raw[_WORD:], prefix)
        length = min(int.from_bytes(raw[_WORD + size % 2 :], "big"), body.left)
        if sound and checks.context.deep:
            yield from _content(checks, body, length, prefix=prefix)
        else:
            yield from body.skip(length)


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def _packed(checks: Checks, record: Record, at: int, raw: bytes, prefix: str = "") -> bool:
    """Judge what is before a page's changes, or its compressed content: how it is written, and how long.

    Returns whether that is as it should be.
    """
    clause = _PACKED[record.type]
    length = int.from_bytes(raw[len(raw) % 2 :], "big")
    most, least = (_PAGE, 0) if record.type in _XBZRLE else (COMPRESSED_MAX, 1)
    if len(raw) % 2 and raw[0] != tables.QEMU_ENCODING:
        wrong, field = "a page's changes are of a form that is not known", "encoding"
        expected, actual = tables.QEMU_ENCODING, raw[0]
    elif not least <= length <= most:
        wrong, field, actual = f"a page of {count(length, 'byte')}, as they are sent", "length", length
        checks.context.report(
            clause,
            record,
            wrong,
            offset=at + len(raw) % 2,
            length=len(raw) - len(raw) % 2,
            field=prefix + field,
            expected=f"{least} to {most}",
            actual=actual,
        )
        return False
    else:
        return True
    checks.context.report(
        clause, record, wrong, offset=at, length=1, field=prefix + field, expected=expected, actual=actual
    )
    return False


def _content(checks: Checks, body: Body, length: int, begun: bytes = b"", prefix: str = "") -> Program:
    """Program that judges, with --deep, a page's changes, or what zlib made of it, which has `begun` so."""
    from ..codec.qemu_pages import FormError, changed, inflated  # few streams have such pages

    record, at = body.record, body.at - len(begun)
    raw = begun + (yield from body.take(length))
    if len(raw) < len(begun) + length:
        return
    changes = record.type in _XBZRLE
    clause, field = ("QEMU-RAM-CHANGES", "changes") if changes else ("QEMU-RAM-ZLIB", "data")
    try:
        if changes:
            changed(bytes(_PAGE), raw)
            return
        page, used = inflated(raw)
    except FormError as error:
        message = f"a page that comes {'as changes' if changes else 'compressed'} has {error}"
        checks.context.report(clause, record, message, offset=at + error.at, field=prefix + field)
        return
    if len(page) < _PAGE or used < len(raw):
        message = f"a compressed page of {count(len(page), 'byte')}, with {count(len(raw) - used, 'byte')} behind it"
        checks.context.report("QEMU-RAM-ZLIB-PAGE", record, message, offset=at + used, field=prefix + field)


# -- the whole --------------------------------------------------------------------------------------------------------


def complete(checks: Checks, at: int) -> None:
    """Judge that of each block as many pages have come as it has: fewer cannot be all."""
    facts, channels = checks.facts, checks.context.channels
    if channels:
        load("checks.qemu_channels:judge")(checks, channels, at)
    if tables.QEMU_MAPPED_RAM in facts.capabilities or facts.strangers:
        return  # pages have places of their own, or it is not known whose they are
    shared = tables.QEMU_IGNORE_SHARED in facts.capabilities
    lacking = []
    for name, block in facts.blocks.items():
        came = block.words + sum(channel.blocks.get(name, (0,))[0] for channel in channels)
        if came < -(-block.length // _PAGE) and (came or not shared):
            lacking.append((name, came, -(-block.length // _PAGE)))
    if not lacking:
        return
    words = [f"{shown(name)} {here:,} of {pages:,}" for name, here, pages in lacking[:_NAMES]]
    more = f", and {len(lacking) - _NAMES:,} more blocks" if len(lacking) > _NAMES else ""
    here, due = sum(row[1] for row in lacking), sum(row[2] for row in lacking)
    if checks.switched and not channels and not checks.flushed and not any(row.words for row in facts.blocks.values()):
        clause, where = "QEMU-CPR-ALONE", "the memory was handed over by descriptors, which no file has"
    elif checks.flushed and not channels:
        clause, where = "QEMU-MFD-ALONE", "the memory is in channels of multifd, which this file has not"
        more += "; QEMU 5.2 to 11.1 load this alone as completed, with zeros for the rest"
    else:
        clause, where = "QEMU-RAM-COVER", f"not all pages are in this stream{' and its channels' if channels else ''}"
    message = f"{where}: of {', '.join(words)}{more}"
    checks.context.report(clause, checks.layer, message, offset=at, expected=due, actual=here)


def absent(checks: Checks, at: int) -> None:
    """Report that there is no section of the memory in a file whose pages have places of their own."""
    facts = checks.facts
    if any(section.name == tables.QEMU_RAM_NAME for section in facts.live.values()):
        return
    others = ", ".join(shown(section.name or b"") for section in list(facts.live.values())[:_NAMES]) or "none"
    name = shown(tables.QEMU_RAM_NAME)
    message = f"no section {name} has come, whose pages have places in this file: of what comes in parts there is "
    message += others
    checks.context.report("QEMU-MAP-RAM", checks.layer, message, offset=at, expected=name, actual=others)
