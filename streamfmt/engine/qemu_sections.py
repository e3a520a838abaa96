"""The sections of devices in QEMU's stream, kept as they come.

Source: QEMU migration/savevm.c, qemu_loadvm_section_start_full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .. import tables
from ..errors import PeerError
from ..reader.events import Body, Layer, Record, Sink
from ..reader.qemu_sizes import AFTER_NAME, size_of
from ..reader.qemu_state import State
from ..writer.qemu import Device
from .framing_qemu import GLOBAL_STATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.pump import Program

# Bytes of devices' state that are kept: no machine's comes near it.
_MOST = 64 << 20
# Bytes of a section's header after its type: of one that goes on; of one that begins, without its name.
_SHORT = size_of("SECTION_PART", 0)
_PARTS = {
    tables.QEMU_SECTION_PART: _SHORT,
    tables.QEMU_SECTION_END: _SHORT,
    tables.QEMU_SECTION_START: size_of("SECTION_FULL", 0, 0),
    tables.QEMU_SECTION_FULL: size_of("SECTION_FULL", 0, 0),
}
# Bytes of a section's header before its name, from after its type on.
_BEFORE_NAME = size_of("SECTION_FULL", 0, 0) - AFTER_NAME


class Live(Protocol):
    """A device that takes its state as it comes, in parts."""

    name: str

    def setup(self) -> None:
        """Its section has begun.  Raises MigrationError."""

    def put(self, data: bytes) -> None:
        """More of what its section has.  Raises MigrationError."""

    def end(self) -> None:
        """A part of its section has ended.  Raises MigrationError."""


class Sections(Sink):
    """Keeps what each device's section has, a later one instead of an earlier; gives `live` devices what is theirs."""

    def __init__(self, live: Sequence[Live] = ()) -> None:
        self.live = {each.name: each for each in live}
        self._taker: Live | None = None
        self._payloads: dict[tuple[str, int], bytearray] = {}
        self._versions: dict[tuple[str, int], int] = {}
        self._latest: bytearray | None = None
        self._kept = 0

    @property
    def rows(self) -> tuple[Device, ...]:
        """The devices, in the order in which they came, but for the state that the machine was in."""
        return tuple(
            Device(name, bytes(payload), self._versions[name, instance], instance)
            for (name, instance), payload in self._payloads.items()
            if name != GLOBAL_STATE
        )

    @property
    def state(self) -> bytes:
        """What the section of the state has that the machine was in; nothing if it did not come."""
        return bytes(self._payloads.get((GLOBAL_STATE, 0), b""))

    def allowed(self, name: str) -> None:
        """Raise PeerError if there is not to be such a device."""

    def record(self, record: Record) -> Program | None:
        if record.type == tables.QEMU_SECTION_DATA:
            return self._more(Body(self.window, record)) if self._taker is None else self._given(record, 0)
        self.settle()
        if self.live and record.type in _PARTS:
            section = facts_of(record.layer).section
            name = section.name if section is not None else None
            self._taker = self.live.get(text(name or b""))
            if self._taker is not None and name is not None:
                if record.type == tables.QEMU_SECTION_START:
                    self._taker.setup()
                return self._given(record, _PARTS[record.type] + (len(name) if _PARTS[record.type] > _SHORT else 0))
        if record.type == tables.QEMU_SECTION_FULL:
            return self._device(Body(self.window, record))
        self._latest = None
        return None

    def settle(self) -> None:
        """The part that was given to a device has ended, if there was one.  Raises MigrationError."""
        taker, self._taker = self._taker, None
        if taker is not None:
            taker.end()

    def _given(self, record: Record, head: int) -> Program:
        """Program of a part of a live device's section, after so many bytes of its header."""
        body, taker = Body(self.window, record), self._taker
        yield from body.skip(head)
        while taker is not None and (data := (yield from body.piece())):
            taker.put(data)

    def _device(self, body: Body) -> Program:
        """Program of a device's section, or the first of it."""
        section = facts_of(body.record.layer).section
        if section is None or section.name is None:
            return
        name = text(section.name)
        self.allowed(name)
        self._latest = self._payloads[name, section.instance] = bytearray()
        self._versions[name, section.instance] = section.version
        yield from body.skip(_BEFORE_NAME + len(section.name) + AFTER_NAME)
        yield from self._more(body)

    def _more(self, body: Body) -> Program:
        """Program of more of a device's section."""
        data = yield from body.take(body.left)
        self._kept += len(data)
        if self._kept > _MOST:
            raise PeerError(f"the devices have more than {_MOST:,} bytes of state")
        if self._latest is not None:
            self._latest += data


def facts_of(layer: Layer) -> State:
    """What the layer's program has learnt."""
    found: State = layer.facts
    return found


def text(name: bytes) -> str:
    """A name as it is shown."""
    return name.decode("ascii", "backslashreplace")
