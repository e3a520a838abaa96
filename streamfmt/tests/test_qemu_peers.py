"""Real QEMU of four releases: what it writes conforms and says what QEMU says, and it loads what the clauses let it.

`make peers` brings it.  With STREAMFMT_WHOLE=1 each release is asked about the whole set of streams.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import streamfmt
from streamfmt.errors import MissingPeerError

from .. import data
from ..codec.qemu_fields import values
from ..conformance import bases_qemu, cases_qemu, differences, predictions_qemu, qemu
from ..conformance.cases import Case
from ..conformance.conditions import Peer
from ..conformance.evidence import ASIDE, Claim
from ..conformance.loader import loaders, walk
from ..conformance.looks import look
from ..conformance.peers import Verdict
from ..conformance.predictions import Comparison, Step
from ..conformance.qemu import Machine, Setup
from ..corpus import store
from ..schema import qemu_stream as schema
from ..schema.clauses import FATAL, registry
from .support import peers
from .support.unlike import unexplained
from .support.vector import judge, reported

WHOLE = os.environ.get("STREAMFMT_WHOLE") == "1"
EVERY = 120
PEER = predictions_qemu.PEER
_NEW = qemu.RELEASES[2:]
# Old releases write both channels of an ISA disk controller as one device.
_SAID = {"QEMU-SEC-DUP": 1}
# A ROM that is like nothing else.
_ROM = bytes((at * 7 + (at >> 8)) & 0xFF for at in range(1 << 16))


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    for made in (predictions_qemu.looks, cases_qemu.cases_qemu, bases_qemu.bases, loaders):
        made.cache_clear()


def _fresh(release: str) -> Iterator[tuple[str, bytes]]:
    """Streams that the release writes now, and a word for each."""
    for machine in ("none", "pc", "q35", "isapc"):
        with Machine(release, "-M", machine, "-m", "1M", rom=_ROM) as fresh:
            if machine != "none":
                yield f"{machine}: devices", fresh.devices()
            yield machine, fresh.migrate()
    with Machine(release, *bases_qemu.SETUPS["xen"].options, "-smp", "2") as fresh:
        yield "as under Xen", fresh.devices()
    with Machine(release, "-M", "none", "-m", "1M", "-uuid", "0123abcd-0000-4000-8000-000000000001") as fresh:
        yield "capabilities", fresh.migrate("x-ignore-shared", "validate-uuid")
    if release in _NEW:
        with Machine(release, "-M", "pc", "-m", "1M", rom=_ROM) as fresh:
            yield "mapped-ram", fresh.migrate("mapped-ram", mapped=True)
    else:
        with Machine(release, "-M", "pc", "-m", "1M", rom=_ROM) as fresh:
            yield "compressed", fresh.migrate("compress", compress_threads=1)


@pytest.mark.peer
@pytest.mark.parametrize("release", qemu.RELEASES)
def test_fresh_streams_conform(release: str) -> None:
    """Each release's streams are read to their last byte, however they are cut, and nothing is found in them."""
    peers.require_qemu(release)
    words = set()
    for word, raw in _fresh(release):
        whole = judge([raw])
        words.add(word)

        said = _SAID if word.startswith("isapc") and release not in _NEW else {}
        assert (word, whole.size, dict(whole.counts)) == (word, len(raw), said)
        for size in (1021, 65536) if word != "mapped-ram" else (65536,):
            pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
            assert reported(judge(pieces)) == reported(whole), word
    assert len(words) == 10


def _sections(raw: bytes) -> tuple[dict[tuple[str, int], dict[str, Any]], dict[str, dict[int, bytes]]]:
    """The fields of each device by name, as the description has them, and the memory of each block by page."""
    payloads: dict[tuple[str, int], bytes] = {}
    memory: dict[str, dict[int, bytes]] = defaultdict(dict)
    block, text = "", b""
    for item in streamfmt.open(raw):
        row = item.fields() if item.name not in ("RAM_ZERO", "EOF", "header") else {}
        if item.name == "SECTION_FULL":
            payloads[row["idstr"].decode(), row["instance_id"]] = row["payload"]
        elif item.name == "VMDESCRIPTION":
            text = row["text"]
        elif item.name in ("RAM_ZERO_OF", "RAM_PAGE_OF"):
            block = row["name"].decode()
        rows = row["pages"] if item.name == "RAM_PAGE" else [row] if item.name == "RAM_PAGE_OF" else ()
        memory[block] |= {each["word.page"]: each["data"] for each in rows}
    devices = {}
    for device in json.loads(text)["devices"]:
        key = device["name"], device["instance_id"]
        devices[key] = {each.name: each.value for each in values(device, payloads[key])}
    return devices, memory


