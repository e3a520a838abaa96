"""How clauses of the libxl layer, of checkpoints and of the back channel are broken beyond what the schema says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import takewhile

from hypothesis import strategies as st

from .. import tables
from ..schema import libxl, qemu
from ..writer import HEADERS, Draft, Part, control, emulator, raw, record, xenstore
from ..writer import qemu as qemu_parts
from ..writer.qemu import small_record
from . import records
from .conforming import made
from .edits import (
    Edit,
    Fault,
    after_end,
    at,
    big_endian,
    doubling,
    either,
    ill_padded,
    inserting,
    into,
    leaving_out,
    nth,
    of,
    places,
    rotated,
    swapping,
    to,
    truncated,
    unknowns,
)
from .from_schema import broken_field, having
from .images import LATER

CONTEXT, XENSTORE, STATE = "libxl.EMULATOR_CONTEXT", "libxl.EMULATOR_XENSTORE_DATA", "libxl.CHECKPOINT_STATE"
DIRTY = "libxc.CHECKPOINT_DIRTY_PFN_LIST"
LIBXL_END = record("libxl.END")
IDS = libxl.CHECKPOINT_STATES
UPSTREAM = libxl.EMULATOR_IDS["QEMU_UPSTREAM"]

PLAIN = made(("libxl", "xl"), modes=("plain",), clean=True)
HVM = made(("libxl", "xl"), ("hvm",), clean=True, need=(CONTEXT,))
ANY = made(("libxl", "xl"), clean=True)
REMUS = made(("libxc", "libxl"), modes=("remus", "colo"), clean=True, need=(LATER,))
COLO = made(("libxl",), modes=("colo",), clean=True, need=(LATER,))
BACK = made(("back-channel",), clean=True)


# -- framing, and what follows END ----------------------------------------------------------------------------


def _trailer(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    zeros = st.builds(raw, st.just(b""), fill=st.integers(1, 5000))
    known = st.sampled_from(tables.TRAILERS)
    more = st.binary(max_size=9)
    found = st.tuples(known, more).map(lambda row: raw(row[0][0] + (b"" if row[0][1] else row[1])))
    yield stream.then(draw(zeros | found))


def _some_emulator(draw: st.DrawFn, stream: Draft) -> tuple[str, int]:
    """Path and number of one of the records about the emulator."""
    path = draw(st.sampled_from([path for path in (CONTEXT, XENSTORE) if path in stream.paths]))
    return path, nth(draw, stream, path)


def _before_image(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    path, number = _some_emulator(draw, stream)
    yield stream.moved(path, before="libxl.LIBXC_CONTEXT", nth=number)


# -- emulators ------------------------------------------------------------------------------------------------


def _emulator(number: st.SearchStrategy[int]) -> Edit:
    """A record of the emulator of such a number."""

    def edit(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
        path, place = _some_emulator(draw, stream)
        yield stream.patch(path, "emulator_id", draw(number), place)

    return edit


def _strings(*broken: st.SearchStrategy[bytes]) -> Edit:
    """Xenstore data that ends in such bytes."""

    def make(draw: st.DrawFn, _: Part) -> Part:
        good = b"".join(f"{key}\0v\0".encode() for key in draw(st.lists(records.keys, max_size=2)))
        fixed = UPSTREAM.to_bytes(4, "little") + bytes(4)
        return record(XENSTORE, fixed + good + draw(st.one_of(*broken)))

    return swapping(XENSTORE, make)


_KEY = records.keys.map(str.encode)
_UNPAIRED = (
    _KEY,
    _KEY.map(lambda key: key + b"\0"),
    _KEY.map(lambda key: key + b"\0v"),
    st.just(b"\0v\0"),
    _KEY.map(lambda key: b"/" + key + b"\0v\0"),
)
_NO_KEY = st.sampled_from([byte for byte in range(1, 256) if byte not in libxl.XENSTORE_KEY])
_NO_VALUE = st.sampled_from([byte for byte in range(1, 256) if byte not in libxl.XENSTORE_VALUE])
_CHARACTERS = (
    st.tuples(_KEY, _NO_KEY).map(lambda row: row[0] + bytes([row[1]]) + b"\0v\0"),
    st.tuples(_KEY, _NO_VALUE).map(lambda row: row[0] + b"\0v" + bytes([row[1]]) + b"\0"),
)


_NO_PATH = (
    _KEY.map(lambda key: key + b"/\0v\0"),
    st.tuples(_KEY, _KEY).map(lambda row: b"//".join(row) + b"\0v\0"),
)


@st.composite
def _too_large(draw: st.DrawFn) -> bytes:
    """A key that makes too long a path, or a value that makes too long a message."""
    if draw(st.booleans()):
        key = draw(_KEY)
        more = libxl.XENSTORE_PAYLOAD_MAX - libxl.XENSTORE_ROOT_MIN - len(key) - 1 + draw(st.integers(1, 9))
        return key + b"\0" + b"v" * more + b"\0"
    return b"k" * (libxl.XENSTORE_PATH_MAX - libxl.XENSTORE_ROOT_MIN + draw(st.integers(1, 9))) + b"\0v\0"


_TOO_LARGE = _too_large()
# What is no record of a device model, and records of one that are not whole.
NO_RECORD = st.binary(min_size=1, max_size=12).filter(
    lambda data: not data.startswith(qemu.MAGIC[: len(data)])
) | st.integers(1, len(qemu.HEADER) - 1).map(lambda size: qemu.HEADER[:size])
_RECORD = small_record(b"\1\2\3", b"\x11\x12")
CUT_RECORD = st.integers(len(qemu.HEADER), len(_RECORD) - 1).map(lambda size: _RECORD[:size]).filter(
    lambda data: data[-1] > 0
) | st.just(qemu.EMPTY + b"more")
# Streams of QEMU that are no record of devices under Xen.
_OTHER_RECORD = st.sampled_from(
    (
        Draft((*qemu_parts.opening(), qemu_parts.frame("EOF"))),
        Draft((*qemu_parts.opening(None), qemu_parts.command("SWITCHOVER_START"), qemu_parts.frame("EOF"))),
        Draft(
            (
                *qemu_parts.opening(None),
                *qemu_parts.begin(1, qemu_parts.Device("slirp"), False),
                qemu_parts.frame("EOF"),
            )
        ),
    )
).map(lambda found: bytes(found.render()))


def _draft(draw: st.DrawFn, _: Part) -> Part:
    """The record that was drafted in July 2015."""
    width = draw(st.sampled_from(sorted(libxl.DRAFT_XENSTORE_DATA)))
    rows = draw(st.lists(st.tuples(*[records.values] * 3, st.binary(max_size=5)), min_size=1, max_size=2))
    entries = [
        {"phys_offset": row[0], "start_addr": row[1], "size": row[2], "namelen": len(row[3]), "name": row[3]}
        | ({"padding": bytes(4)} if width == 64 else {})
        for row in rows
    ]
    values = {"version": 1, "count": len(entries), "entries": entries}
    return record(XENSTORE, libxl.DRAFT_XENSTORE_DATA[width].build(values))


# -- checkpoints ----------------------------------------------------------------------------------------------


def _unclosed(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """A stream that ends after CHECKPOINT, or that never comes to it in a mode that has it."""
    for number in rotated(draw, of(stream, "libxl.CHECKPOINT_END")):
        yield Draft((*stream.parts[:number], LIBXL_END))


def _forward_id(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    wrong = draw(st.sampled_from([number for name, number in IDS.items() if name != "NEW"]))
    yield stream.patch(STATE, "control_id", wrong, nth(draw, stream, STATE))


def _colo_pv(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    for number in rotated(draw, of(stream, "libxl.CHECKPOINT_END")):
        yield at(stream, number + 1, control(IDS["NEW"]))


# -- the back channel -----------------------------------------------------------------------------------------


def _shifted(draw: st.DrawFn, part: Part) -> Part:
    """A list as secondaries since 4.18 send it: eight zeros after the header, which its length does not count."""
    pfns = draw(st.lists(st.integers(1, 1 << 40), max_size=4))
    data = bytes(8) + b"".join(pfn.to_bytes(8, "little") for pfn in pfns)
    return Part(DIRTY, data=data, declared_length=8 * len(pfns))


def _headed(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """After headers of another stream."""
    heads = draw(made(("libxl", "libxc"), modes=("plain",), clean=True)).stream
    yield at(stream, 0, *takewhile(lambda part: part.path in HEADERS, heads))


def _interrupted(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With what is no record before one: words of a page, another program's output."""
    word = draw(st.integers(0x20, 0xFF) | st.integers(0xFFFF8000 << 32, (1 << 64) - 1))
    line = draw(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=8, max_size=60))
    noise = draw(st.sampled_from((word.to_bytes(8, "little") * 64, line.encode() + b"\n")))
    headers = [path for path in ("libxc.image_header", "libxl.header") if path in stream.paths]
    for place in rotated(draw, places(stream, draw(st.sampled_from(headers)).partition(".")[0])):
        yield at(stream, place, raw(noise))


