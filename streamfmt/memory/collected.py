"""What is known of a guest's memory while a stream comes."""

from __future__ import annotations

from ..reader.stops import Stops
from .contents import Contents
from .frames import Frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..errors import StreamError
    from ..reader.events import Layer, Record
    from ..reader.pump import Program


class Collected(Stops):
    """Memory as a restore of the stream has it: of checkpoints, as of the last that is whole.

    `frames` says what there is, and `contents` where; `layer` is the image, None if there is none, and `ended_at` where
    it ends.  `damage` is what is wrong with it, the first thing if there are several, and `losses` how many batches are
    left out for that.  `rest` says what comes after all of the memory, or the last whole checkpoint, and is not whole.
    `states` gives the programs that read records which are no memory.  If it is `looking`, contents are read, and come
    by :meth:`seen`; if it is `counting`, they are not wanted again.
    """

    looking = counting = False

    def __init__(self) -> None:
        self.frames = Frames()
        self.contents = Contents(None)
        self.layer: Layer | None = None
        self.states: Callable[[Record], Program | None] | None = None
        self.ended_at: int | None = None
        self.checkpoints = 0
        self.losses = 0
        self.damage: StreamError | None = None
        self.rest: StreamError | None = None

    @property
    def whole(self) -> bool:
        """Whether all of the memory has come, of one checkpoint at least."""
        return self.ended_at is not None or self.checkpoints > 0

    def state(self, record: Record) -> Program | None:
        """A record of the image that is no memory."""
        return self.states(record) if self.states is not None else None

    def came(self, entries: Sequence[int], place: int) -> None:
        """Page entries are about to be taken, whose pages begin at `place` of the stream if they have any there."""

    def seen(self, data: bytes) -> None:
        """Contents of pages."""

    def lose(self, error: StreamError) -> None:
        """Pages are left out."""
        self.losses += 1
        self.damage = self.damage or error
