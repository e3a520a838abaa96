"""Which machine type wrote QEMU's sections, and what another makes of them: by the data, and as real ones did."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt
from streamfmt import data, qemu_tables, tables
from streamfmt.cli.main import main
from streamfmt.corpus.entries import unpacked

from ..checks import targets
from ..checks.outcome import Outcome
from ..checks.qemu_target import Target
from ..conformance.bases_qemu import SETUPS
from ..conformance.qemu import Machine, QemuError, Setup, ask
from ..errors import SchemaError
from ..reader.qemu_variant import RELEASES, VERSIONS, Survey, writers
from ..render.text import variant_lines
from ..schema import qemu_machines
from ..writer import qemu as parts
from ..writer.qemu import Device
from .support import peers
from .support.corpus import ACCEPTING, BREAKING
from .support.vector import judge, judged, reported

# Channels of multifd have no sections.
REAL = [path for path in sorted(Path(data.path("corpus", "real")).glob("qemu-*.gz")) if ".ch" not in path.name]
CLAUSES = ("QEMU-TARGET-LOST", "QEMU-TARGET-MACHINE", "QEMU-TARGET-REFUSED")
# Machine types that have versions, and those of each release: what could have been started.
STARTED = [
    (machine, release, version)
    for machine, (*_, has, _, _) in qemu_tables.MACHINES.items()
    for release, mask in has.items()
    for version in range(len(VERSIONS))
    if mask >> version & 1
]


@cache
def _real(name: str) -> bytes:
    return unpacked(Path(data.path("corpus", "real", f"qemu-{name}.bin.gz")))


# -- the data file ------------------------------------------------------------------------------------------------


def test_the_tables_are_those_of_the_data() -> None:
    """streamfmt/qemu_tables.py is what `make generate` writes, and some module reads each of its literals."""
    path = Path(str(qemu_tables.__file__))
    text = "".join(it.read_text() for folder in ("reader", "checks") for it in (path.parent / folder).glob("qemu*.py"))

    assert path.read_text() == qemu_machines.source()
    assert set(re.findall(r"\bqemu_tables[.:]([A-Z_]+)", text)) == qemu_machines.tables().keys()


@pytest.mark.parametrize(
    ("text", "why"),
    [("1.3-1.7", "names none of"), ("2.0-1.7", "ends before it begins"), ("", "names none of")],
)
def test_spans_that_are_none(text: str, why: str) -> None:
    """A mistyped span of versions does not make tables."""
    with pytest.raises(SchemaError, match=why):
        qemu_machines.span(VERSIONS, text)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted), min_size=1, max_size=4))
def test_spans(pairs: list[list[int]]) -> None:
    """A set is that of all that its spans name."""
    text = ", ".join(f"{low}-{high}" for low, high in pairs)

    found = qemu_machines.span("0123456789", text)

    assert {n for n in range(10) if found >> n & 1} == {n for low, high in pairs for n in range(low, high + 1)}


@pytest.mark.parametrize("what", ["section", "machine"])
def test_facts_have_sources(what: str) -> None:
    """Nothing is known without one."""
    found = dict(qemu_machines.read())
    first, row = next(iter(found[what].items()))
    found[what] = {**found[what], first: {key: it for key, it in row.items() if key != "source"}}

    with pytest.raises(SchemaError, match="no source"):
        qemu_machines.tables(found)


# -- what wrote it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name.removesuffix(".bin.gz"))
def test_real_streams_are_of_their_release(path: Path) -> None:
    """The release that wrote a stream is among those that are named, and so is its machine type where that is known."""
    release = next(release for release in RELEASES if f"-{release}." in path.name)
    variants = judge([unpacked(path)]).variants
    machine = {"i440fx31": "pc-i440fx-3.1", "q35": f"pc-q35-{release}", "pc": f"pc-i440fx-{release}", "none": "none"}
    wanted = next(name for word, name in machine.items() if f"-{word}-" in path.name)

    for _, variant in variants:
        assert release in variant.releases
        assert wanted in variant.machines()
    assert variants or wanted == "none" or "cut" in path.name


@given(st.sampled_from(STARTED), st.sets(st.integers(0, 7)), st.integers(0, 9), st.booleans())
def test_a_writer_is_among_those_that_are_named(
    started: tuple[str, int, int], left: set[int], vcpus: int, hotplug: bool
) -> None:
    """Whatever machine type of whatever release writes its sections, or some of them, it could have."""
    machine, release, version = started
    family = qemu_tables.MACHINES[machine][1] or machine
    survey = Survey()
    for number, ((name, edition), (owner, *_)) in enumerate(qemu_tables.SECTIONS.items()):
        if owner in ("", family) and number not in left:
            survey.see(b"x/" + name, edition, _length(name, edition, release, version, vcpus, hotplug))
    found = survey.variant(f"{family}-{VERSIONS[version]}".encode(), footers=False)
    bare = survey.variant(None, footers=False)

    assert found is None or (found.releases and RELEASES[release] in found.releases)
    if bare is not None:
        assert f"{machine}-{VERSIONS[version]}" in bare.machines()
        assert RELEASES[release] in bare.as_dict()["releases"]["seen"]
        assert bare.words().startswith(bare.machine)


def _length(name: bytes, edition: int, release: int, version: int, vcpus: int, hotplug: bool) -> int:
    """What a section has: the layout of the version, and the parts that this release writes, one or more if it may."""
    _, layouts, own = qemu_tables.SECTIONS[name, edition]
    length = next(size for size, versions in layouts if versions >> version & 1)
    for _, size, more, versions, releases, may, _, _ in own:
        if versions >> version & releases >> release & 1 or (may and hotplug):
            length += size + more * vcpus
    return length


@given(st.sampled_from(sorted(qemu_tables.SECTIONS)), st.integers(0, 40_000))
def test_other_lengths_are_of_nobody(key: tuple[bytes, int], length: int) -> None:
    """A length that no machine type has shows nothing, and is no contradiction."""
    lengths = tables.QEMU_SECTION_LENGTHS[key]
    survey = Survey()
    survey.see(key[0], key[1], length)

    assert length in lengths or not any(writers(key, length)) or any(part[2] for part in qemu_tables.SECTIONS[key][2])
    assert any(writers(key, length)) or survey.variant(b"pc-i440fx-5.2", footers=True) is None


def test_it_is_named_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """identify, verify and show name the same."""
    path = data.path("corpus", "real", "qemu-dm-pic-i440fx31-xenlike-10.0.bin.gz")
    words = "pc-i440fx-2.5 to 3.1 or xenfv-3.1, of QEMU after 7.2, before 11.1"

    for verb in ("identify", "verify", "show"):
        assert main([verb, path]) == 0
        assert words in " ".join(capsys.readouterr().out.split())
    assert main(["identify", "--json", path]) == 0
    found = json.loads(capsys.readouterr().out)["variant"]
    assert [found | {"layer": "qemu"}] == streamfmt.verify(path).as_dict()["variants"]
    assert found["releases"] == {"from": None, "after": "7.2", "before": "11.1", "seen": ["10.0"]}


# -- where sections end -------------------------------------------------------------------------------------------


@given(
    st.sampled_from([key for key, lengths in tables.QEMU_SECTION_LENGTHS.items() if max(lengths) < 500]),
    st.booleans(),
    st.data(),
)
def test_known_sections_end_where_they_do(key: tuple[bytes, int], footers: bool, choose: st.DataObject) -> None:
    """What looks like an end before it, a footer or another section, does not deceive."""
    name, version = key
    length = choose.draw(st.sampled_from(tables.QEMU_SECTION_LENGTHS[key]))
    fake = choose.draw(st.sampled_from([b"\x7e" + bytes(5), b"\4\0\0\xff\xff\2ab" + bytes(8), b"\0\6\0\0\0\0{"]))
    place = choose.draw(st.integers(0, max(length - len(fake), 0)))
    payload = (bytes(place) + fake)[:length].ljust(length, b"\1")
    rows = [Device(name.decode(), payload, version), Device("other", b"\2" * 9)]
    raw = parts.device_record(rows, footers).render()
    if any(it < length and payload[it : it + len(fake)] == fake for it in tables.QEMU_SECTION_LENGTHS[key]):
        return  # at a length that it could have, it may well be the end

    sizes = [item.length for item in streamfmt.open(raw) if item.name == "SECTION_FULL"]

    assert sizes == [13 + len(name) + length, 13 + 5 + 9]


def test_a_count_that_looks_like_a_footer() -> None:
    """The bytes with which a real record of QEMU 7.2 broke off: a timer's count that ends in 7e."""
    payload = bytes.fromhex("000000002ed3377e0000000000000000000000001209516e")
    rows = [Device("timer", payload, 2), Device("cpu_common", bytes(8))]
    outcome = judge([parts.device_record(rows, footers=True).render()])

    assert (outcome.counts, outcome.verifier.records) == ({}, 5)


