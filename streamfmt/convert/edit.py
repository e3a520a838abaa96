"""What an edit of a file changes: values of fields, bytes, and the guest's configuration, with the lengths around it.

An :class:`Edit` is made of a file that can be sought in; its splices are then applied, in place or to a new file.
"""

from __future__ import annotations

import os

from .. import tables
from ..checks.verifier import Verifier
from ..errors import FieldError
from ..field_tables import FIELDS
from ..io.sources import FileSource, drive
from ..io.spans import SpanSource
from ..io.spliced import Spliced
from ..reader import configuration
from ..reader.reader import Reader
from .fields import Change, change, put
from .pairs import Pairs
from .places import PAGES, Found, Locating, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..checks.findings import Finding
    from ..io.spliced import Splice
    from .payloads import Row

    # A configuration's text as it is to be, made from what it is.
    Rewrite = Callable[[bytes], bytes]

# The longest configuration that is changed, and what of a value is shown.
CONFIGURATION_MAX = 16 << 20
_JSON_FLAG = "mandatory_flags.json"
# The record of keys with values, each ended by a NUL.
_PAIRS = "libxl.EMULATOR_XENSTORE_DATA"


class Edit:
    """The changes of one file, of descriptor `fd`, so far: `changes`, in the order in which they were asked for."""

    def __init__(self, fd: int, form: str = "auto", guest: str | None = None) -> None:
        self._fd = fd
        self._form = form
        self._guest = guest
        os.lseek(fd, 0, os.SEEK_SET)
        self.size = FileSource(fd).size or 0
        self.changes: list[Change] = []
        # Bytes by their offsets, as they are to be; and stretches that may change their length.
        self._bytes: dict[int, int] = {}
        self._stretches: list[Change] = []
        # Whether memory is the same before and after, and what is said of it: all that changes are bodies of records
        # beside it, and the configuration.
        self._beside = True
        self._splices: list[Splice] | None = None

    def read(self, at: int, count: int) -> bytes:
        """Bytes of the file as they are to be, where they are changed byte by byte."""
        data = bytearray()
        count = max(min(count, self.size - at), 0)
        while len(data) < count and (piece := os.pread(self._fd, count - len(data), at + len(data))):
            data += piece
        for place, byte in self._bytes.items():
            if at <= place < at + len(data):
                data[place - at] = byte
        return bytes(data)

    def make(self, assignments: Sequence[tuple[str, str]], rewrite: Rewrite | None) -> None:
        """Find all that is to change: paths of fields with their values, and the configuration.

        Raises FieldError, StreamError where the stream is to blame, and UnreadableError.
        """
        targets = [Target(path) for path, _ in assignments]
        named = [target for target in targets if target.name]
        locating = Locating(named, self._form, self._guest)
        if named or rewrite is not None:
            source = FileSource(self._fd)
            try:
                drive(locating.reader.pump, source)
            finally:
                source.close()
                locating.reader.close()
        if rewrite is not None:
            self._configure(locating, rewrite)
        pairs: dict[int, Pairs] = {}
        for target, (_, value) in zip(targets, assignments, strict=True):
            found = locating.the(target) if target.name else None
            self._beside &= found is not None and found.record is not None and found.record.name not in PAGES
            if found is not None and found.path == _PAIRS and target.at is None and target.place not in FIELDS[_PAIRS]:
                strings = pairs.setdefault(found.body, Pairs(found, self.read))
                self.changes.append(strings.put(target, value))
            else:
                self._take(change(target, found, value, self.read))
        for strings in pairs.values():
            self._replace(locating, strings)

    def _replace(self, locating: Locating, strings: Pairs) -> None:
        """Put pairs of strings into the place of those that are there, with the record's length and padding."""
        made = _trimmed(strings.change(self.read))
        self._stretches.append(made)
        for place in range(made.start, made.stop):  # they are in what has been put there
            self._bytes.pop(place, None)
        if strings.more:
            self._lengthen(locating, strings.found, strings.more)

    def _take(self, made: Change) -> None:
        self.changes.append(made)
        self._bytes.update(zip(range(made.start, made.stop), made.data, strict=True))

    # -- the configuration ----------------------------------------------------------------------------------------

    def _configure(self, locating: Locating, rewrite: Rewrite) -> None:
        found = locating.configurations
        if not found:
            locating.finish(locating.reader.identity)
            raise locating.failure or FieldError("configuration", "there is none in it")
        if len(found) > 1:
            raise FieldError("configuration", f"there are two, at {found[0].body} and {found[1].body}")
        where = found[0]
        fixed = tables.SIZES[where.path]
        length = where.length - fixed
        counted = next(iter(FIELDS[where.path].values())) if fixed else None
        if counted is not None:
            raw = self.read(where.body + counted[0], counted[1])
            length = min(length, int.from_bytes(raw, where.layer.byte_order))
        if length > CONFIGURATION_MAX:
            raise FieldError("configuration", f"it has {length:,} bytes, the limit is {CONFIGURATION_MAX:,}")
        start = where.body + fixed
        old = self.read(start, length)
        text = old.removesuffix(b"\0")
        new = rewrite(text)
        if new == text:
            return
        # A NUL at the end stays, or none, unless that goes by the form.
        flag = self._flag(locating, where)
        same = flag is None or configuration.form_of(old) == configuration.form_of(new)
        new += b"\0" * (len(old) - len(text) if old and same else _ends(new))
        made = Change("configuration", start, old, new, f"{len(old):,} -> {len(new):,} bytes")
        self.changes.append(made)
        self._stretches.append(_trimmed(made))
        more = len(new) - len(old)
        if more:
            if counted is not None:
                self._add(where, where.path, next(iter(FIELDS[where.path])), where.body, more)
            self._lengthen(locating, where, more)
        if flag is not None:
            value = str(int(configuration.form_of(new) == "json"))
            made = put(*flag, value, where.layer.order, self.read)
            if made.data != made.old:
                self._take(made)

    def _lengthen(self, locating: Locating, where: Found, more: int) -> None:
        """The length of the record that has the configuration: in its own header, or in that of its layer."""
        layer, record = where.layer, where.record
        if layer.header_size and record is not None:
            path = f"{layer.name}.record_header"
            self._add(where, path, "length", record.offset, more)
        elif (header := locating.headers.get(layer.path)) is not None:
            self._add(where, header.path, layer.row.length, header.body, more)

    def _add(self, where: Found, path: str, name: str, at: int, more: int) -> None:
        """Make a field that is a length larger, or smaller, of the header or record that begins at `at`."""
        row = FIELDS[path][name]
        order = "big" if row[4] else where.layer.byte_order
        value = int.from_bytes(self.read(at + row[0], row[1]), order) + more
        self._take(put(f"{path}.{name}", row, at + row[0], str(value), where.layer.order, self.read))

    @staticmethod
    def _flag(locating: Locating, where: Found) -> tuple[str, Row, int] | None:
        """The header's flag for a configuration that is JSON, where it has one: its path, its row, where it lies."""
        header = locating.headers.get(where.layer.path)
        row = FIELDS[header.path].get(_JSON_FLAG) if header is not None else None
        if header is None or row is None:
            return None
        return f"{header.path}.{_JSON_FLAG}", row, header.body + row[0]

    # -- what comes of it -------------------------------------------------------------------------------------------

    @property
    def splices(self) -> list[Splice]:
        """What is put into the place of which bytes, in the order of their offsets; what stays the same is left out.

        Worked out once, before anything is written.
        """
        if self._splices is None:
            self._splices = self._spliced()
        return self._splices

    def _spliced(self) -> list[Splice]:
        found = [(stretch.start, stretch.stop, stretch.data) for stretch in self._stretches]
        run: list[int] = []
        for place in [*sorted(self._bytes), -1]:
            if run and place != run[-1] + 1:
                found.append((run[0], run[-1] + 1, bytes(self._bytes[each] for each in run)))
                run = []
            run.append(place)
        same = [os.pread(self._fd, stop - start, start) == data for start, stop, data in found]
        return sorted(splice for splice, alike in zip(found, same, strict=True) if not alike)

    @property
    def fits(self) -> bool:
        """Whether the file keeps its length, so that it can be changed in place."""
        return all(stop - start == len(data) for start, stop, data in self.splices)

    def breaches(self) -> list[Finding]:
        """Rules that the file breaks afterwards, and not before, or more often: the first finding of each.

        Raises UnreadableError.
        """
        after = self._judged(self.splices)
        if not (after.findings.number("error") or after.findings.number("warning")):
            return []
        before = self._judged([]).findings.counts
        worse = [
            clause
            for clause, count in after.findings.counts.items()
            if tables.SEVERITY[clause] != "note" and count > before.get(clause, 0)
        ]
        return [next(found for found in after.findings.kept if found.clause == clause) for clause in worse]

    def _judged(self, splices: Sequence[Splice]) -> Verifier:
        verifier = Verifier()
        verifier.trusting = self._beside
        reader = Reader(verifier, self._form, guest=self._guest)
        drive(reader.pump, SpanSource(Spliced(self._fd, self.size, splices)))
        reader.close()
        return verifier


def _trimmed(made: Change) -> Change:
    """The change without bytes at its beginning and end that stay as they are."""
    old, new = made.old, made.data
    shorter = min(len(old), len(new))
    first = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    left = shorter - first
    last = next((at for at in range(left) if old[-1 - at] != new[-1 - at]), left)
    stop = len(old) - last
    return Change(made.what, made.start + first, old[first:stop], new[first : len(new) - last], made.words)


def _ends(text: bytes) -> bool:
    """Whether a text that is put where there was none ends with a NUL: xl's own text does not."""
    return configuration.form_of(text) != "text"
