"""A stream whose image has checkpoints: the restorer, in steps; what failed where decides what is left.

From the first checkpoint on, everything waits until the next one is whole: its memory is put in place then, and its
state is kept until somebody takes over.  So at most one checkpoint's records are held besides the guest.

Source: tools/libs/guest/xg_sr_restore.c, handle_checkpoint; tools/libs/light/libxl_stream_read.c.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import CancelledError, LateError, LinkError, OversizeError, PeerError
from ...schema.checkpointing import BROKEN, CANCELLED, ENDS, LOST, OUTCOMES, WITHDRAWN
from ..flow import Input
from ..interface import Guest
from ..restorer import Restorer
from .disk import Replica


def happened(error: BaseException | None) -> str:
    """What an error is to the table of outcomes."""
    if isinstance(error, LinkError | LateError | OversizeError):
        return LOST
    return CANCELLED if isinstance(error, CancelledError) else BROKEN


class CheckpointRestorer(Restorer):
    """Takes checkpoints one after another: `next` until it is False.  `lost` says what ended it, `place` where.

    :param make: gives the guest for an image of a type; it is closed if nothing is left of it.
    :param disk: what has the guest's writes to its disk, where they come with the checkpoints.
    :param settle: called before something is done by what has come, and may raise.
    """

    def __init__(
        self,
        source: Input,
        make: Callable[[str], Guest],
        *,
        settle: Callable[[], None],
        emulator: Path | None = None,
        disk: Replica | None = None,
    ) -> None:
        super().__init__(source, make, settle=settle, emulator=emulator)
        self._disk = disk
        self.count = 0
        self.place = "initial"
        self.waiting = 0

    def next(self) -> bool:
        """Take the next checkpoint, whole; returns whether there was one.  If not, `guest` is the last one, paused.

        :raises MigrationError: there is none, and no guest.
        """
        before = self.count
        self.machine.happen(self._go_on() if self.count else "start")
        if self.machine.error is not None:
            raise self.machine.error
        return self.count > before

    def take_over(self) -> Guest:
        """The guest of the last checkpoint, paused, with all of its state.

        :raises GuestError: it cannot be had here.
        """
        assert self._image is not None
        assert self.guest is not None
        self._image.load()
        return self.guest

    def _go_on(self) -> str:
        assert self._image is not None
        self.place = "records" if self.count else "initial"
        try:
            ended = self._image.go_on()
            self._settle()
        except Exception as error:
            return self._fallen(error)
        self.waiting = self._image.held
        if ended == "CHECKPOINT":
            self.place = "tail" if self.count else "first tail"
            return "checkpoint"
        return self._fallen(PeerError("the image has ended, where checkpoints were to come"), WITHDRAWN)

    def _checkpoint_done(self) -> str:
        self.place = "applying" if self.count else "first applying"
        assert self._image is not None
        self.queue.popleft()  # CHECKPOINT_END
        # The first state is tried, so that a guest that cannot be had here is known now and not when it is needed.
        self._image.apply(later=self.count > 0)
        if self._disk is not None:
            self._disk.commit()
        self.count += 1
        return ""

    def _pass_over(self) -> str:
        _, body = self.queue.popleft()
        if self._disk is not None:
            self._disk.take(body)
        return "applied"

    def _fail_over(self) -> str:
        return self._fallen(self.machine.error or PeerError("a checkpoint broke off"))

    def _fallen(self, error: BaseException, event: str = "") -> str:
        """What is left when an error has happened here, as the table says."""
        self.queue.clear()
        if self._disk is not None:
            self._disk.drop()
        if OUTCOMES[self.place, event or happened(error)] == ENDS:
            return self.machine.fail(error)
        assert self._image is not None
        self._image.go_back()
        self.lost, self.machine.error = error, None
        return "failed over"
