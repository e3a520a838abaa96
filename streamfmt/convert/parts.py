"""The parts that can be taken out of a file: what they are called, and where in it they lie.

A part is the body of a record that is of use by itself, such as the guest's configuration; a whole stream inside a
container; or the body of any record, by its path.
"""

from __future__ import annotations

from _struct import unpack

from .. import tables
from ..reader.events import Body, describe
from ..reader.qemu_inside import lies_in, taken
from ..reader.reader import Reader
from ..reader.registry import FORMS, ROWS
from ..reader.stops import Stops
from . import sections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

    from ..reader.events import Layer, Record, Run
    from ..reader.pump import Program
    from .sections import Payload

# What is done to a part's bytes unless they are wanted as they lie: nothing; a NUL at the end is left out; base64 is
# decoded; strings in pairs become lines.
BYTES, SOURCE, BASE64, PAIRS = "bytes", "source", "base64", "pairs"
CONFIGURATION = "configuration"
# Stands for all sections' payloads, which are called as their devices are.
SECTIONS = sections.PREFIX
# Records of legacy streams that have the device model's state after their signature and its length.
_LEGACY_STATES = ("QEMU_0002", "QEMU_REMUS", "QEMU_XAPI")
# Names of parts, and what they are, by the records that have them; a guest's configuration is in those that the layers'
# rows name.
NAMED: dict[str, tuple[str, str]] = {
    **{row.configuration: (CONFIGURATION, SOURCE) for row in ROWS.values() if row.configuration},
    "libxl.EMULATOR_XENSTORE_DATA": ("xenstore", PAIRS),
    "libxl.EMULATOR_CONTEXT": ("emulator", BYTES),
    "xapi.QEMU_TRAD": ("emulator", BYTES),
    "xapi.QEMU_XEN": ("emulator", BYTES),
    "xapi.VARSTORED": ("varstore", BYTES),
    "xapi.SWTPM0": ("vtpm", BYTES),
    "xapi.SWTPM": ("vtpm", BASE64),
    "qemu.CONFIGURATION": ("machine", SOURCE),
    "qemu.VMDESCRIPTION": ("vmdesc", SOURCE),
    **{
        f"{layer}.{name}": ("emulator", BYTES)
        for layer, names in tables.RECORDS.items()
        for name in names.values()
        if name in _LEGACY_STATES
    },
}
# Other words for them.
ALIASES = {
    "config": CONFIGURATION,
    "xml": CONFIGURATION,
    "xenops": CONFIGURATION,
    "qemu": "emulator",
    "nvram": "varstore",
    "tpm": "vtpm",
}
NAMES = tuple(dict.fromkeys(name for name, _ in NAMED.values()))
PATHS = frozenset(f"{layer}.{name}" for layer, names in tables.RECORDS.items() for name in names.values())
KNOWN = frozenset((*NAMES, *ALIASES, *FORMS, *PATHS))
_DIGITS = 9


class Wanted:
    """What somebody asks for: the part `name`, and which of them, if that is said, counted from 0."""

    __slots__ = ("name", "number")

    def __init__(self, text: str) -> None:
        """Read "name" or "name[number]".  Raises ValueError."""
        name, bracket, number = text.partition("[")
        number = number.removesuffix("]")
        self.name = ALIASES.get(name, name)
        self.number = int(number) if number.isdecimal() and len(number) <= _DIGITS else None
        if self.name not in KNOWN and not self.name.startswith(SECTIONS):
            raise ValueError(name)
        if (bracket and text != f"{name}[{number}]") or (bracket and self.number is None):
            raise ValueError(text)

    @property
    def names(self) -> Collection[str]:
        """What to look for: this name, and those of all parts, to say what there is instead.

        Sections are looked for where one is wanted.
        """
        more = (SECTIONS,) if self.name.startswith(SECTIONS) else ()
        return frozenset((*NAMES, *FORMS, *more, self.name))


class Part:
    """One part: the `number`-th of its name, in a layer of path `layer`.

    `record` and `index` are those of its record, "" and None of a whole stream.  `offset` is where it begins; its
    `length` bytes lie in so many `pieces`, more than one if other records come between.  `form` is what is done to its
    bytes, `note` what they are; `whole` is False if the input ends inside it.
    """

    __slots__ = ("form", "index", "layer", "length", "name", "note", "number", "offset", "pieces", "record", "whole")

    def __init__(self, name: str, number: int, layer: str, form: str, offset: int, length: int = 0) -> None:
        self.name = name
        self.number = number
        self.layer = layer
        self.record = ""
        self.index: int | None = None
        self.offset = offset
        self.length = length
        self.pieces = 1
        self.form = form
        self.note = ""
        self.whole = False

    def as_dict(self) -> dict[str, Any]:
        """The part as plain values, as in spec/json/extract.json."""
        return {name: getattr(self, name) for name in self.__slots__}


