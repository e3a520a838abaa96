"""Whole guests as each release of Xen from 3.0 to 4.5 saved them, in plain struct calls; nothing of the product.

A `Setup` says which guest, saved how (plain_releases.py has what each release wrote): `saved` gives the stream,
`pieces` the same cut into its parts, by name, and `kept` what the guest is to have after a restore.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from . import plain_legacy as plain
from .plain_legacy import BROKEN, L1, L2, L3, L4, NO_DATA, NOTAB, PAGE, PIN, XALLOC, XTAB, Physmap, entry
from .plain_releases import VARIANTS, Variant
from .plain_remus import Compressor

Piece = tuple[str, bytes]


# PFNs of a PV guest's special pages; its frame list begins at FRAMES, and there are none before 1 that matter.
START_INFO, STORE, CONSOLE, GDT, PT1, PT2, PT3, PT4, USER_PT4 = range(1, 10)
FRAMES = 16
# Those of an HVM guest are the last of all, in this order downwards.
HVM_SPECIAL = ("store", "ioreq", "buffered", "console", "paging", "access", "sharing", "server")


class Setup(NamedTuple):
    """A guest, and how it is saved.

    Of `vcpus` those are given that are online, in a guest of `highest` + 1.  `holes` are PFNs without a page, `broken`
    those of pages that the memory has lost, `unmapped` those that a PV guest's tail says have no page, by default the
    holes, `rounds` how often pages are sent, `batch` the most in one batch.
    `checkpoints` are those after the first body, compressed if that is said.  `sender` is "xend" or "libxl".  `levels`
    are those of a PV guest's page tables, by default 4 or 3; 2 is what nothing newer can restore.
    """

    release: str = "4.4"
    guest: str = "hvm"
    word: int = 8
    guest_word: int = 8
    p2m_size: int = 40
    vcpus: Sequence[int] = (0,)
    highest: int | None = None
    holes: Sequence[int] = (12, 13)
    broken: Sequence[int] = ()
    rounds: int = 1
    batch: int = 1024
    verify: bool = False
    tmem: bool = False
    unmapped: Sequence[int] | None = None
    regions: Sequence[Physmap] = ()
    checkpoints: int = 0
    compressed: bool = False
    sender: str = "libxl"
    levels: int | None = None
    xsave: Sequence[int] = (592,)
    state: bytes = plain.DEVICE + bytes(20)
    seed: int = 0

    @property
    def variant(self) -> Variant:
        """What its release writes."""
        return VARIANTS[self.release]

    @property
    def pv(self) -> bool:
        """Whether it is a PV guest."""
        return self.guest == "pv"

    @property
    def depth(self) -> int:
        """Levels of its page tables."""
        return self.levels or (4 if self.guest_word == 8 else 3)

    @property
    def top(self) -> int:
        """The PFN of its topmost page table."""
        return (PT2, PT3, PT4)[self.depth - 2]

    @property
    def frames(self) -> range:
        """The PFNs of a PV guest's P2M table."""
        return range(FRAMES, FRAMES + plain.frame_count(self.p2m_size, self.guest_word))

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks of its extended info."""
        pae = ("vcpu",) if self.guest_word == 4 and self.depth == 3 else ()
        return pae if self.variant.blocks == ("pae",) else self.variant.blocks

    def special(self, name: str) -> int:
        """The PFN of one of an HVM guest's special pages."""
        return self.p2m_size - 1 - HVM_SPECIAL.index(name)


def kind(setup: Setup, pfn: int) -> int:
    """The type of a page."""
    if pfn in setup.holes:
        return XTAB
    if pfn in setup.broken and setup.variant.broken:
        return BROKEN
    tables = {PT1: L1, PT2: L2, PT3: L3, PT4: L4, USER_PT4: L4}
    if not setup.pv or pfn not in tables or tables[pfn] > setup.depth:
        return NOTAB
    return tables[pfn] | (PIN if pfn in (setup.top, USER_PT4) else 0)


def content(setup: Setup, pfn: int, version: int) -> bytes:
    """A page; only some differ from version to version in all words, others in a few, or in none."""
    if kind(setup, pfn) & 7:
        return _table(setup, pfn)
    if setup.pv and pfn == START_INFO:
        return _start_info(setup)
    change = pfn % 4
    base = version if change == 0 else 0
    data = bytearray(hashlib.shake_128(f"{setup.seed}/{pfn}/{base}".encode()).digest(PAGE))
    if version and change in (1, 2):
        for at in (8, 1200, 4092)[:change]:
            struct.pack_into("<I", data, at, version)
    return bytes(data)


