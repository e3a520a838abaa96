"""libxl streams: records that old tools wrote though they say nothing are left out."""

from __future__ import annotations

from .. import tables
from . import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record


class Part(part.Part):
    """Mends a stream."""

    def record(self, record: Record) -> None:
        empty = record.type == tables.LIBXL_EMULATOR_XENSTORE_DATA and record.length == tables.SIZES[record.path]
        if self.conversion.options.repair and empty:
            self.conversion.plan.drop(record.offset, record.end + record.padding)
            self.conversion.report.add("LIBXL-EMUXS-OMIT", record.offset)
