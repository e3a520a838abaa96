"""What COLO's sides say to each other besides the stream: CHECKPOINT_STATE both ways, and the list of dirty frames.

A message that breaks a rule is refused with the rule's clause.  The back channel has no header and no end.

Sources: docs/specs/libxl-migration-stream.pandoc, CHECKPOINT_STATE; docs/specs/libxc-migration-stream.pandoc,
CHECKPOINT_DIRTY_PFN_LIST; tools/libs/guest/xg_sr_save.c colo_merge_secondary_dirty_bitmap.
"""

from __future__ import annotations

import sys
from array import array
from struct import Struct

from ... import tables
from ...errors import LateError, OversizeError, PeerError
from ...schema import libxl
from .. import frames as sets
from ..flow import Input

NEW, SUSPENDED, READY, RESUMED = (
    libxl.CHECKPOINT_STATES[name] for name in ("NEW", "SVM_SUSPENDED", "SVM_READY", "SVM_RESUMED")
)
_NAMES = {number: name for name, number in libxl.CHECKPOINT_STATES.items()}
_RECORD = Struct("<" + tables.FORMATS["libxl.record_header"])
_STATE = Struct("<" + tables.FORMATS["libxl.CHECKPOINT_STATE"])
_TYPE, _LIST = tables.LIBXL_CHECKPOINT_STATE, tables.LIBXC_CHECKPOINT_DIRTY_PFN_LIST
_ALIGN = 8
_PFN = array("Q").itemsize
# A CHECKPOINT_STATE that is longer is none; a list has each frame once, though a writer may repeat some.
_STATE_MAX, _TIMES = 64, 2
# Seconds in which zeros that belong to no list have come, once the list has: both are written by one call.
_EXTRA = 0.1


def name(number: int) -> str:
    """What an id is called."""
    return _NAMES.get(number, f"id {number:#x}")


def state(number: int) -> bytes:
    """A record CHECKPOINT_STATE of an id."""
    body = _STATE.pack(number)
    return _RECORD.pack(_TYPE, len(body)) + body + bytes(-len(body) % _ALIGN)


def hear(source: Input, wanted: int) -> None:
    """Read the CHECKPOINT_STATE of that id from the back channel.

    :raises PeerError: another record comes; LinkError, LateError: none does.
    """
    what = f"CHECKPOINT_STATE {name(wanted)}"
    code, length = _RECORD.unpack(source.take(_RECORD.size, what))
    if code == _LIST:
        raise PeerError(f"COLO-DIRTY-POS: a list of dirty frames came where {name(wanted)} should be")
    if code != _TYPE:
        raise PeerError(f"LIBXL-BACK-TYPES: a record of type {code:#x} came on the back channel, for {what}")
    if not _STATE.size <= length <= _STATE_MAX:
        raise PeerError(f"LIBXL-CKPTSTATE-LEN: a CHECKPOINT_STATE of {length} bytes came, for {what}")
    body = source.take(length + -length % _ALIGN, what)
    (number,) = _STATE.unpack_from(body)
    if number == NEW:
        raise PeerError(f"COLO-NEW-FWD: NEW came on the back channel, where {name(wanted)} should be")
    if number != wanted:
        raise PeerError(f"LIBXL-CKPTSTATE-ID: {name(number)} came where {name(wanted)} should be")


def dirty(frames: int) -> list[bytes]:
    """A record CHECKPOINT_DIRTY_PFN_LIST of a set of frames, ascending."""
    pfns = array("Q")
    for first, count in sets.runs(frames):
        pfns.extend(range(first, first + count))
    if sys.byteorder == "big":
        pfns.byteswap()
    data = pfns.tobytes()
    return [_RECORD.pack(_LIST, len(data)), data]


class Lists:
    """Reads the lists of a secondary, for a guest of so many pages.

    Secondaries of Xen 4.18 and later write eight zeros between a list's header and its frames, uncounted (commit
    efe8de1f91).  A list after which more has come, where nobody speaks before it has been answered, is one of these:
    `shifted` is true then, and the lists are read as they were meant.  As long as that is not known, None.
    """

    def __init__(self, source: Input, pages: int) -> None:
        self.shifted: bool | None = None
        self._source = source
        self._pages = pages

    def next(self) -> int:
        """The set of frames of the next list.

        :raises PeerError: it is none, or has a frame that the guest does not have; LinkError, LateError: it breaks off.
        """
        what = "the list of dirty frames"
        code, length = _RECORD.unpack(self._source.take(_RECORD.size, what))
        if code != _LIST:
            raise PeerError(f"COLO-DIRTY-POS: a record of type {code:#x} came where {what} should be")
        if length % _PFN:
            raise PeerError(f"COLO-DIRTY-LEN: {what} has {length} bytes, no whole number of frames")
        if length > _TIMES * _PFN * self._pages:
            raise OversizeError(f"COLO-DIRTY-LEN: {what} claims {length} bytes, the guest has {self._pages} pages")
        if self.shifted:
            self._source.take(_PFN, what)
        pfns = array("Q")
        pfns.frombytes(self._source.take(length, what) if length else b"")
        if self.shifted is None:
            self._look(pfns)
        if sys.byteorder == "big":
            pfns.byteswap()
        if pfns and (most := max(pfns)) >= self._pages:
            raise PeerError(f"COLO-DIRTY-LEN: {what} has frame {most:#x}, the guest has {self._pages} pages")
        return sets.of(pfns, self._pages)

    def _look(self, pfns: array[int]) -> None:
        """See whether zeros were put before the frames: only a list that begins with frame 0, or is empty, can tell."""
        if pfns and pfns[0]:
            self.shifted = False
            return
        usual, self._source.patience = self._source.patience, _EXTRA
        try:
            self._source.ended("what follows a list")
            extra = self._source.take(_PFN, "the last frame of a list")
        except LateError:
            return
        finally:
            self._source.patience = usual
        self.shifted = True
        if pfns:
            del pfns[0]
            pfns.frombytes(extra)
