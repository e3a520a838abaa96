"""Frames that an emulator reports to the hypervisor as written: what HVMOP_modified_memory does since Xen 4.0.

Without a hypervisor to call, both sides map one file in memory, with a byte for each frame.  The emulator stores 1 in
it after it has written the frame; who cleans stores 0 before the frame is sent.  Single bytes are stored whole, so
neither side ever undoes what the other one did, and nobody waits.
"""

from __future__ import annotations

import mmap
import os

from ...errors import GuestError
from ..frames import NONE, of

_MARK = b"\1"


class Reported:
    """A source of frames that were reported while logging was on; `descriptor` is the file that both sides map."""

    def __init__(self, pages: int, descriptor: int = -1) -> None:
        """Map the file of that descriptor, which is the caller's, or a new one.

        :raises GuestError: there is none to be had.
        """
        self.pages = pages
        self._own = descriptor < 0
        try:
            self.descriptor = os.memfd_create("reported", os.MFD_CLOEXEC) if self._own else descriptor
            if self._own:
                os.ftruncate(self.descriptor, pages)
            self._map = mmap.mmap(self.descriptor, pages)
        except (OSError, ValueError) as error:
            raise GuestError(f"no memory for the report of {pages:,} frames: {error}") from None

    def mark(self, first: int, count: int = 1) -> None:
        """Report frames in a row: after they were written."""
        self._map[first : first + count] = _MARK * count

    def enable(self) -> None:
        """Forget what was reported until now."""
        self.clean()

    def peek(self) -> int:
        """What was reported."""
        return self._found(clear=False)

    def clean(self) -> int:
        """What was reported, and is no longer."""
        return self._found(clear=True)

    def disable(self) -> None:
        """There is nothing to end: it is the emulator that does."""

    def _found(self, clear: bool) -> int:
        data, found = self._map, []
        at = data.find(_MARK)
        while at >= 0:
            if clear:
                data[at] = 0
            found.append(at)
            at = data.find(_MARK, at + 1)
        return of(found, self.pages) if found else NONE

    def close(self) -> None:
        """Unmap it; never raises, and may come again."""
        self._map.close()
        if self._own and self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