def _table(setup: Setup, pfn: int) -> bytes:
    """A page table with a few entries, PFNs in place of MFNs."""
    below = {PT1: GDT, PT2: PT1, PT3: PT2, PT4: PT3, USER_PT4: PT3}[pfn]
    flags = 0x1 if pfn == PT3 and setup.depth == 3 else 0x67
    form = "<I" if setup.depth == 2 else "<Q"
    values = (below << 12 | flags, 0, *((START_INFO << 12 | flags,) if pfn == PT1 else ()))
    return b"".join(struct.pack(form, value) for value in values).ljust(PAGE, b"\0")


def _start_info(setup: Setup) -> bytes:
    data = bytearray(b"xen-3.0-x86_64" if setup.guest_word == 8 else b"xen-3.0-x86_32p").ljust(PAGE, b"\0")
    wide = setup.guest_word == 8
    form = "<Q" if wide else "<I"
    struct.pack_into(form, data, 32, setup.p2m_size)
    struct.pack_into(form, data, 56 if wide else 44, STORE)
    struct.pack_into("<I", data, 64 if wide else 48, 1)
    struct.pack_into(form, data, 72 if wide else 52, CONSOLE)
    struct.pack_into("<I", data, 80 if wide else 56, 2)
    return bytes(data)


def context(setup: Setup, vcpu: int, version: int = 0) -> bytes:
    """A vcpu's context in the tail."""
    word = setup.guest_word
    cr3 = setup.top << 12 if setup.release == "3.0.2" else plain.fold(word, setup.top)
    fields: dict[str, int | tuple[int, ...]] = {
        "flags": 0x20 if setup.variant.words else 0,
        "ax": 0x1000 * version + vcpu,
        "ip": 0x81001000 + vcpu,
        "cs": 0xE033 if word == 8 else 0xE019,
        "eflags": 0x202,
        "sp": 0x82000000 + 64 * vcpu,
        "ss": 0xE02B if word == 8 else 0xE021,
        "gdt_frames": (GDT,),
        "gdt_ents": 512,
        "kernel_ss": 0xE02B if word == 8 else 0xE021,
        "kernel_sp": 0x82001000,
        "cr3": cr3,
        "vm_assist": 0x8 if setup.depth == 3 else 0,
    }
    if vcpu == 0:
        fields["dx"] = START_INFO
    if word == 8:
        fields["r15"] = 0x1515 + vcpu
        if setup.variant.words:
            fields["cr1"] = USER_PT4 << 12 | 1
    return plain.vcpu_context(word, **fields)


def order(setup: Setup) -> list[int]:
    """PFNs in the order in which a round visits them: up to 3.2 turned by ten bits, which leaves small guests as is."""
    bits = (setup.p2m_size - 1).bit_length()
    if not setup.variant.permuted or bits <= 10:
        return list(range(setup.p2m_size))
    found = []
    for pfn in range(setup.p2m_size):
        turned = pfn
        while True:
            turned = (turned << 10 | turned >> (bits - 10)) & (1 << bits) - 1
            if turned < setup.p2m_size:
                break
        found.append(turned)
    return found


def early(setup: Setup, pfn: int) -> bool:
    """Whether the first round only announces a page, which is written to already and comes with the second."""
    live = setup.rounds > 1 and not setup.pv and setup.variant.xalloc
    return live and pfn % 7 == 3 and pfn in changed(setup, 1)


def _entry(setup: Setup, pfn: int, version: int) -> int:
    """A page's entry, with what the release leaves in that of a hole: nothing, a PFN, or some MFN."""
    value = kind(setup, pfn)
    if version == 0 and value == NOTAB and early(setup, pfn):
        return entry(XALLOC, pfn)
    if value != XTAB or not setup.variant.bare[not setup.pv]:
        return entry(value, pfn + 0xABC00 if value == XTAB and setup.pv else pfn)
    return entry(value, 0)


def _batches(setup: Setup, pfns: Sequence[int], version: int) -> Iterator[Piece]:
    for at in range(0, len(pfns), setup.batch):
        some = pfns[at : at + setup.batch]
        values = [_entry(setup, pfn, version) for pfn in some]
        if setup.variant.bare[not setup.pv] and all(kind(setup, pfn) == XTAB for pfn in some):
            continue  # no release that forgets the PFNs sends a batch of nothing else
        pages = b"".join(
            content(setup, pfn, version) for pfn, value in zip(some, values, strict=True) if plain.has_data(value)
        )
        yield "PAGE_BATCH", plain.batch(setup.word, values, pages)


