"""XAPI images: a record for a legacy stream becomes one for an image."""

from __future__ import annotations

from .. import tables
from . import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record


class Part(part.Part):
    """Converts an image."""

    def record(self, record: Record) -> None:
        if record.type == tables.XAPI_LIBXC_LEGACY:
            if self.conversion.options.wrapped:
                self.conversion.unfit("REFUSE-LIBXL", record.offset)
            place, size = tables.PLACES[f"{record.layer.name}.record_header"]["type"]
            at = record.offset + place
            self.conversion.plan.replace(at, at + size, tables.XAPI_LIBXC.to_bytes(size, "little"))
            self.conversion.report.add("MAP-STREAM-FLAG", at)