_OPTIONAL, _MANDATORY = unknowns("libxl", optional=True), unknowns("libxl", optional=False)
_FOREIGN = st.sampled_from([record(f"libxl.{name}") for name in ("END", "LIBXC_CONTEXT", "CHECKPOINT_END")])
_ANSWERS = st.sampled_from([control(number) for name, number in IDS.items() if name != "NEW"])

FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "STREAM-TRAILER": to(made(("libxc", "libxl", "xl"), modes=("plain",), clean=True), _trailer),
    "STREAM-FRAMING-LOST": to(made(("libxc", "libxl", "xl"), clean=True), _interrupted),
    "LIBXL-REC-PAD": to(
        HVM,
        swapping(CONTEXT, lambda draw, _: ill_padded(draw, emulator(qemu.HEADER + bytes(draw(st.integers(1, 7)))))),
    ),
    "LIBXL-REC-TRUNC": truncated(made(("libxl",), clean=True), "libxl"),
    "LIBXL-REC-UNKNOWN-MAND": to(ANY, inserting(_MANDATORY)),
    "LIBXL-REC-UNKNOWN-OPT": to(ANY, inserting(_OPTIONAL)),
    "LIBXL-END-LAST": to(PLAIN, after_end),
    "LIBXL-HDR-ENDIAN": to(made(("libxl",), clean=True, blank=True), big_endian("libxl")),
    "LIBXL-LIBXC-ONCE": (
        to(
            made(("libxl",), modes=("plain",), clean=True),
            lambda _, stream: iter([Draft((stream.parts[0], LIBXL_END))]),
        ),
        to(PLAIN, doubling("libxl.LIBXC_CONTEXT", "libxc.END")),
    ),
    "LIBXL-LIBXC-BEFORE-EMU": to(
        made(("libxl", "xl"), ("hvm",), modes=("plain",), clean=True, need=(CONTEXT,)), _before_image
    ),
    "LIBXL-EMU-ID": to(HVM, _emulator(st.just(0) | st.integers(UPSTREAM + 1, records.U32))),
    "LIBXL-EMU-TRADITIONAL": to(HVM, _emulator(st.just(libxl.EMULATOR_IDS["QEMU_TRADITIONAL"]))),
    "LIBXL-EMU-EMPTY": to(HVM, swapping(CONTEXT, lambda *_: emulator(b""))),
    "LIBXL-EMU-QEMU": to(HVM, swapping(CONTEXT, lambda draw, _: emulator(draw(NO_RECORD)))),
    "QEMU-XDM-ONLYFULL": to(HVM, swapping(CONTEXT, lambda draw, _: emulator(draw(_OTHER_RECORD)))),
    "QEMU-XDM-NOFOOTER": to(HVM, swapping(CONTEXT, lambda draw, _: emulator(small_record(b"\1\2", footers=True)))),
    "LIBXL-EMU-WHOLE": to(HVM, swapping(CONTEXT, lambda draw, _: emulator(draw(CUT_RECORD)))),
    "LIBXL-EMUXS-OMIT": to(having(XENSTORE), swapping(XENSTORE, lambda *_: xenstore())),
    "LIBXL-EMUXS-PAIRS": to(having(XENSTORE), _strings(*_UNPAIRED)),
    "LIBXL-EMUXS-CHARSET": to(having(XENSTORE), _strings(*_CHARACTERS)),
    "LIBXL-EMUXS-PATH": to(having(XENSTORE), _strings(*_NO_PATH)),
    "LIBXL-EMUXS-SIZE": to(having(XENSTORE), _strings(_TOO_LARGE)),
    "LIBXL-EMUXS-DRAFT": to(having(XENSTORE), swapping(XENSTORE, _draft)),
    "LIBXL-CKPTEND-CTX": to(ANY, inserting(records.example("libxl.CHECKPOINT_END"))),
    "LIBXL-CKPTSTATE-CTX": to(
        made(("libxl", "xl"), ("hvm",), clean=True, need=(LATER,)), inserting(records.example(STATE))
    ),
    "CKPT-CKPT-REC": to(made(("libxl",), modes=("remus", "colo"), clean=True), _unclosed),
    "CKPT-CUT": truncated(REMUS, "libxc", "libxl"),
    "COLO-HVM": to(made(("libxl",), ("pv",), modes=("remus",), clean=True, need=(LATER,)), _colo_pv),
    "COLO-NEW-FWD": (to(COLO, _forward_id), to(BACK, into(st.just(control(IDS["NEW"]))))),
    "COLO-DIRTY-HDR": to(having(DIRTY), swapping(DIRTY, _shifted)),
    "COLO-DIRTY-POS": to(BACK, either(leaving_out(DIRTY), into(records.dirty_list()))),
    "LIBXL-CKPTSTATE-ID": (
        partial(broken_field, path=f"{STATE}.control_id"),
        to(BACK, either(leaving_out(STATE), into(_ANSWERS))),
    ),
    "LIBXL-BACK-TYPES": to(BACK, into(_FOREIGN | _MANDATORY | _OPTIONAL | records.emulator_context())),
    "LIBXL-BACK-NOHDR": to(BACK, _headed),
}
