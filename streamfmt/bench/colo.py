"""Round trips of COLO and of Remus, for a guest that has written 1 MiB since the last one: ``python -m
streamfmt.bench.colo``.

A round trip is from the guest's stop until it runs again on both sides, or until the standby has acknowledged the
checkpoint.  With COLO both guests write, so that a list of as many frames comes back.
"""

from __future__ import annotations

import sys
from statistics import median

from .moves import Moved, Program, receiver
from .process import BenchError
from .remus import INTERVAL, MEMORY

# Checkpoints, few enough for the events of both sides to fit into pipes that nobody reads meanwhile.
_COUNT, _RATE = 200, 120_000
_GUEST = ("--guest", "process", "--memory", MEMORY, "--working-set", "1MiB", "--dirty-rate", str(_RATE))


def ours() -> Moved:
    """COLO's: a round trip, the time from the end of the link until the secondary is alone, and how long the guest
    stood, each the median but the second."""
    return _measured("--colo", ("--colo", "--longest", f"{INTERVAL}ms"), "failed over")


def others() -> Moved:
    """Those of Remus."""
    return _measured("--remus", ("--remus", f"{INTERVAL}ms"), "running")


def _measured(receives: str, words: tuple[str, ...], over: str) -> Moved:
    with receiver(receives) as (standby, uri):
        with Program("send", uri, *words, "--checkpoints", str(_COUNT), *_GUEST) as primary:
            rows = [primary.event("checkpoint") for _ in range(_COUNT)]
            primary.event("protected")
        lost = standby.event("failed over")
        taken = lost.get("took", 0.0) if over == "failed over" else standby.event(over)["seconds"] - lost["seconds"]
        ran = standby.event("ran")
    if ran["broken"]:
        raise BenchError(f"the guest is broken: {ran['broken'][0]}")
    return Moved(
        median(row["latency"] for row in rows[1:]),
        taken,
        median(row["stood"] for row in rows[1:]),
        sent=rows[-1]["bytes"],
    )


def main() -> int:
    """Show both, a few times in turn."""
    for _ in range(3):
        for name, found in (("COLO", ours()), ("Remus", others())):
            print(f"{name:>6}: {found.total * 1e3:.2f} ms, stood {found.pause * 1e3:.2f} ms, {found.sent:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
