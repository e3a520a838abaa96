"""What libxenguest does where that depends on the breach, or on what no stream shows."""

from __future__ import annotations

from collections.abc import Callable

from .. import tables
from ..checks.duties import EITHER
from ..checks.findings import Finding
from ..schema import libxc
from . import peers
from .conditions import Peer, refusing
from .conditions_colo import beyond, no_header, no_list, takes_beyond
from .looks import HEADER, LATER, Look, Seen, actual

# Of the machine that xenpeer has for a restore.
VCPUS, FRAMES = 8, {"hvm": 1 << 30, "pv": 1 << 17}
# HVM parameters that Xen lets a toolstack set: those of xen/include/public/hvm/params.h that are not retired, two of
# which up to 4.14 were not.
_SETTABLE = {*range(39)} - {4, 13, *range(20, 27), 30}
_RETIRED_LATER = {4, 24}
_CONTEXTS = ("TILE", "TYPE", "LEN", "MAGIC")
_MEMORY = {"libxc.PAGE_DATA", "libxc.X86_PV_P2M_FRAMES"}
_HOLE = next(row.code for row in libxc.PAGE_TYPES if row.name == "XTAB")
_POPULATED = {row.code for row in libxc.PAGE_TYPES if row.data or row.name == "XALLOC"}
# In the context of a 64-bit vcpu, which alone is restored here: rdx of a suspended vcpu 0, the top page tables.
_WIDTH, _TOP_LEVEL = 8, 4
_START_INFO_AT, _CR3_AT, _CR1_AT = (
    places[_WIDTH] for places in (tables.VCPU_CONTEXT_DX, tables.VCPU_CONTEXT_CR3, tables.VCPU_CONTEXT_CR1)
)
_ENTRIES_AT, _GDT_AT = tables.VCPU_CONTEXT_GDT_ENTS[_WIDTH], tables.VCPU_CONTEXT_GDT_FRAMES[_WIDTH]
# Bytes of an extended context before its registers: the vcpu's number, and the structure's size.
_EXTENDED = 8
_INT_MAX = (1 << 31) - 1
# In the start_info page: store_mfn and console.domU.mfn.
_RINGS_AT = (0x38, 0x48)


def _static_end_v2(seen: Look, _: Finding) -> bool:
    """What comes first, memory or the record, ends the static data; another record is one too many."""
    again = len(seen.applied("libxc.STATIC_DATA_END")) > 1
    return again or bool(seen.before("libxc.STATIC_DATA_END") & _MEMORY)


def _static_ends(seen: Look) -> int:
    """Where static data ends, as stated or inferred: policies are applied there."""
    return seen.first("libxc.STATIC_DATA_END", *(_MEMORY if seen.version == 2 else ()))


def _policy(seen: Look, finding: Finding) -> bool:
    """The last policy before the end of static data, stated or inferred, is the one that is applied."""
    end = _static_ends(seen)
    policies = [row for row in seen.records if row.name == "libxc.X86_MSR_POLICY" and row.at < end < LATER]
    return bool(policies) and policies[-1].index == finding.index


def _before_pv_info(seen: Look) -> int:
    """Where the first record is that needs X86_PV_INFO and comes before it; till then the domain has 64 bits."""
    sizes = {HEADER, HEADER + libxc.VCPU_CONTEXT_SIZES[8]}
    for row in seen.records:
        if row.name == "libxc.X86_PV_INFO":
            break
        if row.name in ("libxc.X86_PV_P2M_FRAMES", "libxc.SHARED_INFO") or (
            row.name == "libxc.X86_PV_VCPU_BASIC" and row.length not in sizes
        ):
            return row.at
    return LATER


def _first_pages(seen: Look) -> Seen | None:
    """The first record that has a page in it, if it comes before any frame list."""
    for row in seen.records:
        if row.name == "libxc.X86_PV_P2M_FRAMES":
            return None
        if row.name == "libxc.PAGE_DATA" and any(seen.entries(row)):
            return row
    return None


def _no_frame_list(seen: Look, _: Finding) -> str:
    """Pages beyond the guest's maximum, which is 0 so far, are refused before any is populated."""
    pages = _first_pages(seen)
    if pages is not None:
        return "reject" if any(pfn for _, pfn in seen.entries(pages)) else "crash"
    return "accept" if seen.applied("libxc.X86_PV_P2M_FRAMES") else "crash"


def _listed_frame(seen: Look, _: Finding) -> bool:
    """The frames of all lists are looked up when the stream is complete."""
    lists = seen.applied("libxc.X86_PV_P2M_FRAMES")
    last = max(seen.number(row, 4, 4) for row in lists)
    types = seen.memory()[0]
    frames = [seen.number(row, at, 8) for row in lists for at in range(HEADER, row.length, 8)]
    return any(pfn > last or types.get(pfn) != 0 for pfn in frames)


