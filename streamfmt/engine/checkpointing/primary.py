"""Remus, the primary's side: a guest that runs here, whose last complete state is over there.

It works as :data:`streamfmt.schema.checkpointing.REMUS_PRIMARY` says.  A checkpoint is copied while the guest stands
and goes while it runs again; what the guest put out before it leaves when the standby has acknowledged it.  Xen's own
standby acknowledges nothing: with that, what was written to the link counts as being there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from ...errors import CancelledError, LateError, LinkError, MigrationError, PeerError, TakenOverError
from ...schema.checkpointing import REMUS_PRIMARY
from ...writer.part import record
from .. import configuration as configurations
from .. import handshake
from ..flow import shown
from ..interface import End, Guest
from ..machine import Machine
from ..sending import Saving, Way
from ..side import Asked
from ..waiting import READ, Waiter
from .devices import Devices
from .epochs import Epoch, Epochs
from .saving import CheckpointSaver
from .verdicts import of_standby
from .witness import PRIMARY, Nobody, Witness

# What a standby of ours sends back when it has taken up a checkpoint: the record that ends one.
ACKNOWLEDGEMENT = b"".join(record("libxl.CHECKPOINT_END").buffers("<"))
# Seconds between two looks at the orders, and bytes that are read at once of what nobody asked for.
_LOOK, _SOME = 0.02, 4096


@dataclass(frozen=True, slots=True)
class Remus:
    """How a guest is protected.

    :param interval: seconds for which it runs between a commit and the next checkpoint.
    :param acknowledged: the standby says when it has a checkpoint, as ours does and Xen's does not.
    :param witness: who may go on when the link fails.
    :param most: checkpoints after which it ends; 0 for no such number.
    """

    interval: float = 0.2
    acknowledged: bool = True
    devices: Devices = field(default_factory=Devices)
    witness: Witness = field(default_factory=Nobody)
    most: int = 0


class RemusPrimary(Saving):
    """Protects a guest.  `epochs` are the figures of its checkpoints at any moment."""

    def __init__(self, guest: Guest, end: End, way: Way, remus: Remus, asked: Asked) -> None:
        super().__init__(guest, end, way, asked)
        self.remus = remus
        self.epochs = Epochs()
        self.machine = Machine(REMUS_PRIMARY, {name: getattr(self, f"_{name}") for name in REMUS_PRIMARY.actions})
        self._saver = CheckpointSaver(guest, self.output, self.pages, self.passes, xen=way.xen)
        self._said = b""
        self._stopped = self._stood = 0.0
        self._frames = self._size = self._held = 0

    @property
    def verdicts(self) -> dict[str, str]:
        """What the standby has kept or broken, clause by clause."""
        return of_standby(self.epochs.count, self._said)

    def protect(self) -> NoReturn:
        """Protect the guest until that ends; this always raises why.

        :raises MigrationError: there is no standby any more; the guest goes on here, as it did before.
        :raises TakenOverError: it goes on over there; the copy here stands.
        """
        self.machine.happen("start")
        error = self.machine.error or CancelledError("the protection has ended")
        if self.machine.state == "taken over" and isinstance(error, Exception):
            raise TakenOverError(f"the standby has the guest: {error}") from error
        raise error

    def check(self) -> None:
        """Go on; raises as :meth:`Saving.check`, and if the other side has said something or gone."""
        super().check()
        while self.input.spoke():
            self._spoken()

    def _spoken(self) -> None:
        """Something has come that was not waited for.

        :raises LinkError: it is the end; PeerError: it is not even an acknowledgement.
        """
        said = b"" if self.input.ended("last words") else self.input.some(_SOME)
        if not said:
            raise LinkError("the link was closed by the standby")
        late = not self.remus.acknowledged and self.machine.owner and self.epochs.count
        if not (late and said == ACKNOWLEDGEMENT * (len(said) // len(ACKNOWLEDGEMENT))):
            self._said = said + self.input.last_words()
            raise PeerError(f"the standby has given up: {shown(self._said)}")

    # -- actions --------------------------------------------------------------------------------------------------

    def _await_greeting(self) -> str:
        self.input.patience = self.patience.greeting
        self.input.expect(handshake.GREETING, "greeting of xl's receiver")
        return "GREETING"

    def _copy(self) -> str:
        self.head()
        self._saver.begin()
        self._stopped = self.waiter.clock() - (self.precopy.statistics.downtime or 0.0)
        return "copied"

    def _capture(self) -> str:
        self.remus.devices.postsuspend()
        self._frames = self._saver.capture(carried=self.remus.devices.carried())
        self._held = self.remus.devices.held
        return "captured"

    def _resume(self) -> str:
        self.remus.devices.preresume()
        if self.ran:
            self.guest.resume()
        self._stood = self.waiter.clock() - self._stopped
        return "resumed"

    def _send(self) -> str:
        self.pace.limit = self.way.orders.speed
        self._size = self._saver.complete()
        if self.remus.acknowledged:
            self.input.patience = self.patience.answer
            self.input.expect(ACKNOWLEDGEMENT, f"acknowledgement of checkpoint {self.epochs.count}")
        return "complete"

    def _commit(self) -> str:
        self.remus.devices.commit()
        latency = self.waiter.clock() - self._stopped
        row = Epoch(self.epochs.count, self._frames, self._size, self._stood, latency, self._held)
        self.epochs.add(row)
        figures = {name: getattr(row, name) for name in ("number", "frames", "stood", "latency", "held")}
        self.event("checkpoint", **figures, bytes=row.sent)
        self.asked.progress()
        return "committed"

    def _wait(self) -> str:
        if self.epochs.count == self.remus.most:
            raise CancelledError(f"{self.remus.most:,} checkpoints were asked for, and made")
        deadline = self.waiter.clock() + self.remus.interval
        while True:
            self.check()
            moment = min(deadline, self.waiter.clock() + _LOOK)
            if heard(self.waiter, self.end.fileno(), moment):
                continue
            if moment == deadline:
                return "due"

    def _suspend(self) -> str:
        self._stopped = self.waiter.clock()
        self.guest.pause()
        return "suspended"

    def _claim(self) -> str:
        error = self.machine.error
        self.event("claiming", error=f"{type(error).__name__}: {error}")
        if isinstance(self.remus.witness, Nobody) and isinstance(error, CancelledError | KeyboardInterrupt):
            # A standby that is there takes over when the link is closed, and nothing keeps it from that.
            return "lost"
        return "won" if self.remus.witness.claim(PRIMARY) else "lost"

    def _go_on(self) -> str:
        self._end_saving()
        try:
            self.keep(self.machine.error)
        finally:
            self.remus.devices.release()
        return ""

    def _yield_guest(self) -> str:
        self.remus.devices.drop()
        self._end_saving()
        self.guest.pause()
        self.guest.dirty.disable()
        self.remus.devices.drop()
        self.name += configurations.AWAY
        self.event("taken over", error=f"{type(self.machine.error).__name__}: {self.machine.error}")
        return ""

    def _end_saving(self) -> None:
        if not self._saver.machine.ended:
            self._saver.end()


def heard(waiter: Waiter, descriptor: int, moment: float) -> bool:
    """Whether `descriptor` became readable before a moment of the clock."""
    try:
        waiter.until(descriptor, READ, moment)
    except LateError:
        return False
    return True


def protect(guest: Guest, end: End, way: Way, remus: Remus, asked: Asked | None = None) -> MigrationError:
    """Protect a guest with the standby at the other end of a link; returns why that ended.

    A :class:`TakenOverError` says that the guest goes on over there: close the copy here, which stands.  After any
    other it goes on here, if it ran before.
    """
    try:
        RemusPrimary(guest, end, way, remus, asked or Asked(Waiter())).protect()
    except MigrationError as error:
        return error
