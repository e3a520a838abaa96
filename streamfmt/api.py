"""The Python interface: `identify`, `verify` and `open`, for sources that block.

:mod:`streamfmt.aio` has the same names for those that one waits for.  All logic is in the sans-I/O modules of
``reader`` and ``checks``; what is here drives bytes into them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from .checks.layer import MODES
from .checks.outcome import Outcome, judged
from .checks.targets import several
from .checks.verifier import NO_TARGETS, Verifier
from .errors import DamagedError
from .io.feed import Feed
from .memory.image import Memory
from .reader.events import Layer
from .reader.events import Record as _Record
from .reader.failure import Failure, failed
from .reader.identification import Headers, Identification
from .reader.identify import Identity
from .reader.items import PIECE, Header, ItemReader
from .reader.page_data import PageBatch
from .reader.reader import Reader
from .reader.registry import DECLARED, GUESTS

_Streams: TypeAlias = Literal["auto", "libxl", "libxc", "legacy-64", "legacy-32", "back-channel"]
_Files: TypeAlias = Literal["xl", "xl-migrate", "libvirt", "xapi", "xapi-legacy", "xend", "qemu", "qemu-multifd"]
Form: TypeAlias = Literal[_Streams, _Files, "legacy"]
Guest: TypeAlias = Literal["pv", "hvm"]
Mode: TypeAlias = Literal["auto", "plain", "remus", "colo"]
Targets: TypeAlias = str | Iterable[str]
T = TypeVar("T")

# What `read` and `fields` take of a body, and `pages` of entries, by default.
BODY_LIMIT = 1 << 20
ENTRY_LIMIT = 1 << 16


if TYPE_CHECKING:
    from .io.feed import StreamSource
    from .io.sources import Driven
    from .reader.items import Pull


def _known(what: str, name: str, known: Collection[str]) -> str:
    if name not in known:
        raise ValueError(f"{what} {name!r} is none of {', '.join(known)}")
    return name


def check_form(form: str) -> str:
    """The form, if it is one.  Raises ValueError."""
    return _known("form", form, DECLARED)


def check_guest(guest: str | None) -> str | None:
    """The guest, if it is one.  Raises ValueError."""
    return None if guest is None else _known("guest", guest, GUESTS)


def judging(
    form: str, mode: str, deep: bool, exact: bool, guest: str | None, target: Targets, channels: Sequence[Outcome]
) -> tuple[Reader, Verifier]:
    """A reader into a verifier.  Raises ValueError."""
    targets = several((target,) if isinstance(target, str) else target) if target else NO_TARGETS
    verifier = Verifier(_known("mode", mode, MODES), deep, targets=targets)
    if channels:
        from .checks.qemu_channels import all_brought

        verifier.channels = all_brought([outcome.verifier for outcome in channels])
    return Reader(verifier, check_form(form), exact, check_guest(guest)), verifier


def _driven(source: StreamSource, pump: Driven, reader: Reader) -> Failure | None:
    """Drive all of it, and let go of the reader; the failure, if compressed data is damaged or cannot be opened."""
    feed = Feed(source, reader)
    try:
        feed.drive(pump)
    except DamagedError as error:
        return failed(error, reader.window.position)
    finally:
        feed.close()
        reader.close()
    return None


def identify(
    source: StreamSource, *, form: Form = "auto", guest: Guest | None = None, exact: bool = False
) -> Identification:
    """Identify `source`, reading only its headers.

    :param source: path, descriptor, binary file object or bytes.
    :param form: "auto", or the form to read it as.
    :param guest: "pv" or "hvm" if that is what guest's a legacy stream is, whatever its bytes look like.
    :param exact: read nothing past the stream's END, and do not decompress.
    :returns: what it is; damaged or truncated compressed data is in :attr:`Identification.failure`.
    :raises OSError: the source cannot be opened or read.
    :raises TypeError: it is not a source.
    :raises ValueError: unknown form or guest.
    """
    headers = Headers(check_form(form), exact, check_guest(guest))
    return Identification(headers, _driven(source, headers, headers.reader))


def verify(
    source: StreamSource,
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
    """Judge `source` against every rule that a stream alone can show.

    :param source: path, descriptor, binary file object or bytes.
    :param form: "auto", or the form to read it as.
    :param guest: "pv" or "hvm" if that is what guest's a legacy stream is, whatever its bytes look like.
    :param mode: what the sender was asked for; "auto" infers it.
    :param target: the release that the stream is for, as --target takes it, or several of different programs.
    :param strict: treat warnings as errors.
    :param deep: check the page tables of PV guests, too.
    :param exact: read nothing past the stream's END, and do not decompress.
    :param channels: of the channels of a QEMU migration with multifd, whose main stream this is, what came out.
    :returns: verdict and findings; damaged or truncated compressed data is in :attr:`Outcome.failure`.
    :raises OSError: the source cannot be opened or read.
    :raises TypeError: it is not a source.
    :raises ValueError: unknown form, mode, guest or target, one of the channels is none, or the source has none.
    """
    reader, verifier = judging(form, mode, deep, exact, guest, target, channels)
    return judged(reader, verifier, strict, _driven(source, reader.pump, reader))


class BaseRecord:
    """Position and header of a record; subclasses read its body.  All offsets and sizes are in bytes."""

    __slots__ = ("_core", "_record")

    def __init__(self, core: ItemReader, record: _Record) -> None:
        self._core = core
        self._record = record

    def __repr__(self) -> str:
        return f"<Record {self.layer} {self.index} {self.name} at {self.offset}, {self.length} bytes>"

    @property
    def layer(self) -> str:
        """Path of its layer, such as "xl/libxl/libxc"."""
        return self._record.layer.path

    @property
    def index(self) -> int:
        """Index in its layer, from 0."""
        return self._record.index

    @property
    def type(self) -> int:
        """Number of its type."""
        return self._record.type

    @property
    def name(self) -> str:
        """Name of its type, such as "PAGE_DATA"."""
        return self._record.name

    @property
    def offset(self) -> int:
        """Offset of its header in the uncompressed stream."""
        return self._record.offset

    @property
    def body(self) -> int:
        """Offset of its body in the uncompressed stream."""
        return self._record.body

    @property
    def length(self) -> int:
        """Size of its body, without padding."""
        return self._record.length

    @property
    def declared_length(self) -> int:
        """What its header says is the length: `length`, but where the body has an end of its own."""
        return self._record.declared_length

    @property
    def padding(self) -> int:
        """Size of the padding after its body."""
        return self._record.padding

    @property
    def left(self) -> int:
        """How much of its body has not been read.

        :raises ValueError: the stream has moved on to another item.
        """
        return self._core.left(self._record)


class BaseStream:
    """A stream that is read item by item."""

    def __init__(self, form: str, exact: bool, guest: str | None = None) -> None:
        self._core = ItemReader(check_form(form), exact, check_guest(guest))

    @property
    def identity(self) -> Identity:
        """What the stream is, according to its first bytes."""
        identity = self._core.reader.identity
        if identity is None:
            raise ValueError("the stream has not been opened")
        return identity

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that contain the last item, outermost first."""
        return self._core.layers

    @property
    def offset(self) -> int:
        """Offset of the next byte to read, in the uncompressed stream."""
        return self._core.window.position

    @property
    def trailing(self) -> tuple[int, int] | None:
        """Offset and size of the data after the stream's END, once everything has been read; None if there is none."""
        return self._core.rest


