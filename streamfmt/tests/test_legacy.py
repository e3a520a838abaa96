"""Legacy streams against a plain writer of them: what each release wrote conforms, and each breach has its clause.

The streams are of tests.support.plain_guests, which has nothing of the product.  A breach is a change of one piece.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import streamfmt

from ..checks.outcome import CONFORMS, Outcome
from ..checks.verifier import Verifier
from ..cli.main import main
from ..reader.reader import Reader
from ..reader.registry import ALIASES
from ..schema.clauses import registry
from .support import plain_guests, plain_legacy, plain_wrappers
from .support.plain_guests import Setup
from .support.plain_legacy import Physmap
from .support.plain_releases import VARIANTS
from .support.vector import judge

HVM = Setup(vcpus=(0, 1), tmem=True, regions=(Physmap(0x1000, 0xF0000000, 0x1000, b"vga.vram"),))
PV = Setup(guest="pv", vcpus=(0, 1))
PV32 = Setup(guest="pv", release="4.0", word=4, guest_word=4, vcpus=(0, 1), tmem=True)
REMUS = Setup(checkpoints=2, compressed=True)
OLD = Setup(release="3.4")
# Notes about what old releases left out, which are no complaint.
HISTORICAL = {"LEGACY-VCPU-INFO"}


def setups() -> Iterator[Setup]:
    """What each release wrote, of either width and guest, checkpointed and not."""
    for release, variant in VARIANTS.items():
        for guest in ("pv", "hvm") if variant.hvm else ("pv",):
            for word in (4, 8):
                widths = (4, 8) if guest == "pv" and variant.crossed else (word,)
                for width in widths:
                    vcpus = (0, 2) if variant.words else (0,)
                    setup = Setup(release=release, guest=guest, word=word, guest_word=width, vcpus=vcpus)
                    yield setup._replace(tmem=variant.tmem is not None, verify=width == word)
                if variant.remus:
                    yield setup._replace(checkpoints=2, compressed=variant.compression, sender="xend")


def _broken(outcome: Outcome) -> set[str]:
    return set(outcome.verifier.findings.counts) - HISTORICAL


@pytest.mark.parametrize("setup", [*setups()], ids=lambda setup: f"{setup.release}-{setup.guest}-{setup.word}")
def test_what_releases_wrote_conforms(setup: Setup) -> None:
    """Each is read to its last byte, and nothing is said of it but what is history."""
    data = plain_guests.saved(setup)
    form = f"{ALIASES[0]}-{8 * setup.word}"
    reader = Reader(verifier := Verifier(), form)
    reader.pump.feed(data)
    reader.pump.end()

    assert _broken(Outcome(reader, verifier)) == set()
    assert (verifier.complete, reader.window.position) == (True, len(data))
    assert (reader.identity.guest, reader.identity.width) == (setup.guest, 8 * setup.word)  # type: ignore[union-attr] # it has one by now
    assert verifier.checkpoints == setup.checkpoints


@pytest.mark.parametrize(("setup", "deep"), [(PV, True), (PV, False), (HVM, True)])
def test_page_tables_are_not_judged(setup: Setup, deep: bool) -> None:
    """With --deep it is said that the page tables of a legacy guest are not judged; without it there is no need."""
    reader = Reader(verifier := Verifier(deep=deep))
    reader.pump.feed(plain_guests.saved(setup))
    reader.pump.end()

    assert ("LIBXC-PTE-PFN" in verifier.abstained) == (setup.pv and deep)


WRAPPERS = (plain_wrappers.xl, plain_wrappers.xend, plain_wrappers.libvirt, plain_wrappers.xapi)


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("setup", [PV, PV32, HVM])
def test_files_hold_it(wrap: Callable[[bytes], bytes], setup: Setup) -> None:
    """In each file that may have it, it is read; its configuration says PV, and is held against it."""
    outcome = judge([wrap(plain_guests.saved(setup))])
    mismatched = wrap in (plain_wrappers.xl, plain_wrappers.xend) and not setup.pv

    assert _broken(outcome) == ({"STREAM-CONFIG-TYPE"} if mismatched else set())
    assert outcome.verdict == CONFORMS
    assert outcome.verifier.layers[-1].path.endswith(f"/{ALIASES[0]}-{8 * setup.word}")


# -- where it ends --------------------------------------------------------------------------------------------


class _Exact:
    """A reader that is asked how many bytes it wants, and gets no more."""

    def __init__(self, data: bytes, form: str, guest: str | None = None, device_model: bool = True) -> None:
        self.verifier = Verifier()
        self.verifier.device_model = device_model
        reader = Reader(self.verifier, form, exact=True, guest=guest)
        self.asked = 0
        while want := reader.pump.run():
            piece = data[self.asked : self.asked + abs(want)]
            if not piece:
                reader.pump.end()
                break
            self.asked += len(piece)
            if want < 0:
                reader.pump.skip(len(piece))
            else:
                reader.pump.feed(piece)


@pytest.mark.parametrize("setup", [PV, PV32, HVM, REMUS, OLD, Setup(release="4.1", guest="pv", word=4, guest_word=4)])
def test_exact_reading_stops_where_it_ends(setup: Setup) -> None:
    """No byte after it is asked for, nor one of the device model's if that is not wanted."""
    data, more = plain_guests.saved(setup), b"what belongs to somebody else" * 400
    pieces = plain_guests.pieces(setup)
    last = setup.checkpoints or setup is not OLD

    exact = _Exact(data + more if last and not setup.checkpoints else data, "legacy", setup.guest)
    assert (exact.verifier.complete, exact.asked) == (True, len(data))

    if not setup.pv and not setup.checkpoints:
        bare = _Exact(data + more, "legacy", setup.guest, device_model=False)
        assert (bare.verifier.complete, bare.asked) == (True, len(data) - len(pieces[-1][1]))
        assert set(bare.verifier.findings.counts) == set()


