"""The saver: a guest as xl container, libxl stream and libxc image, as the table of libxl's writer says.

What decides how often memory is sent is not here: a loop is given what sends a set of frames and what says which were
written, and ends with the guest paused and nothing left but what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from ..schema import libxl, states
from ..schema.transitions import WRITER
from ..writer import builders
from ..writer.draft import Draft
from ..writer.part import Part, header, record
from . import frames
from .configuration import Configuration
from .flow import Output
from .framing_xen import Framer
from .interface import Guest
from .machine import Machine


class Passes(Protocol):
    """The loop: has frames sent until the guest is paused and all that was written since has gone too."""

    def __call__(self, saver: Saver) -> None: ...


def container(configuration: Configuration) -> list[Part]:
    """The parts of an xl header: a save file begins with it, and what `xl migrate` sends."""
    return list(builders.in_xl(Draft(()), configuration.json()))


class Saver:
    """Writes a guest, once.

    :param passes: the loop.
    :param xen: the release of Xen that the image names.
    :param completion: called once, with the error that ended it, or None.
    """

    def __init__(
        self,
        guest: Guest,
        output: Output,
        passes: Passes,
        *,
        xen: tuple[int, int] = (4, 17),
        completion: Callable[[BaseException | None], None] = lambda error: None,
    ) -> None:
        self.guest = guest
        self.output = output
        self.framer = Framer(guest)
        self.passes = passes
        self.xen = xen
        self._completion = completion
        names = WRITER.actions
        self.machine = Machine(WRITER, {name: getattr(self, f"_{name}") for name in names})

    def run(self) -> None:
        """Write all of it; raises what ended it."""
        self.machine.happen("start")
        if self.machine.error is not None:
            raise self.machine.error

    def abort(self) -> None:
        """Give up, wherever it is."""
        self.machine.happen("abort")

    # -- what the loop uses -----------------------------------------------------------------------------------

    def send(self, which: int) -> Iterable[tuple[int, int]]:
        """Send a set of frames, a record at a time: how many frames each had, and bytes."""
        for count, buffers in self.framer.records(which):
            yield count, self.output.put(buffers)

    def mark_verify(self) -> None:
        """What comes from here on is what was sent already: the other side compares it."""
        self._put(record("libxc.VERIFY"))

    # -- actions ----------------------------------------------------------------------------------------------

    def _put(self, *parts: Part) -> str:
        for part in parts:
            self.output.put(part.buffers("<"))
        return "written"

    def _write_header(self) -> str:
        return self._put(header("libxl.header"))

    def _write_context(self) -> str:
        return self._put(record("libxl.LIBXC_CONTEXT"))

    def _save_image(self) -> str:
        self._put(*builders.image_headers(self.guest.type, xen=self.xen), *_static(self.guest.static()))
        self.passes(self)
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
        raise RuntimeError("the saver was asked for what it does not do now")

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


def whole(saver: Saver) -> None:
    """The loop of a save that is not live: the guest is paused, and all its memory goes once."""
    saver.guest.pause()
    for _ in saver.send(frames.run(0, saver.guest.pages)):
        pass
