"""COLO's secondary: its guest runs along, and takes over when the primary has gone."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import LinkError, MigrationError, PeerError
from ...schema.colo import OURS, SECONDARY, STATUS
from .. import configuration as configurations
from .. import handshake
from ..checkpointing.witness import STANDBY as ROLE
from ..configuration import Configuration
from ..interface import End, Guest
from ..judging import Judge
from ..receiving import Make, read_container, read_head
from ..side import All, Asked
from . import messages
from .party import Colo, Party
from .restoring import Bare, Stream, Whole
from .verdicts import of_primary


class Secondary(Party):
    """Stands by until it is alone.  `count` are the checkpoints that it has taken up, `most` the most bytes of pages
    that waited for one to be whole; `lost` says why it is alone, `place` in which state that was.

    :param inspect: called with the guest whenever it has taken up a checkpoint, and stands.
    :param configuration: of a bare stream, which has none.
    """

    def __init__(
        self,
        end: End,
        make: Make,
        colo: Colo,
        asked: Asked,
        completion: Callable[[BaseException | None], None] = lambda error: None,
        *,
        inspect: Callable[[Guest], None] = lambda guest: None,
        configuration: Configuration | None = None,
    ) -> None:
        super().__init__(end, SECONDARY, ROLE, colo, asked, completion)
        self.count = self.most = 0
        self.lost: BaseException | None = None
        self.configuration = configuration
        self._make, self._inspect = make, inspect
        self._stream: Stream | None = None
        self._judge: Judge | None = None

    @property
    def guest(self) -> Guest | None:  # type: ignore[override] # of a secondary it is there only when it has come
        """The guest, once there is one."""
        return None if self._stream is None else self._stream.guest

    @property
    def status(self) -> str:
        """What libxl would call it now."""
        return STATUS.get(self.machine.state, "")

    @property
    def verdicts(self) -> dict[str, str]:
        """What the primary's stream has kept or broken, clause by clause; of a bare one nothing is judged."""
        return {} if self._judge is None else of_primary(self._judge.verifier.findings.kept, self.count)

    def stand_by(self) -> Guest:
        """Do so until the guest here is the only one: it runs, and `lost` says why.

        :raises MigrationError: why there is none here.
        """
        try:
            self.machine.happen("start")
        finally:
            self._close()
        if self.machine.state != "survived" or self.guest is None:
            raise self.machine.error or PeerError("the guest was given up")
        return self.guest

    # -- actions ----------------------------------------------------------------------------------------------

    def _receive(self) -> str:
        self.input.patience = self.patience.progress
        if self.colo.bare:
            self._stream = Bare(self.input, self._made)
        else:
            self.output.put([handshake.GREETING])
            self.output.flush()
            self._judge = Judge("xl", "colo")
            head = read_head(self.input)
            self.input.watcher = All(self._judge, self.asked.watcher)
            self.input.watcher.see([head])
            self.configuration, legacy = read_container(head, self.input)
            if legacy:
                raise PeerError("the stream is of the format before Xen 4.6, which has no COLO")
            self.name = self.configuration.name + configurations.INCOMING
            self._stream = Whole(self.input, self._made, self._judge.settle)
        if self._next() != "checkpoint":
            raise PeerError("CKPT-FIRST-FATAL: the image has ended, and not one checkpoint has come")
        return "checkpoint"

    def _build(self) -> str:
        self._take_up()
        return "built"

    def _set_up(self) -> str:
        assert self.guest is not None
        self.guest.dirty.enable()
        self.device(self.colo.setup, "setup")
        return "set up"

    def _say_ready(self) -> str:
        self.tell(messages.READY)
        return "said"

    def _resume(self) -> str:
        assert self.guest is not None
        if self.count > 1:
            self.device(self.devices.preresume, "preresume")
        self.guest.resume()
        return "resumed"

    def _say_resumed(self) -> str:
        assert self._stream is not None
        self.tell(messages.RESUMED)
        self.event("checkpoint", number=self.count - 1, bytes=self._stream.waiting)
        return "said"

    def _await_new(self) -> str:
        assert self._stream is not None
        self.device(self.devices.commit, "commit")
        # Without libxl nobody says NEW: libxc's primary waits for the list.
        if not self.colo.bare and not self.idle(self._spoken, self.waiter.clock() + self.colo.silence):
            raise LinkError(f"nothing has come from the primary for {self.colo.silence:g} seconds")
        self.input.patience = self.patience.progress
        return self._stream.announced()

    def _suspend(self) -> str:
        assert self.guest is not None
        self.guest.pause()
        self.device(self.devices.postsuspend, "postsuspend")
        return "suspended"

    def _say_suspended(self) -> str:
        self.tell(messages.SUSPENDED)
        return "said"

    def _say_dirty(self) -> str:
        assert self.guest is not None
        self.output.put(messages.dirty(self.guest.dirty.clean()))
        self.output.flush()
        return "said"

    def _queue(self) -> str:
        return self._next()

    def _take_up(self) -> str:
        assert self._stream is not None
        assert self.guest is not None
        self._stream.take_up()
        self.count += 1
        self._inspect(self.guest)
        return "taken up"

    def _fail_over(self) -> str:
        assert self._stream is not None
        assert self.guest is not None
        began = self.waiter.clock()
        self._stream.drop()
        whose = self.claim()
        if whose != OURS:
            return whose
        self.name = self.name.removesuffix(configurations.INCOMING)
        self.guest.resume()
        try:
            # Only speed depends on these: the guest runs, and nobody else has it.
            self.guest.dirty.disable()
            self.devices.release()
        except Exception as error:
            self.event("warning", error=f"{type(error).__name__}: {error}")
        self.lost = self.machine.error or PeerError("the primary has ended the stream")
        self.machine.error = None
        words = f"{type(self.lost).__name__}: {self.lost}"
        took = self.waiter.clock() - began
        self.event("failed over", checkpoint=self.count - 1, error=words, place=self.place, took=took)
        return whose

    # -- what they need ---------------------------------------------------------------------------------------

    def _made(self, kind: str) -> Guest:
        assert self.configuration is not None
        guest = self._make(kind, self.configuration)
        self.event("begun", type=kind, frames=guest.pages)
        return guest

    def _next(self) -> str:
        """The next checkpoint, or the END."""
        assert self._stream is not None
        try:
            found = self._stream.next()
        except MigrationError:
            if self._judge is not None:
                self._judge.settle()  # what broke a rule says more than what came of it
            raise
        self.most = max(self.most, self._stream.waiting)
        return found

    def _spoken(self) -> bool:
        self.colo.poll()
        self.asked.progress()
        return self.input.spoke()

    def _close(self) -> None:
        self.input.watcher = None
        if self._judge is not None:
            self._judge.close()
