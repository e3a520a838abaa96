"""What a host lacks of a guest's policy: each bit, leaf and MSR that is taken away is named, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from ..cli.main import main
from ..compare.policy import Policy, lacks
from ..compare.policy_files import UnfitPolicyError, is_text, read
from ..schema import features
from .test_cli import conforms_to

ROOT = Path(streamfmt.__file__).parent.parent
GUEST = str(ROOT / "corpus" / "real" / "pv-24.bin.gz")
REGISTERS = ("eax", "ebx", "ecx", "edx")
BITS = [row for row in features.FEATURES if row.bits == 1]
# As docs/diff.md has them.
NOT_HELD = {"hypervisor", "apic", "x2apic", "osxsave", "ospke", "htt", "cmp_legacy", "arch_caps", "rsba", "rrsba"}
NOT_HELD |= {"fdp_excp_only", "no_fpu_sel", "no_lmsl", "md_clear", "fb_clear", "rfds_clear"}
WITH = {"stibp": "ibrsb", "amd_stibp": "ibrs", "ibpb": "ibrsb", "rtm_always_abort": "rtm"}
NUMBER = {row.name: number for number, row in enumerate(BITS)}


def policy(bits: set[int], numbers: dict[str, int]) -> Policy:
    """One with these bits of all that there are, and numbers."""
    found = Policy()
    rows = [(BITS[number], 1) for number in bits]
    rows += [(row, numbers[row.name]) for row in features.FEATURES if row.name in numbers]
    for row, value in rows:
        registers = list(found.leaves.get((row.leaf, row.subleaf), (0, 0, 0, 0)))
        registers[REGISTERS.index(row.register)] |= value << row.shift
        found.leaves[row.leaf, row.subleaf] = tuple(registers)
    return found


sets = st.sets(st.integers(0, len(BITS) - 1))
limits = st.fixed_dictionaries({"max_leaf": st.integers(0, 40), "physical_address_bits": st.integers(0, 52)})


@settings(max_examples=40)
@given(sets, sets, limits, limits)
def test_what_is_lacking_is_named(mine: set[int], theirs: set[int], one: dict[str, int], other: dict[str, int]) -> None:
    """Bits of the guest's that are not the host's, and numbers above its."""
    found = list(lacks(policy(mine, one), policy(theirs, other)))
    names = {(row.leaf, row.subleaf, row.register, name) for row in found if not row.limit for name in row.names}

    assert names == {
        (row.leaf, row.subleaf, row.register, row.name)
        for row in (BITS[number] for number in mine - theirs)
        if row.name not in NOT_HELD and NUMBER.get(WITH.get(row.name, "")) not in theirs
    }
    assert {row.names[0] for row in found if row.limit} == {name for name in one if one[name] > other[name]}
    assert list(lacks(policy(mine, one), policy(mine, one))) == []


def test_msrs_vendors_and_unknown_leaves() -> None:
    """Bits of MSRs; an MSR and a leaf without names; another vendor, by its rule."""
    guest, host = Policy(), Policy()
    guest.msrs, host.msrs = {0x10A: 0b1111, 0x999: 5}, {0x10A: 0b0101}
    guest.leaves = {
        (0, features.NONE): (1, 0x756E6547, 0x6C65746E, 0x49656E69),
        (0x14, 0): (1, 2, 3, 4),
        (4, 1): (9,) * 4,
    }
    host.leaves = {(0, features.NONE): (1, 0x68747541, 0x444D4163, 0x69746E65)}
    rows = {row.where: row for row in lacks(guest, host)}

    assert rows.keys() == {"vendor", "leaf 0x14.0", "MSR 0x10a ARCH_CAPABILITIES", "MSR 0x999"}
    assert rows["MSR 0x10a ARCH_CAPABILITIES"].names == ("eibrs", "skip_l1dfl")
    assert rows["MSR 0x999"].names == ("bit 0", "bit 2")
    assert (rows["vendor"].guest, rows["vendor"].host) == ("GenuineIntel", "AuthenticAMD")
    assert rows["vendor"].clause == "LIBXC-POLICY-VENDOR"


@pytest.mark.parametrize(("name", "other"), WITH.items())
def test_bits_that_xen_gives_with_others(name: str, other: str) -> None:
    """They are lacking only where the host has not the other either."""
    guest, host = policy({NUMBER[name]}, {}), policy({NUMBER[other]}, {})
    assert [row.names for row in lacks(guest, Policy())] == [(name,)]
    assert list(lacks(guest, host)) == []


def test_faults_of_cpuid() -> None:
    """Xen emulates them for HVM guests: only a PV guest's need the processor's help."""
    guest = Policy()
    guest.msrs = {0xCE: 1 << 31}
    assert [row.names for row in lacks(guest, Policy(), "pv")] == [("cpuid_faulting",)]
    assert list(lacks(guest, Policy(), "hvm")) == []


def listing(name: str, found: Policy) -> str:
    """As xen-cpuid prints it."""
    lines = [f"{name} policy: {len(found.leaves)} leaves, {len(found.msrs)} MSRs", " CPUID:"]
    for place, registers in found.leaves.items():
        lines.append("  {:08x}:{:08x} -> {:08x}:{:08x}:{:08x}:{:08x}".format(*place, *registers))
    lines += [" MSRs:", *(f"  {index:08x} -> {value:016x}" for index, value in found.msrs.items()), ""]
    return "\n".join(lines)


def as_json(found: Policy) -> str:
    leaves = [
        dict(zip(("leaf", "subleaf", *REGISTERS), (*place, *registers), strict=True))
        for place, registers in found.leaves.items()
    ]
    msrs = [{"index": index, "value": hex(value)} for index, value in found.msrs.items()]
    return json.dumps({"format": "streamfmt-policy-1", "leaves": leaves, "msrs": msrs})


@settings(max_examples=20)
@given(sets.filter(bool), st.dictionaries(st.integers(0, 0xFFFFFFFF), st.integers(0, (1 << 64) - 1)))
def test_forms_of_policies(bits: set[int], msrs: dict[int, int]) -> None:
    """JSON and what xen-cpuid prints say the same; of several policies that of the guest's type is read."""
    found, none = policy(bits, {}), policy(set(), {"max_leaf": 1})
    found.msrs = msrs
    text = listing("Raw", none) + listing("HVM Max", none) + listing("PV Max", found) + listing("PV Default", none)
    conforms_to("policy", json.loads(as_json(found)))
    for form in (as_json(found), text):
        assert is_text(form.encode())
        again = read(form.encode(), "pv")
        assert (again.leaves, again.msrs) == (found.leaves, found.msrs)
    assert read(text.encode(), "hvm").leaves == none.leaves


