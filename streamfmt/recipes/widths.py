"""The width of a PV guest's words, by which pages that it shares with Xen have their layout."""

from __future__ import annotations

from .. import tables
from ..payload_tables import FORMS, PLACES
from .faults import Edited, Spot

_INFO = "libxc.X86_PV_INFO"
_BY_SIZE = {size: width for width, size in tables.VCPU_CONTEXT_SIZES.items()}


def qualified(draft: Edited, spot: Spot, place: str) -> str:
    """A field's place with the width of the guest where its layout depends on that, and the stream says it."""
    path = draft.part(spot).path
    head, dot, rest = place.partition(".")
    what = PLACES.get(path, {}).get(head)
    if not dot or what is None or {*FORMS[what]} != {*_BY_SIZE.values()}:
        return place
    width = _width(draft, path.partition(".")[0])
    return f"{head}_{8 * width}.{rest}" if width else place


def _width(draft: Edited, layer: str) -> int:
    """Bytes of a guest's word; 0 if the stream does not say it."""
    if draft.has(_INFO):
        return draft.part(draft.find(_INFO)).body("<")[0]
    vcpu = f"{layer}.VCPU"
    return _BY_SIZE.get(len(draft.part(draft.find(vcpu)).body("<")), 0) if draft.has(vcpu) else 0
