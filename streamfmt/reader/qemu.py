"""QEMU's migration stream, and its record of devices: frames, of which none says how long it is.

Sections of the memory are words (``qemu_ram``); of all others the end is looked for (``qemu_ends``).
"""

from __future__ import annotations

from .. import tables
from . import framing, qemu_ram
from .events import Headless, Record
from .fields import number
from .framing import END, STOP
from .identify import Identity
from .qemu_ends import EXACT, FAR, FOOTER, HEAD, NEAR, find
from .qemu_sizes import AFTER_NAME, NAME_MAX, NUMBER, TYPE, field, size_of
from .qemu_state import PAGE_MOST, Section, State
from .registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .events import Layer, Sink
    from .framing import Ending
    from .pump import Window
    from .qemu_variant import Survey
    from .qemu_vfio import Marks

_COMMAND = TYPE + size_of("COMMAND", 0)
# Sections that are sent in parts, of a stream without footers, are looked for one by one.
_LIVE_MAX = 256


def program(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a whole stream, or a record of devices."""
    w = window
    state = layer.facts = State()
    if (yield from framing.opening(w, sink, layer, "the header", _version)) is None:
        return STOP, layer
    while True:
        if w.hi - w.lo < 1 and not (yield 1):
            framing.cut(w, sink, layer, 1, "the stream, before its end")
            return STOP, layer
        kind = w.buf[w.lo]
        if 0 <= state.package <= w.position:
            state.beyond = w.position - state.package
            state.open = state.command != tables.QEMU_POSTCOPY_RUN or state.beyond > 0
            state.package = -1
        if kind == tables.QEMU_EOF:
            inner = state.package >= 0
            if inner:
                state.beyond = w.position + 1 - state.package
            yield from _frame(w, sink, layer, kind, 0)
            state.package = -1
            if not inner:
                sink.ended(layer, w.position)
                whole = exact or (yield from _description(w, sink, layer))
                return END if whole else STOP, layer
            continue
        read = _FRAMES.get(kind)
        if read is None or not _may_come(state, layer, kind):
            state.stray = True
            yield from _frame(w, sink, layer, kind, 0)
            sink.unsound(layer, w.position - 1, "frame")
            return STOP, layer
        if not (yield from read(w, sink, layer, state, kind, exact)):
            return STOP, layer


def _version(layer: Layer, raw: bytes) -> None:
    layer.version = number(f"{layer.name}.header", "version", raw, ">")


def _may_come(state: State, layer: Layer, kind: int) -> bool:
    """Whether a frame of that kind is one where it comes: a footer is only after a section."""
    return kind != tables.QEMU_SECTION_FOOTER or state.owed is not None


def _frame(window: Window, sink: Sink, layer: Layer, kind: int, length: int) -> Generator[int, int, bool]:
    """Program that hands over a frame, of whose body there are so many bytes."""
    record = Record(layer, kind, window.position, length)
    layer.index += 1
    window.lo += layer.header_size
    done = yield from framing.body(window, sink, record)
    facts = layer.facts
    facts.owed = None  # it was, or has been missed
    facts.beyond = facts.command = 0
    facts.open = False
    return done


def _there(window: Window, sink: Sink, layer: Layer, size: int, what: str) -> Generator[int, int, bool]:
    """Whether so many bytes of a frame are there; it is reported if not."""
    if window.hi - window.lo >= size or (yield size):
        return True
    framing.cut(window, sink, layer, size, what)
    return False


# -- the configuration ------------------------------------------------------------------------------------------------


def _configuration(
    window: Window, sink: Sink, layer: Layer, state: State, kind: int, exact: bool
) -> Generator[int, int, bool]:
    """Program of the configuration and its subsections."""
    w = window
    size = TYPE + size_of("CONFIGURATION", 0)
    if not (yield from _there(w, sink, layer, size, "the configuration")):
        return False
    length = field("CONFIGURATION", "length", w.buf, w.lo + TYPE)
    if length <= NAME_MAX:
        yield size + length
        state.machine = w.head(size + length)[size:]
    if not (yield from _frame(w, sink, layer, kind, size_of("CONFIGURATION", length))):
        return False
    while w.hi > w.lo or (yield 1):
        if w.buf[w.lo] != tables.QEMU_SUBSECTION:
            break
        if not (yield from _subsection(w, sink, layer, state)):
            return False
    return True


def _subsection(window: Window, sink: Sink, layer: Layer, state: State) -> Generator[int, int, bool]:
    """Program of a part of the configuration.  Returns whether it is one that is known, and whole."""
    w, what = window, "the configuration"
    first = TYPE + tables.SIZES["qemu.SUBSECTION"]
    if not (yield from _there(w, sink, layer, first, what)):
        return False
    named = field("SUBSECTION", "name_length", w.buf, w.lo + TYPE)
    size = TYPE + size_of("SUBSECTION", named, 0)
    if not (yield from _there(w, sink, layer, size, what)):
        return False
    name = bytes(w.buf[w.lo + first : w.lo + first + named])
    if name not in tables.QEMU_CONFIGURATIONS:
        yield from _frame(w, sink, layer, tables.QEMU_SUBSECTION, size - TYPE)
        sink.unsound(layer, w.position - size, "part of the configuration")
        return False
    length = tables.QEMU_CONFIGURATIONS[name]
    if length is None:
        length, state.capabilities = yield from _capabilities(w, size)
    elif name == tables.QEMU_BITS and (yield size + length):
        bits = int.from_bytes(w.buf[w.lo + size : w.lo + size + length], "big")
        state.page = min(1 << min(bits, 64), PAGE_MOST)
    return (yield from _frame(w, sink, layer, tables.QEMU_SUBSECTION, size_of("SUBSECTION", named, length)))


def _capabilities(window: Window, size: int) -> Generator[int, int, tuple[int, tuple[bytes, ...]]]:
    """Program of the list of capabilities `size` bytes on: how long it is, and they; consumes nothing."""
    w = window
    end = size + NUMBER
    if not (yield end):
        return NUMBER, ()
    count = int.from_bytes(w.buf[w.lo + size : w.lo + end], "big")
    names = []
    for _ in range(min(count, NAME_MAX)):
        if not (yield end + 1) or not (yield end + 1 + w.buf[w.lo + end]):
            return end + 1 - size, ()
        start = end + 1
        end = start + w.buf[w.lo + end]
        names.append(bytes(w.buf[w.lo + start : w.lo + end]))
    return end - size, tuple(names)


# -- commands ---------------------------------------------------------------------------------------------------------


def _command(
    window: Window, sink: Sink, layer: Layer, state: State, kind: int, exact: bool
) -> Generator[int, int, bool]:
    """Program of a command."""
    w = window
    if not (yield from _there(w, sink, layer, _COMMAND, "a command")):
        return False
    command, length = (field("COMMAND", name, w.buf, w.lo + TYPE) for name in ("command", "length"))
    _survey(state).command(command)
    state.advised = state.advised or (command == tables.QEMU_POSTCOPY_ADVISE and length > 0)
    more = 0
    counted = command == tables.QEMU_PACKAGED and length in tables.QEMU_COMMAND_LENGTHS[command]
    if counted and (yield _COMMAND + length):
        more = int.from_bytes(w.buf[w.lo + _COMMAND : w.lo + _COMMAND + length], "big")
    if not (yield from _frame(w, sink, layer, kind, size_of("COMMAND", length))):
        return False
    state.command = command
    if more and state.package < 0:
        state.package = w.position + more
    return True


# -- sections ---------------------------------------------------------------------------------------------------------


def _section(
    window: Window, sink: Sink, layer: Layer, state: State, kind: int, exact: bool
) -> Generator[int, int, bool]:
    """Program of a section that begins, or is sent at once."""
    w, what = window, "a section's header"
    if not (yield from _there(w, sink, layer, HEAD, what)):
        return False
    path = tables.RECORDS[layer.name][kind]
    size = TYPE + size_of(path, field(path, "idstr_length", w.buf, w.lo + TYPE), 0)
    if not (yield from _there(w, sink, layer, size, what)):
        return False
    head = w.head(size)
    ident, name = field(path, "section_id", head, TYPE), head[HEAD:-AFTER_NAME]
    instance, version = (int.from_bytes(raw, "big") for raw in (head[-AFTER_NAME:-NUMBER], head[-NUMBER:]))
    section = state.section = Section(ident, name, instance, version)
    live = kind == tables.QEMU_SECTION_START
    if len(state.ids) < tables.QEMU_SECTIONS_MAX:
        state.ids.add(ident)
    if live and (len(state.live) < _LIVE_MAX or ident in state.live):
        state.live[ident] = section
    if live and name == tables.QEMU_RAM_NAME:
        return (yield from _memory(w, sink, layer, state, kind, size))
    return (yield from _payload(w, sink, layer, state, kind, size, exact))


def _part(window: Window, sink: Sink, layer: Layer, state: State, kind: int, exact: bool) -> Generator[int, int, bool]:
    """Program of more of a section, or the last of it."""
    w = window
    path = tables.RECORDS[layer.name][kind]
    size = TYPE + size_of(path, 0)
    if not (yield from _there(w, sink, layer, size, "a section's header")):
        return False
    ident = field(path, "section_id", w.buf, w.lo + TYPE)
    section = state.section = state.live.get(ident) or Section(ident)
    if section.name == tables.QEMU_RAM_NAME:
        return (yield from _memory(w, sink, layer, state, kind, size))
    return (yield from _payload(w, sink, layer, state, kind, size, exact))


def _memory(window: Window, sink: Sink, layer: Layer, state: State, kind: int, size: int) -> Generator[int, int, bool]:
    """Program of a section of the memory, after a header of so many bytes."""
    w = window
    if not (yield from _frame(w, sink, layer, kind, size - TYPE)):
        return False
    section = state.section
    if section is None or section.version != tables.QEMU_RAM_VERSION:
        sink.unsound(layer, w.position, "section of the memory")
        return False
    if state.page != tables.QEMU_PAGE_SIZE:
        sink.inner(layer, w.position, _pages_of(state.page), False)
        return False
    if not (yield from qemu_ram.section(w, sink, layer, state)):
        return False
    if state.footers is None and (w.hi > w.lo or (yield 1)):
        state.footers = w.buf[w.lo] == tables.QEMU_SECTION_FOOTER
    _ends(state, kind)
    return True


def _pages_of(size: int) -> Identity:
    """Memory that is not read: no guest of x86 has such pages."""
    most = "at least " if size >= PAGE_MOST else ""
    found = Identity("", "payload", f"memory in pages of {most}{size:,} bytes", f"by {tables.QEMU_BITS.decode()}")
    found.hint = f"only pages of {tables.QEMU_PAGE_SIZE:,} bytes are read, as x86 and most others have"
    return found


def _payload(
    window: Window, sink: Sink, layer: Layer, state: State, kind: int, size: int, exact: bool
) -> Generator[int, int, bool]:
    """Program of any other section, after a header of so many bytes: a piece of its payload with that, then others."""
    w = window
    near = NEAR if sink.answering else EXACT if exact else FAR
    seek = _seeking(state, kind)
    count, more = yield from seek(w, state, size, near)
    length = count
    if not (yield from _frame(w, sink, layer, kind, size - TYPE + count)):
        return False
    while more:
        count, more = yield from seek(w, state, 0, near)
        length += count
        if count:
            record = Headless(layer, tables.QEMU_SECTION_DATA, w.position, size_of("SECTION_DATA", count))
            layer.index += 1
            if not (yield from framing.body(w, sink, record)):
                return False
    if kind == tables.QEMU_SECTION_FULL and state.section is not None:
        name = state.section.name or b""
        if name.rpartition(b"/")[2] in tables.QEMU_SHOWING:
            _survey(state).see(name, state.section.version, length)
    if state.footers is None and (w.hi > w.lo or (yield 1)):
        state.footers = w.buf[w.lo] == tables.QEMU_SECTION_FOOTER
    _ends(state, kind)
    return True


def _seeking(state: State, kind: int) -> Callable[[Window, State, int, int], Generator[int, int, tuple[int, bool]]]:
    """What finds the end of the payload of the present section, which a frame of that type has."""
    section = state.section
    if section is None or not section.name or not section.name.endswith(tables.VFIO_SECTION):
        return find
    vfio = load("reader.qemu_vfio:is_vfio")  # few guests have such devices
    if not vfio(section):
        return find
    if state.marks is None:
        state.marks = load("reader.qemu_vfio:Marks")()
    marks: Marks = state.marks
    marks.begin(kind, section)
    return marks.find


def _survey(state: State) -> Survey:
    """What sections and commands show of what wrote them."""
    if state.survey is None:
        found: Survey = load("reader.qemu_variant:Survey")()  # of many streams no device is read
        state.survey = found
    return state.survey


def _ends(state: State, kind: int) -> None:
    """The section has come as far as that frame has it: a footer is owed, if there are any."""
    section = state.section
    if section is not None:
        section.ended = section.ended or kind == tables.QEMU_SECTION_END
    state.owed = section if state.footers else None


def _footer(
    window: Window, sink: Sink, layer: Layer, state: State, kind: int, exact: bool
) -> Generator[int, int, bool]:
    """Program of what ends a section."""
    if not (yield from _there(window, sink, layer, FOOTER, "a section's footer")):
        return False
    return (yield from _frame(window, sink, layer, kind, NUMBER))


def _description(window: Window, sink: Sink, layer: Layer) -> Generator[int, int, bool]:
    """Program of the description after the end, if there is one."""
    w = window
    if (w.hi == w.lo and not (yield 1)) or w.buf[w.lo] != tables.QEMU_VMDESCRIPTION:
        return True
    if not (yield from _there(w, sink, layer, TYPE + size_of("VMDESCRIPTION", 0), "the description")):
        return False
    length = size_of("VMDESCRIPTION", field("VMDESCRIPTION", "length", w.buf, w.lo + TYPE))
    return (yield from _frame(w, sink, layer, tables.QEMU_VMDESCRIPTION, length))


_FRAMES: dict[int, Callable[..., Generator[int, int, bool]]] = {
    tables.QEMU_SECTION_START: _section,
    tables.QEMU_SECTION_FULL: _section,
    tables.QEMU_SECTION_PART: _part,
    tables.QEMU_SECTION_END: _part,
    tables.QEMU_CONFIGURATION: _configuration,
    tables.QEMU_COMMAND: _command,
    tables.QEMU_SECTION_FOOTER: _footer,
}
