"""COLO's primary: the side whose guest everybody sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import CancelledError, GuestError, LinkError, PeerError, TakenOverError
from ...schema.colo import PRIMARY, THEIRS
from ...writer.part import record
from .. import configuration as configurations
from .. import frames as sets
from .. import handshake
from ..checkpointing.epochs import Epoch, Epochs
from ..checkpointing.saving import CheckpointSaver
from ..checkpointing.witness import PRIMARY as ROLE
from ..checkpointing.witness import Nobody
from ..flow import Output
from ..interface import End, Guest
from ..precopy import Precopy
from ..saver import Pages, container
from ..sending import Way
from ..side import Asked
from ..statistics import Statistics
from . import messages
from .party import Colo, Party
from .verdicts import of_secondary

_CHECKPOINT = record("libxc.CHECKPOINT")


class _Saver(CheckpointSaver):
    """Sends pages while the guest stands, so that the secondary reads them meanwhile: it goes on no sooner anyway."""

    def __init__(self, guest: Guest, output: Output, pages: Pages, passes: Callable[[], object], **more: Any) -> None:
        super().__init__(guest, output, pages, passes, **more)
        self._written = sets.NONE

    def stand(self) -> None:
        """The guest stands: what it has written is known from now on."""
        self._written |= self._pages.dirty.clean()

    def capture(self, also: int = sets.NONE, carried: bytes = b"") -> int:
        which = self._written | also | self._pages.deferred()
        self._written = sets.NONE
        if which:
            self._pages.send(which, True)
        self._blob, self._carried = self.guest.emulator(), carried
        state = [bytes(buffer) for part in self.guest.state() for buffer in part.buffers("<")]
        self._held = [*state, *map(bytes, _CHECKPOINT.buffers("<"))]
        return which.bit_count()


class _Bare(_Saver):
    """Writes an image alone, without libxl's records around it."""

    def _write_header(self) -> str:
        return "written"

    def _write_context(self) -> str:
        return "written"

    def _write_emulator(self) -> str:
        return "written"

    def _write_checkpoint_end(self) -> str:
        return "written"


