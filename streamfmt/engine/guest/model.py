"""The model guest: memory, vcpus' state and dirty frames without a processor; it runs everywhere.

Its workload goes on when somebody looks, by the clock, or when it is told to by `advance`; with a clock that stands, or
in a plan's time, all of it is the same each time.  What it is to a hypervisor is a :class:`Machine`: HVM or PV.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from random import Random

from ...codec.content import joined
from ...errors import GuestError
from ...writer.part import Part
from .. import frames as sets
from .memory import PAGE, Memory
from .model_workload import FIRST, FRAME, Workload, broken, write


class Log:
    """The dirty frames of a guest whose writer says which they are; `look` has it do what it would have done by now."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._on = False
        self._set = sets.NONE

    def enable(self) -> None:
        """Begin to log."""
        self._look()
        self._on, self._set = True, sets.NONE

    def peek(self) -> int:
        """What is logged so far, and stays so."""
        self._look()
        return self._set

    def clean(self) -> int:
        """What is logged so far; logging begins anew."""
        self._look()
        found, self._set = self._set, sets.NONE
        return found

    def disable(self) -> None:
        """End logging."""
        self._on, self._set = False, sets.NONE

    def note(self, frames: int) -> None:
        """These were written."""
        if self._on:
            self._set |= frames


class Machine(ABC):
    """What a guest is to a hypervisor: its records, and how pages lie in its memory."""

    type: str

    @abstractmethod
    def static(self) -> Iterable[Part]:
        """The records before memory."""

    @abstractmethod
    def state(self, counts: Sequence[int], nsec: int) -> Iterable[Part]:
        """The records after memory, with how far the workload's loops are, and for how long the guest has run."""

    @abstractmethod
    def load(self, records: Iterable[tuple[str, bytes]]) -> tuple[list[int], int]:
        """Take over records; what they say of both.  Raises GuestError."""

    @abstractmethod
    def emulator(self) -> bytes:
        """The device model's record."""

    @abstractmethod
    def digest(self) -> bytes:
        """What belongs to the guest of its state, whatever host it is on."""

    def room(self, pages: int) -> int:
        """The frames below this are for workloads, of so many that there are."""
        return pages

    def boot(self) -> int:
        """Write what a guest of this kind has in memory from the beginning; the set of frames that was."""
        return sets.NONE

    def paused(self) -> int:
        """It was stopped, and gets ready for being saved; the set of frames that it writes for that."""
        return sets.NONE

    def resumed(self) -> int:
        """It runs again; the set of frames that it writes for that."""
        return sets.NONE

    def worked(self, before: int, after: int) -> int:
        """Its first loop has come from one count to another; the set of frames that it writes besides."""
        return sets.NONE

    def memory_digest(self, memory: Memory) -> str:
        """A hash of memory."""
        return memory.digest()


