"""What the parts of the engine are to each other: a guest, the source of its changed frames, one end of a link."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..codec.content import Buffer
from ..writer.part import Part


class DirtySource(Protocol):
    """Who knows which frames were written: Xen, KVM, the kernel, the emulator, or the workload itself.

    Sets of frames are those of :mod:`.frames`.
    """

    def enable(self) -> None:
        """Begin to log; all frames that are written from now on are in the next set."""

    def peek(self) -> int:
        """What is logged so far, and stays so."""

    def clean(self) -> int:
        """What is logged so far; a frame written after that is logged anew, and none is lost between."""

    def disable(self) -> None:
        """End logging, if it has begun."""


class Guest(Protocol):
    """A machine that runs, or is paused, with memory that changes under the saver's eyes.

    A new one is paused and has no contents: it is what a restorer fills.  Frames have numbers from 0 to `pages` - 1;
    those that were never written are holes of `memory`, read as zeros and take no space.
    """

    @property
    def type(self) -> str:
        """ "hvm" or "pv": a key of :data:`streamfmt.schema.libxc.GUESTS`."""

    @property
    def pages(self) -> int:
        """How many frames it has."""

    @property
    def memory(self) -> memoryview:
        """All of its frames in a row, writable, as bytes."""

    @property
    def descriptor(self) -> int:
        """The file descriptor of its memory (a memfd with holes), or -1."""

    @property
    def running(self) -> bool:
        """Whether it runs."""

    @property
    def dirty(self) -> DirtySource:
        """Where its changed frames are known."""

    def populated(self) -> int:
        """The set of frames that may have contents: all others are holes."""

    def types(self) -> Sequence[int] | None:
        """The page type of each frame, as PAGE_DATA has it; None if all are NOTAB, as an HVM guest's are."""

    def pause(self) -> None:
        """Stop it, if it runs; after this its memory and state stay as they are."""

    def resume(self) -> None:
        """Let it run, or run again."""

    def static(self) -> Iterable[Part]:
        """The records before its memory: PV information, policies, P2M frames; without STATIC_DATA_END."""

    def state(self) -> Iterable[Part]:
        """The records after its memory, while it is paused: TSC, vcpus or HVM context, parameters; without END."""

    def emulator(self) -> bytes:
        """The device model's record, empty if it has none."""

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Take over the state in these records of an image, names and bodies in the order of the stream.

        :raises GuestError: it is not a state for this kind of guest.
        """

    def digest(self) -> str:
        """A hash of memory and state, while it is paused."""

    def broken(self) -> list[str]:
        """What of its workload's invariant does not hold, in words, while it is paused: a page lost or repeated."""

    def close(self) -> None:
        """End it and free what it has; never raises, and may come again."""


class End(Protocol):
    """One end of a link: a socket, a pair of pipes, a file.  It never blocks."""

    def fileno(self) -> int:
        """What to wait for to read."""

    def output(self) -> int:
        """What to wait for to write: the same but for pairs of pipes."""

    def receive_into(self, buffer: memoryview) -> int:
        """Read into `buffer`; returns how many bytes, 0 at the end of what comes.

        :raises BlockingIOError: nothing is there yet.
        :raises LinkError: the link failed.
        """

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Write some of these; returns how many bytes went.

        :raises BlockingIOError: nothing fits now.
        :raises LinkError: the link failed, or the other side is gone.
        """

    def finish(self) -> None:
        """Say that nothing more will be sent; what the other side sends can still be read."""

    def close(self) -> None:
        """Close it; never raises, and may come again."""