def _vcpu_0(seen: Look, _: Finding) -> bool:
    basics = seen.applied("libxc.X86_PV_VCPU_BASIC")
    return not any(row.length > HEADER and not seen.number(row, 0, 4) for row in basics)


def _context(seen: Look, finding: Finding) -> bool:
    """The last context that counts is the one that is used."""
    return any(row.index == finding.index for row in _used(seen))


def _used(seen: Look) -> list[Seen]:
    """Contexts that are loaded: the last one, and under COLO the one that there is at the end of each checkpoint."""
    applied = seen.applied("libxc.HVM_CONTEXT")
    if seen.case.mode != "colo":
        return applied[-1:]
    return [[row for row in applied if row.at < end][-1] for end in seen.whole if any(row.at < end for row in applied)]


def _no_context(seen: Look, _: Finding) -> bool:
    """Under COLO one is wanted at the end of each checkpoint, and of a stream without any none."""
    if seen.case.mode != "colo":
        return not seen.applied("libxc.HVM_CONTEXT")
    return bool(seen.whole) and seen.first("libxc.HVM_CONTEXT") >= seen.whole[0]


def _context_end(seen: Look, finding: Finding) -> bool:
    """Instance and length of an END entry are not looked at."""
    return not finding.actual.startswith("instance") and _context(seen, finding)


def _context_header(seen: Look, finding: Finding) -> bool:
    """Nor at the instance of a header."""
    kind, _, rest = finding.actual.partition(" instance ")
    expected, _, length = finding.expected.partition(" instance ")
    return (kind, rest.split()[1:]) != (expected, length.split()[1:]) and _context(seen, finding)


def _static_again(seen: Look, _: Finding) -> bool:
    """Version 2 has no STATIC_DATA_END: that one has come is inferred from the first pages."""
    ends, pages = (seen.applied(f"libxc.{name}") for name in ("STATIC_DATA_END", "PAGE_DATA"))
    if seen.version == 2 and ends and pages and pages[0].at < ends[0].at:
        return True
    return any(len(seen.applied(f"libxc.{name}")) > 1 for name in ("STATIC_DATA_END", "X86_PV_INFO"))


def _pages_first(seen: Look) -> int:
    """After all else that the record of the pages shows; that there is no list at all is found last."""
    pages = _first_pages(seen)
    return LATER + 1 if pages is None else pages.at + HEADER + pages.length - 1


# -- what only the receiver shows -------------------------------------------------------------------------------


def _other_guest(seen: Look) -> int | None:
    """The domain that is restored into is of the kind that the good stream was of."""
    kind = libxc.GUESTS[seen.case.guest]
    other = [at for at in seen.domains[:1] if int.from_bytes(seen.data[at : at + 4], "little") != kind]
    return other[0] if other else None


def vcpu_id(seen: Look) -> int | None:
    """Where a vcpu is that the domain has not; an empty record is not looked at."""
    for kind in ("BASIC", "EXTENDED", "XSAVE", "MSRS"):
        for row in seen.applied(f"libxc.X86_PV_VCPU_{kind}"):
            if row.length > HEADER and seen.number(row, 0, 4) >= VCPUS:
                return row.at
    return None


def no_room(seen: Look) -> int | None:
    """Where the first page is that does not fit."""
    for row in seen.applied("libxc.PAGE_DATA"):
        if any(kind in _POPULATED and pfn >= FRAMES[seen.case.guest] for kind, pfn in seen.entries(row)):
            return row.at
    return None


def _contexts(seen: Look) -> dict[int, Seen]:
    """The latest context of each 64-bit vcpu, by its number."""
    size = HEADER + libxc.VCPU_CONTEXT_SIZES[_WIDTH]
    return {seen.number(row, 0, 4): row for row in seen.applied("libxc.X86_PV_VCPU_BASIC") if row.length == size}


