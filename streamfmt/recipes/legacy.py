"""Guests as recipes describe them, saved by a release that still wrote legacy streams: Xen 3.0 to 4.5."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..codec.content import Content
from ..reader.registry import ROWS
from ..schema import hvm, libxc, qemu
from ..writer import legacy
from ..writer.builders import XML, xenops_for
from ..writer.draft import Draft
from ..writer.entries import SHAPES
from ..writer.legacy import EMULATORS, LAYERS, PARAMS, RELEASES, TSC, Saved
from ..writer.part import Part
from .guest import VCPUS_MOST, batches, ended, memory_of, prefaced, tsc_of
from .hvm_context import context_of
from .memory import Frames, Many, Memory, frames
from .pages import with_fields
from .parse import content
from .toml import Table, meant

_LATEST = "4.4"
_WORDS = tuple(8 * word for word in sorted(LAYERS))
_BITS = " or ".join(map(str, _WORDS))
_REGION = ("phys_offset", "start_addr", "size")
# Bytes of a vcpu's state as it was from 3.4 to 4.6.
_CPU = next(row for row in hvm.CONTEXT_TYPES if row.name == "CPU").lengths[1]
_PAIRS = dict(libxc.PV_COMBINATIONS)


class _Memory(NamedTuple):
    """A guest's memory, each frame once, and what is sent again."""

    first: list[Memory]
    later: list[Memory]


def wanted(top: Table, form: str) -> bool:
    """Whether the guest of a recipe is saved by such a release: that is said, or its form has nothing else inside."""
    row = ROWS.get(form)
    inner = row and row.holds
    return "release" in top or (row is not None and bool(row.alias or (inner and all(ROWS[it].alias for it in inner))))


