"""Ends that are pipes, and two ends of one direction each as one.

A pipe's flags belong to everybody who has it, a shell's terminal among them; so it is opened anew where the system
lets us, and only that opening does not block.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence

from ...codec.content import Buffer
from ...errors import LinkError
from ...io.sources import widen
from ..interface import End
from .sockets import MANY, failed


class PipeEnd:
    """One end of a pipe, or another descriptor of one direction, which it owns: to read from, or to write to."""

    def __init__(self, descriptor: int, writing: bool, name: str) -> None:
        self.name = name
        self._writing = writing
        self._owned = descriptor
        self._restore = -1
        self._descriptor = self._opened(descriptor)
        widen(self._descriptor)

    def _opened(self, descriptor: int) -> int:
        """A descriptor of the same pipe that does not block."""
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        if flags & os.O_NONBLOCK:
            return descriptor
        try:
            access = os.O_WRONLY if self._writing else os.O_RDONLY
            return os.open(f"/proc/self/fd/{descriptor}", access | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            # It belongs to another user, or is no pipe: the flag is set while it is ours.
            self._restore = flags
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            return descriptor

    def fileno(self) -> int:
        return self._descriptor

    def output(self) -> int:
        return self._descriptor

    def receive_into(self, buffer: memoryview) -> int:
        if self._writing:
            return 0
        try:
            return os.readv(self._descriptor, [buffer])
        except BlockingIOError:
            raise
        except OSError as error:
            raise failed(self.name, "receive", error) from error

    def send(self, buffers: Sequence[Buffer]) -> int:
        if not self._writing:
            raise LinkError(f"{self.name}: it can only be read from, so nothing can be sent there")
        try:
            return os.writev(self._descriptor, buffers if len(buffers) <= MANY else buffers[:MANY])
        except BlockingIOError:
            raise
        except OSError as error:
            raise failed(self.name, "send", error) from error

    def finish(self) -> None:
        if self._writing:
            self.close()

    def close(self) -> None:
        descriptor, owned, self._descriptor, self._owned = self._descriptor, self._owned, -1, -1
        if self._restore >= 0 and owned >= 0:
            try:
                fcntl.fcntl(owned, fcntl.F_SETFL, self._restore)
            except OSError:
                pass
        for number in {descriptor, owned} - {-1}:
            try:
                os.close(number)
            except OSError:
                pass  # the system has freed it in any case


class JoinedEnd:
    """Two ends of one direction each, as one."""

    def __init__(self, incoming: End, outgoing: End) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def fileno(self) -> int:
        return self._incoming.fileno()

    def output(self) -> int:
        return self._outgoing.output()

    def receive_into(self, buffer: memoryview) -> int:
        return self._incoming.receive_into(buffer)

    def send(self, buffers: Sequence[Buffer]) -> int:
        return self._outgoing.send(buffers)

    def finish(self) -> None:
        self._outgoing.finish()

    def close(self) -> None:
        self._incoming.close()
        self._outgoing.close()
