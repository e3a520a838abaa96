"""`--remus` of `migrate send` and `receive`: a guest that is protected by a standby, and that standby."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from ..engine import control, orders
from ..engine.checkpointing.devices import Device, Devices, HeldOutput
from ..engine.checkpointing.disk import Disk, Replica
from ..engine.checkpointing.epochs import Epochs
from ..engine.checkpointing.primary import Remus, RemusPrimary
from ..engine.checkpointing.standby import RemusStandby
from ..engine.checkpointing.witness import File, Nobody, Witness
from ..engine.interface import End, Guest
from ..engine.machine import Machine
from ..engine.sending import Way
from ..engine.side import Asked
from ..engine.statistics import Statistics
from ..engine.waiting import Waiter
from ..errors import GuestError, MigrationError, TakenOverError
from . import migrate_guest as options
from .migrate_shown import Recorder, Shown, mebibytes, milliseconds

# Seconds between two looks at what a guest puts out, once nothing is held.
_LOOK = 0.01


@runtime_checkable
class Talking(Protocol):
    """What a guest has besides that writes to a console."""

    def console(self) -> bytes:
        """What it wrote there since this was last asked."""


class Protecting(Protocol):
    """A primary, of either way to protect a guest."""

    epochs: Epochs
    machine: Machine

    @property
    def statistics(self) -> Statistics:
        """The figures of the first copy of memory."""


def add_sending(parser: argparse.ArgumentParser) -> None:
    """What the primary takes."""
    add = parser.add_argument_group("Remus: checkpoints to a standby that takes over if this side dies").add_argument
    words = "protect it with the standby at URI: a checkpoint, then so long until the next, such as 25ms"
    add("--remus", metavar="INTERVAL", type=options.typed(orders.downtime), help=words)
    add("--checkpoints", metavar="N", type=int, default=0, help="end after so many; the standby takes over then")
    add("--unacknowledged", action="store_true", help="the standby is Xen's, which acknowledges no checkpoint")
    _add_witness(parser)
    _add_disk(parser)
    words = "where what the guest writes to its console goes once it is safe (- is standard output)"
    add("--output", metavar="FILE", help=words)
    words = "for how long it goes on here when its standby has gone (default: until interrupted)"
    add("--run", metavar="SECONDS", type=float, help=words)
    add("--figure", metavar="FILE", help="draw the checkpoints there, as SVG")


def add_receiving(parser: argparse.ArgumentParser) -> None:
    """What the standby takes."""
    parser.add_argument("--remus", action="store_true", help="stand by for a guest that send --remus protects")
    _add_witness(parser)
    _add_disk(parser)


def _add_disk(parser: argparse.ArgumentParser) -> None:
    words = "with --remus: the image of a disk, the same at both sides, to which the guest's console is appended"
    parser.add_argument("--disk", metavar="FILE", type=Path, help=words)


def disk(args: argparse.Namespace, opened: ExitStack) -> Replica | None:
    """The standby's copy of the disk.  Raises GuestError."""
    if args.disk is None:
        return None
    found = Replica(args.disk)
    opened.callback(found.close)
    return found


def _add_witness(parser: argparse.ArgumentParser) -> None:
    words = "with --remus: a file, which both sides reach, that says who goes on when the link fails"
    parser.add_argument("--witness", metavar="FILE", type=Path, help=words)


def wrong(args: argparse.Namespace) -> str:
    """What of these options cannot be together, in words; empty if all is well."""
    if args.colo:
        return ""
    asked = args.remus is not None and args.remus is not False
    needs = ("witness", "checkpoints", "unacknowledged", "output", "figure", "disk")
    without = [f"--{name}" for name in needs if getattr(args, name, None)]
    if not asked:
        return f"{', '.join(without)}: only with --remus" if without else ""
    if args.qemu or options.is_file(args.uri):
        return "--remus: neither to QEMU nor to a file"
    if args.remus is not True and args.remus >= args.time_out:
        return "--remus: the interval has to be less than --time-out, or a standby believes that the primary has gone"
    if args.disk and getattr(args, "unacknowledged", False):
        return "--disk: Xen's standby does not take its records (--remus --unacknowledged)"
    return "--remus: not with --by-descriptor" if args.by_descriptor else ""


def witness(args: argparse.Namespace) -> Witness:
    """Who decides.  Raises LinkError if that has been decided before."""
    if args.witness is None:
        return Nobody()
    found = File(args.witness)
    found.fresh()
    return found


