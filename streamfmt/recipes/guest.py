"""Guests as recipes describe them, made into streams: what records one has, in what order, in what wrapper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat

from ..codec.content import Content, Numbers, joined
from ..codec.decode import layouts
from ..codec.plan import implied
from ..reader.registry import ROWS
from ..schema import hvm, libxc, libxl, qemu, xapi
from ..writer.builders import (
    TOP_TABLE,
    XML,
    XSAVE_SIZE,
    after_text,
    context,
    control,
    emulator,
    image_headers,
    in_libvirt,
    in_libxl,
    in_migration,
    in_xapi,
    in_xl,
    params,
    pv_info,
    sized,
    vcpu,
    vcpu_msrs,
    xenstore,
)
from ..writer.draft import Draft
from ..writer.part import Part, header, record
from .hvm_context import context_of
from .memory import Frames, Many, Memory
from .pages import described, with_fields
from .parse import FRAMES_MAX, content, fill, frames
from .toml import Table, integer, meant, shown

# Records of the first pages of memory, this many in all, are parts of their own, which faults can be done to.
_EACH = 16384
VCPUS_MOST = 4096
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_LEVELS = dict(libxc.PV_COMBINATIONS)
# Top page tables by width.
_TOPS = {
    width: next(row.name for row in libxc.PAGE_TYPES if row.level == levels and row.pinned)
    for width, levels in libxc.PV_COMBINATIONS
}
_EMULATORS = {
    name.removeprefix("QEMU_").lower(): code for name, code in libxl.EMULATOR_IDS.items() if name.startswith("QEMU_")
}
# Records of a XAPI image whose body has a length.
_STATES = tuple(row.name for row in xapi.RECORDS if layouts()[f"xapi.{row.name}"].parts)
_LEAVES_MAX = libxc.RECORD_LENGTH_MAX // 8 - 1
_TSC = {"mode": 0, "khz": 2_400_000, "nsec": 10**9, "incarnation": 1}
_PARAMS = {"STORE_PFN": 0xFEFFC, "IOREQ_PFN": 0xFEFF8, "CONSOLE_PFN": 0xFEFFF}


def compose(top: Table, form: str, mode: str) -> Draft:
    """The stream of the guest that a recipe's top table describes.  Raises RecipeError."""
    stream = _guest(top, form, mode)
    return prefaced(top, stream)


def prefaced(top: Table, stream: Draft) -> Draft:
    """The stream with what comes before it."""
    for key, path in (("http", "http.HEAD"), ("text", "text.TEXT")):
        if key in top:
            stream = after_text(stream, content(top, key), path)
    return stream


def _guest(top: Table, form: str, mode: str) -> Draft:
    kind = top.one_of("guest", tuple(libxc.GUESTS), "")
    version = top.number("version", libxc.VERSIONS[-1], libxc.VERSIONS[0], libxc.VERSIONS[-1])
    bits = [8 * width for width in libxc.WIDTHS]
    width = top.number("bits", bits[-1], bits[0], bits[-1]) // 8
    if width not in _LEVELS:
        raise top.fail(f"a guest has {' or '.join(map(str, bits))} bits, not {8 * width}", "bits")
    if kind == "hvm" and "bits" in top:
        raise top.fail("only PV guests have a width: HVM guests choose it as they run", "bits")
    colo = top.take("colo", bool, mode == "colo")
    if colo and kind == "pv":
        raise top.fail("COLO is for HVM guests", "colo" if "colo" in top else "mode")
    form = "libxl" if form == "auto" else form
    for key, forms in _IN.items():
        if key in top and form not in forms:
            raise top.fail(f"it is for {', '.join(forms)}, and this is {form}", key)
    if form not in _WRAPS:
        raise top.fail(f"a stream of form {form} has no guest: list its parts", "form")
    wrap, keys = _WRAPS[form]
    inside = "converted" in keys
    first, later = memory_of(top, kind, width)
    last = max((run.last for part in first for run in part.frames), default=0)
    checkpoints = top.number("checkpoints", int(colo or mode == "remus"), 0, 1 << 20)
    if checkpoints and not inside and not ROWS[form].closes:
        raise top.fail(f"streams of form {form} have no checkpoints", "checkpoints" if "checkpoints" in top else "mode")
    if checkpoints and mode == "plain":
        raise top.fail("a plain stream has no checkpoints", "checkpoints" if "checkpoints" in top else "colo")
    if not checkpoints and (colo or mode == "remus"):
        raise top.fail(f"a {'COLO' if colo else mode} stream has checkpoints", "checkpoints")
    static = _static(top, kind, version, width, last)
    tail = tuple(_tail(top, kind, width))
    sent, again = described(top, batches(first), batches(later))
    parts = [*image_headers(kind, version, _xen(top)), *static, *sent]
    outer = tuple(_emulators(top, kind))
    if checkpoints:
        per = len(tail) + len(again) + len(outer) + 3
        top.spend("parts and rows", checkpoints * per, "checkpoints" if "checkpoints" in top else "memory")
    else:
        parts += [*again, *tail, record("libxc.END")]
        parts += [*outer, record("libxl.END")] if inside else []
    for number in range(checkpoints):
        if number:
            parts += [control(libxl.CHECKPOINT_STATES["NEW"])] if colo and inside else []
            parts += again
        parts += [*tail, record(ROWS["libxc"].closes)]
        parts += [*outer, record(ROWS["libxl"].closes)] if inside else []
    stream = Draft(tuple(parts))
    return wrap(top, in_libxl(stream, legacy=top.take("converted", bool, False)) if inside else stream, outer)


