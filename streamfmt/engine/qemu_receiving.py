"""The receiving side of a migration of QEMU: into a file, or into a guest of ours.

The sender is told that its guest is ours (SHUT 0 on the return path) only when all that came is sound, and stored or in
the guest's memory; whatever else happens it is told that it keeps it, if it can be told.
Sources: QEMU migration/migration.c (process_incoming_migration_bh, migration_incoming_state_destroy).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field

from ..checks.outcome import Outcome
from ..errors import LinkError, MigrationError
from ..io.outputs import FileOutput
from ..writer.qemu import Device
from .framing_qemu import RUNNING, name_of_state
from .interface import End, Guest
from .qemu_incoming import Follower, Incoming
from .qemu_link import PATIENCE, Receiver
from .qemu_loading import Loader
from .waiting import Waiter

# Seconds in which a sender closes its side once it has been told how its migration ended.
LINGER = 2.0


@dataclass(frozen=True, slots=True)
class Received:
    """What has come: how many bytes, what the verifier says of them, and in which state the machine was stopped.

    `devices` are its sections of devices, those of a guest of ours.
    """

    size: int
    outcome: Outcome
    state: str = ""
    devices: tuple[Device, ...] = field(default=())


# -- receiving --------------------------------------------------------------------------------------------------------


def store(
    end: End,
    path: str | os.PathLike[str],
    waiter: Waiter,
    *,
    patience: float = PATIENCE,
    ready: bool = False,
    strict: bool = False,
) -> Received:
    """Receive a migration of any machine into a file, which is there only if all of it came and is sound.

    :param ready: answer a sender that waits until devices are ready (its capability switchover-ack).
    :param strict: take warnings for errors.
    :raises PeerError: it is no migration, or breaks a rule; the sender is told, and keeps its guest.
    :raises LinkError: the link failed; LateError: nothing came for `patience` seconds; OSError: the file's.
    """
    link = Receiver(end, waiter, patience)
    output = FileOutput(path)
    try:
        outcome = Incoming(link, Follower(link, ready), _Stored(output), strict).read()
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
    return Received(outcome.size, outcome)


class _Stored:
    """Puts bytes into a file as they come."""

    def __init__(self, output: FileOutput) -> None:
        self._output = output

    def write(self, data: memoryview) -> None:
        # Their memory is used again, and what is small the output would keep.
        self._output.write([data if len(data) >= _SMALL else bytes(data)])


_SMALL = 4096


def receive(
    end: End,
    guest: Guest,
    waiter: Waiter,
    *,
    patience: float = PATIENCE,
    ready: bool = False,
    machine: bytes | None = b"none",
    devices: bool = False,
) -> Received:
    """Receive a migration into a guest of ours that has no contents yet; then it runs if the machine did.

    :param machine: the type that the sender's machine has to be of, None for any that has one block of memory.
    :param devices: take the state of devices too, to be stored, or sent back with the guest.
    :raises PeerError: it is no migration, of another machine, or breaks a rule: the sender keeps its guest.
    :raises LinkError: the link failed; LateError: nothing came for `patience` seconds; GuestError: the guest's.
    """
    link = Receiver(end, waiter, patience)
    loader = Loader(link, guest.memory, machine, not devices, ready)
    try:
        outcome = Incoming(link, loader).read()
        state = name_of_state(loader.state)
    except BaseException as error:
        _refuse(link, error)
        raise
    _accept(link, "the guest does not run here")
    if state == RUNNING:
        guest.resume()
    return Received(outcome.size, outcome, state, loader.rows)


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
