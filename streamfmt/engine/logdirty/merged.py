"""One source of dirty frames made of two: the hypervisor's and the emulator's; and the emulator's, as it is asked for.

The order is that of xc_save and libxc: the hypervisor's log is cleaned first, then the emulator changes over.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ...errors import GuestError, MigrationError
from ..frames import NONE
from ..interface import DirtySource
from ..waiting import Waiter
from ..xenstore.client import Client
from .commands import command
from .forms import COMMAND, MONITOR, SHARED, Form
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
    """The log of an emulator that is asked to begin and to end, and reports to the hypervisor between."""

    def __init__(self, switch: Callable[[bool], None], reported: Reported) -> None:
        self._switch, self._reported = switch, reported
        self._on = False

    def enable(self) -> None:
        """Have it begin; what was reported before is forgotten."""
        self._reported.enable()
        self._switch(True)
        self._on = True

    def peek(self) -> int:
        """What it has reported so far."""
        return self._reported.peek()

    def clean(self) -> int:
        """The same, and it is no longer reported."""
        return self._reported.clean()

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
    switches: dict[str, Callable[[], Callable[[bool], None]]] = {
        COMMAND: lambda: partial(_command, form, _given(store, form, "a xenstore"), domain, waiter),
        MONITOR: lambda: partial(_monitor, _given(monitor or None, form, "the path of a monitor"), waiter),
    }
    return Switched(switches[form.way](), _given(reported, form, "a report to the hypervisor"))


def _command(form: Form, store: Client, domain: int, waiter: Waiter, on: bool) -> None:
    command(form, store, domain, on, waiter)


def _monitor(path: str, waiter: Waiter, on: bool) -> None:
    set_dirty_log(path, on, waiter)


def _given(value: _T | None, form: Form, what: str) -> _T:
    if value is None:
        raise GuestError(f"dirty logging as of Xen {form.releases} needs {what}")
    return value
