"""Migrations between us and real QEMU: of a stream that is stored or was, and of a guest of ours in QEMU's form.

A receiver says that it has the guest (SHUT 0 on the return path) only when all that came is sound, and stored or in the
guest's memory; a sender is done only when the receiver has said so.  Without a return path nobody says anything: then a
sender that has sent all is done, as QEMU itself is.
Sources: QEMU migration/migration.c (migration_completion, process_incoming_migration_bh), docs/devel/migration.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ..checks.outcome import Outcome
from ..errors import LateError, LinkError, MigrationError, PeerError
from ..io.outputs import FileOutput
from ..writer.qemu import Device
from .framing_qemu import COMMON, GLOBAL_STATE, Framing, Shape, name_of_state
from .interface import End, Guest
from .qemu_incoming import Follower, Incoming
from .qemu_link import PATIENCE, Receiver, Sender
from .qemu_loading import Loader
from .statistics import Round, Statistics
from .waiting import Waiter

# Seconds in which a sender closes its side once it has been told how its migration ended.
LINGER = 2.0
RUNNING, PAUSED = "running", "paused"


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
        state = name_of_state(loader.devices.get((GLOBAL_STATE, 0), b""))
    except BaseException as error:
        _refuse(link, error)
        raise
    _accept(link, "the guest does not run here")
    if state == RUNNING:
        guest.resume()
    rows = tuple(
        Device(name, payload, loader.versions[name, number], number)
        for (name, number), payload in loader.devices.items()
        if name != GLOBAL_STATE
    )
    return Received(outcome.size, outcome, state, rows)


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


# -- sending ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """How a guest of ours is sent.

    `shape` is what the stream is written like; `return_path` whether the receiver has to answer; `ready` whether to
    wait until it says that its devices are (switchover-ack); `devices` are sections instead of the clock of a machine
    without any.
    """

    shape: Shape = COMMON
    return_path: bool = True
    ready: bool = False
    devices: Sequence[Device] | None = None
    patience: float = PATIENCE


def send(
    guest: Guest,
    end: End,
    waiter: Waiter,
    terms: Terms = Terms(),
    watch: Callable[[Statistics], None] = lambda _: None,
) -> Statistics:
    """Send a guest to QEMU, live if it runs.  Afterwards it is paused, and the receiver's.

    :param watch: sees the figures after each round, and may raise.
    :raises PeerError: the receiver refuses it; LinkError: the link failed; LateError: it does not answer in time.  Then
        the guest runs on here, if it ran before.
    """
    link = Sender(end, waiter, terms.patience)
    framing = Framing(guest.memory, terms.shape, terms.devices)
    ran = guest.running
    try:
        found = _Sending(guest, link, framing, terms, watch).run()
    except BaseException:
        with suppress(MigrationError):
            end.finish()
        if ran and not guest.running:
            guest.resume()
        raise
    finally:
        guest.dirty.disable()
        framing.close()
    return found


# Rounds after which the guest is stopped, and frames that may be left for that.
_ROUNDS, _LEFT = 30, 64


class _Sending:
    """One migration of a guest."""

    def __init__(
        self, guest: Guest, link: Sender, framing: Framing, terms: Terms, watch: Callable[[Statistics], None]
    ) -> None:
        self._guest = guest
        self._link = link
        self._framing = framing
        self._terms = terms
        self._watch = watch
        self._statistics = Statistics(guest.pages)

    def run(self) -> Statistics:
        guest, link, framing, clock = self._guest, self._link, self._framing, self._link.waiter.clock
        ran = guest.running
        link.send([framing.opening(self._terms.return_path)])
        left, populated = (1 << guest.pages) - 1, guest.populated()
        if ran:
            guest.dirty.enable()
            left = self._live(left, guest.populated())
            populated = (1 << guest.pages) - 1
        if self._terms.return_path:
            link.wait_for("pong", "an answer")
        if self._terms.ready and ran:
            link.wait_for("ready", "word that its devices are ready")
        stopped = clock()
        guest.pause()
        if ran:
            left |= guest.dirty.clean()
        sent = sum(link.send(some) for some in framing.closing(left, RUNNING if ran else PAUSED, populated))
        done = clock()
        last = Round(self._statistics.iteration + 1, left.bit_count(), sent, 0, done - stopped)
        self._statistics = replace(self._statistics.after(last), downtime=done - stopped if ran else None)
        self._watch(self._statistics)
        if self._terms.return_path:
            link.wait_for("shut", "word that the guest is loaded")
            self._statistics = replace(self._statistics, pause=clock() - stopped if ran else None)
        with suppress(LinkError):
            link.finished()
        return self._statistics

    def _live(self, left: int, populated: int) -> int:
        """Send rounds until few frames are left; returns those."""
        clock, link = self._link.waiter.clock, self._link
        for number in range(1, _ROUNDS + 1):
            begun = clock()
            sent = sum(link.send(some) for some in self._framing.part(left, populated))
            dirty = self._guest.dirty.clean()
            seconds = clock() - begun
            count = dirty.bit_count()
            done = Round(number, left.bit_count(), sent, count, seconds)
            self._statistics = replace(
                self._statistics.after(done), dirty_rate=count / max(seconds, 1e-9), bandwidth=sent / max(seconds, 1e-9)
            )
            self._watch(self._statistics)
            left, populated = dirty, (1 << self._guest.pages) - 1
            if count <= _LEFT:
                break
        return left


__all__ = ["LateError", "PeerError", "Received", "Terms", "receive", "send", "store"]
