"""Checks of QEMU's stream: its frames, what they say of one another, and what only the whole shows."""

from __future__ import annotations

from .. import tables
from ..reader.events import Body
from ..reader.qemu_sizes import size_of
from ..reader.registry import load
from . import layer as base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program
    from ..reader.qemu_state import Section, State
    from .layer import Context

_SECTIONS = (tables.QEMU_SECTION_START, tables.QEMU_SECTION_FULL)
_PARTS = (tables.QEMU_SECTION_PART, tables.QEMU_SECTION_END)
_OWN = (tables.QEMU_SECTION_FULL, tables.QEMU_SECTION_DATA)
# The first code that is no frame's.
_FRAMES_END = 0x100
_NUMBER = 4
_MAY_COME = "the type of a frame that may come here"
# Names and lengths of sections that are kept, in bytes.
_KEPT_MAX = 1 << 20
_HEAD = size_of("SECTION_FULL", 0, 0)


def shown(name: bytes) -> str:
    """A name for people."""
    words: str = load("checks.messages:shown")(name)  # in most streams there is nothing to say
    return words


class Sections:
    """The sections that were sent at once, as far as they are kept for the description after them.

    `rows` are the name, instance, version and length of each, in order, and `full` once there are more than are kept.
    """

    __slots__ = ("_kept", "full", "rows")

    def __init__(self) -> None:
        self.rows: list[tuple[bytes, int, int, int]] = []
        self.full = False
        self._kept = 0

    def see(self, record: Record, section: Section | None) -> None:
        """A section has come, or a piece of one that was sent at once."""
        if section is None or self.full:
            return
        name = section.name or b""
        if record.type == tables.QEMU_SECTION_FULL:
            self._kept += len(name) + 64
            self.full = self._kept > _KEPT_MAX
            self.rows.append((name, section.instance, section.version, record.length - _HEAD - len(name)))
        elif self.rows and self.rows[-1][:2] == (name, section.instance):
            *_, version, length = self.rows[-1]
            self.rows[-1] = (name, section.instance, version, length + record.length)


class Checks(base.Checks):
    """Judges a stream, or a record of devices.

    `flushed` is whether channels of multifd have been waited for, `opened` whether a return path has been, `switched`
    whether the guest was said to go on at the receiver, `post` how far post-copy has come: not at all, advised,
    listening, running.  `devices` are those that have had a section of their own, `sections` what is known of these for
    the description after them, `target` judges for a release that the stream is for, if there is one.
    """

    def __init__(self, context: Context, layer: Layer) -> None:
        super().__init__(context, layer)
        self.flushed = self.opened = self.switched = False
        self.post = 0
        self.devices: set[int] = set()
        self.sections = Sections()
        kind, judge = layer.row.target
        target = context.targets.get(kind)
        self.target: Any = load(judge)(self, target) if target is not None else None

    @property
    def facts(self) -> State:
        """What the layer's program has learnt."""
        found: State = self.layer.facts
        return found

    def record(self, record: Record) -> Program | None:
        facts, context = self.facts, self.context
        if record.type < _FRAMES_END:
            if facts.owed is not None and record.type != tables.QEMU_SECTION_FOOTER:
                message = f"section {facts.owed.id} has no footer, as those before have"
                context.report("QEMU-FTR-MATCH", record, message, expected=f"{tables.QEMU_SECTION_FOOTER:02x}")
            if facts.beyond or facts.open:
                load("checks.qemu_commands:package")(self, record)
        if self.target is not None:
            self.target.record(record)
        return super().record(record)

    def known(self, record: Record) -> Program | None:
        if self.facts.stray:
            message = f"frame type {record.type:#04x} ({record.name}) has no place here, so it is not known"
            self.context.report_header("QEMU-SEC-TYPE", record, "type", message, _MAY_COME, f"{record.type:#04x}")
            return None
        return super().known(record)

    def unknown(self, record: Record) -> None:
        message = f"frame type {record.type:#04x} is not known"
        self.context.report_header("QEMU-SEC-TYPE", record, "type", message, _MAY_COME, f"{record.type:#04x}")

    def body(self, record: Record) -> Program | None:
        if record.type in _OWN:
            self.sections.see(record, self.facts.section)
        if self.facts.marks is not None and record.type not in _PAGES:
            load("checks.qemu_vfio:marks")(self, record)
        if record.type in _PAGES and tables.QEMU_MAPPED_RAM in self.facts.capabilities:
            load("checks.qemu_memory:unmapped")(self, record)
        path = _BODIES.get(record.type)
        if path is None:
            return None
        program: Program | None = load(path)(self, Body(self.context.window, record))
        if self.target is not None and record.type == tables.QEMU_SECTION_FULL:
            program = self.target.section(record)
        return program

    def pages(self, run: Run) -> None:
        """Words about pages: all that could be wrong with them was looked at."""

    def oversize(self, record: Record) -> None:
        load("checks.qemu_memory:oversize")(self, record)

    def ended(self, at: int) -> None:
        super().ended(at)
        if self.target is not None:
            self.target.ended()
        if self.context.lost:
            return
        if self.facts.blocks:
            load("checks.qemu_memory:complete")(self, at)
        elif tables.QEMU_MAPPED_RAM in self.facts.capabilities:
            load("checks.qemu_memory:absent")(self, at)

    def unfinished(self, at: int) -> bool:
        message = f"the description after the end is cut at {at}: no QEMU minds, but what reads it"
        self.context.report("QEMU-DESC-OPT", self.layer, message, offset=at, actual="end of input")
        return True


