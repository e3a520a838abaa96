"""A stream whose image has checkpoints: the saver, in steps, for a loop that stops the guest again and again.

What a checkpoint consists of is copied while the guest stands, which is short, and goes while it runs again.  The order
on the link is the same as if it stood: memory, state, CHECKPOINT, then libxl's tail.

Source: tools/libs/guest/xg_sr_save.c, save; tools/libs/light/libxl_stream_write.c.
"""

from __future__ import annotations

from collections.abc import Callable

from ...writer import builders
from ...writer.part import record
from .. import frames as sets
from ..flow import Output
from ..interface import Guest
from ..saver import Pages, Saver

_CHECKPOINT = record("libxc.CHECKPOINT")


class CheckpointSaver(Saver):
    """Writes a guest up to its first checkpoint, then one checkpoint after another: `begin`, then `capture` (while the
    guest stands) and `complete` (at any time after that) in turn, then `end`.

    All of these raise what ended it; the guest is as it was then.

    :param passes: sends all memory, and leaves the guest paused.
    """

    def __init__(
        self,
        guest: Guest,
        output: Output,
        pages: Pages,
        passes: Callable[[], object],
        *,
        xen: tuple[int, int] = (4, 17),
    ) -> None:
        super().__init__(guest, output, passes, xen=xen)
        self._pages = pages
        self._held: list[bytes] = []
        self._blob = self._carried = b""
        self._begun = False

    def begin(self) -> None:
        """Write all up to the first checkpoint's state; the guest stands then, and what it writes is logged."""
        self._advance("start")
        self.guest.dirty.enable()

    def capture(self, also: int = sets.NONE, carried: bytes = b"") -> int:
        """Copy a checkpoint of a guest that stands; returns how many frames it has.

        :param carried: optional records for libxl's tail.
        :param also: frames that go besides those that it has written, as those that a COLO secondary has.
        """
        which = also | self._pages.deferred()
        if self._begun:
            which |= self._pages.dirty.clean()
        self._begun = True
        self._blob, self._carried = self.guest.emulator(), carried
        state = [bytes(buffer) for part in self.guest.state() for buffer in part.buffers("<")]
        self._held = [self._pages.copied(which), *state, *map(bytes, _CHECKPOINT.buffers("<"))]
        return which.bit_count()

    def complete(self) -> int:
        """Send what was captured, and libxl's tail; returns how many bytes that were."""
        before = self.output.sent
        held, self._held = self._held, []
        self.output.put(held)
        self._advance("checkpoint")
        self.output.flush()
        return self.output.sent - before

    def end(self) -> None:
        """There will be no more; the stream has no END then, as that of no saver of Xen's has."""
        self.machine.happen("checkpoints ended")

    def _advance(self, event: str) -> None:
        self.machine.happen(event)
        if self.machine.error is not None:
            raise self.machine.error

    def _save_image(self) -> str:
        self._write_beginning()
        self._passes()
        return ""

    def _write_emulator(self) -> str:
        if self._carried:
            self.output.put([self._carried])
        return self._put(builders.emulator(self._blob)) if self._blob else "written"
