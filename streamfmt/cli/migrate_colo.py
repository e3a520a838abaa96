"""`--colo` of `migrate send` and `receive`: a guest that runs on both sides, whose outputs are compared."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from ..engine import control, orders
from ..engine.checkpointing.devices import Devices, HeldOutput
from ..engine.colo.compared import Compared, Forwarded, Packets, console
from ..engine.colo.party import INTERVAL, Colo
from ..engine.colo.primary import Primary
from ..engine.colo.secondary import Secondary
from ..engine.interface import End, Guest
from ..engine.receiving import Make
from ..engine.sending import Way
from ..engine.side import Asked
from ..engine.transport.ends import Listener, connect, listen
from ..engine.waiting import Waiter
from ..errors import GuestError, MigrationError, TakenOverError
from . import migrate_guest as options
from . import migrate_remus as remus
from .migrate_shown import Recorder, Shown

# Seconds between two looks at what a guest puts out, once nothing is compared.
_LOOK = 0.01
_PACKETS = "where what both guests write to their consoles is compared: the receiver listens there"


def add_sending(parser: argparse.ArgumentParser) -> None:
    """What the primary takes, besides what it takes for Remus."""
    add = parser.add_argument_group("COLO: the guest runs on both sides, and is seen on this one").add_argument
    add("--colo", action="store_true", help="protect it with the secondary at URI, which runs along")
    words = f"the longest time between two checkpoints (default: {INTERVAL:g}s); a difference makes one at once"
    add("--longest", metavar="TIME", type=options.typed(orders.downtime), default=INTERVAL, help=words)
    add("--packets", metavar="URI", help=_PACKETS)


def add_receiving(parser: argparse.ArgumentParser) -> None:
    """What the secondary takes."""
    add = parser.add_argument_group("COLO: the guest runs on both sides").add_argument
    add("--colo", action="store_true", help="be the secondary of a guest that send --colo protects")
    add("--packets", metavar="URI", help=_PACKETS)
    add("--output", metavar="FILE", help="where what the guest writes to its console goes, once it is alone")


def wrong(args: argparse.Namespace) -> str:
    """What of these options cannot be together, in words; empty if all is well."""
    if not args.colo:
        return "--packets: only with --colo" if args.packets else ""
    if args.remus or args.qemu or args.by_descriptor or options.is_file(args.uri):
        return "--colo: not with --remus, --qemu or --by-descriptor, and not to a file"
    return "--packets: only with --output" if args.packets and not args.output else ""


def _writer(path: str, opened: ExitStack) -> Callable[[bytes], None]:
    """What writes to a file, or to standard output.  Raises OSError."""
    target = sys.stdout.buffer if path == "-" else open(path, "wb")  # noqa: SIM115 - closed by the stack
    if path != "-":
        opened.callback(target.close)

    def give(data: bytes) -> None:
        target.write(data)
        target.flush()

    return give


def _console(guest: Callable[[], Guest | None]) -> Callable[[], bytes]:
    """What gives a guest's console, once there is one.  Raises GuestError when it has none."""

    def take() -> bytes:
        found = guest()
        if found is None:
            return b""
        if not isinstance(found, remus.Talking):
            raise GuestError("a guest of this kind has no console")
        return found.console()

    return take


def _packets(take: Callable[[], bytes]) -> Callable[[], Iterable[bytes]]:
    return lambda: [data] if (data := take()) else []


def send(
    args: argparse.Namespace,
    shown: Shown,
    opened: ExitStack,
    waiter: Waiter,
    guest: Guest,
    end: End,
    way: Way,
    recorder: Recorder | None,
) -> int:
    """Protect a guest as was asked for; returns the exit status.  Raises MigrationError, OSError."""
    colo = _primary(args, guest, opened, waiter)

    def progress() -> None:
        if not side.epochs.count:
            shown.progress(side.statistics)

    side = Primary(guest, end, way, colo, Asked(waiter, options.patience(args), shown, recorder, progress))
    if args.control:
        served = control.Control(args.control, waiter, way.orders, lambda: remus.figures(side))
        opened.callback(served.close)
    try:
        side.protect()
    except MigrationError as error:
        remus.said(side.epochs, args, shown)
        made = isinstance(error, TakenOverError) and args.checkpoints and args.checkpoints == side.epochs.count - 1
        status = 0 if made else shown.fail(error)
    remus.judged(side.verdicts, shown)
    end.close()  # so that a secondary that is there still knows
    until = None if args.run is None else waiter.clock() + args.run
    while guest.running and (until is None or waiter.clock() < until):
        waiter.sleep(waiter.clock() + _LOOK)
        colo.devices.release()
    return status


def _primary(args: argparse.Namespace, guest: Guest, opened: ExitStack, waiter: Waiter) -> Colo:
    """How it is protected.  Raises LinkError, GuestError, OSError."""
    witness, most = remus.witness(args), args.checkpoints
    if not args.output:
        return Colo(args.longest, witness=witness, most=most)
    take, give = _console(lambda: guest), _writer(args.output, opened)
    if not args.packets:
        return Colo(args.longest, Devices([HeldOutput(take, give)]), witness, most=most)
    compared = Compared(_packets(take), give, waiter.clock, classify=console)
    link = Packets(connect(args.packets, waiter, waiter.clock() + args.time_out), waiter, compared.theirs)
    opened.callback(link.close)
    return Colo(args.longest, Devices([compared]), witness, compared.diverged, most=most)


def listening(args: argparse.Namespace, waiter: Waiter, shown: Shown, opened: ExitStack) -> Listener | None:
    """Where the primary's packets link comes, if there is to be one.  Raises LinkError."""
    if not args.packets:
        return None
    listener = listen(args.packets, waiter, waiter.clock() + args.time_out)
    opened.callback(listener.close)
    return listener


def secondary(
    args: argparse.Namespace, end: End, make: Make, asked: Asked, opened: ExitStack, packets: Listener | None
) -> Secondary:
    """The secondary as was asked for.  Raises LinkError, LateError, OSError."""
    devices, poll = Devices(), lambda: None
    if args.output:
        take, give = _console(lambda: side.guest), _writer(args.output, opened)
        send: Callable[[bytes], None] = _nowhere
        if packets is not None:
            link = Packets(packets.accept(asked.waiter, asked.waiter.clock() + args.time_out), asked.waiter)
            opened.callback(link.close)
            send = link.send
        forwarded = Forwarded(_packets(take), give, send)
        devices, poll = Devices([forwarded]), forwarded.poll
    side = Secondary(end, make, Colo(devices=devices, witness=remus.witness(args), poll=poll), asked)
    return side


def stand_by(side: Secondary, shown: Shown) -> Guest:
    """Stand by; returns the guest that runs here then.  Raises MigrationError."""
    try:
        return side.stand_by()
    finally:
        remus.judged(side.verdicts, shown)


def _nowhere(data: bytes) -> None:
    """Nobody compares it."""
