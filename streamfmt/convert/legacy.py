"""Legacy streams to libxc images of version 3, bare or in a libxl stream.

Pages are copied from where they lie; the rest, which is little, is said anew.  The order is that in which Xen's own
converter writes.  Of a checkpointed stream a plain one is made as of its last complete checkpoint, or one with the same
checkpoints.
"""

from __future__ import annotations

from .. import tables
from ..checks.pv_memory import PfnMap
from ..reader.events import Body
from ..reader.registry import load
from . import part, records
from .legacy_order import Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.legacy_state import State
    from ..reader.pump import Program
    from .compressed import Decoder

_HVM = "hvm"
_MEMORY, _TAIL = "convert.legacy_memory:", "convert.legacy_tail:"
# What says a record anew, by its type; of all others nothing is left.
_HANDLERS = {
    tables.LEGACY_EXTENDED_INFO: f"{_MEMORY}extended_info",
    tables.LEGACY_P2M_FRAME_LIST: f"{_MEMORY}frame_list",
    tables.LEGACY_PAGE_BATCH: f"{_MEMORY}batch",
    tables.LEGACY_COMPRESSED_DATA: f"{_MEMORY}compressed",
    tables.LEGACY_ENABLE_VERIFY_MODE: f"{_MEMORY}verify",
    tables.LEGACY_TMEM: f"{_MEMORY}tmem",
    tables.LEGACY_TSC_INFO: f"{_TAIL}tsc",
    **dict.fromkeys(tables.LEGACY_PARAMS, f"{_TAIL}param"),
    tables.LEGACY_TOOLSTACK: f"{_TAIL}toolstack",
    tables.LEGACY_END_OF_BODY: f"{_TAIL}end_of_body",
    tables.LEGACY_UNMAPPED: f"{_TAIL}unmapped",
    tables.LEGACY_VCPU: f"{_TAIL}vcpu",
    tables.LEGACY_VCPU_EXT: f"{_TAIL}extended",
    tables.LEGACY_VCPU_XSAVE: f"{_TAIL}xsave",
    tables.LEGACY_SHARED_INFO: f"{_TAIL}shared_info",
    tables.LEGACY_HVM_TAIL: f"{_TAIL}special_pages",
    tables.LEGACY_HVM_CONTEXT: f"{_TAIL}hvm_context",
    **dict.fromkeys(
        (tables.LEGACY_QEMU_0002, tables.LEGACY_QEMU_REMUS, tables.LEGACY_QEMU_XAPI), f"{_TAIL}device_model"
    ),
    tables.LEGACY_QEMU_TO_END: f"{_TAIL}device_model_to_end",
    tables.LEGACY_QEMU_STATE: f"{_TAIL}device_model_piece",
}


class Part(part.Part):
    """Converts a legacy stream.

    `params` are the values of HVM parameters so far, `tsc` and `xenstore` what is said of the clock and of the device
    model's keys, `pfns` the latest types of a PV guest's pages.  `decoder` has the contents that came compressed.
    `vcpus` counts the contexts of the present tail, and `informed` says whether the guest's width has been said.
    """

    def __init__(self, conversion: part.Conversion, layer: Layer) -> None:
        super().__init__(conversion, layer)
        self.order = Order(conversion, layer)
        self.params: dict[int, int] = {}
        self.pfns = PfnMap()
        self.tsc = self.xenstore = b""
        self.decoder: Decoder | None = None
        self.vcpus = 0
        self.informed = False

    @property
    def facts(self) -> State:
        """What the layer's program has learnt."""
        found: State = self.layer.facts
        return found

    def body(self, record: Record) -> Body:
        """The record's body."""
        return Body(self.conversion.window, record)

    def put(self, at: int, data: bytes) -> None:
        """Put bytes of the result where the input is at `at`."""
        if self.order.wanted:
            self.conversion.plan.put(at, data)

    def copy(self, start: int, stop: int) -> None:
        """Copy bytes of the input."""
        if self.order.wanted:
            self.conversion.plan.copy(start, stop)

    def note(self, rule: str, at: int, detail: str = "", count: int = 1) -> None:
        """A rule was followed."""
        if self.order.wanted:
            self.conversion.report.add(rule, at, detail, count)

    # -- events ---------------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        bits = 8 * tables.SIZES[path]
        if self.conversion.options.width not in (None, bits):
            self.conversion.unfit("REFUSE-WIDTH", at, f"{bits} bits")
        self.conversion.plan.turn(at, False)
        self.order.begins(at)
        self.put(at, records.stream_header() if self.order.wrapped else b"")
        if layer.guest is not None:  # else it is no such stream, and reading stops here
            self.put(at, records.image_headers(layer.guest))
        self.note("MAP-HEADER", at)
        if layer.guest == _HVM:
            self.put(at, records.record(tables.LIBXC_STATIC_DATA_END))

    def record(self, record: Record) -> Program | None:
        handler = _HANDLERS.get(record.type)
        if self.order.over or handler is None:
            return None
        program: Program | None = load(handler)(self, record)
        return program

    def pages(self, run: Run) -> None:
        if not self.order.over:
            load(f"{_MEMORY}run")(self, run.offset, run.data(), run.offset + run.size, run.pages)

    def checkpoint(self, at: int) -> None:
        self.order.checkpoint(at)
        self.vcpus = 0

    def ended(self, at: int) -> None:
        self.order.ended(at)
        outer = self.layer.parent
        while outer is not None and not outer.row.trailing:
            outer = outer.parent
        if outer is not None:  # what is around it goes on
            self.conversion.plan.turn(at, True)

    def trailing(self, at: int, what: str) -> None:
        self.conversion.report.add("DROP-TRAILING", at, what)

    def truncated(self, at: int) -> None:
        self.order.truncated(at)
