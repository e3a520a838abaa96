"""The kinds of guests that `migrate` makes."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.guest.model_workload import Workload
from ..engine.guest.models import model
from ..engine.interface import Guest
from ..errors import GuestError

KINDS = ("model", "process", "kvm")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a guest is to be: `filled` frames have random contents, `written` are written at a rate, in pages a second.

    `locality` says in which order.
    """

    type: str
    pages: int
    vcpus: int = 1
    filled: int = 0
    written: int = 0
    rate: float = 0.0
    locality: str = "loop"
    seed: int = 0


def running(kind: str, wanted: Wanted) -> Guest:
    """A guest that does its work.  Raises GuestError."""
    if kind != "model":
        raise GuestError(f"a guest of kind {kind} cannot be made here; --guest model works everywhere")
    guest = model(wanted.pages, wanted.type, vcpus=wanted.vcpus)
    try:
        work = Workload.of(wanted.written, wanted.rate, wanted.locality) if wanted.written else Workload()
        guest.boot(work, filled=wanted.filled, seed=wanted.seed)
        guest.resume()
    except BaseException:
        guest.close()
        raise
    return guest


def empty(kind: str, image: str, pages: int, vcpus: int) -> Guest:
    """A guest to be filled, on another host than those that `running` makes.  Raises GuestError."""
    if kind != "model":
        raise GuestError(f"a guest of kind {kind} cannot be made here; --guest model works everywhere")
    return model(pages, image, vcpus=max(min(vcpus, 8), 1), host=1, private=True)