WRONG = {
    "{": "line 1, column 2",
    '{"format": 1}': 'no object with "format"',
    '{"format": "x"}': "its format is 'x'",
    '{"format": "streamfmt-policy-1"}': "no leaf and no MSR",
    '{"format": "streamfmt-policy-1", "leaves": 1}': "leaves is no list",
    '{"format": "streamfmt-policy-1", "leaves": [1]}': r"leaves\[0\] is no object",
    '{"format": "streamfmt-policy-1", "leaves": [{}]}': r"leaves\[0\]: leaf is no number",
    '{"format": "streamfmt-policy-1", "msrs": [{"index": 1, "value": "0x10000000000000000"}]}': "value is no number",
    '{"format": "streamfmt-policy-1", "msrs": [{"index": true, "value": 1}]}': "index is no number",
    '{"a":' * 100_000: "nests too deep",
    "Raw policy: 0 leaves, 0 MSRs\n": "no leaf and no MSR",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:60])
def test_files_that_are_no_policy(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are refused with the place."""
    assert is_text(text.encode())
    with pytest.raises(UnfitPolicyError, match=WRONG[text]):
        read(text.encode(), "pv")
    (tmp_path / "host").write_text(text)
    assert main(["diff", "--policy", str(tmp_path / "host"), GUEST]) == 3
    assert "no policy: " in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stream, and what show prints of one, are a host's policy too; the statuses are those of diff."""
    assert main(["show", "--json", "--type", "X86_CPUID_POLICY", "--type", "X86_MSR_POLICY", GUEST]) == 0
    shown = tmp_path / "shown.json"
    shown.write_text(capsys.readouterr().out)
    for host in (str(shown), GUEST):
        assert main(["diff", "--policy", host, GUEST]) == 0
        assert "the host has it all" in capsys.readouterr().out
    less = tmp_path / "less.json"
    less.write_text(shown.read_text().replace('"0x6b"', '"0x2b"'))
    assert main(["diff", "--policy", str(less), GUEST]) == 1
    assert "MSR 0x10a ARCH_CAPABILITIES       if_pschange_mc_no" in capsys.readouterr().out
    legacy, missing = str(ROOT / "corpus" / "real" / "legacy-44-hvm-64.bin.gz"), str(tmp_path / "none")
    cases: list[tuple[list[str], int, str]] = [
        ([str(shown), legacy], 1, "no CPU policy"),
        ([legacy, GUEST], 3, "no CPU policy"),
        ([missing, GUEST], 3, "No such file"),
        ([str(shown), missing], 3, "No such file"),
        ([str(shown), str(shown)], 1, "not a migration stream"),
        (["-", GUEST], 2, "name of a file"),
        ([str(less), GUEST], 1, ""),
    ]
    for words, status, error in cases:
        assert main(["diff", "--json", "--policy", *words]) == status
        printed = capsys.readouterr()
        assert error in printed.err
        found = json.loads(printed.out)
        assert (found["status"], bool(found["stopped"])) == (status, bool(error))
        conforms_to("lacks", found)
