"""The saver's side of the 2007 form: a segment with two bitmaps, one of which the emulator writes at any time.

The saver asks for the other one in `next-active`, waits until `active` says that the emulator has changed over, and
has the first one for itself.  In the last iteration the guest, and the emulator with it, stands still: the bitmap in
use is read as it is, and not cleared.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ...errors import LateError, MigrationError
from ..frames import NONE, from_bitmap, run
from ..waiting import Waiter
from ..xenstore.client import Client
from . import segment
from .forms import ACTIVE, ACTIVE_TOKEN, KEY, NEXT, Form, segment_size


class SharedLog:
    """The emulator's log, seen by the saver of domain `domain`; `paused` says whether the guest stands still.

    All raise LateError if the emulator does not answer in time, and what the client raises.
    """

    def __init__(
        self, form: Form, store: Client, domain: int, pages: int, paused: Callable[[], bool], waiter: Waiter
    ) -> None:
        self._form, self._store, self._waiter = form, store, waiter
        path = store.domain_path(domain) if "{path}" in form.area else ""
        self.area = form.area.format(path=path, domain=domain)
        self._all = run(0, pages)
        self._size = segment_size(pages)
        self._paused = paused
        self._segment: segment.Segment | None = None
        self._active = 0

    def enable(self) -> None:
        """Make the segment, say where it is, and have the emulator use its first bitmap.

        :raises GuestError: there is no shared memory to be had.
        """
        self.disable()
        for name in (ACTIVE, NEXT):  # of a saver that came to no end
            self._store.remove(f"{self.area}/{name}")
        try:
            self._segment = segment.create(self._size, lambda key: self._store.write(f"{self.area}/{KEY}", key))
            self._store.watch(f"{self.area}/{ACTIVE}", ACTIVE_TOKEN)
            self._flip(0)
        except BaseException:
            self.disable()
            raise
        # Both have it now, and when both are gone, however that comes, so is the segment.
        self._segment.doom()

    def peek(self) -> int:
        """What the bitmap in use says: the other one is empty."""
        if self._segment is None:
            return NONE
        return from_bitmap(self._segment.harvest(self._active, clear=False)) & self._all

    def clean(self) -> int:
        """Have the emulator change over, and take what it wrote until then; the last iteration's rule if it cannot."""
        if self._segment is None:
            return NONE
        if self._paused():
            return self.peek()
        full = self._active
        self._flip(1 - full)
        return from_bitmap(self._segment.harvest(full, clear=True)) & self._all

    def disable(self) -> None:
        """End: nothing is left of it but what the emulator has attached."""
        found, self._segment = self._segment, None
        if found is None:
            return
        found.doom()
        try:
            with suppress(MigrationError):  # where xenstore is gone, nothing is left in it
                self._store.unwatch(f"{self.area}/{ACTIVE}", ACTIVE_TOKEN)
            with suppress(MigrationError):
                for name in (KEY, NEXT, ACTIVE):
                    self._store.remove(f"{self.area}/{name}")
        finally:
            # Last: an emulator that is alone with it takes its saver for dead, and removes the nodes.
            found.close()

    def _flip(self, to: int) -> None:
        """Have the emulator use a bitmap, and wait until it does.

        Each event gives it the whole limit again, as each did in xc_save; but no number of them gives it more than
        the form's whole time.
        """
        found, form, clock = self._segment, self._form, self._waiter.clock
        assert found
        self._store.write(f"{self.area}/{NEXT}", str(to))
        end = clock() + form.whole
        what = (
            f"the emulator did not change over to bitmap {to} of dirty frames: {self.area}/{ACTIVE} should say so "
            f"within {form.limit:g} s; is it running, and does its number of frames agree?"
        )
        # An answer of one that has nothing attached is its second to an earlier saver, or it is gone.
        while self._store.find(f"{self.area}/{ACTIVE}") != b"%d" % to or found.alone:
            if clock() >= end:
                raise LateError(what)
            self._store.event(ACTIVE_TOKEN, min(clock() + form.limit, end), self._waiter, what)
        self._active = to


def sweep(form: Form, store: Client, domain: int) -> bool:
    """Remove the segment that a dead saver has left before the emulator could attach it; says whether there was one.

    :raises GuestError: the package for it is missing.
    """
    path = store.domain_path(domain) if "{path}" in form.area else ""
    key = store.find(f"{form.area.format(path=path, domain=domain)}/{KEY}")
    return key is not None and segment.sweep(key)
