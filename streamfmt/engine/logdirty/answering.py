"""The emulator's side of the forms in xenstore: it hears what a saver asks, answers, and marks what it writes.

Who has one calls `hear` for each event with one of its tokens, and `look` now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ...errors import GuestError, MigrationError, PeerError
from ..xenstore.client import Client
from . import segment
from .forms import ACTIVE, CMD, COMMAND, COMMAND_TOKEN, COMMANDS, KEY, NEXT, NEXT_TOKEN, RET, SHARED, Form, segment_size
from .reported import Reported

_KEY_TOKEN = "logdirty-key"
_BITMAPS = (b"0", b"1")
# Seconds for which a key may have no segment: after that its saver has died before it made one, or just after.
_PATIENCE = 5.0

Log = Callable[[str], None]


class Answerer(Protocol):
    """What answers savers, and marks frames for them."""

    def hear(self, token: str) -> None:
        """Something that is watched has changed."""

    def look(self) -> None:
        """See whether the saver is still there."""

    def mark(self, first: int, count: int = 1) -> None:
        """Frames in a row were written."""

    def close(self) -> None:
        """Leave nothing behind."""


class SharedAnswerer:
    """It marks frames in the bitmap of a segment that the saver asked for last, while there is a segment."""

    def __init__(self, form: Form, store: Client, domain: int, pages: int, log: Log) -> None:
        path = store.domain_path(domain) if "{path}" in form.area else ""
        self._area, self._store, self._log = form.area.format(path=path, domain=domain), store, log
        self._size = segment_size(pages)
        self._segment: segment.Segment | None = None
        self._key: bytes | None = None  # of the segment, or of the one that is looked for
        self._since = 0.0
        self._active = 0
        store.watch(f"{self._area}/{KEY}", _KEY_TOKEN)
        store.watch(f"{self._area}/{NEXT}", NEXT_TOKEN)

    def hear(self, token: str) -> None:
        """The key has changed, or the saver asks for a bitmap: as it does whenever it wants to have the other one."""
        self._attach()
        wanted = self._store.find(f"{self._area}/{NEXT}")
        if token == NEXT_TOKEN and self._segment and wanted in _BITMAPS:
            self._active = int(wanted)
            self._store.write(f"{self._area}/{ACTIVE}", wanted)

    def look(self) -> None:
        """Try again to attach, and end where the saver has gone without a word."""
        if self._segment is None and self._key is not None:
            self.hear(NEXT_TOKEN)
        elif self._segment and self._segment.alone:
            key = self._key
            self._end()
            if key and self._tidy(key):
                self._log("the saver is gone: its segment is, too")

    def mark(self, first: int, count: int = 1) -> None:
        """Set the bits of frames; those beyond the bitmap are said and left out, as qemu-dm did."""
        if self._segment is None:
            return
        for frame in range(first, first + count):
            if not self._segment.mark(self._active, frame):
                self._log(f"frame {frame:#x} is beyond the bitmap of dirty frames")

    def close(self) -> None:
        """Detach the segment, and remove what a dead saver left before it could be attached."""
        if self._segment is None and self._key is not None:
            with suppress(MigrationError):
                segment.sweep(self._key)
        self._end()

    def _attach(self) -> None:
        """Have the segment of the key that is published, if there is one."""
        key = self._store.find(f"{self._area}/{KEY}")
        if key != self._key:
            self._end()
            self._key, self._since = key, time.monotonic()
        if key is None or self._segment:
            return
        try:
            self._segment = segment.attach(key, self._size)
        except (PeerError, GuestError) as error:
            # No answer: the saver gives up in time.
            self._log(str(error))
            self._key = None
            return
        if self._segment:
            # From here on it is gone with the last of those who have it, whatever becomes of them.
            self._segment.doom()
        elif time.monotonic() - self._since > _PATIENCE:
            if segment.sweep(key):
                self._log("a segment whose saver is gone is removed")
            self._key = None
            self._tidy(key)

    def _end(self) -> None:
        found, self._segment, self._key = self._segment, None, None
        if found:
            found.close()

    def _tidy(self, key: bytes) -> bool:
        """Remove what a dead saver has left in xenstore; False if another one has come, or it has done so itself."""

        def work(transaction: int) -> bool:
            mine = self._store.find(f"{self._area}/{KEY}", transaction) == key
            for name in (KEY, NEXT, ACTIVE) if mine else ():
                self._store.remove(f"{self._area}/{name}", transaction)
            return mine

        return self._store.transact(work)


class CommandAnswerer:
    """It reports frames to the hypervisor between the commands to begin and to end."""

    def __init__(self, form: Form, store: Client, domain: int, reported: Reported, log: Log) -> None:
        self._area, self._store, self._log = form.area.format(domain=domain), store, log
        self._reported = reported
        self._on = False
        store.watch(f"{self._area}/{CMD}", COMMAND_TOKEN)

    def hear(self, token: str) -> None:
        """A command was given, or removed."""
        word = self._store.find(f"{self._area}/{CMD}")
        if word is None or token != COMMAND_TOKEN:
            return
        if word not in COMMANDS.values():
            self._log(f"an unknown command about dirty logging: {word[:32]!r}")
            return
        self._on = word == COMMANDS[True]
        self._store.write(f"{self._area}/{RET}", word)

    def look(self) -> None:
        """It needs to know nothing of the saver."""

    def mark(self, first: int, count: int = 1) -> None:
        """Report frames, between the commands."""
        if self._on:
            self._reported.mark(first, count)

    def close(self) -> None:
        """There is nothing to leave."""


class MonitorAnswerer:
    """It reports frames to the hypervisor while the monitor says so: `on` is what the monitor's command sets."""

    def __init__(self, reported: Reported) -> None:
        self._reported = reported
        self.on = False

    def hear(self, token: str) -> None:
        """There is nothing in xenstore to hear."""

    def look(self) -> None:
        """It needs to know nothing of the saver."""

    def mark(self, first: int, count: int = 1) -> None:
        """Report frames while it is on."""
        if self.on:
            self._reported.mark(first, count)

    def close(self) -> None:
        """There is nothing to leave."""


def answerer(
    form: Form, store: Client | None, domain: int, pages: int, reported: Reported | None, log: Log
) -> Answerer:
    """What answers in a form.

    :raises GuestError: the form needs what was not given.
    """
    if form.way == SHARED and store:
        return SharedAnswerer(form, store, domain, pages, log)
    if form.way == COMMAND and store and reported:
        return CommandAnswerer(form, store, domain, reported, log)
    if form.way not in (SHARED, COMMAND) and reported:
        return MonitorAnswerer(reported)
    raise GuestError(f"dirty logging as of Xen {form.releases} needs a xenstore, or a report to the hypervisor")
