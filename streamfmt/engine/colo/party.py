"""What both of COLO's sides have: settings, a table to work by, devices, and a witness for when the link fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import CancelledError, GuestError, LateError, LinkError, MigrationError, PeerError
from ...schema.colo import OURS, THEIRS
from ...schema.transitions import Automaton
from ..checkpointing.devices import Devices
from ..checkpointing.witness import Nobody, Witness
from ..interface import End, Guest
from ..machine import Machine
from ..side import Asked, Side
from ..waiting import READ
from . import messages

# The longest time between two checkpoints that Xen's proxy waits for a difference, in seconds (libxl_colo_proxy.c), and
# between two looks at what nothing wakes for.
INTERVAL, _LOOK = 5.0, 0.01


def nothing() -> None:
    """There is nothing to be done."""


def no_reason() -> str:
    """There is no reason for a checkpoint."""
    return ""


@dataclass(frozen=True, slots=True)
class Colo:
    """How a guest is protected.

    `interval` is the longest time between two checkpoints, in seconds; `diverged` says why one is needed before that,
    empty if it is not, and is asked again and again; `poll` is called as often at the secondary, to pass on what its
    guest has put out; `setup` does what has to be there before its guest runs.  `bare` is libxc's part alone, without
    what libxl and xl say: what Xen's library does without them.  `most` are the
    checkpoints after the first with which it ends, 0 for no such number; `silence` is for how long nothing may come
    from a primary that runs.
    """

    interval: float = INTERVAL
    devices: Devices = field(default_factory=Devices)
    witness: Witness = field(default_factory=Nobody)
    diverged: Callable[[], str] = no_reason
    poll: Callable[[], None] = nothing
    setup: Callable[[], None] = nothing
    bare: bool = False
    most: int = 0
    silence: float = 30.0


class Party(Side):
    """One side.  `completion` is called once, with what ended it.

    :param role: what the witness knows it as.
    """

    guest: Guest | None

    def __init__(
        self,
        end: End,
        automaton: Automaton,
        role: str,
        colo: Colo,
        asked: Asked,
        completion: Callable[[BaseException | None], None] = lambda error: None,
    ) -> None:
        super().__init__(end, asked)
        self.colo = colo
        self.devices = colo.devices
        self.place = ""
        self._role = role
        self._completion = completion
        actions = {name: self._guarded(getattr(self, f"_{name}")) for name in automaton.actions}
        self.machine = Machine(automaton, actions)

    def abort(self) -> None:
        """Give up, wherever it is."""
        if not self.machine.ended:
            self.machine.fail(CancelledError("it was ended"))
        self.machine.happen("abort")

    def hear(self, wanted: int, seconds: float) -> str:
        """Wait for a CHECKPOINT_STATE on the back channel; its name.  Raises as :func:`.messages.hear`."""
        if not self.colo.bare:
            self.input.patience = seconds
            messages.hear(self.input, wanted)
        return messages.name(wanted)

    def tell(self, number: int) -> None:
        """Send a CHECKPOINT_STATE."""
        if not self.colo.bare:
            self.output.put([messages.state(number)])
            self.output.flush()

    def idle(self, done: Callable[[], bool], moment: float) -> bool:
        """Wait until something is done or has come, or until a moment of the clock; returns whether it is done."""
        descriptor = self.end.fileno()
        watched = not self.input.spoke()
        if watched:
            self.waiter.serve(descriptor, READ, nothing)
        try:
            while not done():
                if self.waiter.clock() >= moment:
                    return False
                self.waiter.step(min(moment, self.waiter.clock() + _LOOK))
            return True
        finally:
            if watched:
                self.waiter.drop(descriptor)

    def device(self, step: Callable[[], None], what: str) -> None:
        """Have the devices do a step.

        :raises GuestError: they fail; their links are not the one to the other side.
        """
        try:
            step()
        except MigrationError as error:
            raise GuestError(f"devices: {what} has failed: {error}") from error

    def claim(self) -> str:
        """Whose guest goes on."""
        try:
            return OURS if self.colo.witness.claim(self._role) else THEIRS
        except MigrationError as error:
            self.event("claiming", error=f"{type(error).__name__}: {error}")
            return THEIRS

    def _end_own(self) -> str:
        for step in (self.devices.drop, nothing if self.guest is None else self.guest.close):
            try:
                step()
            except Exception as error:
                self.machine.fail(error)
        self.event("ended", error=f"{type(self.machine.error).__name__}: {self.machine.error}")
        return "torn down"

    def _report(self) -> str:
        completion, self._completion = self._completion, lambda error: None
        completion(self.machine.error)
        return ""

    def _guarded(self, action: Callable[[], str]) -> Callable[[], str]:
        def run() -> str:
            try:
                return action()
            except (LinkError, LateError) as error:
                event = "lost"
                self._note(error)
            except PeerError as error:
                event = "refused"
                self._note(error)
            except Exception as error:
                event = "failed"
                self._note(error)
            return event

        return run

    def _note(self, error: Exception) -> None:
        self.place = self.place or self.machine.state
        self.machine.fail(error)
