"""A guest's memory as QEMU's migration stream has it: opened, sent in parts, closed, and straight from where it lies.

What is made here is the stream of a machine without a board (``-M none``): one block of memory, a clock and the state
that the machine was in.  Pages are not copied: each goes out as two buffers, a word of 8 bytes and its 4,096 bytes in
the guest.  Zero pages are words alone.

Sources: QEMU migration/ram.c (ram_save_setup, ram_save_iterate), migration/savevm.c, migration/global_state.c; what
releases write is from streams of 5.2, 7.2, 10.0 and 11.1.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..codec.content import Buffer
from ..schema import qemu_stream as schema
from ..writer import qemu
from ..writer.draft import Draft
from ..writer.part import Part
from . import frames as sets

PAGE, BITS = schema.PAGE_SIZE, schema.PAGE_BITS
# Pages that go in one call: each is two buffers, and the system takes 1,024 (UIO_MAXIOV), some of which are others.
TOGETHER = 504
# Words of zero pages in one buffer, which is then 9 bytes for each.
_WORDS = 1 << 16
_ZERO = bytes(PAGE)
_ZEROS = bytes(TOGETHER * PAGE)
# The values of PINGs: the first, by which a sender sees that the return path works, as QEMU's own (MIG_RP_MSG_PONG);
# and one before the end of the stream, which is answered once all before that has been loaded.
PING, LOADED = 1, 0x53
TIMER, GLOBAL_STATE = "timer", "globalstate"
# Run states that a machine is sent in (qapi/run-state.json): the receiver's goes on in the first, unless it has -S.
RUNNING, PAUSED = "running", "paused"
# Bytes of the clock's state, and of the name of a run state (migration/global_state.c), which is followed by whether
# the machine was suspended, known since 9.0: a flag that it is said, and what is said.
_TIMER_SIZE, _STATE_SIZE, _NAME_SIZE = 24, 100, 32


@dataclass(frozen=True, slots=True)
class Shape:
    """How a release writes the stream of a machine: numbers of sections, and what it says besides.

    `switchover` if COMMAND SWITCHOVER_START comes before the last part of the memory, `suspended` if the state says
    whether the machine was suspended.
    """

    memory: int
    state: int
    switchover: bool = False
    suspended: bool = False
    machine: bytes = b"none"
    block: str = "ram"


_OLD, _NEW = Shape(2, 4), Shape(1, 3, True, True)
SHAPES = {"5.2": _OLD, "7.2": _OLD, "10.0": _NEW, "11.1": _NEW}
# What all releases load: the older ones know no SWITCHOVER_START, and the newer ones do not need it.
COMMON = _OLD


def render(*parts: Part) -> bytes:
    """The bytes of some parts."""
    return Draft(parts).render()


def ping(value: int) -> Part:
    """A PING, which is answered on the return path."""
    return qemu.command("PING", value.to_bytes(4, "big"))


def run_state(name: str, shape: Shape = COMMON) -> bytes:
    """The payload of globalstate: the size of the name with its NUL, the name, and what else the shape says."""
    text = name.encode() + b"\0"
    room = text.ljust(_NAME_SIZE, b"\0") + bytes((shape.suspended, 0))
    return len(text).to_bytes(4, "big") + room.ljust(_STATE_SIZE, b"\0")


def name_of_state(payload: bytes) -> str:
    """The name of the run state in globalstate's payload; empty if there is none."""
    name, end, _ = payload[4 : 4 + _STATE_SIZE].partition(b"\0")
    return name.decode("ascii", "replace") if end else ""


class Live(Protocol):
    """A device whose state goes in parts: what its section has."""

    name: str

    def setup(self) -> bytes:
        """What it begins with."""

    def iterate(self) -> bytes:
        """More of it; nothing if no part is to go now."""

    def complete(self) -> bytes:
        """The last part."""

    def state(self) -> bytes:
        """What is sent at once after it; nothing if there is no such."""


# The number of the first section of such: no other comes near it.
_LIVE = 64


