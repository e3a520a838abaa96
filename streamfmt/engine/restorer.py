"""The restorer: a libxl stream becomes a guest, as the table of libxl's reader says.

Records are queued as they come and taken up from the queue.  The emulator's state goes into a file, as a device model
is started with one; a legacy stream goes through the converter on its way in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Protocol

from .. import tables
from ..errors import CancelledError, GuestError, MigrationError, PeerError
from ..schema import libxl
from ..schema.model import OPTIONAL_BIT
from ..schema.transitions import READER
from .flow import Input
from .image import Image
from .interface import Guest
from .machine import Machine

_HEADER = Struct(tables.FORMATS["libxl.header"])
_RECORD = Struct("<" + tables.FORMATS["libxl.record_header"])
_EMULATOR = Struct("<" + tables.FORMATS["libxl.EMULATOR_CONTEXT"])
_MESSAGE = Struct("<" + tables.FORMATS["libxl.CHECKPOINT_STATE"])
_NAMES = tables.RECORDS["libxl"]
_OPTIONAL = 1 << OPTIONAL_BIT
# A device model's state: QEMU's is below 1 MiB without video memory, and XAPI takes no more than that.
_BODY_MAX = 64 << 20
# Records of one checkpoint.
_QUEUED = 64
_ALIGN = 8


class Converted(Protocol):
    """A legacy stream that was converted."""

    @property
    def input(self) -> Input:
        """What it is read from."""

    def close(self) -> None:
        """End converting."""


class Restorer:
    """Reads a stream into a guest, once.  `guest` is that guest, from its image's beginning on.

    If the stream fails once it had a whole checkpoint, that is what the guest is, and `lost` says why.  `keys` are the
    device model's, `messages` those of COLO.

    :param make: gives the guest for an image of a type; it is closed if the stream fails.
    :param emulator: file that the device model's state goes into; None: it is kept in `blob`.
    :param converter: for a legacy stream: gives the converted one.
    :param settle: called before something is done by what has come, other than putting pages into place; it may raise.
    :param completion: called once, with the error that ended it, or None.
    """

    def __init__(
        self,
        source: Input,
        make: Callable[[str], Guest],
        *,
        emulator: Path | None = None,
        converter: Callable[[Input], Converted] | None = None,
        settle: Callable[[], None] = lambda: None,
        completion: Callable[[BaseException | None], None] = lambda error: None,
    ) -> None:
        self.blob = b""
        self.keys: list[tuple[bytes, bytes]] = []
        self.messages: list[int] = []
        self.queue: deque[tuple[str, bytes]] = deque()
        self._source = source
        self._made = make
        self._emulator = emulator
        self._converter = converter
        self._settle = settle
        self._converted: Converted | None = None
        self._completion = completion
        self._image: Image | None = None
        self.lost: BaseException | None = None
        self._written: Path | None = None
        self.machine = Machine(READER, {name: getattr(self, f"_{name}") for name in READER.actions})

    @property
    def guest(self) -> Guest | None:
        """The guest, once there is one."""
        return None if self._image is None else self._image.guest

    def run(self, legacy: bool = False) -> Guest:
        """Read all of it; returns the guest, paused, or raises what ended it."""
        self.machine.happen("start legacy" if legacy else "start")
        if self.machine.error is not None:
            raise self.machine.error
        if self.guest is None:
            raise PeerError("the stream has ended without a guest in it")
        return self.guest

    def abort(self) -> None:
        """Give up, wherever it is."""
        if not self.machine.ended:
            self.machine.fail(CancelledError("the restorer was ended"))
        self.machine.happen("abort")

    # -- actions ----------------------------------------------------------------------------------------------

    def _convert(self) -> str:
        if self._converter is None:
            raise PeerError("the stream is of the format before Xen 4.6, and no converter is at hand")
        self._converted = self._converter(self._source)
        self._source = self._converted.input
        return "converted"

    def _read_header(self) -> str:
        ident, version, options = _HEADER.unpack(self._source.take(_HEADER.size, "the stream's header"))
        if ident != libxl.MAGIC or version != libxl.VERSION or options & tables.LIBXL_OPTIONS["endian"]:
            raise PeerError(f"what should be a libxl stream of version {libxl.VERSION} is none")
        return "header"

    def _read_record(self) -> str:
        code, length = _RECORD.unpack(self._source.take(_RECORD.size, "a record's header"))
        name = _NAMES.get(code) or ("optional" if code & _OPTIONAL else "")
        if not name:
            raise PeerError(f"a libxl record of type {code:#x} came, which is not known and not optional")
        if sum(len(kept) for _, kept in self.queue) + length > _BODY_MAX or len(self.queue) >= _QUEUED:
            raise PeerError(f"a record {name} claims {length} bytes; {_BODY_MAX} in {_QUEUED} records are taken here")
        body = self._source.take(length, f"a record {name}") if length else b""
        if length % _ALIGN:
            self._source.take(-length % _ALIGN, "padding")
        self._settle()
        self.queue.append((name, body))
        return name

    def _next_queued(self) -> str:
        return self.queue[0][0]

    def _pass_over(self) -> str:
        self.queue.popleft()
        return "applied"

    def _restore_image(self) -> str:
        self.queue.popleft()
        if self._image is not None:
            raise PeerError("the stream has a second image of the guest")
        self._image = Image(self._source, self._made)
        self._image.begin()
        return self._go_on()

    def _go_on(self) -> str:
        assert self._image is not None
        try:
            ended = self._image.go_on()
            self._settle()
            if ended == "CHECKPOINT":
                return "checkpoint"
        except MigrationError as error:
            self.machine.fail(error)
            return self._fail_over()
        self._image.apply()
        return "image ended"

    def _only_hvm(self, name: str) -> None:
        if self.guest is None or self.guest.type != "hvm":
            raise PeerError(f"a record {name} came for a guest that has no device model")

    def _apply_keys(self) -> str:
        name, body = self.queue.popleft()
        self._only_hvm(name)
        strings = body[_EMULATOR.size :].split(b"\0")
        if len(body) < _EMULATOR.size or len(strings) % 2 == 0 or strings[-1]:
            raise PeerError(f"a record {name} is not made of pairs of strings")
        self.keys = list(zip(strings[:-1:2], strings[1::2], strict=True))
        return "applied"

    def _apply_emulator(self) -> str:
        name, body = self.queue.popleft()
        self._only_hvm(name)
        if len(body) < _EMULATOR.size:
            raise PeerError(f"a record {name} of {len(body)} bytes does not say whose state it has")
        self.blob = body[_EMULATOR.size :]
        if self._emulator is not None:
            self._written = self._emulator
            try:
                self._emulator.write_bytes(self.blob)
            except OSError as error:
                raise GuestError(
                    f"the emulator's state cannot be kept in {self._emulator}: {error.strerror}"
                ) from error
        return "applied"

    def _checkpoint_done(self) -> str:
        assert self._image is not None
        if self.queue:
            self.queue.popleft()  # CHECKPOINT_END
        self._image.apply()
        return self._go_on()

    def _fail_over(self) -> str:
        self.queue.clear()
        if self._image is None or not self._image.applied:
            return self._checkpoint_lost()
        self._image.go_back()
        self.lost, self.machine.error = self.machine.error or PeerError("a checkpoint broke off"), None
        return "failed over"

    def _checkpoint_lost(self) -> str:
        return self.machine.fail(PeerError("the stream has ended in a checkpoint, and none is complete"))

    def _serve(self) -> str:
        name, body = self.queue.popleft()
        if len(body) < _MESSAGE.size:
            raise PeerError(f"a record {name} of {len(body)} bytes says nothing")
        self.messages += _MESSAGE.unpack_from(body)
        return "served"

    def _refuse(self) -> str:
        name = self.queue[-1][0] if self.queue else "nothing"
        self.machine.fail(PeerError(f"a record {name} came where the stream cannot have it"))
        return self._tear_down()

    def _tear_down(self) -> str:
        self.queue.clear()
        if self._converted is not None:
            self._converted.close()
        if self.machine.error is not None:
            if self.guest is not None:
                self.guest.close()
            if self._written is not None and self._written.is_file():  # a device or a pipe was there before, and stays
                self._written.unlink(missing_ok=True)
        return "torn down"

    def _report(self) -> str:
        self._completion(self.machine.error)
        return ""
