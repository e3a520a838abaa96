"""The guest `kvm`: a real virtual machine, whose state goes through Xen's records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from ...errors import GuestError
from ...writer.part import Part
from . import hvm, hvm_cpu, hvm_policy, kvm_run, kvm_state, programs, workload
from . import kvm_api as api
from .hvm_entries import Entry
from .hvm_guest import HvmGuest
from .kvm_machine import LOW_FRAMES, Machine
from .kvm_run import Devices, Runner
from .kvm_state import State, Vcpu
from .memory import Memory
from .programs import Work

# How often a machine that stopped where no record has all of it is let run on, and for how long, in seconds.
_TRIES, _A_LITTLE = 50, 0.0005


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


class KvmGuest(HvmGuest):
    """A guest in this process; see :class:`streamfmt.engine.interface.Guest`.

    The first one of a process is made by its main thread.

    :param works: what each vcpu does; none for a guest that is to be filled, which has one vcpu until then.
    :param clock: what it asks for the time, in microseconds.
    :raises GuestError: it cannot be made here.
    """

    kind = "kvm"

    def __init__(
        self,
        pages: int,
        works: Sequence[Work] = (),
        *,
        memory: Memory | None = None,
        clock: Callable[[], int] = programs.microseconds,
    ) -> None:
        super().__init__(Memory(pages) if memory is None else memory)
        self._runners: list[Runner] = []
        self._machine: Machine | None = None
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
        """What its processor is: all that KVM has here."""
        return hvm_policy.records(self._machine_of.cpuid, self._machine_of.fresh)

    def entries(self) -> list[Entry]:
        """Its state, as it was when it stopped."""
        machine = self._machine_of
        return hvm.entries(self._stopped(), machine.fresh, machine.places())

    def khz(self) -> int:
        """The rate of the processor's counter, as KVM gives it."""
        return self._stopped().khz

    def _stopped(self) -> State:
        if self._state is None:
            raise GuestError("the guest runs: its state is not known")
        return self._state

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Take over a state.

        :raises GuestError: it is none for this guest, or it runs.
        """
        self._stopped()
        rows = list(records)
        hvm_policy.judge(rows, self._machine_of.cpuid)
        self._take(hvm.state(rows, self._fresh, programs.VCPUS_MAX))

    def registers(self) -> list[dict[str, int]]:
        """The general registers of its vcpus, while it is paused."""
        return [kvm_state.regs(vcpu.pieces["regs"]) for vcpu in self._stopped().vcpus if vcpu is not None]

    def broken(self) -> list[str]:
        """What does not hold."""
        failed = [f"vcpu {at} has stopped: {it.failure}" for at, it in enumerate(self._runners) if it.failure]
        return failed + super().broken()

    def close(self) -> None:
        """End it."""
        self.running = False
        ended = [runner.end() for runner in self._runners]
        if not all(ended):
            return  # what a thread still uses ends with the process
        self._runners = []
        if self._machine is not None:
            self._machine.close()
            self._machine = None
        self.held.close()


def _beginning(vcpu: Vcpu, number: int, work: Work) -> Vcpu:
    """A vcpu after a reset, set to the beginning of its program in flat protected mode."""
    segments, controls = kvm_state.sregs(vcpu.pieces["sregs"])
    segments |= programs.segments()
    pieces = {
        **vcpu.pieces,
        "regs": kvm_state.to_regs(programs.registers(number, work)),
        "sregs": kvm_state.to_sregs(segments, {**controls, "cr0": controls["cr0"] | programs.PROTECTED}),
        "mp_state": api.RUNNABLE.to_bytes(4, "little"),
        "events": kvm_state.to_events({}),
    }
    return Vcpu(pieces, vcpu.msrs)
