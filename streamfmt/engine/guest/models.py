"""Making model guests, of either type."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...errors import GuestError
from .memory import Memory
from .model import Model
from .model_hvm import Hvm
from .model_pv import PvModel
from .model_workload import FIRST

# Vcpus that a guest has at most: those that every peer takes.
VCPUS_MAX = 8


def model(
    pages: int,
    type: str = "hvm",  # noqa: A002 # as the interface of guests has it
    *,
    vcpus: int = 1,
    clock: Callable[[], float] = time.monotonic,
    host: int = 0,
    private: bool = False,
    memory: Memory | None = None,
) -> Model:
    """A model guest, paused and without contents.

    :param pages: frames of 4096 bytes; only those that are written take memory.
    :param type: "hvm" or "pv".
    :param host: which machine it is on: a PV guest has other machine frames on each.
    :param private: memory without a descriptor, which is faster to fill.
    :param memory: what it is to have instead, of so many pages; it is its own then.
    :raises GuestError: it cannot be made.
    """
    if not 1 <= vcpus <= VCPUS_MAX:
        raise GuestError(f"a model guest has 1 to {VCPUS_MAX} vcpus, not {vcpus}")
    if pages <= FIRST:
        raise GuestError(f"a model guest has more than {FIRST} pages, not {pages}")
    kinds: dict[str, Callable[[Memory], Model]] = {
        "hvm": lambda memory: Model(memory, Hvm(vcpus), clock),
        "pv": lambda memory: PvModel(memory, vcpus, host, clock),
    }
    if type not in kinds:
        raise GuestError(f"a guest is of type {' or '.join(kinds)}, not {type!r}")
    memory = Memory(pages, private=private) if memory is None else memory
    try:
        return kinds[type](memory)
    except BaseException:
        memory.close()
        raise
