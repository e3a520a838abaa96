"""What the channels of a QEMU migration with multifd are to one another, and to its main stream."""

from __future__ import annotations

from itertools import pairwise

from ..reader.qemu_multifd import Channel
from .messages import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .layer import Context
    from .qemu import Checks

# Numbers that a finding names.
_NAMED = 4


def brought(verifier: Context) -> Channel | None:
    """What the channel that has been verified has brought; None if it is no channel."""
    facts = verifier.layers[0].facts if verifier.layers else None
    return facts if isinstance(facts, Channel) else None


def all_brought(verifiers: Sequence[Context]) -> list[Channel]:
    """What these have brought.  Raises ValueError."""
    found = [channel for channel in map(brought, verifiers) if channel is not None]
    if len(found) < len(verifiers):
        raise ValueError("one of the channels is no channel of multifd")
    return found


def judge(checks: Checks, channels: Sequence[Channel], at: int) -> None:
    """Judge channels by their main stream, which has ended at `at`, and by one another."""
    checks.context.channels_judged = True
    _set(checks, channels, at)
    _numbers(checks, channels, at)
    _devices(checks, channels, at)
    blocks = checks.facts.blocks
    for channel in channels:
        for name, (_, highest, where) in channel.blocks.items():
            block = blocks.get(name)
            if block is not None and highest < block.length:
                continue
            what = f"has {block.length:#x} bytes" if block else "is not in the list"
            message = (
                f"channel {channel.id}, at {where} ({where:#x}): a page at {highest:#x} of block {shown(name)}, "
                f"which {what}"
            )
            expected = f"below {block.length:#x}" if block else ", ".join(map(shown, blocks))
            checks.context.report(
                "QEMU-MFD-RANGE", checks.layer, message, offset=at, expected=expected, actual=f"{highest:#x}"
            )


def _set(checks: Checks, channels: Sequence[Channel], at: int) -> None:
    """Judge that the channels have the numbers from 0 on, and one UUID."""
    ids = sorted(channel.id for channel in channels)
    if ids != list(range(len(ids))):
        said = ", ".join(map(str, ids))
        message = f"the channels given have the numbers {said}, and those of one migration go from 0 on, each once"
        checks.context.report(
            "QEMU-MFD-SET", checks.layer, message, offset=at, expected=f"0 to {len(ids) - 1}", actual=said
        )
    uuids = sorted({channel.uuid.hex() for channel in channels})
    if len(uuids) > 1:
        message = f"the channels are of {len(uuids)} guests: {', '.join(uuids[:_NAMED])}"
        checks.context.report(
            "QEMU-MFD-SET", checks.layer, message, offset=at, expected=uuids[0], actual=", ".join(uuids[1:_NAMED])
        )


def _numbers(checks: Checks, channels: Sequence[Channel], at: int) -> None:
    """Judge the packets' numbers: each once, and of writers that skip none, all."""
    clause = "QEMU-MFD-NUMBER"
    if any(channel.full for channel in channels):
        checks.context.abstain(clause, "there are more packets than are kept")
        return
    paged = sorted(number for channel in channels for number in channel.numbers)
    twice = [number for number, other in pairwise(paged) if number == other]
    if twice:
        said = ", ".join(map(str, twice[:_NAMED])) + (", ..." if twice[_NAMED:] else "")
        message = f"packets with pages have a number that another has: {said}"
        checks.context.report(clause, checks.layer, message, offset=at, expected="each once", actual=said)
    waits = {number for channel in channels for number in channel.waits}
    if not waits:
        return  # QEMU before 9.0, which skips some
    there = waits.union(paged)
    missing = max(there) + 1 - len(there)
    if missing:
        first = next(number for number in range(max(there)) if number not in there)
        message = f"{missing:,} of the packets' numbers are in no channel, the first of them {first}"
        expected = f"0 to {max(there)}"
        checks.context.report(clause, checks.layer, message, offset=at, expected=expected, actual=f"not {first}")


def _devices(checks: Checks, channels: Sequence[Channel], at: int) -> None:
    """Judge the packets of each device's state: all numbers once, and the last has the configuration."""
    clause = "VFIO-MFD-ORDER"
    if any(channel.full for channel in channels):
        checks.context.abstain(clause, "there are more packets than are kept")
        return
    for key in sorted({key for channel in channels for key in channel.devices}):
        rows = [row for channel in channels for row in channel.devices.get(key, {}).items()]
        numbers = [number for number, _ in rows]
        last, there = max(numbers), set(numbers)
        missing = next((number for number in range(last) if number not in there), None)
        wrong = ""
        if len(there) < len(numbers):
            wrong = "one of its packets comes twice"
        elif missing is not None:
            wrong = f"packet {missing:,} is in no channel"
        elif [number for number, config in rows if config] != [last]:
            wrong = f"not the last packet, {last:,}, has the configuration, or others have one"
        if wrong:
            message = f"of device {shown(key[0])} {wrong}"
            checks.context.report(clause, checks.layer, message, offset=at, expected=f"0 to {last}, the last with it")
