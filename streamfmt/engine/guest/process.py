"""The guest `process`: programs in Python that write memory as those of :mod:`.programs` do, tracked by the kernel.

Its state is that of such a machine between two pages, right after a reset otherwise: so its records are those of any
HVM guest, and KVM can go on with it.  It cannot go on with what KVM stopped in the middle of a page.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from ...errors import GuestError
from ...writer.part import Part
from . import hvm, hvm_cpu, hvm_entries, hvm_policy, kvm_api, pagemap, programs, workload
from .hvm_entries import Entry
from .hvm_guest import HvmGuest
from .memory import PAGE, Memory
from .pagemap import Scanner
from .programs import PROGRAMS, Work

_WORD = (1 << 32) - 1
# Seconds within which a thread of it comes to a point where it can stop.
_PATIENCE = 10.0
Registers = dict[str, int]


class PagemapLog:
    """What the kernel saw the guest write, as a :class:`streamfmt.engine.interface.DirtySource`."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._on = False

    def enable(self) -> None:
        """Begin to log: all that was written before is protected again and forgotten."""
        if not self._on:
            self._scanner.scan(protect=True)
            self._on = True

    def peek(self) -> int:
        """What is logged."""
        return self._scanner.scan(protect=False) if self._on else 0

    def clean(self) -> int:
        """What is logged, and logged no more."""
        return self._scanner.scan(protect=True) if self._on else 0

    def disable(self) -> None:
        """Log no longer."""
        self._on = False


