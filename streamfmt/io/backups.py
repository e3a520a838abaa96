"""Suspend images in backups: in tar archives, XVA exports and dynamic VHDs, compressed or not, one in another.

What is in a backup is found in one pass from its beginning to its end; each image is a span from which a reader reads
as from a file.
"""

from __future__ import annotations

import os
from errno import ENOTDIR

from .. import tables
from ..errors import DamagedError, UnopenedError, UnreadableError
from ..reader.events import Sink
from ..reader.fields import text_size
from ..reader.identify import Identity, by_damaged_magic, by_magic, peek, unread
from ..reader.legacy_guess import guess_legacy
from ..reader.neighbours import recognise
from ..reader.pump import Window
from ..reader.reader import Reader
from ..schema.neighbours import NEIGHBOURS
from . import tar, xva
from .compressed import CompressedSource
from .sources import FileSource, Source, source_for
from .spans import FileSpan, Headed, Span, SpanSource, StreamSpan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Bytes by which a member is identified: as many as `peek` looks at.
HEAD = 64 << 10
# Beyond the end of all.
_FAR = 1 << 62
# Backups in backups; compressed data counts.
DEPTH_MAX = 6
# Remarks, and VMs whose states are kept.
REMARKS_MAX, STATES_MAX = 10, 3
# Kinds of what is taken for an image.
_IMAGES = ("stream", "container", "legacy")


class Image:
    """An image in a backup, or whatever else the member is that was asked for.

    `path` is the member's name in the backup, after those of the backups it is in, "" for a disk image's only content;
    `offset` is where its first byte lies in the input, -1 if nowhere; `words` say what it is in.
    """

    __slots__ = ("offset", "path", "span", "words")

    def __init__(self, path: str, span: Span, words: str) -> None:
        self.path = path
        self.span = span
        self.words = words
        self.offset = span.place(0)

    def source(self) -> SpanSource:
        """A source from the image's beginning on."""
        return SpanSource(self.span)


class _Opened(StreamSpan):
    """What comes out of compressed data; that is where all of it lies."""

    origin = 0

    def place(self, at: int) -> int:
        return self.origin


