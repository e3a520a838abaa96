"""Conversions for tests: of bytes, from a file or a pipe, to bytes."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

from ...convert.part import Options
from ...convert.run import Result, convert
from ...io.outputs import output
from .descriptors import giving, taking


def converted(data: bytes, way: str = "file", target: str = "pipe", **options: Any) -> tuple[Result, bytes]:
    """What comes of a stream that a file or pipe has, and the bytes of the output."""
    with giving(way, data, 1) as fd, taking(target, 1) as (out, arrived):
        result = convert(fd, lambda: output(out), Options(**options), lambda size: nullcontext(None))
        os.set_blocking(fd, True)
        while os.read(fd, 1 << 20):
            pass  # so that the writer ends
    return result, arrived[0]
