"""Numbers about a stream and the memory in it, gathered in one pass, in memory that does not grow with the stream."""

from __future__ import annotations

from ..reader.events import describe
from .collector import Collector
from .contents import Contents
from .frames import BROKEN, HERE, LEAF, PAGE, TYPE
from .looks import Looks
from .passes import Passes
from .picture import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..io.sources import Reread, Source
    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program

# Types of records and headers that are told apart: more than all layers have.  The others are put together.
_KINDS_MAX = 512
_OTHERS = "others"
# Values by their lowest byte: those of frames that are there.
_HERE = bytes(low for low in range(256) if low & HERE)
_BROKEN = bytes(low for low in range(256) if low & BROKEN)


class Kind:
    """Records of one type, or headers of one name: how many, and how many bytes with headers and padding."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = self.bytes = 0

    def add(self, count: int, size: int) -> None:
        self.count += count
        self.bytes += size


class Statistics(Collector):
    """Gathers numbers of a stream; with `looking` those of its pages' contents, too.

    `kinds` are records by layer and type, `passes` how memory was sent, `looks` what its contents are like, `picture`
    which frames came when.
    """

    counting = True

    def __init__(self, form: str = "auto", guest: str | None = None, looking: bool = True) -> None:
        self.looking = looking
        self.kinds: dict[str, Kind] = {}
        self.passes = Passes()
        self.looks = Looks()
        self.picture = Picture()
        self.layers: list[Layer] = []
        self.size = 0
        self._reread: Reread | None = None
        super().__init__(form, guest)

    def reading(self, source: Source) -> None:
        # Pages are looked at as they come, and not wanted again.
        self._reread = source.reread()
        self.contents = Contents(self._reread or _never)
        self.every_page = self.looking

    @property
    def description(self) -> str:
        """What the stream is, in a line."""
        return describe(self.layers)

    def end(self) -> None:
        super().end()
        self.size = self.window.position
        self.picture.ends(self.size)

    # -- events ----------------------------------------------------------------------------------------------------

    def came(self, entries: Sequence[int], place: int) -> None:
        if not entries:
            return
        if self.checkpoints != self.passes.checkpoints or self.verifying != self.passes.verifying:
            self.passes.turn(self.checkpoints, self.verifying)
        again = self.passes.add(entries, place, self.frames)
        self.picture.add(entries, place, again)

    def seen(self, data: bytes) -> None:
        self.looks.add(data)

    @property
    def verifying(self) -> bool:
        """Whether pages come to be compared."""
        return self._pages is not None and self._pages.verifying

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        super().header(layer, path, at, raw, broken)
        if layer is self.layer and layer.row.alias and self._reread is None:
            # Legacy pages may come as changes of those before.
            self.contents = Contents(None)
            self.every_page = True
        if layer not in self.layers:
            self.layers.append(layer)
        self._count(path, 1, len(raw))

    def record(self, record: Record) -> Program | None:
        self._count(record.path, int(not record.begun), record.end - record.offset + record.padding)
        return super().record(record)

    def pages(self, run: Run) -> None:
        self._count(run.record().path, run.count, run.stretches * run.size)
        super().pages(run)

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        super().truncated(layer, record, at, missing, what)
        if record is not None and record.path in self.kinds:
            # What it says is its length has been counted, and has not come.
            self.kinds[record.path].add(0, at - record.end - record.padding)

    def _count(self, path: str, count: int, size: int) -> None:
        kind = self.kinds.get(path)
        if kind is None:
            path = path if len(self.kinds) < _KINDS_MAX else _OTHERS
            kind = self.kinds.setdefault(path, Kind())
        kind.add(count, size)

    # -- what it is then -------------------------------------------------------------------------------------------

    def flags(self) -> Iterator[tuple[int, bytes]]:
        """The lowest bytes of the values in each leaf, with its first frame, in order."""
        for pfn, values in self.frames.values():
            yield pfn, bytes(value & 0xFF for value in values)

    def as_dict(self) -> dict[str, Any]:
        """All numbers as plain values, as in spec/json/stats.json."""
        kinds = sorted(self.kinds.items(), key=lambda row: -row[1].bytes)
        return {
            "description": self.description,
            "bytes": self.size,
            "records": [{"path": path, "count": kind.count, "bytes": kind.bytes} for path, kind in kinds],
            "pages": self.passes.as_dict() | {"contents": self.looks.as_dict() if self.looking else None},
            "memory": summary(self),
            "picture": self.picture.as_dict(),
            "stopped": str(self.failure) if self.failure else None,
        }


def summary(statistics: Statistics) -> dict[str, Any]:
    """What memory there is then: frames by type, ranges, large pages."""
    from .. import tables

    counts = [0] * 256
    whole = areas = 0
    for _, flags in statistics.flags():
        here = LEAF - len(flags.translate(None, _HERE))
        areas += here > 0
        whole += here == LEAF
        for low in set(flags):
            counts[low] += flags.count(low)
    types: dict[str, int] = {}
    for low, count in enumerate(counts):
        if count and low & HERE and not low & BROKEN:
            name = tables.PAGE_TYPES[low & TYPE]
            types[name] = types.get(name, 0) + count
    broken = sum(count for low, count in enumerate(counts) if low & BROKEN)
    ranges = highest = 0
    for first, count in statistics.frames.ranges():
        ranges += 1
        highest = first + count
    return {
        "frames": sum(count for low, count in enumerate(counts) if low & HERE),
        "types": types | ({"BROKEN": broken} if broken else {}),
        "ranges": ranges,
        "end": highest * PAGE,
        "large": {"whole": whole, "begun": areas},
    }


def _never(room: memoryview, at: int) -> int:
    return 0
