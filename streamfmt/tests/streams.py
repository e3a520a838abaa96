"""Streams for tests: lists of headers and records that can be edited, then rendered.

Bodies are built by the construct schemas and edited by the fields that `schema.describe` finds in them, so nothing
here owes anything to the reader it tests.  Every edit gives a new :class:`Stream`; what a schema would refuse to
build goes in by :meth:`Stream.patch` (any value in any field) or as raw octets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ..schema import describe, libxc
from ..schema.build import big_endian
from ..schema.layers import LAYERS

HEADERS = {
    f"{layer.name}.{name}": con for layer in LAYERS for name, _, _, con in layer.headers if name != "record_header"
}
RECORDS = {f"{layer.name}.{row.name}": row for layer in LAYERS for row in layer.records}
# What stands before each record, and what records are padded to.
_RECORD_HEADERS = {layer.name: con for layer in LAYERS for name, _, _, con in layer.headers if name == "record_header"}
_ALIGN = {layer.name: layer.align for layer in LAYERS}
# Headers in which a layer announces the byte order of what follows them.
_ANNOUNCING = {"libxl.header": "libxl", "libxc.image_header": "libxc"}
_PLACE = re.compile(r"(?:(?P<part>\w+)\[(?P<number>\d+)\]\.?)?(?P<field>.*)")
_PIECE = 1 << 20


@cache
def _layouts() -> dict[str, describe.Layout]:
    return describe.catalogue()


@cache
def _body(path: str, order: str) -> Any:
    con = HEADERS[path] if path in HEADERS else RECORDS[path].body
    return con if order == "<" else big_endian(con)


@cache
def _record_header(layer: str, order: str) -> Any:
    con = _RECORD_HEADERS[layer]
    return con if order == "<" else big_endian(con)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A header or a record at schema path `path`, or raw octets if that is empty.

    The body is built from `values` unless `octets` gives it; `patches` are fields overwritten afterwards.  `code`,
    `claim` and `padding` replace what the record header and the padding would be.  `fill` is a number of zero octets
    at the end of the body, made only while rendering.
    """

    path: str
    values: Mapping[str, Any] = field(default_factory=dict)
    octets: bytes | None = None
    patches: tuple[tuple[str, int | bytes], ...] = ()
    code: int | None = None
    claim: int | None = None
    padding: bytes | None = None
    fill: int = 0

    def filled(self, count: int) -> Part:
        """With `count` zero octets more."""
        return replace(self, fill=self.fill + count)

    def body(self, order: str) -> bytes:
        """The body's octets without `fill`."""
        built = self.octets if self.octets is not None else _body(self.path, order).build(dict(self.values))
        data = bytearray(built)
        for place, value in self.patches:
            _patch(data, _layouts()[self.path], place, value, order)
        return bytes(data)

    def pieces(self, order: str) -> Iterator[bytes]:
        """The octets on the wire, a few at a time."""
        head, tail = _ends(self, order)
        yield head
        yield from _zeros(self.fill)
        yield tail


@cache  # parts are shared by the streams made of them, and construct takes its time
def _ends(part: Part, order: str) -> tuple[bytes, bytes]:
    """A part's octets on the wire before its `fill` and after it."""
    body = part.body(order)
    if not part.path or part.path in HEADERS:
        return body, b""
    length = len(body) + part.fill
    code = RECORDS[part.path].code if part.code is None else part.code
    claim = length if part.claim is None else part.claim
    layer = part.path.partition(".")[0]
    header = b""
    if layer in _RECORD_HEADERS:
        header = _record_header(layer, order).build({"type": code, "length": claim})
    return header + body, bytes(-length % _ALIGN[layer]) if part.padding is None else part.padding


def _zeros(count: int) -> Iterator[bytes]:
    piece = bytes(min(count, _PIECE))
    while count:
        yield piece[:count]
        count -= min(count, _PIECE)


