"""What a release of QEMU would make of a stream: what it refuses, and what it loses without a word.

It is worked out from what is known of machine types (spec/qemu-machines.toml) as such a loader reads, which is told no
length: where its machine type has another layout than the writer's, all that follows goes astray, and what it meets
next decides whether it complains.
"""

from __future__ import annotations

from .. import qemu_tables, tables
from ..reader.qemu_sizes import size_of
from ..reader.qemu_variant import RELEASES, VERSIONS, bare, explained, split
from .messages import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..reader.events import Record
    from ..reader.pump import Program
    from ..reader.qemu_variant import Part, Variant
    from .qemu import Checks

MACHINE, REFUSED, LOST = "QEMU-TARGET-MACHINE", "QEMU-TARGET-REFUSED", "QEMU-TARGET-LOST"
# What Xen's toolstacks start.
XEN = "xenfv"
_HEAD = size_of("SECTION_FULL", 0, 0)
# Most sections whose names, and whose payloads, are kept; and names in a message.
_NAMES, _PAYLOADS, _NAMED = 4096, 16, 40
_LONGEST = 1 + max(max(lengths) for key, lengths in tables.QEMU_SECTION_LENGTHS.items() if key in qemu_tables.SECTIONS)
_NEWEST: dict[bytes, int] = {}
for _name, _version in tables.QEMU_SECTION_LENGTHS:
    _NEWEST[_name] = max(_version, _NEWEST.get(_name, 0))


class Target:
    """A release, by its number in RELEASES, and a machine type; `machine` is "" where the stream decides."""

    __slots__ = ("machine", "release", "version")

    def __init__(self, release: int, machine: str = "", version: int = -1) -> None:
        self.release = release
        self.machine = machine
        self.version = version

    def __repr__(self) -> str:
        return f"<Target {self.words}>"

    @property
    def words(self) -> str:
        """Release and machine type."""
        return f"{self.name or 'machine'} of QEMU {RELEASES[self.release]}"

    @property
    def name(self) -> str:
        """The machine type's whole name."""
        return f"{self.machine}-{VERSIONS[self.version]}" if self.version >= 0 else self.machine

    @property
    def family(self) -> str:
        """The machine type whose devices it has."""
        return (qemu_tables.MACHINES[self.machine][1] if self.machine else "") or self.machine

    @property
    def era(self) -> int:
        """The version whose layouts it has: of a machine type without versions, the release's own."""
        return self.version if self.version >= 0 else VERSIONS.index(RELEASES[self.release])

    @property
    def there(self) -> bool:
        """Whether the release has the machine type."""
        has = qemu_tables.MACHINES[self.machine][2]
        return not has or bool(has.get(self.release, 0) >> self.version & 1)

    def of(self, name: str) -> Target:
        """The same release with another machine type.  Raises ValueError for a name that none has."""
        for machine, (alias, _, has, means, _) in qemu_tables.MACHINES.items():
            if name and name in (alias, machine) and has:
                return Target(self.release, machine, means[self.release])
        machine, mask = split(name)
        if not machine:
            known = ", ".join(qemu_tables.MACHINES)
            raise ValueError(f"{name[:64]!r} is no machine type that is known; those are {known}, with a version")
        return Target(self.release, machine, mask.bit_length() - 1)


def parse(text: str) -> Target:
    """A target of a text such as "11.1" or "11.1:pc-i440fx-10.0".  Raises ValueError, in words."""
    release, colon, machine = text.partition(":")
    numbers = ".".join(release.split(".")[:2])
    if numbers not in RELEASES or not all(number.isdecimal() for number in release.split(".")):
        known = ", ".join(RELEASES)
        raise ValueError(f"what QEMU {release[:32]!r} does is not known; that of {known} is")
    target = Target(RELEASES.index(numbers))
    return target.of(machine) if colon else target


class Kept:
    """A section that was sent at once: its record, name, version and length.

    `raw` is its payload with what follows, where that matters, and `why` the reason for which it is refused, if it is.
    """

    __slots__ = ("key", "length", "number", "raw", "record", "why")

    def __init__(self, record: Record, number: int, key: tuple[bytes, int], length: int, raw: bytes, why: str) -> None:
        self.record = record
        self.number = number
        self.key = key
        self.length = length
        self.raw = raw
        self.why = why


