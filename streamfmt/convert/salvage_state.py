"""What has been salvaged of a file so far, and what is missing."""

from __future__ import annotations

import os

from .. import tables
from ..io.sources import FileSource
from ..io.spans import FileSpan
from ..reader.events import Layer, describe
from .salvage_frames import Frames
from .salvage_notes import Notes, State
from .salvage_pieces import Pieces
from .salvage_search import Place, Trail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Progress = Callable[[int], None] | None


class UnsalvageableError(Exception):
    """There is nothing to be had: `hint` says what to do about it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


class Gap:
    """A damaged stretch of the file: from `start` on, and records again from `stop` on, None if there are none.

    `name` is the record that the damage is in, or follows, which is left out unless `kept`; `what` are its frames, in
    words; `why` reading stopped there.
    """

    __slots__ = ("kept", "name", "start", "stop", "what", "why")

    def __init__(
        self, start: int, stop: int | None, why: str, name: str = "", what: str = "", kept: bool = False
    ) -> None:
        self.start = start
        self.stop = stop
        self.why = why
        self.name = name
        self.what = what
        self.kept = kept


class Salvaged:
    """What can be had of the file of descriptor `fd`, and what is missing.

    `pieces` are what is to be written; `gaps` where damage is, `made` what was made anew, `left_out` what is not taken;
    `owed` are paths of records that are missing, and `checkpoint` is where the last complete one ended, if that is the
    end.  `bare` if a container has been left out.
    """

    def __init__(
        self, fd: int, form: str = "auto", guest: str | None = None, doubtful: bool = False, progress: Progress = None
    ) -> None:
        self.fd = fd
        self.form = form
        self.guest = guest
        self.doubtful = doubtful
        self.progress = progress
        os.lseek(fd, 0, os.SEEK_SET)
        self.size = FileSource(fd).size or 0
        self.span = FileSpan(fd, 0, self.size)
        self.trail = Trail(self.span, self.size, progress)
        self.frames = Frames()
        self.state = State(self.frames)
        self.pieces = Pieces()
        self.headers: dict[str, tuple[int, bytes, Sequence[Any]]] = {}
        self.gaps: list[Gap] = []
        self.made: list[str] = []
        self.left_out: list[str] = []
        self.checkpoint = -1
        # Whether a container has been left out.
        self.bare = False
        self.owed: list[str] = []
        self.layers: list[Layer] = []
        self.image: Layer | None = None

    def learn(self, notes: Notes) -> None:
        """Keep a reading's headers, with where they lie in the file."""
        for path, found in notes.headers.items():
            if found[0] >= 0 or path not in self.headers:
                self.headers[path] = found

    def keep(self, start: int, stop: int) -> None:
        """What lies there, but for the records that cannot stay."""
        changes = [change for change in self.state.changes if start <= change[0] < max(stop, start + 1)]
        self.state.changes.clear()
        for first, last, data, why in changes:
            if first >= stop and data:
                continue
            self.pieces.copy(start, first)
            if data:
                self.pieces.put(data)
                self.made.append(why)
            else:
                self.left_out.append(f"at {first}: {why}")
            start = last
        self.pieces.copy(start, stop)

    def to_end(self, notes: Notes, start: int) -> None:
        """All the rest of the file, or of the stream if a container around it is left out."""
        notes.stop = None
        self.keep(start, notes.rest if self.bare and notes.rest >= 0 else self.size)

    def guest_seen(self) -> str:
        """What guest's the records say that it is."""
        pv = any(".X86_PV_" in path or path.endswith("SHARED_INFO") for path in self.state.seen)
        return self.guest or ("pv" if pv else "hvm")

    def describe(self) -> str:
        """What stream it is, in a line."""
        return describe(self.layers)


def prefix_of(notes: Notes, places: Sequence[Place], number: int, checkpoint: bool) -> bytes:
    """Headers after which a reader takes records of `places[number]`: those of the stream, or made like them."""
    image, *around = places
    found = b""
    for place in around:
        code = next(kind for kind, name in place.opens.items() if name == image.name)
        found += headers_of(notes, place.layer) + place.header.pack(code, 0)
    found += headers_of(notes, image.layer)
    return found + image.ending(checkpoint) if number else found


def headers_of(notes: Notes, layer: Layer) -> bytes:
    """A layer's own headers, as they came."""
    return b"".join(notes.headers[f"{layer.name}.{name}"][1] for name in layer.row.headers)


def frames_in(entries: Sequence[int]) -> str:
    """The frames of page entries in words."""
    frames = [entry & tables.ENTRY_PFN_MASK for entry in entries]
    if not frames:
        return ""
    count = f"{len(frames):,} frame{'s' if len(frames) > 1 else ''}"
    return f"{count}, {min(frames):#x} to {max(frames):#x}" if len(frames) > 1 else f"{count}, {frames[0]:#x}"