@pytest.mark.peer
@pytest.mark.parametrize("release", qemu.RELEASES)
def test_values_are_those_that_qemu_says(release: str, tmp_path: Path) -> None:
    """Registers, clock, PCI devices and memory are what QEMU itself says of the same machine."""
    peers.require_qemu(release)
    saved = tmp_path / "memory"
    with Machine(release, "-M", "pc", "-m", "1M", rom=_ROM) as machine:
        status = machine.execute("query-status")["status"]
        clock = machine.execute("qom-get", path="/machine", property="rtc-time")
        cards = [card for bus in machine.execute("query-pci") for card in bus["devices"]]
        registers = machine.execute("human-monitor-command", **{"command-line": "info registers"})
        machine.execute("pmemsave", val=(1 << 32) - len(_ROM), size=len(_ROM), filename=str(saved))
        devices, memory = _sections(machine.migrate())

    said = dict(word.split("=") for word in registers.split() if word.count("=") == 1 and not word.endswith("="))
    assert devices["cpu", 0]["env.eip"] == int(said["EIP"], 16) == 0xFFF0
    assert devices["cpu", 0]["env.eflags"] == int(said["EFL"], 16)
    assert devices["cpu", 0]["env.cr[0]"] == int(said["CR0"], 16)
    now = devices["mc146818rtc", 0]["cmos_data"].hex()
    digits = (clock["tm_sec"], clock["tm_min"], clock["tm_hour"], clock["tm_mday"], clock["tm_mon"] + 1)
    assert [int(now[2 * at : 2 * at + 2]) for at in (0, 2, 4, 7, 8)] == [*digits]
    assert int(now[18:20]) + 2000 == clock["tm_year"] + 1900
    state = devices["globalstate", 0]["runstate"]
    assert state.partition(b"\0")[0].decode() == status
    power = next(card for card in cards if card["function"] == 3)
    fields = next(row for (name, _), row in devices.items() if name.endswith("/piix4_pm"))
    config = next(value for name, value in fields.items() if name.startswith("parent_obj.config"))
    identity = (power["id"]["vendor"], power["id"]["device"])
    assert (int.from_bytes(config[:2], "little"), int.from_bytes(config[2:4], "little")) == identity
    assert b"".join(memory["pc.bios"][page] for page in range(len(_ROM) >> 12)) == saved.read_bytes() == _ROM


@pytest.mark.peer
@pytest.mark.parametrize("release", qemu.RELEASES)
def test_qemu_loads_what_the_clauses_say(release: str) -> None:
    """Each release loads or refuses each stream as follows from the clauses, and ends by itself, whatever comes."""
    peers.require_qemu(release)
    peer = PEER.of(release)
    table = predictions_qemu.compared(peer, predictions_qemu.looks() if WHOLE else map(look, cases_qemu.sample(EVERY)))

    assert len(table) > (2000 if WHOLE else 12)
    assert {row.verdict.verdict for row in table} == {"accept", "reject"}
    assert list(unexplained(peer, table)) == []
    if WHOLE:
        page = Path(data.path("docs"), "differences.md").read_text(encoding="utf-8")
        seen = predictions_qemu.borne_out(table)
        asked = (name for name, clause in registry().items() if clause.survived and name not in ASIDE)
        rows = {Claim(name, row.does): row for name in asked for row in peer.rows(name)}
        assert {claim for claim, row in rows.items() if release in row.ran} == seen
        assert differences.section(peer, table) in page, "docs/differences.md is stale: make differences"


# A ROM that changes a byte in each of 16 pages from 0x20000 on, for ever.
_LOOP = bytes.fromhex("b800208ed831dbfe070f013f81c3001075f5ebf3").ljust(0xFFF0, b"\0") + b"\xea\0\0\0\xf0" + bytes(11)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("release", "compression"), [("5.2", "zlib"), ("7.2", "zstd"), ("10.0", "none"), ("10.0", "zstd"), ("11.1", "zlib")]
)
def test_memory_in_channels(release: str, compression: str) -> None:
    """The memory of a guest that ran while it was sent through channels is what it has in the end."""
    peers.require_qemu(release)
    with Machine(release, "-M", "pc", "-m", "4M", rom=_LOOP) as machine:
        machine.execute("cont")
        stream, channels = machine.multifd(2, compression)
        path = machine.folder / "memory"
        machine.execute("pmemsave", val=0, size=4 << 20, filename=str(path))
        expected = path.read_bytes()
    outcomes = [streamfmt.verify(channel, deep=True) for channel in channels]

    assert [dict(outcome.counts) for outcome in outcomes] == [{}, {}]
    assert not streamfmt.verify(stream, channels=outcomes).counts
    with streamfmt.open_memory(stream, channels=channels) as memory:
        assert len(memory) == 1024
        # Where the ROM is the machine shows that, and not what is there of its memory.
        other = [page for page in memory if memory[page] != expected[page * 4096 : page * 4096 + 4096]]
        assert [page for page in other if not 0xE0 <= page < 0x100] == []
        assert any(memory[page].strip(b"\0") for page in range(0x20, 0x30))


