"""In which order what a legacy stream says comes out, of which of its checkpoints, and what closes each.

A checkpoint counts when it is whole: a receiver drops what it has of the next.  Which one is the last an earlier pass
over a file has found out.  Of a pipe, what may have to be dropped or to be put later is put by: from the first tail on
after which more may come, tails and all later pages are.
"""

from __future__ import annotations

from .. import tables
from ..reader.registry import ALWAYS, ROWS
from . import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..io.copying import Step
    from ..io.spool import Spool
    from ..reader.events import Layer
    from .part import Conversion


def _wraps(layer: Layer) -> bool:
    """Whether the image is to be in a libxl stream, where that is not said: unless what is around it holds images."""
    outer = layer.parent
    if outer is None or outer.row.legacy == ALWAYS:
        return True
    return any(ROWS[name].opens and ROWS[name].closes for name in outer.row.holds)


def _clearing(spool: Spool) -> Step:
    return lambda copying: spool.clear()


class Order:
    """The order of one stream.

    `wrapped` says whether the image is in a libxl stream, `keeping` whether checkpoints are kept.  `current` counts
    them from 1; `wanted` is whether what is put now is part of the result, and `over` whether nothing more is.
    """

    def __init__(self, conversion: Conversion, layer: Layer) -> None:
        self._conversion = conversion
        self._layer = layer
        self.wrapped = _wraps(layer) if conversion.options.wrapped is None else conversion.options.wrapped
        self.keeping = conversion.options.keeping
        self.current = 1
        self.wanted = True
        self.over = False
        self._key: tuple[object, ...] = ()
        # How many checkpoints are complete, by an earlier pass.
        self._total: int | None = None
        # Put by: pages of the present checkpoint; by turns of the present and the last, what is in the image's tail and
        # what comes after that.
        self._spools: dict[str, Spool] = {}
        self._aside = False
        # Where a device model's state begins that goes to the end, and how long it is.
        self._state: tuple[int, bytes] | None = None
        self._length = 0

    def begins(self, at: int) -> None:
        """The stream begins at `at`."""
        self._key = Order, at
        self._total = self._conversion.facts.get(self._key)
        if self._total is not None:
            self.keeping = self.keeping and self._total > 1
            if self._total > 1:
                rule = "MAP-CHECKPOINTS" if self.keeping else "MAP-FLATTEN"
                self._conversion.report.add(rule, at, count=self._total)

    @property
    def checkpointed(self) -> bool:
        """Whether the result is known to have checkpoints."""
        return self.keeping and (self._total or self.current) > 1

    def body_ends(self, at: int) -> None:
        """A body ends at `at`; what follows is its tail."""
        if self._total is not None:
            self.wanted = self.keeping or self.current == self._total
        elif not self._conversion.surveying:
            facts = self._layer.facts
            if self.current > 1 or not facts.last:
                self._put_by(at, f"tail {self.current % 2}")

    def image_ends(self, at: int) -> None:
        """The image's part of a checkpoint ends at `at`; what follows is the device model's."""
        if self._aside:
            self._put_by(at, f"after {self.current % 2}")
        elif self.wanted:
            kind = tables.LIBXC_CHECKPOINT if self.keeping and (self._total or 0) > 1 else tables.LIBXC_END
            self._conversion.plan.put(at, records.record(kind))

    def checkpoint(self, at: int) -> None:
        """A checkpoint is complete, and another follows."""
        self._found(self.current)
        if self._aside:
            number = self.current % 2
            self._back(at)
            self._append(at, "pages")
            if self.keeping:
                self._close(at, number)
            else:
                self._forget(at, 1 - number)
            self._put_by(at, "pages")
            self._conversion.report.add("MAP-CHECKPOINTS" if self.keeping else "MAP-FLATTEN", at)
        elif self._total is not None:
            if self.wanted and self.wrapped:
                end = tables.LIBXL_CHECKPOINT_END if self.keeping else tables.LIBXL_END
                self._conversion.plan.put(at, records.record(end))
            self.over = self.current == self._total
            if self.over:
                self._conversion.report.add("DROP-CUT", at)
        self.current += 1
        self.wanted = not self.over

    def ended(self, at: int) -> None:
        """The stream has ended."""
        if self.over:
            return
        self._found(self.current)
        self._state_ends(at)
        if self._aside:
            self._back(at)
            self._append(at, "pages")
            if self.keeping and self.current > 1:
                self._close(at, self.current % 2)
            else:
                self._finish(at, self.current % 2)
        elif self.wanted and self.wrapped:
            kept = self.keeping and (self._total or 0) > 1
            self._conversion.plan.put(at, records.record(tables.LIBXL_CHECKPOINT_END if kept else tables.LIBXL_END))

    def truncated(self, at: int) -> None:
        """The input ends at `at`: what has come since the last checkpoint does not count."""
        if self._aside and self.current > 1:
            self._back(at)
            if not self.keeping:
                self._finish(at, 1 - self.current % 2)
            self._conversion.report.add("DROP-CUT", at)

    # -- what is put by -------------------------------------------------------------------------------------------

    def _spool(self, name: str) -> Spool:
        found = self._spools.get(name)
        if found is None:
            from ..io.spool import Spool  # few streams need one

            found = self._spools[name] = Spool()
        return found

    def _put_by(self, at: int, name: str) -> None:
        """From offset `at` on all is put by under that name."""
        spool = self._spool(name)
        self._aside = True
        self._conversion.plan.do(at, lambda copying: copying.redirect(spool))

    def _back(self, at: int) -> None:
        """From offset `at` on nothing is put by."""
        self._conversion.plan.do(at, lambda copying: copying.redirect(None))

    def _append(self, at: int, name: str) -> None:
        spool = self._spool(name)
        self._conversion.plan.do(at, lambda copying: copying.append(spool))

    def _forget(self, at: int, number: int) -> None:
        for name in (f"tail {number}", f"after {number}"):
            spool = self._spool(name)
            self._conversion.plan.do(at, _clearing(spool))

    def _close(self, at: int, number: int) -> None:
        """Put a checkpoint's tail, and the records that close it."""
        self._append(at, f"tail {number}")
        self._conversion.plan.put(at, records.record(tables.LIBXC_CHECKPOINT))
        if self.wrapped:
            self._append(at, f"after {number}")
            self._conversion.plan.put(at, records.record(tables.LIBXL_CHECKPOINT_END))
        elif self._layer.guest == "hvm":
            self._conversion.unfit("LOSE-STATE", at)
            self._conversion.plan.do(at, _clearing(self._spool(f"after {number}")))

    def _finish(self, at: int, number: int) -> None:
        """Put the tail of a plain stream, and the records that end it."""
        self._append(at, f"tail {number}")
        self._conversion.plan.put(at, records.record(tables.LIBXC_END))
        self._append(at, f"after {number}")
        if self.wrapped:
            self._conversion.plan.put(at, records.record(tables.LIBXL_END))

    # -- what an earlier pass finds out ---------------------------------------------------------------------------

    def _found(self, complete: int) -> None:
        if self._conversion.surveying:
            self._conversion.facts[self._key] = complete

    def state_begins(self, at: int, header: bytes) -> None:
        """A device model's state of unknown length begins at `at`, which is to have this before it."""
        self._state = at, header
        length = self._conversion.facts.get((*self._key, "state"))
        if length is not None:
            self._put_state(at, length)
        elif not self._conversion.surveying:
            spool = self._spool("state")
            self._conversion.plan.do(at, lambda copying: copying.redirect(spool))

    def state_goes_on(self, length: int) -> None:
        """So many bytes of it have come."""
        self._length += length

    def _put_state(self, at: int, length: int) -> None:
        assert self._state is not None, "it has begun"
        _, header = self._state
        whole = len(header) + length
        self._conversion.plan.put(at, records.header(tables.LIBXL_EMULATOR_CONTEXT, whole) + header)

    def _state_ends(self, at: int) -> None:
        if self._state is None:
            return
        length, plan = self._length, self._conversion.plan
        if self._conversion.surveying:
            self._conversion.facts[*self._key, "state"] = length
        elif "state" in self._spools:
            if self._aside:
                self._put_by(at, f"after {self.current % 2}")
            else:
                self._back(at)
            self._put_state(at, length)
            self._append(at, "state")
        plan.put(at, records.padding(len(self._state[1]) + length))