def _xl(top: Table, stream: Draft, outer: tuple[Part, ...]) -> Draft:
    return in_xl(stream, ended(top, "config") if "config" in top else None)


def _migration(top: Table, stream: Draft, outer: tuple[Part, ...]) -> Draft:
    # A checkpointed stream has no END, and then no handshake either.
    ended = stream.parts[-1].path == "libxl.END"
    stream = _xl(top, stream, outer)
    return in_migration(stream) if ended else replace(stream, parts=(header("xl-migrate.header"), *stream.parts))


def _libvirt(top: Table, stream: Draft, outer: tuple[Part, ...]) -> Draft:
    return in_libvirt(stream, ended(top, "xml") if "xml" in top else XML)


def _xapi(top: Table, image: Draft, outer: tuple[Part, ...]) -> Draft:
    state = [sized(row.one_of("type", _STATES, ""), content(row, "body")) for row in top.tables("state")]
    if "state" not in top:
        state = [sized("QEMU_TRAD", part.values["context"]) for part in outer if "context" in part.values]
    return in_xapi(image, *state, xenops=content(top, "xenops") if "xenops" in top else None)


def _as_it_is(top: Table, stream: Draft, outer: tuple[Part, ...]) -> Draft:
    return stream


# What each form puts around the image, or around the libxl stream that has it; and the keys that are for that.
_LIBXL = ("converted", "xenstore", "emulator")
_WRAPS: dict[str, tuple[Callable[[Table, Draft, tuple[Part, ...]], Draft], tuple[str, ...]]] = {
    "libxl": (_as_it_is, _LIBXL),
    "libxc": (_as_it_is, ()),
    "xl": (_xl, ("config", *_LIBXL)),
    "xl-migrate": (_migration, ("config", *_LIBXL)),
    "libvirt": (_libvirt, ("xml", *_LIBXL)),
    "xapi": (_xapi, ("xenops", "state", "emulator")),
}
# The forms in which those keys have a place.
_IN = {key: [form for form, (_, here) in _WRAPS.items() if key in here] for _, keys in _WRAPS.values() for key in keys}
KEYS = (
    *_IN,
    *("version", "bits", "xen", "vcpus", "checkpoints", "colo", "memory", "page"),
    *("policy", "tsc", "params", "context", "shared_info"),
    *("http", "text", "without"),
)


def ended(top: Table, key: str) -> Content:
    """Bytes, a plain text with the NUL that ends it."""
    found = content(top, key)
    return (
        found + b"\0" if isinstance(found, bytes) and isinstance(top.any(key), str) and found[-1:] != b"\0" else found
    )


def _xen(top: Table) -> tuple[int, int]:
    text = top.take("xen", str, "4.17")
    major, _, minor = text.partition(".")
    if not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", text):
        raise top.fail(f"{text!r} is not a release such as 4.17", "xen")
    return int(major), int(minor)


# -- memory ---------------------------------------------------------------------------------------------------