def changed(setup: Setup, version: int) -> list[int]:
    """PFNs that a later round or checkpoint sends again."""
    return [pfn for pfn in range(setup.p2m_size) if pfn % 5 != version % 5 and pfn not in (PT1, START_INFO)]


def _compressed(setup: Setup, sender: Compressor, pfns: Sequence[int], version: int) -> Iterator[Piece]:
    """Batches without pages, and their pages in two strings: one comes as soon as half of the entries are known."""
    pending: list[bytes] = []
    for number, at in enumerate(range(0, len(pfns), setup.batch)):
        some = pfns[at : at + setup.batch]
        yield "PAGE_BATCH", plain.batch(setup.word, [_entry(setup, pfn, version) for pfn in some], b"")
        pending += [
            sender.add(pfn, content(setup, pfn, version), bool(kind(setup, pfn) & 7))
            for pfn in some
            if kind(setup, pfn) not in NO_DATA
        ]
        if number == 0 and len(pending) > 1:
            half = len(pending) // 2
            yield "COMPRESSED_DATA", plain.compressed_data(setup.word, b"".join(pending[:half]))
            del pending[:half]
    yield "COMPRESSED_DATA", plain.compressed_data(setup.word, b"".join(pending))


def parameters(setup: Setup) -> dict[int, int]:
    """The values of the HVM chunks that the release writes, by their ids in their order."""
    values = {
        plain.HVM_GENERATION_ID_ADDR: 0x50F0,
        plain.HVM_IDENT_PT: 0xFEFFE000,
        plain.HVM_PAGING_RING_PFN: setup.special("paging"),
        plain.HVM_ACCESS_RING_PFN: setup.special("access"),
        plain.HVM_SHARING_RING_PFN: setup.special("sharing"),
        plain.HVM_VM86_TSS: 0xFC000,
        plain.HVM_CONSOLE_PFN: setup.special("console"),
        plain.HVM_ACPI_IOPORTS_LOCATION: 1,
        plain.HVM_VIRIDIAN: 1,
        plain.HVM_IOREQ_SERVER_PFN: setup.special("server"),
        plain.HVM_NR_IOREQ_SERVER_PAGES: 1,
    }
    return {number: values[number] for number in setup.variant.params}


_PARAMETER_NAMES = {value: name for name, value in vars(plain).items() if name.startswith("HVM_") and value < 0}


def _end_of_body(setup: Setup, first: bool) -> Iterator[Piece]:
    own = setup.variant
    if own.words:
        highest = max(setup.vcpus) if setup.highest is None else setup.highest
        yield "VCPU_INFO", plain.vcpu_info(highest, setup.vcpus, None if own.words < 0 else own.words)
    if not setup.pv:
        for number, value in parameters(setup).items():
            yield _PARAMETER_NAMES[number], plain.parameter(number, value)
    if own.toolstack and setup.sender == "libxl":
        yield "TOOLSTACK", plain.toolstack(plain.toolstack_body(setup.word, () if setup.pv else setup.regions))
    if own.last and not setup.checkpoints:
        yield "LAST_CHECKPOINT", plain.chunk(plain.LAST_CHECKPOINT)
    if setup.compressed and first:
        yield "ENABLE_COMPRESSION", plain.chunk(plain.ENABLE_COMPRESSION)
    yield "END_OF_BODY", plain.chunk(plain.END_OF_BODY)


def _tail(setup: Setup, version: int) -> Iterator[Piece]:
    if not setup.pv:
        frames = (setup.special(name) for name in ("ioreq", "buffered", "store"))
        yield "HVM_TAIL", plain.hvm_tail(*frames)
        yield "HVM_CONTEXT", plain.counted(plain.hvm_context())
        form = setup.variant.qemu[setup.sender == "libxl"] if not setup.checkpoints else "0002"
        form = "remus" if setup.checkpoints and setup.sender == "xend" else form
        yield "QEMU", plain.qemu(form, setup.state + struct.pack("<I", version) + b"\0")
        return
    yield "UNMAPPED", plain.unmapped(setup.word, setup.holes if setup.unmapped is None else setup.unmapped)
    for at, vcpu in enumerate(setup.vcpus if setup.variant.words else (0,)):
        yield "VCPU", context(setup, vcpu, version)
        if "extv" in setup.blocks:
            yield "VCPU_EXT", plain.extended_context(vcpu, setup.variant.extended)
        if "xcnt" in setup.blocks:
            yield "VCPU_XSAVE", plain.xsave(saved_state(setup, vcpu, setup.xsave[at % len(setup.xsave)]))
    yield "SHARED_INFO", plain.shared_info(setup.guest_word, setup.p2m_size, 7 if setup.variant.list_list else 0)


