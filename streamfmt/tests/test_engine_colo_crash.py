"""Wherever a side of COLO dies, or the link: one guest goes on, sound; and nothing is seen that nobody has the past of.

STREAMFMT_HYPOTHESIS=thorough has more examples, and a hundred thousand checkpoints.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ..engine.checkpointing import witness as witnesses
from ..engine.checkpointing.devices import Devices
from ..engine.colo import messages
from ..engine.colo.compared import Compared, Forwarded
from ..engine.colo.party import Colo
from ..engine.colo.secondary import Secondary
from ..engine.guest.model import Model
from ..engine.interface import Guest
from ..errors import LinkError, MigrationError, TakenOverError
from .support import colo_side
from .support.colo import Pair, paired
from .support.colo_script import FIRST, SUSPENDED, Recorded, primary, secondary, small
from .support.cutting import Cut
from .support.kill_points import environment
from .support.moving import working

_THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded()


@settings(max_examples=3000 if _THOROUGH else 60, deadline=None)
@given(data=st.data())
def test_wherever_the_stream_ends(recorded: Recorded, data: st.DataObject) -> None:
    """The primary dies at any byte: the secondary has the last whole checkpoint, or no guest before the first."""
    edges = [at + more for name in ("CHECKPOINT", "CHECKPOINT_END") for at in recorded.places[name] for more in (7, 8)]
    at = data.draw(st.integers(0, len(recorded.stream)) | st.sampled_from(edges))
    whole = sum(at >= end + 8 for end in recorded.places["CHECKPOINT_END"])
    played = secondary(recorded.stream[:at], after="end")
    side, guest = played.side, played.side.guest

    assert isinstance(side, Secondary)
    assert played.completions == [played.error]
    assert side.count == whole
    assert side.machine.state == ("survived" if whole else "destroyed")
    if not whole:
        assert isinstance(played.error, LinkError)
        return
    assert isinstance(guest, Model)
    assert guest.running
    guest.pause()
    assert guest.digest() == recorded.digests[whole - 1]
    assert guest.broken() == []
    # Not more than the pages that the guest can have written waited for any checkpoint to be whole.
    assert side.most <= 9 * 4096 + 4096
    guest.close()


def _list(*frames: int) -> bytes:
    return b"".join(messages.dirty(sum(1 << frame for frame in frames)))


@settings(max_examples=300 if _THOROUGH else 20, deadline=None)
@given(at=st.integers(0, len(FIRST + SUSPENDED) + 24))
def test_wherever_the_back_channel_ends(at: int) -> None:
    """The secondary dies at any byte of what it says: the primary's guest goes on."""
    if at < len(FIRST):
        played = primary(FIRST[:at], end="end")
    else:
        played = primary(FIRST, (SUSPENDED + _list(3, 5))[: at - len(FIRST)], end="later")
    guest = played.side.guest
    assert isinstance(guest, Model)
    assert played.side.machine.state == "kept"
    assert isinstance(played.error, MigrationError)
    assert guest.running
    guest.pause()
    assert guest.broken() == []
    guest.close()


@settings(max_examples=1000 if _THOROUGH else 20, deadline=None)
@given(data=st.data(), noise=st.binary(max_size=40), at=st.integers(0, 1 << 20))
def test_whatever_comes(recorded: Recorded, data: st.DataObject, noise: bytes, at: int) -> None:
    """Bytes that are changed in the stream, or on the back channel: each side ends once, and with an error of ours."""
    stream = recorded.stream
    edges = [place for rows in recorded.places.values() for place in rows]
    place = data.draw(st.sampled_from(edges) | st.just(at % len(stream)))
    played = secondary(stream[:place] + noise + stream[place + len(noise) :], after="end")
    assert played.completions == [played.error]
    assert played.side.machine.state in ("survived", "destroyed")
    assert (played.error is None) == (played.side.machine.state == "survived")
    assert played.error is None or isinstance(played.error, MigrationError)
    if played.error is None:
        assert played.side.guest is not None
        played.side.guest.close()

    said = FIRST + SUSPENDED + _list(3, 5)
    place = at % len(said)
    said = said[:place] + noise + said[place + len(noise) :]
    played = primary(said[: len(FIRST)], said[len(FIRST) :], end="later")
    assert isinstance(played.error, MigrationError)
    assert played.completions == [played.error]
    assert played.side.machine.state == "kept"
    assert isinstance(played.side.guest, Model)
    assert played.side.guest.running
    played.side.guest.close()


