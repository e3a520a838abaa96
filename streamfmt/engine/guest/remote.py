"""A guest that lives in a process of its own, as others see it: it ends with who made it, whatever savers do.

Memory is the same in both processes, and so costs nothing to look at.  What a saver is to use, in a third process, it
gets as a socket from :meth:`RemoteGuest.share` and takes with :meth:`RemoteGuest.join`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from ...errors import GuestError
from ...schema import qemu
from ...writer.part import Part, record
from .. import frames as sets
from ..interface import DirtySource
from . import wire
from .memory import Memory
from .pagemap import Scanner
from .process import PagemapLog
from .programs import Work

# Seconds within which an answer comes; the longest is that of a large guest's digest.
_PATIENCE = 120.0
_ENDS = 5.0
# Where this package is, for the process that imports it.
_HOME = str(Path(__file__).resolve().parents[3])


class RemoteLog:
    """The log that the guest's own process has."""

    def __init__(self, guest: RemoteGuest) -> None:
        self._guest = guest

    def enable(self) -> None:
        """Begin to log."""
        self._guest.call("enable")

    def peek(self) -> int:
        """What is logged."""
        return sets.from_bitmap(self._guest.call("peek").data)

    def clean(self) -> int:
        """What is logged, and logged no more."""
        return sets.from_bitmap(self._guest.call("clean").data)

    def disable(self) -> None:
        """Log no longer; a guest whose process is gone does not."""
        try:
            self._guest.call("disable")
        except GuestError:
            pass


class Home:
    """A process in which a guest may live, started ahead: that takes longer than a guest should stand for."""

    def __init__(self) -> None:
        self.link, theirs = socket.socketpair()
        self.link.settimeout(_PATIENCE)
        # A thread that ends would take the guest with it, so then only its end of the socket keeps it alive.
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        command = [sys.executable, "-m", __name__.replace("remote", "worker"), str(theirs.fileno()), str(parent)]
        path = os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))
        with theirs:
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )

    def started(self) -> None:
        """Return once it has started and waits for a guest.  Raises GuestError: it has not."""
        _ask(self.link, "started")

    def close(self) -> None:
        """End it, where it has become no guest's."""
        _end(self.link, self.process)


class RemoteGuest:
    """A guest in another process; see :class:`streamfmt.engine.interface.Guest`.  It may be used by several threads.

    :raises GuestError: it cannot be made here; the same from all methods if its process is gone.
    """

    def __init__(self, link: socket.socket, first: wire.Message, process: subprocess.Popen[bytes] | None) -> None:
        self._link, self._process = link, process
        self._turn = threading.Lock()
        facts = first.said["value"]
        self.type: str = facts["type"]
        self.kind: str = facts["kind"]
        memory, *pagemap = first.descriptors
        self.held = Memory.adopt(memory)
        self._scanner = Scanner(pagemap[0], facts["address"], self.held.pages) if pagemap else None
        # Where the kernel says what was written, it says so to us as well.
        self.dirty: DirtySource = RemoteLog(self) if self._scanner is None else PagemapLog(self._scanner)

    @classmethod
    def make(cls, kind: str, memory: Memory, works: Sequence[Work] = ()) -> Self:
        """A guest of a kind of :data:`.kinds.KINDS` over this memory, which is its own then."""
        return cls.inside(Home(), kind, memory, works)

    @classmethod
    def inside(cls, home: Home, kind: str, memory: Memory, works: Sequence[Work] = ()) -> Self:
        """The same in a process that has been started; it is the guest's then, or is ended."""
        try:
            rows = [{**asdict(work), "text": work.text.decode("latin-1")} for work in works]
            first = _ask(home.link, "make", {"kind": kind, "works": rows}, descriptors=[memory.descriptor])
            return cls(home.link, first, home.process)
        except BaseException:
            home.close()
            raise
        finally:
            memory.close()

    @classmethod
    def join(cls, link: socket.socket) -> Self:
        """The guest that another process has shared."""
        link.settimeout(_PATIENCE)
        return cls(link, _ask(link, "join"), None)

    def share(self) -> socket.socket:
        """A socket for another process to use the guest with, besides us."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.call("admit", descriptors=[theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        return ours

    def call(
        self, name: str, arguments: dict[str, Any] | None = None, data: bytes = b"", descriptors: Sequence[int] = ()
    ) -> wire.Message:
        """Have its process do something.  Raises GuestError."""
        with self._turn:
            return _ask(self._link, name, arguments, data, descriptors)

    @property
    def process(self) -> int:
        """The number of its process; -1 if another has made it."""
        return self._process.pid if self._process is not None else -1

    @property
    def pages(self) -> int:
        """How many frames it has."""
        return self.held.pages

    @property
    def memory(self) -> memoryview:
        """All of its frames."""
        return self.held.view

    @property
    def descriptor(self) -> int:
        """The descriptor of its memory."""
        return self.held.descriptor

    @property
    def running(self) -> bool:
        """Whether it runs: not if its process is gone."""
        try:
            return bool(self.call("running").said["value"])
        except GuestError:
            return False

    def populated(self) -> int:
        """Frames that may have contents."""
        return self.held.populated()

    def types(self) -> Sequence[int] | None:
        """All are NOTAB."""
        return None

    def pause(self) -> None:
        """Stop it."""
        self.call("pause")

    def resume(self) -> None:
        """Let it run."""
        self.call("resume")

    def static(self) -> list[Part]:
        """The records before its memory."""
        return self._records("static")

    def state(self) -> list[Part]:
        """The records after its memory."""
        return self._records("state")

    def _records(self, name: str) -> list[Part]:
        answer = self.call(name)
        at, found = 0, []
        for kind, size in answer.said["value"]:
            found.append(record(f"libxc.{kind}", answer.data[at : at + size]))
            at += size
        return found

    def emulator(self) -> bytes:
        """That of a device model without devices."""
        return bytes(qemu.EMPTY)

    def load(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Take over a state."""
        rows = [(name, bytes(body)) for name, body in records]
        sizes = [(name, len(body)) for name, body in rows]
        self.call("load", {"records": sizes}, b"".join(body for _, body in rows))

    def digest(self) -> str:
        """A hash of memory and state."""
        return str(self.call("digest").said["value"])

    def broken(self) -> list[str]:
        """What of its workload's invariant does not hold."""
        return list(self.call("broken").said["value"])

    def gap(self) -> float | None:
        """The longest time for which it stood still, as it felt it, in seconds; None if it does not look."""
        value = self.call("gap").said["value"]
        return None if value is None else float(value)

    def forget_gap(self) -> None:
        """Let it measure anew; while it is paused."""
        self.call("forget_gap")

    def console(self) -> bytes:
        """What it wrote to its console since this was last asked."""
        return self.call("console").data

    def close(self) -> None:
        """End it, if we made it, and its process; leave it otherwise."""
        _end(self._link, self._process)
        if self._scanner is not None:
            self._scanner.close()
        self.held.close()


def _ask(
    link: socket.socket,
    name: str,
    arguments: dict[str, Any] | None = None,
    data: bytes = b"",
    descriptors: Sequence[int] = (),
) -> wire.Message:
    """Ask, and wait for the answer.  Raises GuestError."""
    wire.send(link, {"call": name, "with": arguments or {}}, data, descriptors)
    answer = wire.receive(link)
    if answer is None:
        raise GuestError("the guest's process has ended")
    if "error" in answer.said:
        raise GuestError(answer.said["error"])
    return answer


def _end(link: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
    """Close our end, and see that the process ends, if it is ours."""
    link.close()
    if process is None:
        return
    try:
        process.wait(_ENDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
