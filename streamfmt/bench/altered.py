"""``python -m streamfmt.bench.altered IMAGE COPY``: a copy of an image in which one page in a hundred differs."""

from __future__ import annotations

import os
import shutil
import sys

from ..io.feed import Feed
from ..memory.collector import Collector
from ..memory.frames import PAGE, PLACE

# One page of so many is altered, in a byte that is in another place of each.
_ONE_OF, _STEP = 100, 1237


def alter(image: str, copy: str) -> int:
    """Write the copy; returns how many pages are altered."""
    collector = Collector()
    feed = Feed(image, collector.reader)
    collector.reading(feed.source)
    feed.drive(collector.reader.pump)
    collector.end()
    feed.close()
    shutil.copyfile(image, f"{copy}.part")
    done = left = 0
    with open(f"{copy}.part", "r+b", buffering=0) as file:
        for _, count, value in collector.frames.extents():
            # Pages do not follow one another at equal distances: where they lie is no pattern to be guessed.
            for number in range(left, count if value >> PLACE else 0, _ONE_OF):
                at = (value >> PLACE) + number * PAGE + done * _STEP % PAGE
                byte = os.pread(file.fileno(), 1, at)
                os.pwrite(file.fileno(), bytes((byte[0] ^ 1,)), at)
                done += 1
            left = (left - count) % _ONE_OF
    os.rename(f"{copy}.part", copy)
    return done


if __name__ == "__main__":
    alter(*sys.argv[1:3])
