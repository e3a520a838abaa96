"""Checks of the legacy stream: its chunks by themselves, its checkpoints, and what only a whole one shows."""

from __future__ import annotations

from .. import tables
from ..reader.events import Body
from ..reader.legacy_pages import COUNT
from ..reader.registry import load
from . import layer as base
from .messages import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.legacy_state import State
    from ..reader.pump import Program
    from .layer import Context
    from .legacy_kept import Decoder, Memory
    from .qemu_inner import Inner

# The programs of bodies that have more to judge than fixed fields, by record type.
_BODIES = {
    tables.LEGACY_EXTENDED_INFO: "checks.legacy_bodies:extended_info",
    tables.LEGACY_P2M_FRAME_LIST: "checks.legacy_memory:frame_list",
    tables.LEGACY_PAGE_BATCH: "checks.legacy_memory:batch",
    tables.LEGACY_VCPU_INFO: "checks.legacy_bodies:vcpu_info",
    tables.LEGACY_TOOLSTACK: "checks.legacy_bodies:toolstack",
    tables.LEGACY_COMPRESSED_DATA: "checks.legacy_compressed:data",
    tables.LEGACY_UNMAPPED: "checks.legacy_tail:unmapped",
    tables.LEGACY_VCPU: "checks.legacy_tail:vcpu",
    tables.LEGACY_VCPU_EXT: "checks.legacy_tail:extended",
    tables.LEGACY_VCPU_XSAVE: "checks.legacy_tail:xsave",
    tables.LEGACY_HVM_CONTEXT: "checks.legacy_tail:hvm_context",
    tables.LEGACY_QEMU_STATE: "checks.legacy_tail:state",
    tables.LEGACY_QEMU_0002: "checks.legacy_tail:device_model",
    tables.LEGACY_QEMU_REMUS: "checks.legacy_tail:device_model",
    tables.LEGACY_QEMU_XAPI: "checks.legacy_tail:device_model",
    **dict.fromkeys(tables.LEGACY_PARAMS, "checks.legacy_bodies:param"),
}
# The limits that end reading: by record type the clause, the field, and the most that it may say.
_LIMITS = {
    tables.LEGACY_EXTENDED_INFO: ("LEGACY-EXTINFO-SIZE", "total", tables.LEGACY_EXTINFO_MAX),
    tables.LEGACY_PAGE_BATCH: ("LEGACY-BATCH-COUNT", "count", tables.LEGACY_BATCH_MAX),
    tables.LEGACY_VCPU_INFO: ("LEGACY-VCPU-ID", "max_vcpu_id", tables.LEGACY_VCPU_ID_MAX),
    tables.LEGACY_UNMAPPED: ("LEGACY-UNMAPPED", "count", tables.LEGACY_UNMAPPED_MAX),
    tables.LEGACY_VCPU_XSAVE: ("LEGACY-LENGTH", "size", tables.LEGACY_XSAVE_MAX),
    **dict.fromkeys(
        (
            tables.LEGACY_COMPRESSED_DATA,
            tables.LEGACY_TOOLSTACK,
            tables.LEGACY_HVM_CONTEXT,
            tables.LEGACY_QEMU_0002,
            tables.LEGACY_QEMU_REMUS,
            tables.LEGACY_QEMU_XAPI,
        ),
        ("LEGACY-LENGTH", "length", tables.LEGACY_LENGTH_MAX),
    ),
}
# Bytes that are quoted of what is in the place of something else.
_QUOTED = 16
# The device model's records, and how their lengths are written.
_ORDERS: dict[int, Any] = {kind: order for kind, _, _, order in tables.LEGACY_SIGNATURES}
_MODELS = sorted(_ORDERS)


