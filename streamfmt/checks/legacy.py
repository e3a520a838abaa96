"""Checks of the legacy stream."""

from __future__ import annotations

from .. import tables
from . import layer as base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Run


class Checks(base.Checks):
    """Judges a legacy stream."""

    def pages(self, run: Run) -> None:
        self.seen |= self._bits[tables.LEGACY_PAGE_BATCH]

    def checkpoint(self, at: int) -> None:
        self.context.checkpoints += 1
