"""What the strategies promise: conforming streams conform, broken ones break one clause, and examples are small."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import streamfmt

from .. import strategies
from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED
from ..codec.decode import layouts
from ..schema import libxc, protocol
from ..schema.clauses import registry
from ..schema.machine import Machine
from ..schema.model import Layout
from ..strategies import Sample, boundaries, breaking, chunkings, cuts, inputs, mutations, streams
from ..strategies.breaking import broken, ways
from ..strategies.conforming import SHAPES, made
from ..strategies.from_schema import having
from ..strategies.sample import apart
from ..writer import HEADERS, RECORDS, Draft, Writer, page_entries
from ..writer.boundaries import boundary_values, fields
from .support.good_streams import GOOD
from .support.vector import judge, reported

CLAUSES = [row.id for row in registry().values() if row.judged == "stream" and not row.withdrawn]
# Made of few draws, but each of them costs a verification or more: a share of what the profile runs elsewhere.
FEW = settings(max_examples=max(2, settings.default.max_examples // 30))  # type: ignore[union-attr] # conftest has loaded one
SOME = settings(max_examples=settings.default.max_examples // 2)  # type: ignore[union-attr] # likewise
# Without the search for what about an example does not matter, which is not read here.
FOUND = settings(max_examples=500, phases=(Phase.generate, Phase.shrink))
NOT_SHRUNK = settings(max_examples=2000, phases=(Phase.generate,))


def _grave(sample: Sample) -> list[str]:
    return [repr(finding) for finding in sample.verify().findings if finding.severity != "note"]


# -- conforming streams ---------------------------------------------------------------------------------------


@given(st.one_of(streams(), streams(unknown=True)))
def test_streams_conform(sample: Sample) -> None:
    """Nothing but notes is reported of them, as they are declared and as they are found out to be."""
    assert _grave(sample) == []
    assert sample.verify().verdict == CONFORMS
    assert _grave(Sample(sample.stream, sample.form, "auto", deep=True)) == []


@SOME
@given(made(clean=True))
def test_clean_streams(sample: Sample) -> None:
    """Those that broken ones are made of break nothing, not even a rule whose breach is only noted."""
    assert sample.clauses == set()


@FEW
@given(streams(big=True))
def test_big_streams_conform(sample: Sample) -> None:
    """Many frames, records and vcpus change nothing about it."""
    assert _grave(sample) == []


@SOME
@given(streams())
def test_the_writer_writes_them(sample: Sample) -> None:
    """Part by part, judged by every rule; what comes out is what the stream renders."""
    out = BytesIO()
    with Writer(out, sample.form, mode=sample.mode, deep=sample.deep) as writer:
        for part in sample.stream:
            writer.put(part)

    assert out.getvalue() == sample.data


@SOME
@given(streams(unknown=True))
def test_round_trip(sample: Sample) -> None:
    """Read item by item and written again a stream is the same."""
    out = BytesIO()
    with (
        streamfmt.open(sample.data, form=sample.form) as stream,
        Writer(out, sample.form, mode=sample.mode) as writer,
    ):
        for item in stream:
            writer.copy(item)

    assert out.getvalue() == sample.data


@SOME
@given(st.data())
def test_verdicts_do_not_depend_on_pieces(data: st.DataObject) -> None:
    """However the bytes come, the same is reported."""
    sample = data.draw(inputs())
    pieces = data.draw(chunkings(sample.data))

    assert b"".join(pieces) == sample.data
    found = judge(pieces, sample.form, sample.mode, deep=sample.deep, guest=sample.guest)
    assert reported(found) == reported(sample.verify())


@pytest.mark.parametrize("form", SHAPES)
def test_choices(form: Any) -> None:
    """What is asked for is what comes."""
    mode: Any
    for mode in SHAPES[form].modes:
        sample = find(streams(form, mode=mode, guest="hvm", version=2), lambda _: True, settings=NOT_SHRUNK)

        assert (sample.form, sample.mode) == (form, mode)
        if sample.stream.guest:  # a legacy stream, which has no version
            assert sample.stream.guest == "hvm"
        elif form not in ("back-channel", "qemu", "qemu-multifd"):
            assert sample.stream.part("libxc.image_header").values["version"] == 2
            assert sample.stream.part("libxc.domain_header").values["type"] == libxc.GUESTS["hvm"]


@pytest.mark.parametrize("form", ["xl", "libvirt", "xapi", "xend", "xapi-legacy"])
@pytest.mark.parametrize("guest", ["hvm", "pv"])
def test_legacy_streams_inside(form: Any, guest: Any) -> None:
    """Files that can hold a legacy stream come with one, of either guest, unless a version is asked for."""
    find(streams(form, guest), lambda sample: sample.stream.guest == guest, settings=NOT_SHRUNK)
    if form not in ("xend", "xapi-legacy"):
        new = find(streams(form, guest, 3), lambda _: True, settings=NOT_SHRUNK)
        assert new.stream.guest is None


@pytest.mark.parametrize(
    "choices", [{"guest": "pv", "mode": "colo"}, {"form": "xapi", "mode": "remus"}, {"version": 4}, {"form": "legacy"}]
)
def test_choices_that_do_not_exist(choices: dict[str, Any]) -> None:
    """They are refused at once, in words."""
    with pytest.raises(ValueError, match="there is no stream of form"):
        streams(**choices)


# Deprecated, of the one direction or reserved: not in a conforming stream, or of history.
NEVER = {"libxc.TOOLSTACK", "xapi.LIBXL", "xapi.QEMU_XEN", "xapi.DEMU", "xapi.SWTPM0"}
# For another transport, and what means nothing.
NEVER |= {"qemu.RAM_HOOK", "qemu.RAM_WORD"}


@pytest.mark.parametrize("path", [path for path in RECORDS if path not in NEVER and path[:4] not in ("text", "http")])
def test_every_record_comes(path: str) -> None:
    """Each record that a conforming stream can have is in some."""
    layer = path.partition(".")[0]
    form: Any = "back-channel" if path == "libxc.CHECKPOINT_DIRTY_PFN_LIST" else layer
    find(streams(form), lambda sample: path in sample.stream.paths, settings=NOT_SHRUNK)


# Moves that other machines allow in no stream, or that end a checkpoint in which nothing has come.
EMPTY = {("between", "libxc.CHECKPOINT"), ("announced", "libxc.CHECKPOINT"), ("announced", "libxc.END")}


MOVES = [
    (machine, state, machine.path(name))
    for machine in (protocol.CHECKPOINTS, protocol.IMAGE)
    for state, names, _ in machine.moves
    for name in names
    if (state, machine.path(name)) not in EMPTY
]


@pytest.mark.parametrize(("machine", "state", "path"), MOVES, ids=lambda it: getattr(it, "name", it))
def test_every_move_comes(machine: Machine, state: str, path: str) -> None:
    """Streams take every way through the machine that says whose turn it is, but for those that end nothing."""

    def takes(sample: Sample) -> bool:
        now = machine.start
        for part in sample.stream:
            if now == state and path in (part.kind, part.kind.partition(".")[0] + ".*"):
                return part.kind == path or part.kind not in machine.rows()[now]
            now = machine.step(now, part.kind) or ""
        return False

    find(made([machine.layer]), takes, settings=NOT_SHRUNK)


@pytest.mark.parametrize("guest", ["hvm", "pv"])
def test_every_page_type_comes(guest: Any) -> None:
    """Pages of each type, in either kind of guest."""
    types: set[str] = set()

    @settings(max_examples=200, phases=(Phase.generate,), derandomize=True, database=None)
    @given(streams("libxc", guest))
    def collect(sample: Sample) -> None:
        for part in sample.stream:
            if part.path == "libxc.PAGE_DATA":
                types.update(kind for _, kind in page_entries(part))

    collect()

    assert types == {row.name for row in libxc.PAGE_TYPES}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("libxc.X86_TSC_INFO", "libxc.PAGE_DATA"),
        ("libxc.HVM_CONTEXT", "libxc.HVM_PARAMS"),
        ("libxc.X86_MSR_POLICY", "libxc.X86_CPUID_POLICY"),
        ("libxc.X86_PV_VCPU_BASIC", "libxc.PAGE_DATA"),
        ("libxl.EMULATOR_CONTEXT", "libxl.EMULATOR_XENSTORE_DATA"),
    ],
)
def test_any_legal_order(first: str, second: str) -> None:
    """Records that no rule binds come in an order that no released saver has."""

    def so(sample: Sample) -> bool:
        paths = [part.path for part in sample.stream]
        return {first, second} <= set(paths) and paths.index(first) < paths.index(second)

    form: Any = first.partition(".")[0]
    guest: Any = "pv" if "_PV_" in first else "hvm"
    assert _grave(find(streams(form, guest, 3, "plain"), so, settings=NOT_SHRUNK)) == []


# -- broken ones ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clause", CLAUSES)
def test_breaking(clause: str) -> None:
    """Every clause that a stream shows can be broken in each of its ways, and nothing else with it."""
    for way in ways(clause):

        @FEW
        @given(broken(clause, way))
        def alone(sample: Sample) -> None:
            guest: Any = sample.guest
            outcome = streamfmt.verify(sample.data, form=sample.form, mode=sample.mode, deep=sample.deep, guest=guest)
            assert {finding.clause for finding in outcome.findings} == {clause}

        alone()


@pytest.mark.parametrize("clause", ["LIBXC-NO-SUCH", "LIBXC-VCPU-ID", "LIBXL-HDR-LEGACY"])
def test_breaking_what_no_stream_shows(clause: str) -> None:
    """A clause that does not exist, or that takes more than a stream to break, is refused."""
    with pytest.raises(ValueError, match=clause):
        breaking(clause)


# -- what is done to a stream ---------------------------------------------------------------------------------

SMALLEST = find(streams("libxl", "hvm"), lambda _: True, settings=settings(FOUND, database=None, derandomize=True))


def _judged(sample: Sample) -> None:
    """There is a verdict, whose findings lie within the bytes."""
    size = len(sample.data)
    outcome = sample.verify()

    assert outcome.verdict in (CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED)
    assert all(0 <= finding.offset <= size for finding in outcome.findings)


@given(inputs())
def test_anything_is_judged(sample: Sample) -> None:
    """No input breaks the verifier, and what is reported of it lies in it."""
    _judged(sample)


@SOME
@given(streams().flatmap(mutations), st.sampled_from(("auto", "libxl", "libxc")))
def test_mutations_are_judged(data: bytes, form: str) -> None:
    """Damage breaks streams and not the verifier."""
    assert judge([data], form).verdict in (CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED)


@given(cuts(SMALLEST))
def test_cuts(sample: Sample) -> None:
    """A cut leaves the beginning of the bytes, and a plain stream is then no longer whole."""
    assert sample.data == SMALLEST.data[: sample.stream.cut]
    assert len(sample.data) < len(SMALLEST.data)
    assert sample.verify().verdict != CONFORMS


@given(mutations(b"seventeen bytes."))
def test_mutations_of_bytes(data: bytes) -> None:
    """They stay close to what was given."""
    assert abs(len(data) - 17) <= 4 * 9


@pytest.mark.parametrize("given_as", [SMALLEST, SMALLEST.data], ids=["sample", "bytes"])
def test_mutations_of_records(given_as: Any) -> None:
    """Something is done always, and records are changed such that the next ones are still read, whatever is given."""

    def changed(data: bytes) -> bool:
        outcome = streamfmt.verify(data)
        return outcome.size == len(data) and {finding.clause for finding in outcome.findings} == {"LIBXL-REC-ZEROLEN"}

    assert find(mutations(given_as), lambda _: True, settings=FOUND) != SMALLEST.data
    find(mutations(given_as), changed, settings=NOT_SHRUNK)


@pytest.mark.parametrize("name", GOOD)
def test_bytes_in_parts(name: str) -> None:
    """A stream's bytes are taken apart into what they were made of."""
    assert apart(GOOD[name].render()).stream.paths == GOOD[name].paths


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08 damaged", b"", b"nothing known"])
def test_bytes_that_have_no_parts(data: bytes) -> None:
    """They are one, or none."""
    assert apart(data).data == data
    assert len(apart(data).stream.parts) <= 1


