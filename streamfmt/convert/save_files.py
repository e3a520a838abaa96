"""Save files of xl and libvirt: a header that says what stream is inside, and says so rightly after this."""

from __future__ import annotations

from .. import tables
from ..reader.fields import number
from . import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..reader.events import Layer
    from ..reader.identify import Identity


_V2 = "libxl"


class _File(part.Part):
    """Mends a file whose header says in `field` which stream is inside: `says` has what its bits in `mask` stand for.

    What that is shows only after the header, so an earlier pass has to have found it out.
    """

    rule = field = ""
    mask = -1
    says: Mapping[int, str]
    _at = _said = 0

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._at, self._said = at, number(path, self.field, raw, layer.order)
        inside: str = self.conversion.facts.get((type(self), at), "")
        if not self.conversion.repair or inside not in self.says.values():
            return
        right = self._right(inside)
        if right != self._said:
            place, size = tables.PLACES[path][self.field]
            new = right.to_bytes(size, layer.byte_order)
            self.conversion.plan.replace(at + place, at + place + size, new)
            self.conversion.report.add(self.rule, at + place)

    def inner(self, at: int, identity: Identity) -> None:
        self.conversion.facts[type(self), self._at] = identity.key
        if identity.key in self.says.values() and self._right(identity.key) != self._said:
            self.conversion.mends(self.rule)

    def _right(self, inside: str) -> int:
        """What the field's integer should be, with that inside."""
        bits = next(bits for bits, key in self.says.items() if key == inside)
        return self._said & ~self.mask | bits


class Xl(_File):
    """Mends an xl save file, whose header has flags."""

    rule = "XL-FLAG-STREAM"
    field = "mandatory_flags.stream_v2"
    mask = tables.XL_FLAGS["stream_v2"]
    says: Mapping[int, str] = {mask: _V2}


class Libvirt(_File):
    """Mends a libvirt save file, whose header has a version."""

    rule = "LIBVIRT-VERSION-STREAM"
    field = "version"
    says: Mapping[int, str] = {tables.LIBVIRT_VERSION_V2: _V2}
