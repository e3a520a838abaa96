"""A guest's memory, page by page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from .. import tables
from ..errors import StreamError
from .contents import Contents
from .frames import BROKEN, HERE, PAGE, TYPE, Frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Memory(Mapping[int, bytes]):
    """A guest's memory: a mapping of guest frame numbers, in order, to pages of 4096 bytes.

    PV guests have their frames in their own, pseudo-physical order.  Pages are read when they are asked for.
    """

    page_size = PAGE

    def __init__(
        self,
        frames: Frames,
        contents: Contents,
        damage: StreamError | None,
        close: Callable[[], None],
        size: int | None,
    ) -> None:
        self._frames = frames
        self._contents = contents
        self._damage = damage
        self._close = close
        self._size = size
        self._count = -1

    def __repr__(self) -> str:
        return f"<Memory of {len(self):,} pages>"

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the source, and remove what was put by."""
        self._contents.close()
        self._close()

    @property
    def damage(self) -> StreamError | None:
        """What is wrong with the stream, so that pages are missing; None if they are all there."""
        return self._damage

    def __getitem__(self, pfn: int) -> bytes:
        """The page of a frame.

        :param pfn: guest frame number: its address divided by 4096.
        :raises KeyError: the guest has no such frame.
        :raises StreamError: the page cannot be read any more.
        """
        value = self._value(pfn)
        if not value & HERE:
            raise KeyError(pfn)
        return self._contents.page(value)

    def __contains__(self, pfn: object) -> bool:
        return isinstance(pfn, int) and bool(self._value(pfn) & HERE)

    def __iter__(self) -> Iterator[int]:
        for first, count in self.ranges():
            yield from range(first, first + count)

    def __len__(self) -> int:
        if self._count < 0:
            self._count = sum(count for _, count in self.ranges())
        return self._count

    def type(self, pfn: int) -> str | None:
        """The type of a frame's page, such as "NOTAB"; "BROKEN" if it is lost, None if there is no such frame."""
        value = self._value(pfn)
        if value & BROKEN:
            return "BROKEN"
        return tables.PAGE_TYPES[value & TYPE] if value & HERE else None

    def ranges(self) -> Iterator[tuple[int, int]]:
        """First frame and number of frames of each range without a hole, in order."""
        return self._frames.ranges()

    def read(self, address: int, size: int) -> bytes:
        """Bytes of memory.

        :param address: address of the first, in the guest's physical memory.
        :param size: how many.
        :raises KeyError: not all of them are in frames that the guest has.
        """
        found = bytearray()
        while len(found) < size:
            pfn, at = divmod(address + len(found), PAGE)
            found += self[pfn][at : at + size - len(found)]
        return bytes(found)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file, for :func:`streamfmt.open_memory` to use next time.

        :param path: where to; the file appears when it is complete.
        :raises ValueError: pages had to be put by, since the input is compressed or in another order, or are missing.
        :raises OSError: it cannot be written.
        """
        from . import saved

        reread = self._contents.reread
        if reread is None or self._size is None or self._damage is not None or not saved.storable(self._frames):
            raise ValueError("there is an index only of an input that is whole and not compressed in any way")
        saved.save(path, self._frames, self._size, reread)

    def _value(self, pfn: int) -> int:
        return self._frames.value(pfn) if pfn >= 0 else 0