def _patch(data: bytearray, layout: describe.Layout, place: str, value: int | bytes, order: str) -> None:
    """Overwrite one field, such as "reserved" or "entries[2].type", whatever its schema allows."""
    found = _PLACE.fullmatch(place)
    assert found is not None
    offset = 0
    if found["part"]:
        part = layout.parts[0]
        assert part.name == found["part"], f"{layout.path} has no leading part {found['part']}"
        assert part.element is not None, f"{place} is opaque"
        assert part.unit, f"{place} has no fixed size"
        offset = layout.size + part.unit * int(found["number"])
        layout = part.element
    row = next(row for row in layout.fields if row.path == found["field"])
    start, stop = offset + row.offset, offset + row.offset + row.size
    assert stop <= len(data), f"{place} lies behind the body's end"
    if isinstance(value, bytes):
        data[start:stop] = value
        return
    byte_order: Any = "big" if row.big or order == ">" else "little"
    mask = (1 << row.bits) - 1 << row.shift
    whole = int.from_bytes(data[start:stop], byte_order)
    data[start:stop] = (whole & ~mask | value << row.shift & mask).to_bytes(row.size, byte_order)


@dataclass(frozen=True, slots=True)
class Stream:
    """Parts in order.  `big` names the layers that are written big-endian; `cut` ends the octets early.

    A part is named by its path and, where there are several, by which of them it is (`nth`).
    """

    parts: tuple[Part, ...]
    big: frozenset[str] = frozenset()
    cut: int | None = None

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    @property
    def paths(self) -> frozenset[str]:
        """Schema paths of everything in the stream."""
        return frozenset(part.path for part in self.parts)

    def find(self, path: str, nth: int = 0) -> int:
        """Where in `parts` the `nth` part of that path is; negative numbers count from the end."""
        return [number for number, part in enumerate(self.parts) if part.path == path][nth]

    def part(self, path: str, nth: int = 0) -> Part:
        return self.parts[self.find(path, nth)]

    def swap(self, path: str, *parts: Part, nth: int = 0) -> Stream:
        """With `parts` in the place of one."""
        at = self.find(path, nth)
        return replace(self, parts=(*self.parts[:at], *parts, *self.parts[at + 1 :]))

    def before(self, path: str, *parts: Part, nth: int = 0) -> Stream:
        return self.swap(path, *parts, self.part(path, nth), nth=nth)

    def after(self, path: str, *parts: Part, nth: int = 0) -> Stream:
        return self.swap(path, self.part(path, nth), *parts, nth=nth)

    def without(self, path: str, nth: int = 0) -> Stream:
        return self.swap(path, nth=nth)

    def moved(self, path: str, *, before: str, nth: int = 0, before_nth: int = 0) -> Stream:
        """With the `nth` part of `path` taken out and put before another."""
        return self.without(path, nth).before(before, self.part(path, nth), nth=before_nth)

    def then(self, *parts: Part) -> Stream:
        return replace(self, parts=(*self.parts, *parts))

    def edit(self, path: str, nth: int = 0, **changes: Any) -> Stream:
        """With other attributes of one part, such as `claim` or `octets`."""
        return self.swap(path, replace(self.part(path, nth), **changes), nth=nth)

    def put(self, path: str, nth: int = 0, **values: Any) -> Stream:
        """With other values for the schema to build one part from."""
        return self.edit(path, nth, values={**self.part(path, nth).values, **values})

    def patch(self, path: str, place: str, value: int | bytes, nth: int = 0) -> Stream:
        """With one field overwritten behind the schema's back."""
        return self.edit(path, nth, patches=(*self.part(path, nth).patches, (place, value)))

    def resized(self, path: str, length: int, nth: int = 0) -> Stream:
        """With the body of one record, which its header announces truly, shortened or filled up with zeros."""
        body = self.part(path, nth).body("<")
        return self.edit(path, nth, octets=body[:length].ljust(length, b"\0"), patches=())

    def big_endian(self, *layers: str) -> Stream:
        """With those of the layers big-endian that have a header to say so."""
        headed = {path.partition(".")[0] for path in self.paths & HEADERS.keys()}
        return replace(self, big=frozenset(layers) & headed)

    def upto(self, path: str, nth: int = 0, extra: int = 0) -> Stream:
        """Cut where that part begins, or `extra` octets further."""
        return replace(self, cut=self.offset(path, nth) + extra)

    def offset(self, path: str, nth: int = 0) -> int:
        """Where in the octets that part begins."""
        return self.offsets()[self.find(path, nth)]

    def offsets(self) -> list[int]:
        """Where each part begins, and where the last one ends if nothing cuts the stream."""
        found = [0]
        for part in self.parts:
            found.append(found[-1] + sum(map(len, self._pieces(part))))
        return found

    def _pieces(self, part: Part) -> Iterator[bytes]:
        if _ANNOUNCING.get(part.path) in self.big:
            part = replace(part, patches=(*part.patches, ("options.endian", 1)))
        return part.pieces(">" if part.path.partition(".")[0] in self.big else "<")

    def pieces(self) -> Iterator[bytes]:
        """The stream's octets, a few at a time: a large one never is in memory whole."""
        left = self.cut
        for part in self.parts:
            for piece in self._pieces(part):
                if left is None:
                    yield piece
                elif left > 0:
                    yield piece[:left]
                    left -= len(piece[:left])

    def render(self) -> bytes:
        return b"".join(self.pieces())


