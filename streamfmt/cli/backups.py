"""Inputs that are backups: the images in them, each with a name of its own, BACKUP/MEMBER.

It loads when an input is one, or a member of one.
"""

from __future__ import annotations

import os
from errno import ENOTDIR

from ..errors import UnreadableError
from ..io.backups import HEAD, Backup, Image
from ..io.sources import FileSource, unreadable
from ..io.spans import FileSpan, Span, StreamSpan
from ..reader.events import Sink
from ..reader.failure import Failure
from ..reader.neighbours import recognise
from ..reader.reader import Reader
from .inputs import BACKUPS, Stoppable, attempt, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..io.sources import Source
    from .inputs import Input, J, Job, Result


def parts(name: str) -> tuple[str, str]:
    """The file and the member that a name like BACKUP/MEMBER has.  Raises NotADirectoryError."""
    file = name
    while "/" in file:
        file = file.rpartition("/")[0]
        member = name[len(file) + 1 :]
        if file and member and os.path.exists(file) and not os.path.isdir(file):
            return file, member
    raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))


def begun(reader: Reader) -> bool:
    """Whether what has come of an input that was not identified begins a backup."""
    found = recognise(reader.window.head(HEAD), False, 0)
    return found is not None and found[0] in BACKUPS


def _span(source: Source, reader: Reader, fd: int) -> Span:
    """All of an input, whose first bytes are in the reader's window unless it is a file."""
    if isinstance(source, FileSource):
        return FileSpan(fd, source.start, source.size or 0)
    window = reader.window
    return StreamSpan(source, bytes(window.view[window.lo : window.hi]))


def first(given: Input) -> Source:
    """The source for the first image in the member that is given."""
    probe = Reader(Sink())
    backup = Backup(given.member)
    image = _next(backup.within(_span(given.whole(probe), probe, given.fd)))
    if image is None:
        raise UnreadableError(_absent(given, backup))
    return image.source()


def _next(images: Iterator[Image]) -> Image | None:
    try:
        with Stoppable():
            return next(images, None)
    except OSError as error:
        raise unreadable(error) from error


def images(given: Input, reader: Reader, job: J, make: Callable[[str], Job[J]], deep: bool) -> Iterator[Result[J]]:
    """The result of each image; and of the backup itself, which is the `job`, where there is more to say of that.

    Its `reader` has identified it, unless a member is given.
    """
    probe = Reader(Sink()) if given.member else reader
    source = given.whole(probe) if given.member else given.sources[-1]
    backup = Backup(given.member, deep)
    found = backup.within(_span(source, probe, given.fd))
    image: Image | None = None

    def advance() -> None:
        nonlocal image
        image = _next(found)

    while not (failure := attempt(reader, advance)) and image is not None:
        name = f"{given.file}/{image.path}" if image.path else given.file
        own, driven, mine = make(name)
        stopped = attempt(own, lambda: given.drive(driven, image.source()))  # noqa: B023 - it runs at once
        own.close()
        yield name, mine, stopped, image
    reader.close()
    if given.member and not failure and not backup.images:
        failure = Failure("unreadable", "cannot read: " + _absent(given, backup), 0)
    elif reader.identity is not None:
        reader.identity.name = backup.name or reader.identity.name
        reader.identity.hint = "" if failure and not backup.remarks else _said(backup)
    if failure or backup.remarks or not backup.images:
        yield given.name, job, failure, None


def _said(backup: Backup) -> str:
    """What there is to say of a backup itself."""
    if backup.remarks:
        return "; ".join(backup.remarks)
    counted = f"{backup.members:,} member{'s' if backup.members != 1 else ''} looked at"
    return "no suspend image is in it: " + ", ".join((*backup.states, counted))


def _absent(given: Input, backup: Backup) -> str:
    """What to say where a member is not there, or nothing is in it."""
    hint = "; ".join(backup.remarks) or f"streamfmt identify {shown(given.file)} lists the images in it"
    return f"no member {given.member!r} with an image; {hint}"
