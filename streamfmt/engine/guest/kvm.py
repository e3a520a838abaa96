"""The guest `kvm`: a real virtual machine, whose state goes through Xen's records."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

from ...errors import GuestError
from ...writer.part import Part
from . import hvm, hvm_cpu, kvm_run, kvm_state, programs, workload
from . import kvm_api as api
from .hvm_entries import Entry
from .kvm_machine import LOW_FRAMES, Machine
from .kvm_run import Devices, Runner
from .kvm_state import State, Vcpu
from .memory import Memory
from .programs import Work

# How often a machine that stopped where no record has all of it is let run on, and for how long, in seconds.
_TRIES, _A_LITTLE = 50, 0.0005
# CR0: protected mode, as the processor has it after a reset otherwise.
_PE = 1


def microseconds() -> int:
    """The time of day, in microseconds: the same on all hosts, as far as their clocks agree."""
    return time.time_ns() // 1000


class Log:
    """KVM's dirty log, as a :class:`streamfmt.engine.interface.DirtySource`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._held = 0
        self._on = False

    def enable(self) -> None:
        """Begin to log; a log that is on goes on."""
        if not self._on:
            self._machine.log(True)
            self._on, self._held = True, 0

    def peek(self) -> int:
        """What is logged; KVM forgets it when it is asked, and so it is kept here."""
        if self._on:
            self._held |= self._machine.written()
        return self._held

    def clean(self) -> int:
        """What is logged, which is logged no more."""
        found, self._held = self.peek(), 0
        return found

    def disable(self) -> None:
        """Log no longer."""
        if self._on:
            self._machine.log(False)
            self._on, self._held = False, 0