def test_nothing_given() -> None:
    """Of nothing there is nothing to change."""
    empty = Sample(streamfmt.writer.Draft(()), "libxl")

    assert find(chunkings(b""), lambda _: True) == []
    assert find(cuts(empty), lambda _: True) == empty
    assert find(boundaries(empty), lambda _: True) == empty
    assert find(mutations(empty), lambda _: True) == find(mutations(b""), lambda _: True) == b"\0"


WAYS: dict[str, Callable[[Sample], bool]] = {
    "a field": lambda sample: any(part.patches for part in sample.stream),
    "a length": lambda sample: any(part.declared_length for part in sample.stream),
    "a body": lambda sample: any(part.data == b"" for part in sample.stream),
    "a type": lambda sample: any(part.code == 1 << 31 for part in sample.stream),
    "a conforming one": lambda sample: sample.stream != SMALLEST.stream and sample.clauses == set(),
    "the limit": lambda sample: sample.clauses == {"LIBXC-REC-LENGTH-MAX"},
    "a cut": lambda sample: "LIBXC-REC-TRUNC" in sample.clauses,
}


@pytest.mark.parametrize("way", WAYS)
def test_boundaries(way: str) -> None:
    """Each kind of boundary comes, and one part alone is other than it was."""
    sample = find(boundaries(SMALLEST), WAYS[way], settings=FOUND)
    pairs = list(zip(sample.stream, SMALLEST.stream, strict=True))

    assert sum(part is not other for part, other in pairs) == 1


