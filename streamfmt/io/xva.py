"""XVA exports of XenServer and XCP-ng: whose disks are in one, and a disk, which lies in the tar archive in blocks.

ova.xml, the first member, describes the VM.  A disk is a folder, named by a reference, of blocks that are numbered from
0.  Blocks of zeros may be left out, but for the first and the last.  After each block there is a member with its
checksum.

Source: xen-api ocaml/xapi/export.ml and stream_vdi.ml.
"""

from __future__ import annotations

from ..errors import DamagedError, UnopenedError
from .spans import Part, Pieces, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .tar import Member

MANIFEST = "ova.xml"
# Bytes of ova.xml, elements in elements, and VMs and disks that are kept of it; and characters of a name.
_MANIFEST_MAX = 64 << 20
_DEPTH_MAX = 100
_OBJECTS_MAX = 4096
_KEPT = 256
_PIECE = 64 << 10
# A block is as long as the first, which is of 1 MiB, but for the last of a disk.
_BLOCK_MAX = 16 << 20
# By which a block's checksum goes by: SHA-1, and since 2022 XXH64.
_SHA1, _XXHASH = ".checksum", ".xxhash"
_SUM_MAX = 64
# How far apart blocks may be: as many as a disk of 16 TiB has, the largest that any storage there makes.
_GAP_MAX = 16 << 20


class Machine:
    """A VM: its name, UUID and state, and the reference of the disk with its memory ("" if it has none)."""

    __slots__ = ("name", "state", "suspended", "uuid")

    def __init__(self, fields: dict[str, str]) -> None:
        self.name = fields.get("name_label", "")
        self.uuid = fields.get("uuid", "")
        self.state = fields.get("power_state", "")
        disk = fields.get("suspend_VDI", "")
        self.suspended = "" if disk.endswith("NULL") else disk


# Fields of objects that are kept; elements after whose end the text before it belongs to nothing.
_FIELDS = ("name_label", "uuid", "power_state", "suspend_VDI")
_STRUCTURE = ("value", "member", "struct", "array", "data")


class Manifest:
    """What ova.xml says: VMs, names of disks by reference; `error` says why it could not be read to its end."""

    def __init__(self) -> None:
        self.machines: list[Machine] = []
        self.disks: dict[str, str] = {}
        self.error = ""

    def owner(self, disk: str) -> Machine | None:
        """The VM whose memory is on that disk."""
        return next((machine for machine in self.machines if machine.suspended == disk), None)


class _Stop(Exception):  # noqa: N818 - it only ends the parsing
    """What is not read, as a message."""


def manifest(span: Span) -> Manifest:
    """What ova.xml says; declared entities and absurd sizes end that."""
    from xml.parsers import expat

    found = Manifest()
    handler = _Handler(found)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = handler.start, handler.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = handler.text, handler.doctype
    at = 0
    try:
        while piece := span.read(at, _PIECE):
            parser.Parse(piece, False)
            at += len(piece)
            if at > _MANIFEST_MAX:
                raise _Stop(f"it is longer than {_MANIFEST_MAX:,} bytes")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        found.error = f"not valid XML: {error}"
    except _Stop as error:
        found.error = str(error)
    return found


