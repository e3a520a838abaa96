"""What tests of dirty logging stand on: a guest of memory alone, and an emulator that answers in our own thread."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...engine import frames
from ...engine.emulated import Emulated
from ...engine.emulator.dma import PAGE_SIZE
from ...engine.interface import DirtySource
from ...engine.logdirty.answering import Answerer
from ...engine.waiting import READ, Waiter
from ...engine.xenstore.client import Client
from ...writer.part import Part


class Written:
    """A source of frames that a test says were written."""

    def __init__(self) -> None:
        self.on = False
        self.frames = frames.NONE

    def enable(self) -> None:
        self.on, self.frames = True, frames.NONE

    def peek(self) -> int:
        return self.frames

    def clean(self) -> int:
        found, self.frames = self.frames, frames.NONE
        return found

    def disable(self) -> None:
        self.on = False


class Plain:
    """A guest that does nothing: memory, and whether it runs."""

    type = "hvm"

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.descriptor = os.memfd_create("guest", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, pages * PAGE_SIZE)
        self._map = mmap.mmap(self.descriptor, pages * PAGE_SIZE)
        self.memory = memoryview(self._map)
        self.written = Written()
        self.running = False

    @property
    def dirty(self) -> DirtySource:
        return self.written

    def populated(self) -> int:
        return frames.NONE

    def types(self) -> Sequence[int] | None:
        return None

    def pause(self) -> None:
        self.running = False

    def resume(self) -> None:
        self.running = True

    def static(self) -> Iterable[Part]:
        return ()

    def state(self) -> Iterable[Part]:
        return ()

    def emulator(self) -> bytes:
        return b""

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        assert not list(records)

    def digest(self) -> str:
        return str(hash(bytes(self.memory)))

    def broken(self) -> list[str]:
        return []

    def close(self) -> None:
        self.memory.release()
        self._map.close()
        os.close(self.descriptor)


def copied(guest: Emulated, with_log: bool = True) -> bytearray:
    """Its memory as a pre-copy of four rounds gets it; paused afterwards."""
    source = guest.dirty if with_log else guest.hypervisor
    copy = bytearray(len(guest.memory))
    source.enable()
    copy[:] = guest.memory
    for number in range(4):
        if number == 3:
            guest.pause()
        else:
            time.sleep(0.01)
        for first, count in frames.runs(source.clean()):
            part = slice(first * PAGE_SIZE, (first + count) * PAGE_SIZE)
            copy[part] = guest.memory[part]
    source.disable()
    return copy


@contextmanager
def answering(waiter: Waiter, store: Client, answerer: Answerer) -> Iterator[None]:
    """Serve an emulator's side while the saver's waits."""

    def hear() -> None:
        store.pump()
        while event := store.take():
            answerer.hear(event.token)

    waiter.serve(store.fileno(), READ, hear)
    try:
        yield
    finally:
        waiter.drop(store.fileno())
        answerer.close()


def segments() -> set[int]:
    """Numbers of the System V segments that this process has made, one that it has started, or one that has ended.

    Those of other processes that live are of tests that run at the same time.
    """
    with open("/proc/sysvipc/shm") as file:
        rows = [row.split() for row in list(file)[1:]]
    return {int(row[1]) for row in rows if ended(row[4]) or _is_ours(int(row[4]))}


def _is_ours(pid: int) -> bool:
    """Whether a process is this one, or descends from it."""
    while pid > 1 and pid != os.getpid():
        try:
            pid = int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return pid == os.getpid()


def ended(pid: int | str) -> bool:
    """Whether a process is no more, or has ended and was not waited for yet."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def until(ready: object, seconds: float = 8.0) -> bool:
    """Whether something becomes true in time."""
    assert callable(ready)
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
