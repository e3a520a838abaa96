"""What `migrate send` and `migrate receive` do with --qemu: QEMU is at the other end of the link.

Both verbs call these once the link is there; --store and --play need no guest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from ..engine import qemu_stored
from ..engine.flow import Watcher
from ..engine.framing_qemu import COMMON, SHAPES
from ..engine.interface import End, Guest
from ..engine.orders import Orders
from ..engine.precopy import Settings
from ..engine.qemu_receiving import Received, Receiving, Taking
from ..engine.qemu_sending import Events, Sending, Terms
from ..engine.vfio.user_client import RemoteDevice
from ..engine.waiting import Waiter
from . import migrate_attached, migrate_guest

# What goes over the link where nothing else is said: a machine without a board, as `-M none` is.
_MACHINE = "none"


def add_sending(parser: argparse.ArgumentParser) -> None:
    """What `send` takes."""
    group = _group(parser)
    group.add_argument("--play", metavar="FILE", type=Path, help="send this stored stream, and make no guest")
    group.add_argument(
        "--release",
        choices=SHAPES,
        help="write the stream as this release of QEMU does (default: in a way that all of these load)",
    )
    group.add_argument(
        "--no-return-path", action="store_true", help="ask for no answer: a receiver that fails is not noticed"
    )
    group.add_argument(
        "--device-state", metavar="FILE", type=Path, help="send the devices in this stored stream or record too"
    )


def add_receiving(parser: argparse.ArgumentParser) -> None:
    """What `receive` takes."""
    group = _group(parser)
    group.add_argument("--store", metavar="FILE", type=Path, help="verify the stream and keep it here; make no guest")
    group.add_argument(
        "--machine",
        metavar="TYPE",
        default=_MACHINE,
        help="the machine type that a guest may come from; any for all with one block of memory (default: %(default)s)",
    )
    group.add_argument(
        "--device-state", metavar="FILE", type=Path, help="take a machine with devices, and keep their state here"
    )
    group.add_argument("--strict", action="store_true", help="refuse a stream that a warning is about")


def _group(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("with QEMU at the other end")
    group.add_argument("--qemu", action="store_true", help="speak QEMU's migration protocol")
    group.add_argument(
        "--switchover-ack", action="store_true", help="the other side has this capability on (QEMU 8.1 and later)"
    )
    migrate_attached.add(group)
    return group


def wrong(args: argparse.Namespace) -> str:
    """What is wrong with the options together; empty if nothing is."""
    named = {name: value for name, value in vars(args).items() if name in _ONLY and value and value != _MACHINE}
    if named and not args.qemu:
        return f"--{next(iter(named)).replace('_', '-')} needs --qemu"
    if args.qemu and getattr(args, "verify", False):
        return "--verify has no place in QEMU's format"
    if args.qemu and getattr(args, "type", "hvm") != "hvm":
        return "QEMU's machines are not of PV guests"
    if getattr(args, "play", None) and args.device_state:
        return "--play sends a stream as it is; --device-state is for a guest"
    if getattr(args, "store", None) and args.device_state:
        return "--store keeps all of the stream; take the devices out of it with streamfmt extract"
    if (getattr(args, "play", None) or getattr(args, "store", None)) and args.device:
        return "--device moves with a guest; --play and --store have none"
    return ""


_ONLY = ("play", "store", "release", "no_return_path", "device_state", "switchover_ack", "machine", "strict", "device")


def sending(
    args: argparse.Namespace,
    guest: Guest,
    end: End,
    waiter: Waiter,
    settings: Settings,
    orders: Orders,
    events: Events,
    watcher: Watcher | None = None,
    opened: ExitStack | None = None,
) -> Sending:
    """What sends a guest, with its figures; devices that are served elsewhere stay connected until `opened` ends.

    :raises UnplayableError: the devices cannot be had from the file; OSError: it cannot be read.
    """
    found = migrate_attached.devices(args.device, waiter, opened) if opened is not None else []
    return Sending(
        guest,
        end,
        waiter,
        Terms(
            settings,
            orders,
            SHAPES[args.release] if args.release else COMMON,
            not args.no_return_path and not migrate_guest.is_file(args.uri),
            args.switchover_ack,
            qemu_stored.devices(args.device_state) if args.device_state else None,
            patience=args.time_out,
            events=events,
            watcher=watcher,
            live=migrate_attached.savers(found, guest, args.switchover_ack),
        ),
    )


def play(args: argparse.Namespace, end: End, waiter: Waiter, orders: Orders, events: Events) -> int:
    """Send the stored stream; returns how many bytes were sent, and raises as :func:`qemu_stored.play`."""
    answered = not args.no_return_path and not migrate_guest.is_file(args.uri)
    return qemu_stored.play(
        args.play, end, waiter, return_path=answered, orders=orders, patience=args.time_out, events=events
    )


def receiving(
    args: argparse.Namespace,
    end: End,
    waiter: Waiter,
    events: Events,
    inspect: Callable[[Guest], None],
    watcher: Watcher | None = None,
    found: Sequence[RemoteDevice] = (),
) -> Receiving:
    """What receives a migration, with how many bytes have come; `found` are devices that are served elsewhere."""
    kept = args.device_state
    taking = Taking(
        patience=args.time_out,
        ready=args.switchover_ack,
        answering=not migrate_guest.is_file(args.uri),
        strict=args.strict,
        machine=None if args.machine == "any" else args.machine.encode(errors="surrogateescape"),
        devices=(lambda rows: qemu_stored.store_devices(kept, rows)) if kept else None,
        inspect=inspect,
        start=not args.paused,
        events=events,
        watcher=watcher,
        live=migrate_attached.loaders(found),
    )
    return Receiving(end, waiter, taking)


def received(args: argparse.Namespace, side: Receiving, make: Callable[[int], Guest]) -> Received:
    """Receive it into a file, or into a guest that `make` makes of so many pages.

    It raises as :meth:`streamfmt.engine.qemu_receiving.Receiving.store` and ``receive``.
    """
    return side.store(args.store) if args.store else side.receive(make)