class Backup:
    """What is found on the way through a backup.

    With `wanted` only the member of that path is given, whatever it is, or what is in it.  `name` is what the backup
    is, so many `members` of it were looked at, and `images` given; `states` are those of VMs that an XVA describes, and
    `remarks` say what is damaged or missing.
    """

    def __init__(self, wanted: str = "", deep: bool = False) -> None:
        self.wanted = wanted
        self.deep = deep
        self.name = ""
        self.members = self.images = 0
        self.remarks: list[str] = []
        self.states: list[str] = []

    def within(self, span: Span) -> Iterator[Image]:
        """The images in what the span is.  Raises DamagedError, UnopenedError, OSError."""
        yield from self._look(span, "", "", 0)
        _drain(span)

    def _look(self, span: Span, path: str, words: str, depth: int, *, whole: bool = False) -> Iterator[Image]:
        """What is in a span: images in it if it is a backup, itself if it is an image, or `whole`."""
        head = _head(span)
        found = _identified(head)
        headed = Headed(span, head)
        given = not self.wanted or f"{path}/".startswith(f"{self.wanted}/")
        opens = _OPENS.get("compressed" if found.kind == "compressed" else found.key)
        if opens is not None and depth < DEPTH_MAX:
            yield from opens(self, headed, found, path, words, depth)
        elif opens is not None:
            raise DamagedError(f"{path or 'the input'}: more than {DEPTH_MAX} archives are in one another")
        elif given and (found.kind in _IMAGES or path == self.wanted or whole):
            self.images += 1
            yield Image(path, headed, words)

    def absent(self, name: str) -> str:
        """What to say where the member that is wanted of the backup of that name is not there, or nothing is in it."""
        hint = "; ".join(self.remarks) or f"streamfmt identify {name} lists the images in it"
        return f"no member {self.wanted!r} with an image; {hint}"

    def _remark(self, text: str) -> None:
        if len(self.remarks) < REMARKS_MAX:
            self.remarks.append(text)
        elif len(self.remarks) == REMARKS_MAX:
            self.remarks.append("and more of the kind")

    def _states(self, manifest: xva.Manifest) -> None:
        """Note what VMs there are, unless there are many."""
        wanted = max(STATES_MAX - len(self.states), 0)
        self.states += [f"{it.name!r} is {it.state or 'in no known state'}" for it in manifest.machines[:wanted]]

    def _inside(self, path: str) -> bool:
        """Whether what has that path, or something in it, is to be given."""
        wanted = f"{self.wanted}/"
        return not self.wanted or wanted.startswith(f"{path}/") or f"{path}/".startswith(wanted)

    def _tar(self, span: Span, found: Identity, path: str, words: str, depth: int) -> Iterator[Image]:
        members = tar.members(span)
        first = next(members, None)
        if first is not None and first.name.removeprefix("./") == xva.MANIFEST:
            yield from self._xva(span, members, first, path, words, depth)
            return
        self.name = self.name or found.name
        while first is not None:
            yield from self._member(first, path, _words("a tar archive", words), depth)
            first = next(members, None)

    def _member(self, member: tar.Member, path: str, words: str, depth: int) -> Iterator[Image]:
        """What is in a member; if that is damaged, those after it may not be."""
        self.members += 1
        name = _join(path, member.name)
        if self._inside(name):
            yield from self._noted(self._look(member.span, name, words, depth + 1), name)

    def _noted(self, images: Iterator[Image], name: str) -> Iterator[Image]:
        try:
            yield from images
        except DamagedError as error:
            self._remark(f"{name}: {error}")

    def _xva(
        self, span: Span, members: Iterator[tar.Member], first: tar.Member, path: str, words: str, depth: int
    ) -> Iterator[Image]:
        self.name = self.name or "XVA export"
        manifest = xva.manifest(first.span)
        if manifest.error:
            self._remark(f"ova.xml, which says whose disks these are: {manifest.error}")
        self._states(manifest)
        blocks = xva.Blocks(members)
        missing = {it.suspended: it for it in manifest.machines if it.suspended}
        while (member := blocks.see()) is not None:
            folder = xva.folder_of(member.name)
            if not folder:
                blocks.take()
                yield from self._member(member, path, _words("an XVA export", words), depth)
                continue
            self.members += 1
            owner = missing.pop(folder, None)
            name = _join(path, folder)
            if self._inside(name):
                disk = xva.Disk(span, blocks, folder, self.deep)
                inside = _words(_disk_words(manifest, folder), words)
                look = self._look(disk, name, inside, depth + 1, whole=owner is not None)
                yield from self._noted(look, name)
            while (member := blocks.see()) is not None and xva.folder_of(member.name) == folder:
                blocks.take()
        for folder, machine in missing.items() if not self.wanted else ():
            self._remark(f"{machine.name!r} is {machine.state}, and its suspend VDI {folder} is not in the file")

    def _vhd(self, span: Span, found: Identity, path: str, words: str, depth: int) -> Iterator[Image]:
        from .vhd import Disk  # it takes the schema's language, which is large

        self.name = self.name or found.name
        self.members += 1
        try:
            disk = Disk(span)
        except UnopenedError as error:
            self._remark(f"{path}: {error}" if path else str(error))
            return
        yield from self._look(disk, path, _words("a dynamic VHD", words), depth + 1)

    def _compressed(self, span: Span, found: Identity, path: str, words: str, depth: int) -> Iterator[Image]:
        packed = SpanSource(span)

        def read(size: int) -> bytes:
            room = bytearray(size)
            return bytes(room[: packed.read_into(memoryview(room))])

        opened = _Opened(CompressedSource(found.key, read))
        opened.origin = span.place(0)
        yield from self._look(opened, path, _words(found.name, words), depth + 1)
        _drain(opened)


