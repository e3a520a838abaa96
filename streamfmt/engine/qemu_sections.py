"""The sections of devices in QEMU's stream, kept as they come.

Source: QEMU migration/savevm.c, qemu_loadvm_section_start_full.
"""

from __future__ import annotations

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
# Bytes of a section's header before its name, from after its type on.
_BEFORE_NAME = size_of("SECTION_FULL", 0, 0) - AFTER_NAME


class Sections(Sink):
    """Keeps what each device's section has, a later one instead of an earlier."""

    def __init__(self) -> None:
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
        if record.type == tables.QEMU_SECTION_FULL:
            return self._device(Body(self.window, record))
        if record.type == tables.QEMU_SECTION_DATA:
            return self._more(Body(self.window, record))
        self._latest = None
        return None

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