class ProcessGuest(HvmGuest):
    """A guest in threads of this process, whose page tables say what it wrote; see :mod:`.remote` for one of its own.

    :raises GuestError: the kernel cannot track it.
    """

    kind = "process"

    def __init__(
        self,
        pages: int,
        works: Sequence[Work] = (),
        *,
        memory: Memory | None = None,
        clock: Callable[[], int] = programs.microseconds,
    ) -> None:
        super().__init__(Memory(pages) if memory is None else memory)
        self._clock = clock
        self._tracker = self._pagemap = -1
        self._registers: list[Registers] = []
        self._threads: list[threading.Thread] = []
        self._change = threading.Condition()
        self._stop = False
        try:
            if any(work.divisor for work in works):
                raise GuestError("a process has no timer that interrupts it")
            if works:
                workload.prepare(self.held, works)
            self._tracker = pagemap.track(self.held.address, self.pages * PAGE)
            self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except (GuestError, OSError) as error:
            self.close()
            raise GuestError(str(error)) from None
        self._scanner = Scanner(os.dup(self._pagemap), self.held.address, self.pages)
        self.dirty = PagemapLog(self._scanner)
        for number, work in enumerate(works):
            start = programs.registers(number, work)
            # The first look at the clock, with which the program begins, is done here.
            workload.set_field(self.held, number, "last", self._clock() & _WORD)
            self._registers.append({**dict.fromkeys(kvm_api.REGS, 0), **start, "rip": _point(work.program)})

    def shares(self) -> tuple[int, ...]:
        """Memory, and what to scan."""
        return self.descriptor, self._pagemap

    def khz(self) -> int:
        """It has no such counter."""
        return 0

    def static(self) -> list[Part]:
        """What its processor would be: one without features."""
        return hvm_policy.plain()

    def pause(self) -> None:
        """Stop it between two pages.  Raises GuestError."""
        if not self.running:
            return
        with self._change:
            self._stop = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(_PATIENCE)
            if thread.is_alive():
                raise GuestError(f"the guest does not stop within {_PATIENCE:.0f} s")
        self._threads, self.running = [], False

    def resume(self) -> None:
        """Let it run.  Raises GuestError."""
        if self.running:
            return
        if self.descriptor < 0:
            raise GuestError("the guest has been ended")
        self._stop = False
        for number, registers in enumerate(self._registers):
            run = _RUN[workload.program(self.held, number) or PROGRAMS[0]]
            self._threads.append(threading.Thread(target=run, args=(self, number, registers), daemon=True))
        self.running = True
        for thread in self._threads:
            thread.start()

    def registers(self) -> list[Registers]:
        """The registers that a machine would have at this place."""
        if self.running:
            raise GuestError("the guest runs: its state is not known")
        return self._registers

    def entries(self) -> list[Entry]:
        """A machine after a reset, but in flat protected mode and at this place of its programs."""
        found: list[Entry] = []
        for number, registers in enumerate(self.registers()):
            found += hvm_cpu.beginning(number, registers)
        return found

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Take over a state of a guest that stopped between two pages.  Raises GuestError."""
        self.registers()
        rows = hvm_entries.read(hvm_entries.split(hvm.context(records)))
        numbers = sorted(number for name, number in rows if name == "CPU")
        if numbers != list(range(len(numbers))) or not 0 < len(numbers) <= programs.VCPUS_MAX:
            raise GuestError(
                f"the HVM context has vcpus {numbers}: a guest here has 1 to {programs.VCPUS_MAX}, from 0 on"
            )
        found = [{name: rows["CPU", at].fields[name] for name in kvm_api.REGS} for at in numbers]
        points = {_point(name) for name in PROGRAMS}
        if strays := [registers["rip"] for registers in found if registers["rip"] not in points]:
            raise GuestError(
                f"the guest stopped at {strays[0]:#x}, inside what a process does at once: KVM can go on there"
            )
        self._registers = found

    def close(self) -> None:
        """End it."""
        try:
            self.pause()
        except GuestError:  # its thread ends with the process
            pass
        if self._tracker >= 0:
            os.close(self._tracker)
            os.close(self._pagemap)
            self._scanner.close()
            self._tracker = self._pagemap = -1
        self.held.close()

    # -- what its threads do ----------------------------------------------------------------------------------

    def _counters(self, number: int, registers: Registers) -> None:
        """As the program of that name; the registers are as they would be at the label `page`."""
        end, size, batch, interval = (
            workload.field(self.held, number, name) for name in ("end", "size", "batch", "interval")
        )
        words = self.held.view.cast("I")
        place, step, left = registers["rdi"], registers["rsi"], registers["rdx"]
        done = registers["rbp"] | registers["rcx"] << 32
        due = time.monotonic()
        while not self._stop:
            at = place >> 2
            count = words[at] + 1 & _WORD
            words[at] = count
            words[at + 2] = place & _WORD
            words[at + 1023] = count
            done += 1
            place += step
            if place >= end:
                place -= size
            left -= 1
            if not left:
                self._look(number)
                left = batch
                if interval:
                    due = self._rest(due + interval / 1e6)
        words.release()
        registers |= {"rdi": place, "rdx": left, "rbp": done & _WORD, "rcx": done >> 32}

    def _times(self, number: int, registers: Registers) -> None:
        """As the program `clock`; the registers are as they would be at its label."""
        end, size, interval = (workload.field(self.held, number, name) for name in ("end", "size", "interval"))
        words = self.held.view.cast("I")
        place, done = registers["rdi"], registers["rbp"] | registers["rcx"] << 32
        due = time.monotonic()
        while not self._stop:
            at = place >> 2
            words[at + programs.TIME // 4] = self._clock() & _WORD
            words[at] = count = words[at] + 1 & _WORD
            words[at + programs.OWN // 4] = place & _WORD
            words[at + programs.COUNT_AGAIN // 4] = count
            done += 1
            place += registers["rsi"]
            if place >= end:
                place -= size
            if interval:
                due = self._rest(due + interval / 1e6)
        words.release()
        registers |= {"rdi": place, "rbp": done & _WORD, "rcx": done >> 32}

    def _look(self, number: int) -> None:
        """The longest time since it last looked at the clock."""
        now = self._clock() & _WORD
        since = now - workload.field(self.held, number, "last") & _WORD
        workload.set_field(self.held, number, "last", now)
        if since > workload.field(self.held, number, "gap"):
            workload.set_field(self.held, number, "gap", since)

    def _rest(self, due: float) -> float:
        """Sleep until a moment, or until it is to stop; returns from when on the next one counts."""
        now = time.monotonic()
        with self._change:
            self._change.wait_for(lambda: self._stop, max(due - now, 0))
        return max(due, now)

    def _console(self, number: int, registers: Registers) -> None:
        """As the program of that name."""
        start, end, interval = (workload.field(self.held, number, name) for name in ("text", "text_end", "interval"))
        due = time.monotonic()
        while not self._stop:
            self._written.append(self.held.view[registers["rsi"]])
            registers["rdi"] = registers["rdi"] + 1 & _WORD
            registers["rsi"] += 1
            if registers["rsi"] >= end:
                registers["rsi"] = start
                if interval:
                    due = self._rest(due + interval / 1e6)

    def _idle(self, _: int, __: Registers) -> None:
        """Nothing."""
        with self._change:
            self._change.wait_for(lambda: self._stop)


_RUN: dict[str, Callable[[ProcessGuest, int, Registers], None]] = {
    "idle": ProcessGuest._idle,
    "counters": ProcessGuest._counters,
    "console": ProcessGuest._console,
    "clock": ProcessGuest._times,
}


def _point(program: str) -> int:
    """Where a machine is in its program when a process between two steps is there."""
    return programs.code()[1][{"counters": "page"}.get(program, program)]
