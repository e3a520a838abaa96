"""Checks of compressed pages in a legacy stream: that they are pages, and as many as the batches have announced."""

from __future__ import annotations

from ..reader.legacy_pages import TOP
from ..reader.legacy_pages import pages as pages_of
from .legacy_kept import Decoder
from .messages import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Body, Record
    from ..reader.pump import Program
    from .legacy import Checks


def _decoder(checks: Checks) -> Decoder:
    if checks.decoder is None:
        checks.decoder = Decoder()
    return checks.decoder


def announce(checks: Checks, entries: bytes) -> None:
    """A batch without pages has come, with these entries."""
    _decoder(checks).announced += pages_of(entries[TOP :: checks.facts.word])


def data(checks: Checks, body: Body) -> Program:
    """Program that judges compressed data: once it is on, and page after page."""
    record, decoder = body.record, _decoder(checks)
    if not (yield from checks.fixed(body)):
        return
    if not checks.facts.compressed:
        if checks.announcing:
            message = "compressed data comes in the checkpoint that announces it, not after it"
            checks.context.report("LEGACY-COMPRESSED-ON", record, message)
        decoder.broken = True
        return
    before = decoder.walk.pages
    while (at := body.at, raw := (yield from body.piece()))[1]:
        decoder.walk.feed(raw)
        if decoder.walk.wrong:
            _wrong(checks, record, decoder, at + decoder.walk.taken)
            return
    checks.context.content_pages += decoder.walk.pages - before
    if decoder.walk.pages > decoder.announced and not decoder.broken:
        decoder.broken = True
        message = f"{count(decoder.walk.pages, 'compressed page')} came, for {decoder.announced:,} in batches before"
        checks.context.report("LEGACY-COMPRESSED-COUNT", record, message, field="data")


def _wrong(checks: Checks, record: Record, decoder: Decoder, at: int) -> None:
    if not decoder.broken:
        decoder.broken = True
        message = f"compressed page {decoder.walk.pages} cannot be decoded: {decoder.walk.wrong}"
        checks.context.report("LEGACY-COMPRESSED-FORM", record, message, offset=at, length=1, field="data")


def body_ends(checks: Checks, record: Record) -> None:
    """Judge, at the end of a body, that all of its pages have come, and no more."""
    decoder, checks.decoder = _decoder(checks), None
    walk = decoder.walk
    if decoder.broken or (walk.pages == decoder.announced and not walk.within):
        return
    part = ", and a part of another" if walk.within else ""
    message = f"the batches of this body announce {count(decoder.announced, 'page')}, and {walk.pages:,}{part} came"
    checks.context.report("LEGACY-COMPRESSED-COUNT", record, message, expected=decoder.announced, actual=walk.pages)
