"""Recognising a bare legacy libxc stream (Xen 3.0 to 4.5), which has no magic, by the shape of its first bytes.

:func:`guess_legacy` reads the head in every way a writer could have meant it: PV with extended info, PV without
(Xen 3.0 and 3.1), HVM.  A reading that meets something no writer emits is refuted; one that survives must also have
earned points for things chance does not produce.  Layout and order are those of tools/libxc/xc_domain_save.c and
xc_domain_restore.c of Xen 4.4; for PV without extended info tools/libxc/xc_linux_save.c of Xen 3.0.
"""

from __future__ import annotations

from struct import calcsize, unpack, unpack_from

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEAD_MAX = 256 << 10
WORD_CODES = {4: "I", 8: "Q"}

# Points: one for each entry of a batch that continues a run of PFNs, or is a void of a kind writers make, and one for
# so many frames in a row of a frame list.  STRONG is enough to recognise a stream; in a reading that has PROVEN
# points a defect is the stream's own and refutes no longer.
STRONG, PROVEN = 16, 64
OPENING_POINTS, CHUNK_POINTS, FRAMES_PER_POINT = 16, 8, 4


class _Trial:
    """One reading of the head: `points` earned, `first` PFN of its first batch, `batches` met, the `last` one's last
    PFN, `notes` for people.  It stays `clean` until it meets what no writer emits."""

    def __init__(self) -> None:
        self.points = self.batches = 0
        self.last = -1
        self.first: int | None = None
        self.clean = True
        self.notes: list[str] = []


def guess_legacy(
    head: bytes, width: int | None = None, guest: str | None = None, declared: bool = False
) -> tuple[int, str | None, str] | None:
    """What legacy stream begins with `head` (64 KiB are enough mostly), or None if it shows no sign of one.

    That is the width of the toolstack that wrote it (32 or 64), its guest ("pv", "hvm", None if both fit), and the
    evidence for people.  `width` and `guest` are what the caller says they are.  What is `declared` to be one needs not
    prove it.
    """
    head = head[:HEAD_MAX]
    begun = _begun(head, width)
    if begun is None:
        return None
    word, p2m_size, note = begun
    notes = [note]
    if guest != "hvm" and head[word : 2 * word] == b"\xff" * word:
        if size := _extended(head, 2 * word):
            bits = tables.LEGACY_VCPU_WIDTHS[size]
            notes.append(f"extended info with a 'vcpu' block of {size:,} bytes: {bits}-bit PV guest")
        elif declared:
            notes.append("extended info without a 'vcpu' block: PV guest")
        else:
            return None
        return word * 8, "pv", "; ".join(notes)
    left = _readings(head, word, p2m_size, guest)
    if declared or max((trial.points for trial in left.values()), default=0) < STRONG:
        # Frames in another order than any writer's prove nothing; a tail where it should be does.
        other = _readings(head, word, p2m_size, guest, ordered=False)
        proven = {of: trial for of, trial in other.items() if trial.points >= PROVEN}
        left = proven or left or (other if declared else {})
    if guest and (declared or left):
        notes += left[guest].notes if guest in left else []
        return word * 8, guest, "; ".join([*notes, f"declared {guest.upper()}"])
    if not declared and max((trial.points for trial in left.values()), default=0) < STRONG:
        return None
    first = int.from_bytes(head[word : word + 4], "little", signed=True)
    if declared and not left and first in CHUNKS:
        return word * 8, "hvm", "; ".join([*notes, f"chunk {first} comes first: HVM guest"])
    if len(left) != 1:
        ways = " and as ".join(f"{of.upper()} ({', '.join(trial.notes)})" for of, trial in left.items())
        reads = f"reads as {ways}, and nothing in {len(head):,} bytes decides" if left else "reads as no guest's stream"
        return word * 8, None, "; ".join([*notes, f"{reads}: guest type unknown"])
    found, trial = left.popitem()
    notes += trial.notes
    # A PV guest's width is by default the reader's own (xc_domain_restore.c).
    notes[-1] += f": {word * 8}-bit PV guest" if found == "pv" else ": HVM guest"
    return word * 8, found, "; ".join(notes)


