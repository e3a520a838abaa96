"""What HVM guests have in common: memory with a workload in it, and state that goes through an HVM context."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

from ...schema import qemu
from ...writer.part import Part
from . import hvm, workload
from .hvm_entries import Entry
from .memory import Memory


class HvmGuest(ABC):
    """The half of :class:`streamfmt.engine.interface.Guest` that does not depend on what runs it.

    `held` is its memory.  What is abstract here raises GuestError while the guest runs.
    """

    type = "hvm"
    kind = ""

    def __init__(self, memory: Memory) -> None:
        self.held = memory
        self.running = False
        self._written = bytearray()

    @property
    def pages(self) -> int:
        """How many frames it has."""
        return self.held.pages

    @property
    def memory(self) -> memoryview:
        """All of its frames."""
        return self.held.view

    @property
    def descriptor(self) -> int:
        """The descriptor of its memory."""
        return self.held.descriptor

    def populated(self) -> int:
        """Frames that may have contents."""
        return self.held.populated()

    def types(self) -> Sequence[int] | None:
        """All are NOTAB."""
        return None

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Its state as entries of an HVM context, without header and end."""

    @abstractmethod
    def registers(self) -> Sequence[workload.Registers]:
        """The general registers of its vcpus."""

    @abstractmethod
    def khz(self) -> int:
        """At what rate its time stamp counter counts; 0 if it has none."""

    def state(self) -> list[Part]:
        """Its state, as it was when it stopped."""
        return hvm.records(self.entries(), self.khz())

    def emulator(self) -> bytes:
        """That of a device model without devices."""
        return bytes(qemu.EMPTY)

    def digest(self) -> str:
        """A hash of memory and state, but for clocks, which run on."""
        found = hashlib.sha256(self.held.digest().encode())
        for name, instance, data in hvm.still(self.entries()):
            found.update(f"{name} {instance} ".encode() + data)
        return found.hexdigest()

    def broken(self) -> list[str]:
        """What does not hold of its workload."""
        return workload.broken(self.held, self.registers())

    def console(self) -> bytes:
        """What it wrote to its console since this was last asked."""
        found = bytes(self._written)
        del self._written[: len(found)]
        return found

    def gap(self) -> float | None:
        """The longest time for which it stood still, as it felt it, in seconds; None if it does not look."""
        return workload.gap(self.held)

    def forget_gap(self) -> None:
        """Let it measure anew; while it is paused."""
        workload.forget_gap(self.held)

    def facts(self) -> dict[str, int | str]:
        """What another process needs to know to use it."""
        return {"type": self.type, "kind": self.kind, "address": self.held.address}

    def shares(self) -> tuple[int, ...]:
        """Descriptors that another process needs to use it: that of its memory first."""
        return (self.descriptor,)
