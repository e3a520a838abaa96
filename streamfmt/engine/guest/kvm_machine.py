"""A KVM machine: memory, vcpus, interrupt controllers and a timer in the kernel; its state read and written."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import GuestError
from .. import frames as sets
from . import kvm_api as api
from .kvm_state import State, Vcpu
from .memory import PAGE, Memory

DEVICE = "/dev/kvm"
# Addresses of the last GiB below 4 GiB are those of devices (the local APIC, the I/O APIC, KVM's own pages): memory
# that does not fit under them goes on at 4 GiB, as in a PC.
LOW_FRAMES = 0xC0000000 // PAGE
_HIGH = 1 << 32
# Four pages that KVM needs on some processors (Documentation/virt/kvm/api.rst, KVM_SET_TSS_ADDR), above our memory.
_IDENTITY_MAP, _TSS = 0xFFFBC000, 0xFFFBD000
_CAP_SET_TSS_ADDR, _CAP_SET_IDENTITY_MAP_ADDR = 4, 37
# MSRs that are part of a machine and not in KVM's list: memory types (Intel SDM volume 4, table 2-2).
MTRR_CAP, MTRR_DEF_TYPE, PAT = 0xFE, 0x2FF, 0x277
MTRR_VARIABLE = range(0x200, 0x210)
MTRR_FIXED = (0x250, 0x258, 0x259, *range(0x268, 0x270))
TSC_DEADLINE, TSC = 0x6E0, 0x10
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str:
    """Why there is no machine to be had here, in words; empty if there is one."""
    try:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{DEVICE}: {(error.strerror or '').lower()}"
    try:
        if fcntl.ioctl(descriptor, api.GET_API_VERSION, 0) != api.VERSION:
            return f"{DEVICE}: another interface than version {api.VERSION}"
        for what, number in api.NEEDED.items():
            if fcntl.ioctl(descriptor, api.CHECK_EXTENSION, number) <= 0:
                return f"{DEVICE}: KVM has not {what}"
        os.close(fcntl.ioctl(descriptor, api.CREATE_VM, 0))
    except OSError as error:
        return f"{DEVICE}: a machine cannot be made: {(error.strerror or '').lower()}"
    finally:
        os.close(descriptor)
    return ""


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Errors of the system as ours."""
    try:
        yield
    except OSError as error:
        raise GuestError(f"{what}: {(error.strerror or str(error)).lower()}") from None


