"""How clauses about legacy streams, and files that hold nothing else, are broken beyond what the schema says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from .. import tables
from ..schema import libxc, states
from ..writer import Draft, Part, legacy, raw, record, unknown
from ..writer.entries import SHAPES
from ..writer.legacy import LAYERS
from ..writer.qemu import small_record
from .conforming import made
from .edits import Fault, at, of, rotated, to, truncated
from .sample import Sample

_PV = {name: made((name,), ("pv",), modes=("plain",), clean=True) for name in LAYERS.values()}
_HVM = {name: made((name,), ("hvm",), modes=("plain",), clean=True) for name in LAYERS.values()}
_Value = int | bytes
_TABLES = {row.name for row in libxc.PAGE_TYPES if row.table}
_BEYOND = (libxc.RECORD_LENGTH_MAX + 1, (1 << 31) - 1)


def _with(name: str, edit: Callable[[st.DrawFn, Draft, str], Iterator[Draft]], **wanted: Any) -> tuple[Fault, ...]:
    """What `edit` makes of streams of either width that have such records."""
    return tuple(_of(f"{layer}.{name}", layer, edit, {"modes": ("plain",), **wanted}) for layer in LAYERS.values())


def _of(
    path: str, layer: str, edit: Callable[[st.DrawFn, Draft, str], Iterator[Draft]], wanted: dict[str, Any]
) -> Fault:
    changes = {"deep": True} if wanted.pop("deep", False) else {}
    base = made((layer,), having=(path,), need=(path,), clean=True, **wanted)
    found = base.filter(lambda sample: path in sample.stream.paths)
    return to(found, lambda draw, stream: edit(draw, stream, path), **changes)


def _patched(name: str, field: str, values: st.SearchStrategy[_Value], **wanted: Any) -> tuple[Fault, ...]:
    """With such a value in a field of one of the records."""

    def edit(draw: st.DrawFn, stream: Draft, path: str) -> Iterator[Draft]:
        value = draw(values)
        for number in range(len(of(stream, path))):
            yield stream.patch(path, field, value, number)

    return _with(name, edit, **wanted)


def _put(name: str, values: Callable[[st.DrawFn, Part], dict[str, Any]], **wanted: Any) -> tuple[Fault, ...]:
    """With other values in one of the records."""

    def edit(draw: st.DrawFn, stream: Draft, path: str) -> Iterator[Draft]:
        for number in rotated(draw, of(stream, path)):
            part = stream.parts[number]
            yield at(stream, number, replace(part, values={**part.values, **values(draw, part)}), drop=1)

    return _with(name, edit, **wanted)


def _body(name: str, data: Callable[[st.DrawFn, bytes], bytes], **wanted: Any) -> tuple[Fault, ...]:
    """With another body of one of the records."""

    def edit(draw: st.DrawFn, stream: Draft, path: str) -> Iterator[Draft]:
        for number in rotated(draw, of(stream, path)):
            part = stream.parts[number]
            yield at(stream, number, Part(part.path, data=data(draw, part.body("<"))), drop=1)

    return _with(name, edit, **wanted)


def _before_end(make: Callable[[st.DrawFn, str], list[Part]], guest: str = "") -> tuple[Fault, ...]:
    """With more chunks before the end of the first body."""

    def edit(draw: st.DrawFn, stream: Draft, path: str) -> Iterator[Draft]:
        yield stream.before(path, *make(draw, path.partition(".")[0]))

    return _with("END_OF_BODY", edit, **({"guests": (guest,)} if guest else {}))


def _again(name: str, **wanted: Any) -> tuple[Fault, ...]:
    """With a chunk twice."""

    def edit(_: st.DrawFn, stream: Draft, path: str) -> Iterator[Draft]:
        yield stream.before(path, stream.part(path))

    return _with(name, edit, **wanted)


def _without(name: str, **wanted: Any) -> tuple[Fault, ...]:
    """Without any of the records."""

    def edit(_: st.DrawFn, stream: Draft, path: str) -> Iterator[Draft]:
        yield replace(stream, parts=tuple(part for part in stream.parts if part.path != path))

    return _with(name, edit, **wanted)


def _wild(draw: st.DrawFn, stream: Draft, path: str) -> Iterator[Draft]:
    """With a page table that points to a frame that the guest has not."""
    shape = SHAPES[path]
    for number in of(stream, path):
        part = stream.parts[number]
        filled = [entry for entry in part.values["entries"] if entry & shape.kind in shape.filled]
        for place in [place for place, entry in enumerate(filled) if shape.type(entry) in _TABLES]:
            pages = list(part.values["pages"])
            pages[place] = (draw(st.integers(99, 1 << 30)) << libxc.PAGE_SHIFT | 1).to_bytes(8, "little")
            pages[place] = pages[place].ljust(libxc.PAGE_SIZE, b"\0")
            yield at(stream, number, replace(part, values={**part.values, "pages": pages}), drop=1)


# -- extended info --------------------------------------------------------------------------------------------


def _blocks(change: Callable[[st.DrawFn, list[dict[str, Any]]], list[dict[str, Any]]]) -> tuple[Fault, ...]:
    """With other blocks, and their total."""

    def values(draw: st.DrawFn, part: Part) -> dict[str, Any]:
        blocks = change(draw, list(part.values["blocks"]))
        return {"blocks": blocks, "total": sum(8 + len(block["data"]) for block in blocks)}

    return _put("EXTENDED_INFO", values)


def _block(tag: bytes, data: bytes) -> dict[str, Any]:
    return {"id": tag, "size": len(data), "data": data}


# -- compressed pages -----------------------------------------------------------------------------------------

_REMUS = {"modes": ("remus",)}
_NO_PAGES = (b"\x81\0", b"\x82\0\0\0\0\0\x80", b"\xff" * 9, b"\xff" * 8 + b"\x85\4" + bytes(16))


# -- the tails ------------------------------------------------------------------------------------------------


def _registers(change: Callable[[st.DrawFn, dict[str, Any]], tuple[int, int, int]]) -> tuple[Fault, ...]:
    """With another number in a vcpu's context: its offset, size and value by width."""

    def data(draw: st.DrawFn, body: bytes) -> bytes:
        width = next(width for width, size in tables.VCPU_CONTEXT_SIZES.items() if size == len(body))
        place, size, value = change(draw, {"width": width})
        return body[:place] + value.to_bytes(size, "little") + body[place + size :]

    return _body("VCPU", data)


