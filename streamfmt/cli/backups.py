"""Inputs that are backups: the images in them, each with a name of its own, BACKUP/MEMBER.

It loads when an input is one, or a member of one.
"""

from __future__ import annotations

from ..checks.messages import count
from ..io.backups import HEAD, Backup, Image, member, span_of
from ..io.sources import unreadable
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


def begun(reader: Reader) -> bool:
    """Whether what has come of an input that was not identified begins a backup."""
    found = recognise(reader.window.head(HEAD), False, 0)
    return found is not None and found[0] in BACKUPS


def first(given: Input) -> Source:
    """The source for the first image in the member that is given.  Raises UnreadableError, DamagedError."""
    try:
        with Stoppable():
            return member(given.fd, given.member, shown(given.file), given.sources.append)
    except OSError as error:
        raise unreadable(error) from error


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
    found = backup.within(span_of(source, probe, given.fd))
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
    if given.member and not failure and backup.images and backup.remarks:
        failure = Failure("damaged", "; ".join(backup.remarks), 0)
    elif given.member and not failure and not backup.images:
        failure = Failure("unreadable", "cannot read: " + backup.absent(shown(given.file)), 0)
    elif reader.identity is not None:
        reader.identity.name = backup.name or reader.identity.name
        if not failure or backup.remarks:
            reader.identity.hint = _said(backup)
    if failure or backup.remarks or not backup.images:
        yield given.name, job, failure, None


def _said(backup: Backup) -> str:
    """What there is to say of a backup itself."""
    if backup.remarks:
        return "; ".join(backup.remarks)
    counted = f"{count(backup.members, 'member')} looked at"
    return "no suspend image is in it: " + ", ".join((*backup.states, counted))