class Checks(base.Checks):
    """Judges a legacy stream.

    `memory` is what pages and vcpus say of a PV guest's frames, None of an HVM guest; `decoder` follows compressed
    pages.  `params` are the values of HVM parameters so far, `vcpu` counts the contexts of the present tail.
    `seen_state` is whether a state that goes to the end of the input has begun, `model` what is known of it, and
    `displaced` whether something in the present tail is not where it should be.  `batches` are those that have come,
    `latest` where the last begins, how many pages it has, and its entries.
    """

    last = "the stream"
    state: Mapping[str, tuple[tuple[str, str], ...]] = {
        "hvm": (
            ("HVM_TAIL", "its special pages"),
            ("HVM_CONTEXT", "its vcpus and devices"),
            ("", "its device model's state"),
        ),
        "pv": (("VCPU", "the registers of its vcpus"), ("SHARED_INFO", "its shared info")),
    }

    def __init__(self, context: Context, layer: Layer) -> None:
        super().__init__(context, layer)
        self.memory: Memory | None = None
        self.decoder: Decoder | None = None
        self.params: dict[int, int] = {}
        self.vcpu = self.batches = 0
        self.latest: tuple[int, int, bytes] | None = None
        self.seen_state = self.displaced = False
        self.model: Inner | None = None
        self._models = sum(self._bits[kind] for kind in _MODELS)

    @property
    def facts(self) -> State:
        """What the layer's program has learnt."""
        found: State = self.layer.facts
        return found

    @property
    def partial(self) -> Sequence[str]:
        """One context comes after the other."""
        return ("VCPU",) if self.vcpu < len(self.facts.vcpus) else ()

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        super().header(layer, path, at, raw, broken)
        size = self.facts.p2m_size
        if not 0 < size <= tables.LEGACY_P2M_MAX:
            most = f"1 to {tables.LEGACY_P2M_MAX:#x}"
            message = f"p2m_size is {size:#x}, expected {most}"
            self.context.report_field("LEGACY-P2M-SIZE", layer, "p2m_size", message, most, f"{size:#x}", path, at)
            return
        if self.context.configuration is not None:
            load("checks.configured:legacy_type")(self.context, self.context.configuration, layer, at)
        if layer.guest == "pv":
            self.memory = load("checks.legacy_kept:Memory")()
            if self.context.deep:
                # tools/libxc/xc_domain_restore.c of Xen 4.4, uncanonicalize_pagetable
                why = "page tables in legacy streams are not judged: readers leave as it is what they cannot translate"
                self.context.abstain("LIBXC-PTE-PFN", why)

    def unknown(self, record: Record) -> None:
        message = f"chunk {record.type} is not known, and neither is what belongs to it"
        expected = f"0, {max(tables.LEGACY_CHUNK_IDS)} to {min(tables.LEGACY_CHUNK_IDS)}, or a batch"
        self.context.report_header("LEGACY-CHUNK", record, "type", message, expected, record.type)

    def body(self, record: Record) -> Program | None:
        if record.type == tables.LEGACY_END_OF_BODY:
            self._body_ends(record)
        if record.type not in _BODIES:
            return super().body(record)
        program: Program = load(_BODIES[record.type])(self, Body(self.context.window, record))
        return program

    def pages(self, run: Run) -> None:
        self.order(run.record())
        self.came(run.offset, run.pages, run.data())
        if self.memory is not None:
            self.memory.note(run.raw(), self.facts.p2m_size - 1)
        if self.facts.compressed:
            load("checks.legacy_compressed:announce")(self, run.data())

    def came(self, at: int, pages: int, entries: bytes) -> None:
        """A batch has come that begins at offset `at`, with so many pages for its `entries`."""
        self.batches += 1
        self.latest = at, pages, entries

    def oversize(self, record: Record) -> None:
        clause, field, most = _LIMITS[record.type]
        place, size = tables.PLACES[record.path][field]
        said = self.context.window.head(record.body - record.offset + place + size)[-size:]
        value = int.from_bytes(said, _ORDERS.get(record.type, "little"))
        self.context.stopped = record.offset, "nothing after this can be trusted"
        message = f"{field} is {value:,}, the limit is {most:,}"
        self.context.report_field(clause, record, field, message, f"at most {most}", value)

    @property
    def announcing(self) -> bool:
        """Whether compression has been announced."""
        return bool(self.seen & self._bits[tables.LEGACY_ENABLE_COMPRESSION])

    def lose(self, at: int, what: str) -> None:
        """What is read at offset `at` as `what` is none, as has been reported.  Nothing frames what follows."""
        self.context.lose(at, f"what reads as {what} is none, so nothing after it can be judged")

    # -- checkpoints ------------------------------------------------------------------------------------------

    def _body_ends(self, record: Record) -> None:
        if not self.batches:
            self.lose(record.offset, "the end of the body")
        if self.decoder is not None:
            load("checks.legacy_compressed:body_ends")(self, record)
        pair = [self.params.get(kind) for kind in tables.LEGACY_IOREQ_PAIR]
        if any(pair) and not all(pair):
            names = " and ".join(self._names[kind] for kind in tables.LEGACY_IOREQ_PAIR)
            message = f"{names} belong together, and one of them is missing or 0: neither is set"
            self.context.report("LEGACY-IOREQ-PAIR", record, message, expected="both or neither", actual="one")
        self.vcpu = 0
        self.displaced = False

    def checkpoint(self, at: int) -> None:
        self._complete(at)
        self.context.checkpoints += 1
        self.fired.clear()
        self.seen &= ~self._models

    def ended(self, at: int) -> None:
        self._complete(at)
        if self.model is not None:
            load("checks.legacy_tail:state_ends")(self, at)
        super().ended(at)

    def _complete(self, at: int) -> None:
        """Judge what only a whole checkpoint shows."""
        if self.context.lost:
            return
        if self.memory is not None:
            load("checks.legacy_memory:complete")(self, self.memory)
        elif self.context.device_model and not self.seen & self._models:
            found = self.context.window.head(_QUOTED)
            # A context that is none, and no device model after it: that is one loss.
            if "LEGACY-HVMCTX-FORM" not in self.context.findings.counts:
                message = "the stream ends without a record of the device model's state, which each HVM guest has"
                message += f"; what is there begins {found.hex(' ')}" if found else ""
                names = " or ".join(self._names[kind] for kind in _MODELS)
                self.context.report("LEGACY-QEMU-PRESENT", self.layer, message, offset=at, expected=names)
            if found:
                self.lose(at, "the end of the stream")

    def trailing(self, at: int, count: int, head: bytes, zero: bool) -> None:
        if not self.displaced:  # else what follows is what the tail lacked, which has been reported
            super().trailing(at, count, head, zero)

    # -- where it ends early ----------------------------------------------------------------------------------

    def inside(self, what: str, at: int) -> str:
        """The page of a batch in which offset `at` lies, if the stream ends there."""
        if self.latest is None:
            return what
        begin, pages, entries = self.latest
        first = begin + COUNT + len(entries)
        page = (at - first) // tables.PAGE_SIZE
        if not 0 <= page < pages:
            return f"{what}, after batch {self.batches}"
        frame = load("checks.legacy_memory:frame_of")(entries, page, self.facts.word)
        return f"page {page + 1} of the {count(pages, 'page')} of batch {self.batches}, frame {frame:#x}"
