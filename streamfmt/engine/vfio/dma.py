"""The frames that a guest or its devices have written: DMA goes by no page table, so that devices say it themselves.

Source: QEMU hw/vfio/listener.c, vfio_listener_log_sync.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import frames as sets
from ..interface import DirtySource
from .saving import Saver


class WithDevices:
    """A guest's dirty frames, and those that these devices have written; asking a device takes them away there."""

    def __init__(self, guest: DirtySource, devices: Sequence[Saver], pages: int) -> None:
        self._guest, self._devices, self._pages = guest, devices, pages
        self._held = sets.NONE
        self.on = False

    def _look(self) -> None:
        for device in self._devices if self.on else ():
            self._held |= device.pages(self._pages)

    def enable(self) -> None:
        """Begin to log; devices have begun with their setup."""
        self._guest.enable()
        self.on, self._held = True, sets.NONE

    def peek(self) -> int:
        """What is logged so far, and stays so."""
        self._look()
        return self._guest.peek() | self._held

    def clean(self) -> int:
        """What is logged so far; logging begins anew."""
        self._look()
        found, self._held = self._guest.clean() | self._held, sets.NONE
        return found

    def disable(self) -> None:
        """End logging."""
        self._guest.disable()
        self.on, self._held = False, sets.NONE
