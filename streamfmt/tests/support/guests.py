"""Guests in tests: of each kind that can be made here, and why not of the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import pytest

from ...engine.guest import makes

# Seconds within which a guest does what a test waits for, on a machine that is busy otherwise.
PATIENCE = 30.0


@cache
def missing(kind: str) -> str:
    """Why there are no guests of that kind here."""
    return makes.available()[kind]


def need(kind: str) -> None:
    """Skip the test where there are none."""
    if why := missing(kind):
        pytest.skip(f"no guest of kind {kind}: {why}")


def until(what: Callable[[], bool]) -> None:
    """Return once that is so."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.002)