FIELDS = {path: layout for path, layout in layouts().items() if path in HEADERS | RECORDS and path[:4] != "http"}


def _places(layout: Layout) -> set[str]:
    """Names of a layout's fields, and of those of the first element of a list in it."""
    lists = [(part.name, part.element.fields) for part in layout.parts[:1] if part.element is not None]
    return {row.path for row in layout.fields} | {
        f"{name}[0].{row.path}".rstrip(".") for name, rows in lists for row in rows
    }


@pytest.mark.parametrize("path", [path for path, it in FIELDS.items() if _places(it) and path not in NEVER])
def test_every_field_has_its_boundaries(path: str) -> None:
    """Each field of the schemas comes with its least and its most, wherever a stream has it."""
    places = _places(FIELDS[path])
    found = find(having(path), lambda sample: places <= fields(sample.stream.part(path)).keys(), settings=NOT_SHRUNK)
    part = found.stream.part(path)
    alone = Sample(streamfmt.writer.Draft((part,)), found.form)
    wanted = set()
    for place in places:
        values = boundary_values(fields(part)[place])
        wanted |= {(place, min(values)), (place, max(values))}
    for edge in wanted:
        find(boundaries(alone), lambda sample: edge in sample.stream.parts[0].patches, settings=NOT_SHRUNK)  # noqa: B023 - called here