# -- parts ----------------------------------------------------------------------------------------------------


def raw(octets: bytes, fill: int = 0) -> Part:
    """Octets as they are, then `fill` zeros."""
    return Part("", octets=octets, fill=fill)


def header(path: str, **values: Any) -> Part:
    return Part(path, values)


def record(path: str, octets: bytes | None = None, **values: Any) -> Part:
    """A record built from values, or with a body of given octets."""
    return Part(path, values, octets)


def unknown(layer: str, code: int, octets: bytes = b"") -> Part:
    """A record of a type of one's choice."""
    return Part(f"{layer}.END", octets=octets, code=code)


def pages(*entries: tuple[int, str], content: Mapping[int, bytes] | None = None) -> Part:
    """PAGE_DATA for (frame, type name) pairs; content is derived from the frame number where not given."""
    types = {row.name: row for row in libxc.PAGE_TYPES}
    return record(
        "libxc.PAGE_DATA",
        count=len(entries),
        entries=[{"type": types[kind].code, "pfn": pfn} for pfn, kind in entries],
        pages=[
            (content or {}).get(pfn, bytes([pfn & 0xFF]) * libxc.PAGE_SIZE) for pfn, kind in entries if types[kind].data
        ],
    )


def context(*entries: tuple[int, int, bytes]) -> Part:
    """HVM_CONTEXT of (type, instance, data) entries."""
    rows = [{"typecode": kind, "instance": number, "length": len(data), "data": data} for kind, number, data in entries]
    return record("libxc.HVM_CONTEXT", context=rows)


def params(*pairs: tuple[int, int]) -> Part:
    return record("libxc.HVM_PARAMS", count=len(pairs), params=[{"index": i, "value": v} for i, v in pairs])


# The frame that vcpu contexts made here name as the top of their page tables.
TOP_TABLE = 2
# What a real reader looks at in a vcpu's context, by kind and size: the vcpu is online and its cr3 is a frame number
# (struct vcpu_guest_context, 64- and 32-bit); the masks of an XSAVE area of 576 octets.
_CONTEXTS: dict[tuple[str, int], dict[int, int]] = {
    ("BASIC", 5168): {0x200: 0x20, 0x1390: TOP_TABLE << 12},
    ("BASIC", 2800): {0x200: 0x20, 0xAA8: TOP_TABLE << 12},
    ("XSAVE", 592): {0: 3, 8: 3},
}


def vcpu(kind: str, number: int, size: int) -> Part:
    """One of the opaque vcpu records, `size` octets of context, such as Xen takes where the size is one it knows."""
    blob = bytearray(size)
    for at, value in _CONTEXTS.get((kind, size), {}).items():
        blob[at : at + 4] = value.to_bytes(4, "little")
    if kind == "EXTENDED" and size >= 8:
        blob[:8] = number.to_bytes(4, "little") + size.to_bytes(4, "little")
    return record(f"libxc.X86_PV_VCPU_{kind}", vcpu_id=number, context=bytes(blob))


def vcpu_msrs(number: int, *msrs: tuple[int, int]) -> Part:
    rows = [{"index": index, "value": value} for index, value in msrs]
    return record("libxc.X86_PV_VCPU_MSRS", vcpu_id=number, msrs=rows)


