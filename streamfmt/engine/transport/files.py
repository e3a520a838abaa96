"""Ends that are files: saved to, or restored from."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...codec.content import Buffer
from ...errors import LinkError
from ...io.outputs import FileOutput
from .sockets import MANY, failed


class FileEnd:
    """A file, read from where its descriptor stands or written to its end.

    Files are always ready, and cannot be waited for; what stands for this one is ready at once, too.
    """

    def __init__(self, name: str, descriptor: int, output: FileOutput | None = None, writing: bool = False) -> None:
        self.name = name
        self._descriptor = descriptor
        self._output = output
        self._writing = writing or output is not None
        self._ready = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._ready

    def output(self) -> int:
        return self._ready

    def receive_into(self, buffer: memoryview) -> int:
        if self._writing:
            return 0
        try:
            return os.readv(self._descriptor, [buffer])
        except OSError as error:
            raise failed(self.name, "read", error) from error

    def send(self, buffers: Sequence[Buffer]) -> int:
        if not self._writing:
            raise LinkError(f"{self.name}: it can only be read, so nothing can be sent there")
        try:
            return os.writev(self._descriptor, buffers if len(buffers) <= MANY else buffers[:MANY])
        except OSError as error:
            raise failed(self.name, "write", error) from error

    def finish(self) -> None:
        output, self._output = self._output, None
        if output is None:
            return
        self._descriptor = -1
        try:
            output.finish()
        except OSError as error:
            raise failed(self.name, "write", error) from error

    def close(self) -> None:
        output, descriptor, ready = self._output, self._descriptor, self._ready
        self._output, self._descriptor, self._ready = None, -1, -1
        try:
            if output is not None:
                output.abort()
            elif descriptor >= 0:
                os.close(descriptor)
            if ready >= 0:
                os.close(ready)
        except OSError:
            pass  # the system has freed it in any case


def writing(path: str) -> FileEnd:
    """The end of a file to write: it appears, or replaces what is there, when it is finished.

    :raises LinkError: it cannot be written.
    """
    name = f"file:{path}"
    try:
        output = FileOutput(path, sync=False)
    except OSError as error:
        raise failed(name, "write", error) from error
    return FileEnd(name, output.fd, output)


def reading(path: str) -> FileEnd:
    """The end of a file to read.

    :raises LinkError: it cannot be read.
    """
    name = f"file:{path}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise failed(name, "read", error) from error
    if os.path.isdir(f"/proc/self/fd/{descriptor}"):
        os.close(descriptor)
        raise LinkError(f"{name}: it is a directory")
    return FileEnd(name, descriptor)
