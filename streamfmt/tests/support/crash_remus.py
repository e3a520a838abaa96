"""The parts that processes play in tests of crashes of a protection: the primary, with its guest, and the standby.

What has to outlive a process is in files: each state at a checkpoint, what left, and what a standby took over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...engine.checkpointing.devices import Devices, HeldOutput
from ...engine.checkpointing.primary import Remus, RemusPrimary
from ...engine.checkpointing.standby import RemusStandby
from ...engine.checkpointing.witness import File
from ...engine.guest.model import Model
from ...engine.interface import Guest
from ...engine.receiving import Taking
from ...engine.side import Asked, Patience
from ...engine.transport.ends import connect, listen
from ...engine.waiting import Waiter
from ...errors import MigrationError
from .moving import another, way, working

_PATIENCE = Patience(5.0, 5.0, 5.0, 5.0)
Say = Callable[..., None]


def _noted(path: Path, words: str) -> None:
    """Append a line, at once."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, f"{words}\n".encode())
    os.close(file)


class _States:
    """A device that notes each state, before anybody else can know it."""

    held = 0

    def __init__(self, guest: Model, path: Path) -> None:
        self._guest, self._path = guest, path

    def postsuspend(self) -> None:
        _noted(self._path, f"{self._guest.digest()} {self._guest.done}")

    def preresume(self) -> None:
        pass

    def commit(self) -> None:
        pass

    def release(self) -> None:
        pass

    def drop(self) -> None:
        pass


def primary(how: Mapping[str, Any], waiter: Waiter, opened: ExitStack, say: Say) -> Guest:
    """Protects a guest of its own."""
    folder = Path(how["folder"])
    guest = working(how["type"], how["rate"])
    opened.callback(guest.close)
    end = connect(how["uri"], waiter, waiter.clock() + 5)
    opened.callback(end.close)
    output = HeldOutput(lambda: b"%d " % guest.done, lambda data: _noted(folder / "seen", data.decode()))
    devices = Devices([_States(guest, folder / "states"), output])
    remus = Remus(how["interval"], True, devices, File(folder / "witness"))
    side = RemusPrimary(guest, end, way(), remus, Asked(waiter, _PATIENCE))
    try:
        side.protect()
    except MigrationError as error:
        say("outcome", outcome=side.machine.state, error=str(error))
    end.close()
    return guest


def standby(how: Mapping[str, Any], waiter: Waiter, opened: ExitStack, say: Say) -> Guest | None:
    """Stands by for it."""
    folder = Path(how["folder"])
    listener = listen(how["uri"], waiter)
    opened.callback(listener.close)
    say("listening", uri=str(listener.uri))
    end = listener.accept(waiter, waiter.clock() + 10)
    opened.callback(end.close)
    taking = Taking(inspect=lambda arrived: _noted(folder / "taken", f"{side.count} {arrived.digest()}"))
    side = RemusStandby(end, another, taking, Asked(waiter, _PATIENCE), File(folder / "witness"))
    try:
        guest = side.stand_by()
    except MigrationError as error:
        say("outcome", outcome=side.machine.state, error=str(error))
        return None
    opened.callback(guest.close)
    say("outcome", outcome="running", error="")
    end.close()
    return guest


PARTS: dict[str, Callable[[Mapping[str, Any], Waiter, ExitStack, Say], Guest | None]] = {
    "primary": primary,
    "standby": standby,
}
