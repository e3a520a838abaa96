"""Move a guest between two processes of this machine, and show how it goes.

The guest is made here, writes its memory, and moves over a socket pair to a
second process; both check it at the end, and the figures of all rounds are
printed, and drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ..engine import configuration, control
from ..engine.sending import Sending, Way
from ..engine.side import Asked
from ..engine.statistics import Statistics
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import READ, Waiter
from ..errors import MigrationError, PeerError
from . import migrate_emulator
from . import migrate_guest as options
from .migrate_send import add_after, add_common, checked
from .migrate_shown import Recorder, Shown, milliseconds

EXAMPLES = """examples:
  streamfmt migrate demo
  streamfmt migrate demo --memory 1GiB --fill 512MiB --policy qemu
  streamfmt migrate demo --dirty-rate 20000 --working-set 32MiB --speed 200m \\
    --policy qemu --downtime 30ms --figure rounds.svg
  streamfmt migrate demo --type pv --non-live --record stream.sav --json

exit status: 0 the guest is the same over there, and sound; 1 it is not, or did
not get there; 2 wrong usage; 3 a file cannot be written; 130 interrupted
"""
# Seconds that the other process is waited for at the end.
_LEAVE = 10.0
# Seconds that it gets to say why it ends, where the guest does not get there.
_LAST_WORDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_guest(parser)
    migrate_emulator.add_arguments(parser)
    add_after(parser)
    options.add_way(parser)
    add_common(parser)
    parser.add_argument("--figure", metavar="FILE", help="draw the rounds there, as SVG")
    parser.add_argument(
        "--run",
        metavar="SECONDS",
        type=options.seconds,
        default=0.2,
        help="let it run over there (default: %(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    shown = Shown("source", args.json)
    with ExitStack() as opened:
        opened.callback(shown.close)
        try:
            return _run(args, shown, opened)
        except MigrationError as error:
            return shown.fail(error)
        except OSError as error:
            shown.fail(error)
            return 3


class _Other:
    """The other process, and what it says: its events, as lines of JSON."""

    def __init__(self, args: argparse.Namespace, waiter: Waiter, theirs: socket.socket, shown: Shown) -> None:
        words = [sys.executable, "-P", "-m", "streamfmt", "migrate", "receive", f"fd:{theirs.fileno()}"]
        words += ["--guest", args.guest, "--check", "--json", "--run", str(args.run), "--time-out", str(args.time_out)]
        self.last: dict[str, Mapping[str, Any]] = {}
        self.said = b""
        self._waiter, self._shown = waiter, shown
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()]
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        waiter.serve(self._pipe, READ, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._waiter.drop(self._pipe)
            self._pipe = -1
            return
        *lines, self.said = (self.said + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            self.last[event["event"]] = event
            if self._shown.as_json:
                print(line.decode(), flush=True)

    def wait(self) -> int:
        """Its exit status, once it has ended.  Raises PeerError if it does not."""
        deadline = self._waiter.clock() + _LEAVE
        while self._pipe >= 0:
            if self._waiter.clock() >= deadline:
                raise PeerError("the other process does not end")
            self._waiter.step(deadline)
        return self._process.wait(_LEAVE)

    def end(self) -> None:
        """End it, if it has not."""
        deadline = self._waiter.clock() + _LAST_WORDS
        while self._pipe >= 0 and self._waiter.clock() < deadline:
            self._waiter.step(deadline)
        if self._pipe >= 0:
            self._waiter.drop(self._pipe)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _run(args: argparse.Namespace, shown: Shown, opened: ExitStack) -> int:
    waiter = Waiter()
    opened.callback(waiter.close)
    guest = options.made(args)
    opened.callback(guest.close)
    guest = migrate_emulator.beside(args, guest, waiter, opened)
    recorder = None
    if args.record:
        recorder = Recorder(args.record)
        opened.callback(recorder.close)
    settings, orders = options.settings(args)
    config = configuration.of(guest, "guest", args.guest, args.vcpus)
    way = Way(settings, orders, not args.non_live, config)

    if args.control:
        served = control.Control(args.control, waiter, orders, lambda: control.figures(side.statistics))
        opened.callback(served.close)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    end = SocketEnd(ours, "the socket pair")
    with theirs:
        other = _Other(args, waiter, theirs, shown)
    opened.callback(other.end)
    opened.callback(end.close)  # first: then the other process says why it ends, and does

    def progress() -> None:
        shown.progress(side.statistics)

    asked = Asked(waiter, options.patience(args), shown, recorder, progress)
    side = Sending(guest, end, way, asked)
    time.sleep(args.after)
    statistics = side.send()
    end.close()
    status = other.wait()
    statistics = replace(statistics, gap=other.last.get("ran", {}).get("gap"))
    checked(guest, shown, True, statistics)
    status = _compared(shown, other, status)
    if args.figure:
        _draw(args, statistics)
    return status


def _draw(args: argparse.Namespace, statistics: Statistics) -> None:
    """Draw the rounds.  Raises OSError."""
    from ..engine.figure import drawn

    about = f"{args.guest}, {args.memory // 256:,} MiB, {args.dirty_rate:,.0f} pages/s, policy {args.policy.name}"
    try:
        with open(args.figure, "w", encoding="utf-8") as file:
            file.write(drawn(statistics, about=about))
    except OSError as error:
        raise OSError(error.errno, error.strerror, args.figure) from None


def _compared(shown: Shown, other: _Other, status: int) -> int:
    """Whether the guest is the same on both sides, said in a line; `status` is the other process's."""
    here, there = shown.last.get("result", {}), other.last.get("result", {})
    same = bool(here) and here.get("digest") == there.get("digest")
    broken = [*there.get("broken", ()), *other.last.get("ran", {}).get("broken", ())]
    good = same and not broken and not status
    shown({"event": "compared", "seconds": 0.0, "equal": same, "broken": broken})
    if not shown.as_json:
        print(f"  to check it over there took {milliseconds(there.get('seconds'))} of pause and gap")
        print("the guest is " + ("the same over there, and sound" if good else "not what it was here"))
        for words in broken:
            print(f"  {words}")
        if status and not broken:
            print(f"  the other process ended with status {status}")
    return int(not good)