def compose(top: Table, form: str) -> Draft:
    """The stream of the guest that a recipe's top table describes, in a wrapper.  Raises RecipeError."""
    if form == "auto":
        form = LAYERS.get(top.number("toolstack", _WORDS[-1], *_WORDS) // 8, form)
    wrap = _Wrap(_as_it_is) if form in LAYERS.values() else _WRAPS.get(form)
    if wrap is None:
        raise top.fail(f"no release from {' to '.join(RELEASES)} saved guests in streams of form {form}", "form")
    for key in _ONLY:
        if key in top and key not in wrap.keys:
            forms = ", ".join(form for form, other in _WRAPS.items() if key in other.keys)
            raise top.fail(f"it is for {forms}, and this is {form}", key)
    saved, memory = _saved(top, form, wrap)
    stream = wrap.make(top, saved, Draft(tuple(_shared(top, saved, part) for part in _parts(top, saved, memory))))
    return prefaced(top, stream)


def _shared(top: Table, saved: Saved, part: Part) -> Part:
    """A PV guest's shared info has what the recipe says; other parts stay."""
    if "shared_info" not in top or part.name != "SHARED_INFO":
        return part
    return with_fields(part, top, "shared_info", f"page_{8 * saved.width}.")


# -- the guest ------------------------------------------------------------------------------------------------


def _saved(top: Table, form: str, wrap: _Wrap) -> tuple[Saved, _Memory]:
    kind = top.one_of("guest", tuple(libxc.GUESTS), "")
    release = top.take("release", str, _LATEST)
    if not re.fullmatch(r"[34]\.[0-9](\.[0-9])?", release) or not _known(release):
        raise top.fail(f"{release!r} is none of the releases {' to '.join(RELEASES)}, such as 4.1.3", "release")
    word, width = _widths(top, form, kind, release)
    memory, size, listed = _memory(top, kind, word, width)
    online = _online(top)
    saved = Saved(
        kind,
        release,
        word,
        width,
        size,
        listed,
        online,
        top.number("highest", online[-1], most=_VCPU_MOST) if "highest" in top else None,
        tsc=tsc_of(top, f"{LAYERS[word]}.TSC_INFO", TSC).values,
        unmapped=_numbers(top, "unmapped"),
        xend=wrap.xend,
    )
    if "page" in top:
        raise top.fail("it is for images: for guests without a release", "page")
    if not saved.pv and "shared_info" in top:
        raise top.fail("only PV guests have it", "shared_info")
    if not saved.pv:
        return _hvm(top, saved, wrap.model), memory
    for key in ("params", "context", "emulator", "physmap"):
        if key in top:
            raise top.fail("only HVM guests have it", key)
    return saved, memory


_VCPU_MOST = (1 << 31) - 1


def _known(release: str) -> bool:
    first, last = map(legacy.number, RELEASES)
    return first <= legacy.number(release)[:2] <= last


def _widths(top: Table, form: str, kind: str, release: str) -> tuple[int, int]:
    """Words of the toolstack and of the guest, in bytes."""
    own = next((word for word, name in LAYERS.items() if name == form), 0)
    word = top.number("toolstack", 8 * (own or max(LAYERS)), *_WORDS) // 8
    if word not in LAYERS or (own and word != own):
        raise top.fail(f"the toolstack of form {form} has {8 * own or _BITS} bits", "toolstack")
    if kind == "hvm" and "bits" in top:
        raise top.fail("only PV guests have a width: HVM guests choose it as they run", "bits")
    width = top.number("bits", 8 * word, *_WORDS) // 8
    if width not in _PAIRS:
        raise top.fail(f"a guest has {_BITS} bits", "bits")
    first = legacy.crossed(word)
    if width != word and legacy.number(release) < legacy.number(first):
        raise top.fail(f"before Xen {first} a guest was as wide as its toolstack", "bits")
    return word, width


def _memory(top: Table, kind: str, word: int, width: int) -> tuple[_Memory, int, tuple[int, ...]]:
    """The memory, how many frames it has by the header, and those that hold a PV guest's own table."""
    shape = SHAPES[f"{LAYERS[word]}.PAGE_BATCH"]
    first, later = ([replace(run, shape=shape) for run in runs] for runs in memory_of(top, kind, width))
    every = [run for memory in (*first, *later) for run in memory.frames]
    if any(run.last >> shape.bits for run in every):
        raise top.fail(f"an entry has room for frames below {1 << shape.bits:#x}", "memory")
    last = max((run.last for run in every if run.type != "XTAB"), default=0)
    size = top.number("p2m_size", last + 1, most=(1 << 8 * word) - 1)
    count = -(-min(size, last + 1) * width // libxc.PAGE_SIZE) if kind == "pv" else 0
    listed = tuple(_plain(every, count)) if "p2m_frames" not in top else _numbers(top, "p2m_frames")
    return _Memory(first, later), size, listed


def _plain(runs: Sequence[Frames], count: int) -> Iterator[int]:
    """So many frames of ordinary pages, if there are as many; frame 0, which has another use, last of all."""
    left = count
    for run in runs:
        if run.type == "NOTAB":
            for frame in range(max(run.first, 1), run.last + 1)[:left]:
                yield frame
                left -= 1
    yield from [0] * left


def _online(top: Table) -> tuple[int, ...]:
    """Numbers of the vcpus that are online."""
    if "online" in top:
        if "vcpus" in top:
            raise top.fail("it cannot have both vcpus and online", "vcpus")
        found = _numbers(top, "online")
        if not found or list(found) != sorted(set(found)) or found[-1] >= VCPUS_MOST:
            raise top.fail(f"vcpus have rising numbers below {VCPUS_MOST}", "online")
        return found
    return tuple(range(top.number("vcpus", 1, 1, VCPUS_MOST)))


def _numbers(top: Table, key: str) -> tuple[int, ...]:
    """Numbers in a text such as "0, 2-3"."""
    if key not in top:
        return ()
    try:
        runs = frames(top.need(key, str))
    except ValueError as error:
        raise top.fail(str(error), key) from None
    top.spend("parts and rows", sum(run.last - run.first + 1 for run in runs), key)
    return tuple(frame for run in runs for frame in range(run.first, run.last + 1))


def _hvm(top: Table, saved: Saved, model: str) -> Saved:
    named = top.table("params")
    for name, _ in named.each():
        if name not in PARAMS:
            raise named.fail(f"no legacy stream has such a parameter{meant(name, PARAMS)}", name)
    emulator = top.table("emulator")
    kind = emulator.one_of("kind", tuple(EMULATORS), model) if "kind" in emulator else model
    state = content(emulator, "context") if "context" in emulator else qemu.EMPTY
    emulator.done()
    return replace(
        saved,
        params={name: named.number(name, 0) for name, _ in named.each()},
        context=tuple(context_of(top, saved.vcpus, _CPU)),
        physmap=tuple(_region(row) for row in top.tables("physmap")),
        emulator=kind,
        state=state,
    )


def _region(row: Table) -> dict[str, Any]:
    found: dict[str, Any] = {key: row.number(key, 0) for key in _REGION}
    return found | ({"name": ended(row, "name")} if "name" in row else {})


# -- the stream -----------------------------------------------------------------------------------------------


def _parts(top: Table, saved: Saved, memory: _Memory) -> Iterator[Part]:
    """The parts of a stream: the first body, the tail, and further checkpoints."""
    checkpoints = top.number("checkpoints", 0, 0, 1 << 20)
    compress = top.take("compressed", bool, False)
    tmem = top.take("tmem", bool, False)
    verify = top.take("verify", bool, False)
    for key, name in (("tmem", "TMEM"), ("compressed", "ENABLE_COMPRESSION"), ("checkpoints", "QEMU_REMUS")):
        row_since = legacy.since(saved, name)
        if key in top and top.any(key) and not saved.since(row_since):
            raise top.fail(f"that came with Xen {row_since}", key)
    if compress and not checkpoints:
        raise top.fail("only checkpoints are compressed", "compressed")
    again = tuple(batches(memory.later))
    live = bool(again or checkpoints)
    tsc = [Part(saved.path("TSC_INFO"), saved.tsc)] if saved.writes("TSC_INFO") else []
    first = tuple(batches(memory.first))
    yield from legacy.beginning(saved)
    yield from legacy.transcendent(saved) if tmem else ()
    yield from () if live else tsc
    yield from first
    yield from legacy.flushed(saved) if tmem and live else ()
    yield from tsc if live else ()
    yield from () if checkpoints else again
    if verify:
        yield saved.part("ENABLE_VERIFY_MODE")
        yield from first
    yield from legacy.ending(saved, not checkpoints, compress)
    yield from legacy.tail(saved, bool(checkpoints))
    sent: set[int] = set()
    for _ in range(1, checkpoints):
        top.spend("parts and rows", 8 + len(again) + 4 * len(saved.vcpus), "checkpoints")
        if compress and any(isinstance(part, Many) for part in again):
            raise top.fail("that is too much memory for compressed checkpoints", "memory")
        yield from legacy.compressed(saved, again, sent) if compress else again
        yield from legacy.ending(saved, last=False)
        yield from legacy.tail(saved, remus=True)


# -- what is around it ----------------------------------------------------------------------------------------


def _as_it_is(top: Table, saved: Saved, stream: Draft) -> Draft:
    return stream


def _xl(top: Table, saved: Saved, stream: Draft) -> Draft:
    config: Content | None = content(top, "config") if "config" in top else None
    return legacy.in_old_xl(saved, stream, config)


def _libvirt(top: Table, saved: Saved, stream: Draft) -> Draft:
    return legacy.in_old_libvirt(stream, ended(top, "xml") if "xml" in top else XML)


def _xapi(top: Table, saved: Saved, stream: Draft) -> Draft:
    said = content(top, "xenops") if "xenops" in top else xenops_for(legacy.most(saved))
    return legacy.in_new_xapi(stream, said)


def _xapi_legacy(top: Table, saved: Saved, stream: Draft) -> Draft:
    return legacy.in_old_xapi(stream)


def _xend(top: Table, saved: Saved, stream: Draft) -> Draft:
    return legacy.in_xend(stream, content(top, "config") if "config" in top else legacy.sxp(saved))


class _Wrap(NamedTuple):
    """What a form puts around a stream, and the keys for that.

    `xend` is whether libxl had no part in it, `model` the form of the device model's record, if not the release's.
    """

    make: Callable[[Table, Saved, Draft], Draft]
    keys: tuple[str, ...] = ()
    xend: bool = False
    model: str = ""


_WRAPS: dict[str, _Wrap] = {
    "xl": _Wrap(_xl, ("config",)),
    "libvirt": _Wrap(_libvirt, ("xml",)),
    "xapi": _Wrap(_xapi, ("xenops",), xend=True, model="xenopsd"),
    "xapi-legacy": _Wrap(_xapi_legacy, xend=True, model="xenopsd"),
    "xend": _Wrap(_xend, ("config",), xend=True),
}
_ONLY = tuple(dict.fromkeys(key for wrap in _WRAPS.values() for key in wrap.keys))
KEYS = (
    *("release", "toolstack", "online", "highest", "p2m_size", "p2m_frames", "unmapped"),
    *("compressed", "tmem", "verify", "physmap"),
)
