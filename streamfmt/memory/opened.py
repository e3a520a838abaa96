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
    from ..io.feed import StreamSource


def open_memory(
    source: StreamSource,
    form: str = "auto",
    guest: str | None = None,
    index: str | os.PathLike[str] | None = None,
    allow_damaged: bool = False,
) -> Memory:
    """The memory in a stream; :func:`streamfmt.open_memory` has the rules.

    Raises StreamError, OSError, TypeError, and ValueError for what cannot be read again.
    """
    collector = Collector(form, guest)
    feed = Feed(source, collector.reader)
    try:
        reread = feed.source.reread()
        if reread is None and not isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
            raise ValueError(
                "memory is read at any place: give a path, a descriptor of a file that is not compressed, or bytes"
            )
        if index is not None and reread is not None and os.path.exists(index):
            frames = saved.load(index, feed.source.size or 0, reread)
            return Memory(frames, Contents(reread), None, feed.close, feed.source.size)
        collector.reading(feed.source)
        feed.drive(collector.reader.pump)
        collector.end()
        if collector.damage is not None and not allow_damaged:
            raise collector.damage
    except BaseException:
        feed.close()
        raise
    finally:
        collector.reader.close()
    return Memory(collector.frames, collector.contents, collector.damage, feed.close, feed.source.size)
