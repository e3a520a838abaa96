"""What the checks of a legacy stream keep until a body, or a checkpoint, is whole."""

from __future__ import annotations

from _struct import Struct

from .. import tables
from ..reader.legacy_compressed import Walk
from .pv_memory import PfnMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TYPE = tables.ENTRY_TYPE_SHIFT
# A frame that a vcpu names: frame, offset in the stream, level of the page table (0 for an ordinary page), vcpu.
_NAMED = Struct("<QQBH")


class Memory:
    """What has been said of a PV guest's frames: the types of pages, its list of frames, and what vcpus name.

    `frames` is the list, from offset `at` on, None if it is too long to be followed.
    """

    def __init__(self) -> None:
        self.pfns = PfnMap()
        self.frames: list[int] | None = []
        self.at = 0
        self.named: list[bytes] = []

    def note(self, entries: Sequence[int], last: int) -> None:
        """Take in entries as an image has them; those of holes may have lost their frames, and readers skip them."""
        self.pfns.note([entry for entry in entries if entry >> _TYPE != tables.LEGACY_XTAB], last)

    def name(self, frame: int, at: int, level: int, vcpu: int) -> None:
        """A vcpu names a frame."""
        self.named.append(_NAMED.pack(frame, at, level, vcpu))

    def names(self) -> Iterator[tuple[int, int, int, int]]:
        """Frame, offset, level and vcpu of each that was named."""
        for packed in self.named:
            frame, at, level, vcpu = _NAMED.unpack(packed)
            yield frame, at, level, vcpu


class Decoder:
    """How far one body's compressed pages have been followed, and how many the batches have `announced`.

    It is `broken` once that has been reported.
    """

    def __init__(self) -> None:
        self.walk = Walk()
        self.announced = 0
        self.broken = False
