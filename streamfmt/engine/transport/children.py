"""Ends that are child processes: commands of the user, which carry a migration wherever they like."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence

from ...codec.content import Buffer
from ...errors import LinkError
from .pipes import JoinedEnd, PipeEnd

# Seconds that a command gets to end by itself: once it has been given everything; after its input has broken off, since
# a receiver has to remove what it has of a guest; and after it was asked to end.
_ORDERLY, _ABRUPT, _ASKED = 5.0, 3.0, 0.5
# What it gets to say why, once it takes nothing more.
_FATE = 0.1


class ChildEnd:
    """A shell command's standard input and output; what it says on standard error is for the user.

    Its link ends when the command does, not when it closes its output: only then is known how it ended.  It and all
    that it started, a process group of its own, have ended when this end is closed.
    """

    def __init__(self, command: str) -> None:
        self.name = f"exec:{command}"
        self._finished = False
        incoming, child_out = os.pipe2(os.O_CLOEXEC)
        child_in, outgoing = os.pipe2(os.O_CLOEXEC)
        try:
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", command], stdin=child_in, stdout=child_out, start_new_session=True
            )
            self._alive = os.pidfd_open(self._child.pid)
        except OSError as error:
            os.close(incoming)
            os.close(outgoing)
            raise LinkError(f"{self.name}: cannot start /bin/sh: {error.strerror}") from error
        finally:
            os.close(child_in)
            os.close(child_out)
        for number in (incoming, outgoing):
            os.set_blocking(number, False)  # they are ours alone
        self._pipes = JoinedEnd(PipeEnd(incoming, False, self.name), PipeEnd(outgoing, True, self.name))
        self._ended = False  # all that it said has been read

    @property
    def pid(self) -> int:
        """The process, which leads its group."""
        return self._child.pid

    def fileno(self) -> int:
        return self._alive if self._ended else self._pipes.fileno()

    def output(self) -> int:
        return self._pipes.output()

    def receive_into(self, buffer: memoryview) -> int:
        if not self._ended:
            if got := self._pipes.receive_into(buffer):
                return got
            self._ended = len(buffer) > 0
            if not self._ended:
                return 0
        if not self._has_ended():
            raise BlockingIOError
        if why := self._why():
            raise LinkError(why)
        return 0

    def send(self, buffers: Sequence[Buffer]) -> int:
        try:
            return self._pipes.send(buffers)
        except LinkError as error:
            self._wait(_FATE)
            raise LinkError(self._why() or f"{self.name}: the command takes no more input") from error

    def _has_ended(self) -> bool:
        """Whether it has; it stays a zombie then, so that its group's number is nobody else's."""
        return self._child.returncode is not None or (
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )

    def _why(self) -> str:
        """How it ended, if that was badly."""
        if not self._has_ended():
            return ""
        self._end_group()
        status = self._child.wait()
        if status < 0:
            return f"{self.name}: the command was ended by signal {-status}"
        return f"{self.name}: the command ended with status {status}" if status else ""

    def _wait(self, seconds: float) -> bool:
        """Whether it ends in this time."""
        waiting = select.poll()
        waiting.register(self._alive, select.POLLIN)
        waiting.poll(seconds * 1000)
        return self._has_ended()

    def _end_group(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to all that it started, while its number is still its own."""
        if self._child.returncode is None:
            try:
                os.killpg(self._child.pid, number)
            except OSError:
                pass  # all of it has ended, or runs as another user

    def finish(self) -> None:
        self._finished = True
        self._pipes.finish()

    def close(self) -> None:
        self._pipes.close()
        if self._alive < 0:
            return
        if not self._wait(_ORDERLY if self._finished else _ABRUPT):
            self._end_group(signal.SIGTERM)
            self._wait(_ASKED)
        self._end_group()
        self._child.wait()
        os.close(self._alive)
        self._alive = -1
