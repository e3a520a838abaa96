"""Streams in other wrappers: xl's, libvirt's and XAPI's files, or none.

xl and libvirt keep a libxl stream, or a legacy one, after the guest's configuration, each in a form of its own.  XAPI
keeps a libxc image, and the emulator's state beside it; so a libxl stream is taken apart for it, or put together.
Contents stay as they are.
"""

from __future__ import annotations

from struct import Struct

from .. import tables
from ..reader.events import Body
from ..reader.identify import following
from .part import Conversion
from .records import fixed, header, padding
from .wrappers import IMAGE, LIBXL, XAPI_HEADER, XAPI_QEMU_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..io.copying import Plan
    from ..reader.events import Layer, Record, Run
    from ..reader.identify import Identity
    from ..reader.pump import Program
    from .part import Options
    from .wrappers import Wrapper

_EMULATOR = Struct("<" + tables.FORMATS["libxl.EMULATOR_CONTEXT"])
_STATES = {tables.XAPI_QEMU_TRAD, tables.XAPI_QEMU_XEN}
# What a libxl stream has no place for.
_UNKNOWN_TO_LIBXL = {tables.XAPI_VARSTORED: "VARSTORE", tables.XAPI_SWTPM: "VTPM", tables.XAPI_SWTPM0: "VTPM"}
_LATER = {tables.LIBXL_CHECKPOINT_END, tables.LIBXL_CHECKPOINT_STATE}


