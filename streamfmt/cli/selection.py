"""Which records or pages of a stream are wanted, as people say it on the command line."""

from __future__ import annotations

import argparse
import sys

from .. import tables
from . import inputs


def record_range(text: str) -> range:
    """`N:M` as Python slices have it, with either side left out, or a single number."""
    first, colon, last = text.partition(":")
    if all(side.isdecimal() or (colon and not side) for side in (first, *([last] if colon else []))):
        start = int(first or 0)
        return range(start, int(last or sys.maxsize) if colon else start + 1)
    raise argparse.ArgumentTypeError(f"{text!r} is not N:M, N:, :M or N, counted from 0")


def record_types(text: str) -> set[tuple[str, int]]:
    """The record types of either layer that have this name or number."""
    names_by_layer: dict[str, dict[int, str]] = tables.RECORDS
    try:
        code = int(text, 0)
    except ValueError:
        found = {
            (layer, code) for layer, names in names_by_layer.items() for code in names if names[code] == text.upper()
        }
        if found:
            return found
        hint = inputs.near(sorted({name for names in names_by_layer.values() for name in names.values()}), text)
        raise argparse.ArgumentTypeError(f"there is no record type {text}{hint}") from None
    if not -1 << 31 <= code < 1 << 64:
        raise argparse.ArgumentTypeError(f"record type {text} does not fit into 64 bits")
    return {(layer, code) for layer in names_by_layer}


def frame(text: str) -> int:
    """The number of a frame, decimal or hexadecimal."""
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= tables.PFN_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a frame number, such as 5 or 0x5")
    return number