class Model:
    """A guest of `memory.pages` frames, paused and without contents.  :func:`.models.model` makes one.

    :param clock: seconds, which never go back; the workload goes on by it.
    """

    def __init__(self, memory: Memory, machine: Machine, clock: Callable[[], float] = time.monotonic) -> None:
        self.running = False
        self.dirty = Log(self._look)
        self.workload = Workload()
        self._memory, self._machine, self._clock = memory, machine, clock
        self._words = memory.view.cast("Q")
        self._counts: list[int] = []
        # For how long it has run, until the moment of the clock up to which that is counted.
        self._ran = 0.0
        self._since = clock()
        self._closed = False

    def boot(self, workload: Workload, *, filled: int = 0, seed: int = 0) -> None:
        """Have it do that from now on, in memory whose first `filled` frames beyond the lowest are random.

        :raises GuestError: it has no room for that.
        """
        room = self._machine.room(self.pages)
        workload.sound(room)
        self.dirty.note(self._machine.boot())
        generator = Random(seed)
        for frame in range(FIRST, min(FIRST + filled, room)):
            self._memory.view[frame * PAGE : (frame + 1) * PAGE] = generator.randbytes(PAGE)
        for loop in workload.loops:
            for frame in loop.frames(0, loop.pages):
                if frame < FIRST + filled:
                    self._words[frame * PAGE // 8] = self._words[frame * PAGE // 8 + 1] = 0
        self._memory.view[FRAME * PAGE : (FRAME + 1) * PAGE] = workload.page()
        self.workload, self._counts = workload, [0] * len(workload.loops)

    def advance(self, seconds: float) -> None:
        """Have it run for so long at once, if it runs: time that does not pass on its clock."""
        if self.running and not self._closed:
            self._work(seconds)

    # -- what guests are to the rest ------------------------------------------------------------------------------

    @property
    def type(self) -> str:
        """ "hvm" or "pv"."""
        return self._machine.type

    @property
    def pages(self) -> int:
        """How many frames it has."""
        return self._memory.pages

    @property
    def memory(self) -> memoryview:
        """All of its frames in a row."""
        self._look()
        return self._memory.view

    @property
    def descriptor(self) -> int:
        """The file descriptor of its memory."""
        return self._memory.descriptor

    @property
    def done(self) -> int:
        """How many pages it has written, all in all."""
        self._look()
        return sum(self._counts)

    def populated(self) -> int:
        """The set of frames that may have contents."""
        self._look()
        return self._memory.populated()

    def types(self) -> Sequence[int] | None:
        """All frames are plain."""
        return None

    def pause(self) -> None:
        """Stop it, if it runs."""
        if self.running:
            self._look()
            self.running = False
            self.dirty.note(self._machine.paused())

    def resume(self) -> None:
        """Let it run."""
        if not self.running and not self._closed:
            self._since = self._clock()
            self.running = True
            self.dirty.note(self._machine.resumed())

    def static(self) -> Iterable[Part]:
        """The records before its memory."""
        return self._machine.static()

    def state(self) -> Iterable[Part]:
        """The records after its memory."""
        return self._machine.state(self._counts, round(self._ran * 1e9))

    def emulator(self) -> bytes:
        """The device model's record."""
        return self._machine.emulator()

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Take over the state in these records, and what memory says it does.

        :raises GuestError: it is not a state for this kind of guest.
        """
        counts, nsec = self._machine.load(records)
        page = bytes(self._memory.view[FRAME * PAGE : (FRAME + 1) * PAGE])
        self.workload = Workload.read(page, self._machine.room(self.pages))
        self._counts = counts[: len(self.workload.loops)]
        self._ran = nsec / 1e9

    def digest(self) -> str:
        """A hash of memory and state."""
        found = hashlib.sha256(self._machine.memory_digest(self._memory).encode())
        found.update(b"".join(count.to_bytes(8, "little") for count in self._counts))
        found.update(self._machine.digest())
        return found.hexdigest()

    def broken(self) -> list[str]:
        """What of its workload's invariant does not hold."""
        holes = sets.run(0, self.pages) & ~self._memory.populated()
        loops = zip(self.workload.loops, self._counts, strict=True)
        return [words for loop, done in loops for words in broken(self._words, loop, done, holes)]

    def close(self) -> None:
        """End it and free its memory."""
        self.running, self._closed = False, True
        self._words.release()
        self._memory.close()

    # -- its work -------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Do what it would have done by now."""
        if self.running:
            now = self._clock()
            passed, self._since = now - self._since, now
            self._work(passed)

    def _work(self, seconds: float) -> None:
        before, self._ran = self._ran, self._ran + max(seconds, 0.0)
        for number, loop in enumerate(self.workload.loops):
            # By the difference of whole numbers nothing is lost to rounding, however often somebody looks.
            count = int(self._ran * loop.rate) - int(before * loop.rate)
            if count:
                done = self._counts[number]
                write(self._words, loop, done, count)
                self._counts[number] = done + count
                self.dirty.note(loop.set(done, count))
                if not number:
                    self.dirty.note(self._machine.worked(done, done + count))


def words(parts: Iterable[Part]) -> bytes:
    """The bodies of parts in a row."""
    return b"".join(joined(part.contents("<")) for part in parts)


def need(records: dict[str, list[bytes]], name: str) -> bytes:
    """The body of the last record of a name.

    :raises GuestError: there is none.
    """
    found = records.get(name)
    if not found:
        raise GuestError(f"the state has no record {name}, which such a guest needs")
    return found[-1]
