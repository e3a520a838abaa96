"""What Xen's convert-legacy-stream does: each row is something that is known of it, and all releases do the same."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from ..conformance import converters
from ..conformance.converters import Conversion, options
from ..conformance.peers import RELEASE, RELEASES
from ..schema.clauses import CONVERTER
from .support import peers, plain_memory_legacy, plain_memory_v3, plain_wrappers
from .support import plain_legacy as plain
from .support.plain_guests import Setup, pieces, saved
from .support.plain_legacy import XTAB, Physmap, chunk, entry
from .support.plain_memory import differences
from .support.plain_setups import named, setups

pytestmark = pytest.mark.peer

TODO = "RuntimeError: todo"
SIGNATURE = "RuntimeError: Unrecognised Qemu sig 'b'%s''"
CUT = "OSError: Stream truncated"
INFO, P2M, PAGE_DATA, BASIC, EXTENDED, XSAVE, SHARED, TSC, CONTEXT, PARAMS, VERIFY, STATIC_END = (
    2, 3, 1, 4, 5, 6, 7, 8, 9, 10, 13, 16
)  # fmt: skip
END = 0

PV = Setup("4.4", "pv", p2m_size=24, holes=(12,))
HVM = Setup("4.4", "hvm", p2m_size=16, holes=(3,))
REGION = Physmap(0xF0000000, 0xE0000000, 0x800000, b"vga.vram")


def changed(setup: Setup, name: str, new: bytes | Callable[[bytes], bytes], which: int = 0) -> bytes:
    """A guest's stream with the `which`th part of that name replaced."""
    parts, at = pieces(setup), -1
    for number, (found, _) in enumerate(parts):
        if found == name:
            at += 1
            if at == which:
                parts[number] = found, new if isinstance(new, bytes) else new(parts[number][1])
    assert at >= which
    return b"".join(data for _, data in parts)


def before(setup: Setup, name: str, new: bytes) -> bytes:
    """A guest's stream with something put before its first part of that name."""
    return changed(setup, name, lambda old: new + old)


def info(*blocks: bytes) -> bytes:
    """Extended info of a 64-bit toolstack."""
    return plain.extended_info(8, b"".join(blocks))


VCPU = plain.block(b"vcpu", bytes(5168))
EXTV = plain.block(b"extv")
XCNT = plain.block(b"xcnt", struct.pack("<I", 16 + 592))


def records(said: Conversion, kind: int, layer: str = "libxc") -> list[bytes]:
    """The bodies of an output's records of a type."""
    return [body for found, number, body in plain_memory_v3.listed(said.output) if (found, number) == (layer, kind)]


def order(said: Conversion) -> list[tuple[str, int]]:
    """An output's records in their order, one of each run of pages."""
    found = [(layer, kind) for layer, kind, _ in plain_memory_v3.listed(said.output)]
    return [row for at, row in enumerate(found) if row != found[at - 1] or not at]


def entries(said: Conversion) -> list[list[int]]:
    """The entries of each PAGE_DATA."""
    bodies = records(said, PAGE_DATA)
    return [list(struct.unpack_from(f"<{struct.unpack_from('<I', body)[0]}Q", body, 8)) for body in bodies]


def params(said: Conversion) -> list[list[tuple[int, int]]]:
    """The pairs of each HVM_PARAMS."""
    found = []
    for body in records(said, PARAMS):
        values = struct.unpack(f"<{len(body) // 8 - 1}Q", body[8:])
        found.append(list(zip(values[::2], values[1::2], strict=True)))
    return found


def whole(said: Conversion) -> bool:
    """Whether the output has its end."""
    rows = [(layer, kind) for layer, kind, _ in plain_memory_v3.listed(said.output)]
    return bool(rows) and rows[-1] == (rows[0][0], END)


class Row(NamedTuple):
    """Something that is known of the converter: what a stream and options come to."""

    data: bytes
    words: Sequence[str]
    status: int = 0
    error: str = ""
    holds: Callable[[Conversion], bool] = whole


def pv(data: bytes, status: int = 0, error: str = "", holds: Callable[[Conversion], bool] | None = None) -> Row:
    """A row about a PV guest of a 64-bit toolstack."""
    return Row(data, options(64, "pv"), status, error, holds or (lambda said: whole(said) == (not status)))


