"""Devices that are served elsewhere over vfio-user, and move with the guest of `migrate send` and `receive`."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ..engine.interface import Guest
from ..engine.vfio.device import PAGE
from ..engine.vfio.loading import StatesLoader
from ..engine.vfio.saving import StatesSaver
from ..engine.vfio.user_client import PATIENCE, RemoteDevice
from ..engine.waiting import Waiter
from ..errors import DeviceError
from ..schema import vfio

# The slot of the first device on the bus of the guest's machine: the names of their sections have it.
_SLOT = 5
# Frames that each device has for its DMA: beyond what workloads write, and below what a guest has for itself.
_FRAMES, _PART, _OF = 16, 3, 4


def add(group: argparse._ArgumentGroup) -> None:
    """What both verbs take."""
    group.add_argument(
        "--device",
        metavar="SOCKET",
        action="append",
        default=[],
        help="a device that is served there, over vfio-user, moves with the guest; may come again",
    )


def devices(paths: Sequence[str], waiter: Waiter, opened: ExitStack) -> list[RemoteDevice]:
    """The devices at these sockets, which stay connected until all ends.

    :raises OSError: nobody serves there; MigrationError: what is served is no such device, or they cannot go together.
    """
    found = []
    for path in paths:
        link = opened.enter_context(socket.socket(socket.AF_UNIX))
        link.connect(path)
        found.append(RemoteDevice(link, waiter, PATIENCE))
    if len(found) > 1 and not all(device.flags & vfio.CAN_P2P for device in found):
        raise DeviceError("VFIO2-P2P-MULTI", "of several devices all have to have P2P")
    return found


def _name(number: int) -> str:
    return f"0000:00:{_SLOT + number:02x}.0/{vfio.SECTION.decode()}"


def _first(guest: Guest, number: int) -> int:
    """The first frame that a device's DMA goes to."""
    return guest.pages * _PART // _OF + number * _FRAMES


def give(found: Sequence[RemoteDevice], guest: Guest) -> int:
    """Give each device its part of the guest's memory; returns how many frames each has, 0 if none has any."""
    if guest.descriptor < 0 or guest.pages < _OF * _FRAMES * (len(found) + 1):
        return 0
    for number, device in enumerate(found):
        device.map(guest.descriptor, _FRAMES * PAGE, _first(guest, number) * PAGE)
    return _FRAMES


def savers(found: Sequence[RemoteDevice], guest: Guest, switchover: bool) -> tuple[StatesSaver, ...]:
    """What saves them."""
    frames = give(found, guest)
    return tuple(
        StatesSaver(_name(number), device, frames, first=_first(guest, number), switchover=switchover)
        for number, device in enumerate(found)
    )


def loaders(found: Sequence[RemoteDevice]) -> tuple[StatesLoader, ...]:
    """What loads them."""
    return tuple(StatesLoader(_name(number), device) for number, device in enumerate(found))


def giving(found: Sequence[RemoteDevice], make: Callable[[int], Guest]) -> Callable[[int], Guest]:
    """What makes a guest, and gives the devices their part of its memory."""

    def made(pages: int) -> Guest:
        guest = make(pages)
        try:
            give(found, guest)
        except BaseException:
            guest.close()
            raise
        return guest

    return made
