"""libxc images of version 2 to version 3: the version, STATIC_DATA_END in its place, no parameter that is obsolete."""

from __future__ import annotations

from struct import Struct

from .. import tables
from ..reader.events import Body
from . import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program

# What may come before STATIC_DATA_END.
_STATIC = (tables.LIBXC_X86_PV_INFO, tables.LIBXC_X86_CPUID_POLICY, tables.LIBXC_X86_MSR_POLICY)
# What old savers wrote though it had nothing after its fixed fields.
_EMPTY = (
    tables.LIBXC_HVM_PARAMS,
    tables.LIBXC_X86_PV_VCPU_EXTENDED,
    tables.LIBXC_X86_PV_VCPU_XSAVE,
    tables.LIBXC_X86_PV_VCPU_MSRS,
)
# More parameters than this are not looked through; there are less than 40.
_PARAMS_MAX = 1024


class Part(part.Part):
    """Converts an image, and mends records that say nothing."""

    # Whether the image is of an older version, STATIC_DATA_END is still to come, and what static data has to.
    older = due = awaited = False
    # Records that are to come after that.
    _held = b""

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if path != f"{layer.name}.{layer.row.headers[0]}":
            self.awaited = layer.guest == "pv"
            return
        self.older = self.due = layer.version < tables.LIBXC_VERSION_STATIC
        if self.older:
            place, size = tables.PLACES[path][layer.row.version]
            new = tables.LIBXC_VERSION_STATIC.to_bytes(size, "big")
            self.conversion.plan.replace(at + place, at + place + size, new)
            self.conversion.report.add("LIBXC-IHDR-VERSION", at + place)

    def record(self, record: Record) -> Program | None:
        plan, report = self.conversion.plan, self.conversion.report
        if record.type == tables.LIBXC_X86_PV_INFO:
            self.awaited = False
        elif self.due and self.awaited and record.type == tables.LIBXC_X86_TSC_INFO:
            return self._moved(record)
        if self.due and record.type not in _STATIC and record.type in tables.RECORDS[record.layer.name]:
            self._end_static_data(record.offset, record.type == tables.LIBXC_STATIC_DATA_END)
        if self.conversion.options.repair and record.type in _EMPTY and record.length == tables.SIZES[record.path]:
            plan.drop(record.offset, record.end + record.padding)
            report.add("LIBXC-ERRATA-1", record.offset, record.name)
            return None
        if self.older and record.type == tables.LIBXC_HVM_PARAMS:
            return self._params(record)
        return None

    def pages(self, run: Run) -> None:
        if self.due:
            self._end_static_data(run.offset)

    def _end_static_data(self, at: int, there: bool = False) -> None:
        """Put STATIC_DATA_END before the record at `at`, unless it is that."""
        self.due = False
        if not there:
            self.conversion.plan.put(at, self._header(tables.LIBXC_STATIC_DATA_END, 0))
            self.conversion.report.add("LIBXC-SDE-PRESENT", at)
        self.conversion.plan.put(at, self._held)

    def _moved(self, record: Record) -> Program:
        """Program that holds a record back until the static data has ended."""
        self.conversion.plan.drop(record.offset, record.end + record.padding)
        raw = yield from Body(self.conversion.window, record).take(record.length)
        self._held += self._header(record.type, record.length) + raw + bytes(record.padding)
        self.conversion.report.add("LIBXC-PVINFO-FIRST", record.offset, record.name)

    def _header(self, kind: int, length: int) -> bytes:
        """A record's header."""
        return Struct(self.layer.order + tables.FORMATS["libxc.record_header"]).pack(kind, length)

    def _params(self, record: Record) -> Program | None:
        """Program that leaves an obsolete parameter out, if what the record has is parameters and not too many."""
        size, (unit,) = tables.SIZES[record.path], tables.UNITS[record.path]
        count, rest = divmod(record.length - size, unit)
        return self._without_pae(Body(self.conversion.window, record)) if not rest and 0 < count < _PARAMS_MAX else None

    def _without_pae(self, body: Body) -> Program:
        record = body.record
        size, (unit,) = tables.SIZES[record.path], tables.UNITS[record.path]
        fixed = Struct(body.order + tables.FORMATS[record.path])
        param = Struct(body.order + tables.FORMATS[f"{record.path}.params"])
        # By now the header may have been copied: so it is not, until it is known what it has to say.
        self.conversion.plan.drop(record.offset, record.end)
        head, raw = (yield from body.take(size)), (yield from body.take(body.left))
        if body.left:  # the input ends inside: that much stays as it is
            self.conversion.plan.put(body.at, self._header(record.type, record.length) + head + raw)
            return
        count, reserved = fixed.unpack(head)
        params = [raw[at : at + unit] for at in range(0, len(raw), unit)]
        kept = [one for one in params if param.unpack(one)[0] != tables.HVM_PARAM_PAE]
        if count == len(params) and len(kept) < count:
            head = fixed.pack(len(kept), reserved)
            raw = b"".join(kept)
            self.conversion.report.add("LIBXC-HVMPARAMS-PAE", record.offset)
            if not kept:
                return  # a record without any would say nothing
        self.conversion.plan.put(record.end, self._header(record.type, size + len(raw)) + head + raw)
