"""One source of dirty frames made of two: the hypervisor's and the emulator's; and the emulator's, as it is asked for.

The order is that of xc_save and libxc: the hypervisor's log is cleaned first, then the emulator changes over.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ...errors import GuestError, MigrationError
from ..frames import NONE, run
from ..interface import DirtySource
from ..waiting import Waiter
from ..xenstore.client import Client
from .commands import answered, command
from .forms import MONITOR, SHARED, Form
from .qmp import set_dirty_log
from .reported import Reported
from .shared import SharedLog

_T = TypeVar("_T")


class Merged:
    """A frame is dirty if either says so."""

    def __init__(self, hypervisor: DirtySource, emulator: DirtySource) -> None:
        self.hypervisor, self.emulator = hypervisor, emulator
        self._kept = NONE

    def enable(self) -> None:
        """Begin both, or neither."""
        self._kept = NONE
        self.hypervisor.enable()
        try:
            self.emulator.enable()
        except BaseException:
            self.hypervisor.disable()
            raise

    def peek(self) -> int:
        """What either has logged so far."""
        return self._kept | self.hypervisor.peek() | self.emulator.peek()

    def clean(self) -> int:
        """The same, and it is no longer logged; where the emulator fails, the hypervisor's are kept for the next."""
        self._kept |= self.hypervisor.clean()
        found, self._kept = self._kept | self.emulator.clean(), NONE
        return found

    def disable(self) -> None:
        """End both."""
        self.hypervisor.disable()
        self.emulator.disable()


class Switched:
    """The log of an emulator that is asked to begin and to end, and reports to the hypervisor between.

    Where its answer is not waited for, frames may have been written that it did not report: `begun` says whether it
    has answered by now, and all frames count as written until it has.
    """

    def __init__(self, switch: Callable[[bool], None], reported: Reported, begun: Callable[[], bool]) -> None:
        self._switch, self._reported, self._begun = switch, reported, begun
        self._on = self._sure = False

    def enable(self) -> None:
        """Have it begin; what was reported before is forgotten."""
        self._reported.enable()
        self._switch(True)
        self._on, self._sure = True, self._begun()

    def peek(self) -> int:
        """What it has reported so far, or may have written without that."""
        return self._unsure() | self._reported.peek()

    def clean(self) -> int:
        """The same, and it is no longer reported."""
        unsure = self._unsure()
        self._sure = not unsure or self._begun()
        return unsure | self._reported.clean()

    def _unsure(self) -> int:
        return run(0, self._reported.pages) if self._on and not self._sure else NONE

    def disable(self) -> None:
        """Have it end; if it does not answer any more, that is no concern of a saver that is done."""
        if self._on:
            self._on = False
            with suppress(MigrationError):
                self._switch(False)


def emulators_log(
    form: Form,
    pages: int,
    paused: Callable[[], bool],
    waiter: Waiter,
    *,
    store: Client | None = None,
    domain: int = 1,
    monitor: str = "",
    reported: Reported | None = None,
) -> DirtySource:
    """The log of a domain's emulator in a form, as its saver has it.

    :param paused: says whether the guest, and its emulator, stand still.
    :param store: for the forms that talk through xenstore.
    :param monitor: the path of the emulator's monitor, for the form that talks QMP.
    :param reported: what the emulator reports to the hypervisor, for the forms in which it does.
    :raises GuestError: the form needs what was not given.
    """
    if form.way == SHARED:
        return SharedLog(form, _given(store, form, "a xenstore"), domain, pages, paused, waiter)
    report = _given(reported, form, "a report to the hypervisor")
    if form.way == MONITOR:
        return Switched(
            partial(_monitor, _given(monitor or None, form, "the path of a monitor"), waiter), report, _sure
        )
    given = _given(store, form, "a xenstore")
    begun = _sure if form.limit else partial(answered, form, given, domain, True)
    return Switched(partial(_command, form, given, domain, waiter), report, begun)


def _sure() -> bool:
    return True


def _command(form: Form, store: Client, domain: int, waiter: Waiter, on: bool) -> None:
    command(form, store, domain, on, waiter)


def _monitor(path: str, waiter: Waiter, on: bool) -> None:
    set_dirty_log(path, on, waiter)


def _given(value: _T | None, form: Form, what: str) -> _T:
    if value is None:
        raise GuestError(f"dirty logging as of Xen {form.releases} needs {what}")
    return value
