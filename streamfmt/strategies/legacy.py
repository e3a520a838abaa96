"""Conforming legacy streams, as releases from 3.0 to 4.5 wrote them, by themselves and in the files that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import strategies as st

from ..schema import hvm, libxc
from ..writer import RECORDS, TOP_TABLE, Draft, Part, legacy
from ..writer.builders import XML, xenops_for
from ..writer.entries import DATA_TYPES, SHAPES
from ..writer.hvm_state import after_reset
from ..writer.legacy import EMULATORS, LAYERS, PARAMS, TSC, Saved
from . import records
from .images import LATER, Plan

# The newest first: examples shrink towards it.  One alone has short ids in transcendent memory: it comes more often.
RELEASES = (
    "4.4",
    "4.5",
    "4.3",
    "4.2",
    "4.1.3",
    "4.1",
    "4.0",
    "3.4",
    "3.3",
    "3.2",
    "3.1",
    "3.0.4",
    "3.0.2",
    "4.0",
    "4.0",
)
_REMUS = "4.0"
_COMPRESSION = "4.2"
_CPU = next(row for row in hvm.CONTEXT_TYPES if row.name == "CPU")
_HEADER = (hvm.HEADER_TYPE, 0, hvm.HEADER_DATA)
_END = (hvm.END_TYPE, 0, b"")
_TABLES = {row.name for row in libxc.PAGE_TYPES if row.table}
_HVM_KINDS = ("NOTAB", "XTAB", "XALLOC", "BROKEN")
_REGION = {"phys_offset": 0x1000, "start_addr": 0xF0000000, "size": 0x1000, "name": b"vga\0"}


def bare(draw: st.DrawFn, plan: Plan) -> Draft:
    """A stream by itself."""
    word = next(word for word, name in LAYERS.items() if name == plan.form)
    return stream(draw, plan, word)[1]


def held(draw: st.DrawFn, plan: Plan, emulator: str = "", xend: bool = False, first: str = "") -> tuple[Saved, Draft]:
    """A stream for a file, of either width, by that release or any later one."""
    wanted = [word for word, name in LAYERS.items() if any(path.startswith(f"{name}.") for path in plan.need)]
    return stream(draw, plan, draw(st.sampled_from(wanted or sorted(LAYERS, reverse=True))), emulator, xend, first)


def stream(
    draw: st.DrawFn, plan: Plan, word: int, emulator: str = "", xend: bool = False, first: str = ""
) -> tuple[Saved, Draft]:
    """A guest, and its stream by a toolstack of that width."""
    saved = _saved(draw, plan, word, emulator, xend, first)
    return saved, Draft(tuple(_parts(draw, plan, saved)))


def _needs(plan: Plan, saved: Saved, name: str) -> bool:
    return saved.path(name) in plan.need


def _release(draw: st.DrawFn, plan: Plan, word: int, first: str) -> str:
    """One of the releases that wrote what is needed."""
    known = [row for row in RELEASES if not first or legacy.number(row) >= legacy.number(first)]
    needed = [row for row in known if all(_wrote(plan, word, row, path) for path in plan.need)]
    chosen: str = draw(st.sampled_from(needed or RELEASES[:1]))
    return chosen


def _wrote(plan: Plan, word: int, release: str, path: str) -> bool:
    saved = Saved(plan.guest, release, word)
    layer, _, name = path.partition(".")
    first = "3.1" if plan.guest == "hvm" or plan.clean or plan.width != word else "3.0"
    first = _REMUS if plan.mode != "plain" else first
    if plan.guest == "pv" and plan.width != word:
        first = max(first, "3.2")
    if not saved.since(first):
        return False
    if layer != saved.layer or path not in RECORDS:
        return True
    until = RECORDS[path].until
    return saved.writes(name) and (not until or legacy.number(release) <= legacy.number(until))


def _saved(draw: st.DrawFn, plan: Plan, word: int, emulator: str, xend: bool, first: str) -> Saved:
    # Something is always asked, so that what no release wrote is left out.
    need = (*plan.need, f"{LAYERS[word]}.header")
    release = _release(draw, replace(plan, need=need), word, first)
    online = (0, *draw(st.sampled_from(((), (1,), (2,), (1, 64)))))
    online = online if Saved(plan.guest, release, word).since("4.2") or online[-1] < 64 else (0, 1)
    last = draw(st.integers(3, 6))
    forms = [name for name, record in EMULATORS.items() if f"{LAYERS[word]}.{record}" in plan.need]
    if f"{LAYERS[word]}.QEMU_STATE" in plan.need:
        forms = ["to-end"]
    again = draw(st.booleans())
    return Saved(
        plan.guest,
        release,
        word,
        plan.width if plan.guest == "pv" else word,
        last + 1,
        (1,) if plan.guest == "pv" else (),
        online,
        online[-1] + draw(st.integers(0, 3)) if again else None,
        params={name: draw(st.integers(1, 1 << 20)) for name in draw(_SOME_PARAMS)},
        context=(_HEADER, (_CPU.code, 0, after_reset(_CPU.name, _CPU.lengths[1])), _END),
        physmap=(_REGION,) * draw(st.integers(0, 2)),
        emulator=forms[0] if forms else emulator or draw(_FORMS if plan.mode == "plain" else st.just("")),
        tsc={**TSC, "mode": draw(st.integers(0, 3))},
        unmapped=tuple(draw(st.lists(st.integers(0, last), max_size=2, unique=True))) if plan.guest == "pv" else (),
        xend=xend,
    )


_FORMS = st.sampled_from(("", *EMULATORS))
# Those that every value is right for.
_SOME_PARAMS = st.lists(
    st.sampled_from([name for name in PARAMS if name.endswith("_PFN") and "SERVER" not in name]),
    max_size=2,
    unique=True,
)


def _parts(draw: st.DrawFn, plan: Plan, saved: Saved) -> Iterator[Part]:
    later = draw(st.integers(1, 2)) if plan.mode != "plain" else 0
    later = max(later, int(plan.mode != "plain" and LATER in plan.need))
    compress = (
        bool(later)
        and saved.since(_COMPRESSION)
        and (_needs(plan, saved, "COMPRESSED_DATA") or _needs(plan, saved, "ENABLE_COMPRESSION") or draw(st.booleans()))
    )
    tmem = [name for name in _TMEM if _needs(plan, saved, name)]
    with_tmem = saved.writes("TMEM") and (bool(tmem) or draw(st.booleans()))
    live = bool(later) or "TMEM_EXTRA" in tmem or draw(st.booleans())
    tsc = [Part(saved.path("TSC_INFO"), saved.tsc)] if saved.writes("TSC_INFO") else []
    yield from legacy.beginning(saved)
    yield from legacy.transcendent(saved) if with_tmem else ()
    yield from () if live else tsc
    yield from _memory(draw, saved)
    yield from legacy.flushed(saved) if with_tmem and live else ()
    yield from tsc if live else ()
    if not later and (_needs(plan, saved, "ENABLE_VERIFY_MODE") or draw(st.booleans())):
        yield saved.part("ENABLE_VERIFY_MODE")
        yield from _memory(draw, saved)
    yield from legacy.ending(saved, not _remus(plan), compress)
    yield from legacy.tail(saved, _remus(plan))
    sent: set[int] = set()
    for _ in range(later):
        batches = [_batch(saved, [(0, "NOTAB"), (1, "NOTAB")][: draw(st.integers(1, 2))])]
        yield from legacy.compressed(saved, batches, sent) if compress else batches
        yield from legacy.ending(saved, last=False)
        yield from legacy.tail(saved, remus=True)


_TMEM = (
    *("TMEM", "TMEM_EXTRA", "TMEM_POOL", "TMEM_END"),
    *(f"TMEM_{name}_{version}" for name in ("PAGE", "POOL_END", "FLUSHED") for version in (0, 1)),
)


def _remus(plan: Plan) -> bool:
    """Whether it is checkpointed."""
    return plan.mode != "plain"


def _memory(draw: st.DrawFn, saved: Saved) -> Iterator[Part]:
    """All frames, in one batch or in several, in order."""
    fixed = {0: "NOTAB", 1: "NOTAB"}
    if saved.pv:
        fixed[TOP_TABLE] = draw(st.sampled_from(records.TOP_TABLES[saved.width]))
    kinds = records.kinds if saved.pv else st.sampled_from(_HVM_KINDS)
    entries = [(pfn, fixed.get(pfn) or draw(kinds)) for pfn in range(saved.p2m_size)]
    size = draw(st.sampled_from((len(entries), 2)))
    for at in range(0, len(entries), size):
        yield _batch(saved, entries[at : at + size])


def _batch(saved: Saved, entries: list[tuple[int, str]]) -> Part:
    shape = SHAPES[saved.path("PAGE_BATCH")]
    # An empty page table points nowhere.
    pages = [bytes([0 if kind in _TABLES else pfn]) * libxc.PAGE_SIZE for pfn, kind in entries if kind in DATA_TYPES]
    return Part(shape.path, {"entries": [shape.codes[kind] | pfn for pfn, kind in entries], "pages": pages})


# -- files ----------------------------------------------------------------------------------------------------


def in_xend(draw: st.DrawFn, plan: Plan) -> Draft:
    """xend's file."""
    saved, made = held(draw, plan, xend=True)
    return legacy.in_xend(made, legacy.sxp(saved))


def in_xapi_legacy(draw: st.DrawFn, plan: Plan) -> Draft:
    """XAPI's old image."""
    return legacy.in_old_xapi(held(draw, plan, emulator="xenopsd", xend=True)[1])


# The first release whose xl saved with a header around the stream, and of libxl as libvirt uses it.
_XL = "4.1"


def in_xl(draw: st.DrawFn, plan: Plan) -> Draft:
    """xl's file of before 4.6."""
    return legacy.in_old_xl(*held(draw, plan, first=_XL))


def in_libvirt(draw: st.DrawFn, plan: Plan) -> Draft:
    """libvirt's file of then."""
    return legacy.in_old_libvirt(held(draw, plan, first=_XL)[1], XML)


def in_xapi(draw: st.DrawFn, plan: Plan) -> Draft:
    """A structured XAPI image with a legacy stream inside, which the format has and no release is known to write."""
    saved, made = held(draw, plan, emulator="xenopsd", xend=True)
    return legacy.in_new_xapi(made, xenops_for(legacy.most(saved)))
