"""One guest of each release, width and kind, saved in each way that the release had; nothing of the product."""

from __future__ import annotations

from itertools import product
from typing import Any

from .plain_guests import Setup
from .plain_releases import VARIANTS

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "live": {"rounds": 3, "batch": 11, "broken": (20,)},
    "verified": {"verify": True, "vcpus": (0, 2), "highest": 5},
    "tmem": {"tmem": True, "rounds": 2},
    "remus": {"checkpoints": 2},
    "compressed": {"checkpoints": 2, "compressed": True, "rounds": 2, "batch": 9},
}


def setups() -> list[Setup]:
    """Each release's guests, by both widths of both, saved in each way that the release had."""
    found = []
    for release, own in VARIANTS.items():
        for guest, word, guest_word, (way, more) in product(("pv", "hvm"), (4, 8), (4, 8), WAYS.items()):
            crossed = guest_word == 4 if guest == "hvm" else word != guest_word and not own.crossed
            missing = {"tmem": own.tmem is None, "remus": not own.remus, "compressed": not own.compression}
            if crossed or missing.get(way) or (guest == "hvm" and not own.hvm):
                continue
            setup = Setup(release, guest, word, guest_word, **more)
            found.append(setup if own.words else setup._replace(vcpus=(0,), highest=None))
    return found


def named(setup: Setup) -> str:
    """A setup's name among tests."""
    return f"{setup.release}-{setup.guest}{setup.guest_word * 8}-on{setup.word * 8}"
