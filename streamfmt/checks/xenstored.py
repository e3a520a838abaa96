"""Checks of xenstore data by what xenstored takes: paths with a name in each place, that fit into its messages."""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Body
    from ..reader.xenstore import Pairs
    from .layer import Checks

_PATH, _SIZE = "LIBXL-EMUXS-PATH", "LIBXL-EMUXS-SIZE"
_SLASH = b"/"


class Refused:
    """What xenstored would refuse, one finding of each clause; it sees the strings in pieces, as they come."""

    __slots__ = ("_checks", "_key", "_last", "_record", "_reported")

    def __init__(self, checks: Checks, body: Body) -> None:
        self._checks = checks
        self._record = body.record
        # The length of the latest key, and the last byte of what has come of it.
        self._key = 0
        self._last = b""
        self._reported: set[str] = set()

    def see(self, walk: Pairs) -> None:
        """Judge the present piece of a string."""
        text = walk.text
        length = walk.before + len(text)
        if not walk.key:
            if walk.whole:
                self._value(walk, length)
            return
        if not walk.before:
            self._last = b""
        found = (self._last + text).find(2 * _SLASH)
        if found >= 0:
            at = walk.at + found - len(self._last)
            self._report(_PATH, walk, at, 2, "key", f"key {walk.pair} has two slashes in a row")
        elif walk.whole and length > 1 and (text or self._last).endswith(_SLASH):
            self._report(_PATH, walk, walk.at + len(text) - 1, 1, "key", f"key {walk.pair} ends in a slash")
        self._last, self._key = text[-1:] or self._last, length

    def _value(self, walk: Pairs, length: int) -> None:
        path = tables.XENSTORE_ROOT_MIN + self._key
        if path > tables.XENSTORE_PATH_MAX:
            most = tables.XENSTORE_PATH_MAX
            message = f"key {walk.pair} has {self._key:,} bytes, which makes a path of at least {path:,}"
            self._report(_SIZE, walk, walk.start - self._key - 1, self._key, "key", message, most, path)
        elif path + 1 + length > tables.XENSTORE_PAYLOAD_MAX:
            most, size = tables.XENSTORE_PAYLOAD_MAX, path + 1 + length
            message = f"path and value of pair {walk.pair} make a message of at least {size:,} bytes"
            self._report(_SIZE, walk, walk.start, length, "value", message, most, size)

    def _report(
        self, clause: str, walk: Pairs, at: int, length: int, field: str, message: str, most: int = 0, actual: int = 0
    ) -> None:
        if clause in self._reported:
            return
        self._reported.add(clause)
        expected, shown = (f"at most {most}", str(actual)) if most else ("names between slashes", "")
        field = f"pairs[{walk.pair}].{field}"
        self._checks.context.report(
            clause, self._record, message, offset=at, length=length, field=field, expected=expected, actual=shown
        )