def section(checks: Checks, body: Body) -> None:
    """Judge the header of a section, which the reader has read."""
    record, now = body.record, checks.facts.section
    assert now is not None, "the reader has read its header"
    name = now.name or b""
    if name.endswith(tables.VFIO_SECTION) and name.rpartition(b"/")[2] == tables.VFIO_SECTION:
        load("checks.qemu_vfio:section")(checks, record, now)
    if not name:
        place, size = tables.PLACES[record.path]["idstr_length"]
        at = record.body + place
        message = "the section's name is empty"
        checks.context.report(
            "QEMU-SEC-IDSTR", record, message, offset=at, length=size, field="idstr_length", expected="1 to 255"
        )
    elif record.type == tables.QEMU_SECTION_FULL:
        key = hash((name, now.instance))
        if key in checks.devices:
            message = f"{shown(name)} {now.instance} has a section already"
            checks.context.report("QEMU-SEC-DUP", record, message, field="idstr", actual=shown(name))
        if len(checks.devices) < tables.QEMU_SECTIONS_MAX:
            checks.devices.add(key)
    elif name == tables.QEMU_RAM_NAME and now.version != tables.QEMU_RAM_VERSION:
        message = (
            f"the memory's section has version {now.version}, which is not read: only {tables.QEMU_RAM_VERSION} is"
        )
        checks.context.report(
            "QEMU-RAM-VERSION",
            record,
            message,
            offset=record.end - _NUMBER,
            length=_NUMBER,
            field="version_id",
            expected=tables.QEMU_RAM_VERSION,
            actual=now.version,
        )


def part(checks: Checks, body: Body) -> None:
    """Judge more of a section: that it has begun, and has not ended."""
    record, now = body.record, checks.facts.section
    assert now is not None, "the reader has read its header"
    if now.name is None:
        message = f"no section {now.id} has begun"
        checks.context.report_field("QEMU-SEC-ID", record, "section_id", message, actual=now.id)
    elif now.ended:
        message = f"section {now.id} ({shown(now.name)}) has ended already"
        checks.context.report_field("QEMU-SEC-ORDER", record, "section_id", message, actual=now.id)


