"""The bytes of what a caller of the Python interface gives: a path, a descriptor, a binary file object or bytes."""

from __future__ import annotations

import os
from contextlib import ExitStack
from errno import ENOENT
from io import FileIO

from ..errors import UnreadableError
from .memory import MemorySource, ObjectSource, from_object
from .sources import drive, source_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from ..reader.reader import Reader
    from .memory import Readable
    from .sources import Driven, Source

    StreamSource: TypeAlias = str | os.PathLike[str] | int | bytes | bytearray | memoryview | Readable


class Feed:
    """The bytes of what the caller gave, on their way into a reader."""

    def __init__(self, source: StreamSource, reader: Reader) -> None:
        with ExitStack() as opened:
            if isinstance(source, (str, os.PathLike)):
                self.source = _of_path(os.fspath(source), reader, opened)
            else:
                self.source = _source_of(source, reader)
            opened.callback(self.source.close)
            self.close = opened.pop_all().close

    def drive(self, pump: Driven) -> None:
        """Bytes into `pump` until it wants no more.  Raises OSError, and what the input is to blame for."""
        try:
            drive(pump, self.source)
        except UnreadableError as error:
            raise (error.__cause__ or error) from None


def _of_path(path: str, reader: Reader, opened: ExitStack) -> Source:
    """What a file has, or a member of a backup, BACKUP/MEMBER.  FileIO warns if it is never closed."""
    try:
        return source_for(opened.enter_context(FileIO(path)).fileno(), reader)
    except NotADirectoryError:
        from .backups import member, parts  # few paths are of members

        file, wanted = parts(os.fsdecode(path))
        fd = opened.enter_context(FileIO(file)).fileno()

        def later(source: Source) -> None:
            opened.callback(source.close)

        try:
            return member(fd, wanted, file, later)
        except UnreadableError as error:
            raise FileNotFoundError(ENOENT, str(error), path) from None


def _source_of(source: int | bytes | bytearray | memoryview | Readable, reader: Reader) -> Source:
    if isinstance(source, int):
        return source_for(source, reader)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return from_object(MemorySource(source), reader)
    if callable(getattr(source, "read", None)):
        return from_object(ObjectSource(source, reader.exact), reader)
    raise TypeError(f"a path, descriptor, binary file object or bytes are wanted, not {type(source).__name__}")
