"""How COLO's secondary reads the stream: one announced checkpoint after another, taken up when it is whole.

What has failed is raised, and the guest left as it is: what becomes of it is for the secondary's table to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...errors import GuestError, PeerError
from ...schema.libxl import CHECKPOINT_STATES
from ..flow import Input
from ..image import Image
from ..interface import Guest
from ..restorer import Restorer


class Stream(Protocol):
    """What a secondary reads."""

    @property
    def guest(self) -> Guest | None:
        """The guest, once its image has begun."""

    @property
    def waiting(self) -> int:
        """Bytes of pages that were kept for the last checkpoint, until it was whole."""

    def next(self) -> str:
        """Read up to the end of the next checkpoint, or the image's END: "checkpoint" or "END".

        :raises PeerError: what comes must not; LinkError, LateError: it breaks off.
        """

    def announced(self) -> str:
        """Read that there will be another one: "NEW"; raises as above."""

    def take_up(self) -> None:
        """Have the guest take over what has come.  Raises PeerError and GuestError."""

    def drop(self) -> None:
        """Forget what it has not taken over."""


def only_hvm(make: Callable[[str], Guest]) -> Callable[[str], Guest]:
    """Makes guests of COLO: HVM ones."""

    def made(kind: str) -> Guest:
        if kind != "hvm":
            raise PeerError(f"COLO-HVM: COLO takes HVM guests, and the image is of type {kind}")
        return make(kind)

    return made


class Bare:
    """An image alone, without libxl's records."""

    def __init__(self, source: Input, make: Callable[[str], Guest]) -> None:
        self._image = Image(source, only_hvm(make))
        self.waiting = 0

    @property
    def guest(self) -> Guest | None:
        return self._image.guest

    def next(self) -> str:
        if self._image.guest is None:
            self._image.begin()
        ended = self._image.go_on()
        self.waiting = self._image.held
        return "checkpoint" if ended == "CHECKPOINT" else "END"

    def announced(self) -> str:
        return "NEW"

    def take_up(self) -> None:
        self._image.apply()

    def drop(self) -> None:
        self._image.go_back()


class Whole(Restorer):
    """A stream of both layers.  `blob` is the device model's state of the last checkpoint that has come."""

    def __init__(self, source: Input, make: Callable[[str], Guest], settle: Callable[[], None]) -> None:
        super().__init__(source, only_hvm(make), settle=settle)
        self.waiting = 0
        self._event = "start"
        self._failure: BaseException | None = None
        self._finished = ""

    def next(self) -> str:
        event, self._event = self._event, "served"
        self._finished = ""
        self._happen(event)
        return self._finished

    def announced(self) -> str:
        self._happen("message")
        return "NEW"

    def take_up(self) -> None:
        assert self._image is not None
        self._image.apply()

    def drop(self) -> None:
        self.queue.clear()
        if self._image is not None:
            self._image.go_back()

    def _happen(self, event: str) -> None:
        self.machine.happen(event)
        failure = self._failure or self.machine.error
        if failure is not None:
            raise failure

    def _go_on(self) -> str:
        assert self._image is not None
        try:
            ended = self._image.go_on()
            self._settle()
        except Exception as error:
            self._failure = error
            return "failed over"
        self.waiting = self._image.held
        if ended == "CHECKPOINT":
            return "checkpoint"
        self._finished = "END"
        return "failed over"

    def _checkpoint_done(self) -> str:
        self.queue.popleft()  # CHECKPOINT_END
        self._finished = "checkpoint"
        return ""

    def _fail_over(self) -> str:
        if self.queue and self.machine.error is None:
            self.machine.fail(PeerError(f"a record {self.queue[-1][0]} came, which a checkpoint's tail does not have"))
        self._failure, self.machine.error = self.machine.error or PeerError("a checkpoint broke off"), None
        return "failed over"

    def _checkpoint_lost(self) -> str:
        return self.machine.fail(self.machine.error or GuestError("the device model's state was not taken up"))

    def _serve(self) -> str:
        super()._serve()
        number = self.messages.pop()
        if number != CHECKPOINT_STATES["NEW"]:
            raise PeerError(f"LIBXL-CKPTSTATE-ID: id {number:#x} came where NEW should be")
        return ""

    def _tear_down(self) -> str:
        self.queue.clear()
        return "torn down"
