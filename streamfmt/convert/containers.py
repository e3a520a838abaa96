"""Streams in other wrappers: xl's, libvirt's and XAPI's files, or none.

xl and libvirt keep a libxl stream, or a legacy one, after the guest's configuration, each in a form of its own.  XAPI
keeps a libxc image, and the emulator's state beside it; so a libxl stream is taken apart for it, or put together.
Contents stay as they are.
"""

from __future__ import annotations

from struct import Struct

from .. import tables
from ..errors import InexpressibleError
from ..reader.events import Body
from ..reader.identify import following
from ..reader.registry import ROWS
from .part import Conversion
from .records import fixed, header, padding
from .rules import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..io.copying import Plan
    from ..reader.events import Layer, Record, Run
    from ..reader.identify import Identity
    from ..reader.pump import Program

_LIBXL, _IMAGE = ROWS["libxl"], ROWS["libxc"]
_XAPI_HEADER = Struct("<" + tables.FORMATS["xapi.record_header"])
_EMULATOR = Struct("<" + tables.FORMATS["libxl.EMULATOR_CONTEXT"])
# What the emulators are called for those who know better than a XAPI image, which does not say.
EMULATORS = {"upstream": "QEMU_UPSTREAM", "traditional": "QEMU_TRADITIONAL"}
_QEMU_MAX: int = tables.LENGTHS["xapi.QEMU_TRAD"][4] or 0
_STATES = {tables.XAPI_QEMU_TRAD, tables.XAPI_QEMU_XEN}
# What a libxl stream has no place for.
_UNKNOWN_TO_LIBXL = {
    tables.XAPI_VARSTORED: "VARSTORE",
    tables.XAPI_SWTPM: "VTPM",
    tables.XAPI_SWTPM0: "VTPM",
}
_LATER = {tables.LIBXL_CHECKPOINT_END, tables.LIBXL_CHECKPOINT_STATE}


class Wrapper:
    """What a stream is put into.

    `configuration` is the text to put beside it, None if the file's own is to be kept where it can be, `emulator` the
    id of whose state an image of XAPI has, `time` when the guest was saved.
    """

    # The layer's name; whether an image is put into a libxl stream for it; the forms of its configuration.
    name = ""
    libxl = True
    forms: tuple[str, ...] = ()

    def __init__(self, configuration: bytes | None = None, emulator: str = "upstream", time: str = "") -> None:
        self.configuration = configuration
        self.emulator = tables.EMULATOR_IDS[EMULATORS[emulator]]
        self.time = time

    def before(self, inner: Layer) -> bytes:
        """What comes before a stream of that layer.  Raises ValueError where there is nothing that could."""
        return b""

    @property
    def after(self) -> bytes:
        """What comes after it."""
        return b""


class Bare(Wrapper):
    """Nothing."""


class Xl(Wrapper):
    """A file of xl; without a configuration it has an empty one."""

    name = "xl"
    forms = ("json", "text")

    def before(self, inner: Layer) -> bytes:
        text = self.configuration or b""
        json = text.lstrip().startswith(b"{")
        text += b"\0" * json
        flags = tables.XL_FLAGS["json"] * json | tables.XL_FLAGS["stream_v2"] * (inner.row in (_LIBXL, _IMAGE))
        data = fixed("xl.OPTIONAL_DATA", "<", config_len=len(text)) + text
        # Both flags are bits of one integer.
        values = {"mandatory_flags.json": flags, "optional_data_len": len(data)}
        return fixed("xl.header", "<", **values) + data


class Libvirt(Wrapper):
    """A file of libvirt."""

    name = "libvirt"
    forms = ("xml",)

    def before(self, inner: Layer) -> bytes:
        if not self.configuration:
            raise ValueError("a libvirt file needs the guest's XML; give it with --configuration")
        text = self.configuration + b"\0"
        current = inner.row in (_LIBXL, _IMAGE)
        version = tables.LIBVIRT_VERSION_V2 if current else tables.LIBVIRT_VERSION_LEGACY
        return fixed("libvirt.header", "<", version=version, xml_len=len(text)) + text


class Xapi(Wrapper):
    """A XAPI suspend image."""

    name = "xapi"
    libxl = False
    forms = ("sexpr",)

    def before(self, inner: Layer) -> bytes:
        text = self.configuration
        if text is None:
            text = f"((time {self.time})(word_size {tables.XENOPS_WORD_SIZES[-1]}))".encode()
        image = _XAPI_HEADER.pack(tables.XAPI_LIBXC, 0)
        return fixed("xapi.header", "<") + _XAPI_HEADER.pack(tables.XAPI_XENOPS, len(text)) + text + image

    @property
    def after(self) -> bytes:
        return _XAPI_HEADER.pack(tables.XAPI_END_OF_IMAGE, 0)


