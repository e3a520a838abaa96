"""Figures of the engine beside those of whole moves: its limits, its ends, and what a step of it takes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress

from ..engine import control
from ..engine.guest.memory import PAGE
from ..engine.guest.model_workload import Workload
from ..engine.guest.models import model
from ..engine.guest.process import ProcessGuest
from ..engine.guest.programs import FIRST
from ..engine.orders import Orders
from ..engine.policies import policy
from ..engine.precopy import Settings
from ..engine.sending import Saving, Way
from ..engine.side import Asked
from ..engine.too_fast import remedy
from ..engine.transport.sockets import SocketEnd
from ..engine.waiting import Waiter
from ..errors import MigrationError
from .moves import Moved, Program, move, options, receiver
from .process import BenchError, NotMeasuredError
from .qemu_moves import MIB, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine.guest.model import Model

# -- the limit of the speed --------------------------------------------------------------------------------------

# Bytes a second, bytes of contents, which take three seconds, and seconds that any window has.
_LIMIT, _LIMITED, _WINDOW = 32 * MIB, 96 * MIB, 1.0
# Seconds in which a link that was filled before it was counted has become steady.
_PIECE = 64 << 10


def rate(filled: int = _LIMITED, limit: int = _LIMIT, window: float = _WINDOW) -> float:
    """By how much the bytes of any window of a second differ from the limit at most, as a part of it.

    They are counted where they pass between both sides; windows lie between the first and the last bytes of contents.
    """
    passed: list[tuple[float, int]] = []
    with receiver() as (destination, uri), _relay(uri, passed) as between:
        words = ("--policy", "rounds=1", "--speed", str(limit), *options(Kind(filled * 2, filled)))
        with Program("send", between, *words) as source:
            source.event("moved")
            destination.event("running")
    return deviation(passed, limit, window)


def deviation(passed: Sequence[tuple[float, int]], limit: float, window: float) -> float:
    """The largest part of the limit by which bytes in a window differ from it; each moment has the bytes so far."""
    # Without what goes at once at the beginning, and what is sent while the guest stands, which has no limit.
    begun, ended = passed[0][0], passed[-1][0]
    found = [0.0]
    last = 0
    for at, (moment, count) in enumerate(passed):
        if moment + window > ended - window / 4 or moment < begun + window / 8:
            continue
        last = max(last, at)
        while last + 1 < len(passed) and passed[last + 1][0] <= moment + window:
            last += 1
        found.append(abs((passed[last][1] - count) / (limit * window) - 1))
    if len(found) < 2:
        raise BenchError("too little went for a window of that length")
    return max(found)


@contextmanager
def _relay(uri: str, passed: list[tuple[float, int]]) -> Iterator[str]:
    """An address whose bytes go on to `uri`, and are counted."""
    with tempfile.TemporaryDirectory(prefix="streamfmt-bench-") as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/link")
        listening.listen(1)

        def run() -> None:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as there, listening.accept()[0] as here:
                there.connect(uri.removeprefix("unix:"))
                back = threading.Thread(target=_forward, args=(there, here, []), daemon=True)
                back.start()
                _forward(here, there, passed)
                back.join()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"unix:{folder}/link"
        thread.join(1.0)


def _forward(source: socket.socket, target: socket.socket, passed: list[tuple[float, int]]) -> None:
    total = 0
    with suppress(OSError):
        while data := source.recv(_PIECE):
            target.sendall(data)
            total += len(data)
            passed.append((time.monotonic(), total))
        target.shutdown(socket.SHUT_WR)


# -- ends --------------------------------------------------------------------------------------------------------


def cancelled(guest: Kind) -> float:
    """Seconds from asking for the end of a migration until its guest runs at the source again."""
    with receiver() as (_, uri), tempfile.TemporaryDirectory(prefix="streamfmt-bench-") as folder:
        path = f"{folder}/control"
        way = ("--policy", "rounds=1000", "--speed", "64MiB/s", "--control", path)
        with Program("send", uri, *options(guest), *way) as source:
            source.event("round")
            begun = time.monotonic()
            control.ask(path, "cancel")
            with suppress(MigrationError):
                source.event("kept")
            return time.monotonic() - begun


def by_descriptor(memory: int, filled: int) -> Moved:
    """A guest whose memory is passed as a descriptor."""
    return move(Kind(memory, filled), both=("--by-descriptor",))


# -- steps -------------------------------------------------------------------------------------------------------


def scan(memory: int, written: int) -> float:
    """Seconds of one look at what a guest has written, of sparse memory; it is logged anew in the same step."""
    try:
        guest = ProcessGuest(memory // PAGE)
    except MigrationError as error:
        raise NotMeasuredError(str(error)) from None
    try:
        guest.dirty.enable()
        step = guest.pages // written
        for frame in range(0, step * written, step):
            guest.memory[frame * PAGE] = 1
        begun = time.perf_counter()
        found = guest.dirty.clean()
        took = time.perf_counter() - begun
        if found.bit_count() != written:
            raise BenchError(f"{found.bit_count()} of {written} frames were found")
        return took
    finally:
        guest.close()


# Seconds in which the process that reads is there.
_STARTED = 0.3
# Reads a socket until it ends, into the same memory again and again.
_DRAIN = """
import socket, sys
link, room = socket.socket(fileno=int(sys.argv[1])), bytearray(1 << 20)
while link.recv_into(room): pass
"""


def unmoved(size: int) -> tuple[float, float]:
    """Seconds in which a guest that stands is sent through a socket pair, and `cat` sends the same memory."""
    guest = model(size // PAGE + FIRST)
    try:
        guest.boot(Workload(), filled=size // PAGE)
        return _through(lambda ours: _save(guest, ours)), _through(lambda ours: _cat(guest, ours))
    finally:
        guest.close()


def _through(send: Callable[[socket.socket], None]) -> float:
    """Seconds until a process at the other end has taken all that is sent."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-ISc", _DRAIN, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as drain:
            theirs.close()
            time.sleep(_STARTED)
            begun = time.perf_counter()
            send(ours)
            ours.close()
            if drain.wait():
                raise BenchError("what reads the socket failed")
            return time.perf_counter() - begun


def _save(guest: Model, link: socket.socket) -> None:
    waiter = Waiter()
    end = SocketEnd(link.dup(), "a socket pair")
    try:
        way = Way(Settings(policy("xen"), remedy("go-on")), Orders(), live=False)
        Saving(guest, end, way, Asked(waiter)).save()
    finally:
        end.close()
        waiter.close()


def _cat(guest: Model, link: socket.socket) -> None:
    # By its path it is opened anew, and so read from its beginning.
    path = f"/proc/{os.getpid()}/fd/{guest.descriptor}"
    subprocess.run(["cat", path], stdout=link.fileno(), check=True)
