"""Moving a guest by hand: memory, then state, as a saver and a restorer do without a link."""

from __future__ import annotations

from ...engine import frames as sets
from ...engine.guest.memory import PAGE
from ...engine.interface import Guest
from ...writer import Draft, Part, image_headers, page_data, record

# Frames of one record.
_BATCH = 1024


def copied(source: Guest, to: Guest, frames: int) -> None:
    """The contents of these frames."""
    for first, count in sets.runs(frames):
        part = slice(first * PAGE, (first + count) * PAGE)
        to.memory[part] = source.memory[part]


def records(guest: Guest) -> list[tuple[str, bytes]]:
    """Its records, but for memory, as a restorer has them."""
    return [(part.name, part.body("<")) for part in (*guest.static(), *guest.state())]


def moved(source: Guest, to: Guest) -> None:
    """All of it."""
    copied(source, to, source.populated())
    to.load(records(source))


def image(guest: Guest) -> bytes:
    """The image that a saver would write of it."""
    frames = [at for first, count in sets.runs(guest.populated()) for at in range(first, first + count)]
    batches = [frames[at : at + _BATCH] for at in range(0, len(frames), _BATCH)]
    pages = [
        page_data(batch, "NOTAB", [guest.memory[at * PAGE : (at + 1) * PAGE] for at in batch]) for batch in batches
    ]
    parts: list[Part] = [*image_headers("hvm"), *guest.static(), record("libxc.STATIC_DATA_END"), *pages]
    return Draft((*parts, *guest.state(), record("libxc.END"))).render()