class Primary(Party):
    """Protects a guest until that ends; then `machine.state` says what is left, and `place` in which state it failed.

    `epochs` are the figures of its checkpoints, `reason` is why the last one was made, `theirs` how many frames the
    secondary had written before it.
    """

    guest: Guest

    def __init__(
        self,
        guest: Guest,
        end: End,
        way: Way,
        colo: Colo,
        asked: Asked,
        completion: Callable[[BaseException | None], None] = lambda error: None,
    ) -> None:
        super().__init__(end, PRIMARY, ROLE, colo, asked, completion)
        self.guest = guest
        self.way = way
        self.epochs = Epochs()
        self.reason = ""
        self.theirs = sets.NONE
        self.ran = guest.running
        self.output.watcher = asked.watcher
        pages = Pages(guest, self.output, self.waiter, self._went)
        self._precopy = Precopy(pages, way.settings, way.orders)
        saver = _Bare if colo.bare else _Saver
        self._saver = saver(guest, self.output, pages, self._precopy.run, xen=way.xen)
        self.lists = messages.Lists(self.input, guest.pages)
        self._stopped = self._stood = 0.0
        self._frames = self._before = self._sent = self._held = 0
        self._offered = False

    @property
    def statistics(self) -> Statistics:
        """The figures of the first copy of memory."""
        return self._precopy.statistics

    @property
    def verdicts(self) -> dict[str, str]:
        """What the secondary has kept or broken, clause by clause."""
        return of_secondary(self.epochs.count, self.machine.error, bool(self.lists.shifted))

    def protect(self) -> None:
        """Do so until something ends it, which is raised; the guest goes on here then.

        :raises MigrationError: what ended it.
        :raises TakenOverError: the secondary's guest goes on; the copy here stands.  So it is without a witness if
            somebody asked for the end.
        """
        if self.guest.type != "hvm":
            raise GuestError(f"COLO-HVM: COLO takes HVM guests, and this is of type {self.guest.type}")
        self.machine.happen("start")
        error = self.machine.error
        assert error is not None
        if self.machine.state == "ended":
            raise TakenOverError(f"the secondary has the guest: {error}") from error
        raise error

    # -- actions ----------------------------------------------------------------------------------------------

    def _await_greeting(self) -> str:
        if not self.colo.bare:
            self.input.patience = self.patience.greeting
            self.input.expect(handshake.GREETING, "greeting of the secondary")
        return "GREETING"

    def _send_memory(self) -> str:
        if not self.ran or not self.way.live:
            self.way.orders.stop = True  # what does not change need not be sent twice
        config = self.way.configuration or configurations.of(self.guest, "guest")
        self.name = config.name
        if not self.colo.bare:
            for part in container(config):
                self.output.put(part.buffers("<"))
        self._stopped = self.waiter.clock()
        self._saver.begin()
        self.device(self.devices.postsuspend, "postsuspend")
        return "copied"

    def _capture(self) -> str:
        self._before = self.output.sent
        self._frames = self._saver.capture(self.theirs)
        self._held = self.devices.held
        return "captured"

    def _send_checkpoint(self) -> str:
        self._offered = True
        self._saver.complete()
        self._sent = self.output.sent - self._before
        return self.hear(messages.READY, self.patience.ready)

    def _resume(self) -> str:
        self.device(self.devices.preresume, "preresume")
        self.guest.resume()
        self.ran = True
        self._stood = self.waiter.clock() - self._stopped
        return self.hear(messages.RESUMED, self.patience.answer)

    def _watch(self) -> str:
        self.device(self.devices.commit, "commit")
        now = self.waiter.clock()
        epoch = Epoch(self.epochs.count, self._frames, self._sent, self._stood, now - self._stopped, self._held)
        self.epochs.add(epoch)
        figures = {name: getattr(epoch, name) for name in ("number", "frames", "stood", "latency", "held")}
        theirs = self.theirs.bit_count()
        self.event("checkpoint", **figures, bytes=epoch.sent, theirs=theirs, reason=self.reason)
        if self.colo.most and epoch.number == self.colo.most:
            raise CancelledError(f"{self.colo.most:,} checkpoints after the first were asked for, and made")
        self.reason = ""
        self.idle(self._wanted, now + self.colo.interval)
        self.reason = self.reason or "interval"
        return "wanted"

    def _announce(self) -> str:
        self.tell(messages.NEW)
        self._stopped = self.waiter.clock()
        self.guest.pause()
        self.device(self.devices.postsuspend, "postsuspend")
        self._saver.stand()
        return self.hear(messages.SUSPENDED, self.patience.answer)

    def _merge(self) -> str:
        self.input.patience = self.patience.progress
        known = self.lists.shifted
        self.theirs = self.lists.next()
        if self.lists.shifted and not known:
            self.event("finding", clause="COLO-DIRTY-HDR", words="eight zeros lie before a list's frames, uncounted")
        return "listed"

    def _claim(self) -> str:
        wanted = isinstance(self.machine.error, CancelledError | KeyboardInterrupt)
        if wanted and self._offered and isinstance(self.colo.witness, Nobody):
            # A secondary that is there takes over when the link is closed, and nothing keeps it from that.
            return THEIRS
        return self.claim()

    def _end_own(self) -> str:
        for step in (self.devices.drop, self.guest.pause, self.guest.dirty.disable):
            try:
                step()
            except Exception as error:
                self.machine.fail(error)
        self.event("taken over", error=f"{type(self.machine.error).__name__}: {self.machine.error}")
        return "torn down"

    def _keep(self) -> str:
        self.guest.dirty.disable()
        if self.ran:
            self.guest.resume()
        try:
            self.devices.release()
        except Exception as error:  # the guest is worth more than what it puts out
            self.event("warning", error=f"{type(error).__name__}: {error}")
        why = self.machine.error
        self.event("kept", running=self.ran, error=f"{type(why).__name__}: {why}")
        return "torn down"

    # -- while it runs ----------------------------------------------------------------------------------------

    def _wanted(self) -> bool:
        """Whether there is a reason for a checkpoint.

        :raises CancelledError: somebody asked for the end.
        :raises LinkError: the secondary has gone; PeerError: it speaks, and nobody has asked.
        """
        self._went()
        if self.input.spoke():
            if self.input.ended("a message"):
                raise LinkError("the link was closed by the secondary, while both guests ran")
            if not self.colo.bare:
                raise PeerError("LIBXL-CKPTSTATE-CTX: the secondary speaks while both guests run")
        self.reason = self.colo.diverged()
        return bool(self.reason)

    def _went(self) -> None:
        self.way.orders.check()
        self.asked.progress()