def hvm(data: bytes, status: int = 0, error: str = "", holds: Callable[[Conversion], bool] | None = None) -> Row:
    """A row about an HVM guest of a 64-bit toolstack, to libxl's form."""
    return Row(data, options(64, "hvm", "libxl"), status, error, holds or (lambda said: whole(said) == (not status)))


def batch(*values: int, pages: int | None = None) -> bytes:
    """A batch of those entries with pages of zeros."""
    count = sum(map(plain.has_data, values)) if pages is None else pages
    return plain.batch(8, values, bytes(4096 * count))


def _top(kind: int, pfn: int) -> int:
    return kind << 60 | pfn


ABSENT = changed(PV, "VCPU_INFO", b"")
REMUS = saved(Setup("4.4", "pv", p2m_size=24, checkpoints=1))
NO_NAME = plain.toolstack(plain.toolstack_body(8, [Physmap(1, 2, 3)]))
QEMU = plain.qemu("0002", b"QEVM\0\0\0\3")

PARTS = {
    "no extended info": pv(saved(Setup("3.0.2", "pv")), 1, "StreamError: Unexpected extended info marker 0x10"),
    "unknown block": pv(changed(PV, "EXTENDED_INFO", info(VCPU, plain.block(b"what"))), 1,
                        "StreamError: Unrecognised extended block"),
    "two vcpu blocks": pv(changed(PV, "EXTENDED_INFO", info(VCPU, VCPU, EXTV, XCNT)),
                          holds=lambda said: len(records(said, INFO)) == 2),
    "no vcpu block": pv(changed(PV, "EXTENDED_INFO", info(EXTV, XCNT)), 1,
                        "ZeroDivisionError: integer division or modulo by zero"),
    "a longer xcnt": pv(changed(PV, "EXTENDED_INFO", info(VCPU, EXTV, XCNT[:4] + b"\x08\0\0\0" + XCNT[8:] + b"what"))),
    "a shorter xcnt": pv(changed(PV, "EXTENDED_INFO", info(VCPU, EXTV, plain.block(b"xcnt", b"\x60\2"))), 1,
                         "struct.error: unpack requires a buffer of 4 bytes"),
    "blocks beyond their total": pv(changed(PV, "EXTENDED_INFO", plain.extended_info(8, VCPU, len(VCPU) - 1)), 1,
                                    "StreamError: Overshot Extended Info size by 1 bytes"),
    "a vcpu block of another size": pv(changed(PV, "EXTENDED_INFO", info(plain.block(b"vcpu", bytes(2804)))), 1,
                                       "StreamError: Unable to determine guest width/level"),
    "pv of no pages": pv(changed(PV, "P2M_SIZE", plain.ulongs(8, 0)), 1,
                         "struct.error: "),
    "hvm of no pages": hvm(changed(HVM, "P2M_SIZE", plain.ulongs(8, 0))),
    "hvm of 2^28 pages": hvm(changed(HVM, "P2M_SIZE", plain.ulongs(8, 1 << 28))),
    "a batch of 1024": hvm(changed(HVM, "PAGE_BATCH", batch(*(entry(XTAB, pfn) for pfn in range(1, 1025))))),
    "a batch of 1025": hvm(changed(HVM, "PAGE_BATCH", batch(*range(1025))), 1,
                           "StreamError: Page batch (1025) exceeded MAX_BATCH (1024)"),
    "holes are dropped": hvm(changed(HVM, "PAGE_BATCH", batch(1, 0xF0000000, 0xF0000000, 2)),
                             holds=lambda said: entries(said) == [[1, 2]]),
    "holes with bits are kept": hvm(changed(HVM, "PAGE_BATCH", batch(1, 0xF00ABCDE)),
                                    holds=lambda said: entries(said) == [[1, _top(XTAB, 0xABCDE)]]),
    "nothing but holes": hvm(before(HVM, "PAGE_BATCH", batch(0xF0000000)),
                             holds=lambda said: len(entries(said)) == 2 and entries(said)[0] == []),
    "a page twice in a batch": hvm(changed(HVM, "PAGE_BATCH", batch(1, 2, 1)), 1,
                                   "StreamError: Duplicate pfns in batch"),
    "a page twice in two batches": hvm(before(HVM, "PAGE_BATCH", batch(1))),
    "types 5 to 8": pv(before(PV, "PAGE_BATCH", batch(*(entry(kind, kind) for kind in range(5, 9)))),
                       holds=lambda said: entries(said)[0] == [_top(kind, kind) for kind in range(5, 9)]),
    "types without pages": hvm(before(HVM, "PAGE_BATCH", batch(0xD0000001, 0xE0000002)),
                               holds=lambda said: entries(said)[0] == [_top(0xD, 1), _top(0xE, 2)]),
    "bits above the type": hvm(before(HVM, "PAGE_BATCH", batch(1 << 32 | 5, pages=1)),
                               holds=lambda said: entries(said)[0] == [5]),
    "a page beyond the last": hvm(before(HVM, "PAGE_BATCH", batch(4000))),
    "verify mode": hvm(saved(HVM._replace(verify=True)),
                       holds=lambda said: not records(said, VERIFY) and len(entries(said)) == 2),
    "vcpu 4095": pv(changed(PV, "VCPU_INFO", plain.vcpu_info(4095, [0]))),
    "vcpu 4096": pv(changed(PV, "VCPU_INFO", plain.vcpu_info(4096, [0])), 1,
                    "StreamError: Vcpu max_id out of range: 4096 > 4095"),
    "vcpu -1": pv(changed(PV, "VCPU_INFO", plain.vcpu_info(-1, [], 0)), holds=lambda said: not records(said, BASIC)),
    "two vcpu maps": pv(before(PV, "VCPU_INFO", plain.vcpu_info(0, [0])), 1, CUT,
                        lambda said: len(records(said, BASIC)) == 1),
    "a vcpu above the highest": pv(changed(PV, "VCPU_INFO", plain.vcpu_info(0, [0, 9])), 1, CUT,
                                   lambda said: len(records(said, BASIC)) == 1),
    "no vcpu map": pv(ABSENT, holds=lambda said: not records(said, BASIC) and whole(said)
                      and records(said, SHARED)[0] == dict(pieces(PV))["VCPU"][:4096]),
    "tmem": pv(saved(PV._replace(tmem=True)), 2, TODO),
    "what tmem lost": pv(before(PV, "TSC_INFO", plain.tmem_extra(1, [])), 2, TODO),
    "tsc": pv(saved(PV), holds=lambda said: records(said, TSC)
              == [struct.pack("<IIQII", 1, 2_400_000, 123_456_789_012, 3, 0)]),
    "no last checkpoint": pv(changed(PV, "LAST_CHECKPOINT", b"")),
    "a second checkpoint": pv(REMUS, holds=lambda said: len(entries(said)) == 1 and whole(said)),
    "enable compression": pv(before(PV, "END_OF_BODY", chunk(-13)), 2, TODO),
    "compressed data": pv(before(PV, "END_OF_BODY", plain.compressed_data(8, b"\0")), 2, TODO),
    "a length of compressed data in four bytes": pv(changed(PV, "END_OF_BODY", chunk(-12, plain.counted(b"\0" * 5)))
                                                    .partition(chunk(-12, plain.counted(b"\0" * 5)))[0]
                                                    + chunk(-12, plain.counted(b"\0" * 5)), 2, TODO),
    "parameters as they come": hvm(before(HVM, "END_OF_BODY", plain.parameter(-8, 0) + plain.parameter(-8, 9)),
                                   holds=lambda said: params(said)[0][-2:] == [(17, 0), (17, 9)]),
    "parameters of a pv guest": pv(before(PV, "VCPU_INFO", plain.parameter(-3, 1)), 1,
                                   "StreamError: HVM-only param in PV stream"),
    "generation id": hvm(saved(HVM), holds=lambda said: params(said)[0][0] == (34, 0x50F0)),
    "all parameters": hvm(saved(HVM._replace(release="4.5")), holds=lambda said:
                          [[index for index, _ in pairs] for pairs in params(said)]
                          == [[34, 12, 27, 28, 29, 15, 17, 19, 9, 32, 33], [5, 6, 1]]),
    "half of a pair": hvm(before(HVM, "END_OF_BODY", plain.parameter(-19, 9)),
                          holds=lambda said: params(said)[0][-1] == (32, 9)),
    "toolstack": hvm(saved(HVM._replace(regions=(REGION,))), holds=lambda said: records(said, 2, "libxl") == [
        bytes(8) + b"physmap/f0000000/start_addr\0e0000000\0physmap/f0000000/size\0" + b"800000\0"
        + b"physmap/f0000000/name\0vga.vram\0"]),
    "toolstack to libxc": Row(saved(HVM._replace(regions=(REGION,))), options(64, "hvm"),
                              holds=lambda said: b"physmap" not in said.output),
    "toolstack of no entries": hvm(saved(HVM), holds=lambda said: not records(said, 2, "libxl")),
    "toolstack version 2": hvm(changed(HVM, "TOOLSTACK", plain.toolstack(plain.toolstack_body(8, [], 2))), 1,
                               "StreamError: Cannot decode libxl toolstack version 2"),
    "toolstack version 2 to libxc": Row(changed(HVM, "TOOLSTACK", plain.toolstack(plain.toolstack_body(8, [], 2))),
                                        options(64, "hvm")),
    "toolstack without a name": hvm(changed(HVM, "TOOLSTACK", NO_NAME), 1, "StreamError: No physmap info name"),
    "toolstack of seven bytes": hvm(changed(HVM, "TOOLSTACK", plain.toolstack(bytes(7))), 1,
                                    "StreamError: Overly short libxl toolstack data"),
    "toolstack of no bytes": hvm(changed(HVM, "TOOLSTACK", plain.toolstack(b""))),
    "more in toolstack than counted": hvm(changed(HVM, "TOOLSTACK",
                                                  plain.toolstack(plain.toolstack_body(8, []) + b"more"))),
    "more counted than in toolstack": hvm(changed(HVM, "TOOLSTACK", plain.toolstack(struct.pack("<II", 1, 1))), 1,
                                          "StreamError: Remaining data too short for physmap header"),
    "a name that is no text": hvm(changed(HVM, "TOOLSTACK", plain.toolstack(
        plain.toolstack_body(8, [Physmap(1, 2, 3, b"\xff\xfe")]))), 1,
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    "toolstack of a 32-bit one": hvm(changed(HVM, "TOOLSTACK", plain.toolstack(plain.toolstack_body(4, [REGION]))), 1,
                                     "StreamError: Remaining data too short for physmap name"),
    "qemu to the end": hvm(changed(HVM, "QEMU", plain.qemu("to-end", b"QEVM")), 2,
                           SIGNATURE % "QemuDeviceModelRecord"),
    "qemu of remus": hvm(changed(HVM, "QEMU", plain.qemu("remus", b"QEVM")), 2, SIGNATURE % "RemusDeviceModelState"),
    "qemu of xapi": hvm(changed(HVM, "QEMU", plain.qemu("xapi", b"QEVM")), 2, SIGNATURE % "QemuDeviceModelRecord"),
    "qemu to libxl": hvm(changed(HVM, "QEMU", QEMU),
                         holds=lambda said: records(said, 3, "libxl") == [bytes(8) + b"QEVM\0\0\0\3"]),
    "qemu to libxc": Row(changed(HVM, "QEMU", QEMU), options(64, "hvm"),
                         holds=lambda said: said.output.endswith(struct.pack("<II", END, 0) + QEMU)),
    "qemu's state is anything": hvm(changed(HVM, "QEMU", plain.qemu("0002", b"what"))),
    "no qemu": hvm(changed(HVM, "QEMU", b""), 1, CUT),
    "no qemu, skipped to libxc": Row(changed(HVM, "QEMU", b""), options(64, "hvm", "libxc", "--skip-qemu")),
    "qemu, skipped to libxc": Row(saved(HVM), options(64, "hvm", "libxc", "--skip-qemu"),
                                  holds=lambda said: whole(said) and said.consumed == len(saved(HVM))),
    "no qemu, skipped to libxl": Row(changed(HVM, "QEMU", b""), options(64, "hvm", "libxl", "--skip-qemu"), 1, CUT,
                                     lambda said: not whole(said) or not records(said, 3, "libxl")),
    "xl": Row(plain_wrappers.xl(saved(PV)), options(64, "pv", "libxl", "--xl"), 1,
              "StreamError: No xl header", lambda said: not said.output),
    "xend": pv(plain_wrappers.xend(saved(PV)), 1, "StreamError: Unexpected extended info marker 0x64726f6365527473"),
    "unmapped": pv(saved(PV._replace(unmapped=(5, 6))), holds=lambda said: said.output
                   == converters.convert([(options(64, "pv"), saved(PV))])[0].output),
    "xsave of another size": pv(changed(PV, "VCPU_XSAVE", plain.xsave(bytes(600))), 1, "AssertionError"),
    "xsave's mask": pv(saved(PV), holds=lambda said: records(said, XSAVE)[0][8:24] == struct.pack("<QQ", 3, 3)),
    "a pv guest as hvm": Row(saved(PV), options(64, "hvm"), 1,
                             "StreamError: Page batch (5196) exceeded MAX_BATCH (1024)",
                             lambda said: not records(said, PAGE_DATA)),
    "an hvm guest as pv": pv(saved(HVM), 1, "StreamError: Unexpected extended info marker 0x1fffffff9"),
    "64 bits as 32": Row(saved(PV), options(32, "pv"), 1, "StreamError: Unexpected extended info marker 0x0",
                         lambda said: not whole(said)),
    "32 bits as 64": pv(saved(PV._replace(word=4)), 1,
                        "StreamError: Unexpected extended info marker 0x757063760000144c"),
    "bytes after the end": pv(saved(PV) + b"domain is yours, you are cleared to unpause\0"),
    "an unknown chunk": pv(before(PV, "VCPU_INFO", chunk(-21)), 1, "StreamError: Unrecognised chunk -21"),
    "nothing": pv(b"", 1, CUT, lambda said: not said.output),
    "cut in a page": pv(saved(PV)[:20000], 1, CUT, lambda said: bool(said.output) and not whole(said)),
}  # fmt: skip

CALLS = {
    "no width": (("--guest-type", "pv"), 1, ""),
    "no guest": (("--width", "64"), 1, ""),
    "an unknown option": ((*options(64, "pv"), "--what"), 2, "error: no such option: --what"),
    "a width of 16": (("--width", "16", "--guest-type", "pv"), 2,
                      "error: option --width: invalid choice: '16' (choose from '32', '64')"),
    "--guest": (("--width", "64", "--guest", "pv"), 0, ""),
    "an ambiguous prefix": ((*options(64, "pv"), "--s"), 2,
                            "error: ambiguous option: --s (--skip-qemu, --syslog?)"),
    "a word too many": ((*options(64, "pv"), "what"), 0, ""),
    "--version": (("--version",), 1, "AttributeError: 'int' object has no attribute 'replace'"),
    "--help": (("--help",), 0, ""),
}  # fmt: skip


def _says(said: Conversion, error: str) -> bool:
    """Whether it complained as expected; how struct words its errors is Python's."""
    return said.error.startswith(error) if error.startswith("struct") else said.error == error


@pytest.fixture(scope="module", params=RELEASES)
def answers(request: pytest.FixtureRequest) -> dict[str, Conversion]:
    """What a release's converter does with every row and call."""
    peers.require(CONVERTER, request.param)
    asked = [(row.words, row.data) for row in PARTS.values()] + [(words, saved(PV)) for words, _, _ in CALLS.values()]
    said = converters.convert(asked, request.param)
    return dict(zip((*PARTS, *CALLS), said, strict=True))


def test_known_of_the_converter(answers: dict[str, Conversion]) -> None:
    """Each release does what each row says: they have the same text."""
    wrong = [
        f"{name}: {said.status} {said.error} {len(said.output)} bytes"
        for name, row in PARTS.items()
        if (said := answers[name]).status != row.status or not _says(said, row.error) or not row.holds(said)
    ]

    assert not wrong


def test_known_of_its_options(answers: dict[str, Conversion]) -> None:
    """Its command line."""
    wrong = [
        f"{name}: {answers[name].status} {answers[name].error}"
        for name, (_, status, error) in CALLS.items()
        if answers[name].status != status or error not in answers[name].error
    ]

    assert not wrong


GUESTS = setups()[::9]


def asked_of(setup: Setup) -> tuple[Sequence[str], bytes]:
    """What to ask a converter about a guest, libxl's form wanted."""
    return options(8 * setup.word, setup.guest, "libxl"), saved(setup)


def refusal(setup: Setup) -> tuple[int, str]:
    """Exit status and complaint about a whole guest of some release, by what it has that the converter cannot take."""
    if setup.pv and not setup.blocks:
        return 1, f"StreamError: Unexpected extended info marker {setup.frames[0]:#x}"
    if setup.tmem or setup.compressed:
        return 2, TODO
    qemu = dict(pieces(setup)).get("QEMU", plain.QEMU_COUNTED)[:21]
    return (0, "") if qemu == plain.QEMU_COUNTED else (2, SIGNATURE % qemu.decode())


@pytest.fixture(scope="module")
def converted() -> list[Conversion]:
    """What the machine's own converter makes of guests of all releases."""
    peers.require(CONVERTER)
    return converters.convert(map(asked_of, GUESTS))


def test_guests_of_all_releases(converted: list[Conversion]) -> None:
    """What it takes it converts rightly, but for a vcpu without a map of vcpus, and all checkpoints after the first."""
    assert len(GUESTS) > 30
    for setup, said in zip(GUESTS, converted, strict=True):
        assert (said.status, said.error) == refusal(setup), named(setup)
        if said.status:
            continue
        wanted = plain_memory_legacy.read(saved(setup._replace(checkpoints=0)), setup.word, setup.guest)
        if not setup.variant.words:
            wanted.vcpus, wanted.shared_info = {}, b""
        found = plain_memory_v3.read(said.output)
        if not setup.variant.words:
            found.shared_info = b""

        assert differences(wanted, found) == [], named(setup)


@pytest.mark.parametrize("release", [release for release in RELEASES if release != RELEASE])
def test_releases_are_alike(release: str, converted: list[Conversion]) -> None:
    """The same bytes, words and status on guests of all kinds, and the same place in the input."""
    peers.require(CONVERTER, release)
    others = converters.convert(map(asked_of, GUESTS), release)

    assert [said._replace(stderr=said.error) for said in others] == [
        said._replace(stderr=said.error) for said in converted
    ]


def test_order_of_records() -> None:
    """Static data end before the frame list, and all else as it comes."""
    peers.require(CONVERTER)
    guest = PV._replace(vcpus=(0, 1))
    fixed, other = converters.convert(
        [(options(64, "pv"), saved(guest)), (options(64, "hvm", "libxl"), saved(HVM._replace(regions=(REGION,))))]
    )
    vcpu = [BASIC, EXTENDED, XSAVE]

    assert [kind for _, kind in order(fixed)] == [INFO, STATIC_END, P2M, TSC, PAGE_DATA, *vcpu, *vcpu, SHARED, END]
    assert order(other) == [
        ("libxl", 1),
        *(("libxc", kind) for kind in (STATIC_END, TSC, PAGE_DATA, PARAMS, CONTEXT, END)),
        *(("libxl", kind) for kind in (2, 3, END)),
    ]
    assert fixed.output[:40] == b"\xff" * 8 + struct.pack(">4sIHHI", b"XENF", 3, 0, 0, 0) + struct.pack(
        "<IHHII", 1, 12, 0, 0, 1
    )
    assert other.output[:24] == struct.pack(">8sII", b"LibxlFmt", 2, 2) + struct.pack("<II", 1, 0)
    assert struct.unpack_from("<IHHII", other.output, 48) == (2, 12, 0, 0, 1)


def test_reads_ahead() -> None:
    """Of a descriptor that others read on from it takes more than the stream, by up to the size of its buffer."""
    peers.require(CONVERTER)
    stream = changed(HVM, "QEMU", b"")
    (said,) = converters.convert([(options(64, "hvm", "libxc", "--skip-qemu"), stream + bytes(10_000))])

    assert said.status == 0
    assert len(stream) < said.consumed <= len(stream) + 10_000


@pytest.mark.parametrize("name", ["toolstack", "tmem", "two vcpu maps", "xsave of another size"])
def test_forks_are_as_processes(name: str) -> None:
    """The whole script, started as libxl starts it, does what its fork does."""
    script = peers.require(CONVERTER)
    row = PARTS[name]
    said = converters.run([sys.executable, script], row.words, row.data, converters.environment(script))
    (fork,) = converters.convert([(row.words, row.data)])

    assert said._replace(stderr=said.error) == fork._replace(stderr=fork.error)


def test_debian_s_does_not_find_its_modules() -> None:
    """Started as it is, as libxl does it, it ends before it reads anything."""
    script = peers.require(CONVERTER)
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert "No module named 'xen'" in done.stderr


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what was done with each stream, and keeps what was written."""
    peers.require(CONVERTER)
    names = [tmp_path / "good", tmp_path / "cut"]
    for name, data in zip(names, (saved(HVM), saved(HVM)[:-1]), strict=True):
        name.write_bytes(data)
    status = converters.main(["--release", RELEASE, "--guest", "hvm", "--output", str(tmp_path), *map(str, names)])
    good, cut = map(json.loads, capsys.readouterr().out.splitlines())

    assert status == 0
    assert (good["status"], good["error"], good["consumed"]) == (0, "", len(saved(HVM)))
    assert (cut["status"], cut["error"]) == (1, CUT)
    assert (tmp_path / f"good.{RELEASE}").stat().st_size == good["bytes"]