@pytest.mark.parametrize("setup", [PV, PV32, HVM, OLD])
def test_cut(setup: Setup) -> None:
    """Wherever it ends early, that is said once; inside a page, which page of which batch, and what never came."""
    data, at = plain_guests.saved(setup), 0
    form = f"{ALIASES[0]}-{8 * setup.word}"
    for name, piece in plain_guests.pieces(setup):
        for size in sorted({0, 1, len(piece) // 2, len(piece) - 1}):
            if name == "QEMU" and (size == 0 or setup is OLD):
                continue  # the state goes to the end of the input, wherever that is
            outcome = judge([data[: at + size]], form)
            if outcome.verifier.layers:
                found = outcome.verifier.findings.kept[-1]
                assert _broken(outcome) == {"LEGACY-TRUNC"}, (name, size)
                assert found.offset == at + size
                assert at + size < 16 or found.message.endswith(" never came"), (name, size)
                if name == "PAGE_BATCH" and size == len(piece) // 2:
                    assert "inside page 19 of the 38 pages of batch 1, frame 0x14" in found.message
                if name == "VCPU":
                    assert "; VCPU (the registers of its vcpus) and SHARED_INFO" in found.message
        at += len(piece)


def test_cut_after_a_checkpoint() -> None:
    """Of a checkpointed stream the last whole checkpoint is left."""
    data = plain_guests.saved(REMUS)
    outcome = judge([data[:-100]])

    assert _broken(outcome) == {"CKPT-CUT"}
    assert "usable as of checkpoint 2" in outcome.verifier.findings.kept[-1].message


@pytest.mark.parametrize("setup", [REMUS, REMUS._replace(release="4.1", guest="pv"), REMUS._replace(release="4.0")])
@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_cut_where_a_checkpoint_begins(setup: Setup, size: int) -> None:
    """Where a stream does not end, a few bytes after a checkpoint are the next, and nothing that follows it."""
    pieces = plain_guests.pieces(setup._replace(compressed=False, sender="xend"))
    last = "SHARED_INFO" if setup.pv else "QEMU"
    first = next(number for number, (name, _) in enumerate(pieces) if name == last) + 1
    data = b"".join(piece for _, piece in pieces[:first]) + pieces[first][1][:size]
    outcome = judge([data])

    assert _broken(outcome) == {"CKPT-CUT"}
    assert f"ends at {len(data)}, inside checkpoint 2; the guest is usable as of checkpoint 1" in str(outcome.findings)


LOSSES: dict[str, Callable[[bytes], bytes]] = {
    "some lost": lambda piece: piece[4:],
    "some lost inside": lambda piece: piece[: len(piece) // 2] + piece[len(piece) // 2 + 8 :],
    "some added": lambda piece: b"\x5a\xa5\1\0" + piece,
    "zeros": lambda piece: bytes(min(16, len(piece))) + piece[16:],
    "others": lambda piece: piece[:8] + bytes(range(200, 240)) + piece[48:],
}


@pytest.mark.parametrize("setup", [PV, PV32, HVM, REMUS, OLD, Setup("3.0.2", "pv", 4, 4)])
@pytest.mark.parametrize("loss", LOSSES)
def test_one_loss_makes_few_findings(setup: Setup, loss: str) -> None:
    """Whatever is lost in whichever piece, all that follows is not reported as well."""
    pieces = plain_guests.pieces(setup)
    for number, (name, piece) in enumerate(pieces):
        data = b"".join(LOSSES[loss](piece) if at == number else other for at, (_, other) in enumerate(pieces))
        outcome = judge([data], f"{ALIASES[0]}-{8 * setup.word}")

        assert len(_broken(outcome)) <= 3, (name, outcome.counts)
        assert sum(outcome.counts.values()) <= 5, (name, outcome.counts)


# -- breaches -------------------------------------------------------------------------------------------------

Change = Callable[[bytes], bytes]


def put(place: int, data: bytes) -> Change:
    """Other bytes at a place; one before the end if it is negative."""

    def change(piece: bytes) -> bytes:
        at = place % len(piece)
        return piece[:at] + data + piece[at + len(data) :]

    return change


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def instead(data: bytes) -> Change:
    """Something else."""
    return lambda _: data


def before(data: bytes) -> Change:
    """Something before it."""
    return lambda piece: data + piece


def _blocks(*blocks: bytes) -> Change:
    return instead(plain_legacy.extended_info(8, b"".join(blocks)))


_VCPU, _EXTV = plain_legacy.block(b"vcpu", bytes(5168)), plain_legacy.block(b"extv")
_XCNT = plain_legacy.block(b"xcnt", u32(608))
_CR3, _GDT_ENTS = 5008, 4960
_IDENT = plain_legacy.parameter(-3, 0xFEFFE000)
_ENTRY = 12  # of a batch, after its number and first entry
# A stream, the piece of it that is changed (and which of that name), and how, by the clause that then is broken.
BREACHES: dict[str, list[tuple[Setup, str, Change]]] = {
    "LEGACY-P2M-SIZE": [(HVM, "P2M_SIZE", instead(bytes(8))), (PV, "P2M_SIZE", instead(u64(1 << 28)))],
    "LEGACY-EXTINFO-SIZE": [(PV, "EXTENDED_INFO", put(8, u32((64 << 10) + 1)))],
    "LEGACY-EXTINFO-BLOCKS": [
        (PV, "EXTENDED_INFO", _blocks(_VCPU, _EXTV, _XCNT, b"rest")),
        (PV, "EXTENDED_INFO", _blocks(_VCPU, plain_legacy.block(b"extv", b"data"), _XCNT)),
        (PV, "EXTENDED_INFO", _blocks(_VCPU, _EXTV, plain_legacy.block(b"xcnt", u64(608)))),
        (PV, "EXTENDED_INFO", _blocks(_VCPU, _EXTV, _XCNT, plain_legacy.block(b"xcnt", b"", 0xFFFFFFF8))),
    ],
    "LEGACY-EXTINFO-VCPU": [
        (PV, "EXTENDED_INFO", _blocks(_EXTV, _XCNT)),
        (PV, "EXTENDED_INFO", _blocks(plain_legacy.block(b"vcpu", bytes(5160)), _EXTV, _XCNT)),
    ],
    "LEGACY-EXTINFO-TAG": [
        (PV, "EXTENDED_INFO", _blocks(_VCPU, _EXTV, _XCNT, plain_legacy.block(b"more"))),
        (PV, "EXTENDED_INFO", _blocks(_VCPU, _EXTV, _EXTV, _XCNT)),
    ],
    "LEGACY-P2M-ENTRY": [
        (PV, "P2M_FRAME_LIST", instead(u64(40))),
        (PV, "P2M_FRAME_LIST", instead(u64(12))),
        (PV, "P2M_FRAME_LIST", instead(u64(8))),
    ],
    "LEGACY-BATCH-COUNT": [(HVM, "PAGE_BATCH", put(0, u32(1025)))],
    "LEGACY-PAGE-PFN": [(HVM, "PAGE_BATCH", put(_ENTRY, u64(40))), (HVM, "PAGE_BATCH", put(_ENTRY, u64(41)))],
    "LEGACY-PAGE-TYPE": [
        (HVM, "PAGE_BATCH", put(_ENTRY, u64(1 << 28 | 1))),
        (HVM, "PAGE_BATCH", put(_ENTRY, u64(5 << 28 | 1))),
        (PV, "PAGE_BATCH", put(_ENTRY + 8 * 29, u64(7 << 28 | 30))),
    ],
    "LEGACY-PAGE-RESERVED": [(HVM, "PAGE_BATCH", put(_ENTRY, u64(1 << 32 | 1)))],
    "LEGACY-CHUNK": [(HVM, "VCPU_INFO", before(plain_legacy.chunk(-21)))],
    "LEGACY-VCPU-ID": [(HVM, "VCPU_INFO", put(4, u32(4096))), (HVM, "VCPU_INFO", put(4, u32(0xFFFFFFFF)))],
    "LEGACY-VCPU-MAP": [
        (HVM, "VCPU_INFO", put(8, u64(2))),
        (HVM, "VCPU_INFO", put(8, u64(7))),
    ],
    "LEGACY-ONCE": [(HVM, "VCPU_INFO", before(plain_legacy.tsc_info()))],
    "LEGACY-TMEM-FIRST": [(Setup(release="4.4"), "VCPU_INFO", before(plain_legacy.tmem(1, [])))],
    "LEGACY-TMEM-EXTRA": [(Setup(release="4.4"), "VCPU_INFO", before(plain_legacy.tmem_extra(1, [])))],
    "LEGACY-TMEM-FORM": [(HVM, "TMEM", put(12, u32(0)))],
    "LEGACY-HVM-ONLY": [(PV, "VCPU_INFO", before(_IDENT))],
    "LEGACY-PAGES": [(HVM, "PAGE_BATCH", instead(b""))],
    "LEGACY-PARAM-RESERVED": [(HVM, "HVM_IDENT_PT", put(4, u32(1)))],
    "LEGACY-PARAM-ZERO": [(HVM, "HVM_IDENT_PT", put(8, u64(0)))],
    "LEGACY-ACPI-IOPORTS": [(HVM, "HVM_ACPI_IOPORTS_LOCATION", put(8, u64(2)))],
    "LEGACY-IOREQ-PAIR": [
        (HVM, "VCPU_INFO", before(plain_legacy.parameter(-19, 5))),
        (HVM, "VCPU_INFO", before(plain_legacy.parameter(-20, 2))),
    ],
    "LEGACY-TOOLSTACK": [
        (HVM, "TOOLSTACK", put(8, u32(2))),
        (HVM, "TOOLSTACK", put(12, u32(2))),
        (HVM, "TOOLSTACK", put(12, u32(0))),
        (HVM, "TOOLSTACK", instead(plain_legacy.toolstack(b"\1\0\0"))),
        (HVM, "TOOLSTACK", instead(plain_legacy.toolstack(plain_legacy.toolstack_body(4, HVM.regions)))),
    ],
    "LEGACY-COMPRESSED-ON": [(HVM, "VCPU_INFO", before(plain_legacy.compressed_data(8, b"")))],
    "LEGACY-COMPRESSED-FORM": [(REMUS, "COMPRESSED_DATA", put(12 + 4097, b"\x7f" + bytes(508) + b"\x80"))],
    "LEGACY-COMPRESSED-COUNT": [
        (REMUS, "COMPRESSED_DATA", lambda piece: plain_legacy.compressed_data(8, piece[12:] + b"\0")),
        (REMUS, "COMPRESSED_DATA", lambda piece: plain_legacy.compressed_data(8, piece[12:][:-4097])),
        (REMUS, "COMPRESSED_DATA", lambda piece: plain_legacy.compressed_data(8, piece[12:] + bytes(99))),
    ],
    "LEGACY-UNMAPPED": [
        (PV, "UNMAPPED", instead(plain_legacy.unmapped(8, [40]))),
        (PV, "UNMAPPED", instead(plain_legacy.unmapped(8, [0] * 41))),
    ],
    "LEGACY-VCPU-PFN": [
        (PV, "VCPU", put(_CR3, u64(39 << 12))),
        (PV, "VCPU", put(_CR3, u64(40 << 12))),
        (PV, "VCPU", put(_GDT_ENTS, u64(7169))),
        (PV, "VCPU", put(616, u64(12))),
    ],
    "LEGACY-VCPU-EXT": [(PV, "VCPU_EXT", put(0, u32(1))), (PV, "VCPU_EXT", put(4, u32(129)))],
    "LEGACY-XSAVE-SIZE": [
        (PV, "VCPU_XSAVE", instead(plain_legacy.xsave(bytes(600)))),
        (PV, "VCPU_XSAVE", instead(plain_legacy.xsave(bytes(8)))),
    ],
    "LEGACY-HVMCTX-FORM": [
        (HVM, "HVM_CONTEXT", instead(plain_legacy.counted(bytes(8)))),
        (HVM, "HVM_CONTEXT", put(-4, u32(9))),
    ],
    "LEGACY-HVMCTX-ENTRY": [
        (HVM, "HVM_CONTEXT", instead(plain_legacy.counted(plain_legacy.hvm_context((99, 0, b"")))))
    ],
    "LEGACY-HVMCTX-TAIL": [(HVM, "HVM_CONTEXT", instead(plain_legacy.counted(plain_legacy.hvm_context() + b"more")))],
    "LEGACY-LENGTH": [
        (HVM, "HVM_CONTEXT", put(0, u32((128 << 20) + 1))),
        (HVM, "TOOLSTACK", put(4, u32(0xFFFFFFFF))),
        (HVM, "QEMU", put(21, u32((128 << 20) + 1))),
        (PV, "VCPU_XSAVE", put(8, u64(1 << 40))),
        (REMUS, "COMPRESSED_DATA", put(4, u64(1 << 40))),
    ],
    "LEGACY-QEMU-PRESENT": [(HVM, "QEMU", instead(b""))],
    "LEGACY-QEMU-FORM": [
        (HVM, "QEMU", put(25, b"qevm")),
        (HVM, "QEMU", instead(plain_legacy.qemu("xapi", b"state"))),
        (OLD, "QEMU", put(21, b"qevm")),
        (HVM, "QEMU", instead(plain_legacy.qemu("0002", b""))),
    ],
    "LEGACY-QEMU-WHOLE": [(HVM, "QEMU", put(-1, b"\1"))],
    "LEGACY-AFTER": [(PV, "SHARED_INFO", lambda piece: piece + b"and more"), (HVM, "QEMU", lambda piece: piece + b"!")],
    "LEGACY-TRUNC": [(PV, "SHARED_INFO", lambda piece: piece[:-1])],
}


def changed(setup: Setup, name: str, change: Change) -> bytes:
    """The stream with its first piece of that name changed."""
    pieces = plain_guests.pieces(setup)
    number = next(number for number, (of, _) in enumerate(pieces) if of == name)
    return b"".join(change(data) if at == number else data for at, (_, data) in enumerate(pieces))


@pytest.mark.parametrize(
    ("clause", "number"), [(clause, number) for clause, rows in BREACHES.items() for number in range(len(rows))]
)
def test_breach(clause: str, number: int) -> None:
    """It is found, and nothing else; what is pointed at lies inside, and the verdict is as grave as the clause."""
    setup, name, change = BREACHES[clause][number]
    data = changed(setup, name, change)
    form = f"{ALIASES[0]}-{8 * setup.word}"
    reader = Reader(verifier := Verifier(), form, guest=setup.guest)
    reader.pump.feed(data)
    reader.pump.end()
    outcome = Outcome(reader, verifier)

    assert _broken(outcome) == {clause}, [finding.message for finding in verifier.findings.kept]
    for finding in verifier.findings.kept:
        assert 0 <= finding.offset <= len(data)
    assert (outcome.verdict != CONFORMS) == (registry()[clause].severity == "error")


def test_each_clause_has_a_breach() -> None:
    """But the note about what Xen 3.0 left out, all clauses about legacy streams that they show are broken here."""
    ours = {name for name, clause in registry().items() if name.startswith("LEGACY-") and clause.judged == "stream"}

    assert ours - HISTORICAL == BREACHES.keys()


@pytest.mark.parametrize("setup", [PV, PV32, HVM, OLD], ids=["pv", "pv32", "hvm", "old"])
@pytest.mark.parametrize("declared", ["width", "guest"])
def test_wrongly_declared(setup: Setup, declared: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is declared to be of another width or guest than it is does not conform; what it looks like is said."""
    (tmp_path / "old").write_bytes(plain_guests.saved(setup))
    width, guest = 8 * setup.word, "hvm" if setup.pv else "pv"
    options = ["--as", f"{ALIASES[0]}-{96 - width}"] if declared == "width" else ["--guest", guest]

    assert main(["verify", "-q", *options, str(tmp_path / "old")]) == 1
    said = capsys.readouterr().out
    due = f"{ALIASES[0]}-{width}" if declared == "width" else setup.guest
    assert f"{options[0]} {due}" in said
    assert (f"{width}-bit toolstack" if declared == "width" else f"look like {setup.guest.upper()}") in said


@pytest.mark.parametrize("setup", [PV, PV32, HVM, REMUS])
def test_pieces_do_not_matter(setup: Setup) -> None:
    """What is found is the same, byte by byte at the seams, with pages looked at, and in one piece."""
    data = plain_guests.saved(setup)
    form = f"{ALIASES[0]}-{8 * setup.word}"
    seams = [0]
    for _, piece in plain_guests.pieces(setup):
        seams += [seams[-1] + 1, seams[-1] + len(piece)] if len(piece) > 1 else [seams[-1] + len(piece)]
    found: list[dict[str, Any]] = [
        judge([data], form).as_dict(),
        judge([data[start:stop] for start, stop in pairwise(seams)], form).as_dict(),
        judge([data], form, deep=True).as_dict(),
    ]
    found[-1]["abstained"].pop("LIBXC-PTE-PFN", None)

    assert found[1:] == found[:-1]


def test_pages_are_read_one_by_one() -> None:
    """The contents of a batch, each with its frame, are those that were written; compressed ones are refused."""
    setup = PV32
    with streamfmt.open(plain_guests.saved(setup)) as stream:
        pages = {
            pfn: bytes(page)
            for item in stream
            if isinstance(item, streamfmt.Record) and item.name == "PAGE_BATCH"
            for batch in item.pages()
            for pfn, _, page in batch
            if page is not None
        }
    assert pages == {pfn: content for pfn, (_, content) in plain_guests.kept(setup).items() if content}

    with streamfmt.open(plain_guests.saved(REMUS)) as stream:
        batches = [item for item in stream if isinstance(item, streamfmt.Record) and item.name == "PAGE_BATCH"]
    assert [batch.length for batch in batches] == [155_972, 252, 244]


def test_configuration_decides() -> None:
    """Where the first bytes prove nothing, the guest is the one that the configuration is for; its reader says why."""
    begun = u64(64) + u64(5) + bytes(110)
    for builder, guest in ((b"hvm", "hvm"), (b"linux", "pv")):
        found = streamfmt.identify(plain_wrappers.xl(begun, b'name = "guest"\nbuilder = "' + builder + b'"\n'))
        assert (found.guest, found.layers[-1].guest) == (guest, guest)
    assert "by its configuration PV, though its bytes look like HVM" in found.evidence
    assert streamfmt.identify(plain_wrappers.xl(begun, None), guest="pv").guest == "pv"
    assert streamfmt.identify(begun).key == ""


def test_declared() -> None:
    """A width and a guest that are declared are taken, and what the bytes look like is said."""
    data = plain_guests.saved(HVM)
    assert streamfmt.verify(data, form="legacy").conforms
    assert streamfmt.verify(data, form="legacy-64", guest="hvm").conforms
    assert not streamfmt.verify(data, form="legacy-64", guest="pv").conforms
    assert "declared PV, though its bytes look like HVM" in streamfmt.identify(data, guest="pv").evidence
    assert not streamfmt.verify(data, form="legacy-32").conforms
    with pytest.raises(ValueError, match="none of pv, hvm"):
        streamfmt.verify(data, guest="both")  # type: ignore[arg-type] # that is the point