WRAPPERS: dict[str, type[Wrapper]] = {kind.name or "bare": kind for kind in (Xl, Libvirt, Xapi, Bare)}


class Rewrapping(Conversion):
    """Puts the stream that it hears of into `wrapper`.

    Raises InexpressibleError where that cannot be, and, if it is `hasty`, as soon as something would be lost.
    """

    def __init__(self, plan: Plan, wrapper: Wrapper, hasty: bool = False) -> None:
        super().__init__(plan)
        plan.turn(0, False)
        self._hasty = hasty
        self._wrapper = wrapper
        # What is copied whole: the container itself, or the stream in it.
        self._whole: Layer | None = None
        self._image: Layer | None = None
        self._state: bytes | None = None
        self._unpacking = False

    # -- events -------------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if self._whole is not None or path != f"{layer.name}.{layer.row.headers[0]}":
            return
        if layer.wraps:
            if layer.name == self._wrapper.name and self._wrapper.configuration is None:
                self._begin(layer, at)
            elif not layer.row.configuration:
                self._note("HANDSHAKE", at)
        elif layer.row.image and layer.row is _IMAGE:
            self._begin_image(layer, at)
        elif layer.row is _LIBXL and not self._wrapper.libxl:
            self._unpacking = True
            if raw[-1] & tables.LIBXL_OPTIONS["legacy"]:
                self._note("LEGACY-BIT", at)
        elif not self._wrapper.libxl:
            raise self._refusal(at, f"a {layer.name} stream cannot be put into a XAPI image; convert it first")
        else:
            self._put(at, self._before(layer, at))
            self._begin(layer, at)

    def record(self, record: Record) -> Program | None:
        layer = record.layer
        if self._whole is not None or layer is self._image:
            return None
        if layer.wraps and record.path == layer.row.configuration:
            if record.length > tables.SIZES[record.path]:
                given = self._wrapper.configuration is not None
                self._note("CONFIGURATION-GIVEN" if given else "CONFIGURATION", record.body)
        elif layer.row is _LIBXL:
            return self._of_libxl(record)
        elif layer.header_size and layer.wraps and self._wrapper.libxl:
            return self._of_xapi(record)
        elif layer.header_size and layer.wraps:
            self._of_xapi_kept(record)
        return None

    def pages(self, run: Run) -> None:
        pass

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        pass

    def checkpoint(self, layer: Layer, at: int) -> None:
        if layer is self._image:
            raise self._refusal(at, "a checkpointed stream cannot be put into this container, or taken out of it")

    def ended(self, layer: Layer, at: int) -> None:
        if layer is self._image:
            self._end_image(layer, at)
        elif self._whole is not None and self._ends(layer):
            self.plan.turn(at, False)
        elif layer.row is _LIBXL and self._unpacking:
            self._put(at, self._wrapper.after)

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        pass

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        known, _ = following(head, count, zero)
        self._note("AFTER-END" if known else "AFTER-END-UNKNOWN", at)

    # -- what is copied whole -------------------------------------------------------------------------------------

    def _begin(self, layer: Layer, at: int) -> None:
        self._whole = layer
        self.plan.turn(at, True)

    def _ends(self, layer: Layer) -> bool:
        """Whether the end of `layer` is that of what is copied whole."""
        whole = self._whole
        return layer is whole or (whole is not None and not whole.row.end and layer.parent is whole)

    def _before(self, layer: Layer, at: int) -> bytes:
        if self._wrapper.name:
            self.report.add("WRAPPER", at, f"now {self._wrapper.name}")
        try:
            return self._wrapper.before(layer)
        except ValueError as error:
            raise self._refusal(at, str(error)) from None

    def _refusal(self, at: int, why: str) -> InexpressibleError:
        """What is raised where the stream cannot be put into the wrapper."""
        self.refused = f"at {at}: {why}"
        return InexpressibleError(at, why)

    def _note(self, rule: str, at: int) -> None:
        """Something changes, or has no place in the wrapper."""
        self.report.add(rule, at)
        if self._hasty and self.report.lost:
            raise self._refusal(at, f"{RULES[rule].what} would be lost; --allow-loss converts it all the same")

    def _put(self, at: int, data: bytes) -> None:
        self.plan.put(at, data)

    # -- an image, in a libxl stream and not ----------------------------------------------------------------------

    def _begin_image(self, layer: Layer, at: int) -> None:
        """An image that is not in a libxl stream which stays as it is."""
        if self._image is not None:
            raise self._refusal(at, "there are two images in it")
        self._image = layer
        if layer.parent is None and not self._wrapper.name:
            self._image = None
            self._begin(layer, at)  # it has no wrapper, and gets none
            return
        self._put(at, self._before(layer, at))
        if not self._wrapper.libxl and self._wrapper.configuration is None:
            self._note("XENOPS", at)
        if self._wrapper.libxl:
            self._note("LIBXL", at)
            version = {"version": _version(_LIBXL.name)}
            self._put(at, fixed("libxl.header", ">", **version) + header(tables.LIBXL_LIBXC_CONTEXT, 0))
        self.plan.turn(at, True)

    def _end_image(self, layer: Layer, at: int) -> None:
        self.plan.turn(at, False)
        if self._state is not None:
            self._put(
                at, self._context(at, len(self._state)) + self._state + padding(_EMULATOR.size + len(self._state))
            )
            self._state = b""
        if layer.parent is None or not (layer.parent.header_size):
            self._put(at, header(tables.LIBXL_END, 0) if self._wrapper.libxl else self._wrapper.after)

    def _context(self, at: int, length: int) -> bytes:
        """How an emulator's state begins in a libxl stream; in the input it lies at `at`."""
        self._note("EMULATOR", at)
        return header(tables.LIBXL_EMULATOR_CONTEXT, _EMULATOR.size + length) + _EMULATOR.pack(
            self._wrapper.emulator, 0
        )

    def _of_libxl(self, record: Record) -> Program | None:
        """A record of a libxl stream that is taken apart."""
        if record.type in _LATER:
            raise self._refusal(record.offset, "a checkpointed stream cannot be put into a XAPI image")
        if record.type == tables.LIBXL_EMULATOR_XENSTORE_DATA and record.length > tables.SIZES[record.path]:
            self._note("XENSTORE", record.offset)
        if record.type == tables.LIBXL_EMULATOR_CONTEXT:
            return self._take_state(record)
        return None

    def _take_state(self, record: Record) -> Program:
        body = Body(self.window, record)
        raw = yield from body.take(_EMULATOR.size)
        length = record.length - _EMULATOR.size
        if len(raw) < _EMULATOR.size:
            return
        if length > _QEMU_MAX:
            text = f"the emulator's state has {length:,} bytes, and a XAPI image takes {_QEMU_MAX:,} (XAPI-QEMU-MAX)"
            raise self._refusal(record.offset, text)
        emulator, _ = _EMULATOR.unpack(raw)
        if emulator != self._wrapper.emulator:
            self._note("EMULATOR-ID", record.body)
        self._put(record.body, _XAPI_HEADER.pack(tables.XAPI_QEMU_TRAD, length))
        self.plan.copy(record.body + _EMULATOR.size, record.end)

    def _of_xapi(self, record: Record) -> Program | None:
        """A record of a XAPI image that is put into a libxl stream."""
        if record.type in _STATES:
            if self._image is None:
                return self._keep_state(record)
            self._put(record.body, self._context(record.body, record.length))
            self.plan.copy(record.body, record.end)
            self._put(record.end, padding(_EMULATOR.size + record.length))
        elif record.type in _UNKNOWN_TO_LIBXL:
            self._note(_UNKNOWN_TO_LIBXL[record.type], record.offset)
        elif record.name == record.layer.row.end:
            self._put(record.body, header(tables.LIBXL_END, 0))
        elif record.type not in record.layer.row.opens:
            raise self._refusal(record.offset, f"{record.name} has no place in a libxl stream")
        return None

    def _of_xapi_kept(self, record: Record) -> None:
        """A record of a XAPI image that stays one, but for its configuration."""
        if record.name == record.layer.row.end:
            self._put(record.body, self._wrapper.after)
        elif record.type not in record.layer.row.opens:
            self.plan.copy(record.offset, record.end)

    def _keep_state(self, record: Record) -> Program:
        """The emulator's state before the image, which comes after it in a libxl stream."""
        if record.length > _QEMU_MAX:
            raise self._refusal(record.offset, f"the emulator's state has {record.length:,} bytes (XAPI-QEMU-MAX)")
        body, found = Body(self.window, record), bytearray()
        while piece := (yield from body.piece()):
            found += piece
        self._state = bytes(found)


def _version(layer: str) -> int:
    """The only version of a layer's streams."""
    row = ROWS[layer]
    rules = tables.RULES[f"{layer}.{row.headers[0]}"]
    return int(next(allowed[0] for _, name, *_, allowed in rules if name == row.version))
