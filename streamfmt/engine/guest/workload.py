"""What a guest's workload leaves in its memory, and what holds of it at any moment: it shows a page lost or repeated.

A vcpu that has written t pages of n, round and round, has written each t // n times, and those before its place once
more.  Where it is, its registers say; how often a page was written, the page says, at its beginning and its end.  So
memory and registers of different moments, a page of an earlier one, and one that landed elsewhere all show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import gcd

from ...errors import GuestError
from .. import frames as sets
from . import programs
from .memory import PAGE, PAGES_MAX, Memory
from .programs import FIELDS, PROGRAMS, Work

Registers = Mapping[str, int]
_WORDS = PAGE // 4
_WORD = (1 << 32) - 1
# Findings that are put into words, for each vcpu.
_SHOWN = 5


def judge(works: Sequence[Work], pages: int) -> None:
    """Refuse what cannot be run in the first so many frames.

    :raises GuestError: it says why.
    """
    if not 0 < len(works) <= programs.VCPUS_MAX:
        raise GuestError(f"a guest of {len(works)} vcpus cannot be made: 1 to {programs.VCPUS_MAX} can")
    taken = 0
    for number, work in enumerate(works):
        whose = f"vcpu {number}"
        if work.program not in PROGRAMS:
            raise GuestError(f"{whose}: there is no program {work.program!r}, only {', '.join(PROGRAMS)}")
        if not 0 < len(work.text) <= PAGE:
            raise GuestError(f"{whose}: a text has 1 to {PAGE} bytes")
        if not (0 <= work.interval <= _WORD and 0 < work.batch <= _WORD and 0 <= work.divisor <= 0xFFFF):
            raise GuestError(f"{whose}: interval and batch have 32 bits, and the timer's divisor has 16")
        if number and work.divisor:
            raise GuestError(f"{whose}: only vcpu 0 is interrupted by the timer")
        last = work.first + work.pages
        if work.first < programs.FIRST or work.pages <= 0 or last > pages:
            raise GuestError(
                f"{whose} writes frames {work.first:,} to {last - 1:,}, of {pages:,}; the first {programs.FIRST} are "
                "its program's: give it more memory, or a smaller working set"
            )
        if work.stride <= 0 or gcd(work.stride, work.pages) != 1:
            raise GuestError(f"{whose}: a stride of {work.stride} does not lead to each of {work.pages} pages")
        if work.stride >= work.pages > 1:
            raise GuestError(f"{whose}: a stride is less than the {work.pages} pages")
        if work.program in programs.WRITERS:
            range_ = sets.run(work.first, work.pages)
            if taken & range_:
                raise GuestError(f"{whose}: it would write pages of another vcpu")
            taken |= range_


def prepare(memory: Memory, works: Sequence[Work], most: int = PAGES_MAX) -> None:
    """Put the programs into memory, and what they are to do, in the first `most` frames.

    :raises GuestError: they cannot be run in it.
    """
    judge(works, min(memory.pages, most))
    code, _ = programs.code()
    _put(memory, programs.CODE * PAGE, code)
    _put(memory, programs.GDT_BASE, programs.descriptors())
    _put(memory, programs.STACKS * PAGE, bytes(PAGE))
    _put(memory, programs.TEXT * PAGE, next((work.text for work in works if work.program == PROGRAMS[2]), b"\0"))
    # Pages that savers and restorers look at are there, with zeros.
    _put(memory, programs.MAGIC * PAGE, bytes(len(programs.MAGIC_PARAMS) * PAGE))
    for number, work in enumerate(works):
        for name, value in work.fields.items():
            _put(memory, programs.block(number) + FIELDS[name], value.to_bytes(8, "little"))


def _put(memory: Memory, at: int, data: bytes) -> None:
    memory.view[at : at + len(data)] = data


def field(memory: Memory, vcpu: int, name: str) -> int:
    """A field of a vcpu's block."""
    at = programs.block(vcpu) + FIELDS[name]
    return int.from_bytes(memory.view[at : at + 8], "little")


def set_field(memory: Memory, vcpu: int, name: str, value: int) -> None:
    """Set one, while the guest is paused."""
    _put(memory, programs.block(vcpu) + FIELDS[name], value.to_bytes(8, "little"))


def gap(memory: Memory) -> float | None:
    """The longest time for which a vcpu stood still, in seconds, by the clock it asks; None if none asks."""
    gaps = [field(memory, number, "gap") for number in _asking(memory)]
    return max(gaps) / 1e6 if gaps else None


def forget_gap(memory: Memory) -> None:
    """Have them measure it anew; while the guest is paused."""
    for number in _asking(memory):
        set_field(memory, number, "gap", 0)


def _asking(memory: Memory) -> list[int]:
    return [number for number in range(programs.VCPUS_MAX) if program(memory, number) == PROGRAMS[1]]


def program(memory: Memory, vcpu: int) -> str:
    """The program of a vcpu, by its block; empty if there is none."""
    number = field(memory, vcpu, "magic") - programs.BLOCK_MAGIC
    return PROGRAMS[number] if 0 <= number < len(PROGRAMS) else ""