class Enough(Exception):  # noqa: N818 - it is no error
    """All that is wanted has been read."""


class Parts(Stops):
    """Hears of a stream and finds its parts of these `names`; its driver runs it like a pump.

    What it finds a subclass is given: :meth:`begun`, then :meth:`read` for the body of a record, or :meth:`stretch` for
    each piece of a stream, then :meth:`complete`.
    """

    def __init__(self, names: Collection[str], form: str = "auto", guest: str | None = None) -> None:
        self.reader = Reader(self, form, guest=guest)
        self.layers: list[Layer] = []
        self.every_page = any(name.endswith(_PAGES) for name in names)
        # What each record is the body of, of what is looked for.
        self._records = {path: [NAMED[path]] for path in NAMED if NAMED[path][0] in names}
        for path in PATHS.intersection(names):
            self._records.setdefault(path, []).append((path, BYTES))
        self._names = names
        self._counts: dict[str, int] = {}
        # The parts that are streams and not at their end; those that what is read lies in; the innermost layer of it.
        self._open: dict[Layer, Part] = {}
        self._inside: dict[Layer, Part] = {}
        self._last: Layer | None = None
        # A state that goes as far as the input does, and is read piece by piece; it as it may be looked into.
        self._tail: Part | None = None
        self._state, self._began = bytearray(), 0
        # The section whose payload may go on, and whether sections are looked for.
        self._section: Part | None = None
        self._deep = SECTIONS in names

    # -- for the driver ---------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run the reader until it wants bytes (see Pump.run); 0 when all has been read, or enough."""
        try:
            return self.reader.pump.run()
        except Enough:
            return 0

    def skip(self, count: int) -> None:
        """See Pump.skip."""
        self.reader.pump.skip(count)

    def end(self) -> None:
        """The input has been read, or enough of it."""
        self._enter(None, self.window.position)
        self.finish(self.reader.identity)

    @property
    def description(self) -> str:
        """What the stream is, in a line."""
        identity = self.reader.identity
        return describe(self.layers) or (identity.name if identity else "")

    # -- for a subclass ---------------------------------------------------------------------------------------

    def begun(self, part: Part, layer: Layer) -> bool:
        """A part begins.  Returns whether its bytes are wanted."""
        return True

    def read(self, part: Part, record: Record, start: int, stop: int) -> Program | None:
        """Program that reads the bytes from `start` to `stop` of a record's body, which are the part."""
        return None

    def stretch(self, part: Part, at: int, on: bool) -> None:
        """A piece of a part that is a stream begins at `at`, or ends there."""

    def held(self, part: Part, data: bytes) -> None:
        """All of the part has been read with what it lies in: it is these bytes."""

    def complete(self, part: Part) -> None:
        """All of the part has been read."""

    # -- events -----------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if path == f"{layer.name}.{layer.row.headers[0]}":
            if len(self.layers) < _LAYERS:
                self.layers.append(layer)
            if layer.name in self._names and (layer.parent is not None or not layer.wraps):
                part = Part(layer.name, self._number(layer.name), layer.path, BYTES, at)
                if self.begun(part, layer):
                    self._open[layer] = part
        self._enter(layer, at)

    def record(self, record: Record) -> Program | None:
        self._enter(record.layer, record.offset)
        program = None
        if self._deep:
            self._frame(record)
            if lies_in(record):
                program = self._looking(Body(self.window, record))
        for name, form in self._records.get(record.path, ()):
            part = Part(name, self._number(name), record.layer.path, form, record.body, record.length)
            part.record, part.index = record.name, record.index
            if self.begun(part, record.layer):
                program = self._body(part, record, program)
        if record.name == _TAIL and _EMULATOR in self._names:
            part = Part(_EMULATOR, self._number(_EMULATOR), record.layer.path, BYTES, record.end)
            part.record, part.index = record.name, record.index
            self._tail = part if self.begun(part, record.layer) else None
        elif record.name == _TAIL_PIECE and self._tail is not None:
            self._tail.length += record.length
            self.stretch(self._tail, record.body, True)
            self.stretch(self._tail, record.end, False)
        return program

    def pages(self, run: Run) -> None:
        self._enter(run.layer, run.offset)

    def unread(self, layer: Layer) -> bool:
        return True

    def passed(self, last: Record, at: int, count: int) -> None:
        self._enter(last.layer, at)

    def ended(self, layer: Layer, at: int) -> None:
        inner: Layer | None = layer
        self._finished()
        self._look(layer, self._began, bytes(self._state))
        if self._tail is not None:
            self._tail.whole = True
            self.complete(self._tail)
            self._tail = None
        while inner is not None:
            self._enter(inner.parent, at)
            part = self._open.pop(inner, None)
            if part is not None:
                part.whole = True
                self.complete(part)
            inner = inner.parent
            if inner is None or inner.row.trailing or inner.row.end:
                break  # more of that may come

    def _number(self, name: str) -> int:
        number = self._counts.get(name, 0)
        self._counts[name] = number + 1
        return number

    def _body(self, part: Part, record: Record, inside: Program | None) -> Program:
        """Program that reads a part that is a record's body, without fields that stand before it.

        It may be looked into by the program `inside`.
        """
        fixed = tables.SIZES[record.path] if part.name in NAMES else 0
        window = self.window
        if fixed > record.length or (fixed and not (yield fixed)):
            return
        start, stop = record.body + fixed, record.end
        if fixed and record.path == record.layer.row.configuration:
            # Of the fields before a configuration the first is its length.
            length, *_ = unpack(record.layer.order + tables.FORMATS[record.path], window.head(fixed))
            stop = min(stop, start + length)
        part.offset, part.length = start, stop - start
        program = self.read(part, record, start, stop) or inside
        if program is not None:
            yield from program
        left = stop - window.position
        if not left or (yield -left) == left:
            part.whole = True
            self.complete(part)

    # -- sections ---------------------------------------------------------------------------------------------

    def _frame(self, record: Record) -> None:
        """A frame of a section: a part begins, or goes on."""
        if self._section is not None and sections.goes_on(record):
            self._section.length += record.length
            self._stretched(self._section, record.body, record.end)
            return
        self._finished()
        payload = sections.payload_of(record)
        part = self._payload(payload) if payload is not None else None
        if part is not None:
            self._section = part
            self._stretched(part, part.offset, record.end)

    def _payload(self, payload: Payload) -> Part | None:
        """The part that a payload is, if it is wanted."""
        name, record = payload.name, payload.record
        part = Part(name, self._number(name), record.layer.path, BYTES, payload.start, payload.stop - payload.start)
        part.record, part.index, part.note = record.name, record.index, payload.note
        return part if self.begun(part, record.layer) else None

    def _stretched(self, part: Part, start: int, stop: int) -> None:
        self.stretch(part, start, True)
        self.stretch(part, stop, False)

    def _finished(self) -> None:
        """A section has no more."""
        part, self._section = self._section, None
        if part is not None:
            part.whole = True
            self.complete(part)

    def _looking(self, body: Body) -> Program:
        """Program that looks for sections of the device record that lies in a body, or of which that has a piece."""
        record = body.record
        yield from body.skip(min(tables.SIZES[record.path], body.left))
        at, raw = body.at, (yield from taken(body, min(body.left, sections.MOST - len(self._state))))
        if record.path in tables.QEMU_PIECES:
            self._began = at if not self._state else self._began
            self._state += raw
        else:
            self._look(record.layer, at, raw)

    def _look(self, layer: Layer, at: int, raw: bytes) -> None:
        """Find the sections in a device record."""
        for payload, data in sections.inside(layer, at, raw):
            part = self._payload(payload)
            if part is not None:
                self.held(part, data)
                part.whole = True
                self.complete(part)

    def _enter(self, layer: Layer | None, at: int) -> None:
        """From `at` on what is read belongs to `layer`, or to none."""
        if layer is self._last:
            return
        self._last = layer
        around = set()
        while layer is not None:
            around.add(layer)
            layer = layer.parent
        for other in [one for one in self._inside if one not in around]:
            part = self._inside.pop(other)
            part.length += at
            self.stretch(part, at, False)
        for other in around - self._inside.keys():
            new = self._open.get(other)
            if new is not None:
                self._inside[other] = new
                new.pieces += new.length != 0
                new.length -= at
                self.stretch(new, at, True)


# Layers that are kept for a description.
_LAYERS = 64
# The emulator's state at the end of an old legacy stream: what says that it follows, and pieces of it.
_EMULATOR, _TAIL, _TAIL_PIECE = "emulator", "QEMU_TO_END", "QEMU_STATE"
# Records that a reader may hand over many at a time.
_PAGES = (".PAGE_DATA", ".PAGE_BATCH")
