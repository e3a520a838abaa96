"""Memory does not grow with the number of inputs."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import streamfmt

from .support.good_streams import XL_HVM
from .support.peak_memory import bare, command, taken

_MANY = 1000
# What that many may take over one: far less than a window each.
_GROWTH = 8 << 20


@pytest.mark.parametrize("verb", ["identify", "verify", "show"])
def test_many_files_take_what_one_takes(verb: str, tmp_path: Path) -> None:
    """A file's window goes with it, whether its stream has been read whole or in part, or was cut short."""
    data = XL_HVM.render()
    whole, damaged = tmp_path / "whole", tmp_path / "damaged.gz"
    whole.write_bytes(data)
    damaged.write_bytes(gzip.compress(data)[:-30])
    one, many = (command(verb, *[whole, damaged] * count) for count in (1, _MANY // 2))

    assert many.peak - one.peak < _GROWTH
    if verb == "identify":
        assert many.peak - bare() < 32 << 20


def _opened(path: str) -> streamfmt.Stream:
    with streamfmt.open(path) as stream:
        next(stream)
    return stream


_CALLS: dict[str, Callable[[str], Any]] = {
    "identify": streamfmt.identify,
    "verify": streamfmt.verify,
    "open": _opened,
}


def _keep(name: str, path: str, count: int) -> None:
    kept = [_CALLS[name](path) for _ in range(count)]
    assert len(kept) == count


@pytest.mark.parametrize("name", _CALLS)
def test_results_that_are_kept_are_small(name: str, tmp_path: Path) -> None:
    """What Python programs keep of each input has no window either."""
    path = tmp_path / "whole"
    path.write_bytes(XL_HVM.render())
    program = f"from streamfmt.tests.test_bounds import _keep; _keep({name!r}, {str(path)!r}, "
    one, many = (taken(["-c", f"{program}{count})"]) for count in (1, _MANY // 4))

    assert (one.errors, many.errors) == ("", "")
    assert many.peak - one.peak < _GROWTH
