"""The receiving side of a migration of QEMU: into a file, or into a guest of ours.

The sender is told that its guest is ours (SHUT 0 on the return path) only when all that came is sound, and stored or in
the guest's memory; whatever else happens it is told that it keeps it, if it can be told.
Sources: QEMU migration/migration.c (process_incoming_migration_bh, migration_incoming_state_destroy).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ..checks.outcome import Outcome
from ..errors import LinkError, MigrationError, PeerError
from ..io.outputs import FileOutput
from ..writer.qemu import Device
from .framing_qemu import RUNNING, name_of_state
from .interface import End, Guest
from .qemu_incoming import Follower, Incoming
from .qemu_link import PATIENCE, Receiver
from .qemu_loading import Loader
from .qemu_sending import Events, nobody
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
    is ours; `start` has it run if the machine did.
    """

    patience: float = PATIENCE
    ready: bool = False
    answering: bool = True
    strict: bool = False
    machine: bytes | None = b"none"
    devices: Callable[[tuple[Device, ...]], None] | None = None
    start: bool = True
    events: Events = nobody


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


def store(end: End, path: str | os.PathLike[str], waiter: Waiter, taking: Taking = _TAKING) -> Received:
    """Receive a migration of any machine into a file, which is there only if all of it came and is sound.

    :raises PeerError: it is no migration, or breaks a rule; the sender is told, and keeps its guest.
    :raises LinkError: the link failed; LateError: nothing came in time; OSError: the file's.
    """
    link = Receiver(end, waiter, taking.patience, taking.answering)
    began = waiter.clock()
    output = FileOutput(path)
    try:
        outcome = Incoming(link, Follower(link, taking.ready), _Stored(output), taking.strict).read()
    except BaseException as error:
        output.abort()
        _refuse(link, error)
        raise
    try:
        output.finish()
    except BaseException as error:
        _refuse(link, error)
        raise
    _accept(link, f"the stream is in {os.fspath(path)}")
    taking.events({"event": "stored", "seconds": round(waiter.clock() - began, 6), "bytes": outcome.size})
    return Received(outcome.size, outcome)


class _Stored:
    """Puts bytes into a file as they come."""

    def __init__(self, output: FileOutput) -> None:
        self._output = output

    def write(self, data: memoryview) -> None:
        # Their memory is used again, and what is small the output would keep.
        self._output.write([data if len(data) >= _SMALL else bytes(data)])


_SMALL = 4096


def receive(end: End, make: Callable[[int], Guest], waiter: Waiter, taking: Taking = _TAKING) -> Received:
    """Receive a migration into a guest of ours; then it runs if the machine did, and that is wanted.

    :param make: makes a guest of so many pages that has no contents yet, once they are known.
    :raises PeerError: it is no migration, of another machine, or breaks a rule: the sender keeps its guest.
    :raises LinkError: the link failed; LateError: nothing came in time; GuestError: the guest's.
    """
    link = Receiver(end, waiter, taking.patience, taking.answering)
    began = waiter.clock()
    made: list[Guest] = []

    def memory(pages: int) -> memoryview:
        made.append(make(pages))
        return made[0].memory

    loader = Loader(link, memory, taking.machine, taking.devices is None, taking.ready)
    try:
        outcome = Incoming(link, loader, strict=taking.strict).read()
        if not made:
            raise PeerError("the sender's machine has no memory")
        if taking.devices is not None:
            taking.devices(loader.rows)
    except BaseException as error:
        loader.close()
        _refuse(link, error)
        for guest in made:
            guest.close()
        raise
    loader.close()
    try:
        _accept(link, "the guest does not run here")
    except BaseException:
        made[0].close()
        raise
    state = name_of_state(loader.state)
    if state == RUNNING and taking.start:
        made[0].resume()
    seconds = round(waiter.clock() - began, 6)
    taking.events({"event": "received", "seconds": seconds, "bytes": outcome.size, "running": made[0].running})
    return Received(outcome.size, outcome, made[0], state, loader.rows)


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
    if link.opened:
        link.linger(LINGER)
