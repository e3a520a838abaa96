"""A guest with an emulator: both run and stand still together, and a frame is dirty if either has written it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..writer.part import Part
from .emulator.handle import RATE, Emulator
from .emulator.record import restored
from .frames import run
from .interface import Guest
from .logdirty.hypervisor import Hypervisor
from .logdirty.merged import Merged, emulators_log
from .waiting import Waiter
from .xenstore.client import Client


class Emulated:
    """A guest like any other, made of one and of an emulator; it owns both."""

    def __init__(self, guest: Guest, emulator: Emulator, waiter: Waiter, store: Client | None = None) -> None:
        """Join them; `waiter` is the saver's, and `store` its connection to xenstore, which is closed with the guest.

        :raises GuestError: the form in which the emulator logs needs a xenstore.
        """
        self.guest, self.emulated = guest, emulator
        self._store = store
        self.hypervisor = Hypervisor(guest.dirty)
        log = emulators_log(
            *(emulator.form, guest.pages, lambda: not emulator.running, waiter),
            store=store,
            domain=emulator.domain,
            monitor=emulator.monitor,
            reported=emulator.reported,
        )
        self.dirty = Merged(self.hypervisor, log)

    @property
    def type(self) -> str:
        """The guest's."""
        return self.guest.type

    @property
    def pages(self) -> int:
        """How many frames it has."""
        return self.guest.pages

    @property
    def memory(self) -> memoryview:
        """All of its frames."""
        return self.guest.memory

    @property
    def descriptor(self) -> int:
        """The file descriptor of its memory."""
        return self.guest.descriptor

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.guest.running

    def populated(self) -> int:
        """The guest's, and the emulator's ring."""
        ring = self.emulated.ring
        return self.guest.populated() | run(ring.first, ring.count)

    def types(self) -> Sequence[int] | None:
        """The guest's."""
        return self.guest.types()

    def pause(self) -> None:
        """Stop the guest, and then the emulator: what the guest asked of it last is done before.

        :raises GuestError: the emulator is gone.
        :raises LateError: it does not answer.
        """
        self.guest.pause()
        self.emulated.pause()

    def resume(self) -> None:
        """Let both run; raises as `pause` does, but the guest runs even without its emulator."""
        try:
            self.emulated.resume()
        finally:
            self.guest.resume()

    def static(self) -> Iterable[Part]:
        """The guest's."""
        return self.guest.static()

    def state(self) -> Iterable[Part]:
        """The guest's."""
        return self.guest.state()

    def emulator(self) -> bytes:
        """The emulator's record, while it is paused."""
        return self.emulated.state()

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Fill the guest."""
        self.guest.load(records)

    def digest(self) -> str:
        """The guest's: of what the emulator has, all but a number is in its memory."""
        return self.guest.digest()

    def broken(self) -> list[str]:
        """What of the guest's invariant, or of the emulator's, does not hold."""
        return self.guest.broken() + self.emulated.broken(self.guest.memory)

    def close(self) -> None:
        """End both."""
        self.emulated.close()
        self.guest.close()
        if self._store:
            self._store.close()


def restore(
    guest: Guest,
    blob: bytes,
    form: str,
    waiter: Waiter,
    *,
    rate: float = RATE,
    domain: int = 1,
    store: str = "",
    monitor: str = "",
) -> Emulated:
    """A guest that was filled, with an emulator that goes on from a record; it is paused.

    :raises GuestError: the record is not one of our emulator's, or the emulator cannot be had.
    """
    ring, seconds = restored(blob)
    emulator = Emulator(guest, form, ring, rate=rate, domain=domain, store=store, monitor=monitor, seconds=seconds)
    try:
        return Emulated(guest, emulator, waiter, Client(store) if store else None)
    except BaseException:
        emulator.close()
        raise
