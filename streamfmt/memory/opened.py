"""A guest's memory of what a caller has: collected now, or read from an index of before."""

from __future__ import annotations

import os

from ..io.feed import Feed
from . import saved
from .collector import Collector
from .contents import Contents
from .image import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..io.feed import StreamSource
    from ..reader.reader import Reader


def open_memory(
    source: StreamSource,
    form: str = "auto",
    guest: str | None = None,
    index: str | os.PathLike[str] | None = None,
    allow_damaged: bool = False,
    channels: Sequence[StreamSource] = (),
) -> Memory:
    """The memory in a stream; :func:`streamfmt.open_memory` has the rules.

    Raises StreamError, OSError, TypeError, and ValueError for what cannot be read again.
    """
    collector = Collector(form, guest)
    if channels:
        from .channels import Dated, add  # few streams have them

        collector.frames = Dated()
    feed = Feed(source, collector.reader)
    try:
        reread = feed.source.reread()
        if reread is None and not isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
            raise ValueError(
                "memory is read at any place: give a path, a descriptor of a file that is not compressed, or bytes"
            )
        if index is not None and channels:
            raise ValueError("an index is of one file, so there is none with channels")
        if index is not None and reread is not None and os.path.exists(index):
            frames = saved.load(index, feed.source.size or 0, reread)
            return Memory(frames, Contents(reread), None, feed.close, feed.source.size)
        collector.reading(feed.source)
        feed.drive(collector.reader.pump)
        collector.end()
        if channels:
            add(collector, ((_name(each, number), each) for number, each in enumerate(channels)), _drive)
        if collector.damage is not None and not allow_damaged:
            raise collector.damage
    except BaseException:
        feed.close()
        raise
    finally:
        collector.reader.close()
    return Memory(collector.frames, collector.contents, collector.damage, feed.close, feed.source.size)


def _name(source: StreamSource, number: int) -> str:
    """What to call a channel."""
    return os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else f"{number} of those given"


def _drive(source: StreamSource, reader: Reader) -> None:
    feed = Feed(source, reader)
    try:
        feed.drive(reader.pump)
    finally:
        reader.close()
        feed.close()
