"""Wait for a guest, and run it.

URI is tcp:HOST:PORT, unix:PATH, exec:COMMAND or fd:N, where a sender comes:
`streamfmt migrate send`, or Xen's own `xl migrate`; or file:PATH, to restore
a saved guest, as `xl restore` does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from ..engine import control, entries, judging
from ..engine.checkpointing.standby import RemusStandby
from ..engine.colo.secondary import Secondary
from ..engine.guest.makes import Ready, empty
from ..engine.interface import Guest
from ..engine.orders import Orders
from ..engine.qemu_receiving import Receiving as FromQemu
from ..engine.receiving import Receiving, Taking
from ..engine.sending import Feeling
from ..engine.side import All, Asked
from ..engine.transport.ends import listen
from ..engine.vfio.user_client import RemoteDevice
from ..engine.waiting import Waiter
from ..errors import CancelledError, MigrationError
from . import inputs, migrate_attached, migrate_colo, migrate_qemu, migrate_remus
from . import migrate_guest as options
from . import migrate_links as links
from .migrate_send import add_common, checked
from .migrate_shown import Recorder, Shown

EXAMPLES = """examples:
  streamfmt migrate receive unix:/tmp/here
  streamfmt migrate receive tcp::4444 --record stream --check --run 10
  streamfmt migrate receive file:guest.sav --run 0 --check
  streamfmt migrate receive --qemu unix:/tmp/here --store guest.qevm
  streamfmt migrate receive --remus tcp::4444 --witness /net/guest
  streamfmt migrate receive --colo unix:/tmp/here --packets unix:/tmp/packets
  streamfmt migrate receive --qemu tcp::4444 --run 10
  xl migrate -s "" guest "streamfmt migrate receive fd:0,1 --run 60"

exit status: 0 a guest came, and ran; 1 none did, or it is broken; 2 wrong
usage; 3 a file cannot be written; 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", metavar="URI", help="where it comes")
    options.add_kind(parser)
    parser.add_argument("--paused", action="store_true", help="do not start it")
    parser.add_argument(
        "--run", metavar="SECONDS", type=options.seconds, help="end it after so long (default: when interrupted)"
    )
    parser.add_argument("--emulator", metavar="FILE", type=Path, help="where its device model's state goes")
    words = "have so much memory there before the guest comes, all of it: faster for a guest of that size"
    parser.add_argument("--prepare", metavar="SIZE", type=options.pages, default=0, help=words)
    add_common(parser)
    links.add_tls(parser, sender=False)
    links.add_by_descriptor(parser)
    migrate_qemu.add_receiving(parser)
    migrate_remus.add_receiving(parser)
    migrate_colo.add_receiving(parser)


def run(args: argparse.Namespace) -> int:
    if words := migrate_qemu.wrong(args) or links.wrong(args) or migrate_remus.wrong(args) or migrate_colo.wrong(args):
        inputs.say(f"streamfmt migrate receive: error: {words}")
        return 2
    shown = Shown("destination", args.json)
    with ExitStack() as opened:
        opened.callback(shown.close)
        try:
            opened.enter_context(links.printing(args.uri))
            return _run(args, shown, opened)
        except MigrationError as error:
            return shown.fail(error)
        except OSError as error:
            shown.fail(error)
            return 3


# Seconds between two looks at what a guest puts out.
_LOOK = 0.02


def _nothing() -> None:
    """There is nothing to look for."""


def _cancel() -> NoReturn:
    raise CancelledError("cancelled as asked")


def _run(args: argparse.Namespace, shown: Shown, opened: ExitStack) -> int:
    waiter = Waiter()
    opened.callback(waiter.close)
    recorder = None
    if args.record:
        recorder = Recorder(args.record)
        opened.callback(recorder.close)
    packets = migrate_colo.listening(args, waiter, shown, opened)
    listener = listen(args.uri, waiter, waiter.clock() + args.time_out, links.tls(args), links.refusing(shown))
    opened.callback(listener.close)
    ready = None if args.qemu else readied(args, opened)
    shown({"event": "listening", "seconds": 0.0, "uri": str(listener.uri)})
    end = listener.accept(waiter, None)
    opened.callback(end.close)

    def inspect(guest: Guest) -> None:
        if args.check:
            checked(guest, shown, True, None)

    if args.qemu:
        found = migrate_attached.devices(args.device, waiter, opened)
        from_qemu = migrate_qemu.receiving(args, end, waiter, shown, inspect, recorder, found)
        return _from_qemu(args, shown, opened, from_qemu, waiter, found)
    memory = links.take_over(args, end, waiter)
    taking = Taking(not args.paused, args.emulator, inspect)
    make = options.maker(args.guest, memory, ready)
    asked = Asked(waiter, options.patience(args), shown, All(recorder, shown.coming))
    side: Receiving | RemusStandby | Secondary
    if args.colo:
        side = migrate_colo.secondary(args, end, make, asked, opened, packets)
    elif args.remus:
        side = RemusStandby(end, make, taking, asked, migrate_remus.witness(args), migrate_remus.disk(args, opened))
    else:
        side = Receiving(end, make, taking, asked)

    def figures() -> dict[str, Any]:
        return {"received": side.input.received, "state": side.machine.state}

    if args.control:
        served = control.Control(args.control, waiter, Orders(), figures, _cancel)
        opened.callback(served.close)
    if isinstance(side, Secondary):
        guest = migrate_colo.stand_by(side, shown)
    elif isinstance(side, RemusStandby):
        guest = migrate_remus.stand_by(side, shown)
    else:
        guest = side.restore() if options.is_file(args.uri) else side.receive()
    opened.callback(guest.close)
    end.close()
    shown.close()
    return _runs(args, shown, guest, side.devices.release if isinstance(side, Secondary) else _nothing)


def readied(args: argparse.Namespace, opened: ExitStack) -> Ready:
    """What is done while nobody has come yet.  Raises GuestError."""
    ready = Ready(args.guest, args.prepare)
    opened.callback(ready.close)
    judging.warm()
    entries.warm()
    ready.started()
    return ready


def _runs(args: argparse.Namespace, shown: Shown, guest: Guest, look: Callable[[], None]) -> int:
    """Have it run for as long as was asked for, with a look at it now and then; returns the exit status."""
    until = None if args.run is None else time.monotonic() + args.run
    while until is None or (left := until - time.monotonic()) > 0:
        look()
        time.sleep(_LOOK if until is None else min(_LOOK, left))
    look()
    guest.pause()
    broken = guest.broken()
    gap = guest.gap() if isinstance(guest, Feeling) else None
    shown({"event": "ran", "seconds": args.run, "broken": broken, "gap": gap})
    return int(bool(broken))


def _from_qemu(
    args: argparse.Namespace,
    shown: Shown,
    opened: ExitStack,
    side: FromQemu,
    waiter: Waiter,
    devices: Sequence[RemoteDevice],
) -> int:
    """Receive from QEMU, into a file or a guest."""
    if args.control:
        served = control.Control(args.control, waiter, Orders(), lambda: {"received": side.received}, _cancel)
        opened.callback(served.close)
    make = migrate_attached.giving(devices, lambda pages: empty(args.guest, "hvm", pages, 1))
    found = migrate_qemu.received(args, side, make)
    if found.guest is None:
        if not shown.as_json:
            shown.close()
            print(f"{shown.side}: {args.store} has the stream, {found.size:,} bytes", flush=True)
        return 0
    opened.callback(found.guest.close)
    return _runs(args, shown, found.guest, _nothing)