class Record(BaseRecord):
    """A record of a :class:`Stream`; its body can be read until the next item is requested."""

    __slots__ = ("_each",)

    def __init__(self, core: ItemReader, record: _Record, each: Callable[[Pull[Any]], Iterator[Any]]) -> None:
        super().__init__(core, record)
        self._each = each

    def read(self, limit: int = BODY_LIMIT) -> bytes:
        """Read the rest of the body.

        :param limit: largest size to accept, in bytes.
        :raises LimitError: it is larger; nothing has been read.
        :raises StreamError: the stream ends inside it.
        """
        return bytes(next(self._each(self._core.read(self._record, limit))))

    def tail(self) -> bytes:
        """Skip the rest of the body and return the padding, which is zero in a valid stream."""
        return bytes(next(self._each(self._core.tail(self._record))))

    def chunks(self, size: int = PIECE) -> Iterator[memoryview]:
        """Iterate over the rest of the body.

        :param size: largest piece in bytes, up to 64 KiB.
        :returns: views of the reader's memory, each released when the next is requested: copy what you keep.
        :raises StreamError: the stream ends inside the body.
        """
        return self._each(self._core.chunks(self._record, size))

    def fields(self, limit: int = BODY_LIMIT) -> dict[str, Any]:
        """Decode the body.

        :param limit: largest body to accept, in bytes.
        :returns: fields by name, whatever their values, with lists for repeated parts; empty for unknown types.
        :raises LimitError: the body is larger; nothing has been read.
        :raises MalformedError: its size contradicts its own counts and lengths.
        """
        found: dict[str, Any] = next(self._each(self._core.fields(self._record, limit)))
        return found

    def pages(self, limit: int = ENTRY_LIMIT) -> Iterator[PageBatch]:
        """Iterate over a PAGE_DATA record's pages.

        :param limit: largest number of entries to accept.
        :returns: batches of entries and page contents.
        :raises ValueError: it is another type of record.
        :raises LimitError: it has more entries.
        :raises MalformedError: page types or length are inconsistent.
        """
        return self._each(self._core.batches(self._record, limit))