class Framing:
    """Makes the stream of one migration of `memory`, which is all of the guest's, in lists of at most 1,024 buffers.

    Each list has to be sent before the guest's memory goes away, and no copy is made of it: what the guest writes
    meanwhile may or may not be in it, as it is with every live migration.

    :param devices: sections of devices instead of the clock of a machine without any.
    :param live: devices whose state goes in parts, while they run.
    """

    def __init__(
        self,
        memory: memoryview,
        shape: Shape = COMMON,
        devices: Sequence[qemu.Device] | None = None,
        live: Sequence[Live] = (),
    ) -> None:
        self._live = list(enumerate(live, _LIVE))
        self._last: list[tuple[int, qemu.Device]] = []
        self.memory = memory
        self.pages = memory.nbytes // PAGE
        self.shape = shape
        self._devices = (qemu.Device(TIMER, bytes(_TIMER_SIZE), 2),) if devices is None else tuple(devices)
        # The first 8 bytes of each page: few pages whose are 0 are not zero pages.
        self._firsts = memory.cast("Q")[:: PAGE // 8]
        self._named = False
        self._end = render(qemu.frame("RAM_EOS", **{"word.page": 0}), *qemu.footer(shape.memory))

    def close(self) -> None:
        """Let go of the guest's memory."""
        self._firsts.release()

    # -- the stream ------------------------------------------------------------------------------------------------

    def opening(self, return_path: bool = True) -> bytes:
        """The header, the configuration, what opens the return path, and the start of the memory: no page yet."""
        shape = self.shape
        path = (qemu.command("OPEN_RETURN_PATH"), ping(PING)) if return_path else ()
        blocks = qemu.blocks({shape.block: self.pages})
        begun = (
            part for number, each in self._live for part in qemu.begin(number, qemu.Device(each.name, each.setup()))
        )
        memory = qemu.memory("SECTION_START", shape.memory, blocks)
        return render(*qemu.opening(shape.machine), *path, *memory, *begun)

    def part(self, frames: int, populated: int | None = None) -> Iterator[list[Buffer]]:
        """A part of the memory: these frames.  Of those that are not `populated`, if it is given, none is looked at."""
        yield from self._section("SECTION_PART", frames, populated)
        for number, each in self._live:
            if payload := each.iterate():
                yield [render(*qemu.part(number, payload))]

    def closing(
        self, frames: int, state: str, populated: int | None = None, return_path: bool = False
    ) -> Iterator[list[Buffer]]:
        """The last part, and devices; the machine was in run state `state` when it was stopped.

        With a return path a PING is last: its answer says that all of it could be loaded, and nothing runs there yet.
        """
        if self.shape.switchover:
            yield [render(qemu.command("SWITCHOVER_START"))]
        yield from self._section("SECTION_END", frames, populated)
        for number, each in self._live:
            yield [render(*qemu.part(number, each.complete(), last=True))]
            if payload := each.state():
                self._last.append((number, qemu.Device(each.name, payload)))
        rows = self._rows(state)
        numbers = self._numbers(len(rows) - 1)
        sections = (part for number, row in zip(numbers, rows, strict=True) for part in qemu.devices(number, (row,)))
        last = (part for number, row in self._last for part in qemu.devices(number, (row,)))
        yield [render(*last, *sections, *((ping(LOADED),) if return_path else ()))]

    def ending(self, state: str) -> bytes:
        """The end, after which the receiver's machine may run, and the description of the devices."""
        return render(qemu.frame("EOF"), qemu.description([*(row for _, row in self._last), *self._rows(state)]))

    def _rows(self, state: str) -> tuple[qemu.Device, ...]:
        return (*self._devices, qemu.Device(GLOBAL_STATE, run_state(state, self.shape)))

    def _numbers(self, devices: int) -> list[int]:
        """Numbers of so many sections of devices, and of the state: none is the memory's, and none comes twice."""
        taken = (self.shape.memory, self.shape.state)
        free = [number for number in range(devices + len(taken)) if number not in taken]
        return [*free[:devices], self.shape.state]

    # -- memory ----------------------------------------------------------------------------------------------------

    def _section(self, kind: str, frames: int, populated: int | None) -> Iterator[list[Buffer]]:
        held: list[Buffer] = [render(qemu.frame(kind, section_id=self.shape.memory, payload=b""))]
        if frames and not self._named:
            self._named = True
            first = (frames & -frames).bit_length() - 1
            held.append(self._first(first, populated is None or bool(populated >> first & 1)))
            frames &= ~(1 << first)
        if populated is not None:
            for pages in _together(frames & ~populated, _WORDS):
                yield [*held, zero_words(pages)]
                held = []
            frames &= populated
        for pages in _together(frames, TOGETHER):
            zero, rest = self._sorted(pages)
            if zero:
                held.append(zero_words(zero))
            yield held + self._whole(rest)
            held = []
        yield [*held, self._end]

    def _first(self, page: int, populated: bool) -> bytes:
        """The first word about a page, which names the block, and the page."""
        data = bytes(self.memory[page * PAGE : (page + 1) * PAGE]) if populated else _ZERO
        made = qemu.zero_of(self.shape.block, page) if data == _ZERO else qemu.page_of(self.shape.block, page, data)
        return render(made)

    def _sorted(self, pages: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
        """Those of the pages that are zero, and the others."""
        memory = self.memory
        if isinstance(pages, range):
            firsts = self._firsts[pages.start : pages.stop].tolist()
            if 0 not in firsts:
                return (), pages
            if not any(firsts):
                data = bytes(memory[pages.start * PAGE : pages.stop * PAGE])
                if data == (_ZEROS if len(data) == len(_ZEROS) else bytes(len(data))):
                    return pages, ()
        else:
            firsts = [self._firsts[page] for page in pages]
            if 0 not in firsts:
                return (), pages
        zero: list[int] = []
        rest: list[int] = []
        for page, first in zip(pages, firsts, strict=True):
            same = not first and bytes(memory[page * PAGE : (page + 1) * PAGE]) == _ZERO
            (zero if same else rest).append(page)
        return zero, rest

    def _whole(self, pages: Sequence[int]) -> list[Buffer]:
        """Words and contents of pages, by turns."""
        memory = self.memory
        buffers: list[Buffer] = [b""] * (2 * len(pages))
        buffers[0::2] = struct.unpack("8s" * len(pages), words(pages, schema.PAGE | schema.CONTINUE))
        buffers[1::2] = [memory[page * PAGE : (page + 1) * PAGE] for page in pages]
        return buffers


def _together(frames: int, most: int) -> Iterator[Sequence[int]]:
    """The frames of a set in rows of at most so many: ranges where they follow one another, else lists."""
    held: list[int] = []
    for first, count in sets.runs(frames):
        at, stop = first, first + count
        if held and len(held) + count > most:
            yield _row(held)
            held = []
        while stop - at >= most:
            yield range(at, at + most)
            at += most
        held += range(at, stop)
    if held:
        yield _row(held)


def _row(pages: list[int]) -> Sequence[int]:
    """The same pages, ascending as they are, as a range if they are one."""
    return range(pages[0], pages[-1] + 1) if pages[-1] - pages[0] == len(pages) - 1 else pages


def words(pages: Sequence[int], flags: int) -> bytes:
    """A word for each page, 8 bytes each, big-endian."""
    if isinstance(pages, range):
        made = array("Q", range(pages.start << BITS | flags, pages.stop << BITS, PAGE))
    else:
        made = array("Q", [page << BITS | flags for page in pages])
    if sys.byteorder == "little":
        made.byteswap()
    return made.tobytes()


def zero_words(pages: Sequence[int]) -> bytes:
    """What says that pages of the block named before are zero: a word and a byte for each."""
    row = words(pages, schema.ZERO | schema.CONTINUE)
    made = bytearray(9 * len(pages))
    for place in range(8):
        made[place::9] = row[place::8]
    return bytes(made)
