"""COLO between us and libxenguest, which knows no libxl: images, checkpoints and lists, as xenpeer's two ends do.

Memory is compared after the last checkpoint, for many numbers of checkpoints.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ..conformance.peers import RELEASES, XENPEER, require
from ..engine.checkpointing.devices import Devices
from ..engine.colo.party import Colo
from ..engine.colo.primary import Primary
from ..engine.colo.secondary import Secondary
from ..engine.configuration import Configuration
from ..engine.framing_xen import PAGE
from ..engine.guest.model import Model
from ..engine.guest.model_workload import Workload
from ..engine.guest.models import model
from ..engine.interface import Guest
from ..engine.orders import Orders
from ..engine.side import Asked
from ..engine.transport.ends import connect
from ..engine.waiting import Waiter
from ..errors import LinkError, TakenOverError
from .support import peers
from .support.colo_script import Step, frozen
from .support.moving import QUICK, way
from .support.same_memory import ZERO, assert_equal

PAGES, DIRTY = 1024, 3
EACH = pytest.mark.parametrize("release", RELEASES)
ROUNDS = pytest.mark.parametrize("rounds", [1, 2, 7, 100])


@dataclass
class Peer:
    """A xenpeer that is one of the ends, and the link to it."""

    process: subprocess.Popen[bytes]
    waiter: Waiter
    uri: str
    dump: Path

    def pages(self) -> dict[int, bytes]:
        """What its guest has, by PFN, but for pages of zeros."""
        self.process.wait(20)
        data = self.dump.read_bytes()
        pages = {at // PAGE: data[at : at + PAGE] for at in range(0, len(data), PAGE)}
        return {frame: page for frame, page in pages.items() if page != ZERO}


@contextmanager
def peer(release: str, folder: Path, *words: str, secondary: bool) -> Iterator[Peer]:
    """Start one; the descriptors of both pipes are closed by whoever takes the link."""
    forward, back = os.pipe(), os.pipe()
    theirs = (forward[0], back[1]) if secondary else (forward[1], back[0])
    ours = (back[0], forward[1]) if secondary else (forward[0], back[1])
    dump = folder / "dump"
    command = [require(XENPEER, release), *words, "--pages", str(PAGES), "--dirty", str(DIRTY)]
    command += ["--back", str(theirs[1]), "--dump", str(dump), "--json", str(folder / "json"), "-"]
    streams: dict[str, Any] = {"stdin" if secondary else "stdout": theirs[0]}
    with ExitStack() as opened:
        log = opened.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(command, pass_fds=[theirs[1]], stderr=log, **streams)
        opened.callback(process.wait, 20)
        opened.callback(process.kill)
        for descriptor in theirs:
            os.close(descriptor)
        if secondary:
            # It sends a last list, and takes it for its own end if nobody can read that.
            opened.callback(os.close, os.dup(ours[0]))
        waiter = Waiter()
        opened.callback(waiter.close)
        yield Peer(process, waiter, f"fd:{ours[0]},{ours[1]}", dump)


@dataclass
class Clock:
    """A clock that is set."""

    now: float = 0.0
    events: list[Any] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now


@pytest.mark.peer
@EACH
@ROUNDS
def test_our_primary_and_its_secondary(release: str, rounds: int, tmp_path: Path) -> None:
    """Its memory is what our guest's was at the last checkpoint; from 4.18 on its lists are those with zeros."""
    peers.require(XENPEER, release)
    clock, orders = Clock(), Orders()
    guest = model(PAGES, "hvm", clock=clock)
    guest.boot(Workload.of(32, 20_000.0, "scattered"), filled=40)
    guest.resume()

    def happened(event: Any) -> None:
        clock.events.append(event)
        if event["event"] == "checkpoint":
            if event["number"] == rounds:
                orders.cancelled = "so many were wanted"
            else:
                clock.now += 0.0003

    with peer(release, tmp_path, "restore", "--colo", secondary=True) as found:
        end = connect(found.uri, found.waiter)
        primary = Primary(guest, end, way(orders=orders), Colo(0.0, bare=True), Asked(found.waiter, QUICK, happened))
        with pytest.raises(TakenOverError):
            primary.protect()
        end.close()
        pages = found.pages()

    checkpoints = [event for event in clock.events if event["event"] == "checkpoint"]
    assert [event["theirs"] for event in checkpoints] == [0, *[DIRTY] * rounds]
    assert any(event["frames"] > DIRTY for event in checkpoints[1:])
    assert_equal(guest, pages)
    findings = [event["clause"] for event in clock.events if event["event"] == "finding"]
    assert findings == (["COLO-DIRTY-HDR"] if release == RELEASES[-1] else [])
    guest.close()


class _Writing(Step):
    """A device that has a guest write whenever it is suspended, so that the primary has to mend that."""

    guest: Model | None = None

    def postsuspend(self) -> None:
        """Write frames that the primary does not, and one that it does."""
        assert self.guest is not None
        for frame in (0, 20, 101):
            self.guest.memory[frame * PAGE : frame * PAGE + 8] = b"not this"
            self.guest.dirty.note(1 << frame)


@pytest.mark.peer
@EACH
@ROUNDS
def test_its_primary_and_our_secondary(release: str, rounds: int, tmp_path: Path) -> None:
    """Our memory is what its guest's was, although ours has written all the time."""
    peers.require(XENPEER, release)
    writing = _Writing()

    def make(kind: str, config: Configuration) -> Model:
        writing.guest = model(config.pages, kind, clock=frozen)
        return writing.guest

    last = bytearray((PAGES + 64) * PAGE)

    def inspect(guest: Guest) -> None:
        last[:] = guest.memory

    with peer(release, tmp_path, "save", "--holes", "0", "--colo", str(rounds), secondary=False) as found:
        end = connect(found.uri, found.waiter)
        secondary = Secondary(
            end,
            make,
            Colo(devices=Devices([writing]), bare=True),
            Asked(found.waiter, QUICK),
            inspect=inspect,
            configuration=Configuration("guest", "hvm", PAGES + 64),
        )
        guest = secondary.stand_by()
        end.close()
        pages = found.pages()

    assert guest.running
    assert isinstance(secondary.lost, LinkError)
    assert secondary.count == rounds
    ours = [bytes(last[frame * PAGE : (frame + 1) * PAGE]) for frame in range(PAGES)]
    assert [frame for frame in range(PAGES) if ours[frame] != pages.get(frame, ZERO)] == []
    guest.close()