def p2m(start: int, end: int, *frames: int) -> Part:
    return record("libxc.X86_PV_P2M_FRAMES", start_pfn=start, end_pfn=end, frames=list(frames))


def pv_info(width: int, levels: int) -> Part:
    return record("libxc.X86_PV_INFO", guest_width=width, pt_levels=levels)


def xenstore(*strings: str, emulator: int = 2) -> Part:
    """EMULATOR_XENSTORE_DATA of keys and values in turn."""
    pairs = [{"key": k.encode(), "value": v.encode()} for k, v in zip(strings[::2], strings[1::2], strict=True)]
    return record("libxl.EMULATOR_XENSTORE_DATA", emulator_id=emulator, index=0, pairs=pairs)


def control(number: int) -> Part:
    """CHECKPOINT_STATE of an id."""
    return record("libxl.CHECKPOINT_STATE", control_id=number)


def dirty(*pfns: int) -> Part:
    return record("libxc.CHECKPOINT_DIRTY_PFN_LIST", pfns=list(pfns))


def emulator(octets: bytes = b"QEVM\0\0\0\3", number: int = 2) -> Part:
    return record("libxl.EMULATOR_CONTEXT", emulator_id=number, index=0, context=octets)


# -- containers -----------------------------------------------------------------------------------------------

CONFIGURATION = b'{"c_info": {"type": "hvm", "name": "guest"}}\0'
XML = b"<domain type='xen'><name>guest</name></domain>\0"


def in_xl(stream: Stream, configuration: bytes = CONFIGURATION, rest: bytes = b"", **flags: int) -> Stream:
    """An xl save file of the stream; `flags` are those of the header that are not as Xen 4.6 and later write them."""
    data = record("xl.OPTIONAL_DATA", config_len=len(configuration), config=configuration, rest=rest)
    head = header(
        "xl.header",
        byteorder=0x01020304,
        mandatory_flags={"reserved": 0, "stream_v2": 1, "json": 1} | flags,
        optional_flags=0,
        optional_data_len=4 + len(configuration) + len(rest),
    )
    return replace(stream, parts=(head, data, *stream.parts))


def in_migration(saved: Stream, status: int = 0) -> Stream:
    """A capture of both directions of `xl migrate`; `saved` is what the sender sent, as an xl file has it."""
    behind = [record(f"xl-migrate.{name}") for name in ("READY", "GO", "REPORT")]
    behind.append(record("xl-migrate.STATUS", status=status))
    if status:
        behind.append(record("xl-migrate.GIVE_BACK"))
    return replace(saved, parts=(header("xl-migrate.header"), *saved.parts, *behind))


def behind_text(stream: Stream, text: bytes, path: str = "text.TEXT") -> Stream:
    """The stream with text before it."""
    return replace(stream, parts=(record(path, text), *stream.parts))


def in_libvirt(stream: Stream, xml: bytes = XML, version: int = 2) -> Stream:
    """A libvirt save file of the stream."""
    head = header("libvirt.header", version=version, xml_len=len(xml))
    return replace(stream, parts=(head, record("libvirt.XML", xml), *stream.parts))


# -- XAPI suspend images --------------------------------------------------------------------------------------

# A guest's configuration, and the S-expression of the XENOPS record around it: as xenopsd writes them.
VM_STR = r"((id 6f1c2c3e-0b0a-4d5e-8f70-112233445566)(name \"a \\\"guest\\\"\")(xsdata())(vcpu_max 2))"
XENOPS = f'((time 20240301T09:30:00Z)(word_size 64)(vm_str "{VM_STR}")(xs_subtree()))'.encode()


def sized(name: str, octets: bytes) -> Part:
    """A record of a XAPI image whose header gives its length."""
    return record(f"xapi.{name}", octets)


def unsized(name: str, claim: int = 0) -> Part:
    """The header of one whose body has its own end."""
    return replace(record(f"xapi.{name}"), claim=claim)


def in_xapi(image: Stream, *behind: Part, xenops: bytes = XENOPS) -> Stream:
    """A XAPI suspend image of the stream, with `behind` between the memory and the end."""
    before = (header("xapi.header"), sized("XENOPS", xenops), unsized("LIBXC"))
    return replace(image, parts=(*before, *image.parts, *behind, unsized("END_OF_IMAGE")))