def broken(memory: Memory, vcpus: Sequence[Registers]) -> list[str]:
    """What does not hold, in words, a few for each vcpu; `vcpus` are their general registers."""
    populated = memory.populated()
    found: list[str] = []
    for number, registers in enumerate(vcpus):
        name = program(memory, number)
        if not name:
            found.append(f"vcpu {number}: its block says of no program what it is")
            continue
        own = [f"vcpu {number}: {words}" for words in _BROKEN[name](memory, number, registers, populated)]
        if len(own) > _SHOWN:
            own[_SHOWN:] = [f"vcpu {number}: {len(own) - _SHOWN:,} more pages like that"]
        found += own
    return found


def _idle(_: Memory, __: int, ___: Registers, ____: int) -> Iterator[str]:
    yield from ()


def _console(memory: Memory, vcpu: int, registers: Registers, _: int) -> Iterator[str]:
    """It is where it must be after so many characters, or one on."""
    start, stop = field(memory, vcpu, "text"), field(memory, vcpu, "text_end")
    place, done = registers["rsi"], registers["rdi"]
    if stop <= start or not start <= place <= stop:
        yield f"it is at {place:#x}, not within its text"
    elif done % (stop - start) not in {(place - start) % (stop - start), (place - start + 1) % (stop - start)}:
        yield f"it is at character {place - start} after {done:,} characters of a text of {stop - start}"


def _area(memory: Memory, vcpu: int) -> tuple[int, int, int]:
    """The first frame that it writes, how many, and how far the next one is."""
    return field(memory, vcpu, "base") // PAGE, field(memory, vcpu, "pages"), field(memory, vcpu, "stride") // PAGE


def _done(registers: Registers, labels: tuple[str, str]) -> int:
    """How many pages it has written."""
    done = registers["rbp"] & _WORD | (registers["rcx"] & _WORD) << 32
    # Between the two halves of the number there is a moment in which only the lower one has been added to.
    added, carry = (programs.code()[1][label] for label in labels)
    return done + (1 << 32) if not done & _WORD and added <= registers["rip"] <= carry else done


def _counters(memory: Memory, vcpu: int, registers: Registers, populated: int, name: str = "counters") -> Iterator[str]:
    """Each page was written as often as it must be, and the one that is written now once more or not yet."""
    base, pages, stride = _area(memory, vcpu)
    if not (programs.FIRST <= base < base + pages <= memory.pages) or gcd(stride, pages) != 1:
        yield f"its block says that it writes {pages:,} pages from frame {base:,} on, each {stride:,}"
        return
    done = _done(registers, programs.WRITERS[name])
    now, before = ((base + number * stride % pages) * PAGE for number in (done % pages, (done - 1) % pages))
    size = pages * PAGE
    if (registers["rdi"] - base * PAGE) % size not in {now - base * PAGE, before - base * PAGE}:
        yield f"it is at {registers['rdi']:#x} after {done:,} pages, not at {now:#x}"
    counts, again, owners = _words(memory, base, pages, populated, (programs.COUNT, programs.COUNT_AGAIN, programs.OWN))
    rounds, place = divmod(done, pages)
    for number in range(pages):
        at = number * stride % pages
        due = rounds + (number < place)
        allowed = {due & _WORD, due + 1 & _WORD} if number == place else {due & _WORD}
        torn = counts[at] != again[at] and (number != place or counts[at] != (due + 1) & _WORD)
        if counts[at] not in allowed or again[at] not in allowed or torn:
            yield f"frame {base + at:,} was written {counts[at]:,} times, and {again[at]:,} by its end: {due:,} are due"
        elif owners[at] != (base + at) * PAGE & _WORD and (due or owners[at]):
            yield f"frame {base + at:,} holds what belongs to frame {owners[at] // PAGE:,}"


def _clock(memory: Memory, vcpu: int, registers: Registers, populated: int) -> Iterator[str]:
    """Moreover the times are in the order in which the pages were written, from the oldest page to the newest."""
    wrong = list(_counters(memory, vcpu, registers, populated, "clock"))
    yield from wrong
    if wrong:
        return  # there is no order to speak of
    base, pages, stride = _area(memory, vcpu)
    done = _done(registers, programs.WRITERS["clock"])
    counts, times = _words(memory, base, pages, populated, (programs.COUNT, programs.TIME))
    # The page that is written now may have either time.
    numbers = [number % pages * stride % pages for number in range(done + 1, done + pages)]
    for at, following in pairwise(number for number in numbers if counts[number]):
        back = times[at] - times[following] & _WORD
        if 0 < back < 1 << 31:
            yield f"frame {base + following:,} was written after frame {base + at:,}, at a time {back:,} us earlier"


def _words(memory: Memory, base: int, pages: int, populated: int, offsets: Sequence[int]) -> tuple[list[int], ...]:
    """What each page has at these places, as words of 32 bits, 0 where it is a hole."""
    words = memory.view.cast("I")
    places = [offset // 4 for offset in offsets]
    found = tuple([0] * pages for _ in places)
    for first, count in sets.runs(populated & sets.run(base, pages)):
        for values, place in zip(found, places, strict=True):
            some = words[first * _WORDS + place : (first + count) * _WORDS : _WORDS].tolist()
            values[first - base : first - base + count] = some
    words.release()
    return found


_BROKEN: dict[str, Callable[[Memory, int, Registers, int], Iterator[str]]] = {
    "idle": _idle,
    "counters": _counters,
    "console": _console,
    "clock": _clock,
}
