"""What guests with a processor send is taken by Xen's own readers, with the same memory; `make peers` brings those."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ..conformance.peers import RELEASES, XENPEER
from ..conformance.restored import taken
from ..engine.guest.kinds import Local
from ..engine.guest.kvm import KvmGuest
from ..engine.guest.memory import PAGE
from ..engine.guest.process import ProcessGuest
from ..engine.guest.programs import Work
from .support import peers
from .support.guests import need
from .support.moved import image

KINDS: dict[str, Callable[..., Local]] = {"kvm": KvmGuest, "process": ProcessGuest}


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_c_reader_takes_it(kind: str, release: str) -> None:
    """State and policies included, with memory as it is here."""
    peers.require(XENPEER, release)
    need(kind)
    guest = KINDS[kind](512, [Work(pages=64, stride=5), Work("idle")])
    try:
        guest.resume()
        time.sleep(0.01)
        guest.pause()

        read = taken("hvm", image(guest), release)

        assert read.accepted, read.log
        theirs = {frame: page for frame, page in read.pages.items() if any(page) and frame < guest.pages}
        ours = {at: bytes(guest.memory[at * PAGE : (at + 1) * PAGE]) for at in range(guest.pages)}
        assert theirs == {frame: page for frame, page in ours.items() if any(page)}
    finally:
        guest.close()
