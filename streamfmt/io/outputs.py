"""Where a writer's bytes go: files, which appear when they are complete, descriptors, sockets and file objects.

Large buffers are handed to the system where they lie, many in one call; small ones are put together first.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager

from .beside import Beside
from .sources import wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Protocol, TypeAlias

    from ..codec.content import Buffer

    class Writable(Protocol):
        """A binary file object, or anything that is written to like one."""

        def write(self, data: Buffer, /) -> int | None: ...

    Target: TypeAlias = str | os.PathLike[str] | int | socket.socket | Writable

# What is said of an output that has begun, will not be whole, and cannot be taken back.
PARTIAL = "has the first part of the result, which is of no use"
# What the system takes in one call (UIO_MAXIOV), and from where on small buffers are worth one.
_MANY = 1024
_ENOUGH = 256 << 10
_SMALL = 4096


class Output:
    """Bytes on their way out.  Everything raises OSError.

    `fd` is the descriptor that they go to, -1 if they go to none; if `atomic` nothing of them is to be seen before
    all are written.  `begun` is whether any have gone to it.
    """

    atomic = False

    def __init__(self, send: Callable[[Sequence[Buffer]], None], fd: int = -1) -> None:
        self._send = send
        self.fd = fd
        self.begun = False
        self._small = bytearray()

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Take some bytes.  What is not small has gone when this returns, so its memory may be used again."""
        if all(len(buffer) < _SMALL for buffer in buffers):
            self._small += b"".join(buffers)
            if len(self._small) >= _ENOUGH:
                self.flush()
            return
        ahead, self._small = self._small, bytearray()
        self._send([ahead, *buffers] if ahead else buffers)
        self.begun = True

    @property
    def pending(self) -> int:
        """How many bytes have been taken and have not gone."""
        return len(self._small)

    def flush(self) -> None:
        """Send what is left of the small ones."""
        if self._small:
            ahead, self._small = self._small, bytearray()
            self._send([ahead])
            self.begun = True

    @property
    def partial(self) -> bool:
        """Whether a part has gone that cannot be taken back, of what will not be whole."""
        return self.begun and not self.atomic

    def finish(self) -> None:
        """All has been written."""
        self.flush()

    def abort(self) -> None:
        """No more will be written, and it is not all: what cannot be taken back stays."""
        self._small.clear()


class FileOutput(Output):
    """A file that gets its name when it is complete; see :mod:`beside`.  Errors name it.

    What is there already and is no regular file, such as a pipe or a device, is written to as it is.  With `sync` it
    gets its name when its bytes are on the disk.
    """

    def __init__(self, path: str | os.PathLike[str], sync: bool = True) -> None:
        self._path = os.fspath(path)
        self._sync = sync
        self._beside: Beside | None = None
        try:
            mode = os.stat(self._path).st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        with self._named():
            if stat.S_ISREG(mode):
                # A link stays a link: what it points to is replaced.  A file that is replaced keeps its permissions.
                self._beside = Beside(os.path.realpath(self._path), stat.S_IMODE(mode))
                fd = self._beside.fd
            else:
                fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        super().__init__(self._send_all, fd)
        self.atomic = self._beside is not None

    def _send_all(self, buffers: Sequence[Buffer]) -> None:
        with self._named():
            to_descriptor(self.fd)(buffers)

    def finish(self) -> None:
        with self._named():
            try:
                self.flush()
                if self._beside is None:
                    self._close()
                else:
                    if self._sync:
                        os.fsync(self.fd)
                    self._beside.publish()
            except BaseException:
                self.abort()
                raise

    def abort(self) -> None:
        super().abort()
        if self._beside is None:
            self._close()
        else:
            self._beside.drop()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Have errors name the file, whatever the one beside it is called."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = self._path, None
            raise

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def to_descriptor(fd: int) -> Callable[[Sequence[Buffer]], None]:
    """What sends buffers to a descriptor: all of each, however little the system takes at a time."""
    return lambda buffers: send(lambda some: os.writev(fd, some), buffers, fd)


def send(vectored: Callable[[Sequence[Buffer]], int], buffers: Sequence[Buffer], fd: int) -> None:
    """All bytes of the buffers through a call that takes some of them at a time and says how many.

    A descriptor that does not block, as others may have made standard output, is waited for.
    """
    start = 0
    while start < len(buffers):
        some = buffers[start : start + _MANY]
        try:
            sent = vectored(some)
        except BlockingIOError:
            wait(fd, writing=True)
            continue
        for buffer in some:
            if sent < len(buffer):
                break
            sent -= len(buffer)
            start += 1
        if sent:
            # The rest of the one that went in part.
            buffers = [memoryview(buffers[start])[sent:], *buffers[start + 1 :]]
            start = 0


def _to_object(target: Writable, buffers: Sequence[Buffer]) -> None:
    for buffer in buffers:
        view = memoryview(buffer)
        while view:
            sent = target.write(view)
            if sent is None:  # an unbuffered object that does not block; others take all, or raise
                raise BlockingIOError(11, "the file object does not block, and takes no more")
            view = view[sent:]


def output(target: Target) -> Output:
    """What takes bytes for `target`.  Raises OSError, and TypeError for what nothing can be written to."""
    if isinstance(target, (str, os.PathLike)):
        return FileOutput(target)
    if isinstance(target, int):
        return Output(to_descriptor(target), target)
    # Whoever has a socket has loaded its module, which takes long.
    if "socket" in sys.modules and isinstance(target, sys.modules["socket"].socket):
        sock: socket.socket = target
        return Output(lambda buffers: send(sock.sendmsg, buffers, sock.fileno()), sock.fileno())
    if callable(getattr(target, "write", None)):
        file: Any = target
        return Output(lambda buffers: _to_object(file, buffers))
    raise TypeError(f"a path, descriptor, socket or binary file object is wanted, not {type(target).__name__}")


def write(target: Target, data: Buffer) -> None:
    """All of `data`, or nothing where `target` is a file.  Raises OSError."""
    write_all(target, [data])


def write_all(target: Target, pieces: Iterable[Buffer]) -> None:
    """All of the pieces, one after another, or nothing where `target` is a file.  Raises OSError."""
    out = output(target)
    try:
        for piece in pieces:
            out.write([piece])
    except BaseException:
        out.abort()
        raise
    out.finish()