class _Handler:
    """Takes the fields of objects out of XML-RPC's structures: a member has a name and a value, which may be another.

    Objects are members of "objects"; of each there are "class", "id", and in "snapshot" the fields.
    """

    def __init__(self, into: Manifest) -> None:
        self._into = into
        self._depth = 0
        # Names of the members that we are in; the text of the element so far.
        self._names: list[str] = []
        self._text = ""
        self._object: dict[str, str] = {}

    def start(self, name: str, _: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise _Stop("it nests too deep")
        self._text = ""
        if name == "member":
            self._names.append("")

    def text(self, data: str) -> None:
        self._text = (self._text + data)[:_KEPT]

    def end(self, name: str) -> None:
        self._depth -= 1
        if name == "name" and self._names and not self._names[-1]:
            self._names[-1] = self._text.strip()
        elif name == "value":
            self._value()
        elif name == "member" and self._names:
            self._names.pop()
        if name in _STRUCTURE:
            self._text = ""

    def _value(self) -> None:
        """A value has ended: a field of an object, or an object itself."""
        if self._names[:1] != ["objects"]:
            return
        inside = self._names[1:]
        if len(inside) == 1 and inside[0] in ("class", "id"):
            self._object[inside[0]] = self._text.strip()
        elif len(inside) == 2 and inside[0] == "snapshot" and inside[1] in _FIELDS:
            self._object.setdefault(inside[1], self._text.strip())
        elif not inside and self._object:
            self._take(self._object)
            self._object = {}

    def _take(self, fields: dict[str, str]) -> None:
        if len(self._into.machines) + len(self._into.disks) >= _OBJECTS_MAX:
            raise _Stop(f"it describes more than {_OBJECTS_MAX:,} VMs and disks")
        kind = fields.get("class")
        if kind == "VM":
            self._into.machines.append(Machine(fields))
        elif kind == "VDI":
            self._into.disks[fields.get("id", "")] = fields.get("name_label", "")

    def doctype(self, *_: object) -> None:
        raise _Stop("it declares a document type, which is not read")


# -- disks ----------------------------------------------------------------------------------------------------------


class Blocks:
    """The members of an archive after ova.xml, of which one can be seen before it is taken."""

    def __init__(self, members: Iterator[Member]) -> None:
        self._members = members
        self._next: Member | None = None
        self._error: DamagedError | None = None
        # Bytes of a block that is left out: as many as the first block has.
        self.size = 0

    def see(self) -> Member | None:
        if self._error is not None:
            raise self._error
        if self._next is None:
            try:
                self._next = next(self._members, None)
            except DamagedError as error:
                self._error = error
                raise
        return self._next

    def take(self) -> None:
        self._next = None


def folder_of(name: str) -> str:
    """The disk of which the member of that name is a block, or a block's checksum; "" if it is none."""
    folder, _, file = name.rpartition("/")
    return folder if _number(file) is not None else ""


def _number(file: str) -> int | None:
    """The number of the block that a file is, or is the checksum of."""
    digits = file.removesuffix(_SHA1).removesuffix(_XXHASH)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


class Disk(Pieces):
    """A disk, whose blocks are found as they are wanted.

    With `deep` the blocks are held against their checksums before they are given.  Raises DamagedError, UnopenedError.
    """

    def __init__(self, base: Span, blocks: Blocks, folder: str, deep: bool) -> None:
        super().__init__(base)
        self._blocks = blocks
        self._folder = folder
        self._deep = deep
        self._last = -1
        self._error: DamagedError | None = None
        # With `deep`, the number of a piece and its contents.
        self._checked: tuple[int, bytes] = -1, b""

    def more(self) -> bool:
        """Take the next block; sums after it are passed over, or used."""
        if self._error is not None:
            raise self._error
        try:
            return self._more()
        except DamagedError as error:
            self._error = error
            raise

    def _more(self) -> bool:
        while (member := self._blocks.see()) is not None and folder_of(member.name) == self._folder:
            file = member.name.rpartition("/")[2]
            self._blocks.take()
            if file.endswith((_SHA1, _XXHASH)):
                continue
            self._block(member, _number(file) or 0)
            return True
        self.size = self.end
        return False

    def _block(self, member: Member, number: int) -> None:
        length = member.span.size or 0
        gap = number - self._last - 1
        if not 0 <= gap < _GAP_MAX or length > _BLOCK_MAX:
            wrong = f"{length:,} bytes" if length > _BLOCK_MAX else f"number {number:,} after {self._last:,}"
            raise DamagedError(f"the XVA's block {member.name!r} at {member.at} ({member.at:#x}) has {wrong}")
        self._blocks.size = self._blocks.size or length
        # An empty block only keeps a connection alive; it has a number all the same.
        self._last = number
        if not isinstance(member.span, Part):
            raise DamagedError(f"the XVA's block {member.name!r} at {member.at} ({member.at:#x}) has holes")
        if self._deep and length:
            self._checked = len(self._starts), self._summed(member, length)
        self.add(self.end + gap * self._blocks.size, length, member.span.start)

    def _summed(self, member: Member, length: int) -> bytes:
        """A block's contents, which are as its checksum says."""
        data = member.span.read(0, length)
        after = self._blocks.see()
        if after is None or after.name.rpartition(".")[0] != member.name:
            raise DamagedError(f"the XVA has no checksum of its block {member.name!r} at {member.at} ({member.at:#x})")
        said = after.span.read(0, _SUM_MAX).decode("ascii", "replace").strip().lower()
        if _summer(after.name)(data) != said:
            raise DamagedError(
                f"the XVA's block {member.name!r} at {member.at} ({member.at:#x}) is not what its checksum says"
            )
        return data

    def piece(self, room: memoryview, at: int, place: int) -> int:
        index, data = self._checked
        if index >= 0 and self._places[index] == place:
            got = min(len(room), len(data) - at)
            room[:got] = data[at : at + got]
            return got
        return super().piece(room, at, place)


def _summer(name: str) -> Callable[[bytes], str]:
    """What makes the checksums that a member of that name has."""
    if name.endswith(_SHA1):
        from hashlib import sha1

        return lambda data: sha1(data, usedforsecurity=False).hexdigest()
    try:
        from xxhash import xxh64_hexdigest
    except ImportError as error:
        raise UnopenedError("checksums of this XVA need xxhash: pip install 'streamfmt[backups]'") from error
    return lambda data: str(xxh64_hexdigest(data))
