"""Making guests by the name of their kind, and saying what serves instead where one cannot be made.

Kinds, best first: `kvm`, a virtual machine; `process`, a process whose writes the kernel tracks; `model`, memory and
state without a processor.  The first two live in processes of their own, which end with who made them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ...errors import GuestError
from .. import frames as sets
from ..interface import Guest
from . import kinds, programs, workload
from .memory import PAGE, Memory
from .model_workload import LOCALITIES, Workload
from .model_workload import step as far
from .models import VCPUS_MAX as MODEL_VCPUS
from .models import model
from .programs import Work
from .remote import Home, RemoteGuest

# Seconds between two looks at the clock, more or less, where a rate is asked for; and pages, where none is.
_LOOK, _BATCH = 0.01, 64
# Microseconds from one text on the console to the next.
_REST = 1000
# The longest interval that a block has room for, in microseconds.
_LONGEST = (1 << 32) - 1
# The only type of guests that have a processor or stand for one.
_HVM = "hvm"
# All kinds, best first, and why one cannot be made, empty if it can.
_MISSING: dict[str, Callable[[], str]] = {**{name: row.missing for name, row in kinds.KINDS.items()}, "model": str}
KINDS = tuple(_MISSING)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a guest is to be, and to do.

    :param type: "hvm" or "pv"; only models are of the second.
    :param pages: frames of 4096 bytes.
    :param filled: frames with random contents, of that `seed`.
    :param written: frames that it writes, over and over: its working set.
    :param rate: pages that it writes a second; 0 for none, infinite for as many as it can.
    :param locality: in which order, a key of the model's localities.
    :param divisor: of the timer's ticks for one interrupt, where there is a timer; 0 for none.
    :param text: what a vcpu of its own writes to the console, each time with a rest; a model has none.
    """

    type: str
    pages: int
    vcpus: int = 1
    filled: int = 0
    written: int = 0
    rate: float = 0.0
    locality: str = "loop"
    seed: int = 0
    divisor: int = 0
    text: str = ""


def available() -> dict[str, str]:
    """Why guests of each kind cannot be made here, empty for those that can; best first."""
    return {name: missing() for name, missing in _MISSING.items()}


def best() -> str:
    """The best kind that can be made here."""
    return next(name for name, missing in _MISSING.items() if not missing())


def check(kind: str) -> None:
    """See that guests of a kind can be made here.

    :raises GuestError: they cannot; it says what is missing, and which serves instead.
    """
    if kind not in _MISSING:
        raise GuestError(f"there is no guest of kind {kind!r}, only {', '.join(KINDS)}")
    if why := _MISSING[kind]():
        raise GuestError(f"a guest of kind {kind} cannot be made here: {why}; a guest of kind {best()} can")


class Ready:
    """What a receiver has before anything comes, as it takes longer than a guest should wait for.

    That is a process, for a guest that lives in one; and a guest of `pages` frames that are all there, if that is asked
    for.  Nothing is had where guests of the kind cannot be made: making one says why.

    :raises GuestError: there cannot be so much memory.
    """

    def __init__(self, kind: str, pages: int = 0) -> None:
        self._home = Home() if kind in kinds.KINDS and not _MISSING[kind]() else None
        self._memory: Memory | None = None
        self._guest: RemoteGuest | None = None
        try:
            if pages:
                self._memory = Memory(pages, private=kind not in kinds.KINDS)
                self._memory.populate()
            if self._memory is not None and self._home is not None:
                # To track memory that is there takes long too.
                self._guest, self._memory = RemoteGuest.inside(self.home(), kind, self._memory), None
                self._guest.held.populate()  # that process has its pages; this one only knows where they are
        except BaseException:
            self.close()
            raise

    def started(self) -> None:
        """Return once the process has started: a guest that comes before would stand until then.  Raises GuestError."""
        if self._home is not None:
            self._home.started()

    def home(self) -> Home:
        """The process, which is the caller's then."""
        home, self._home = self._home, None
        return Home() if home is None else home

    def memory(self, pages: int) -> Memory | None:
        """Memory of this size, which is the caller's then; None if there is none."""
        memory = self._memory
        if memory is None or memory.pages != pages:
            return None
        self._memory = None
        return memory

    def guest(self, pages: int) -> RemoteGuest | None:
        """A guest of this size, which is the caller's then; None if there is none."""
        guest = self._guest
        if guest is None or guest.pages != pages:
            return None
        self._guest = None
        return guest

    def close(self) -> None:
        """Give back what nobody has taken; may come again."""
        for held in (self._home, self._memory, self._guest):
            if held is not None:
                held.close()
        self._home = self._memory = self._guest = None


def empty(
    kind: str,
    type: str,  # noqa: A002 # as Guest has it
    pages: int,
    vcpus: int = 1,
    *,
    host: int = 1,
    ready: Ready | None = None,
) -> Guest:
    """A guest to be filled by a restorer.

    :param host: for a model, which machine it is on: a PV guest has other machine frames on each.
    :param ready: what is there for it already.
    :raises GuestError: it cannot be made here.
    """
    check(kind)
    if kind not in kinds.KINDS:
        memory = None if ready is None else ready.memory(pages)
        return model(pages, type, vcpus=_model_vcpus(vcpus), host=host, private=True, memory=memory)
    _only_hvm(kind, type)
    if ready is None:
        return RemoteGuest.make(kind, Memory(pages))
    return ready.guest(pages) or RemoteGuest.inside(ready.home(), kind, Memory(pages))


