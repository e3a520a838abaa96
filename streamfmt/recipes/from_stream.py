"""A stream written as a recipe while it is read, in constant memory: the way back from `build`.

Each part is written as it comes, and judged as `build` will judge it.  Of what is too long for a recipe only the length
is written, with a note that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from struct import unpack
from typing import TYPE_CHECKING, Any

from .. import tables
from ..codec.content import Buffer
from ..errors import BreachError
from ..io.memory import MemorySource, from_object
from ..io.sources import drive
from ..reader.events import ENTRY, PAGE, PIECE, Body, Layer, Record
from ..reader.legacy_pages import CODES
from ..reader.page_data import PageData
from ..reader.reader import Reader
from ..reader.registry import ALIASES, FORMS, ROWS
from ..reader.stops import Stops
from ..reader.xapi import Unsized
from ..writer.draft import ANNOUNCING, Draft
from ..writer.entries import IMAGE, SHAPES
from ..writer.part import CARRIERS, RECORDS, Part, raw
from ..writer.writer import Writer
from . import dump
from .bodies import part_of_body

if TYPE_CHECKING:
    from ..reader.pump import Program

# Bytes of a body that is written whole, but for contents of pages; the same of page entries; and of what is left where
# reading stops.
BODY_MAX = 1 << 20
REST_MAX = 64 << 10
# Zeros that are counted there: some inputs, such as /dev/zero, have no end.
ZEROS_MAX = 1 << 30
# Pages that are kept by default.
PAGES = 64


class FromStream(Stops):
    """Gives `write` a stream's recipe; `pages` pages whose contents follow no rule are kept.

    It is driven like a pump.  `broken` says whether what it wrote breaks a rule, `lost` what was left out.
    """

    every_page = True

    def __init__(
        self, write: Callable[[str], object], form: str = "auto", pages: int = PAGES, guest: str | None = None
    ) -> None:
        self.reader = Reader(self, form, guest=guest)
        self.broken = False
        self.lost: list[str] = []
        self._write = write
        self._form = form
        self._pages = pages
        self._unkept = 0
        self._writer: Writer | None = None
        # Byte orders by layer, and the last part, which waits for its padding.
        self._orders: dict[str, str] = {}
        self._pending: tuple[Part, list[tuple[str, str]] | None, str] | None = None
        # What follows the reader's end: zeros, then other bytes.
        self._zeros = 0
        self._rest = bytearray()

    # -- for the driver ---------------------------------------------------------------------------------------

    def run(self) -> int:
        """As Pump.run; after the reader's end what is left is taken, as far as it is kept."""
        want = self.reader.pump.run()
        if want:
            return want
        window = self.window
        piece = window.take(window.hi - window.lo)
        if self._rest or piece.count(0) != len(piece):
            self._rest += piece
        else:
            self._zeros += len(piece)
        return int(not window.eof and len(self._rest) <= REST_MAX and self._zeros <= ZEROS_MAX)

    def skip(self, count: int) -> None:
        self.reader.pump.skip(count)

    def end(self) -> None:
        """The input has been read, or as much of it as can be."""
        self._settle()
        if self.reader.identity is not None:
            self.finish(self.reader.identity)
        if self._zeros > ZEROS_MAX:
            at = self.window.position - self._zeros
            self._lose(f"what follows from {at} ({at:#x}) on, over {ZEROS_MAX:,} zeros, is not kept")
        elif self._zeros:
            self._add(raw(b"", self._zeros))
        if len(self._rest) > REST_MAX:
            at = self.window.position - len(self._rest)
            self._lose(f"what follows from {at} ({at:#x}) on, over {REST_MAX >> 10} KiB, is not kept")
        elif self._rest:
            self._add(raw(bytes(self._rest)))
        self._settle()
        if self._writer is None:
            self._write("part = []\n")
        if self._unkept:
            self.lost.append(f"contents of {self._unkept:,} pages were not kept")
        if big := sorted(layer for layer, order in self._orders.items() if order == ">" and not ROWS[layer].big):
            self._write(f"\n[[fault]]\nbig_endian = {dump.value(big)}\n")
        if self._writer is not None and not self.broken:
            self._judge(None)

    # -- events -----------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, data: bytes, broken: Sequence[Any]) -> None:
        order = _order(layer, path, data)
        if self._orders.setdefault(layer.name, order) != order:
            self._lose(f"the {layer.name} layer at {at} has another byte order than the one before: it will not be so")
        self._add(part_of_body(path, data, order))

    def record(self, record: Record) -> Program:
        if record.path not in SHAPES or record.layer.order != "<":
            return self._body(record)
        return self._page_data(record) if SHAPES[record.path] is IMAGE else self._batch(record)

    def padding(self, record: Record, at: int, data: bytes) -> None:
        self._pad(data)

    def misplaced(self, record: Record, at: int, data: bytes) -> None:
        self._add(raw(data))

    def ended(self, layer: Layer, at: int) -> None:
        self.reader.exact = True  # what follows is not looked at there, it is taken here

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        super().truncated(layer, record, at, missing, what)
        if record is not None:
            self._pad(b"")  # what there is of it is left

    def oversize(self, record: Record) -> None:
        super().oversize(record)
        if self.window.position == record.offset:
            return  # all of it is left
        self._add(_part(record, data=b"", declared_length=record.length, padding=b""))

    # -- bodies -----------------------------------------------------------------------------------------------

    def _body(self, record: Record, head: bytes = b"") -> Generator[int, int, None]:
        """A body that begins with `head`."""
        body = Body(self.window, record)
        data = bytearray(head)
        while piece := (yield from body.take(min(PIECE, BODY_MAX - len(data)))):
            data += piece
        left = record.length - len(data)
        if left and len(data) == BODY_MAX:
            left -= yield from body.skip(left)
            note = f"{record.length - left:,} bytes were not kept"
            self.lost.append(f"{record.name} at {record.offset}: {note}")
            self._add(_cut(_part(record, data=b"", fill=record.length - left), record, left), note=note)
            return
        part = part_of_body(_path(record), bytes(data), record.layer.order)
        self._add(_cut(_part(record, values=part.values, data=part.data), record, left))

    def _page_data(self, record: Record) -> Generator[int, int, None]:
        """A body of pages, whose contents are written as the rule that they follow."""
        body = Body(self.window, record)
        walk = PageData(body)
        begun = yield from walk.begin()
        head = walk.head
        if not begun or not walk.count or not walk.fits or ENTRY * walk.count > BODY_MAX:
            yield from self._body(record, head)
            return
        entries: list[int] = []
        while walk.entries_left and not walk.cut:
            entries += yield from walk.entries()
            head += walk.raw
        if walk.cut:
            self._add(_cut(_part(record, data=head), record, record.length - len(head)))
            return
        yield from self._contents(body, head, entries, walk.reserved)

    def _batch(self, record: Record) -> Generator[int, int, None]:
        """A legacy batch, all of whose entries are there."""
        body = Body(self.window, record)
        head = yield from body.take(tables.SIZES[record.path])
        count = int.from_bytes(head, "little")
        raw = yield from body.take(SHAPES[record.path].size * count)
        entries = unpack(f"<{count}{CODES[SHAPES[record.path].size]}", raw)
        yield from self._contents(body, head + raw, entries, 0)

    def _contents(self, body: Body, head: bytes, entries: Sequence[int], reserved: int) -> Generator[int, int, None]:
        """The pages after entries, which with what is before them are `head`."""
        record = body.record
        whole = left = body.left
        contents = dump.Contents(SHAPES[record.path].with_contents(entries), self._pages)
        while left and not contents.dropped:
            page = yield from body.take(PAGE)
            left -= len(page)
            if page:
                contents.add(page)
            if len(page) < PAGE:
                break
        note = ""
        if contents.dropped:
            left -= yield from body.skip(left)
            note = "contents were not kept"
            self._unkept += (whole - left) // PAGE
        else:
            self._pages -= contents.kept
        part = _cut(_part(record, data=head, fill=whole - left), record, left)
        self._add(part, _keys(entries, reserved, part, contents), note)

    # -- what is written --------------------------------------------------------------------------------------

    def _add(self, part: Part, keys: list[tuple[str, str]] | None = None, note: str = "") -> None:
        """A part, by `keys` if its body is written otherwise than it is judged."""
        if self._pending is not None and _announces(self._pending[0], part):
            header, _, before = self._pending
            values = {name: it for name, it in header.values.items() if name != ROWS[header.layer].length}
            self._pending = header, dump.body_of(replace(header, values=values)), before
        self._settle()
        self._pending = part, keys, note

    def _pad(self, padding: bytes) -> None:
        """The last part's padding is this."""
        if self._pending is not None:
            part, keys, note = self._pending
            if part.padding is None:
                self._pending = replace(part, padding=padding), keys, note

    def _settle(self) -> None:
        """Write the part that was waiting for its padding."""
        if self._pending is None:
            return
        part, keys, note = self._pending
        self._pending = None
        written = part if keys is None else replace(part, data=None, fill=0)
        self._write("\n" + dump.text(written, keys, note))
        if self._writer is None:
            form = Draft((part,)).form or "auto" if self.form == "auto" else self.form
            self._writer = Writer(_Nowhere(), form, strict=False, guest=self._guest())
        if not self.broken:
            self._judge(part)

    def _judge(self, part: Part | None) -> None:
        """Judge a part, or that there are no more."""
        assert self._writer is not None
        try:
            if part is None:
                self._writer.close()
            else:
                self._writer.put(part)
        except BreachError:
            self.broken = True

    @property
    def form(self) -> str:
        """The form of the recipe: what was declared; of a name that several layers have, the one that it is."""
        identity = self.reader.identity
        key = identity.key if identity is not None and identity.key in FORMS else "auto"
        return key if self._form in ALIASES else self._form

    def _guest(self) -> str | None:
        """Whose a legacy stream is, as far as that is known when the first part is judged."""
        return self.reader.guest or (self.reader.identity.guest if self.reader.identity is not None else None)

    def _lose(self, message: str) -> None:
        self.lost.append(message)
        self._write(f"\n# {message}\n")


