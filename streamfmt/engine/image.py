"""A libxc image on its way into a guest: headers, records in their order, pages straight into memory.

What the records mean is the guest's concern, which takes them over when the image, or a checkpoint of it, is complete.
Lengths are claims: none is believed beyond what such a record can have.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from .. import tables
from ..errors import OversizeError, PeerError
from ..schema import libxc, states
from ..schema.model import OPTIONAL_BIT
from .flow import Input
from .framing_xen import Kept, Placer
from .interface import Guest

_IMAGE = Struct(tables.FORMATS["libxc.image_header"])
_DOMAIN = Struct("<" + tables.FORMATS["libxc.domain_header"])
RECORD = Struct("<" + tables.FORMATS["libxc.record_header"])
_NAMES = tables.RECORDS["libxc"]
_OPTIONAL = 1 << OPTIONAL_BIT
# A record that is not of pages: the longest is the frame list of a PV guest, and after it an XSAVE area.
_BODY_MAX = 16 << 20
# All such records of an image, or of one checkpoint.
_BODIES_MAX = 64 << 20
# Pages of a checkpoint that wait: a saver sends a frame again within one, but not over and over.
_TIMES = 2
# A record of pages, as far as the format goes.
_PAGES_MAX = tables.RECORD_LENGTH_MAX
_ALIGN = 8
# Records that come once, before memory, and belong to each checkpoint's state.
_ONCE = frozenset(states.STATIC)


class Image:
    """One image from its first header on.  `records` are those that the guest has not taken over yet.

    From the first checkpoint on, pages wait as records do: until a checkpoint is whole, the last one can be gone back
    to.  `applied` is how many were put into place, `held` the bytes of
    pages that wait.

    :param make: gives the guest for an image of a type.
    """

    def __init__(self, source: Input, make: Callable[[str], Guest]) -> None:
        self.guest: Guest | None = None
        self.records: list[tuple[str, bytes]] = []
        self.applied = 0
        self.held = 0
        self._current: list[tuple[str, bytes]] | None = None
        self._static: list[tuple[str, bytes]] = []
        self._source = source
        self._make = make
        self._placer: Placer | None = None
        self._pages: list[bytearray] = []

    def begin(self) -> Guest:
        """Read the headers, and make the guest.

        :raises PeerError: they are not an image's.
        :raises GuestError: the guest cannot be made here.
        """
        marker, _, version, *_ = _IMAGE.unpack(self._source.take(_IMAGE.size, "the image's header"))
        if marker != libxc.MARKER or version not in libxc.VERSIONS:
            raise PeerError("what should be an image of a guest is none, or is of a version that is not known here")
        code, shift, *_ = _DOMAIN.unpack(self._source.take(_DOMAIN.size, "the image's second header"))
        kind = tables.GUESTS.get(code)
        if kind is None or shift != tables.PAGE_SHIFT:
            raise PeerError(f"the image is of a guest of type {code} with pages of 2^{shift} bytes")
        self.guest = self._make(kind)
        self._placer = Placer(self.guest)
        return self.guest

    def go_on(self) -> str:
        """Read records up to END or CHECKPOINT, whose name is returned.

        :raises PeerError: what comes is not an image's record; LinkError, LateError: the link failed.
        """
        placer = self._placer
        assert placer is not None
        while True:
            code, length = RECORD.unpack(self._source.take(RECORD.size, "a record's header"))
            name = _NAMES.get(code, "")
            if code == tables.LIBXC_PAGE_DATA:
                if length > _PAGES_MAX:
                    raise OversizeError(f"a PAGE_DATA record claims {length} bytes, {_PAGES_MAX} are the most")
                if self.applied:
                    self._keep(length)
                else:
                    placer.take(self._source, length)
                self._pad(length)
                continue
            if length > _BODY_MAX:
                raise OversizeError(f"a record {name or hex(code)} claims {length} bytes, {_BODY_MAX} are taken here")
            body = self._source.take(length, f"a record {name or hex(code)}") if length else b""
            self._pad(length)
            if sum(len(kept) for _, kept in self.records) + length > _BODIES_MAX:
                raise OversizeError(f"records of more than {_BODIES_MAX} bytes came, which no guest's state has")
            if name in ("END", "CHECKPOINT"):
                return name
            if not name and not code & _OPTIONAL:
                raise PeerError(f"a record of type {code:#x} came, which is not known and not optional")
            if name == "VERIFY":
                placer.compare = True
            elif name:
                self.records.append((name, body))

    def _keep(self, length: int) -> None:
        """Have a record of pages wait."""
        assert self.guest is not None
        self.held += length
        if self.held > _TIMES * len(self.guest.memory) + _BODY_MAX:
            raise OversizeError(
                f"a checkpoint of more than {self.held} bytes came, for a guest of {self.guest.pages} pages"
            )
        room = bytearray(length)
        self._source.into(memoryview(room), "a PAGE_DATA record")
        self._pages.append(room)

    def apply(self, later: bool = False) -> None:
        """Have the guest take over what has come for it.

        :param later: its state is only kept, until :meth:`load` or the next checkpoint.

        :raises GuestError: it does not.
        :raises PeerError: frames that were sent again to be compared are not what they were.
        """
        assert self.guest is not None
        assert self._placer is not None
        for body in self._pages:
            self._placer.take(Kept(body), len(body))
        if self._placer.differing:
            raise PeerError(f"{self._placer.differing} frames came again to be compared, and differ")
        if not self.applied:
            self._static = [row for row in self.records if row[0] in _ONCE]
            self._current = self.records
        else:
            self._current = [*self._static, *self.records]
        if not later:
            self.load()
        self.go_back()
        self.applied += 1

    def load(self) -> None:
        """Have the guest take over the state of what was applied last, if it has not.  Raises GuestError."""
        assert self.guest is not None
        if self._current is not None:
            self.guest.load(self._current)
            self._current = None

    def go_back(self) -> None:
        """Forget what the guest has not taken over."""
        self.records, self._pages, self.held = [], [], 0

    def _pad(self, length: int) -> None:
        if length % _ALIGN:
            self._source.take(-length % _ALIGN, "padding")
