"""One of two streams that are compared: its memory, and where its records lie, by what they are about."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b

from .. import tables
from ..codec.decode import layouts
from ..memory.collector import Collector
from ..reader.events import PIECE, Body, describe
from .bodies import Bodies
from .leaves import leaves
from .topics import ADDING, IDENTITY, IDENTITY_MOST, is_state, topic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from typing import Any, TypeAlias

    from ..errors import StreamError
    from ..io.sources import Source
    from ..reader.events import Layer, Record
    from ..reader.pump import Program

    # Which of those that are about the same it is: by the fields that say that, or by its place; none of the first.
    Identity: TypeAlias = tuple[int | str | bytes, ...]
    Key: TypeAlias = tuple[str, Identity]

# Things that are kept apart in a stream, and records that add to one of them.  Of others only a digest is kept.
ITEMS_MAX, PARTS_MAX = 1 << 13, 1 << 10
# Layers that are named when it is said what a stream is: more than any has but one that is made to have many.
_LAYERS_MAX = 32
# Records of legacy streams that come for each vcpu that is online, in order.
_IN_ORDER = (tables.LEGACY_VCPU, tables.LEGACY_VCPU_XSAVE)
# The record that begins with the bytes of a guest's word.
_SAYS_WIDTH = "libxc.X86_PV_INFO"


class Part:
    """A record: its schema path and number, the order of its integers, and where its body is in :attr:`Side.bodies`."""

    __slots__ = ("at", "offset", "order", "path", "size", "type", "width")

    def __init__(self, record: Record, at: int) -> None:
        self.path = record.path
        self.type = record.type
        self.order = record.layer.order
        self.width = record.layer.width or getattr(record.layer.facts, "width", 0)
        self.offset = record.offset
        self.size = record.length
        self.at = at


class Side(Collector):
    """One stream.  `items` are the records that a restore of it would go by, each with its `parts`.

    `others` is a digest of the records for which there were too many to be kept, "" if there were not.  Without
    `memory` pages go by.
    """

    def __init__(self, form: str = "auto", guest: str | None = None, memory: bool = True) -> None:
        super().__init__(form, guest)
        self._memory = memory
        self.bodies = Bodies(None)
        self.layers: list[Layer] = []
        self.items: dict[Key, list[Part]] = {}
        self.more = 0
        self.size = 0
        self._digest = blake2b(digest_size=16)
        # What has come since the last whole checkpoint, and how many of each kind.
        self._new: dict[Key, list[Part]] = {}
        self._counts: dict[str, int] = {}
        self._last: tuple[Key, Part] | None = None
        self._cut: Record | None = None

    def reading(self, source: Source) -> None:
        super().reading(source)
        self.every_page = self.every_page and self._memory
        self.bodies = Bodies(source.reread())

    def unread(self, layer: Layer) -> bool:
        return not self._memory

    def close(self) -> None:
        """Let go of what was put by."""
        self.bodies.close()
        self.contents.close()

    # -- what it is then -------------------------------------------------------------------------------------------

    @property
    def description(self) -> str:
        """What the stream is, in a line."""
        return describe(self.layers)

    @property
    def kind(self) -> str:
        """What guest's it is: "pv", "hvm", or "" if no header says that."""
        return next((layer.guest for layer in self.layers if layer.guest), "")

    @property
    def names(self) -> frozenset[str]:
        """Names of the layers."""
        return frozenset(layer.name for layer in self.layers)

    @property
    def others(self) -> str:
        """A digest of records that were too many."""
        return self._digest.hexdigest() if self.more else ""

    @property
    def troubles(self) -> list[StreamError]:
        """What is wrong with it: what is missing of its memory, and why there is no more."""
        damage = self.damage if self.layer is not None else None
        ends = self.failure if self.rest is None else None
        return [error for error in dict.fromkeys((damage, ends)) if error is not None]

    def end(self) -> None:
        super().end()
        self.size = self.window.position
        if self._last is not None and self._cut is not None and self._last[1].offset == self._cut.offset:
            key, part = self._last
            parts = self._new.get(key, [])
            if part in parts:
                parts.remove(part)
            if not parts:
                self._new.pop(key, None)
        if self.rest is None:
            self._keep()

    # -- events ----------------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if self._memory:
            super().header(layer, path, at, raw, broken)
        note_layer(layer, self.layers)

    def record(self, record: Record) -> Program | None:
        program = super().record(record)
        return program if program is not None or not is_state(record) else self._item(record)

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self._cut = record
        super().truncated(layer, record, at, missing, what)

    def _commit(self) -> None:
        super()._commit()
        self._keep()

    def _keep(self) -> None:
        """What has come is what a restore has."""
        for key, parts in self._new.items():
            for part in self.items.get(key, ()):
                self.bodies.free(part.at, part.size)
            self.items[key] = parts
        self._new = {}
        self._counts = {}

    def _item(self, record: Record) -> Program:
        """Program that keeps where a record's body is, and by what it differs from others that are about the same."""
        body = Body(self.window, record)
        if record.path == _SAYS_WIDTH:
            record.layer.width = int.from_bytes((yield from _head(body, 1)), "little")
        about = topic(record)
        key = about, (yield from self._identity(body, about))
        if key not in self._new and len(self._new) + len(self.items) >= ITEMS_MAX and key not in self.items:
            yield from self._digested(body, about)
            return
        before = self._new.setdefault(key, [])
        if about not in ADDING or len(before) >= PARTS_MAX:
            for part in before:
                self.bodies.free(part.at, part.size)
            before.clear()
        part = Part(record, (yield from self.bodies.put(body)) if self.bodies.keeps else record.body)
        before.append(part)
        self._last = key, part

    def _identity(self, body: Body, about: str) -> Generator[int, int, Identity]:
        """Which of those that are about the same a record is."""
        record = body.record
        if about in ADDING:
            return ()
        if record.layer.row.alias and record.type in _IN_ORDER:
            number = self._counts[about] = self._counts.get(about, -1) + 1
            online = record.layer.facts.vcpus
            number = online[number] if number < len(online) else number
            return (number,) if number else ()
        if _says_which(record.path):
            found = leaves(record.path, (yield from _head(body, IDENTITY_MOST)), body.order)
            said = tuple(found[name].value for name in IDENTITY if name in found)
            if said:
                return said if any(said) else ()
        if record.layer.row.image:
            return ()  # a restore goes by the last
        number = self._counts[about] = self._counts.get(about, -1) + 1
        return (number,) if number else ()

    def _digested(self, body: Body, about: str) -> Program:
        """Program that takes a record into the digest."""
        self.more += 1
        self._digest.update(f"{about} {body.left}\n".encode())
        while piece := (yield from body.take(PIECE)):
            self._digest.update(piece)


@cache
def _says_which(path: str) -> bool:
    """Whether records of that path have fields that say which of several it is."""
    layout = layouts().get(path)
    return layout is not None and any(row.item.path in IDENTITY for row in layout.rows)


def _head(body: Body, most: int) -> Generator[int, int, bytes]:
    """The first bytes of a body, which stay where they are."""
    count = min(body.left, most)
    window = body.window
    if count > 0 and window.hi - window.lo < count:
        yield count
    return window.head(min(count, window.hi - window.lo))


def note_layer(layer: Layer, layers: list[Layer]) -> None:
    """Another header of a layer has come."""
    if len(layers) < _LAYERS_MAX and layer not in layers:
        layers.append(layer)


def ordered(a: Side, b: Side) -> Iterator[Key]:
    """What either has, in the order of the first, each once."""
    yield from a.items
    yield from (key for key in b.items if key not in a.items)