def around(
    kind: str,
    type: str,  # noqa: A002 # as above
    memory: Memory,
    vcpus: int = 1,
    *,
    host: int = 1,
    ready: Ready | None = None,
) -> Guest:
    """A guest over memory that is there, such as came by a descriptor: it needs its state, and is complete.

    :param memory: it belongs to the guest, or is closed if there is an error.
    :param ready: what is there for it already.
    :raises GuestError: it cannot be made here.
    """
    try:
        check(kind)
        if kind not in kinds.KINDS:
            return model(memory.pages, type, vcpus=_model_vcpus(vcpus), host=host, memory=memory)
        _only_hvm(kind, type)
    except GuestError:
        memory.close()
        raise
    return RemoteGuest.inside(Home() if ready is None else ready.home(), kind, memory)


def _model_vcpus(wanted: int) -> int:
    return max(min(wanted, MODEL_VCPUS), 1)


def running(kind: str, wanted: Wanted) -> Guest:
    """A guest that does its work.

    :raises GuestError: it cannot be made here, or cannot do that.
    """
    check(kind)
    guest = _remote(kind, wanted) if kind in kinds.KINDS else _model(wanted)
    try:
        guest.resume()
    except BaseException:
        guest.close()
        raise
    return guest


def _model(wanted: Wanted) -> Guest:
    if wanted.rate == float("inf"):
        raise GuestError("a model writes so many pages a second, not as many as it can: give it a rate")
    guest = model(wanted.pages, wanted.type, vcpus=wanted.vcpus)
    try:
        work = Workload.of(wanted.written, wanted.rate, wanted.locality) if wanted.written else Workload()
        guest.boot(work, filled=wanted.filled, seed=wanted.seed)
    except BaseException:
        guest.close()
        raise
    return guest


def _remote(kind: str, wanted: Wanted) -> Guest:
    _only_hvm(kind, wanted.type)
    found = works(wanted)
    workload.judge(found, wanted.pages)
    memory = Memory(wanted.pages)
    try:
        fill(memory, wanted.filled, wanted.seed)
        for work in found:
            clear(memory, work, wanted.filled)
    except BaseException:
        memory.close()
        raise
    return RemoteGuest.make(kind, memory, found)


def _only_hvm(kind: str, type: str) -> None:  # noqa: A002 # as Guest has it
    if type != _HVM:
        raise GuestError(f"a guest of kind {kind} is of type {_HVM}; one of type {type} is a model")


def works(wanted: Wanted) -> list[Work]:
    """What its vcpus do: each loop of the locality is one's, and those without a loop halt.

    :raises GuestError: there is no such locality, or it takes more vcpus.
    """
    shares = LOCALITIES.get(wanted.locality)
    if shares is None:
        raise GuestError(f"there is no locality {wanted.locality!r}; there are {', '.join(LOCALITIES)}")
    found: list[Work] = []
    first = programs.FIRST
    for at, (part, rate, ordered) in enumerate(shares if wanted.written and wanted.rate else ()):
        left = wanted.written - (first - programs.FIRST)
        pages = left if at == len(shares) - 1 else max(round(wanted.written * part), 1)
        if pages > 0:
            batch, interval = pace(wanted.rate * rate)
            step = 1 if ordered else far(pages)
            divisor = 0 if at else wanted.divisor
            found.append(Work("counters", first, pages, step, batch, interval, divisor))
        first += pages
    if wanted.text:
        found.append(Work("console", interval=_REST, text=wanted.text.encode()))
    if len(found) > wanted.vcpus:
        what = f"locality {wanted.locality}{' and a console' if wanted.text else ''}"
        raise GuestError(f"{what} takes {len(found)} vcpus, and the guest has {wanted.vcpus}: --vcpus {len(found)}")
    return found + [Work("idle")] * (wanted.vcpus - len(found))


def pace(rate: float) -> tuple[int, int]:
    """Pages of a batch, and microseconds that it takes at least, for so many pages a second."""
    if rate == float("inf"):
        return _BATCH, 0
    batch = max(round(min(rate * _LOOK, 1 << 20)), 1)
    return batch, min(round(batch / rate * 1e6), _LONGEST)


def fill(memory: Memory, count: int, seed: int = 0) -> None:
    """Random contents for the first frames that programs leave alone, as many as there are of so many."""
    generator = Random(seed)
    for frame in range(programs.FIRST, min(programs.FIRST + count, memory.pages)):
        memory.view[frame * PAGE : (frame + 1) * PAGE] = generator.randbytes(PAGE)


def clear(memory: Memory, work: Work, count: int) -> None:
    """Have the pages of a work that `fill` has filled say that they were never written."""
    filled = sets.run(programs.FIRST, count) & sets.run(work.first, work.pages) & sets.run(0, memory.pages)
    for first, pages in sets.runs(filled):
        for at in range(first * PAGE, (first + pages) * PAGE, PAGE):
            memory.view[at : at + programs.OWN + 8] = bytes(programs.OWN + 8)
            memory.view[at + programs.COUNT_AGAIN : at + PAGE] = bytes(4)