def _vcpu_pfn(seen: Look, _: Finding) -> bool:
    """Whether a vcpu's context does not name such pages of the guest as it has to."""
    types = seen.memory()[0]
    for number, row in _contexts(seen).items():
        word = {at: seen.number(row, HEADER + at, 8) for at in (_CR3_AT, _CR1_AT, _START_INFO_AT, _ENTRIES_AT)}
        tops = [word[_CR3_AT], *([word[_CR1_AT]] if word[_CR1_AT] & 1 else [])]
        if any(types.get(top >> libxc.PAGE_SHIFT, 0) & 7 != _TOP_LEVEL for top in tops):
            return True
        frames = -(-min(word[_ENTRIES_AT], libxc.GDT_ENTRIES_MAX) // libxc.GDT_FRAME_ENTRIES)
        pages = [seen.number(row, HEADER + _GDT_AT + 8 * place, 8) for place in range(frames)]
        pages += [] if number else [word[_START_INFO_AT]]
        if word[_ENTRIES_AT] > libxc.GDT_ENTRIES_MAX or any(types.get(pfn) != 0 for pfn in pages):
            return True
    return False


def start_info(seen: Look) -> int | None:
    """Whether a ring that vcpu 0's start_info page names is none of the guest's."""
    row, lists = _contexts(seen).get(0), seen.applied("libxc.X86_PV_P2M_FRAMES")
    if row is None or not lists:
        return None
    last = max(seen.number(row, 4, 4) for row in lists)
    start = seen.number(row, HEADER + _START_INFO_AT, 8)
    page = seen.data[seen.memory()[1].get(start, len(seen.data)) :][: libxc.PAGE_SIZE]
    rings = [int.from_bytes(page[at : at + 8], "little") for at in _RINGS_AT]
    types = seen.memory()[0]
    return LATER if any(pfn > last or types.get(pfn) not in _POPULATED for pfn in rings) else None


def lacking(seen: Look, _: Finding) -> bool:
    """What is not there when zeros have been taken for END, and a guest cannot be restored without."""
    lacks = _vcpu_0(seen, _) if seen.case.guest == "pv" else not seen.applied("libxc.HVM_CONTEXT")
    return lacks and not _ended_by_chance(seen)


def _populated(seen: Look, finding: Finding) -> bool:
    """Pages without content are populated in one case."""
    entry = int.from_bytes(seen.data[finding.offset : finding.offset + 8], "little")
    return entry >> tables.ENTRY_TYPE_SHIFT in _POPULATED


def _lost(seen: Look) -> int:
    return LATER if seen.lost is None else seen.lost


def _ended_by_chance(seen: Look) -> bool:
    """Whether data that was lost is read as END where nothing is insisted on: a COLO secondary stops at any END."""
    return seen.case.mode == "colo" and seen.first("libxc.END") < LATER


def _parameter(_: Look, finding: Finding, release: str) -> str:
    """The call that sets a parameter takes the low half of its number."""
    settable = _SETTABLE | (_RETIRED_LATER if peers.minor(release) <= 14 else set())
    return "accept" if actual(finding) & 0xFFFFFFFF in settable else "reject"


def _far(seen: Look, at: int, _: str) -> str:
    """Up to 4.14 the bookkeeping of HVM pages counts in a C int."""
    row = next(row for row in seen.records if row.at == at)
    far = seen.case.guest == "hvm" and max(pfn for _, pfn in seen.entries(row)) > _INT_MAX
    return "crash" if far else "reject"


def _short_extended(seen: Look) -> tuple[str, int] | None:
    """An extended context without all that the hypervisor here looks at; the rest is what memory held."""
    rows = [row for row in seen.applied("libxc.X86_PV_VCPU_EXTENDED") if HEADER < row.length < HEADER + _EXTENDED]
    return (EITHER, rows[0].at) if rows else None


# -- what is no breach by a finding -----------------------------------------------------------------------------


def _saver(seen: Look) -> tuple[str, int] | None:
    """No Xen that writes these images has another major number than 4, and no converter another than 0."""
    other = [at for at in seen.domains if int.from_bytes(seen.data[at + 8 : at + 12], "little") not in (0, 4)]
    return ("accept", other[0]) if other else None


def _inferred(seen: Look) -> tuple[str, int] | None:
    at = seen.first(*_MEMORY)
    return ("accept", at) if seen.version == 2 and at < LATER else None


def _policy_missing(seen: Look) -> tuple[str, int] | None:
    ends = seen.applied("libxc.STATIC_DATA_END")
    return ("accept", ends[0].at) if ends and not seen.applied("libxc.X86_MSR_POLICY") else None


def _again(before: set[bool], after: bool) -> Callable[[Look], tuple[str, int] | None]:
    """A page that comes again, after it came as a hole or not, as a hole or not."""

    def shows(seen: Look) -> tuple[str, int] | None:
        holes: dict[int, bool] = {}
        for row in seen.applied("libxc.PAGE_DATA"):
            for kind, pfn in seen.entries(row):
                if holes.get(pfn) in before and (kind == _HOLE) == after:
                    return "accept", row.at
                holes[pfn] = kind == _HOLE
        return None

    return shows


def _cut(seen: Look) -> tuple[str, int] | None:
    return ("accept", seen.whole[-1]) if "CKPT-CUT" in seen.clauses and seen.case.remus and seen.whole else None


def _drops(seen: Look) -> tuple[str, int] | None:
    left = [row for row in seen.records if seen.dropped(row.at)]
    return ("ignore", left[0].at) if left else None


def _none_whole(seen: Look) -> tuple[str, int] | None:
    """No checkpoint is whole, and the input ends."""
    ended = seen.whole or seen.first("libxc.END") < LATER
    return ("reject", LATER) if seen.case.remus and seen.case.image and not ended else None


def _unknown_buffered(seen: Look) -> tuple[str, int] | None:
    rows = [row.offset for row in seen.findings if row.clause == "LIBXC-REC-UNKNOWN-OPT" and seen.buffered(row.offset)]
    return ("reject", rows[0]) if rows and not seen.dropped(rows[0]) else None


SHOWN = {
    "LIBXC-DHDR-XENVER": _saver,
    "LIBXC-SDE-INFER": _inferred,
    "LIBXC-SDE-EFFECT": _policy_missing,
    "LIBXC-PAGE-REPEAT": _again({False}, after=False),
    "LIBXC-PAGE-XTAB-THEN-DATA": _again({True}, after=False),
    "LIBXC-PAGE-DATA-THEN-XTAB": _again({False}, after=True),
    "CKPT-CUT": _cut,
    "CKPT-DROP": _drops,
    "CKPT-FIRST-FATAL": _none_whole,
    "CKPT-OPT-BUF": _unknown_buffered,
    "COLO-DIRTY-LEN": no_header,
    "COLO-DIRTY-POS": no_list,
}


XENGUEST = Peer(
    "libxenguest",
    peers.XENPEER,
    ask=lambda looks, release: peers.xenguest(((seen.case.kind, seen.data) for seen in looks), release),
    takes=lambda seen: seen.case.image or seen.case.back,
    depends={
        # A shift of 32 bits or more is by so many modulo 32, as x86 has it.
        "LIBXC-DHDR-PAGESHIFT": refusing(lambda _, finding: actual(finding) % 32 != libxc.PAGE_SHIFT),
        "LIBXC-REC-UNKNOWN-OPT": refusing(lambda seen, finding: seen.buffered(finding.offset), "ignore"),
        "LIBXC-SDE-PRESENT": refusing(lambda seen, _: bool(seen.before("libxc.STATIC_DATA_END") & _MEMORY)),
        "LIBXC-PVINFO-LEN": refusing(lambda _, finding: actual(finding) < HEADER),
        "LIBXC-PVINFO-FIRST": refusing(lambda seen, _: _before_pv_info(seen) != LATER),
        "LIBXC-P2M-BEFORE-PAGES": _no_frame_list,
        "LIBXC-SDE-V2": refusing(_static_end_v2),
        "LIBXC-MSR-FLAGS": refusing(_policy),
        "LIBXC-P2M-ENTRY": refusing(_listed_frame),
        "LIBXC-VCPU0-BASIC": refusing(_vcpu_0),
        "LIBXC-VCPU-PFN": refusing(_vcpu_pfn),
        "LIBXC-PAGE-PFN-MAX": refusing(_populated),
        "STREAM-FRAMING-LOST": refusing(lambda seen, _: not _ended_by_chance(seen)),
        "STREAM-ZEROS": refusing(lacking),
        "LIBXC-HVMCTX-HEADER": refusing(_context_header),
        "LIBXC-HVMCTX-END": refusing(_context_end),
        "LIBXC-HVMCTX-PRESENT": refusing(_no_context),
        "CKPT-STATIC-ONCE": refusing(_static_again),
        "COLO-DIRTY-LEN": lambda _, __: "reject",
        **dict.fromkeys((f"LIBXC-HVMCTX-{name}" for name in _CONTEXTS), refusing(_context)),
    },
    places={
        "STREAM-FRAMING-LOST": _lost,
        **dict.fromkeys((f"LIBXC-HVMCTX-{name}" for name in (*_CONTEXTS, "HEADER", "END", "PRESENT")), lambda _: LATER),
        "LIBXC-P2M-ENTRY": lambda _: LATER,
        "LIBXC-P2M-START": lambda _: LATER,
        "LIBXC-VCPU0-BASIC": lambda _: LATER,
        "LIBXC-VCPU-PFN": lambda _: LATER,
        "STREAM-ZEROS": lambda _: LATER,
        "LIBXC-P2M-BEFORE-PAGES": _pages_first,
        "LIBXC-PVINFO-FIRST": _before_pv_info,
        "LIBXC-SDE-PRESENT": lambda seen: seen.first(*_MEMORY),
        "LIBXC-MSR-FLAGS": _static_ends,
    },
    context={
        "LIBXC-DHDR-TYPE": _other_guest,
        "LIBXC-VCPU-ID": vcpu_id,
        "LIBXC-PAGE-PFN-HVM": no_room,
        "LIBXC-STARTINFO-PFN": start_info,
        "COLO-DIRTY-LEN": beyond,
    },
    kept={"LIBXC-VCPU-EXT-LEN": _short_extended},
    chosen={"LIBXC-PAGE-PFN-HVM": _far, "COLO-DIRTY-LEN": takes_beyond},
    varies={"LIBXC-HVMPARAMS-INDEX": _parameter},
    shown=SHOWN,
)
