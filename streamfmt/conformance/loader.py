"""What a QEMU that waits for a stream finds there that it does not have itself, or has otherwise.

It knows how long each device's state is, which a stream does not say.  So it may come to an end, or go astray, where a
stream that is read by itself shows nothing wrong; :func:`walk` goes the way that it goes, as far as it is clear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from .. import tables
from ..schema import qemu_stream as schema
from .bases_qemu import PAGES, SETUPS, bases

_HEADER = tables.SIZES["qemu.header"]
_EOF, _START, _PART, _END, _FULL, _SUBSECTION, _CONFIGURATION, _COMMAND, _FOOTER = (
    tables.QEMU_EOF,
    tables.QEMU_SECTION_START,
    tables.QEMU_SECTION_PART,
    tables.QEMU_SECTION_END,
    tables.QEMU_SECTION_FULL,
    tables.QEMU_SUBSECTION,
    tables.QEMU_CONFIGURATION,
    tables.QEMU_COMMAND,
    tables.QEMU_SECTION_FOOTER,
)
_RAM = schema.RAM_NAME
_FLAGS = (1 << schema.PAGE_BITS) - 1
_NAMED = schema.ZERO | schema.PAGE | schema.XBZRLE | schema.COMPRESSED
_ADDRESS = 8
_NUMBER = 4


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the loader: its version, and how long its state is; `payload` is one that it has written."""

    version: int
    payload: bytes

    @property
    def length(self) -> int:
        """Bytes of its state."""
        return len(self.payload)


@dataclass(frozen=True, slots=True)
class Loader:
    """What a setup has: its machine's name, None if it wants none; whether there are footers; its devices.

    `capabilities` are those that a stream has to name; with `postcopy` it may end by that, and with `compressed` it may
    have compressed pages.
    """

    machine: bytes | None
    footers: bool
    devices: Mapping[tuple[bytes, int], Device]
    capabilities: frozenset[bytes] = frozenset()
    postcopy: bool = False
    compressed: bool = False


@cache
def loaders() -> dict[str, Loader]:
    """Those of the setups, by name, as the good streams for them have it."""
    found = {}
    for base in bases().values():
        if base.setup in found:
            continue
        machine, footers = None, False
        devices = {}
        for part in base.stream:
            footers |= part.path == "qemu.SECTION_FOOTER"
            if part.path == "qemu.CONFIGURATION":
                machine = bytes(part.values["machine"])
            if part.path == "qemu.SECTION_FULL":
                row = part.values
                name = bytes(row["idstr"])
                payload = bytes(part.body(">"))[len(name) + 13 :]
                devices[name, int(row["instance_id"])] = Device(int(row["version_id"]), payload)
        wanted = {name.encode() for name in SETUPS[base.setup].capabilities}
        known = frozenset(wanted & {*schema.KNOWN_CAPABILITIES})
        allowed = (name in wanted for name in (b"postcopy-ram", b"compress"))
        found[base.setup] = Loader(machine, footers, devices, known, *allowed)
    return found


class _LostError(Exception):
    """What follows is not clear; what we find says why."""


class _CutError(_LostError):
    """The stream ends."""


@dataclass
class _Way:
    """How far a loader has read, of a stream or `inside` a package; which sections have begun, if blocks are `listed`.

    Some device's state was `unlike` that of the loader, so it may have been of another length.
    """

    data: bytes
    loader: Loader
    at: int = _HEADER
    sections: dict[int, bytes] = field(default_factory=dict)
    inside: bool = False
    listed: bool = False
    unlike: bool = False

    def take(self, size: int) -> bytes:
        """The next bytes."""
        found = self.data[self.at : self.at + size]
        if len(found) < size:
            raise _CutError
        self.at += size
        return found

    def number(self, size: int = _NUMBER) -> int:
        """The next number."""
        return int.from_bytes(self.take(size), "big")

    def name(self) -> bytes:
        """The next counted string, which ends at a zero for QEMU."""
        return self.take(self.number(1)).partition(b"\0")[0]