def saved_state(setup: Setup, vcpu: int, size: int) -> bytes:
    """A vcpu's XSAVE state: xcr0, what was ever in it, and an area."""
    area = hashlib.shake_128(f"xsave {setup.seed}/{vcpu}".encode()).digest(512)
    return (struct.pack("<QQ", 3, 3) + area + struct.pack("<Q", 3)).ljust(size, b"\0")[:size]


def _begin(setup: Setup) -> Iterator[Piece]:
    yield "P2M_SIZE", plain.ulongs(setup.word, setup.p2m_size)
    if not setup.pv:
        return
    if setup.blocks:
        data = {
            "vcpu": plain.block(b"vcpu", context(setup, 0)),
            "extv": plain.block(b"extv"),
            "xcnt": plain.block(b"xcnt", struct.pack("<I", 16 + setup.xsave[0])),
        }
        yield "EXTENDED_INFO", plain.extended_info(setup.word, b"".join(data[name] for name in setup.blocks))
    yield "P2M_FRAME_LIST", plain.ulongs(setup.word, *setup.frames)


def _pool(setup: Setup) -> plain.Pool:
    pages = [((7,) * plain.object_words(setup.variant.tmem or 0), at, bytes([at]) * PAGE) for at in (1, 2)]
    return plain.Pool(3, 1, (1, 2), pages, room=4)


def _first_body(setup: Setup) -> Iterator[Piece]:
    live = setup.rounds > 1 or setup.checkpoints
    tmem = setup.variant.tmem if setup.tmem else None
    tsc = [("TSC_INFO", plain.tsc_info())] if setup.variant.tsc else []
    if tmem is not None:
        yield "TMEM", plain.tmem(tmem, [_pool(setup)])
    if not live:
        yield from tsc
    yield from _batches(setup, order(setup), 0)
    for version in range(1, setup.rounds):
        if version == setup.rounds - 1:
            if tmem is not None:
                yield "TMEM_EXTRA", plain.tmem_extra(tmem, [(3, (7,) * plain.object_words(tmem), 1)])
            yield from tsc
        yield from _batches(setup, changed(setup, version), version)
    if setup.checkpoints and setup.rounds == 1:
        yield from tsc
    if setup.verify:
        yield "ENABLE_VERIFY_MODE", plain.chunk(plain.ENABLE_VERIFY_MODE)
        last = kept(setup._replace(checkpoints=0))
        for at in range(0, setup.p2m_size, setup.batch):
            some = [pfn for pfn in range(at, min(at + setup.batch, setup.p2m_size)) if pfn in last]
            values = [entry(last[pfn][0], pfn) for pfn in some]
            if some:
                yield "PAGE_BATCH", plain.batch(setup.word, values, b"".join(last[pfn][1] for pfn in some))
    yield from _end_of_body(setup, first=True)


def pieces(setup: Setup) -> list[Piece]:
    """The stream's parts in their order, each with its name; together they are the stream."""
    found = [*_begin(setup), *_first_body(setup), *_tail(setup, 0)]
    sender = Compressor()
    for version in range(setup.rounds, setup.rounds + setup.checkpoints):
        pfns = changed(setup, version)
        found += _compressed(setup, sender, pfns, version) if setup.compressed else _batches(setup, pfns, version)
        found += _end_of_body(setup, first=False)
        found += _tail(setup, version)
    return found


def saved(setup: Setup) -> bytes:
    """The stream."""
    return b"".join(data for _, data in pieces(setup))


def kept(setup: Setup) -> dict[int, tuple[int, bytes]]:
    """The pages that are there after a restore, by PFN: type and contents.  Those that were freed are there too."""
    versions = dict.fromkeys(range(setup.p2m_size), 0)
    for version in range(1, setup.rounds + setup.checkpoints):
        versions.update(dict.fromkeys(changed(setup, version), version))
    return {
        pfn: (kind(setup, pfn), content(setup, pfn, version))
        for pfn, version in versions.items()
        if kind(setup, pfn) not in NO_DATA
    }