class Judge:
    """Judges one stream for one target, beside its checks."""

    def __init__(self, checks: Checks, target: Target) -> None:
        self._checks = checks
        self._given = target
        self._names: list[str] = []
        self._kept: list[Kept] = []
        self._configured: Record | None = None
        self._said: set[object] = set()

    # -- as records come --------------------------------------------------------------------------------------------

    def record(self, record: Record) -> None:
        """A record has come: commands, words and capabilities that the release does not take are reported."""
        facts, release = self._checks.facts, self._given.release
        if record.type == tables.QEMU_CONFIGURATION and self._configured is None:
            self._configured = record
        if qemu_tables.REFUSED_WORDS.get(record.type, 0) >> release & 1:
            self._once(record.type, record, f"QEMU {RELEASES[release]} refuses words of this kind, {record.name}")
        if record.type == tables.QEMU_SUBSECTION:
            for name in facts.capabilities:
                if qemu_tables.REFUSED_CAPABILITIES.get(name, 0) >> release & 1:
                    self._once(name, record, f"QEMU {RELEASES[release]} has no capability {shown(name)}")

    def command(self, record: Record, code: int) -> None:
        """A command has come."""
        release = self._given.release
        if qemu_tables.REFUSED_COMMANDS.get(code, 0) >> release & 1:
            name = tables.QEMU_COMMANDS[code]
            self._once(("command", code), record, f"QEMU {RELEASES[release]} refuses the command {name}")

    def _once(self, what: object, record: Record, message: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._checks.context.report(REFUSED, record, message)

    def section(self, record: Record) -> Program:
        """Program that keeps what matters of a section, of whose body nothing has been read, and consumes nothing."""
        context, facts = self._checks.context, self._checks.facts
        now = facts.section
        assert now is not None, "the reader has read its header"
        name = now.name or b""
        number, head = len(self._names), _HEAD + len(name)
        if number < _NAMES:
            self._names.append(shown(bare(name)) + (f" {now.instance}" if now.instance else ""))
        key = bare(name), now.version
        why = self._stranger(key)
        if (key not in qemu_tables.SECTIONS and not why) or len(self._kept) >= _PAYLOADS:
            return
        window, raw = context.window, b""
        if not facts.footers:
            wanted = head + max(_LONGEST, record.length - head + 1)
            if window.hi - window.lo < wanted and not context.exact:
                yield wanted
            raw = bytes(window.buf[window.lo + head : min(window.lo + wanted, window.hi)])
        self._kept.append(Kept(record, number, key, record.length - head, raw, why))

    def _stranger(self, key: tuple[bytes, int]) -> str:
        """Why the release knows no such section; empty if nothing speaks against it."""
        name, version = key
        release = self._given.release
        if qemu_tables.REFUSED_SECTIONS.get(name, 0) >> release & 1:
            return f"QEMU {RELEASES[release]} has no section {shown(name)}"
        if version > _NEWEST.get(name, version):
            return f"QEMU {RELEASES[release]} reads {shown(name)} up to version {_NEWEST[name]}, and this is {version}"
        return ""

    # -- at the end -------------------------------------------------------------------------------------------------

    def ended(self) -> None:
        """The sections have ended: judge what becomes of them."""
        target = self._target()
        if target is None:
            return
        self._checks.context.aimed[self._checks.layer.path] = target.words
        if not target.there:
            self._missing(target.machine, target.name)
        for kept in self._kept:
            if kept.why:
                self._checks.context.report(REFUSED, kept.record, kept.why)
            if kept.why or self._astray(kept, target):
                return  # the loader reads no further, or what is none

    def _target(self) -> Target | None:
        """The target with a machine type; None where none can be chosen."""
        given, facts = self._given, self._checks.facts
        if given.machine:
            return given
        if facts.machine is not None:
            return self._named(facts.machine.decode("latin-1"))
        variant: Variant | None = facts.variant()
        if not facts.footers:
            family = variant.machine if variant is not None else ""
            return given.of(family if family and family != given.of(XEN).family else XEN)
        if variant is None or not variant.versions:
            self._checks.context.abstain(LOST, "the sections do not show which machine type they are of; give one")
            return None
        has = qemu_tables.MACHINES[variant.machine][2].get(given.release, 0)
        both = variant.versions & has
        return Target(given.release, variant.machine, (both or variant.versions).bit_length() - 1)

    def _named(self, name: str) -> Target | None:
        """The release with the machine type of that name; None if that is not known."""
        if split(name)[0]:
            return self._given.of(name)
        machine = name.rpartition("-")[0]
        if machine in qemu_tables.MACHINES and qemu_tables.MACHINES[machine][2]:
            self._missing(machine, shown(name.encode("latin-1")))
        else:
            self._checks.context.abstain(LOST, f"of machine type {shown(name.encode('latin-1'))} nothing is known")
        return None

    def _missing(self, machine: str, name: str) -> None:
        """The release has no machine type of that name."""
        release = self._given.release
        has = _known(machine, release)
        message = f"QEMU {RELEASES[release]} has no machine type {name}" + (f", but {has}" if has else "")
        where: Any = self._configured or self._checks.layer
        self._checks.context.report(MACHINE, where, message, expected=has, actual=name)

    def _astray(self, kept: Kept, target: Target) -> bool:
        """Judge a section; whether the loader goes astray there, or refuses it."""
        name = shown(bare(kept.key[0]))
        family = qemu_tables.SECTIONS[kept.key][0]
        if family and target.family != family:
            self._checks.context.report(REFUSED, kept.record, f"{target.words} has no {name}")
            return True
        reads, unknown = _reads(kept, target)
        if reads < 0:
            return False
        if unknown:
            message = f"{target.words} does not take {shown(unknown)}, which is part of {name}"
            self._checks.context.report(REFUSED, kept.record, message)
            return True
        self._report(kept, target, reads)
        return True

    def _report(self, kept: Kept, target: Target, reads: int) -> None:
        """The loader reads so many bytes of a section that has others: say what comes of it."""
        name = shown(bare(kept.key[0]))
        message = f"{target.words} reads {reads:,} bytes of {name}, which has {kept.length:,}"
        at, end = kept.record.end - kept.length, _after(kept, target)
        clause = REFUSED
        if self._checks.facts.footers:
            message += ", and misses its footer"
        elif kept.raw[end : end + 1] == bytes((tables.QEMU_EOF,)):
            clause = LOST
            message += f": it is misread, and a zero at {at + end} taken for the end, without a word"
            rest = self._names[kept.number + 1 :]
            more = f" and {len(rest) - _NAMED:,} more" if len(rest) > _NAMED else ""
            message += f". Not restored: {', '.join(rest[:_NAMED])}{more}" if rest else ""
        else:
            found = f"{kept.raw[end]:#04x} at {at + end}" if end < len(kept.raw) else "the end of the input"
            message += f", and then meets {found} where a section should begin"
        self._checks.context.report(
            clause,
            kept.record,
            message,
            offset=at,
            length=kept.length,
            field="payload",
            expected=reads,
            actual=kept.length,
        )


def _takes(part: Part, target: Target) -> bool:
    """Whether the target takes a part of a section."""
    return bool(part[6] >> target.release & part[7] >> target.era & 1)


def _reads(kept: Kept, target: Target) -> tuple[int, bytes]:
    """How many bytes the target reads of a section that is not as it has it, and the part that it does not take.

    -1 if it is as it should be, or nothing is known of such a length.
    """
    ways = list(explained(kept.key, kept.length))
    own = [there for _, versions, there, _ in ways if versions >> target.era & 1]
    refused = [[part[0] for part in there if not _takes(part, target)] for there in own]
    if not ways or (own and not all(refused)):
        return -1, b""
    if own:
        return 0, refused[0][0]
    size = _layout(kept, target)
    return (size + sum(part[1] for part in ways[0][2]) if size >= 0 else -1), b""


def _layout(kept: Kept, target: Target) -> int:
    """How many bytes such a section has for the target without any part; -1 if that is not known."""
    _, layouts, _ = qemu_tables.SECTIONS[kept.key]
    return next((size for size, versions in layouts if versions >> target.era & 1), -1)


def _after(kept: Kept, target: Target) -> int:
    """Where in the payload, or after it, the target looks for the next section."""
    at, parts = _layout(kept, target), qemu_tables.SECTIONS[kept.key][2]
    while kept.raw[at : at + 1] == bytes((tables.QEMU_SUBSECTION,)):
        name = kept.raw[at + 2 : at + 2 + kept.raw[at + 1]] if at + 1 < len(kept.raw) else b""
        part = next((part for part in parts if part[0] == name and _takes(part, target)), None)
        if part is None:
            break
        at += part[1]
    return at


def _known(machine: str, release: int) -> str:
    """The versions of a machine type that a release has, in words."""
    mask = qemu_tables.MACHINES[machine][2].get(release, 0)
    numbers = [number for number in range(len(VERSIONS)) if mask >> number & 1]
    if not numbers:
        return ""
    last = f" to {VERSIONS[numbers[-1]]}" if len(numbers) > 1 else ""
    return f"{machine}-{VERSIONS[numbers[0]]}{last}"
