"""An emulator beside the guest that is sent, and how it logs what it writes: options of `migrate send` and `demo`."""

from __future__ import annotations

import argparse

from ..engine.emulator.dma import Ring
from ..engine.emulator.handle import RATE, Emulator
from ..engine.guest.programs import FIRST
from ..engine.interface import Guest
from ..engine.local_sockets import private_folder
from ..engine.logdirty.forms import FORMS, MONITOR
from ..engine.waiting import Waiter
from ..errors import GuestError
from . import migrate_guest as options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import ExitStack

# Frames that only the emulator writes: a quarter of the guest's at most, its last ones.
_RING = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether there is one."""
    parser.add_argument(
        "--logdirty",
        choices=FORMS,
        help="have an emulator, a process of its own, write memory as well, and log that as with this Xen",
    )
    parser.add_argument(
        "--emulator-rate",
        metavar="N",
        type=options.rate,
        default=RATE,
        help="pages that the emulator writes a second (default: %(default)g)",
    )
    parser.add_argument(
        "--xenstore", metavar="PATH", help="the socket of the xenstore they talk through (default: one of their own)"
    )


def beside(args: argparse.Namespace, guest: Guest, waiter: Waiter, opened: ExitStack) -> Guest:
    """The guest, with an emulator if one was asked for; it runs.

    :raises GuestError: the emulator cannot be had with this guest; LinkError: there is no such xenstore.
    """
    if args.logdirty is None:
        return guest
    if guest.types() is not None:
        raise GuestError(f"a guest of type {guest.type} has no emulator that writes its memory")
    # Few have one, and those that have none should not wait for this.
    from ..engine.emulated import Emulated
    from ..engine.xenstore.client import Client
    from ..engine.xenstore.server import in_process

    form = FORMS[args.logdirty]
    count = min(_RING, guest.pages // 4)
    ring = Ring(guest.pages - count, count)
    if FIRST + args.working_set > ring.first:
        raise GuestError(
            f"the emulator writes the last {count} of {guest.pages} frames: the guest's own reach into them"
        )
    folder = opened.enter_context(private_folder())
    store = monitor = ""
    if form.way == MONITOR:
        monitor = f"{folder}/monitor"
    elif not (store := args.xenstore or ""):
        store = f"{folder}/xenstore"
        opened.enter_context(in_process({0: store}))
    emulator = Emulator(guest, form.name, ring, rate=args.emulator_rate, store=store, monitor=monitor)
    opened.callback(emulator.close)
    client = Client(store) if store else None
    if client:
        opened.callback(client.close)
    found = Emulated(guest, emulator, waiter, client)
    emulator.resume()
    return found
