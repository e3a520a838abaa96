"""Make a guest, and move it to who waits for it.

URI is tcp:HOST:PORT, unix:PATH, exec:COMMAND or fd:N, where a receiver
is: `streamfmt migrate receive`, or Xen's own `xl migrate-receive`; or
file:PATH, to save the guest there, as `xl save` does.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

from ..engine import configuration, control, qemu_sending
from ..engine.interface import Guest
from ..engine.sending import Sending, Way
from ..engine.side import Asked
from ..engine.statistics import Statistics
from ..engine.transport.ends import connect
from ..engine.transport.moving import part
from ..engine.waiting import Waiter
from ..errors import InDoubtError, MigrationError, StreamError
from . import inputs, migrate_colo, migrate_emulator, migrate_qemu, migrate_remus
from . import migrate_guest as options
from . import migrate_links as links
from .migrate_shown import Recorder, Shown, summary

EXAMPLES = """examples:
  streamfmt migrate send unix:/tmp/here
  streamfmt migrate send tcp:host:4444 --memory 1GiB --fill 512MiB --speed 100m
  streamfmt migrate send "exec:ssh host xl migrate-receive -e" --name guest
  streamfmt migrate send file:guest.sav --type pv --non-live
  streamfmt migrate send unix:/tmp/here --by-descriptor --memory 16GiB
  streamfmt migrate send tcp:host:4444 --tls-certificate here.pem \\
    --tls-key here.key --tls-authority authority.pem
  streamfmt migrate send unix:/tmp/here --control /tmp/control --record stream
  streamfmt migrate send --remus 25ms unix:/tmp/here --guest kvm
  streamfmt migrate send --colo unix:/tmp/here --packets unix:/tmp/packets
  streamfmt migrate send --qemu unix:/tmp/qemu --memory 64MiB
  streamfmt migrate send --qemu unix:/tmp/qemu --play guest.qevm

exit status: 0 the guest is there; 1 it is not, and goes on here until the
command ends; 2 wrong usage; 3 a file cannot be written; 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", metavar="URI", help="where to")
    options.add_guest(parser)
    migrate_emulator.add_arguments(parser)
    parser.add_argument("--name", metavar="NAME", default="guest", help="its name over there (default: %(default)s)")
    add_after(parser)
    options.add_way(parser)
    add_common(parser)
    links.add_tls(parser, sender=True)
    links.add_by_descriptor(parser)
    migrate_qemu.add_sending(parser)
    migrate_remus.add_sending(parser)
    migrate_colo.add_sending(parser)


def add_after(parser: argparse.ArgumentParser) -> None:
    """When it begins."""
    words = "let it run for so long first (default: %(default)g)"
    parser.add_argument("--after", metavar="SECONDS", type=options.seconds, default=0.1, help=words)


def add_common(parser: argparse.ArgumentParser) -> None:
    """What both sides take."""
    options.add_patience(parser)
    parser.add_argument("--record", metavar="FILE", help="keep the stream, as it goes over the link")
    parser.add_argument("--control", metavar="PATH", help="a socket to ask and change things at, see control")
    parser.add_argument("--check", action="store_true", help="print a digest of the guest, and what is wrong with it")
    parser.add_argument(
        "--json", action="store_true", help="print events as JSON lines; streamfmt help json describes them"
    )


def run(args: argparse.Namespace) -> int:
    if words := migrate_qemu.wrong(args) or links.wrong(args) or migrate_remus.wrong(args) or migrate_colo.wrong(args):
        inputs.say(f"streamfmt migrate send: error: {words}")
        return 2
    shown = Shown("source", args.json)
    with ExitStack() as opened:
        opened.callback(shown.close)
        try:
            opened.enter_context(links.printing(args.uri))
            return _run(args, shown, opened)
        except (MigrationError, StreamError) as error:
            return shown.fail(error)
        except OSError as error:
            shown.fail(error)
            return 3


def _run(args: argparse.Namespace, shown: Shown, opened: ExitStack) -> int:
    waiter = Waiter()
    opened.callback(waiter.close)
    if args.play:
        return _played(args, shown, opened, waiter)
    recorder = None
    if args.record:
        recorder = Recorder(args.record)
        opened.callback(recorder.close)
    guest = options.made(args)
    opened.callback(guest.close)
    guest = migrate_emulator.beside(args, guest, waiter, opened)
    if args.after:
        time.sleep(args.after)
    end = connect(args.uri, waiter, waiter.clock() + args.time_out, links.tls(args))
    opened.callback(end.close)
    handed = links.hand_over(args, guest, end, waiter)
    settings, orders = options.settings(args)
    config = configuration.of(guest, args.name, args.guest, args.vcpus)
    way = Way(settings, orders, not args.non_live, config, handed=handed)
    if args.remus is not None:
        return migrate_remus.run(args, shown, opened, waiter, guest, end, way, recorder)
    if args.colo:
        return migrate_colo.send(args, shown, opened, waiter, guest, end, way, recorder)
    side: Sending | qemu_sending.Sending
    if args.qemu:
        orders.stop = args.non_live
        side = migrate_qemu.sending(args, guest, end, waiter, settings, orders, shown, recorder, opened)
    else:
        asked = Asked(waiter, options.patience(args), shown, recorder, lambda: shown.progress(side.statistics))
        side = Sending(guest, end, way, asked)
    if args.control:
        served = control.Control(args.control, waiter, orders, lambda: control.figures(side.statistics))
        opened.callback(served.close)
    try:
        saving = isinstance(side, Sending) and options.is_file(args.uri)
        statistics = side.save() if isinstance(side, Sending) and saving else side.send()
    except InDoubtError:
        guest.pause()
        raise
    checked(guest, shown, args.check and not handed, statistics)  # its memory is another's now
    if not options.is_file(args.uri):
        part(end, waiter, args.time_out)
    return 0


def _played(args: argparse.Namespace, shown: Shown, opened: ExitStack, waiter: Waiter) -> int:
    """Send a stored stream."""
    end = connect(args.uri, waiter, waiter.clock() + args.time_out, links.tls(args))
    opened.callback(end.close)
    _, orders = options.settings(args)
    size = migrate_qemu.play(args, end, waiter, orders, shown)
    if not shown.as_json:
        shown.close()
        print(f"{shown.side}: {args.play} was sent, {size:,} bytes", flush=True)
    return 0


def checked(guest: Guest, shown: Shown, check: bool, statistics: Statistics | None) -> None:
    """Print what came of it: the figures, and the guest's digest if that is wanted.  The guest is paused."""
    began = time.monotonic()
    found = {"digest": guest.digest(), "broken": guest.broken()} if check else {}
    took = time.monotonic() - began
    figures = {} if statistics is None else {"statistics": control.figures(statistics)}
    shown({"event": "result", "seconds": statistics.seconds if statistics else took, **figures, **found})
    if shown.as_json:
        return
    shown.close()
    lines = [f"{shown.side}:", *(summary(statistics) if statistics else ())]
    if check:
        lines += [f"  digest {found['digest']}", *(f"  broken: {words}" for words in found["broken"])]
    print("\n".join(lines), file=sys.stdout, flush=True)