# -- what a target makes of it ------------------------------------------------------------------------------------

# What QEMU did with records of three machine types, loaded without footers: for each release a letter for each of the
# machine types that it has of these, in this order.  k: all is restored; l: lost without a word, the interrupt
# controllers among it; r: refused.
ERAS = ("2.4", "3.1", "4.2", "5.2", "6.1", "7.2", "10.0", "11.1")
DID = {
    "dm-pic-i440fx31-xenlike-10.0": {"5.2": "kkll", "7.2": " kl ll", "10.0": "kkl l l", "11.1": "   ll  l"},
    "dm-pc-xenlike-11.1": {"5.2": "llll", "7.2": " ll lk", "10.0": "lll l k", "11.1": "   ll  k"},
}
CASES = [
    (name, release, version, letter)
    for name, rows in DID.items()
    for release, letters in rows.items()
    for version, letter in zip(ERAS, letters, strict=False)
    if letter != " "
]


@pytest.mark.parametrize(("name", "release", "version", "did"), CASES)
def test_real_loaders_did_the_same(name: str, release: str, version: str, did: str) -> None:
    """Records of pc-i440fx-3.1 and -11.1, as under Xen, in machine types of other times and releases."""
    outcome = _for(_real(name), f"qemu-{release}:pc-i440fx-{version}")

    assert set(outcome.counts) == {"k": set(), "l": {"QEMU-TARGET-LOST"}, "r": {"QEMU-TARGET-REFUSED"}}[did]
    assert all("i8259, i8259 1, ioapic" in row.message for row in outcome.findings)


