"""The System V segment of 2007: two bitmaps in a row, and in its first word the size of one of them.

That word lies over bits 0 to 31 of the first bitmap.  So some of these frames are sent once more than needed after
the first harvest, which does no harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from ...errors import GuestError, PeerError

_WORD = 4
_MODE = 0o600
_KEYS = (1 << 31) - 1  # key_t is signed; 0 is IPC_PRIVATE
_ATTEMPTS = 100
_ABSENT = "the 2007 form of dirty logging needs the package sysv_ipc: pip install 'streamfmt[engine]'"


def _library() -> ModuleType:
    """The package, which only this form needs.

    :raises GuestError: it is not installed.
    """
    try:
        return import_module("sysv_ipc")
    except ImportError:
        raise GuestError(_ABSENT) from None


class Segment:
    """An attached segment of two bitmaps of `size` bytes each."""

    def __init__(self, memory: Any, size: int) -> None:
        self._memory = memory
        self.size = size
        self._there = True

    @property
    def id(self) -> int:
        """The kernel's number of it."""
        return int(self._memory.id)

    def harvest(self, which: int, clear: bool) -> bytes:
        """One of the bitmaps; zeros afterwards if it is to be cleared."""
        found: bytes = self._memory.read(self.size, which * self.size)
        if clear:
            self._memory.write(bytes(self.size), which * self.size)
        return found

    @property
    def alone(self) -> bool:
        """Whether nobody else has it attached."""
        return int(self._memory.number_attached) <= 1

    def mark(self, which: int, frame: int) -> bool:
        """Set a frame's bit, unless it is beyond the bitmap: then False."""
        at, bit = frame >> 3, 1 << (frame & 7)
        if at >= self.size:
            return False
        place = which * self.size + at
        had = self._memory.read(1, place)[0]
        if not had & bit:
            self._memory.write(bytes((had | bit,)), place)
        return True

    def doom(self) -> None:
        """Have the kernel remove it as soon as nobody has it attached; who does not yet can no longer attach it."""
        try:
            self._memory.remove()
        except _library().ExistentialError:  # the other side was faster
            pass

    def close(self) -> None:
        """Detach it; never raises, and may come again."""
        if self._there:
            self._there = False
            try:
                self._memory.detach()
            except _library().Error:
                pass


def create(size: int, publish: Callable[[str], None]) -> Segment:
    """A new segment of zeros, whose size is in its first word.

    `publish` is called with its key, as 16 hexadecimal digits, before it is made: others can find it if we die.

    :raises GuestError: the system has none for us, or the package is missing.
    """
    library = _library()
    for _ in range(_ATTEMPTS):
        key = secrets.randbelow(_KEYS) + 1
        publish(f"{key:016x}")
        try:
            memory = library.SharedMemory(key, library.IPC_CREX, mode=_MODE, size=2 * size, init_character=b"\0")
        except library.ExistentialError:
            continue
        except (library.Error, OSError, ValueError, MemoryError) as error:
            raise GuestError(f"no shared memory of {2 * size:,} bytes for the log of dirty frames: {error}") from None
        memory.write(size.to_bytes(_WORD, "little"), 0)
        return Segment(memory, size)
    raise GuestError(f"no shared memory for the log of dirty frames: {_ATTEMPTS} keys are taken")


def attach(text: bytes, size: int) -> Segment | None:
    """The segment whose key somebody has published; None if there is none yet, or no longer.

    :raises PeerError: it is not one of two bitmaps of `size` bytes.
    :raises GuestError: the package is missing.
    """
    library = _library()
    key = _key(text)
    try:
        memory = library.SharedMemory(key, 0)
    except library.ExistentialError:
        return None
    except (library.Error, OSError) as error:
        raise PeerError(f"the segment of dirty frames, key {key:016x}, cannot be had: {error}") from None
    said = int.from_bytes(memory.read(_WORD, 0), "little") if memory.size >= 2 * size else memory.size // 2
    if said != size:
        memory.detach()
        if not said:  # its maker has not come to that yet
            return None
        raise PeerError(f"the segment of dirty frames has bitmaps of {said:,} bytes, this guest's have {size:,}")
    return Segment(memory, size)


def sweep(text: bytes) -> bool:
    """Remove the segment of a published key, if it is there and nobody has it attached: its saver is dead.

    :raises GuestError: the package is missing.
    """
    library = _library()
    try:
        memory = library.SharedMemory(_key(text), 0)
    except library.Error:
        return False
    alone = memory.number_attached == 1 and memory.mode & 0o777 == _MODE
    if alone:
        memory.remove()
    memory.detach()
    return bool(alone)


def _key(text: bytes) -> int:
    """The number that 16 digits say.

    :raises PeerError: they say none.
    """
    try:
        key = int(text, 16)
    except ValueError:
        key = 0
    if not 0 < key <= _KEYS:
        raise PeerError(f"the key of the segment of dirty frames, {text[:32]!r}, is none")
    return key