def memory_of(top: Table, kind: str, width: int) -> tuple[list[Memory], list[Memory]]:
    """The guest's memory, each frame once, and what is sent again."""
    table = top.table("memory")
    batch = table.number("batch", libxc.BATCH_MAX, 1, 1 << 16)
    ways = [key for key in ("records", "frames", "pages", "size") if key in table]
    if len(ways) > 1:
        raise table.fail(f"it cannot have both {ways[0]} and {ways[1]}", ways[1])
    listed = _listed(table, "records") if "records" in table else [_all_frames(table, kind, width)]
    again = _listed(table, "again")
    every = [run for runs in (*listed, *again) for run in runs]
    if kind == "hvm":
        tables = [run.type for run in every if "TAB" in run.type and run.type not in ("NOTAB", "XTAB")]
        if tables:
            raise table.fail(f"{tables[0]}: an HVM guest's page tables are its own business", *ways)
    fills = {"": fill(table, "fill", "pfn")}
    for row in libxc.PAGE_TYPES:
        if row.table:
            fills[row.name] = fill(table, "tables", "table")
    table.done("records", "frames", "pages", "size")
    whole = [Memory(runs, fills, batch) for runs in listed]
    return whole, [Memory(runs, fills, batch) for runs in again]


def _all_frames(table: Table, kind: str, width: int) -> tuple[Frames, ...]:
    if "frames" in table:
        return frames(table.any("frames"), table, "frames")
    count = _size(table) if "size" in table else table.number("pages", 4, 1, FRAMES_MAX)
    if kind == "hvm":
        return (Frames(0, count - 1),)
    if count <= TOP_TABLE:
        raise table.fail(f"a PV guest's vcpus name frame {TOP_TABLE}, its page table: give it more pages")
    rest = (Frames(TOP_TABLE + 1, count - 1),) if count > TOP_TABLE + 1 else ()
    return (Frames(0, TOP_TABLE - 1), Frames(TOP_TABLE, TOP_TABLE, _TOPS[width]), *rest)


def _size(table: Table) -> int:
    """How many frames a size has."""
    text = table.need("size", str)
    number, _, unit = text.partition(" ")
    if not re.fullmatch("[0-9]{1,18}", number) or unit not in _UNITS:
        raise table.fail(f'{text!r} is not a size such as "64 MiB"', "size")
    count, over = divmod(int(number) * _UNITS[unit], libxc.PAGE_SIZE)
    if over or not 0 < count <= FRAMES_MAX:
        raise table.fail(f"{text} is no number of pages", "size")
    return count


def _listed(table: Table, key: str) -> list[tuple[Frames, ...]]:
    return [frames(item, table, key, number) for number, item in enumerate(table.take(key, list, []))]


def batches(runs: Sequence[Memory]) -> Iterator[Part]:
    """Records of some memory: parts of their own, as long as these are not too many."""
    room = _EACH
    for run in runs:
        if run.pages > room:
            yield Many(run.shape.path, memory=run)
        else:
            room -= run.pages
            yield from run.parts()


# -- records --------------------------------------------------------------------------------------------------


def _static(top: Table, kind: str, version: int, width: int, last: int) -> Iterator[Part]:
    if kind == "pv":
        yield pv_info(width, _LEVELS[width])
    policy = top.table("policy")
    if "policy" in top and version < libxc.VERSION_STATIC:
        raise top.fail(f"images of version {version} have no policy", "policy")
    if version >= libxc.VERSION_STATIC:
        leaves = list(_rows(policy, "cpuid", "libxc.X86_CPUID_POLICY", (1, 0xFFFFFFFF, 1, 1, 1, 1)))
        msrs = list(_rows(policy, "msr", "libxc.X86_MSR_POLICY", (0xCE, 0)))
        if leaves:
            yield record("libxc.X86_CPUID_POLICY", leaves=leaves)
        if msrs:
            yield record("libxc.X86_MSR_POLICY", msrs=msrs)
        yield record("libxc.STATIC_DATA_END")
    policy.done()
    if kind == "pv":
        # The p2m table has a frame for each 512 or 1024 frames.
        leaf = libxc.PAGE_SIZE // width
        if last // leaf >= _LEAVES_MAX or last >> 32:
            raise top.fail(f"frame {last:#x} is more than a PV guest's list of frames reaches", "memory")
        many = last // leaf + 1
        listed = Numbers(many, lambda: repeat(1, many), 1, 1)
        yield record("libxc.X86_PV_P2M_FRAMES", start_pfn=0, end_pfn=last, frames=listed)