class Rewrapping(Conversion):
    """Puts the stream that it hears of into `wrapper`.

    What is said of parts that cannot be there is reported as unfit, and makes no difference: there is no output then.
    """

    def __init__(self, options: Options, plan: Plan, wrapper: Wrapper, surveying: bool = False) -> None:
        super().__init__(options, plan, surveying=surveying)
        plan.turn(0, False)
        self._wrapper = wrapper
        # What is copied whole: the container itself, or the stream in it.
        self._whole: Layer | None = None
        # The image that is taken out of a stream, or put into one; what came before it and follows in the output.
        self._image: Layer | None = None
        self._state: bytes | None = None

    # -- events -------------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        if self._whole is not None or path != f"{layer.name}.{layer.row.headers[0]}":
            return
        if layer.row is IMAGE:
            self._begin_image(layer, at)
        elif layer.row is LIBXL and not self._wrapper.libxl:
            # It is taken apart.
            if raw[-1] & tables.LIBXL_OPTIONS["legacy"]:
                self.unfit("LEGACY-BIT", at)
        elif layer.row is LIBXL or layer.row.image:
            if not self._wrapper.libxl:
                self.unfit("REFUSE-LEGACY", at)
            self._before(layer, at)
            self._begin(layer, at)
        elif layer.name == self._wrapper.name and self._wrapper.configuration is None:
            self._begin(layer, at)
        elif not layer.row.configuration:
            self.report.add("HANDSHAKE", at)

    def record(self, record: Record) -> Program | None:
        layer = record.layer
        if self._whole is not None or layer is self._image:
            return None
        if layer.row is LIBXL:
            return self._of_libxl(record)
        if record.path == layer.row.configuration:
            if record.length > tables.SIZES[record.path]:
                given = self._wrapper.configuration is not None
                self.unfit("CONFIGURATION-GIVEN" if given else "CONFIGURATION", record.body)
        elif layer.row.opens:
            if self._wrapper.libxl:
                return self._of_xapi(record)
            self._keep(record)
        return None

    def pages(self, run: Run) -> None:
        pass

    def unread(self, layer: Layer) -> bool:
        return True  # what stays as it is has been judged, or another does that

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        pass

    def checkpoint(self, layer: Layer, at: int) -> None:
        if layer is self._image:
            self.unfit("REFUSE-CHECKPOINTS", at)

    def ended(self, layer: Layer, at: int) -> None:
        whole = self._whole
        if layer is self._image:
            self._end_image(layer, at)
        elif whole is not None and (layer is whole or (layer.parent is whole and not whole.row.end)):
            self.plan.turn(at, False)
        elif whole is None and layer.row is LIBXL:
            self.plan.put(at, self._wrapper.after)

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        pass

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        pass

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        known, _ = following(head, count, zero)
        self.unfit("AFTER-END" if known else "AFTER-END-UNKNOWN", at)

    # -- what is copied whole -------------------------------------------------------------------------------------

    def _begin(self, layer: Layer, at: int) -> None:
        self._whole = layer
        self.plan.turn(at, True)

    def _before(self, layer: Layer, at: int) -> None:
        """What comes before a stream, or an image alone."""
        wrapper = self._wrapper
        if wrapper.name:
            self.report.add("WRAPPER", at, f"now {wrapper.name}")
        if wrapper.needs and not wrapper.configuration:
            self.unfit(wrapper.needs, at)
            return
        self.plan.put(at, wrapper.before(layer))

    # -- an image, in a libxl stream and not ----------------------------------------------------------------------

    def _begin_image(self, layer: Layer, at: int) -> None:
        """An image that is not in a libxl stream which stays as it is."""
        if self._image is not None:
            self.unfit("REFUSE-SECOND", at)
            return
        if layer.parent is None and not self._wrapper.name:
            self._begin(layer, at)  # it has no wrapper, and gets none
            return
        self._image = layer
        self._before(layer, at)
        if self._wrapper.libxl:
            self.report.add("LIBXL", at)
            version = next(allowed[0] for _, name, *_, allowed in tables.RULES["libxl.header"] if name == LIBXL.version)
            self.plan.put(at, fixed("libxl.header", ">", version=version) + header(tables.LIBXL_LIBXC_CONTEXT, 0))
        elif self._wrapper.configuration is None:
            self.report.add("XENOPS", at)
        self.plan.turn(at, True)

    def _end_image(self, layer: Layer, at: int) -> None:
        self.plan.turn(at, False)
        if self._state is not None:
            self._put_state(at, len(self._state))
            self.plan.put(at, self._state + padding(_EMULATOR.size + len(self._state)))
        if layer.parent is None or not layer.parent.row.opens:
            self.plan.put(at, header(tables.LIBXL_END, 0) if self._wrapper.libxl else self._wrapper.after)

    def _put_state(self, at: int, length: int) -> None:
        """How an emulator's state begins in a libxl stream; in the input it lies at `at`."""
        self.report.add("EMULATOR", at)
        head = header(tables.LIBXL_EMULATOR_CONTEXT, _EMULATOR.size + length)
        self.plan.put(at, head + _EMULATOR.pack(self._wrapper.emulator, 0))

    def _of_libxl(self, record: Record) -> Program | None:
        """A record of a libxl stream that is taken apart."""
        if record.type in _LATER:
            self.unfit("REFUSE-CHECKPOINTS", record.offset)
        elif record.type == tables.LIBXL_EMULATOR_XENSTORE_DATA and record.length > tables.SIZES[record.path]:
            self.unfit("XENSTORE", record.offset)
        elif record.type == tables.LIBXL_EMULATOR_CONTEXT:
            return self._take_state(record)
        return None

    def _take_state(self, record: Record) -> Program:
        raw = yield from Body(self.window, record).take(_EMULATOR.size)
        length = record.length - _EMULATOR.size
        if len(raw) < _EMULATOR.size:
            return
        if length > XAPI_QEMU_MAX:
            self.unfit("XAPI-QEMU-MAX", record.offset)
        emulator, _ = Struct(record.layer.order + _EMULATOR.format[1:]).unpack(raw)
        if emulator != self._wrapper.emulator:
            self.unfit("EMULATOR-ID", record.body)
        self.plan.put(record.body, XAPI_HEADER.pack(tables.XAPI_QEMU_TRAD, length))
        self.plan.copy(record.body + _EMULATOR.size, record.end)

    def _of_xapi(self, record: Record) -> Program | None:
        """A record of a XAPI image that is put into a libxl stream."""
        if record.type in _STATES:
            if self._image is None:
                return self._keep_state(record)
            self._put_state(record.body, record.length)
            self.plan.copy(record.body, record.end)
            self.plan.put(record.end, padding(_EMULATOR.size + record.length))
        elif record.type in _UNKNOWN_TO_LIBXL:
            self.unfit(_UNKNOWN_TO_LIBXL[record.type], record.offset)
        elif record.name == record.layer.row.end:
            self.plan.put(record.body, header(tables.LIBXL_END, 0))
        elif record.type not in record.layer.row.opens:
            self.unfit("REFUSE-RECORD", record.offset)
        return None

    def _keep_state(self, record: Record) -> Program | None:
        """The emulator's state before the image, which comes after it in a libxl stream."""
        if record.length > XAPI_QEMU_MAX or self._state is not None:
            self.unfit("XAPI-QEMU-MAX", record.offset)
            return None
        return self._read_state(record)

    def _read_state(self, record: Record) -> Program:
        body, found = Body(self.window, record), bytearray()
        while piece := (yield from body.piece()):
            found += piece
        self._state = bytes(found)

    def _keep(self, record: Record) -> None:
        """A record of a XAPI image that stays one, but for its configuration."""
        if record.name == record.layer.row.end:
            self.plan.put(record.body, self._wrapper.after)
        elif record.type not in record.layer.row.opens:
            self.plan.copy(record.offset, record.end)
