"""A model of a device with registers, memory of its own, and DMA that writes to the guest's memory.

What it does depends on its registers alone, so that one that was migrated goes on exactly as the other would have.  It
knows nothing of how its state is asked for: that is for the interfaces around it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

from ...errors import DeviceError
from .. import frames as sets

# Its memory is written, and logged, in blocks of so many bytes; the guest's in pages.
BLOCK, PAGE = 64, 4096
# Registers: a generator's state, steps so far, writes to the guest so far, whether DMA is on; 64 bits each.
_REGISTERS = struct.Struct("<4Q")
_CHUNK = struct.Struct("<QQ")
_WORDS = struct.Struct("<8Q")
# Of each so many steps one writes to the guest as well.
_DMA_EVERY = 4
_WORD = (1 << 64) - 1
_FACTOR, _ADDED = 0x5851F42D4C957F2D, 0x14057B7EF767814F
CONFIG_SIZE = _REGISTERS.size + 8
_CONFIG_CLAUSE, _MEMORY_CLAUSE = "VFIO-CONFIG-DATA", "VFIO-MEMORY-DATA"


class Device:
    """A device with `size` bytes of memory, which are 0 at first, and whose DMA goes to `guest`.

    :param guest: memory of the guest, of whole pages; without it nothing is written there.
    :param seed: what its work begins with.
    """

    def __init__(self, size: int = 1 << 14, guest: memoryview | None = None, seed: int = 1) -> None:
        if size <= 0 or size % BLOCK or (guest is not None and guest.nbytes % PAGE):
            raise ValueError("a device's memory is of whole blocks, and a guest's of whole pages")
        self.memory = bytearray(size)
        self.guest = guest
        self.running = True
        # Whether it may begin DMA by itself, which it may not in the states of P2P.
        self.quiet = False
        self._state, self.steps, self.writes, self._dma = seed & _WORD, 0, 0, 1
        # Blocks of its own memory and pages of the guest that were written since each was last asked for.
        self.blocks = sets.NONE
        self.pages = sets.NONE

    @property
    def everything(self) -> int:
        """The set of all its blocks."""
        return sets.run(0, len(self.memory) // BLOCK)

    def reset(self) -> None:
        """Be as it was made, but for what it was seeded with; it runs."""
        self.memory[:] = bytes(len(self.memory))
        self._state, self.steps, self.writes, self._dma = 1, 0, 0, 1
        self.blocks, self.pages = self.everything, sets.NONE
        self.running, self.quiet = True, False

    def work(self, steps: int) -> None:
        """Do so many steps, if it runs: each writes a block of its memory, and some a word of the guest's."""
        if not self.running:
            return
        blocks = len(self.memory) // BLOCK
        pages = self.guest.nbytes // PAGE if self.guest is not None else 0
        for _ in range(steps):
            self._state = value = (self._state * _FACTOR + _ADDED) & _WORD
            self.steps += 1
            at = (value >> 33) % blocks
            _WORDS.pack_into(self.memory, at * BLOCK, *((value ^ place) & _WORD for place in range(8)))
            self.blocks |= 1 << at
            if self.guest is not None and self._dma and not self.quiet and not self.steps % _DMA_EVERY:
                page = (value >> 17) % pages
                self.guest[page * PAGE + 8 : page * PAGE + 16] = value.to_bytes(8, "little")
                self.writes += 1
                self.pages |= 1 << page

    # -- state -----------------------------------------------------------------------------------------------------

    def config(self) -> bytes:
        """Its registers, after how much memory it has; little-endian."""
        return len(self.memory).to_bytes(8, "little") + _REGISTERS.pack(self._state, self.steps, self.writes, self._dma)

    def load_config(self, raw: bytes) -> None:
        """Take over registers.

        :raises DeviceError: they are not a device's of this size; nothing has changed.
        """
        if len(raw) != CONFIG_SIZE:
            raise DeviceError(_CONFIG_CLAUSE, f"the registers have {len(raw)} bytes, not {CONFIG_SIZE}")
        size = int.from_bytes(raw[:8], "little")
        if size != len(self.memory):
            raise DeviceError(
                _CONFIG_CLAUSE, f"they are of a device with {size:,} bytes, this has {len(self.memory):,}"
            )
        state, steps, writes, dma = _REGISTERS.unpack(raw[8:])
        if dma > 1:
            raise DeviceError(_CONFIG_CLAUSE, f"DMA is {dma}, neither on nor off")
        self._state, self.steps, self.writes, self._dma = state, steps, writes, dma

    def chunks(self, blocks: int) -> bytes:
        """These blocks, as a list of address and length, 64 bits each, and data; blocks in a row are one of it."""
        made = []
        for first, count in sets.runs(blocks):
            at, size = first * BLOCK, count * BLOCK
            made += [_CHUNK.pack(at, size), bytes(self.memory[at : at + size])]
        return b"".join(made)

    def load_chunks(self, raw: bytes) -> None:
        """Take over such a list.

        :raises DeviceError: it is none for a device of this size; nothing has changed.
        """
        for at, data in [*self._listed(raw)]:
            self.memory[at : at + len(data)] = data
            self.blocks |= sets.run(at // BLOCK, len(data) // BLOCK)

    def _listed(self, raw: bytes) -> Iterable[tuple[int, bytes]]:
        place = 0
        while place < len(raw):
            if len(raw) - place < _CHUNK.size:
                raise DeviceError(_MEMORY_CLAUSE, f"{len(raw) - place} bytes are left, where a chunk begins")
            at, size = _CHUNK.unpack_from(raw, place)
            place += _CHUNK.size
            if at % BLOCK or size % BLOCK or not size or at + size > len(self.memory):
                raise DeviceError(
                    _MEMORY_CLAUSE, f"a chunk of {size:,} bytes at {at:#x} is no row of the device's blocks"
                )
            if len(raw) - place < size:
                raise DeviceError(_MEMORY_CLAUSE, f"a chunk of {size:,} bytes has {len(raw) - place:,}")
            yield at, raw[place : place + size]
            place += size

    @property
    def most(self) -> int:
        """Most bytes that a list of its chunks has: each second block is one."""
        blocks = len(self.memory) // BLOCK
        return len(self.memory) + (blocks + 1) // 2 * _CHUNK.size

    def take_blocks(self, logging: bool) -> int:
        """The blocks that were written since they were last taken, or all; logging begins anew."""
        found = self.blocks if logging else self.everything
        self.blocks = sets.NONE
        return found

    def take_pages(self, first: int, count: int) -> int:
        """Those of `count` pages from `first` on that were written, as bits from 0 on; they are clean after that."""
        asked = self.pages & sets.run(first, count)
        self.pages ^= asked
        return asked >> first

    def digest(self) -> str:
        """A hash of registers and memory."""
        return hashlib.sha256(self.config() + self.memory).hexdigest()
