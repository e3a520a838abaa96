"""The sections of QEMU's stream that were sent at once, as far as they are kept for the description after them."""

from __future__ import annotations

from .. import tables
from ..reader.qemu_sizes import size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record
    from ..reader.qemu_state import Section

_HEAD = size_of("SECTION_FULL", 0, 0)
# Names and lengths of sections that are kept, in bytes.
_KEPT_MAX = 1 << 20


class Sections:
    """The sections that were sent at once, in order: name, instance, version and length of each.

    `full` once there are more than are kept.
    """

    __slots__ = ("_kept", "full", "rows")

    def __init__(self) -> None:
        self.rows: list[tuple[bytes, int, int, int]] = []
        self.full = False
        self._kept = 0

    def see(self, record: Record, section: Section | None) -> None:
        """A section has come, or a piece of one that was sent at once."""
        if section is None or self.full:
            return
        name = section.name or b""
        if record.type == tables.QEMU_SECTION_FULL:
            self._kept += len(name) + 64
            self.full = self._kept > _KEPT_MAX
            self.rows.append((name, section.instance, section.version, record.length - _HEAD - len(name)))
        elif self.rows and self.rows[-1][:2] == (name, section.instance):
            *_, version, length = self.rows[-1]
            self.rows[-1] = (name, section.instance, version, length + record.length)
