"""The saver: a guest as xl container, libxl stream and libxc image, as the table of libxl's writer says.

How often memory is sent, and when the guest is stopped, is the loop's concern (:mod:`.precopy`); what it works on is
here: the guest's memory as records of pages on a link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import CancelledError
from ..schema import libxl, states
from ..schema.transitions import WRITER
from ..writer import builders
from ..writer.draft import Draft
from ..writer.part import Part, header, record
from . import frames
from .configuration import Configuration
from .flow import Output
from .framing_xen import Framer
from .interface import DirtySource, Guest
from .machine import Machine
from .waiting import Waiter


def container(configuration: Configuration) -> list[Part]:
    """The parts of an xl header: a save file begins with it, and what `xl migrate` sends."""
    return list(builders.in_xl(Draft(()), configuration.json()))


class Pages:
    """A guest's memory on its way: the source of a :class:`.precopy.Precopy`.

    :param progress: called whenever some of it has gone.
    :param handed: the other side has the memory itself, so that none of it is sent.
    """

    def __init__(
        self,
        guest: Guest,
        output: Output,
        waiter: Waiter,
        progress: Callable[[], None] = lambda: None,
        handed: bool = False,
    ) -> None:
        self._progress = progress
        self._handed = handed
        self.pages = guest.pages
        self._guest = guest
        self._output = output
        self._waiter = waiter
        self._framer = Framer(guest)
        self.dirty = _Noted(guest.dirty, self._framer)

    @property
    def running(self) -> bool:
        """Whether the guest runs."""
        return self._guest.running

    def everything(self) -> int:
        """All frames: also those without contents are part of the guest.  None if the other side has its memory."""
        return frames.NONE if self._handed else frames.run(0, self.pages)

    def send(self, which: int, last: bool) -> int:
        """Send a set of frames; returns how many bytes that took.  Raises LinkError and LateError."""
        size = sum(self._output.put(buffers) for _, buffers in self._framer.records(which))
        self._output.flush()
        self._waiter.step()  # a link that takes all is never waited for, and others want to be served too
        self._progress()
        return size

    def copied(self, which: int) -> bytes:
        """The records of a set of frames, with copies of their contents."""
        return b"".join([buffer for _, buffers in self._framer.records(which) for buffer in buffers])

    def deferred(self) -> int:
        """Frames that went without their contents."""
        return self._framer.deferred

    def verify(self) -> None:
        """What comes from here on went before: the other side compares it."""
        self._output.put(record("libxc.VERIFY").buffers("<"))

    def pause(self) -> None:
        """Stop the guest."""
        self._guest.pause()

    def resume(self) -> None:
        """Let it run again."""
        self._guest.resume()

    def clock(self) -> float:
        """Seconds."""
        return self._waiter.clock()

    def wait(self, moment: float) -> None:
        """Return at a moment of the clock."""
        self._waiter.sleep(moment)


class _Noted:
    """A dirty log whose frames are noted to have contents."""

    def __init__(self, log: DirtySource, framer: Framer) -> None:
        self._log, self._framer = log, framer
        self.enable, self.disable = log.enable, log.disable

    def peek(self) -> int:
        """What is logged, and stays so."""
        found = self._log.peek()
        self._framer.note(found)
        return found

    def clean(self) -> int:
        """What is logged, which is not any more."""
        found = self._log.clean()
        self._framer.note(found)
        return found


class Saver:
    """Writes a guest, once.

    :param passes: the loop: sends all memory, and ends with the guest paused.
    :param xen: the release of Xen that the image names.
    :param completion: called once, with the error that ended it, or None.
    """

    def __init__(
        self,
        guest: Guest,
        output: Output,
        passes: Callable[[], object],
        *,
        xen: tuple[int, int] = (4, 17),
        completion: Callable[[BaseException | None], None] = lambda error: None,
    ) -> None:
        self.guest = guest
        self.output = output
        self.xen = xen
        self._passes = passes
        self._completion = completion
        self.machine = Machine(WRITER, {name: getattr(self, f"_{name}") for name in WRITER.actions})

    def run(self) -> None:
        """Write all of it; raises what ended it."""
        self.machine.happen("start")
        if self.machine.error is not None:
            raise self.machine.error

    def abort(self) -> None:
        """Give up, wherever it is."""
        if not self.machine.ended:
            self.machine.fail(CancelledError("the saver was ended"))
        self.machine.happen("abort")

    # -- actions ----------------------------------------------------------------------------------------------

    def _put(self, *parts: Part) -> str:
        for part in parts:
            self.output.put(part.buffers("<"))
        return "written"

    def _write_header(self) -> str:
        return self._put(header("libxl.header", **{"options.legacy": 0}))

    def _write_context(self) -> str:
        return self._put(record("libxl.LIBXC_CONTEXT"))

    def _write_beginning(self) -> None:
        """What an image has before its memory."""
        self._put(*builders.image_headers(self.guest.type, xen=self.xen), *_static(self.guest.static()))

    def _save_image(self) -> str:
        self._write_beginning()
        self._passes()
        self._put(*self.guest.state(), record("libxc.END"))
        return "image ended"

    def _write_keys(self) -> str:
        return "written"  # keys are QEMU's of before 4.6 (physmap): today's has none

    def _write_emulator(self) -> str:
        state = self.guest.emulator()
        return self._put(builders.emulator(state)) if state else "written"

    def _write_end(self) -> str:
        self._put(record("libxl.END"))
        self.output.flush()
        return "written"

    def _write_checkpoint_end(self) -> str:
        return self._put(record("libxl.CHECKPOINT_END"))

    def _write_message(self) -> str:
        return self._put(builders.control(libxl.CHECKPOINT_STATES["NEW"]))

    def _checkpoint_done(self) -> str:
        return ""

    def _checkpoint_lost(self) -> str:
        return "failed"

    def _refuse(self) -> str:
        self.machine.fail(CancelledError("the saver was asked for what it does not do now"))
        return self._tear_down()

    def _tear_down(self) -> str:
        return "torn down"

    def _report(self) -> str:
        self._completion(self.machine.error)
        return ""


def _static(parts: Iterable[Part]) -> Iterable[Part]:
    """The records before memory, with STATIC_DATA_END after those that come before it."""
    ended = False
    ahead = {f"libxc.{name}" for name in states.STATIC[: states.STATIC.index("STATIC_DATA_END")]}
    for part in parts:
        if not ended and part.path not in ahead:
            ended = True
            yield record("libxc.STATIC_DATA_END")
        yield part
    if not ended:
        yield record("libxc.STATIC_DATA_END")
