"""What a schema makes of streams, for comparing two: built by recipes, read, judged, converted, made recipes again.

Nothing of the package is imported before it is used: the process may have another schema by then.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from struct import pack
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """Bytes, and how they are to be read; of what is `built` the records are listed, and some is to be `converted`.

    Of some it is also asked where the guest has its `memory`.
    """

    data: bytes
    form: str = "auto"
    mode: str = "auto"
    deep: bool = False
    built: bool = False
    converts: bool = False
    memory: bool = False


def _guests() -> Iterator[tuple[str, str]]:
    """Recipes of guests with something of everything that the schema has, by name."""
    from ... import tables
    from ...schema import hvm, libxc, libxl, magic

    first, latest = libxc.VERSION_FIRST, libxc.VERSION_STATIC
    top = {width: f"L{levels}TAB_PINNED" for width, levels in libxc.PV_COMBINATIONS}
    types = [row.name for row in libxc.PAGE_TYPES if row.table]
    plain = ", ".join(f"{4 + place} {row.name}" for place, row in enumerate(libxc.PAGE_TYPES) if not row.table)
    entries = "".join(
        f"[[context]]\ntype = '{row.name}'\ninstance = {place}\ndata = {_entry(row, length)}\n"
        for row in hvm.CONTEXT_TYPES
        if row.name not in ("END", "HEADER")
        for place, length in enumerate(row.lengths if not row.unit else (row.lengths[0], row.lengths[0] + row.unit))
    )
    names = [name for name in hvm.PARAMS if name != "PAE_ENABLED"]
    params = "[params]\n" + "".join(f"{name} = {place}\n" for place, name in enumerate(names, 1))
    last = tables.ENTRY_PFN_MASK
    memory = f"[memory]\nrecords = ['0-3', '{plain}', '100', '101', '102 XTAB', '{last:#x}']\n"
    yield "hvm", f"guest = 'hvm'\nform = 'libxc'\n{memory}{params}{entries}"
    yield "hvm-first", f"guest = 'hvm'\nform = 'libxc'\nversion = {first}\n{memory}{params}PAE_ENABLED = 1\n{entries}"
    for width in libxc.WIDTHS:
        kinds = ", ".join(f"{3 + place} {name}" for place, name in enumerate(types))
        frames = f"0-1, 2 {top[width]}, {kinds}, {3 + len(types)} XTAB"
        for version in (first, latest):
            yield (
                f"pv-{width}-{version == latest}",
                (
                    f"guest = 'pv'\nform = 'libxc'\nbits = {8 * width}\ndeep = true\nversion = {version}\nvcpus = 2\n"
                    f"[memory]\nrecords = ['{frames}']\ntables = {{ hex = '{_page_table().hex()}' }}\n"
                ),
            )
    yield "many", "guest = 'hvm'\nform = 'libxc'\nmemory = { frames = '0-1499 XALLOC' }"
    small = "guest = 'hvm'\nform = '{}'\n"
    key = libxl.XENSTORE_KEY.decode().lstrip("/")
    xenstore = f"[xenstore]\n'{key}' = {{ hex = '{libxl.XENSTORE_VALUE.hex()}' }}\nname = ''\n"
    for form in ("libxl", "xl", "libvirt", "xapi"):
        yield form, small.format(form) + (xenstore if form == "libxl" else "")
    yield "migrate", small.format("xl-migrate")
    yield "text", small.format("xl-migrate") + f"text = {{ hex = '{_text().hex()}' }}"
    yield "converted", small.format("libxl") + "converted = true\n[emulator]\nkind = 'traditional'"
    yield "remus", small.format("libxl") + "checkpoints = 2"
    yield "colo", small.format("libxl") + "colo = true\ncheckpoints = 2"
    yield "pv-libxl", "guest = 'pv'\nform = 'libxl'\ncheckpoints = 1"
    bodies = {"VARSTORED": "v", "SWTPM": "AAAA", "QEMU_TRAD": "QEVM"}
    states = "".join(f"[[state]]\ntype = '{name}'\nbody = '{text}'\n" for name, text in bodies.items())
    yield "xapi-states", small.format("xapi") + states
    request = magic.REQUEST + b"memory/1 HTTP/1.1\r\nX:" + magic.HEAD_LINE + b"\r\n\r\n"
    yield "xapi-http", small.format("xapi") + f"http = {{ hex = '{request.hex()}' }}\n"
    parts = [f"{{ record = 'libxl.CHECKPOINT_STATE', fields = {{ control_id = '{name}' }} }}" for name in _ids()]
    parts.append("{ record = 'libxc.CHECKPOINT_DIRTY_PFN_LIST', fields = { pfns = [1, 2] } }")
    yield "back-channel", f"form = 'back-channel'\npart = [{', '.join((*parts, *parts))}]"


def _saved() -> Iterator[tuple[str, str]]:
    """Recipes of guests of releases that saved legacy streams, by name."""
    from ...schema import legacy, libxc, qemu
    from ...writer.legacy import LAYERS

    top = {width: f"L{levels}TAB_PINNED" for width, levels in libxc.PV_COMBINATIONS}
    table = next(row.name for row in libxc.PAGE_TYPES if row.table)
    region = "[[physmap]]\nphys_offset = 0x1000\nstart_addr = 0xf0000000\nsize = 0x800000\nname = 'vga.vram'\n"
    again = "checkpoints = 3\ncompressed = true\n[memory]\nframes = '0-7'\nagain = ['0-1, 4 XTAB']"
    live = "unmapped = '5'\n[memory]\nframes = '0-1, 2 {}, 3, 4 {}, 5 XTAB, 6'\nagain = ['3']"
    for word, form in LAYERS.items():
        if word not in top:
            continue  # no guest is as wide as such a toolstack, where that is altered
        hvm = f"guest = 'hvm'\nform = '{form}'\nvcpus = 2\n"
        yield f"hvm-{word}", f"{hvm}[memory]\nrecords = ['0-3, 4 XTAB, 5 BROKEN, 6 XALLOC, 7', '6']\n{region}"
        yield f"late-{word}", f"{hvm}release = '{legacy.LAST}'\n"
        yield f"remus-{word}", f"{hvm}{again}\n{region}"
        pv = f"guest = 'pv'\nform = '{form}'\nvcpus = 2\n"
        for release in ("3.1", "4.0", "4.4"):
            tmem = f"tmem = {str(release != '3.1').lower()}\n"
            yield f"pv-{word}-{release}", f"{pv}release = '{release}'\n{tmem}{live.format(top[word], table)}"
        state = f"context = [{{ hex = '{qemu.MAGIC.hex()}' }}, {{ zeros = 100000 }}]"
        yield f"to-the-end-{word}", f"{hvm}release = '3.4'\n[emulator]\n{state}"
    for form in ("xend", "xapi-legacy", "xl", "libvirt", "xapi") if max(LAYERS) in top else ():
        yield form, f"guest = 'hvm'\nform = '{form}'\nrelease = '{'3.4' if form == 'xend' else '4.4'}'\n"


def _text() -> bytes:
    """A line of every character that text may have."""
    from ...schema import magic

    letters = (chr(code) for code in range(0x100))
    return b"Warning" + b"".join(it.encode() for it in letters if set(it.encode()) <= set(magic.TEXT)) + b"\n"


def _page_table() -> bytes:
    """An entry with every flag, which points to frame 1."""
    from ... import tables

    shift, mask = tables.PTE_PFN
    return (((1 << 64) - 1) & ~(mask << shift) | 1 << shift).to_bytes(8, "little")


def _ids() -> tuple[str, ...]:
    from ...schema import libxl, protocol

    names = (record.rpartition(" ")[2] for record in protocol.BACK_RECORDS.values())
    return tuple(name for name in names if name in libxl.CHECKPOINT_STATES)


def _entry(row: Any, length: int) -> str:
    if not row.counted:
        return f"{{ zeros = {length} }}"
    count = 1 + (length - row.lengths[0]) // row.unit
    begins = count.to_bytes(4, "little")[:length]
    return f"[{{ hex = '{begins.hex()}' }}, {{ zeros = {length - len(begins)} }}]"


def _legacy() -> Iterator[tuple[str, bytes]]:
    """Heads of legacy streams with every chunk, and at and beyond every limit."""
    from ... import tables as t
    from ...schema.legacy import PAGE_TYPES

    end = bytes(4)
    void = next(code for code in sorted(t.LEGACY_NO_DATA) if code != t.LEGACY_XTAB)

    def batch(pfns: Sequence[int], kind: int = t.LEGACY_XTAB) -> bytes:
        return pack(f"<i{len(pfns)}Q", len(pfns), *(kind << t.LEGACY_TYPE_SHIFT | pfn for pfn in pfns))

    def guest(*rest: bytes, size: int = 16) -> bytes:
        return pack("<Q", size) + b"".join(rest)

    def sized(length: int) -> bytes:
        return length.to_bytes(t.LEGACY_LENGTH_SIZE, "little")

    full = batch(range(16))
    for number in t.LEGACY_PARAMS:
        yield f"parameter-{number}", guest(full, pack("<iIQ", number, 0, 1), end)
    for number in (*t.LEGACY_MARKS, t.LEGACY_TMEM_EXTRA):
        yield f"mark-{number}", guest(full, pack("<i", number), end)
    for over in (0, 1):
        highest = t.LEGACY_VCPU_ID_MAX + over
        online = (1).to_bytes(8 * (highest // 64 + 1), "little")
        yield f"vcpus-{over}", guest(full, pack("<iI", t.LEGACY_VCPUS, highest), online, end)
        for chunk, mode, khz in (("mode", over, 0), ("khz", 0, -over)):
            info = t.LEGACY_TSC_MODE_MAX + mode, 0, t.LEGACY_TSC_KHZ_MIN + khz, 0
            yield f"tsc-{chunk}-{over}", guest(pack("<iIQII", t.LEGACY_TSC, *info), batch([0]), end)
        version = t.LEGACY_TMEM_VERSION_MAX + over
        yield f"tmem-{over}", guest(pack("<i4I", t.LEGACY_TMEM, version, 0, 0xFFFFFFFF, 0))
        yield f"p2m-{over}", guest(full, size=t.LEGACY_P2M_MAX + over)
        yield f"batch-{over}", guest(batch(range(t.LEGACY_BATCH_MAX + over)), size=1 << 20)
        listed = t.LEGACY_LISTED_MAX[min(t.LEGACY_LISTED_MAX)] + over
        frames = min(listed * 4 // t.PAGE_SIZE, 1 << 14)
        yield f"listed-{over}", pack(f"<{frames}I", listed, *range(1, frames))
        for size, width in t.LEGACY_VCPU_WIDTHS.items():
            least = t.LEGACY_BLOCK_HEADER + size
            for limit, length in (("most", t.LEGACY_EXTINFO_MAX + over), ("least", least - over)):
                block = t.LEGACY_VCPU_TAG + sized(size)
                yield f"extended-{width}-{limit}-{over}", pack("<QQ", 1 << 18, (1 << 64) - 1) + sized(length) + block
    yield "toolstack", guest(full, pack("<iI", t.LEGACY_TOOLSTACK, 8), bytes(8), end)
    paged = PAGE_TYPES[-1].code
    yield "paged", guest(batch([0], paged), bytes(t.PAGE_SIZE), batch(range(16)), end)
    yield "types", guest(batch(range(16), void), end)
    bits, by = 18, t.LEGACY_PERMUTE_BITS
    yield "permuted", guest(batch([index << by & (1 << bits) - 1 for index in range(64)], void), size=1 << bits)


def samples() -> dict[str, Sample]:
    """All of them, built by the schema as it is."""
    from ...recipes import load
    from ...schema import libvirt, magic, neighbours
    from ...writer.builders import in_migration
    from . import altered_qemu, beside_streams

    found = {}
    for name, text in _guests():
        made = load.load(f"recipe = 1\n{text}")
        form = made.form if name == "back-channel" else "auto"
        found[name] = Sample(made.stream.render(), form, made.mode, made.deep, built=True)
    failed = in_migration(load.load("recipe = 1\nguest = 'hvm'\nform = 'xl'").stream, 1)
    found["given-back"] = Sample(failed.render(), built=True)
    for name, text in _saved():
        data = load.load(f"recipe = 1\n{text}").stream.render()
        found[f"saved-{name}"] = Sample(data, built=True, converts=True)
    for place, row in enumerate(magic.MAGICS):
        found[f"magic-{place}"] = Sample(bytes(row.offset) + row.data + bytes(range(64, 128)))
    for name, (_, data) in beside_streams.examples(neighbours.NEIGHBOURS).items():
        found[f"neighbour-{name}"] = Sample(data)
    for place, trailer in enumerate(magic.TRAILERS):
        found[f"trailer-{place}"] = Sample(found["many"].data + trailer.data)
    head = magic.REQUEST + b"memory/1 HTTP/1.0\r\n\r\n"
    found["xapi-http-reply"] = Sample(head + magic.REPLY + found["xapi"].data, built=True)
    found["namesake"] = Sample(libvirt.MAGIC + (99).to_bytes(4, "little") + bytes(magic.UNUSED) + b"<domain>")
    found |= {f"legacy-{name}": Sample(head) for name, head in _legacy()}
    for name, data in altered_qemu.examples():
        found[f"qemu-{name}"] = Sample(data, deep=True, built=True, memory=name.startswith("memory"))
    return found


def seen(sample: Sample) -> dict[str, Any]:
    """What comes of a sample: what it is identified as, the verdict, findings, and what it is converted to."""
    from ...api import identify, verify

    found: dict[str, Any] = {}
    identity = identify(sample.data, form=sample.form)  # type: ignore[arg-type] # it is a form
    found["identity"] = (identity.key, identity.description, identity.guest, [it.path for it in identity.layers])
    found["evidence"] = identity.evidence, identity.doubt
    outcome = verify(sample.data, form=sample.form, mode=sample.mode, deep=sample.deep)  # type: ignore[arg-type] # likewise
    found["verdict"] = outcome.verdict
    found["findings"] = [(it.clause, it.offset, f"{it.message}; {it.expected}; {it.length}") for it in outcome.findings]
    found["records"] = _records(sample) if sample.built else []
    found["converted"] = _converted(sample) if sample.converts else ()
    found["memory"] = _memory(sample) if sample.memory else ()
    return found


def _records(sample: Sample) -> list[tuple[Any, ...]]:
    """What it consists of, as far as it can be read."""
    from ... import api
    from ...errors import StreamError

    found: list[tuple[Any, ...]] = []
    try:
        with api.open(sample.data, form=sample.form) as stream:  # type: ignore[arg-type] # it is a form
            for item in stream:
                if isinstance(item, api.Record):
                    found.append((item.layer, item.index, item.name, item.type, item.offset, item.length))
    except StreamError as error:
        found.append((type(error).__name__, str(error)))
    return found


def _memory(sample: Sample) -> tuple[str, list[tuple[int, int]]]:
    """Where a guest has the memory that is in it: of which block, and the frames that came."""
    from ...io.memory import MemorySource
    from ...io.sources import drive
    from ...memory.collector import Collector

    collector = Collector()
    source = MemorySource(sample.data)
    collector.reading(source)
    drive(collector.reader.pump, source)
    collector.end()
    return collector.about, [*collector.frames.ranges()]


def _converted(sample: Sample) -> tuple[str, bytes, list[tuple[str, int, str]]]:
    """What it becomes without what cannot be kept, the verdict on that, and what the report says."""
    from ...api import verify
    from ...convert.part import Options
    from ...convert.run import convert
    from ...io.outputs import output

    fd, pieces = os.memfd_create("legacy"), io.BytesIO()
    try:
        os.write(fd, sample.data)
        os.lseek(fd, 0, os.SEEK_SET)
        result = convert(fd, lambda: output(pieces), Options(allow_loss=True), lambda size: nullcontext(None))
    finally:
        os.close(fd)
    lines = [(line.rule, line.offset, line.detail) for line in result.report]
    made = pieces.getvalue()
    return verify(made).verdict if result.done else "", made, lines


def recipe(sample: Sample) -> tuple[str, bool]:
    """The recipe of a sample, and whether it makes the same bytes."""
    from ...recipes import from_stream, load

    text, _ = from_stream.from_bytes(sample.data)
    return text, load.load(text).stream.render() == sample.data


def reference() -> str:
    """The documentation's tables."""
    from ...render import reference

    return reference.text()