# A machine type that a release does not have any more, or not yet.
_NOT = {"5.2": "6.1", "7.2": "10.0", "10.0": "11.1", "11.1": "3.1"}


def _waiting(release: str, version: str) -> Machine:
    options = SETUPS["xen"].options
    return Machine(release, "-M", f"pc-i440fx-{version},suppress-vmdesc=on", *options[2:], "-incoming", "defer")


def _controllers(raw: bytes) -> list[bytes]:
    rows = (item.fields() for item in streamfmt.open(raw) if item.name == "SECTION_FULL")
    return [row["payload"] for row in rows if row["idstr"] == b"i8259"]


@pytest.mark.peer
@pytest.mark.parametrize("release", RELEASES)
def test_real_loaders_do_the_same(release: str) -> None:
    """What it loses is as after a reset; it refuses what is as long as it should not be, and other machine types."""
    peers.require_qemu(release)
    name, other = "dm-pic-i440fx31-xenlike-10.0", _real("dm-pc-smp4-7.2")
    raw, rows = _real(name), zip(ERAS, DID[name][release], strict=False)

    for did, version in {did: version for version, did in rows if did != " "}.items():
        with _waiting(release, version) as machine:
            assert machine.load(raw).verdict == "accept"
            assert (_controllers(machine.devices()) == _controllers(raw)) == (did == "k")

    assert "QEMU-TARGET-MACHINE" in _for(raw, f"qemu-{release}:pc-i440fx-{_NOT[release]}").counts
    with pytest.raises(QemuError, match="unsupported machine type"), _waiting(release, _NOT[release]):
        pass

    setup = Setup((*SETUPS["pc"].options, "-smp", "4"))
    assert "QEMU-TARGET-REFUSED" in _for(other, f"qemu-{release}:pc-i440fx-5.2").counts
    assert [said.verdict for said in ask([(setup, other)], release)] == ["reject"]


def _for(raw: bytes, target: str, size: int = 0) -> Outcome:
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)] if size else [raw]
    return judge(pieces, target=target)


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name.removesuffix(".bin.gz"))
def test_no_alarm_at_home(path: Path) -> None:
    """The release that wrote a stream takes it, on the machine type that did."""
    release = next(release for release in RELEASES if f"-{release}." in path.name)
    machine = ":pc-i440fx-3.1" if "i440fx31" in path.name else ":pc" if "xenlike" in path.name else ""
    outcome = _for(unpacked(path), f"qemu-{release}{machine}")

    assert not set(CLAUSES) & set(outcome.counts)


def test_what_xen_starts() -> None:
    """Without a machine type a record as under Xen is for xenfv, which is another one in QEMU 11.1."""
    raw = _real("dm-pic-i440fx31-xenlike-10.0")

    for release in RELEASES[:-1]:
        assert _for(raw, f"qemu-{release}").counts == {}
    assert _for(raw, "qemu-11.1").counts == {"QEMU-TARGET-LOST": 1}
    assert _for(raw, "qemu-11.1").verifier.aimed == {"qemu": "xenfv-4.2 of QEMU 11.1"}


