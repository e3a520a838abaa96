"""COLO's back channel: lists of dirty frames without the zeros that secondaries since Xen 4.18 put before them."""

from __future__ import annotations

from . import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Record


class Part(part.Part):
    """Mends a channel.  That a list begins with zeros too many shows after it: an earlier pass has to have seen it."""

    def record(self, record: Record) -> None:
        size = self.conversion.facts.get((Part, record.offset), 0)
        if size and self.conversion.options.repair:
            self.conversion.plan.drop(record.body, record.body + size)
            self.conversion.report.add("COLO-DIRTY-HDR", record.body)

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        self.conversion.facts[Part, record.offset] = len(raw)
        self.conversion.mends("COLO-DIRTY-HDR")