class Counting:
    """What a guest puts out: a packet with the number of its writes, whenever it is asked."""

    def __init__(self, guest: Callable[[], Guest | None]) -> None:
        self._guest = guest
        self.seen: list[int] = []

    def take(self) -> Iterator[bytes]:
        guest = self._guest()
        if isinstance(guest, Model) and not guest._closed:
            yield guest.done.to_bytes(8, "big")

    def give(self, packet: bytes) -> None:
        self.seen.append(int.from_bytes(packet, "big"))


def _cut(at: int, back: bool, witness: witnesses.Witness, rounds: int = 6) -> tuple[Pair, Counting]:
    """Both sides, with compared outputs, and a link that is cut."""
    guest, pairs = small(), list[Pair]()
    output = Counting(lambda: guest)
    compared = Compared(output.take, output.give, time.monotonic)
    there = Counting(lambda: pairs[0].secondary.guest)
    there.seen = output.seen  # the same network
    came: deque[bytes] = deque()  # from the secondary's thread
    forwarded = Forwarded(there.take, there.give, came.append)

    def diverged() -> str:
        while came:
            compared.theirs(came.popleft())
        return compared.diverged()

    link = Cut(at, back)
    pair = paired(
        guest,
        rounds,
        ours=Colo(0.002, Devices([compared]), witness, diverged),
        theirs=Colo(devices=Devices([forwarded]), witness=witness),
        each=pairs.append,
        between=link,
    )
    link.close()
    return pair, output


@settings(max_examples=500 if _THOROUGH else 15, deadline=None)
@given(at=st.integers(0, 250_000), back=st.booleans(), few=st.integers(0, 400))
@example(at=130_000, back=False, few=0)
@example(at=0, back=False, few=0)
def test_a_link_that_is_cut(tmp_path_factory: pytest.TempPathFactory, at: int, back: bool, few: int) -> None:
    """With a witness exactly one guest goes on, wherever it was cut; what was seen is of its past."""
    witness = witnesses.File(tmp_path_factory.mktemp("witness") / "it")
    pair, output = _cut(few if back else at, back, witness)
    ours, theirs = pair.primary.guest, pair.secondary.guest
    runs = [bool(pair.taken and pair.taken.running), ours.running]

    assert sum(runs) == 1
    alive = theirs if runs[0] else ours
    assert isinstance(alive, Model)
    alive.pause()
    assert alive.broken() == []
    assert all(number <= alive.done for number in output.seen)
    assert all(earlier <= later for earlier, later in pairwise(output.seen))
    assert isinstance(pair.error, TakenOverError) == runs[0]
    ours.close()
    if isinstance(theirs, Model) and not theirs._closed:
        theirs.close()


@pytest.mark.parametrize("victim", ["primary", "secondary"])
def test_a_side_that_is_killed(victim: str) -> None:
    """A process with one side, killed while checkpoints come: the other goes on within 50 ms of that."""
    here, there = socket.socketpair()
    command = [sys.executable, "-m", colo_side.__name__, victim, str(there.fileno())]
    child = subprocess.Popen(command, pass_fds=[there.fileno()], env=environment())
    there.close()
    found: list[float] = []
    seen: list[int] = []

    def happened(number: int) -> None:
        seen.append(number)
        if len(seen) == 20:
            child.kill()
            child.wait(20)
            found.append(time.monotonic())

    state, guest = colo_side.play("primary" if victim == "secondary" else "secondary", here, happened)
    took = time.monotonic() - found[0]
    here.close()

    assert state == ("kept" if victim == "secondary" else "survived")
    assert guest.running
    assert took < 0.5  # 50 ms on a machine that does nothing else
    guest.pause()
    assert guest.broken() == []
    guest.close()


def test_many_checkpoints_leave_nothing() -> None:
    """Neither memory nor descriptors grow with their number: a hundred thousand in the thorough run."""
    count = 100_000 if _THOROUGH else 600
    sizes: dict[int, tuple[int, int]] = {}

    def note(number: int) -> None:
        if number in (count // 3, count - 1):
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
            sizes[number] = resident, len(os.listdir("/proc/self/fd"))

    pair = paired(working(), count, before=note, kept=False)
    first, last = sizes.values()

    assert pair.secondary.count == count + 1
    assert last[1] <= first[1]
    assert last[0] < first[0] + (4 << 20)
    assert isinstance(pair.taken, Model)
    pair.taken.pause()
    assert pair.taken.broken() == []
    pair.close()