class KvmGuest:
    """A guest in this process; see :class:`streamfmt.engine.interface.Guest`.

    The first one of a process is made by its main thread.

    :param works: what each vcpu does; none for a guest that is to be filled, which has one vcpu until then.
    :param clock: what it asks for the time, in microseconds.
    :raises GuestError: it cannot be made here.
    """

    type = "hvm"

    def __init__(
        self,
        pages: int,
        works: Sequence[Work] = (),
        *,
        memory: Memory | None = None,
        clock: Callable[[], int] = microseconds,
    ) -> None:
        self.held = Memory(pages) if memory is None else memory
        self._runners: list[Runner] = []
        self._machine: Machine | None = None
        self._written = bytearray()
        self.running = False
        try:
            kvm_run.catch()
            if works:
                workload.prepare(self.held, works, LOW_FRAMES)
            self._machine = Machine(self.held, max(len(works), 1))
        except GuestError:
            self.close()
            raise
        self._devices = Devices(clock, self._written.extend)
        self.dirty = Log(self._machine)
        self._fresh = self._machine.read()
        self._loaded = False
        self._state: State | None = self._fresh
        if works:
            self._begin(works)

    def _begin(self, works: Sequence[Work]) -> None:
        """Set the vcpus to the beginnings of their programs."""
        vcpus = [_beginning(self._machine_of.read_vcpu(at), at, work) for at, work in enumerate(works)]
        self._take(State(tuple(vcpus), self._fresh.machine, self._fresh.khz))

    @property
    def _machine_of(self) -> Machine:
        if self._machine is None:
            raise GuestError("the guest has been ended")
        return self._machine

    def _take(self, state: State) -> None:
        """Give the machine a state; the timer begins to tick when it runs."""
        self._machine_of.write(state)
        self._state = self._machine_of.read()
        self._state = State(self._state.vcpus, {**self._state.machine, "pit": state.machine["pit"]}, state.khz)
        self._loaded = True

    # -- as interface.Guest says ------------------------------------------------------------------------------

    @property
    def pages(self) -> int:
        """How many frames it has."""
        return self.held.pages

    @property
    def memory(self) -> memoryview:
        """All of its frames."""
        return self.held.view

    @property
    def descriptor(self) -> int:
        """The descriptor of its memory."""
        return self.held.descriptor

    def populated(self) -> int:
        """Frames that may have contents."""
        return self.held.populated()

    def types(self) -> None:
        """All are NOTAB."""

    def pause(self) -> None:
        """Stop it where records have all of its state.

        :raises GuestError: it does not stop.
        """
        if not self.running:
            return
        for _ in range(_TRIES):
            self._stop()
            found = self._machine_of.read()
            if not any(hvm_cpu.passing(vcpu) for vcpu in found.vcpus if vcpu is not None):
                break
            self._run()
            time.sleep(_A_LITTLE)
        else:
            raise GuestError("the guest is in an interrupt that does not end: it cannot be saved now, and runs on")
        self._state, self.running = found, False

    def resume(self) -> None:
        """Let it run."""
        if self.running:
            return
        machine = self._machine_of
        if self._loaded and self._state is not None:
            machine.start_timer(self._state)
            self._loaded = False
        while len(self._runners) < len(machine.vcpus):
            at = len(self._runners)
            self._runners.append(Runner(machine.vcpus[at], machine.areas[at], self._devices))
        self._run()
        self._state, self.running = None, True

    def _run(self) -> None:
        for runner in self._runners:
            runner.run()

    def _stop(self) -> None:
        for runner in self._runners:
            runner.ask()
        for runner in self._runners:
            runner.stop()

    def static(self) -> list[Part]:
        """None: vcpus have what KVM has here."""
        return []

    def state(self) -> list[Part]:
        """Its state, as it was when it stopped.

        :raises GuestError: it runs, or no record has all of it.
        """
        return hvm.records(self._entries(), self._stopped().khz)

    def _entries(self) -> list[Entry]:
        machine = self._machine_of
        return hvm.entries(self._stopped(), machine.fresh, machine.places())

    def _stopped(self) -> State:
        if self._state is None:
            raise GuestError("the guest runs: its state is not known")
        return self._state

    def emulator(self) -> bytes:
        """It has none."""
        return b""

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Take over a state.

        :raises GuestError: it is none for this guest, or it runs.
        """
        self._stopped()
        self._take(hvm.state(records, self._fresh, programs.VCPUS_MAX))

    def digest(self) -> str:
        """A hash of memory and state, but for clocks, which run on."""
        found = hashlib.sha256(self.held.digest().encode())
        for name, instance, data in hvm.still(self._entries()):
            found.update(f"{name} {instance} ".encode() + data)
        return found.hexdigest()

    def registers(self) -> list[dict[str, int]]:
        """The general registers of its vcpus, while it is paused."""
        return [kvm_state.regs(vcpu.pieces["regs"]) for vcpu in self._stopped().vcpus if vcpu is not None]

    def broken(self) -> list[str]:
        """What does not hold."""
        failed = [f"vcpu {at} has stopped: {it.failure}" for at, it in enumerate(self._runners) if it.failure]
        return failed + workload.broken(self.held, self.registers())

    def close(self) -> None:
        """End it."""
        self.running = False
        for runner in self._runners:
            runner.end()
        self._runners = []
        if self._machine is not None:
            self._machine.close()
            self._machine = None
        self.held.close()

    # -- and beyond -------------------------------------------------------------------------------------------

    def console(self) -> bytes:
        """What it wrote to its console since this was last asked."""
        found = bytes(self._written)
        del self._written[: len(found)]
        return found

    def gap(self) -> float | None:
        """The longest time for which it stood still, as it felt it, in seconds; None if it does not look."""
        return workload.gap(self.held)

    def forget_gap(self) -> None:
        """Let it measure anew; while it is paused."""
        workload.forget_gap(self.held)


def _beginning(vcpu: Vcpu, number: int, work: Work) -> Vcpu:
    """A vcpu after a reset, set to the beginning of its program in flat protected mode."""
    segments, controls = kvm_state.sregs(vcpu.pieces["sregs"])
    flat = {
        "base": 0,
        "limit": 0xFFFFFFFF,
        "present": 1,
        "dpl": 0,
        "db": 1,
        "s": 1,
        "l": 0,
        "g": 1,
        "avl": 0,
        "unusable": 0,
    }
    code = {**flat, "sel": programs.CODE_SELECTOR, "type": 0xB}
    data = {**flat, "sel": programs.DATA_SELECTOR, "type": 0x3}
    segments |= {"cs": code, **dict.fromkeys(("ds", "es", "fs", "gs", "ss"), data)}
    segments |= {"gdtr": {"base": programs.GDT_BASE, "limit": programs.GDT_LIMIT}}
    segments |= {"idtr": {"base": programs.IDT_BASE, "limit": programs.IDT_LIMIT}}
    pieces = {
        **vcpu.pieces,
        "regs": kvm_state.to_regs(programs.registers(number, work)),
        "sregs": kvm_state.to_sregs(segments, {**controls, "cr0": controls["cr0"] | _PE}),
        "mp_state": api.RUNNABLE.to_bytes(4, "little"),
        "events": kvm_state.to_events({}),
    }
    return Vcpu(pieces, vcpu.msrs)
