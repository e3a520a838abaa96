"""The guests that live in a process of their own, by name: what makes them there, and what they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...errors import GuestError
from . import kvm_machine, pagemap
from .kvm import KvmGuest
from .memory import Memory
from .process import ProcessGuest
from .programs import Work


class Kind(NamedTuple):
    """What makes one over memory, and what says why it cannot be made here, empty if it can."""

    make: Callable[[Memory, Sequence[Work]], KvmGuest | ProcessGuest]
    missing: Callable[[], str]


KINDS: dict[str, Kind] = {
    "kvm": Kind(lambda memory, works: KvmGuest(memory.pages, works, memory=memory), kvm_machine.missing),
    "process": Kind(lambda memory, works: ProcessGuest(memory.pages, works, memory=memory), pagemap.missing),
}
Local = KvmGuest | ProcessGuest


def local(kind: str, memory: Memory, works: Sequence[Work]) -> Local:
    """A guest in this process; the memory is its own then.

    :raises GuestError: there is no such kind, or it cannot be made here.
    """
    found = KINDS.get(kind)
    if found is None:
        memory.close()
        raise GuestError(f"there is no guest of kind {kind!r} that lives in a process, only {' and '.join(KINDS)}")
    return found.make(memory, works)