def _other_top(draw: st.DrawFn, facts: dict[str, Any]) -> tuple[int, int, int]:
    return tables.VCPU_CONTEXT_CR3[facts["width"]], facts["width"], draw(st.sampled_from((0, 1, 99))) << 12


def _large_gdt(draw: st.DrawFn, facts: dict[str, Any]) -> tuple[int, int, int]:
    return tables.VCPU_CONTEXT_GDT_ENTS[facts["width"]], facts["width"], draw(st.integers(7169, 9000))


def _context(*texts: bytes) -> tuple[Fault, ...]:
    return _body("HVM_CONTEXT", lambda draw, _: _counted(draw(st.sampled_from(texts))))


def _counted(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


_BEGUN = bytes.fromhex("0100000018000000 86123854") + bytes(20)


def _params(draw: st.DrawFn, layer: str) -> list[Part]:
    """A parameter, or the two that go together."""
    pair = [f"HVM_{name}" for name in ("IOREQ_SERVER_PFN", "NR_IOREQ_SERVER_PAGES")]
    names = draw(st.sampled_from([[name] for name in states.LEGACY_PARAMS if name not in pair] + [pair]))
    return [record(f"{layer}.{name}", value=1) for name in names]


def _tmem(layer: str) -> list[Part]:
    """Transcendent memory without pools."""
    saved = legacy.Saved(word=next(word for word, name in LAYERS.items() if name == layer))
    return [part for part in legacy.transcendent(saved) if part.name in ("TMEM", "TMEM_END")]


# -- files ----------------------------------------------------------------------------------------------------


def _in(form: str, edit: Callable[[st.DrawFn, Draft], Iterator[Draft]]) -> Fault:
    return to(made((form,), clean=True), edit)


def _noise(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With a text in the place of the stream."""
    number = next(number for number, part in enumerate(stream.parts) if part.layer in LAYERS.values())
    text = draw(st.text("abcdefgh ", min_size=40, max_size=60))
    yield replace(stream, parts=(*stream.parts[:number], raw(text.encode())))


def _image(form: str) -> Fault:
    """A file with an image inside."""

    def fault(draw: st.DrawFn) -> Iterator[Sample]:
        sample = draw(made((form,), clean=True))
        image = draw(made(("libxc",), modes=("plain",), clean=True)).stream
        outer = tuple(part for part in sample.stream.parts if part.layer == form)
        yield replace(sample, stream=Draft((*outer, *image.parts)))

    return fault


def _config(*texts: bytes) -> Fault:
    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        text = draw(st.sampled_from(texts))
        found = stream.edit("xend.CONFIG", data=text)
        yield found.patch("xend.header", "config_len", len(text))

    return _in("xend", edit)


FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "LEGACY-TRUNC": tuple(truncated(base, name) for bases in (_PV, _HVM) for name, base in bases.items()),
    "LEGACY-CHUNK": _before_end(lambda draw, layer: [unknown(layer, draw(st.integers(-(1 << 31), -21)))]),
    "LEGACY-AFTER": tuple(
        to(base, lambda draw, stream: iter([stream.then(raw(draw(st.binary(min_size=9, max_size=24).filter(any))))]))
        for base in _PV.values()
    ),
    "LEGACY-ONCE": (
        *_again("TSC_INFO"),
        *_again("ENABLE_COMPRESSION", **_REMUS),
        *_before_end(lambda draw, layer: 2 * [record(f"{layer}.ENABLE_VERIFY_MODE")]),
    ),
    "LEGACY-VCPU-INFO": _without("VCPU_INFO", guests=("pv",)),
    "LEGACY-PAGES": _without("PAGE_BATCH", guests=("hvm",)),
    "LEGACY-HVM-ONLY": _before_end(_params, "pv"),
    "LEGACY-TMEM-FIRST": _before_end(lambda draw, layer: _tmem(layer)),
    "LEGACY-TMEM-EXTRA": _before_end(lambda draw, layer: [record(f"{layer}.TMEM_EXTRA")]),
    "LEGACY-COMPRESSED-ON": _before_end(lambda draw, layer: [Part(f"{layer}.COMPRESSED_DATA", {"data": b""})]),
    "LEGACY-P2M-SIZE": _patched("header", "p2m_size", st.sampled_from((0, 1 << 28, (1 << 32) - 1))),
    "LEGACY-EXTINFO-SIZE": _patched("EXTENDED_INFO", "total", st.integers((64 << 10) + 1, (1 << 32) - 1)),
    "LEGACY-EXTINFO-BLOCKS": _blocks(
        lambda draw, blocks: [
            _block(it["id"], draw(st.binary(min_size=1, max_size=9))) if it["id"] == tables.LEGACY_EXTV_TAG else it
            for it in blocks
        ]
    ),
    "LEGACY-EXTINFO-VCPU": (
        *_blocks(lambda draw, blocks: blocks[1:]),
        *_blocks(lambda draw, blocks: [_block(tables.LEGACY_VCPU_TAG, bytes(draw(st.integers(0, 99)))), *blocks[1:]]),
    ),
    "LEGACY-EXTINFO-TAG": (
        *_blocks(lambda draw, blocks: [*blocks, _block(b"more", draw(st.binary(max_size=9)))]),
        *_blocks(lambda draw, blocks: [*blocks, blocks[-1]]),
    ),
    "LEGACY-PTE-PFN": _with("PAGE_BATCH", _wild, guests=("pv",), deep=True),
    "LEGACY-P2M-ENTRY": _put("P2M_FRAME_LIST", lambda draw, part: {"frames": [draw(st.sampled_from((2, 99)))]}),
    "LEGACY-BATCH-COUNT": _patched("PAGE_BATCH", "count", st.integers(1025, (1 << 31) - 1)),
    "LEGACY-PAGE-PFN": _patched("PAGE_BATCH", "entries[0].pfn", st.integers(99, (1 << 28) - 1)),
    "LEGACY-PAGE-TYPE": (
        *_patched("PAGE_BATCH", "entries[1].type", st.integers(1, 8).filter(lambda it: it != 8), guests=("hvm",)),
        *_patched("PAGE_BATCH", "entries[0].type", st.integers(5, 7)),
    ),
    "LEGACY-PAGE-RESERVED": _patched("PAGE_BATCH", "entries[0].reserved", st.integers(1, (1 << 32) - 1))[:1],
    "LEGACY-VCPU-ID": _patched("VCPU_INFO", "max_vcpu_id", st.integers(4096, (1 << 32) - 1)),
    "LEGACY-VCPU-MAP": _put("VCPU_INFO", lambda draw, part: {"map": [it | 1 << 63 for it in part.values["map"]]}),
    "LEGACY-PARAM-ZERO": _patched("HVM_IDENT_PT", "value", st.just(0)),
    "LEGACY-ACPI-IOPORTS": _patched("HVM_ACPI_IOPORTS_LOCATION", "value", st.integers(2, (1 << 64) - 1)),
    "LEGACY-IOREQ-PAIR": (*_without("HVM_IOREQ_SERVER_PFN"), *_without("HVM_NR_IOREQ_SERVER_PAGES")),
    "LEGACY-TOOLSTACK": (
        *_patched("TOOLSTACK", "count", st.integers(3, (1 << 32) - 1)),
        *_patched("TOOLSTACK", "version", st.sampled_from((0, 2))),
    ),
    "LEGACY-COMPRESSED-FORM": _put(
        "COMPRESSED_DATA", lambda draw, part: {"data": draw(st.sampled_from(_NO_PAGES))}, **_REMUS
    ),
    "LEGACY-COMPRESSED-COUNT": _put(
        "COMPRESSED_DATA", lambda draw, part: {"data": part.values["data"] + b"\0"}, **_REMUS
    ),
    "LEGACY-UNMAPPED": (
        *_put("UNMAPPED", lambda draw, part: {"pfns": [draw(st.integers(99, 1 << 28))]}),
        *_patched("UNMAPPED", "count", st.integers((1 << 28) + 1, (1 << 32) - 1)),
    ),
    "LEGACY-VCPU-PFN": (*_registers(_other_top), *_registers(_large_gdt)),
    "LEGACY-VCPU-EXT": (
        *_patched("VCPU_EXT", "vcpu", st.integers(99, (1 << 32) - 1)),
        *_patched("VCPU_EXT", "size", st.sampled_from((0, 129))),
    ),
    "LEGACY-XSAVE-SIZE": _put(
        "VCPU_XSAVE", lambda draw, part: {"size": (size := draw(st.integers(0, 99))), "context": bytes(size)}
    ),
    "LEGACY-HVMCTX-FORM": _context(b"", bytes(8), _BEGUN, _BEGUN + bytes(4)),
    "LEGACY-HVMCTX-ENTRY": _context(_BEGUN + b"\x63\0\0\0\0\0\0\0" + bytes(8)),
    "LEGACY-HVMCTX-TAIL": _context(_BEGUN + bytes(8) + b"more"),
    "LEGACY-QEMU-PRESENT": _without("QEMU_0002"),
    "LEGACY-QEMU-FORM": _put(
        "QEMU_0002", lambda draw, part: {"state": draw(st.sampled_from((b"", b"qevm", b"state")))}
    ),
    "LEGACY-QEMU-WHOLE": _put(
        "QEMU_0002", lambda draw, part: {"state": small_record(b"\1\2")[: draw(st.integers(9, 26))]}
    ),
    "LEGACY-LENGTH": (
        *_patched("HVM_CONTEXT", "length", st.integers(*_BEYOND)),
        *_patched("QEMU_0002", "length", st.integers(*_BEYOND)),
        *_patched("TOOLSTACK", "length", st.integers(*_BEYOND)),
        *_patched("COMPRESSED_DATA", "length", st.integers(*_BEYOND), **_REMUS),
        *_patched("VCPU_XSAVE", "size", st.integers(tables.LEGACY_XSAVE_MAX + 1, (1 << 64) - 1)),
    ),
    "XAPI-OLD-TRUNC": truncated(made(("xapi-legacy",), clean=True), "xapi-legacy"),
    "XAPI-OLD-STREAM": (_image("xapi-legacy"), _in("xapi-legacy", _noise)),
    "XEND-TRUNC": truncated(made(("xend",), clean=True), "xend"),
    "XEND-CONFIG-LEN": _in(
        "xend",
        lambda draw, stream: iter(
            [stream.patch("xend.header", "config_len", draw(st.integers(1 << 31, (1 << 32) - 1)))]
        ),
    ),
    "XEND-CONFIG-FORM": _config(b"{'domid': 7}", b"domain", b"(domain (domid 7))\0"),
    "XEND-STREAM": (_image("xend"), _in("xend", _noise)),
}
