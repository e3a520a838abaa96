"""A legacy stream on its way in: converted as it comes, as libxl does with streams of before Xen 4.6.

The converter is the one of `streamfmt convert`, which reads a descriptor; it runs in a thread between two pipes, and
all that moves bytes is here, in the thread that the rest of the restorer is in.

Source: tools/libs/light/libxl_convert_callout.c.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from ..codec.content import Buffer
from ..convert.asked import LEFT_OUT
from ..convert.part import Options
from ..convert.run import Result, convert
from ..errors import LinkError, PeerError, StreamError
from ..io.outputs import Output, to_descriptor
from .flow import Input
from .waiting import Waiter

# Bytes that are taken from the link at a time, and held until the converter takes them.
_PIECE = 64 << 10
# Seconds that the converter gets to end once its pipes are closed.
_END = 10.0


class Converting:
    """The converted stream, as the end of a link that can only be read; `input` reads it."""

    def __init__(self, source: Input, guest: str, waiter: Waiter) -> None:
        self._source = source
        self._held = memoryview(b"")
        self._ended = False
        self._result: list[Result | BaseException] = []
        given, self._given = os.pipe2(os.O_CLOEXEC)
        self._made, made = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._given, False)
        os.set_blocking(self._made, False)
        # Ready if the converter has made something, or can be given something.
        self._poll = select.epoll(flags=select.EPOLL_CLOEXEC)
        self._poll.register(self._made, select.EPOLLIN)
        self._waiting = -1
        self._wait_for(source.descriptor, select.EPOLLIN)
        # Libxl would say that the saving toolstack had words like its own; the stream itself shows that better.
        options = Options("legacy", guest=guest, allow_loss=LEFT_OUT, wrapped=True, exact=True)
        self._thread = threading.Thread(target=self._convert, args=(given, made, options), daemon=True)
        self._thread.start()
        self.input = Input(self, waiter, source.patience, exact=True)

    def _convert(self, given: int, made: int, options: Options) -> None:
        progress: Callable[[int | None], Any] = lambda size: nullcontext()  # noqa: E731 # a parameter of convert's
        try:
            self._result.append(convert(given, lambda: Output(to_descriptor(made), made), options, progress))
        except BaseException as error:
            self._result.append(error)
        finally:
            os.close(given)
            os.close(made)

    # -- what an end of a link is -----------------------------------------------------------------------------

    def fileno(self) -> int:
        """What to wait for."""
        return self._poll.fileno()

    def output(self) -> int:
        """Nothing can be written."""
        return -1

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Nothing can be written."""
        raise LinkError("a converted stream can only be read")

    def finish(self) -> None:
        """Nothing was sent."""

    def receive_into(self, buffer: memoryview) -> int:
        """Some of the converted stream; 0 at its end.

        :raises PeerError: the stream cannot be converted.
        """
        while True:
            try:
                data = os.read(self._made, len(buffer))
            except BlockingIOError:
                self._give()
                raise
            buffer[: len(data)] = data
            if not data:
                self._judge()
            return len(data)

    def close(self) -> None:
        """End the converter, wherever it is."""
        for descriptor in (self._given, self._made):
            if descriptor >= 0:
                os.close(descriptor)
        self._given = self._made = -1
        self._poll.close()
        self._thread.join(_END)

    # -- to the converter -------------------------------------------------------------------------------------

    def _give(self) -> None:
        """Give the converter what has come for it, as much as it takes."""
        if self._ended:
            return
        if not self._held:
            try:
                data = self._source.some(_PIECE)
            except BlockingIOError:
                self._wait_for(self._source.descriptor, select.EPOLLIN)
                return
            if not data:
                self._end()
                return
            self._held = memoryview(data)
        try:
            self._held = self._held[os.write(self._given, self._held) :]
        except BlockingIOError:
            self._wait_for(self._given, select.EPOLLOUT)
        except BrokenPipeError:
            self._end()  # it has all that it wants

    def _end(self) -> None:
        self._ended = True
        self._wait_for(-1, 0)
        os.close(self._given)
        self._given = -1

    def _wait_for(self, descriptor: int, events: int) -> None:
        if descriptor == self._waiting:
            return
        if self._waiting >= 0:
            self._poll.unregister(self._waiting)
        if descriptor >= 0:
            self._poll.register(descriptor, events)
        self._waiting = descriptor

    def _judge(self) -> None:
        """The converted stream has ended: whether it may."""
        self._thread.join(_END)
        result = self._result[0] if self._result else None
        if isinstance(result, Result):
            if result.done:
                return
            found = [row.message for row in result.outcome.findings if row.severity == "error"]
            words = found[0] if found else str(result.failure or "; ".join(line.rule for line in result.unfit))
        elif isinstance(result, StreamError):
            words = str(result)
        else:
            words = f"the converter failed: {result}"
        raise PeerError(f"the legacy stream cannot be converted: {words}")
