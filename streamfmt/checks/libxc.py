"""Checks of the libxc image: its records' guests, lengths and bodies, its checkpoints, and the image as a whole."""

from __future__ import annotations

from .. import tables
from ..reader.events import Body
from ..reader.registry import Position, load
from . import layer as base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program
    from .layer import Context
    from .libxl import Checks as Around
    from .pv_memory import Memory

# The state of the machine of images in which nothing has come since a checkpoint.
_BETWEEN = "between"
EMPTY = "the record carries nothing; Xen 4.6 to 4.8 wrote such"
# The programs of bodies with more to judge than fixed fields, by record type; each is loaded when such a record comes.
_BODIES = {
    tables.LIBXC_X86_PV_INFO: "checks.pv:pv_info",
    tables.LIBXC_X86_PV_P2M_FRAMES: "checks.pv:p2m_frames",
    **dict.fromkeys(tables.LIBXC_VCPU, "checks.pv:vcpu"),
    tables.LIBXC_HVM_CONTEXT: "checks.hvm:context",
    tables.LIBXC_HVM_PARAMS: "checks.hvm:params",
}
_FORBIDDEN = {
    tables.LIBXC_TOOLSTACK: "LIBXC-TOOLSTACK",
    tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST: "LIBXC-DIRTY-FWD",
}
_BATCH = "checks.page_data:body"


class Checks(base.Checks):
    """Judges an image.  It remembers `memory` unless the guest is HVM; `around` judges the libxl stream it is in.

    `areas` are where components of XSAVE areas end, by their bits, as far as the CPUID policy says it; with --deep.
    """

    def __init__(self, context: Context, layer: Layer) -> None:
        super().__init__(context, layer)
        outer = layer.parent
        self.around: Around | None = None
        if outer is not None and outer.row.closes:
            around: Any = context.checks(outer)
            self.around = around
        self.memory: Memory | None = None
        self.areas: dict[int, int] = {}
        self.position = Position("image")

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        super().header(layer, path, at, raw, broken)
        if path != "libxc.domain_header":
            return
        if self.context.configuration is not None:
            load("checks.configured:guest_type")(self.context, self.context.configuration, layer, path, at)
        if layer.guest == "hvm":
            return
        self.memory = load("checks.pv_memory:Memory")()
        if self.context.mode == "colo" and layer.guest == "pv":
            message = "the guest is PV, in a stream that is declared COLO"
            self.context.report("COLO-HVM", layer, message, offset=at, field="type", expected="hvm", actual="pv")
            if self.around is not None:
                self.around.fired.add("COLO-HVM")

    def record(self, record: Record) -> Program | None:
        kind = record.type
        if self.position.state == _BETWEEN and kind != tables.LIBXC_END:
            self.resumed(record.offset)
        if kind not in self._names:
            self.unknown(record)
            return None
        guest = self.layer.guest
        if guest is not None and guest not in tables.LIBXC_GUESTS[kind]:
            expected = " or ".join(tables.LIBXC_GUESTS[kind])
            message = f"{record.name} belongs to {expected.upper()} guests, this one is {guest.upper()}"
            self.context.report_header("LIBXC-REC-WRONG-GUEST", record, "type", message, expected, guest)
            return None
        if kind == tables.LIBXC_PAGE_DATA:
            self.order(record)
            batch: Program | None = load(_BATCH)(self, record)
            return batch
        if kind == tables.LIBXC_END and (program := self.doubted(record, self.seen & tables.FRESH)):
            return program
        return self.known(record)

    def body(self, record: Record) -> Program | None:
        if record.type == tables.LIBXC_CHECKPOINT and self.context.mode == "plain":
            self.context.report("LIBXC-CKPT-PLAIN", record, "CHECKPOINT in a plain stream")
        if record.type in _FORBIDDEN:
            self.context.report(_FORBIDDEN[record.type], record, f"{record.name} must not be in a forward stream")
        if record.type == tables.LIBXC_X86_CPUID_POLICY and self.context.deep:
            policy: Program = load("checks.payloads:policy")(self, Body(self.context.window, record))
            return policy
        if record.type not in _BODIES:
            return super().body(record)
        if not record.length or record.length < tables.SIZES[record.path]:
            return None
        program: Program = load(_BODIES[record.type])(self, Body(self.context.window, record))
        return program

    def pages(self, run: Run) -> None:
        if self.position.state == _BETWEEN:
            self.resumed(run.offset)
        self.order(run.record())
        if self.memory is not None and self.layer.guest == "pv":
            load("checks.page_data:note_run")(self, self.memory, run)

    def passed(self, last: Record, at: int) -> None:
        if self.position.state == _BETWEEN:
            self.resumed(at)
        self.order(last)

    def lengths(self, record: Record, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if record.type == tables.LIBXC_X86_PV_VCPU_BASIC and self.memory is not None:
            size = tables.VCPU_CONTEXT_SIZES.get(self.memory.guest_width or 0)
            return lengths if size is None else (size,)
        return lengths

    def tolerated(self, record: Record, rest: int) -> bool:
        if record.type not in tables.LIBXC_VCPU:
            return False
        if rest < 0:
            clause, message = "LIBXC-VCPU-HDR", f"length is {record.length}: too short for a vcpu number"
        elif rest == 0 and record.type == tables.LIBXC_X86_PV_VCPU_BASIC:
            clause, message = "LIBXC-REC-NO-EMPTY", "the record carries nothing and should have been left out"
        elif rest == 0:
            clause, message = "LIBXC-ERRATA-1", EMPTY
        else:
            return False
        self.context.report_header(clause, record, "length", message, actual=record.length)
        return True

    # -- checkpoints ------------------------------------------------------------------------------------------

    def checkpoint(self, at: int) -> None:
        self._complete(at)
        self.position.step(self.layer.row.closes)
        # The order rules see that nothing has come since as if it were a record that has.
        self.seen = self.seen & ~tables.LIBXC_TAIL | tables.FRESH
        self.fired.clear()
        if self.memory is not None:
            self.memory.vcpus.clear()
            self.memory.named.clear()
        if self.around is None:
            self.context.checkpoints += 1
        else:
            self.around.image_record(self.layer.row.closes)

    def resumed(self, at: int) -> None:
        """The first record after a checkpoint has come, and does not close the image."""
        self.position.step(f"{self.layer.name}.*")
        self.seen &= ~tables.FRESH
        if self.around is not None:
            self.around.next_checkpoint(self.layer, at)
            self.around.image_record(f"{self.layer.name}.*")

    def ended(self, at: int) -> None:
        if self.position.state != _BETWEEN:
            self._complete(at)
        super().ended(at)
        if self.around is not None:
            self.around.image_record(f"{self.layer.name}.{self.layer.row.end}")

    def _complete(self, at: int) -> None:
        """Judge what only a whole image, or a whole checkpoint of it, shows."""
        if self.context.lost:
            return
        if self.memory is not None and self.layer.guest == "pv":
            load("checks.pv:image_complete")(self, self.memory, at)
