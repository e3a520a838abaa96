"""The hypervisor's dirty log, as its shadow operations have it: enable, peek, clean, off, and what they count.

It is the guest's own source (KVM's log, the kernel's, the workload's), asked as Xen is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..frames import NONE
from ..interface import DirtySource


@dataclass(frozen=True, slots=True)
class Count:
    """What Xen's operations return besides the bitmap: dirty frames of the last scan; scans and their frames in all."""

    dirty: int = 0
    scans: int = 0
    frames: int = 0
    peeks: int = 0


class Hypervisor:
    """A guest's log.  While it is off it knows of nothing, and is not asked."""

    def __init__(self, own: DirtySource) -> None:
        self._own = own
        self.on = False
        self.count = Count()

    def enable(self) -> None:
        """Begin; a log that somebody has left on ends first, as a saver makes sure of with Xen's."""
        if self.on:
            self.disable()
        self._own.enable()
        self.on, self.count = True, Count()

    def peek(self) -> int:
        """What is logged so far, and stays so."""
        if not self.on:
            return NONE
        found = self._own.peek()
        was = self.count
        self.count = Count(found.bit_count(), was.scans, was.frames, was.peeks + 1)
        return found

    def clean(self) -> int:
        """What is logged so far, and is no longer."""
        if not self.on:
            return NONE
        found = self._own.clean()
        was, dirty = self.count, found.bit_count()
        self.count = Count(dirty, was.scans + 1, was.frames + dirty, was.peeks)
        return found

    def disable(self) -> None:
        """End, if it has begun."""
        if self.on:
            self.on = False
            self._own.disable()
