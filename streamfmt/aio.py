"""The Python interface for asyncio: `identify`, `verify` and `open` as in :mod:`streamfmt`.

Sources are asyncio.StreamReader or any object with ``async read(n)``; results are the same, by the same code.
A cancelled call can be made again, and the stream continues after the record in any case; only `read` and `fields`
may by then have consumed part of their record's body.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .api import (
    BODY_LIMIT,
    ENTRY_LIMIT,
    BaseRecord,
    BaseStream,
    Form,
    Guest,
    Mode,
    Targets,
    check_form,
    check_guest,
    judging,
)
from .checks.outcome import Outcome, judged
from .errors import DamagedError, StarvedError
from .io.memory import Inlet, from_object
from .io.sources import Source, drive
from .reader.events import Record as _Record
from .reader.failure import Failure, failed
from .reader.identification import Headers, Identification
from .reader.items import PIECE, Header, ItemReader
from .reader.page_data import PageBatch
from .reader.reader import Reader

if TYPE_CHECKING:
    from .io.sources import Driven
    from .reader.items import Pull

__all__ = ["Record", "Stream", "identify", "open", "verify"]
T = TypeVar("T")

# Bytes of content after which other tasks get their turn: a few that have arrived may hold very many, compressed.
_TURN = 64 << 10


class _TurnError(Exception):
    """It is another task's turn; nothing is wrong."""


class AsyncReadable(Protocol):
    """An asyncio.StreamReader, or anything that reads like one."""

    def read(self, n: int, /) -> Awaitable[bytes]: ...


class _Feed:
    """The bytes of what the caller gave, on their way into a reader."""

    def __init__(self, source: AsyncReadable, reader: Reader) -> None:
        if not callable(getattr(source, "read", None)):
            hint = "; for a file see asyncio in docs/api.md" if isinstance(source, (str, PathLike)) else ""
            raise TypeError(f"an object with async read(n) is wanted, not {type(source).__name__}{hint}")
        self._read = source.read
        self._inlet = Inlet(reader.exact)
        self._reader = reader
        self._source: Source | None = None
        self._turn = _TURN

    async def drive(self, pump: Driven) -> None:
        """Bytes into `pump` until it wants no more.  Raises OSError, and what the input is to blame for."""
        while True:
            try:
                # Whether the bytes are compressed shows when a few have arrived.
                self._source = self._source or from_object(self._inlet, self._reader)
                drive(pump, self._source, self._progress)
                return
            except _TurnError:
                await asyncio.sleep(0)
                continue
            except StarvedError as starved:
                wanted = starved.wanted
            data = await self._read(wanted)
            if len(data) > wanted:
                raise OSError(f"the source gave {len(data)} bytes, asked for {wanted}")
            self._inlet.give(data)

    def _progress(self, position: int) -> None:
        if position >= self._turn:
            self._turn = position + _TURN
            raise _TurnError


async def identify(
    source: AsyncReadable, *, form: Form = "auto", guest: Guest | None = None, exact: bool = False
) -> Identification:
    """Identify `source`, reading only its headers: see :func:`streamfmt.identify`."""
    headers = Headers(check_form(form), exact, check_guest(guest))
    return Identification(headers, await _driven(source, headers, headers.reader))


async def verify(
    source: AsyncReadable,
    *,
    form: Form = "auto",
    mode: Mode = "auto",
    strict: bool = False,
    deep: bool = False,
    exact: bool = False,
    guest: Guest | None = None,
    target: Targets = (),
    channels: Sequence[Outcome] = (),
) -> Outcome:
    """Judge `source` against every rule that a stream alone can show: see :func:`streamfmt.verify`."""
    reader, verifier = judging(form, mode, deep, exact, guest, target, channels)
    return judged(reader, verifier, strict, await _driven(source, reader.pump, reader))


async def _driven(source: AsyncReadable, pump: Driven, reader: Reader) -> Failure | None:
    """Drive all of it, and let go of the reader; the failure, if compressed data is damaged or cannot be opened."""
    feed = _Feed(source, reader)
    try:
        await feed.drive(pump)
    except DamagedError as error:
        return failed(error, reader.window.position)
    finally:
        reader.close()
    return None


class Record(BaseRecord):
    """A record of a :class:`Stream`; its body can be read until the next item is requested."""

    __slots__ = ("_each",)

    def __init__(self, core: ItemReader, record: _Record, each: Callable[[Pull[Any]], AsyncIterator[Any]]) -> None:
        super().__init__(core, record)
        self._each = each

    async def read(self, limit: int = BODY_LIMIT) -> bytes:
        """See :meth:`streamfmt.Record.read`."""
        return bytes(await anext(self._each(self._core.read(self._record, limit))))

    async def tail(self) -> bytes:
        """See :meth:`streamfmt.Record.tail`."""
        return bytes(await anext(self._each(self._core.tail(self._record))))

    def chunks(self, size: int = PIECE) -> AsyncIterator[memoryview]:
        """See :meth:`streamfmt.Record.chunks`."""
        return self._each(self._core.chunks(self._record, size))

    async def fields(self, limit: int = BODY_LIMIT) -> dict[str, Any]:
        """See :meth:`streamfmt.Record.fields`."""
        found: dict[str, Any] = await anext(self._each(self._core.fields(self._record, limit)))
        return found

    def pages(self, limit: int = ENTRY_LIMIT) -> AsyncIterator[PageBatch]:
        """See :meth:`streamfmt.Record.pages`."""
        return self._each(self._core.batches(self._record, limit))


class _Pulling(AsyncIterator[T]):
    """What the core yields, bytes being awaited in between.

    No asynchronous generator, since one that is left early wants closing.
    """

    __slots__ = ("_pull", "_stream")

    def __init__(self, stream: Stream, pull: Pull[T]) -> None:
        self._stream = stream
        self._pull = pull

    async def __anext__(self) -> T:
        for value in self._pull:
            if value is not None:
                return value
            await self._stream._drive()
        raise StopAsyncIteration


class Stream(BaseStream):
    """An open stream: iterate over its headers and records, and use it in an ``async with`` statement.

    Only one task at a time may use it.
    """

    def __init__(
        self, source: AsyncReadable, form: str = "auto", exact: bool = False, guest: str | None = None
    ) -> None:
        super().__init__(form, exact, guest)
        self._feed = _Feed(source, self._core.reader)

    async def __aenter__(self) -> Stream:
        await anext(self._each(self._core.first()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream; the source stays open."""
        self._core.close()

    def __aiter__(self) -> AsyncIterator[Header | Record]:
        return self

    async def __anext__(self) -> Header | Record:
        items: AsyncIterator[Header | _Record] = self._each(self._core.item())
        item = await anext(items)
        if isinstance(item, _Record):
            return Record(self._core, item, self._each)
        return item

    def _each(self, pull: Pull[T]) -> AsyncIterator[T]:
        return _Pulling(self, pull)

    async def _drive(self) -> None:
        """Wait for bytes until there is something to read."""
        await self._feed.drive(self._core)


def open(  # noqa: A001 - users write aio.open
    source: AsyncReadable, *, form: Form = "auto", guest: Guest | None = None, exact: bool = False
) -> Stream:
    """Open `source` for reading item by item: ``async with streamfmt.aio.open(source) as stream``.

    Entering it reads up to the first header, and raises what :func:`streamfmt.open` raises.
    """
    return Stream(source, form, exact, guest)