def footer(checks: Checks, body: Body) -> Program:
    """Program that judges a footer: its number is the section's."""
    owed = checks.facts.owed
    raw = yield from body.take(_NUMBER)
    if owed is None or len(raw) < _NUMBER:
        return
    number = int.from_bytes(raw, "big")
    if number != owed.id:
        message = f"the footer is of section {number}, after section {owed.id}"
        checks.context.report_field("QEMU-FTR-MATCH", body.record, "section_id", message, owed.id, number)


def subsection(checks: Checks, body: Body) -> Program:
    """Program that judges a part of the configuration."""
    record, context = body.record, checks.context
    raw = yield from body.take(1)
    raw += yield from body.take(raw[0] + _NUMBER if raw else 0)
    if len(raw) < 1 + _NUMBER:
        return
    name, version = raw[1:-_NUMBER], int.from_bytes(raw[-_NUMBER:], "big")
    if name not in tables.QEMU_CONFIGURATIONS:
        message = f"{shown(name)!r} is no known part of the configuration, so its end is not known"
        known = ", ".join(map(shown, tables.QEMU_CONFIGURATIONS))
        context.report(
            "QEMU-SUB-KNOWN",
            record,
            message,
            offset=record.body + 1,
            length=len(name),
            field="name",
            expected=known,
            actual=shown(name),
        )
        return
    if version != 1:
        message = f"version {version} of {shown(name)} is not known"
        at = body.at - _NUMBER
        context.report(
            "QEMU-SUB-VERSION",
            record,
            message,
            offset=at,
            length=_NUMBER,
            field="version_id",
            expected=1,
            actual=version,
        )
    for capability in checks.facts.capabilities if tables.QEMU_CONFIGURATIONS[name] is None else ():
        if capability not in tables.QEMU_KNOWN_CAPABILITIES:
            message = f"capability {shown(capability)!r} is not one that has to be on at both ends"
            context.report(
                "QEMU-CFG-CAPS",
                record,
                message,
                offset=body.at,
                length=body.left,
                field="payload",
                expected=", ".join(map(shown, tables.QEMU_KNOWN_CAPABILITIES)),
                actual=shown(capability),
            )


# Words about pages that come with them, and for other channels.
_PAGES = frozenset(
    kind
    for kind, name in tables.RECORDS["qemu"].items()
    if name.startswith(("RAM_ZERO", "RAM_PAGE", "RAM_XBZRLE", "RAM_FLUSH", "RAM_HOOK"))
)
_BODIES: dict[int, str] = {
    **dict.fromkeys(_SECTIONS, "checks.qemu:section"),
    **dict.fromkeys(_PARTS, "checks.qemu:part"),
    tables.QEMU_SECTION_FOOTER: "checks.qemu:footer",
    tables.QEMU_SUBSECTION: "checks.qemu:subsection",
    tables.QEMU_COMMAND: "checks.qemu_commands:command",
    tables.QEMU_VMDESCRIPTION: "checks.qemu_description:description",
    **dict.fromkeys(
        (kind for kind, name in tables.RECORDS["qemu"].items() if name.startswith("RAM_BLOCK")),
        "checks.qemu_memory:block",
    ),
    **dict.fromkeys(
        (kind for kind, name in tables.RECORDS["qemu"].items() if name.startswith("RAM_") and name.endswith("_OF")),
        "checks.qemu_memory:named",
    ),
    tables.QEMU_RAM_ZERO: "checks.qemu_memory:row",
    tables.QEMU_RAM_PAGE: "checks.qemu_memory:row",
    tables.QEMU_RAM_XBZRLE: "checks.qemu_memory:varied",
    tables.QEMU_RAM_COMPRESSED: "checks.qemu_memory:varied",
    **dict.fromkeys(
        (tables.QEMU_RAM_TOTAL, tables.QEMU_RAM_EOS),
        "checks.qemu_memory:alone",
    ),
    tables.QEMU_RAM_WORD: "checks.qemu_memory:word",
    tables.QEMU_RAM_HOOK: "checks.qemu_memory:hook",
    tables.QEMU_RAM_FLUSH: "checks.qemu_memory:flush",
}