def _least(path: str) -> int:
    """How many elements a record has that says as little as it can, and not nothing."""
    record = layouts()[path].record
    return max(record.least if record else 0, 1)


def _rows(table: Table, key: str, path: str, default: tuple[int, ...]) -> Iterator[dict[str, int]]:
    """Rows of numbers for the list in the record at `path`: by default as few as it may have, which say little."""
    element = next((part.element for part in layouts()[path].parts if part.element is not None), None)
    fields = [field for field in element.fields if implied(field) is None] if element else []
    for place, row in enumerate(table.take(key, list, [list(default)] * _least(path))):
        numbers = [integer(item) for item in row] if isinstance(row, list) else []
        found = {field.path: number for field, number in zip(fields, numbers, strict=False) if number is not None}
        if not len(numbers) == len(fields) == len(found):
            raise table.fail(f"{shown(row)} is not numbers for {', '.join(field.path for field in fields)}", key, place)
        for item, field in enumerate(fields):
            if not 0 <= found[field.path] >> field.bits < 1:
                raise table.fail(f"{found[field.path]} is not within 0 to {(1 << field.bits) - 1}", key, place, item)
        yield found


def _tail(top: Table, kind: str, width: int) -> Iterator[Part]:
    """What belongs to one checkpoint."""
    yield tsc_of(top, "libxc.X86_TSC_INFO", _TSC)
    vcpus = top.number("vcpus", 1, 1, VCPUS_MOST)
    if kind == "hvm":
        if "shared_info" in top:
            raise top.fail("only PV guests have it", "shared_info")
        yield from _hvm(top, vcpus)
        return
    for key in ("params", "context", "emulator", "xenstore"):
        if key in top:
            raise top.fail("only HVM guests have it", key)
    shared = record("libxc.SHARED_INFO", page=bytes(libxc.PAGE_SIZE))
    yield with_fields(shared, top, "shared_info", f"page_{8 * width}.")
    for number in range(vcpus):
        yield vcpu("BASIC", number, libxc.VCPU_CONTEXT_SIZES[width])
        yield vcpu("EXTENDED", number, 64)
        yield vcpu("XSAVE", number, XSAVE_SIZE)
        yield vcpu_msrs(number, *[(0xC0000103, 7)] * _least("libxc.X86_PV_VCPU_MSRS"))


def tsc_of(top: Table, path: str, default: Mapping[str, int]) -> Part:
    """State of the TSC, in a record that has such fields."""
    tsc = top.table("tsc")
    fields = [field for field in layouts()[path].fields if field.path in default]
    said = {field.path: tsc.number(field.path, default[field.path], most=(1 << field.bits) - 1) for field in fields}
    tsc.done()
    return Part(path, said)


def _hvm(top: Table, vcpus: int) -> Iterator[Part]:
    named = top.table("params")
    pairs = []
    for name, default in list(named.each()) if "params" in top else _PARAMS.items():
        index = hvm.PARAMS.get(name, integer(name))
        if index is None or not 0 <= index < 1 << 64:
            raise named.fail(f"it is no parameter's name{meant(name, hvm.PARAMS)}, nor its number", name)
        pairs.append((index, named.number(name, default)))
    named.spend("parts and rows", 4 * len(pairs))
    yield params(*pairs)
    yield context(*context_of(top, range(vcpus)))


def _emulators(top: Table, kind: str) -> Iterator[Part]:
    if kind == "pv":
        return
    if "xenstore" in top:
        strings = []
        inside = top.table("xenstore")
        for key, _ in inside.each():
            value = content(inside, key)
            inside.spend("bytes of text", len(value), key)
            try:
                strings += [key, joined((value,)).decode()]
            except UnicodeDecodeError:
                raise inside.fail("this is no text", key) from None
        yield xenstore(*strings)
    table = top.table("emulator")
    number = _EMULATORS[table.one_of("kind", tuple(_EMULATORS), "upstream")]
    state = content(table, "context") if "context" in table else qemu.EMPTY
    table.done()
    yield emulator(state, number)