Met = tuple[int, str, str]


def walk(data: bytes, setup: str) -> Iterator[Met]:
    """What is met: where, by which clause, and a word where that has several; "end" with none, if it is come to."""
    way = _Way(data, loaders()[setup])
    try:
        yield from _configuration(way)
        while True:
            at, kind = way.at, way.number(1)
            if kind == _EOF:
                yield at, "", "end"
                return
            yield from _frame(way, kind)
    except _CutError:
        # A zero that ends it may have been taken for EOF where the loader expects more.
        yield len(data), "QEMU-TRUNC", ""
    except _LostError:
        return


def _configuration(way: _Way) -> Iterator[Met]:
    wanted = way.loader.machine
    there = way.data[way.at : way.at + 1] == bytes((_CONFIGURATION,))
    if there != (wanted is not None) and way.at < len(way.data):
        yield way.at, "QEMU-CFG-PRESENT", ""
        raise _LostError
    if wanted is None:
        return
    at = way.at
    way.take(1)
    name = way.take(way.number())
    if wanted[: len(name)] != name:
        yield at, "QEMU-CFG-MACHINE", ""
    had: set[bytes] = set()
    while way.data[way.at : way.at + 1] == bytes((_SUBSECTION,)):
        at = way.at
        way.take(1)
        part, _ = way.name(), way.number()
        if part == schema.CAPABILITIES:
            had = {way.name() for _ in range(way.number())}
        elif part == schema.UUID:
            if way.take(16) != _uuid():
                yield at, "QEMU-CFG-UUID", ""
        else:
            raise _LostError
    if had & {*schema.KNOWN_CAPABILITIES} != way.loader.capabilities:
        yield at, "QEMU-CFG-CAPS", ""


@cache
def _uuid() -> bytes:
    options = SETUPS["shared"].options
    return bytes.fromhex(options[options.index("-uuid") + 1].replace("-", ""))


def _frame(way: _Way, kind: int) -> Iterator[Met]:
    at = way.at - 1
    if kind in (_START, _FULL):
        number, name, instance, version = way.number(), way.name(), way.number(), way.number()
        way.sections[number] = name
        yield from _section(way, name, instance, version)
    elif kind in (_PART, _END):
        number = way.number()
        name = way.sections.get(number, b"")
        if name != _RAM:
            raise _LostError
        yield from _memory(way)
    elif kind == _COMMAND:
        yield from _command(way, at)
        return
    else:
        if not way.unlike:
            yield at, "QEMU-SEC-LENGTH", ""
        raise _LostError
    yield from _footer(way, number)


def _footer(way: _Way, number: int) -> Iterator[Met]:
    there = way.data[way.at : way.at + 1] == bytes((_FOOTER,))
    if way.loader.footers:
        if way.data[way.at : way.at + 1 + _NUMBER] != bytes((_FOOTER,)) + number.to_bytes(_NUMBER, "big"):
            # That it is missing here may be for this section's length.
            yield way.at, "QEMU-SEC-LENGTH", ""
            raise _LostError
        way.take(1 + _NUMBER)
    elif there:
        yield way.at, "QEMU-FTR-MODE", ""
        raise _LostError


def _section(way: _Way, name: bytes, instance: int, version: int) -> Iterator[Met]:
    at = way.at
    if name == _RAM and not instance:
        if version != schema.RAM_VERSION:
            yield at, "QEMU-SEC-VERSION", "newer" if version > schema.RAM_VERSION else "older"
            raise _LostError
        yield from _memory(way)
        return
    device = way.loader.devices.get((name, instance))
    if device is None:
        yield at, "QEMU-SEC-KNOWN", ""
        raise _LostError
    if version != device.version:
        yield at, "QEMU-SEC-VERSION", "newer" if version > device.version else "older"
        raise _LostError
    payload = way.take(device.length)
    if payload != device.payload:
        way.unlike = True
        yield at, "QEMU-SEC-STATE", ""


