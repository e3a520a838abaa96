"""Be a device that carries its own state, over vfio-user, or ask another's.

Without --check a model of a device answers at a Unix socket, for whatever
client of vfio-user comes: QEMU's vfio-user-pci, one of libvfio-user, or ours.
With --check the device that is served there is asked whether it keeps the
rules of its migration; it is reset, and loses its state.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from contextlib import suppress

from ..engine.vfio.device import BLOCK, Device
from ..engine.vfio.probe import KEPT, probe
from ..engine.vfio.user_client import RemoteDevice
from ..engine.vfio.user_server import Service, serve
from ..engine.waiting import READ, Waiter
from ..errors import MigrationError
from ..schema import vfio
from .parser import whole

EXAMPLES = """examples:
  streamfmt migrate device /tmp/device
  qemu-system-x86_64 -device '{"driver": "vfio-user-pci",
    "socket": {"type": "unix", "path": "/tmp/device"}}' ...
  streamfmt migrate device --check /tmp/device

exit status: 0 done, all that was asked is kept; 1 a rule is broken, or the
link failed; 2 wrong usage; 3 the socket cannot be made; 130 interrupted
"""
_FLAGS = {"stop-copy": vfio.CAN_STOP_COPY, "p2p": vfio.CAN_P2P, "pre-copy": vfio.CAN_PRE_COPY}


def _features(text: str) -> int:
    names = text.split(",")
    unknown = [name for name in names if name not in _FLAGS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(_FLAGS)}")
    return sum(_FLAGS[name] for name in {*names})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("socket", metavar="SOCKET", help="path of the Unix socket")
    parser.add_argument("--check", action="store_true", help="ask the device there, instead of being one")
    parser.add_argument("--json", action="store_true", help="print verdicts as JSON, one a line")
    parser.add_argument("--blocks", type=whole, default=256, metavar="N", help="the model's memory, in 64 bytes")
    parser.add_argument(
        "--features", type=_features, default=vfio.V2_ALL, metavar="LIST", help="of stop-copy, p2p and pre-copy"
    )
    parser.add_argument("--busy", type=whole, default=0, metavar="STEPS", help="steps by itself, in each 10 ms")
    parser.add_argument("--clients", type=whole, default=1, metavar="N", help="end after so many clients")
    parser.add_argument("--time-out", type=whole, default=600, metavar="SECONDS", help="longest wait for anything")


def run(args: argparse.Namespace) -> int:
    waiter = Waiter()
    try:
        return _check(args, waiter) if args.check else _serve(args, waiter)
    except MigrationError as error:
        print(f"streamfmt: {args.socket}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"streamfmt: {args.socket}: {error.strerror or error}", file=sys.stderr)
        return 3
    finally:
        waiter.close()


def _serve(args: argparse.Namespace, waiter: Waiter) -> int:
    device = Device(max(args.blocks, 1) * BLOCK)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(args.socket)
        try:
            listening.listen(1)
            listening.setblocking(False)
            print(f"a device of {len(device.memory):,} bytes answers at {args.socket}", flush=True)
            for _ in range(args.clients):
                deadline = waiter.clock() + args.time_out
                waiter.until(listening.fileno(), READ, deadline, "a client")
                link, _address = listening.accept()
                with link:
                    serve(link, Service(device, args.features), waiter, args.time_out, args.busy)
        finally:
            with suppress(OSError):
                os.unlink(args.socket)
    print(f"{device.steps:,} steps, {device.writes:,} writes to the guest")
    return 0


def _check(args: argparse.Namespace, waiter: Waiter) -> int:
    worst = 0
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(args.socket)
        device = RemoteDevice(link, waiter, min(args.time_out, 30))
        for found in probe(device):
            worst |= found.verdict != KEPT
            if args.json:
                print(json.dumps({"clause": found.clause, "verdict": found.verdict, "why": found.why}), flush=True)
            else:
                print(f"{found.clause}: {found.verdict}{f': {found.why}' if found.why else ''}", flush=True)
    return int(worst)