@pytest.mark.peer
def test_what_becomes_of_a_loader() -> None:
    """What it says of a refusal comes with the verdict; one that waits for more is given up."""
    peers.require_qemu(qemu.RELEASE)
    none = bases_qemu.real("mig-none-1M-5.2").render()
    setup = Setup(("-M", "none", "-m", "1M"))

    good, cut, other = qemu.ask([(setup, none), (setup, none[:200]), (setup, b"text" + none)])

    assert (good.verdict, good.message) == ("accept", "")
    assert (cut.verdict, other.verdict) == ("reject", "reject")
    assert "Not a migration stream" in other.message


# -- without QEMU -----------------------------------------------------------------------------------------------------


def test_a_missing_release_is_named() -> None:
    """As for any other peer."""
    with pytest.raises(MissingPeerError, match=r"qemu-system-x86 1\.0 is missing \(make peers\)"):
        qemu.ask([], "1.0")


@pytest.mark.parametrize("release", qemu.RELEASES)
def test_conditions_are_those_of_the_clauses(release: str) -> None:
    """Each clause that says `when` has a function, or words of the walk, that picks the row; no two do the same."""
    peer: Peer = PEER.of(release)
    # What some release does not survive, as of channels, is not in the set.
    asked = [name for name, clause in registry().items() if clause.survived]
    when = {name for name in asked if any(row.when for row in peer.rows(name))}

    assert when <= {*peer.depends, *predictions_qemu.WHEN}
    assert {*peer.depends, *predictions_qemu.WHEN} - when <= {"QEMU-MAP-PLACE"}
    assert not [name for name in asked if len({row.does for row in peer.rows(name)}) < len(peer.rows(name))]
    assert not [row for name in asked for row in peer.rows(name) if row.does in FATAL]


def _met(stream: bytes, setup: str) -> list[tuple[str, str]]:
    return [(clause, word) for _, clause, word in walk(stream, setup)]


@pytest.mark.parametrize("name", sorted(bases_qemu.bases()))
def test_good_streams_are_walked_to_their_end(name: str) -> None:
    """A loader has all that is in the streams which the others are made of, but for places of pages."""
    base = bases_qemu.bases()[name]
    mapped = bases_qemu.SETUPS[base.setup].mapped

    flushed = [("QEMU-RAM-FLUSH", "")] * sum(part.path == "qemu.RAM_FLUSH" for part in base.stream)
    assert _met(base.stream.render(), base.setup) == ([] if mapped else [*flushed, ("", "end")])
    said = {"postcopy": {"QEMU-POSTCOPY": 1}, "multifd": {"QEMU-MFD-ALONE": 1}}
    assert dict(judge([base.stream.render()]).counts) == said.get(name, {})


def test_what_a_loader_has_otherwise() -> None:
    """Devices, versions, lengths and states of other machines are met where they come."""
    stream = bases_qemu.bases()["none"].stream
    timer = stream.part("qemu.SECTION_FULL")
    row: Mapping[str, Any] = {**timer.values, "payload": bytes(24)}

    def met(**changes: Any) -> list[tuple[str, str]]:
        at = stream.find("qemu.SECTION_FULL")
        changed = type(timer)(timer.path, {**row, **changes})
        return _met(type(stream)((*stream.parts[:at], changed, *stream.parts[at + 1 :])).render(), "none")

    assert met() == [("", "end")]
    assert met(idstr=b"clock") == [("QEMU-SEC-KNOWN", "")]
    assert met(version_id=3) == [("QEMU-SEC-VERSION", "newer")]
    assert met(payload=bytes(25)) == [("QEMU-SEC-LENGTH", "")]
    assert met(payload=bytes(23) + b"\1") == [("QEMU-SEC-STATE", ""), ("", "end")]
    assert _met(stream.render()[:-600], "none") == [("QEMU-TRUNC", "")]


def test_another_verdict_is_reported() -> None:
    """A loader that does otherwise than the clauses have it is not explained."""
    seen = look(Case("none", bases_qemu.bases()["none"].stream, cases_qemu.FORM, "none"))

    for verdict, known in (("accept", True), ("reject", False), ("crash", False), ("hang", False)):
        row = Comparison(seen, tuple(predictions_qemu.steps(seen, PEER)), Verdict(verdict, "", None))
        assert (not list(unexplained(PEER, [row]))) == known
    row = Comparison(seen, (Step(0, "QEMU-AFTER", "reject"),), Verdict("reject", "", None))
    assert not list(unexplained(PEER, [row]))
    assert predictions_qemu.borne_out([row]) == {Claim("QEMU-AFTER", "reject")}


def test_no_stored_stream_has_a_command_that_is_waited_for() -> None:
    """After ENABLE_COLO some releases wait for ever."""
    code = b"\x08" + schema.COMMANDS["ENABLE_COLO"].to_bytes(2, "big") + b"\0\0"
    rows = [row for row in store.read_index() if row["file"] and row["format"] == "qemu"]
    # In real ones these bytes may be any.
    rows = [row for row in rows if not row["id"].startswith("real/")]

    assert len(rows) > 90
    assert [row["id"] for row in rows if code in b"".join(map(bytes, store.pieces(row)))] == []
