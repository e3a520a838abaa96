"""Files around a stream: what their header says of it is right afterwards, or they go with the form that they hold."""

from __future__ import annotations

from .. import tables
from ..reader.containers import promised
from ..reader.fields import number
from ..reader.registry import ROWS
from . import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.events import Layer
    from ..reader.identify import Identity


_V2, _LEGACY = "libxl", "legacy"


class _File(part.Part):
    """Converts a file whose header says in `field`, in the bits of `mask`, which stream is inside: `right` if libxl's.

    What that is shows only after the header.  An earlier pass may have found it out, else it is what was promised.
    """

    rule = field = ""
    mask = -1
    right = 0
    _at = _said = 0

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._at, self._said = at, number(path, self.field, raw, layer.order)
        inside = self.conversion.facts.get((type(self), at), _LEGACY if promised(layer, raw) else "")
        if inside == _LEGACY and self.conversion.options.wrapped is False:
            self.conversion.unfit("REFUSE-BARE", at)
        if not inside or (inside == _V2 and not self.conversion.options.repair) or self._is_right():
            return
        place, size = tables.PLACES[path][self.field]
        new = (self._said & ~self.mask | self.right).to_bytes(size, layer.byte_order)
        self.conversion.plan.replace(at + place, at + place + size, new)
        self.conversion.report.add(self.rule if inside == _V2 else "MAP-STREAM-FLAG", at + place)

    def inner(self, at: int, identity: Identity) -> None:
        inside = _LEGACY if identity.key in ROWS and ROWS[identity.key].alias else identity.key
        if inside not in (_LEGACY, _V2):
            return
        self.conversion.facts[type(self), self._at] = inside
        # A legacy stream becomes what the header says that it is.
        if self._is_right() == (inside == _LEGACY):
            self.conversion.mends(self.rule)

    def _is_right(self) -> bool:
        """Whether the header says that there is a libxl stream."""
        return self._said & self.mask == self.right & self.mask


class Xl(_File):
    """Converts an xl save file, whose header has flags."""

    rule = "XL-FLAG-STREAM"
    field = "mandatory_flags.stream_v2"
    mask = right = tables.XL_FLAGS["stream_v2"]


class Libvirt(_File):
    """Converts a libvirt save file, whose header has a version."""

    rule = "LIBVIRT-VERSION-STREAM"
    field = "version"
    right = tables.LIBVIRT_VERSION_V2


class Old(part.Part):
    """Drops a file that only legacy streams come in."""

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self.conversion.plan.turn(at, False)
        if layer.row.configuration:
            self.conversion.unfit("LOSE-HEADER", at)
        else:
            self.conversion.report.add("DROP-SIGNATURE", at)
