"""Running vcpus: a thread each, which can be stopped at a moment when the whole of a vcpu's state is in KVM.

When a vcpu leaves KVM for one of our devices, its instruction is half done, and ends when it enters again
(Documentation/virt/kvm/api.rst, struct kvm_run).  So a vcpu only counts as stopped once KVM says that it was
interrupted, and `immediate_exit` sees to that it is before the next instruction.
"""

from __future__ import annotations

import fcntl
import mmap
import signal
import threading
import time
from collections.abc import Callable, Mapping

from ...errors import GuestError
from . import kvm_api as api
from . import programs

# What wakes a vcpu's thread in KVM.  Real-time signals have no meaning of their own.
KICK = signal.SIGRTMIN + 3
# Seconds after which a vcpu that does not stop is asked again, and given up.
_AGAIN, _GIVEN_UP = 0.02, 10.0
_NOTHING_THERE = 0xFF

Write = Callable[[bytes], None]
Read = Callable[[int], bytes]


def catch() -> None:
    """Have the signal interrupt system calls of threads and nothing else.

    :raises GuestError: it can only be set up by a process's main thread, and was not.
    """
    if signal.getsignal(KICK) is _ignore:
        return
    if threading.current_thread() is not threading.main_thread():
        raise GuestError("a process's first KVM guest is made by its main thread")
    signal.signal(KICK, _ignore)
    signal.siginterrupt(KICK, True)


def _ignore(_: int, __: object) -> None:
    """A signal whose arrival is all there is to it."""


class Devices:
    """Ports of the machine that are ours: what vcpus write and read there.

    `clock` gives the time in microseconds; `console` is called with what was written.
    """

    def __init__(self, clock: Callable[[], int], console: Write) -> None:
        self.clock = clock
        self.outputs: Mapping[int, Write] = {programs.CONSOLE: console}

    def read(self, port: int, size: int) -> bytes:
        """What a vcpu reads from a port."""
        if port == programs.CLOCK:
            return (self.clock() & (1 << 8 * size) - 1).to_bytes(size, "little")
        return bytes([_NOTHING_THERE]) * size

    def write(self, port: int, data: bytes) -> None:
        """What a vcpu writes to one; nothing is at most of them."""
        found = self.outputs.get(port)
        if found is not None:
            found(data)


class Runner:
    """A vcpu's thread.  `failure` says why it does not go on, if so."""

    def __init__(self, vcpu: int, area: mmap.mmap, devices: Devices) -> None:
        self._vcpu, self._area, self._devices = vcpu, area, devices
        self._change = threading.Condition()
        self._wanted = self._ended = False
        self._stopped = True
        self._due = 0.0
        self.failure = ""
        self._thread = threading.Thread(target=self._life, daemon=True)
        self._thread.start()

    @property
    def stopped(self) -> bool:
        """Whether it stands."""
        return self._stopped

    def run(self) -> None:
        """Let it run."""
        with self._change:
            self._area[api.RUN_IMMEDIATE_EXIT] = 0
            self._wanted = True
            self._change.notify_all()

    def ask(self) -> None:
        """Have it stop soon."""
        with self._change:
            self._wanted = False
            self._area[api.RUN_IMMEDIATE_EXIT] = 1
            self._change.notify_all()
        self._kick()

    def stop(self) -> None:
        """Return once it has stopped.

        :raises GuestError: it does not.
        """
        self.ask()
        end = time.monotonic() + _GIVEN_UP
        with self._change:
            while not self._change.wait_for(lambda: self._stopped, _AGAIN):
                if time.monotonic() > end:
                    raise GuestError(f"a vcpu does not stop within {_GIVEN_UP:.0f} s")
                self._kick()

    def end(self) -> bool:
        """Stop it for good; returns whether it has, or else uses KVM still."""
        with self._change:
            self._ended = True
        try:
            self.stop()
        except GuestError:
            return False
        self._thread.join(_GIVEN_UP)
        return not self._thread.is_alive()

    def _kick(self) -> None:
        if self._thread.ident is not None and self._thread.is_alive():
            signal.pthread_kill(self._thread.ident, KICK)

    def _life(self) -> None:
        while True:
            with self._change:
                self._stopped = True
                self._change.notify_all()
                self._change.wait_for(lambda: self._ended or (self._wanted and not self.failure))
                if self._ended:
                    return
                self._stopped = False
            self._run()

    def _run(self) -> None:
        """Until it is to stop, or cannot go on."""
        while not self.failure:
            try:
                fcntl.ioctl(self._vcpu, api.RUN, 0)
            except InterruptedError:
                if not self._wanted:
                    return
            except BlockingIOError:  # it waited for another vcpu to start it, which has happened
                pass
            except OSError as error:
                self.failure = f"KVM does not run it: {error.strerror}"
            else:
                self._exit(int.from_bytes(self._area[api.RUN_EXIT_REASON :][:4], "little"))

    def _exit(self, reason: int) -> None:
        if reason == api.EXIT_IO:
            self._port(*api.IO.unpack_from(self._area, api.RUN_EXIT))
        elif reason == api.EXIT_MMIO:
            _, _, size, write = api.MMIO.unpack_from(self._area, api.RUN_EXIT)
            if not write:  # there is nothing
                start = api.RUN_EXIT + api.MMIO_DATA
                self._area[start : start + size] = bytes([_NOTHING_THERE]) * size
        elif reason in api.FATAL:
            self.failure = api.FATAL[reason]
        elif reason not in {api.EXIT_HLT, api.EXIT_INTR}:
            self.failure = f"it left KVM for reason {reason}, which is not expected"

    def _port(self, direction: int, size: int, port: int, count: int, offset: int) -> None:
        """Instructions on ports, `count` of them where they repeat."""
        for at in range(offset, offset + size * count, size):
            if direction == api.IO_IN:
                self._area[at : at + size] = self._devices.read(port, size)
            elif port == programs.PACE:
                self._rest(int.from_bytes(self._area[at : at + size], "little"))
            else:
                self._devices.write(port, self._area[at : at + size])

    def _rest(self, microseconds: int) -> None:
        """Sleep until so long after the last time, or until it is to stop."""
        self._due = max(self._due + microseconds / 1e6, time.monotonic())
        with self._change:
            self._change.wait_for(lambda: not self._wanted, max(self._due - time.monotonic(), 0))
