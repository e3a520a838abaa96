"""Finds a guest's memory in a stream: a consumer of its events, which reads no contents where it need not."""

from __future__ import annotations

from ..errors import MalformedError, NotAStreamError
from ..reader.reader import Reader
from ..reader.registry import load
from .collected import Collected
from .contents import Contents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..io.sources import Source
    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program
    from .pages import Pages


class Collector(Collected):
    """Collects the memory of the first image of a stream; `reader` is what to drive, once it is known where from."""

    def __init__(self, form: str = "auto", guest: str | None = None) -> None:
        super().__init__()
        self._pages: Pages | None = None
        self.reader = Reader(self, form, False, guest)

    def reading(self, source: Source) -> None:
        """The input comes from there."""
        self.contents = Contents(source.reread())
        self.every_page = self.contents.keeps or self.looking

    def end(self) -> None:
        """The input has been read, or as much of it as can be."""
        self._settle()
        self.finish(self.reader.identity)
        if self.ended_at is not None:
            # What comes after the memory has no say in it: QEMU does not read the description that ends its stream.
            self.rest = None if isinstance(self.failure, NotAStreamError) else self.failure
        elif self.checkpoints:
            self.frames.roll_back()
            self.rest = self.failure
        elif not self.whole:
            self.damage = self.damage or self.failure
            if self.layer is None and self.damage is None:
                self.damage = MalformedError(0, "there is no image of a guest's memory in it")
        if self._pages is not None:
            self._pages.finish()

    @property
    def follower(self) -> Pages | None:
        """What follows the pages of the image, if there is one."""
        return self._pages

    @property
    def about(self) -> str:
        """Which of the memory in the stream it is, if there is more, or it does not lie as the guest has it."""
        return self._pages.about if self._pages is not None else ""

    @property
    def missing(self) -> int:
        """How many of the guest's frames never came, where the stream says how many there are."""
        return self._pages.missing if self._pages is not None else 0

    def _settle(self, end: int | None = None) -> Pages | None:
        """Another event has come: what was held is there."""
        pages = self._pages
        if pages is not None:
            pages.settle(end)
            outer = pages.layer.parent
            closing = outer if outer is not None and outer.row.closes else pages.layer
            if closing.checkpoints > self.checkpoints:
                self.checkpoints = closing.checkpoints
                self._commit()
        return pages

    def _commit(self) -> None:
        if self._pages is not None:
            self._pages.closed()
        self.contents.committed(self.frames)
        self.frames.commit()

    # -- events ----------------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._settle()
        # What may be no image, a record of devices, gives way to one.
        if layer.row.memory and (self.layer is None or layer.row.image > self.layer.row.image):
            self.layer = layer
            self.frames.clear()
            self._pages = load(layer.row.memory)(self, layer)

    def record(self, record: Record) -> Program | None:
        pages = self._settle()
        return pages.record(record) if pages is not None and record.layer is pages.layer else None

    def pages(self, run: Run) -> None:
        pages = self._settle()
        if pages is not None and run.layer is pages.layer:
            pages.run(run)

    def checkpoint(self, layer: Layer, at: int) -> None:
        self._settle()

    def ended(self, layer: Layer, at: int) -> None:
        self._settle()
        if layer is self.layer:
            self.ended_at = at
            self._commit()

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self._settle(at)
        super().truncated(layer, record, at, missing, what)
