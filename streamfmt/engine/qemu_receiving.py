"""The receiving side of a migration of QEMU: into a file, or into a guest of ours.

The sender is told that its guest is ours (SHUT 0 on the return path) only when all that came is sound, and stored or in
the guest's memory; whatever else happens it is told that it keeps it, if it can be told.
Sources: QEMU migration/migration.c (process_incoming_migration_bh, migration_incoming_state_destroy).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..checks.outcome import Outcome
from ..errors import LinkError, MigrationError, PeerError
from ..io.outputs import FileOutput
from ..writer.qemu import Device
from .flow import Watcher
from .framing_qemu import RUNNING, name_of_state
from .interface import End, Guest
from .qemu_incoming import Follower, Incoming
from .qemu_link import PATIENCE, Receiver
from .qemu_loading import Loader
from .qemu_sending import Events, nobody
from .vfio.loading import Loader as LiveLoader
from .waiting import Waiter

# Seconds in which a sender closes its side once it has been told how its migration ended.
LINGER = 1.0


@dataclass(frozen=True, slots=True)
class Taking:
    """How a migration is received.

    `patience` is how long nothing may come, in seconds; `ready` has a sender answered that waits until devices are
    ready (its capability switchover-ack); `answering` is False where nobody listens, as where a file is read; `strict`
    takes warnings for errors.

    For a guest of ours: `machine` is the type that the sender's machine has to be of, None for any that has one block
    of memory; with `devices` the state of devices is taken, and given to that before the sender is told that its guest
    is ours; `live` are devices here whose state comes in parts; `inspect` looks at the guest before that, while it is
    paused; `start` has it and its devices run if the machine did.
    `watcher` sees the bytes as they come.
    """

    patience: float = PATIENCE
    ready: bool = False
    answering: bool = True
    strict: bool = False
    machine: bytes | None = b"none"
    devices: Callable[[tuple[Device, ...]], None] | None = None
    inspect: Callable[[Guest], None] | None = None
    start: bool = True
    events: Events = nobody
    watcher: Watcher | None = None
    live: Sequence[LiveLoader] = ()


_TAKING = Taking()


@dataclass(frozen=True, slots=True)
class Received:
    """What has come: how many bytes, and what the verifier says of them.

    Of a guest of ours also it, the state in which its machine was stopped, and the sections of devices that came.
    """

    size: int
    outcome: Outcome
    guest: Guest | None = None
    state: str = ""
    devices: tuple[Device, ...] = field(default=())


class Receiving:
    """One migration that is received."""

    def __init__(self, end: End, waiter: Waiter, taking: Taking = _TAKING) -> None:
        self._link = Receiver(end, waiter, taking.patience, taking.answering)
        self._taking = taking
        self._began = waiter.clock()

    @property
    def received(self) -> int:
        """How many bytes have come so far."""
        return self._link.received

    def store(self, path: str | os.PathLike[str]) -> Received:
        """Receive a migration of any machine into a file, which is there only if all of it came and is sound.

        :raises PeerError: it is no migration, or breaks a rule; the sender is told, and keeps its guest.
        :raises LinkError: the link failed; LateError: nothing came in time; OSError: the file's.
        """
        link, taking = self._link, self._taking
        output = FileOutput(path)
        try:
            outcome = self._read(Follower(link, taking.ready), output)
        except BaseException as error:
            output.abort()
            self._refused(error)
            raise
        try:
            output.finish()
        except BaseException as error:
            self._refused(error)
            raise
        _accept(link, f"the stream is in {os.fspath(path)}")
        self._event("stored", bytes=outcome.size)
        _leave(link)
        return Received(outcome.size, outcome)

    def receive(self, make: Callable[[int], Guest]) -> Received:
        """Receive a migration into a guest of ours; then it runs if the machine did, and that is wanted.

        :param make: makes a guest of so many pages that has no contents yet, once they are known.
        :raises PeerError: it is no migration, of another machine, or breaks a rule: the sender keeps its guest.
        :raises LinkError: the link failed; LateError: nothing came in time; GuestError: the guest's.
        """
        link, taking = self._link, self._taking
        made: list[Guest] = []

        def memory(pages: int) -> memoryview:
            made.append(make(pages))
            return made[0].memory

        loader = Loader(link, memory, taking.machine, taking.devices is None, taking.ready, taking.live)
        try:
            outcome = self._read(loader)
            if not made:
                raise PeerError("the sender's machine has no memory")
            loader.settle()
            running = name_of_state(loader.state) == RUNNING and taking.start
            for device in taking.live:
                # Only now it is seen whether what came is its state, and the sender has its own still.
                device.stop()
            if taking.devices is not None:
                taking.devices(loader.rows)
            if taking.inspect is not None:
                taking.inspect(made[0])
        except BaseException as error:
            loader.close()
            self._refused(error)
            for guest in made:
                guest.close()
            raise
        loader.close()
        state = name_of_state(loader.state)
        try:
            _accept(link, "the guest does not run here")
            if running:
                for device in taking.live:
                    device.start()
                made[0].resume()
        except BaseException:
            made[0].close()
            raise
        self._event("received", bytes=outcome.size, running=made[0].running)
        _leave(link)
        return Received(outcome.size, outcome, made[0], state, loader.rows)

    def _read(self, follower: Follower, output: FileOutput | None = None) -> Outcome:
        tap = _Tap(output, self._taking.watcher)
        return Incoming(self._link, follower, tap, self._taking.strict).read()

    def _refused(self, error: BaseException) -> None:
        _refuse(self._link, error)
        self._event("ended", error=f"{type(error).__name__}: {error}")

    def _event(self, what: str, **figures: Any) -> None:
        self._taking.events({"event": what, "seconds": round(self._link.waiter.clock() - self._began, 6), **figures})


class _Tap:
    """Puts bytes into a file as they come, and shows them to who watches."""

    def __init__(self, output: FileOutput | None, watcher: Watcher | None) -> None:
        self._output = output
        self._watcher = watcher

    def write(self, data: memoryview) -> None:
        if self._output is not None:
            # Their memory is used again, and what is small the output would keep.
            self._output.write([data if len(data) >= _SMALL else bytes(data)])
        if self._watcher is not None:
            self._watcher.see([bytes(data)])


_SMALL = 4096


def store(end: End, path: str | os.PathLike[str], waiter: Waiter, taking: Taking = _TAKING) -> Received:
    """Receive a migration of any machine into a file: see :meth:`Receiving.store`."""
    return Receiving(end, waiter, taking).store(path)


def receive(end: End, make: Callable[[int], Guest], waiter: Waiter, taking: Taking = _TAKING) -> Received:
    """Receive a migration into a guest of ours: see :meth:`Receiving.receive`."""
    return Receiving(end, waiter, taking).receive(make)


def _refuse(link: Receiver, error: BaseException) -> None:
    """Tell the sender that it keeps its guest, if it can be told, for whatever reason that is."""
    with suppress(MigrationError):
        if not isinstance(error, LinkError):
            link.shut(1)
            link.end.finish()
            link.linger(LINGER)


def _accept(link: Receiver, what: str) -> None:
    """Tell the sender that its guest is ours."""
    try:
        link.shut(0)
        link.end.finish()
    except MigrationError as error:
        raise LinkError(
            f"the sender cannot be told that all has come, and keeps its guest; {what} ({error})"
        ) from error


def _leave(link: Receiver) -> None:
    """Wait a short time for the sender to have heard the last message, which else could be lost with the link."""
    if link.opened:
        link.linger(LINGER)