def _memory(way: _Way) -> Iterator[Met]:
    """The words of a section."""
    while True:
        at, word = way.at, way.number(8)
        flags = word & _FLAGS
        if flags & ~schema.CONTINUE == schema.COMPRESSED and not way.loader.compressed:
            yield at, "QEMU-RAM-FLAGCAP", ""
            raise _LostError
        if flags & _NAMED and not flags & schema.CONTINUE and way.name() != _RAM:
            yield at, "QEMU-RAM-LOCAL", ""
            raise _LostError
        kind = flags & ~schema.CONTINUE
        if kind == schema.EOS:
            return
        if kind == schema.TOTAL:
            yield from _blocks(way, word & ~_FLAGS)
        elif kind == schema.FLUSH:
            yield at, "QEMU-RAM-FLUSH", ""
        elif kind == schema.HOOK:
            pass
        elif kind == schema.ZERO:
            way.take(1)
        elif kind == schema.PAGE:
            way.take(schema.PAGE_SIZE)
        elif kind == schema.XBZRLE:
            way.take(1)
            way.take(way.number(2))
        elif kind == schema.COMPRESSED:
            way.take(way.number())
        else:
            raise _LostError


def _blocks(way: _Way, total: int) -> Iterator[Met]:
    while total > 0:
        at, name, length = way.at, way.name(), way.number(8)
        if name != _RAM or length != PAGES * schema.PAGE_SIZE:
            yield at, "QEMU-RAM-LOCAL", ""
            raise _LostError
        if schema.IGNORE_SHARED in way.loader.capabilities:
            way.take(_ADDRESS)
        if schema.MAPPED_RAM in way.loader.capabilities:
            raise _LostError
        total -= length
        way.listed = True


def _command(way: _Way, at: int) -> Iterator[Met]:
    command, data = way.number(2), way.take(way.number(2))
    name = _NAMES.get(command, "")
    if name == "SWITCHOVER_START":
        yield at, "QEMU-CMD-SWITCH", ""
    elif name in _OTHERWISE and _OTHERWISE[name](data, way.loader):
        if name == "POSTCOPY_ADVISE" or not way.listed:  # else it is refused for what it is
            yield at, "QEMU-CMD-DATA", ""
        raise _LostError
    elif name == "PACKAGED" and len(data) == _NUMBER:
        size = int.from_bytes(data, "big")
        if not size or way.inside:
            raise _LostError  # it is refused for what it is
        inner = _Way(way.take(size), way.loader, 0, way.sections, inside=True, listed=way.listed)
        first = way.at - size
        while inner.at < size:
            kind = inner.number(1)
            if kind == _EOF:
                return
            head = inner.data[inner.at : inner.at + 2]
            for place, clause, word in _frame(inner, kind):
                yield first + place, clause, word
            if kind == _COMMAND and head == _RUN:
                return
        raise _LostError


def _advised(data: bytes, loader: Loader) -> bool:
    """Whether post-copy is announced to a loader that will not have it, or with pages of other sizes."""
    sizes = schema.PAGE_SIZE.to_bytes(8, "big") * 2
    return len(data) in (0, len(sizes)) and data != (sizes if loader.postcopy else b"")


# What commands ask for that the loader cannot do.
_OTHERWISE: dict[str, Callable[[bytes, Loader], bool]] = {
    "POSTCOPY_ADVISE": _advised,
    "POSTCOPY_RAM_DISCARD": lambda data, _: not data.startswith(b"\0%c%s\0" % (len(_RAM), _RAM)),
    "RECV_BITMAP": lambda data, _: data[1:] != _RAM or data[:1] != bytes((len(_RAM),)),
}
_NAMES = {code: name for name, code in schema.COMMANDS.items()}
_RUN = schema.COMMANDS["POSTCOPY_RUN"].to_bytes(2, "big")
