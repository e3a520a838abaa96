"""What its owner has of an emulator: a process that is started, paused, resumed and ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import deque
from contextlib import ExitStack
from functools import partial

from ...errors import GuestError
from ..interface import Guest
from ..local_sockets import listening, remove
from ..logdirty.forms import FORMS, SHARED
from ..logdirty.reported import Reported
from ..waiting import READ, Waiter
from . import record
from .dma import PAGE_SIZE, Ring, broken
from .setup import Setup

_START, _ANSWER, _END = 10.0, 5.0, 5.0  # seconds
_PIECE = 1 << 16
_LOGGED = 100  # lines that are kept
RATE = 1000.0  # pages a second


class Emulator:
    """An emulator beside a guest.  It is paused at first; `written` is its ring, as of the last answer."""

    def __init__(
        self,
        guest: Guest,
        form: str,
        ring: Ring,
        *,
        rate: float = RATE,
        domain: int = 1,
        store: str = "",
        monitor: str = "",
        seconds: float = 0.0,
    ) -> None:
        """Start it.

        :param form: how it logs: a key of :data:`streamfmt.engine.logdirty.forms.FORMS`.
        :param ring: frames that only it writes.
        :param rate: pages that it writes in a second.
        :param store: the path of xenstore's socket, for the forms that need it.
        :param monitor: the path that its monitor gets, for the form that needs it.
        :raises GuestError: it cannot be had; LinkError: a path cannot; LateError: it does not start in time.
        """
        _see_to(guest, ring)
        self.form, self.ring, self.domain, self.monitor = FORMS[form], ring, domain, monitor
        self.log: deque[str] = deque(maxlen=_LOGGED)
        self.seconds = seconds
        self._since: float | None = None
        self._undo = ExitStack()
        try:
            self._start(guest, rate, store)
        except BaseException:
            self.close()
            raise

    def _start(self, guest: Guest, rate: float, store: str) -> None:
        self.reported = None if self.form.way == SHARED else Reported(guest.pages)
        if self.reported:
            self._undo.callback(self.reported.close)
        # Packets: a line is sent whole or not at all.
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._undo.callback(self._control.close)
        self._undo.callback(its.close)
        self._waiter = Waiter()
        self._undo.callback(self._waiter.close)
        monitor = -1
        if self.monitor:
            listener = listening(self.monitor)
            self._undo.callback(partial(remove, self.monitor))
            self._undo.callback(listener.close)
            monitor = listener.fileno()
        reported = self.reported.descriptor if self.reported else -1
        setup = Setup(
            *(its.fileno(), guest.descriptor, guest.pages, self.form.name, self.domain, store, monitor, reported),
            *(self.ring.first, self.ring.count, self.ring.writes, rate),
        )
        descriptors = [number for number in (its.fileno(), guest.descriptor, monitor, reported) if number >= 0]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.process", setup.line()],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
        )
        self._undo.callback(self._end)
        its.close()
        if self.monitor:
            listener.close()
        self._received = bytearray()
        self._control.setblocking(False)
        self._hear(_START)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it writes."""
        return self._since is not None

    def pause(self) -> None:
        """Have it write no more; afterwards all that it wrote is logged.

        :raises GuestError: it is gone; LateError: it does not answer in time.  So for the other methods.
        """
        if self._since is not None:
            self._ask("pause")
            self.seconds += self._waiter.clock() - self._since
            self._since = None

    def resume(self) -> None:
        """Have it write, or write again."""
        if self._since is None:
            self._ask("resume")
            self._since = self._waiter.clock()

    def state(self) -> bytes:
        """Its state, while it is paused: a record of QEMU's."""
        return record.saved(self.ring, self.seconds)

    def broken(self, memory: memoryview) -> list[str]:
        """What of its writes a memory does not have, in words, while it is paused."""
        return broken(memory, self.ring)

    def close(self) -> None:
        """End it; never raises, and may come again."""
        self._undo.close()

    def _ask(self, what: str) -> None:
        try:
            self._control.send(json.dumps({"do": what}).encode() + b"\n")
        except OSError:
            raise self._gone() from None
        self._hear(_ANSWER)

    def _hear(self, patience: float) -> None:
        """Wait for an answer, and take it; what is logged comes between."""
        deadline = self._waiter.clock() + patience
        while True:
            while b"\n" in self._received:
                line, _, self._received = self._received.partition(b"\n")
                said = json.loads(line)
                if "error" in said:
                    raise GuestError(f"the emulator gives up: {said['error']}")
                if "writes" in said:
                    self.ring = Ring(self.ring.first, self.ring.count, said["writes"])
                    return
                self.log.append(said["log"])
            what = f"the emulator (process {self.pid}) did not answer within {patience:g} s"
            self._waiter.until(self._control.fileno(), READ, deadline, what)
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._control.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise self._gone()
        self._received += data

    def _gone(self) -> GuestError:
        self._since = None
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return GuestError(f"the emulator (process {self.pid}) answers nobody any more")
        return GuestError(f"the emulator (process {self.pid}) is gone: its status is {status}")

    def _end(self) -> None:
        self._control.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _see_to(guest: Guest, ring: Ring) -> None:
    """See that there is memory to share, and that the ring is in it.

    :raises GuestError: it is not.
    """
    if guest.descriptor < 0:
        raise GuestError("the guest's memory has no descriptor: an emulator in another process cannot write it")
    if ring.first < 0 or ring.count < 1 or ring.first + ring.count > guest.pages:
        raise GuestError(f"frames {ring.first} to {ring.first + ring.count - 1} are not all among {guest.pages}")
    if os.fstat(guest.descriptor).st_size < guest.pages * PAGE_SIZE:
        raise GuestError("the guest's memory is smaller than its frames")