def from_bytes(data: bytes, form: str = "auto", guest: str | None = None) -> tuple[str, FromStream]:
    """The recipe of a stream in memory, with contents of all pages, and what wrote it.  Raises DamagedError."""
    lines: list[str] = []
    recipe = FromStream(lines.append, form, len(data), guest)
    drive(recipe, from_object(MemorySource(data), recipe.reader))
    recipe.end()
    return dump.head(broken=recipe.broken) + "".join(lines), recipe


class _Nowhere:
    """What takes anything."""

    def write(self, data: Buffer, /) -> int:
        return len(data)


def _announces(header: Part, record: Part) -> bool:
    """Whether a file's header has the length of the one record after it, which then goes without saying."""
    length = ROWS[header.layer].length if header.path and header.layer == record.layer else ""
    if not length or header.is_record or not record.is_record or record.declared_length is not None:
        return False
    return bool(header.values.get(length) == sum(map(len, record.contents("<"))) + record.fill)


def _order(layer: Layer, path: str, data: bytes) -> str:
    """The byte order of a header that may announce it."""
    if path in ANNOUNCING and layer.judge is layer:
        return ">" if part_of_body(path, data, "<").values.get("options.endian") else "<"
    return layer.order


def _path(record: Record) -> str:
    """The record's schema path, that of another if no schema knows it."""
    if record.path in RECORDS:
        return record.path
    return CARRIERS[record.layer.name]