# What opens a backup, by the key of what is identified.
_OPENS: dict[str, Callable[[Backup, Span, Identity, str, str, int], Iterator[Image]]] = {
    "tar": Backup._tar,
    "xva": Backup._tar,
    "vhd": Backup._vhd,
    "compressed": Backup._compressed,
}


_BACKUPS = [row for row in NEIGHBOURS if row.key in _OPENS]


def _join(path: str, name: str) -> str:
    name = name.removeprefix("./")
    return f"{path}/{name}" if path else name


def _words(kind: str, outer: str) -> str:
    return f"{kind} in {outer}" if outer else kind


def _disk_words(manifest: xva.Manifest, folder: str) -> str:
    owner = manifest.owner(folder)
    title = manifest.disks.get(folder, "")
    disk = f"disk {folder}{f' {title!r}' if title else ''}"
    if owner is None:
        return f"{disk}, which is no VM's suspend VDI, in an XVA export"
    return f"{disk}, the suspend VDI of {owner.name!r} ({owner.uuid}), in an XVA export"


def _drain(span: Span) -> None:
    """Read a stream to its end: its checksum comes last, and what writes into a pipe is not to fail."""
    if span.size is None:
        span.reach(_FAR)


def _promising(head: bytes) -> bool:
    """Whether a closer look may find an image or a backup."""
    if by_magic(head, False, 0) or by_damaged_magic(head, 0) or guess_legacy(head):
        return True
    if recognise(head, False, 0, _BACKUPS):
        return True
    # There may be text before a stream.
    return text_size(head) > 0 and any(data in head for _, _, _, data, _ in tables.MAGICS)


def _head(span: Span) -> bytes:
    """What it begins with; of what is damaged as much as there is, and the reader will see the rest."""
    head = bytearray(HEAD if span.size is None else min(span.size, HEAD))
    room, got = memoryview(head), 0
    try:
        while got < len(head) and (more := span.read_into(room[got:], got)):
            got += more
    except DamagedError:
        if not got:
            raise
    return bytes(room[:got])


def _identified(head: bytes) -> Identity:
    """What begins so; what is nothing that matters here is not looked at closely, since archives are full of it."""
    if not _promising(head):
        return unread("not looked at closely")
    window = Window(max(len(head), 1))
    window.buf[: len(head)] = head
    window.hi = len(head)
    window.eof = len(head) < HEAD
    program = peek(window, exact=False, text=True)
    try:
        want = next(program)
        while True:
            want = program.send(len(head) >= want)
    except StopIteration as done:
        found: Identity = done.value
        return found


# -- backups by name ------------------------------------------------------------------------------------------------


def parts(name: str) -> tuple[str, str]:
    """The file and the member that a name like BACKUP/MEMBER has.  Raises NotADirectoryError."""
    file = name
    while "/" in file:
        file = file.rpartition("/")[0]
        member = name[len(file) + 1 :]
        if file and member and os.path.exists(file) and not os.path.isdir(file):
            return file, member
    raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), name)


def span_of(source: Source, reader: Reader, fd: int) -> Span:
    """All of an input, whose first bytes are in the reader's window unless it is a file."""
    if isinstance(source, FileSource):
        return FileSpan(fd, source.start, source.size or 0)
    window = reader.window
    return StreamSpan(source, bytes(window.view[window.lo : window.hi]))


def member(fd: int, wanted: str, name: str, opened: Callable[[Source], None]) -> Source:
    """The source for the first image in a member of the backup of that name, which `fd` is open for.

    What has to be closed after it is given to `opened`.  Raises UnreadableError if there is none, DamagedError and
    OSError.
    """
    probe = Reader(Sink())
    source = source_for(fd, probe)
    opened(source)
    backup = Backup(wanted)
    image = next(backup.within(span_of(source, probe, fd)), None)
    if image is None:
        raise UnreadableError(backup.absent(name))
    return image.source()