@pytest.mark.parametrize(("form", "body"), [("xl", "xl.OPTIONAL_DATA"), ("libvirt", "libvirt.XML")])
def test_lengths_that_files_give(form: Any, body: str) -> None:
    """Where a file's header gives the length of what follows it, that is made right as well."""
    sample = find(streams(form, "hvm"), lambda _: True, settings=FOUND)

    def longer(changed: Sample) -> bool:
        return len(changed.stream.part(body).body("<")) > libxc.PAGE_SIZE

    found = find(boundaries(sample), longer, settings=FOUND)
    assert found.clauses == ({"XL-OPTDATA-REST"} if form == "xl" else {"LIBVIRT-XML"})


# -- small examples -------------------------------------------------------------------------------------------

_IMAGE = ["image_header", "domain_header"]
_POLICY = ["X86_CPUID_POLICY", "X86_MSR_POLICY", "STATIC_DATA_END"]
_STATE = {"hvm": ["HVM_PARAMS", "HVM_CONTEXT"], "pv": ["SHARED_INFO", "X86_PV_VCPU_BASIC"]}
_INFO = {"hvm": [], "pv": ["X86_PV_INFO"]}
_MEMORY = {"hvm": ["PAGE_DATA"], "pv": ["X86_PV_P2M_FRAMES", "PAGE_DATA"]}