@settings(max_examples=12)
@given(st.sampled_from(RELEASES), st.sampled_from(ERAS), st.sampled_from((1, 97, 4096)))
def test_pieces_do_not_matter(release: str, version: str, size: int) -> None:
    """What is said for a target is the same however the bytes come."""
    raw = _real("dm-pc-xenlike-11.1")
    target = f"qemu-{release}:pc-i440fx-{version}"

    assert reported(_for(raw, target, size)) == reported(_for(raw, target))


@pytest.mark.parametrize("clause", CLAUSES)
def test_vectors_are_judged_for_their_targets_only(clause: str) -> None:
    """Without its target a stream breaks nothing; through the interface it is judged as through the command."""
    for kind, table in (("accepted", ACCEPTING), ("broken", BREAKING)):
        for name, vector in table[clause].items():
            raw = vector.data
            whole = judged(vector)
            assert streamfmt.verify(raw).as_dict()["counts"] == {}, name
            found = streamfmt.verify(raw, target=vector.target).as_dict()
            assert found == reported(whole), name
            assert bool(found["counts"]) == (kind == "broken"), name
            assert reported(judged(vector, [raw[at : at + 7] for at in range(0, len(raw), 7)])) == found, name


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(sorted(qemu_tables.SECTIONS)), st.binary(max_size=60)), max_size=5))
def test_any_sections_for_any_target(rows: list[tuple[tuple[bytes, int], bytes]]) -> None:
    """However sections look, each release and machine type says something of them or nothing, and never fails."""
    devices = [
        Device(name.decode(), payload, version, number) for number, ((name, version), payload) in enumerate(rows)
    ]
    raw = parts.device_record(devices, footers=False).render()

    for release, machine in product(RELEASES, ("", ":xenfv", ":q35", ":isapc", ":pc-i440fx-1.4")):
        outcome = _for(raw, f"qemu-{release}{machine}")
        assert all(clause in CLAUSES for clause in outcome.counts if clause.startswith("QEMU-TARGET"))


# -- how targets are given ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("qemu-11.1", ""),
        ("qemu-10.0.13:xenfv", "xenfv-3.1"),
        ("qemu-11.1:xenfv", "xenfv-4.2"),
        ("qemu-7.2:pc", "pc-i440fx-7.2"),
        ("qemu-5.2:q35", "pc-q35-5.2"),
        ("qemu-5.2:isapc", "isapc"),
    ],
)
def test_targets(text: str, name: str) -> None:
    """A release with or without its last number, and machine types by what they are called."""
    kind, target = targets.parse(text)

    assert kind == "qemu"
    assert isinstance(target, Target)
    assert target.name == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("11.1", "is no target: give qemu-RELEASE"),
        ("qemu-", "is no target"),
        ("xen-4.20", "is no target"),
        ("qemu-8.2", "that of 5.2, 7.2, 10.0, 11.1 is"),
        ("qemu-10.0.x", "is not known"),
        ("qemu-11.1:", "is no machine type"),
        ("qemu-11.1:pc-i440fx-99", "is no machine type"),
        ("qemu-11.1:none-5.2", "is no machine type"),
    ],
)
def test_what_is_no_target(text: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is wrong usage of the command, and an error of the interface."""
    with pytest.raises(ValueError, match=re.escape(why)):
        streamfmt.verify(b"", target=text)
    with pytest.raises(SystemExit) as stop:
        main(["verify", "--target", text, "-"])
    assert stop.value.code == 2
    assert why in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ValueError, match="second target of qemu"):
        streamfmt.verify(b"", target=("qemu-11.1", "qemu-10.0"))


def test_a_target_without_a_record_is_named() -> None:
    """Where nothing of the stream is the target's, that is said to people and to machines."""
    path = data.path("corpus", "real", "hvm-64.bin.gz")
    with_one = streamfmt.verify(data.path("corpus", "real", "qemu-dm-q35-10.0.bin.gz"), target="qemu-11.1")

    outcome = streamfmt.verify(path, target="qemu-11.1")

    assert outcome.as_dict()["targets"] == [{"layer": None, "target": "machine of QEMU 11.1"}]
    assert " ".join(" ".join(variant_lines(outcome)).split()).endswith(
        "not judged, since nothing in this stream is for it"
    )
    assert not streamfmt.verify(path).as_dict()["targets"]
    assert not with_one.unmet