class Stream(BaseStream):
    """An open stream: iterate over its headers and records, and use it in a ``with`` statement.

    Iteration raises :class:`StreamError` where the stream cannot be read, and OSError.
    """

    def __init__(self, source: StreamSource, form: str = "auto", exact: bool = False, guest: str | None = None) -> None:
        super().__init__(form, exact, guest)
        self._given = source, form, guest
        self._memory: Memory | None = None
        self._feed: Feed | None = Feed(source, self._core.reader)
        try:
            next(self._each(self._core.first()))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream, and the source if it was given as a path."""
        feed, self._feed = self._feed, None
        if self._memory is not None:
            self._memory.close()
        if feed is not None:
            self._core.close()
            feed.close()

    @property
    def memory(self) -> Memory:
        """The guest's memory, wherever iteration is: as :func:`open_memory` finds it when this is first used."""
        if self._memory is None:
            from .memory.opened import open_memory as opened

            self._memory = opened(*self._given)
        return self._memory

    def __iter__(self) -> Iterator[Header | Record]:
        return self

    def __next__(self) -> Header | Record:
        items: Iterator[Header | _Record] = self._each(self._core.item())
        item = next(items)
        if isinstance(item, _Record):
            return Record(self._core, item, self._each)
        return item

    def _each(self, pull: Pull[T]) -> Iterator[T]:
        """What the core yields, bytes being driven in between."""
        for value in pull:
            if value is None:
                assert self._feed is not None, "the core yields nothing once it is closed"
                self._feed.drive(self._core)
            else:
                yield value


def open(  # noqa: A001 - users write streamfmt.open
    source: StreamSource, *, form: Form = "auto", guest: Guest | None = None, exact: bool = False
) -> Stream:
    """Open `source` for reading item by item, and read up to its first header.

    :param source: path, descriptor, binary file object or bytes.
    :param form: "auto", or the form to read it as.
    :param guest: "pv" or "hvm" if that is what guest's a legacy stream is, whatever its bytes look like.
    :param exact: read nothing past the stream's END, and do not decompress.
    :returns: an iterator over headers and records, to be used in a ``with`` statement.
    :raises NotAStreamError: it is something else; the error says what.
    :raises StreamError: it cannot be read as a stream, or its compression is damaged.
    :raises OSError: the source cannot be opened or read.
    :raises TypeError: it is not a source.
    :raises ValueError: unknown form or guest.
    """
    return Stream(source, form, exact, guest)


def open_memory(
    source: StreamSource,
    *,
    form: Form = "auto",
    guest: Guest | None = None,
    index: str | os.PathLike[str] | None = None,
    allow_damaged: bool = False,
    channels: Sequence[StreamSource] = (),
) -> Memory:
    """Find the guest's memory in `source`: a mapping of frame numbers to pages, as a restore would have them.

    Of a frame that is sent again the last page counts, of checkpoints the last that is whole.  Of a file no page is
    read for this; pages of compressed data are put by in a temporary file.

    :param source: path, descriptor of a file, or bytes.
    :param form: "auto", or the form to read it as.
    :param guest: "pv" or "hvm" if that is what guest's a legacy stream is, whatever its bytes look like.
    :param index: path of an index that :meth:`Memory.save` wrote; it is used if there is such a file.
    :param allow_damaged: give what there is of a stream that is damaged or cut; :attr:`Memory.damage` says by what.
    :param channels: the channels of the QEMU migration with multifd whose main stream `source` is.
    :returns: the memory, to be used in a ``with`` statement.
    :raises StreamError: it is damaged or cut, or nothing that has a guest's memory; or the index is another stream's.
    :raises OSError: the source cannot be opened or read.
    :raises TypeError: it is not a source.
    :raises ValueError: it cannot be read again; an index with channels; unknown form or guest.
    """
    from .memory.opened import open_memory as opened

    return opened(source, check_form(form), check_guest(guest), index, allow_damaged, channels)
