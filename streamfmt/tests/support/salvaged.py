"""What a salvaged stream is held against: the records of the original, where they lay, and its pages."""

from __future__ import annotations

import os
from dataclasses import dataclass

import streamfmt

from ...checks.outcome import Outcome
from ...convert.salvage import Salvage
from ...convert.salvage_judge import judge
from ...io.spliced import Spliced

PAGES = "PAGE_DATA"


def salvaged(data: bytes, form: str = "auto", doubtful: bool = False) -> tuple[Salvage, Outcome, bytes]:
    """What is salvaged of some bytes, how that is judged, and what would be written."""
    fd = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        found = Salvage(fd, form, doubtful=doubtful)
        found.run()
        outcome = judge(found)
        span = Spliced(fd, found.size, found.pieces.splices(found.size))
        return found, outcome, span.read(0, span.size)
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Item:
    """A header or record of a stream: from where to where it lies, and what is in it."""

    start: int
    stop: int
    layer: str
    name: str
    body: bytes
    pages: tuple[tuple[int, str, bytes], ...] = ()


def items(data: bytes, form: str = "auto") -> list[Item]:
    """Headers and records of a stream, as far as it can be read."""
    found: list[Item] = []
    try:
        with streamfmt.open(data, form=form) as stream:  # type: ignore[arg-type] # tests give forms only
            for item in stream:
                layer = item.layer.rpartition("/")[2]
                if isinstance(item, streamfmt.Header):
                    found.append(Item(item.offset, item.offset + item.length, layer, item.name, item.data))
                    continue
                body = item.read(len(data))
                stop = stream.offset + item.padding
                found.append(Item(item.offset, stop, layer, item.name, body, _pages(item.name, body)))
    except streamfmt.StreamError:
        pass
    return found


def _pages(name: str, body: bytes) -> tuple[tuple[int, str, bytes], ...]:
    """Frames, types and contents of a batch of the libxc layer, little-endian."""
    if name != PAGES:
        return ()
    count = int.from_bytes(body[:4], "little")
    at, found = 8 + 8 * count, []
    for number in range(count):
        entry = int.from_bytes(body[8 + 8 * number : 16 + 8 * number], "little")
        kind = entry >> 60
        size = 0 if kind in (13, 14, 15) else 4096
        found.append((entry & (1 << 52) - 1, f"{kind:x}", body[at : at + size]))
        at += size
    return tuple(found)