def perhaps_legacy(head: bytes) -> tuple[int, str | None, str] | None:
    """What legacy stream may begin with `head`, though that proves too little: as guess_legacy has it.

    That is where something of a first batch is there, in a writer's order, and nothing that no writer emits.
    """
    begun = _begun(head, None)
    if begun is None:
        return None
    word, p2m_size, note = begun
    if head[word : 2 * word] == b"\xff" * word:
        return word * 8, "pv", f"{note}; what follows may be extended info"
    left = {of: trial for of, trial in _readings(head, word, p2m_size, None).items() if trial.clean and trial.points}
    if not left:
        return None
    ways = " and as ".join(f"{of.upper()} ({', '.join(trial.notes)})" for of, trial in left.items())
    return word * 8, None if len(left) > 1 else next(iter(left)), f"{note}; it reads as {ways}"


def _begun(head: bytes, width: int | None) -> tuple[int, int, str] | None:
    """The toolstack's word in bytes, p2m_size, and what that says for people; None if no stream begins so."""
    short, long = tables.LEGACY_WORDS
    if len(head) < long:
        return None
    # A p2m_size is below 2^28, so a 64-bit one ends in zeros; in a 32-bit stream these bytes are a signature, a
    # chunk id or a frame, none of which is 0 (docs/specs/libxc-migration-stream.pandoc, Image Header).
    word = width // 8 if width else short if any(head[short:long]) else long
    p2m_size = _u(head, 0, word)
    if not 0 < p2m_size <= tables.LEGACY_P2M_MAX:
        return None
    if width:
        return word, p2m_size, f"declared {width}-bit: p2m_size is {p2m_size:,}"
    zeros = "not zero" if any(head[short:long]) else "zero"
    return word, p2m_size, f"bytes {short}-{long - 1} are {zeros}, so p2m_size is {word * 8}-bit"


def _readings(head: bytes, word: int, p2m_size: int, guest: str | None, ordered: bool = True) -> dict[str, _Trial]:
    """The readings of a head without extended info that are left, by guest; `ordered` if frames must be in an order."""
    readings = (
        ("hvm", _walk(head, word, _Form(word, p2m_size, tables.LEGACY_TYPES["hvm"], _hvm_tail, ordered))),
        ("pv", _listed(head, _Form(word, p2m_size, tables.LEGACY_TYPES["pv"], _pv_tail, ordered))),
    )
    left = {of: trial for of, trial in readings if trial is not None and guest in (None, of)}
    left = {of: trial for of, trial in left.items() if trial.clean} or left
    # Every writer's first pass begins at PFN 0.  A batch that begins later does not come back to 0, so where a frame
    # list leads to one that begins there, the list is real.
    if len(left) == 2 and left["pv"].first == 0 != left["hvm"].first:
        del left["hvm"]
    return left


class _Form:
    """What a reading goes by: the toolstack's words, the guest's frames and page types, its tail, and whether frames
    have to come in a writer's order."""

    def __init__(
        self,
        word: int,
        p2m_size: int,
        types: frozenset[int],
        tail: Callable[[_Trial, bytes, int, int], None],
        ordered: bool,
    ) -> None:
        self.word = word
        self.p2m_size = p2m_size
        self.types = types
        self.tail = tail
        self.ordered = ordered


def _pv_tail(trial: _Trial, head: bytes, at: int, word: int) -> None:
    """What follows a PV guest's body: frames without a page, vcpus' contexts, a page; that and no more proves much."""
    after = at + tables.LEGACY_LENGTH_SIZE + word * _u(head, at, tables.LEGACY_LENGTH_SIZE)
    contexts, over = divmod(len(head) - tables.PAGE_SIZE - after, tables.VCPU_CONTEXT_SIZES[word])
    if contexts > 0 and not over:
        trial.points += PROVEN
        trial.notes.append("vcpus and a page after the body, and no more")


def _hvm_tail(trial: _Trial, head: bytes, at: int, _: int) -> None:
    """What follows an HVM guest's body: three frames, a length, and a context, of which the beginning is known."""
    begins = head[at + tables.LEGACY_HVM_CONTEXT_AT :][: len(tables.LEGACY_HVM_BEGINS)]
    if not tables.LEGACY_HVM_BEGINS.startswith(begins):
        trial.clean = False
    elif len(begins) == len(tables.LEGACY_HVM_BEGINS):
        trial.points += PROVEN
        trial.notes.append("an HVM context after the body")