def remus(args: argparse.Namespace, guest: Guest, opened: ExitStack) -> Remus:
    """How it is protected.  Raises LinkError, GuestError, OSError."""
    devices: list[Device] = []
    if args.output or args.disk:
        if not isinstance(guest, Talking):
            raise GuestError(f"a guest of kind {args.guest} has no console")
        console = guest.console
        written = None
        if args.disk:
            written = Disk(args.disk)
            opened.callback(written.close)

        def take() -> bytes:
            data = console()
            if written is not None:
                written.append(data)
            return data

        devices.append(HeldOutput(take, _given(args.output, opened)))
        devices += [written] if written is not None else []
    return Remus(args.remus, not args.unacknowledged, Devices(devices), witness(args), args.checkpoints)


def _given(path: str | None, opened: ExitStack) -> Callable[[bytes], None]:
    """What takes output that is safe.  Raises OSError."""
    if not path:
        return lambda data: None
    target: BinaryIO = sys.stdout.buffer if path == "-" else open(path, "wb")  # noqa: SIM115 - closed with the rest
    if path != "-":
        opened.callback(target.close)

    def give(data: bytes) -> None:
        target.write(data)
        target.flush()

    return give


def run(
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

    def progress() -> None:
        if not side.epochs.count:
            shown.progress(side.statistics)

    asked = Asked(waiter, options.patience(args), shown, recorder, progress)
    side = RemusPrimary(guest, end, way, remus(args, guest, opened), asked)
    if args.control:
        served = control.Control(args.control, waiter, way.orders, lambda: figures(side))
        opened.callback(served.close)
    return protect(side, end, args, shown, waiter)


def protect(side: RemusPrimary, end: End, args: argparse.Namespace, shown: Shown, waiter: Waiter) -> int:
    """Protect a guest, and let it run on if its standby goes; returns the exit status."""
    status = _protected(side, args, shown)
    judged(side.verdicts, shown)
    if side.machine.state == "taken over":
        return status
    end.close()  # so that a standby that is there still knows
    until = None if args.run is None else waiter.clock() + args.run
    while side.guest.running and (until is None or waiter.clock() < until):
        waiter.sleep(waiter.clock() + _LOOK)
        side.remus.devices.release()
    return status


def judged(verdicts: dict[str, str], shown: Shown) -> None:
    """Print what the other side has kept or broken."""
    shown({"event": "verdict", "seconds": 0.0, "clauses": verdicts})
    if not shown.as_json:
        shown.close()
        print(*(f"{shown.side}: clause {name}: {words}" for name, words in verdicts.items()), sep="\n", flush=True)


def stand_by(side: RemusStandby, shown: Shown) -> Guest:
    """Stand by; returns the guest that runs here then.  Raises MigrationError."""
    try:
        return side.stand_by()
    finally:
        judged(side.verdicts, shown)


def _protected(side: RemusPrimary, args: argparse.Namespace, shown: Shown) -> int:
    """Protect a guest until that ends; returns the exit status."""
    try:
        side.protect()
    except TakenOverError as error:
        said(side.epochs, args, shown)
        if args.checkpoints == side.epochs.count:
            return 0
        return shown.fail(error)
    except MigrationError as error:
        said(side.epochs, args, shown)
        return shown.fail(error)


def said(epochs: Epochs, args: argparse.Namespace, shown: Shown) -> None:
    """Print and draw the figures."""
    if args.figure:
        from ..engine.checkpointing.figure import drawn

        Path(args.figure).write_text(drawn(epochs), encoding="utf-8")
    shown({"event": "protected", "seconds": 0.0, "figures": epochs.figures()})
    if shown.as_json:
        return
    shown.close()
    print(f"{shown.side}:", *summary(epochs), sep="\n", flush=True)


def summary(epochs: Epochs) -> list[str]:
    """The figures of checkpoints, in lines."""
    if not epochs.count:
        return ["  no checkpoint was complete"]
    middle = epochs.medians()
    return [
        f"  {epochs.count:,} checkpoints, {mebibytes(epochs.sent)}",
        f"  of each, the median: {middle['frames']:,.0f} frames, stood {milliseconds(middle['stood'])}, "
        f"complete after {milliseconds(middle['latency'])}, held {mebibytes(middle['held'])} of output",
    ]


def figures(side: Protecting) -> dict[str, Any]:
    """What the control socket says."""
    return {**control.figures(side.statistics), **side.epochs.figures(), "state": side.machine.state}