class Machine:
    """A machine over this memory, with vcpus as they are after a reset.

    `vcpus` are their descriptors and `areas` what they share with the kernel (struct kvm_run).

    :raises GuestError: there is no KVM here, or it refuses.
    """

    def __init__(self, memory: Memory, vcpus: int) -> None:
        self.memory = memory
        self.vcpus: list[int] = []
        self.areas: list[mmap.mmap] = []
        self._kvm = self._vm = -1
        try:
            self._kvm = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
            self._make()
            self.add(vcpus)
            # What a machine has that has just been made: what differs from it is a guest's doing.
            self.fresh = self._msrs(self.vcpus[0])
        except OSError as error:
            self.close()
            raise GuestError(
                f"a machine cannot be made here: {missing() or f'KVM refuses: {error.strerror}'}"
            ) from None

    def _make(self) -> None:
        self._vm = fcntl.ioctl(self._kvm, api.CREATE_VM, 0)
        self._address(
            _CAP_SET_IDENTITY_MAP_ADDR, api.SET_IDENTITY_MAP_ADDR, ctypes.byref(ctypes.c_uint64(_IDENTITY_MAP))
        )
        self._address(_CAP_SET_TSS_ADDR, api.SET_TSS_ADDR, ctypes.c_ulong(_TSS))
        fcntl.ioctl(self._vm, api.CREATE_IRQCHIP, 0)
        fcntl.ioctl(self._vm, api.CREATE_PIT2, bytearray(64))
        self.cpuid = api.supported_cpuid(self._kvm)
        # TSC_DEADLINE is in no list, but in the state where CPUID offers it.
        self.indices = sorted(
            {*api.msr_indices(self._kvm), TSC_DEADLINE, MTRR_DEF_TYPE, PAT, *MTRR_VARIABLE, *MTRR_FIXED}
        )
        self.regions = tuple(self._regions())
        self.log(False)

    def _address(self, capability: int, request: int, argument: object) -> None:
        """Say where KVM's own pages are, which ioctl of Python cannot: the number is larger than its integers."""
        if fcntl.ioctl(self._kvm, api.CHECK_EXTENSION, capability) > 0 and _libc.ioctl(
            self._vm, ctypes.c_ulong(request), argument
        ):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def _regions(self) -> Iterator[tuple[int, int, int]]:
        """The first frame of each region of memory, how many it has, and the guest's address of it."""
        yield 0, min(self.memory.pages, LOW_FRAMES), 0
        if self.memory.pages > LOW_FRAMES:
            yield LOW_FRAMES, self.memory.pages - LOW_FRAMES, _HIGH

    def log(self, on: bool) -> None:
        """Log which frames vcpus write, or no longer.  While they run, no write is lost: KVM exchanges the whole."""
        flags = api.MEM_LOG_DIRTY_PAGES if on else 0
        with _asking("KVM does not take the guest's memory"):
            for slot, (first, count, address) in enumerate(self.regions):
                ours = self.memory.address + first * PAGE
                region = api.MEMORY_REGION.pack(slot, flags, address, count * PAGE, ours)
                fcntl.ioctl(self._vm, api.SET_USER_MEMORY_REGION, bytearray(region))

    def written(self) -> int:
        """The set of frames that vcpus wrote since this was last asked; from now on they are logged anew."""
        found = 0
        for slot, (first, count, _) in enumerate(self.regions):
            bitmap = bytearray((count + 63) // 64 * 8)
            asked = bytearray(api.DIRTY_LOG.pack(slot, 0, api.address(bitmap)))
            with _asking("KVM does not say what the guest wrote"):
                fcntl.ioctl(self._vm, api.GET_DIRTY_LOG, asked)
            found |= sets.from_bitmap(bitmap) << first
        return found

    def add(self, vcpus: int) -> None:
        """Give it vcpus until there are so many.

        :raises OSError: KVM has not so many.
        """
        size = fcntl.ioctl(self._kvm, api.GET_VCPU_MMAP_SIZE, 0)
        while len(self.vcpus) < vcpus:
            descriptor = fcntl.ioctl(self._vm, api.CREATE_VCPU, len(self.vcpus))
            self.vcpus.append(descriptor)
            fcntl.ioctl(descriptor, api.SET_CPUID2, bytearray(self.cpuid))
            self.areas.append(mmap.mmap(descriptor, size))

    def places(self) -> dict[int, int]:
        """Where components of the extended state end in an XSAVE area, by their bits: CPUID leaf 0xd."""
        entries = api.CPUID_ENTRY.iter_unpack(self.cpuid[api.CPUID.size :])
        return {leaf[1]: leaf[3] + leaf[4] for leaf in entries if leaf[0] == 0xD and leaf[1] >= 2 and leaf[3]}

    def _msrs(self, vcpu: int) -> dict[int, int]:
        return api.get_msrs(vcpu, self.indices)

    def read_vcpu(self, number: int) -> Vcpu:
        """One vcpu's state, while it does not run."""
        descriptor = self.vcpus[number]
        return Vcpu({piece.name: api.read(descriptor, piece) for piece in api.VCPU}, self._msrs(descriptor))

    def read(self) -> State:
        """Its state, while no vcpu runs."""
        with _asking("KVM does not say what state the guest is in"):
            vcpus = map(self.read_vcpu, range(len(self.vcpus)))
            there = tuple(None if _waits(vcpu.pieces["mp_state"]) else vcpu for vcpu in vcpus)
            machine = {piece.name: api.read(self._vm, piece) for piece in api.MACHINE}
            return State(there, machine, fcntl.ioctl(self.vcpus[0], api.GET_TSC_KHZ, 0))

    def write(self, state: State) -> None:
        """Give it a state, all but the interval timer, which would tick from then on: see `start_timer`.

        :raises GuestError: KVM does not take it.
        """
        with _asking("KVM does not take this state"):
            self.add(len(state.vcpus))
            for number, vcpu in zip(self.vcpus, state.vcpus, strict=False):
                if vcpu is not None:
                    self._write_vcpu(number, vcpu)
            for piece in api.MACHINE[:-1]:
                api.write(self._vm, piece, state.machine[piece.name])

    def _write_vcpu(self, number: int, vcpu: Vcpu) -> None:
        """MSRs come after what they depend on: the deadline needs the local APIC's mode.  The clock runs from now."""
        late = {index: vcpu.msrs[index] for index in (TSC, TSC_DEADLINE) if index in vcpu.msrs}
        early = {index: value for index, value in vcpu.msrs.items() if index not in late and index != MTRR_CAP}
        for piece in api.VCPU:
            if piece.name == "lapic":
                self._set(number, early)
            api.write(number, piece, vcpu.pieces[piece.name])
        self._set(number, late)

    def _set(self, vcpu: int, values: dict[int, int]) -> None:
        refused = [index for index in api.set_msrs(vcpu, values) if values[index] != self.fresh.get(index, 0)]
        if refused:
            shown = ", ".join(f"{index:#x}" for index in refused)
            raise GuestError(f"KVM here does not take these of the guest's MSRs: {shown}")

    def start_timer(self, state: State) -> None:
        """Give it the state of the interval timer, which ticks from now on.  Raises GuestError."""
        piece = api.MACHINE[-1]
        with _asking("KVM does not take this state of the timer"):
            api.write(self._vm, piece, state.machine[piece.name])

    def close(self) -> None:
        """End it; never raises, and may come again.  No vcpu runs any more."""
        for area in self.areas:
            area.close()
        for descriptor in (*self.vcpus, self._vm, self._kvm):
            if descriptor >= 0:
                os.close(descriptor)
        self.areas, self.vcpus = [], []
        self._vm = self._kvm = -1


def _waits(mp_state: bytes) -> bool:
    """Whether a vcpu has never run and waits for another's signal to start."""
    return int.from_bytes(mp_state, "little") in {api.UNINITIALIZED, api.INIT_RECEIVED, api.SIPI_RECEIVED}