def _u(head: bytes, at: int, size: int) -> int:
    """Little-endian number, of the bytes there are."""
    return int.from_bytes(head[at : at + size], "little")


def _extended(head: bytes, at: int) -> int:
    """Size of the vcpu's block in the extended info whose length field lies at `at`, of which it is always the first.

    0 if there is none of a known size.
    """
    tag, length = tables.LEGACY_VCPU_TAG, tables.LEGACY_LENGTH_SIZE
    first = at + length
    last = first + tables.LEGACY_BLOCK_HEADER
    size = _u(head, first + len(tag), length) if len(head) >= last and head.startswith(tag, first) else 0
    fits = tables.LEGACY_BLOCK_HEADER + size <= _u(head, at, length) <= tables.LEGACY_EXTINFO_MAX
    return size if fits and size in tables.LEGACY_VCPU_WIDTHS else 0


def _listed(head: bytes, form: _Form) -> _Trial | None:
    """The head as PV without extended info: the frames of the guest's own P2M, then the body."""
    word, p2m_size = form.word, form.p2m_size
    if p2m_size > tables.LEGACY_LISTED_MAX[word]:
        return None
    need = -(-p2m_size * word // tables.PAGE_SIZE)
    seen = min(need, len(head) // word - 1)
    frames: tuple[int, ...] = unpack_from(f"<{seen}{WORD_CODES[word]}", head, word)
    # PFN 0 is where the kernel's image or the low memory it keeps free begins; no P2M lies there.
    if len(set(frames)) < seen or not all(0 < frame < p2m_size for frame in frames):
        return None
    trial = _Trial() if seen < need else _walk(head, word + need * word, form)
    if trial is not None:
        steps = sum(frames[i] - frames[i - 1] == 1 for i in range(1, seen))
        trial.points += steps // FRAMES_PER_POINT
        trial.notes.insert(0, f"a frame list, {seen:,} of its {need:,} PFNs seen, all distinct and below p2m_size")
    return trial


def _walk(head: bytes, at: int, form: _Form) -> _Trial | None:
    """The head from `at` on as a body, as far as it goes; None if it is none."""
    trial = _Trial()
    while at + 4 <= len(head):
        marker = int.from_bytes(head[at : at + 4], "little", signed=True)
        end, sure = 0, False
        if 0 < marker <= min(tables.LEGACY_BATCH_MAX, form.p2m_size):  # no batch names a PFN twice
            end = _batch(trial, head, at + 4, marker, form)
        elif marker == 0 and trial.batches:
            form.tail(trial, head, at + 4, form.word)
            return trial
        elif marker in CHUNKS and (trial.batches or marker != tables.LEGACY_VERIFY):
            end, sure = CHUNKS[marker](head, at + 4)
        if not end:
            trial.clean = False
            return trial if trial.points >= PROVEN else None
        if sure and end <= len(head):
            if trial.batches:
                trial.points += CHUNK_POINTS
            elif marker in tables.LEGACY_OPENING:
                trial.points += OPENING_POINTS
                trial.notes.append(f"chunk {marker} ({tables.LEGACY_OPENING[marker]}) before any batch")
        at = end
    return trial


def _batch(trial: _Trial, head: bytes, at: int, count: int, form: _Form) -> int:
    """Where the batch whose entries begin at `at` ends, 0 if it is none; `trial` notes what it proves."""
    word, p2m_size = form.word, form.p2m_size
    seen = min(count, (len(head) - at) // word)
    pfns: list[int] = []
    xtabs: list[int] = []
    end = pages = 0
    for entry in unpack_from(f"<{seen}{WORD_CODES[word]}", head, at):
        # In a 64-bit entry the type is all of the upper 36 bits.
        kind, pfn = entry >> tables.LEGACY_TYPE_SHIFT, entry & tables.LEGACY_PFN_MASK
        if kind not in form.types or (kind != tables.LEGACY_XTAB and pfn >= p2m_size):
            break
        pages += kind not in tables.LEGACY_NO_DATA
        (xtabs if kind == tables.LEGACY_XTAB else pfns).append(pfn)
    else:
        end = at + count * word + pages * tables.PAGE_SIZE
    voids = sum(pfn < p2m_size for pfn in xtabs)  # some writers (PV, Xen 3) leave an MFN: legal, but proves nothing
    run, steps = _order(pfns)
    if steps < len(pfns):
        run, steps = max((run, steps), _order([_index(pfn, p2m_size) for pfn in pfns]))
    trial.points += steps + voids
    if pfns:
        # Batches of few pages go on where the last one ended.
        trial.points += 0 < pfns[0] == trial.last + 1
        trial.last = pfns[-1]
    if not trial.batches:
        trial.first = pfns[0] if pfns else None
        trial.notes.append(f"a first batch of {count:,} entries, {run + voids:,} of {seen:,} seen in a writer's order")
    trial.batches += 1
    return end if run == len(pfns) or not form.ordered else 0


def _order(keys: list[int]) -> tuple[int, int]:
    """How many keys from the first on ascend, and how many of those follow directly on the last (0: on none)."""
    steps, last = 0, -1
    for run, key in enumerate(keys):
        if key <= last:
            return run, steps
        steps += key == last + 1
        last = key
    return len(keys), steps


def _index(pfn: int, p2m_size: int) -> int:
    """When the savers of Xen 3.0 to 3.2 visit `pfn`: their walk rotates, until the outcome is below p2m_size."""
    bits = (p2m_size - 1).bit_length() - tables.LEGACY_PERMUTE_BITS
    if bits <= 0:
        return pfn
    while True:  # a rotation comes round after at most 28 turns, and pfn itself ends it
        pfn = pfn >> tables.LEGACY_PERMUTE_BITS | (pfn & ((1 << tables.LEGACY_PERMUTE_BITS) - 1)) << bits
        if pfn < p2m_size:
            return pfn


def _vcpus(head: bytes, at: int) -> tuple[int, bool]:
    highest = _u(head, at, 4)
    size = 8 * (highest // 64 + 1)
    online = _u(head, at + 4, size)  # vcpu 0 is always marked, none above the highest
    return at + 4 + size if highest <= tables.LEGACY_VCPU_ID_MAX else 0, online & 1 == 1 and not online >> highest + 1


def _fields(head: bytes, at: int, form: str) -> tuple[int, tuple[Any, ...]]:
    """Where the fields of a chunk end, and what they are, with zeros for what is not there."""
    size = calcsize(form)
    return at + size, unpack(form, head[at : at + size].ljust(size, b"\0"))


def _param(head: bytes, at: int) -> tuple[int, bool]:
    end, (padding, _) = _fields(head, at, tables.LEGACY_PARAM_FORMAT)
    return end, not any(padding)


def _tsc(head: bytes, at: int) -> tuple[int, bool]:
    end, (mode, _, khz, _) = _fields(head, at, tables.LEGACY_TSC_FORMAT)
    return end if mode <= tables.LEGACY_TSC_MODE_MAX else 0, not khz or khz >= tables.LEGACY_TSC_KHZ_MIN


def _tmem(head: bytes, at: int) -> tuple[int, bool]:
    end, (version, _, flags) = _fields(head, at, tables.LEGACY_TMEM_FORMAT)
    sound = version <= tables.LEGACY_TMEM_VERSION_MAX and flags == b"\xff" * len(flags)
    return len(head) if sound or len(head) < end else 0, sound  # its pools have many shapes: looked at no further


# By id, where the chunk that goes on at `at` ends (0: it cannot be one), and whether its content speaks for one.
CHUNKS: dict[int, Callable[[bytes, int], tuple[int, bool]]] = {
    **dict.fromkeys(tables.LEGACY_MARKS, lambda head, at: (at, True)),
    **dict.fromkeys(tables.LEGACY_PARAMS, _param),
    tables.LEGACY_VCPUS: _vcpus,
    tables.LEGACY_TMEM: _tmem,
    tables.LEGACY_TMEM_EXTRA: lambda head, at: (len(head), False),  # ids of a width that only that chunk shows
    tables.LEGACY_TSC: _tsc,
    tables.LEGACY_TOOLSTACK: lambda head, at: (at + 4 + _u(head, at, 4), True),
}