def _part(record: Record, **rest: Any) -> Part:
    path = _path(record)
    if path != record.path:
        rest["code"] = record.type
    if isinstance(record, Unsized) and record.declared_length:
        rest["declared_length"] = record.declared_length
    return Part(path, **rest)


def _cut(part: Part, record: Record, missing: int) -> Part:
    """The part as the stream has it if it ends before the body does."""
    if not missing:
        return part
    return replace(part, declared_length=record.length if "length" in part.ahead else None, padding=b"")


def _keys(entries: Sequence[int], reserved: int, part: Part, contents: dump.Contents) -> list[tuple[str, str]] | None:
    """How a record of pages is written: by frames, else by fields, else by bytes.  None if `part` says it itself."""
    shape = SHAPES[part.path]
    clean = not reserved and shape.plain(entries)
    whole = part.declared_length is None and part.fill == PAGE * len(shape.with_contents(entries))
    frames = dump.pages_of(shape, entries) if clean else []
    if contents.dropped:
        return [*frames, ("fill", dump.value("random"))] if clean and whole else None
    if clean and whole:
        return [*frames, *contents.keys()]
    pieces = ", ".join(contents.pieces())
    if part.fill % PAGE:
        head = dump.data(part.data or b"")
        return [("record", dump.value(part.path)), ("bytes", f"[{head}, {pieces}]")]
    if clean:
        return [*frames, ("contents", f"[{pieces}]")]
    inner = f"entries = {dump.value([*map(shape.values, entries)])}, pages = [{pieces}]"
    if reserved:
        inner = f"reserved = {reserved}, {inner}"
    return [("record", dump.value(part.path)), ("fields", f"{{ {inner} }}")]
