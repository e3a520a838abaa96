"""Remus, the standby's side: the last complete checkpoint of a guest that runs elsewhere, and its guest if that ends.

It works as :data:`streamfmt.schema.checkpointing.REMUS_STANDBY` and the table of outcomes beside it say.
"""

from __future__ import annotations

from ...errors import LinkError, MigrationError, PeerError
from ...schema.checkpointing import REMUS_STANDBY
from .. import handshake
from ..interface import End, Guest
from ..judging import Judge
from ..machine import Machine
from ..receiving import Make, Restoring, Taking
from ..side import Asked
from ..waiting import Waiter
from .disk import Replica
from .primary import ACKNOWLEDGEMENT
from .restoring import CheckpointRestorer
from .verdicts import of_stream
from .witness import STANDBY, Nobody, Witness


class RemusStandby(Restoring):
    """Stands by.  `count` are the checkpoints that were taken up, `held` the most bytes of one that waited.

    :param witness: who may go on when the link fails.
    :param disk: the copy of the guest's disk.
    """

    def __init__(
        self,
        end: End,
        make: Make,
        taking: Taking,
        asked: Asked,
        witness: Witness | None = None,
        disk: Replica | None = None,
    ) -> None:
        super().__init__(end, make, taking, asked)
        self.machine = Machine(REMUS_STANDBY, {name: getattr(self, f"_{name}") for name in REMUS_STANDBY.actions})
        self.held = 0
        self.lost: BaseException | None = None
        self._witness = witness or Nobody()
        self._disk = disk
        self._judge = Judge("xl", "remus")
        self._restorer: CheckpointRestorer | None = None
        self._acknowledges = True

    @property
    def count(self) -> int:
        """How many checkpoints were taken up."""
        return 0 if self._restorer is None else self._restorer.count

    @property
    def verdicts(self) -> dict[str, str]:
        """What the primary's stream has kept or broken, clause by clause."""
        return of_stream(self._judge.verifier.findings.kept, self.count)

    def stand_by(self) -> Guest:
        """Stand by until the primary has gone; returns the guest, which runs here then.

        :raises MigrationError: why there is no guest here.
        """
        try:
            self.machine.happen("start")
        finally:
            self.input.watcher = None
            self._judge.close()
        if self.machine.state != "running":
            raise self.machine.error or PeerError("the primary has the guest")
        assert self.guest is not None
        return self.guest

    def _next(self) -> str:
        assert self._restorer is not None
        try:
            whole = self._restorer.next()
        except MigrationError:
            self._judge.settle()  # what broke a rule says more than what came of it
            raise
        self.guest = self._restorer.guest
        self.held = max(self.held, self._restorer.waiting)
        if whole:
            return "checkpoint"
        self.lost = self._restorer.lost
        return "failed over"

    # -- actions --------------------------------------------------------------------------------------------------

    def _receive(self) -> str:
        self.say(handshake.GREETING)
        config, legacy = self.head(self._judge)
        if legacy:
            raise PeerError("the stream is of the format before Xen 4.6, which is not taken checkpoint by checkpoint")
        make = self._make
        self._restorer = CheckpointRestorer(
            self.input,
            lambda kind: make(kind, config),
            settle=self._judge.settle,
            emulator=self.taking.emulator,
            disk=self._disk,
        )
        return self._next()

    def _stand_by(self) -> str:
        assert self._restorer is not None
        self._acknowledge()
        self.event("checkpoint", number=self.count - 1, bytes=self._restorer.waiting)
        self.asked.progress()
        return self._next()

    def _acknowledge(self) -> None:
        """Say that it is here.  Who does not read that, as Xen's primary does not, is not told any more."""
        if self._acknowledges:
            try:
                self._acknowledges = self.end.send([ACKNOWLEDGEMENT]) == len(ACKNOWLEDGEMENT)
            except (BlockingIOError, LinkError):
                self._acknowledges = False

    def _claim(self) -> str:
        self.event("failed over", error=f"{type(self.lost).__name__}: {self.lost}", checkpoint=self.count - 1)
        if self._witness.claim(STANDBY):
            return "won"
        self.machine.fail(PeerError(f"the primary has claimed the guest: {self.lost}"))
        return "lost"

    def _start_guest(self) -> str:
        assert self._restorer is not None
        guest = self._restorer.take_over()
        if self.taking.inspect is not None:
            self.taking.inspect(guest)
        self.begin()
        return "started"

    def _finish(self) -> str:
        self.event("running")
        return ""

    def _end_own(self) -> str:
        self.give_up(self.machine.error)
        return ""


def stand_by(
    end: End, make: Make, taking: Taking | None = None, asked: Asked | None = None, witness: Witness | None = None
) -> Guest:
    """Stand by for the primary at the other end of a link; returns its guest, which runs here from then on.

    :raises MigrationError: why there is no guest here: the primary has it, or it was lost before a checkpoint was
        whole.
    """
    return RemusStandby(end, make, taking or Taking(), asked or Asked(Waiter()), witness).stand_by()