def _least(form: str, mode: str, guest: str, version: int) -> list[str]:
    """The records of the smallest stream in which nothing is missing, by what each clause wants to be there."""
    policy = _POLICY if version >= libxc.VERSION_STATIC else []
    last, close = ("END", "END") if mode == "plain" else ("CHECKPOINT", "CHECKPOINT_END")
    image = [*_IMAGE, *_INFO[guest], *policy, *_MEMORY[guest], "X86_TSC_INFO", *_STATE[guest], last]
    return image if form == "libxc" else ["header", "LIBXC_CONTEXT", *image, close]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("guest", ["hvm", "pv"])
@pytest.mark.parametrize("mode", ["plain", "remus"])
@pytest.mark.parametrize("form", ["libxc", "libxl"])
def test_the_smallest(form: Any, mode: Any, guest: Any, version: int) -> None:
    """The simplest example of each kind has what it must have and no more: without any of its parts it breaks rules."""
    sample = find(streams(form, guest, version, mode), lambda _: True, settings=FOUND)
    parts = sample.stream.parts

    assert [part.name for part in parts] == _least(form, mode, guest, version)
    assert len(sample.data) < (4096 + 600 if guest == "hvm" else 3 * 4096 + 12_000)
    for place in range(len(parts)):
        assert replace(sample, stream=Draft((*parts[:place], *parts[place + 1 :]))).clauses, parts[place].name


# What a broken one is made of, and how many parts it has more than the smallest of those: one too many, an xl file's
# header and configuration, the record that the cut is in.
_BROKEN = {
    "LIBXC-PAGE-TYPE": ("libxc", "plain", "hvm", 0),
    "LIBXC-PVINFO-ONCE": ("libxc", "plain", "pv", 1),
    "LIBXL-EMU-ID": ("libxl", "plain", "hvm", 1),
    "XL-FLAGS": ("libxl", "plain", "hvm", 2),
    "CKPT-CUT": ("libxc", "remus", "hvm", 1),
}


@pytest.mark.parametrize("clause", _BROKEN)
def test_the_smallest_that_breaks(clause: str) -> None:
    """Broken ones shrink to the stream that the clause is about, and the breach."""
    sample = find(breaking(clause), lambda _: True, settings=FOUND)
    *kind, more = _BROKEN[clause]
    parts = [part for part, at in zip(sample.stream, sample.stream.offsets(), strict=False) if at < len(sample.data)]

    assert len(parts) == len(_least(*kind, libxc.VERSION_STATIC)) + more  # type: ignore[arg-type, call-arg] # three names


@pytest.mark.parametrize("version", [2, 3])
def test_what_is_looked_for_is_all_that_is_left(version: int) -> None:
    """A condition leaves what it needs: of all orders and passes one."""
    sample = find(
        streams("libxc", "hvm", version), lambda sample: "libxc.PAGE_DATA" in sample.stream.paths, settings=FOUND
    )

    assert [part.name for part in sample.stream].count("PAGE_DATA") == 1
    assert page_entries(sample.stream.part("libxc.PAGE_DATA")) == [(0, "NOTAB")]


def test_samples_are_described_in_few_words() -> None:
    """Lines of names and values, whatever pages hold."""
    shown = [repr(find(streams("xl", guest, big=True), lambda _: True, settings=FOUND)) for guest in ("hvm", "pv")]

    assert all(max(map(len, text.splitlines())) < 200 for text in shown)


@pytest.mark.parametrize("module", [name for _, name, _ in pkgutil.iter_modules(strategies.__path__)])
def test_docstrings(module: str) -> None:
    """Their examples run and print what they show."""
    found = importlib.import_module(f"streamfmt.strategies.{module}")
    usual = settings.default
    settings.register_profile("examples", FOUND)
    settings.load_profile("examples")
    try:
        failed, _ = doctest.testmod(found, optionflags=doctest.ELLIPSIS)
    finally:
        settings.register_profile("usual", usual)
        settings.load_profile("usual")

    assert failed == 0


def test_without_the_extra() -> None:
    """Without hypothesis the message says how to get it."""
    program = "import sys; sys.modules['hypothesis'] = None; import streamfmt.strategies"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stderr.splitlines()[-1].endswith("try: pip install 'streamfmt[fuzz]'")
