"""Recipes: what a guest's keys say is in the stream, every fault is done, and what is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamfmt

from ..schema import hvm, libxc
from ..writer import Stream, dumping, memory, recipes
from ..writer.recipes import Recipe
from ..writer.tables import RecipeError
from .good import GOOD
from .vector import judge
from .vectors import SMALL

FORMS = ("libxl", "libxc", "xl", "libvirt", "xapi", "xl-migrate")


def load(text: str) -> Recipe:
    return recipes.load(f"recipe = 1\n{text}", "r.toml")


def loaded(keys: dict[str, Any]) -> tuple[Recipe | None, str]:
    """What these keys make, or why they are refused."""
    try:
        return load("".join(f"{dumping.key_of(key)} = {dumping.value(it)}\n" for key, it in keys.items())), ""
    except RecipeError as error:
        return None, str(error)


def records(stream: Stream, path: str) -> list[dict[str, Any]]:
    """The fields of all records of that path."""
    with streamfmt.open(stream.render()) as items:
        return [
            item.fields(1 << 30)
            for item in items
            if isinstance(item, streamfmt.Record) and f"{item.layer.rpartition('/')[2]}.{item.name}" == path
        ]


def frames(stream: Stream) -> list[list[tuple[int, str, bytes | None]]]:
    """Frame, type and contents of each page of each record."""
    with streamfmt.open(stream.render()) as items:
        return [
            [(pfn, kind, None if page is None else bytes(page)) for batch in item.pages() for pfn, kind, page in batch]
            for item in items
            if isinstance(item, streamfmt.Record) and item.name == "PAGE_DATA"
        ]


# -- there and back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clause", SMALL)
def test_dumped_and_loaded_is_the_same(clause: str) -> None:
    """The recipe of any stream, however broken, makes its octets, and says how to read them."""
    for name, vector in SMALL[clause].items():
        text = dumping.dump(Recipe(vector.stream, vector.form, vector.mode, vector.deep, faults=True))
        back = recipes.load(text, name)

        assert back.stream.render() == vector.stream.render(), name
        assert (back.form, back.mode, back.deep, back.faults) == (vector.form, vector.mode, vector.deep, True), name


# -- guests ---------------------------------------------------------------------------------------------------

GUESTS = st.fixed_dictionaries(
    {"guest": st.sampled_from(["hvm", "pv"]), "form": st.sampled_from(FORMS)},
    optional={
        "version": st.sampled_from(libxc.VERSIONS),
        "bits": st.sampled_from([32, 64]),
        "mode": st.sampled_from(["plain", "remus", "colo"]),
        "checkpoints": st.integers(0, 3),
        "vcpus": st.integers(1, 3),
        "xen": st.sampled_from(["4.6", "4.17", "4.20"]),
        "converted": st.booleans(),
        "memory": st.fixed_dictionaries(
            {"pages": st.integers(4, 9)},
            optional={
                "batch": st.integers(1, 4),
                "fill": st.sampled_from([*memory.FILLS, {"hex": "0123"}]),
                "again": st.just(["1", "0-1, 3"]),
            },
        ),
        "tsc": st.fixed_dictionaries({}, optional={"mode": st.integers(0, 3), "khz": st.integers(1, 1 << 31)}),
    },
)


# What combinations cannot be.
REFUSED = (": bits: only PV", ": mode: COLO is", "checkpoints: a ", ": XAPI images have no", ": converted: it is for")


@given(GUESTS)
def test_guests_conform_and_are_what_was_asked_for(asked: dict[str, Any]) -> None:
    """Any combination of keys is either refused, or makes a stream without a finding that has all of it."""
    made, told = loaded(asked)
    if made is None:
        assert any(word in told for word in REFUSED)
        return
    octets = made.stream.render()
    outcome = judge([octets], made.form, made.mode, deep=asked["guest"] == "hvm", strict=True)

    assert outcome.verdict == "conforms", outcome.findings
    assert not made.faults
    with streamfmt.open(octets) as stream:
        assert stream.identity.key == asked["form"]
        (image,) = {layer for _ in stream for layer in stream.layers if layer.name == "libxc"}
    assert (image.guest, image.version) == (asked["guest"], asked.get("version", 3))
    assert ".".join(map(str, image.xen)) == asked.get("xen", "4.17")
    wanted = asked.get("memory", {"pages": 4})
    rounds = asked.get("checkpoints", 0 if asked.get("mode", "plain") == "plain" else 1)
    pages = frames(made.stream)
    assert len({pfn for batch in pages for pfn, *_ in batch}) == wanted["pages"]
    assert max(map(len, pages)) <= wanted.get("batch", 1024)
    again = max(rounds - 1, 0) if rounds else 1
    assert sum(map(len, pages)) == wanted["pages"] + again * (4 if "again" in wanted else 0)
    tails = max(rounds, 1)
    assert [row["mode"] for row in records(made.stream, "libxc.X86_TSC_INFO")] == [
        asked.get("tsc", {}).get("mode", 0)
    ] * tails
    vcpus = asked.get("vcpus", 1)
    if asked["guest"] == "pv":
        assert len(records(made.stream, "libxc.X86_PV_VCPU_BASIC")) == vcpus * tails
        assert records(made.stream, "libxc.X86_PV_INFO")[0]["guest_width"] == asked.get("bits", 64) // 8
    else:
        entries = records(made.stream, "libxc.HVM_CONTEXT")[0]["context"]
        assert sum(row["typecode"] == 2 for row in entries) == vcpus


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ('"zero"', [bytes(4096)] * 3),
        ('"octet"', [bytes([pfn]) * 4096 for pfn in range(3)]),
        ('"pfn"', [pfn.to_bytes(8, "little") * 512 for pfn in range(3)]),
        ('{ hex = "00ff" }', [b"\x00\xff" * 2048] * 3),
        ('{ text = "abc" }', [(b"abc" * 1366)[:4096]] * 3),
    ],
)
def test_pages_are_filled(said: str, first: list[bytes]) -> None:
    """Contents follow the rule that `fill` names."""
    (batch,) = frames(load(f'guest = "hvm"\n[memory]\npages = 3\nfill = {said}').stream)

    assert [page for *_, page in batch] == first


def test_random_pages_differ_by_frame_and_seed() -> None:
    """No page is another, and a seed gives other pages."""
    found = [
        page
        for seed in (0, 1)
        for *_, page in frames(load(f'guest = "hvm"\n[memory]\npages = 9\nfill = "random"\nseed = {seed}').stream)[0]
    ]

    assert len(set(found)) == 18


def test_memory_by_records_and_types() -> None:
    """Records are as they are listed; types that have no contents get none."""
    made = load('guest = "hvm"\n[memory]\nrecords = ["0-1, 5 XTAB", "2"]\nagain = ["0"]')

    assert [[(pfn, kind) for pfn, kind, _ in batch] for batch in frames(made.stream)] == [
        [(0, "NOTAB"), (1, "NOTAB"), (5, "XTAB")],
        [(2, "NOTAB")],
        [(0, "NOTAB")],
    ]
    assert frames(made.stream)[0][2][2] is None


@pytest.mark.parametrize(("size", "pages"), [("20 KiB", 5), ("1 MiB", 256), ("8 MiB", 2048)])
def test_memory_by_size(size: str, pages: int) -> None:
    """A size is so many pages, in batches of 1024."""
    made = load(f'guest = "hvm"\n[memory]\nsize = "{size}"\nfill = "zero"')

    assert sum(map(len, frames(made.stream))) == pages


def test_what_a_guest_carries() -> None:
    """Parameters, context, policy, xenstore and emulator are those that were given."""
    stream = load(
        """guest = "hvm"
params = { STORE_PFN = "0x1234", 19 = 7 }
context = [{ type = "CPU", instance = 1 }, { type = "PIC", data = { zeros = 8 } }]
policy = { cpuid = [[1, "0xffffffff", 1, 2, 3, 4]], msr = [["0xce", 5]] }
xenstore = { "a/b" = "c" }
emulator = { context = { text = "QEVM", times = 2 } }
converted = true
"""
    ).stream

    assert [(row["index"], row["value"]) for row in records(stream, "libxc.HVM_PARAMS")[0]["params"]] == [
        (hvm.PARAMS["STORE_PFN"], 0x1234),
        (19, 7),
    ]
    kinds = [(row["typecode"], row["instance"]) for row in records(stream, "libxc.HVM_CONTEXT")[0]["context"]]
    assert kinds == [(1, 0), (2, 1), (3, 0), (0, 0)]
    assert records(stream, "libxc.X86_CPUID_POLICY")[0]["leaves"][0]["edx"] == 4
    assert records(stream, "libxc.X86_MSR_POLICY")[0]["msrs"][0]["value"] == 5
    assert records(stream, "libxl.EMULATOR_XENSTORE_DATA")[0]["pairs"] == [{"key": b"a/b", "value": b"c"}]
    assert records(stream, "libxl.EMULATOR_CONTEXT")[0]["context"] == b"QEVMQEVM"
    assert stream.part("libxl.header").values["options.legacy"] == 1


@pytest.mark.parametrize(
    ("said", "path", "octets"),
    [
        ('form = "xl"\nconfig = "{}"', "xl.OPTIONAL_DATA", b"{}"),
        ('form = "libvirt"\nxml = { text = "<domain/>" }', "libvirt.XML", b"<domain/>"),
        ('form = "xapi"\nxenops = "((a b))"', "xapi.XENOPS", b"((a b))"),
    ],
)
def test_what_a_container_carries(said: str, path: str, octets: bytes) -> None:
    """Each form carries what its own key gives."""
    assert octets in load(f'guest = "hvm"\n{said}').stream.part(path).body("<")


# -- parts and faults -----------------------------------------------------------------------------------------

HVM = load('guest = "hvm"').stream


def faulty(fault: str) -> Stream:
    made = load(f'guest = "hvm"\n[[fault]]\n{fault}')
    assert made.faults
    return made.stream


@pytest.mark.parametrize(
    ("fault", "edited"),
    [
        ('set = "X86_TSC_INFO"\nfield = "mode"\nto = 9', HVM.patch("libxc.X86_TSC_INFO", "mode", 9)),
        ('set = "PAGE_DATA"\nfield = "entries[1].type"\nto = 5', HVM.patch("libxc.PAGE_DATA", "entries[1].type", 5)),
        ('set = "image_header"\nfield = "marker"\nto = { hex = "00", times = 8 }', None),
        ('put = "X86_TSC_INFO"\nfields = { khz = 1 }', HVM.put("libxc.X86_TSC_INFO", khz=1)),
        ('drop = "libxc.END"', HVM.without("libxc.END")),
        ('move = "HVM_CONTEXT"\nbefore = "HVM_PARAMS"', HVM.moved("libxc.HVM_CONTEXT", before="libxc.HVM_PARAMS")),
        ('move = "X86_TSC_INFO"\nafter = "libxc.END#-1"', None),
        ('insert = [{ copy = "X86_TSC_INFO" }]\nbefore = "PAGE_DATA"', None),
        ('insert = [{ record = "libxc.END", type = 99, octets = { zeros = 8 } }]\nafter = "PAGE_DATA"', None),
        ('insert = [{ raw = { hex = "ff" } }]', None),
        ('insert = [{ vcpu = "BASIC", number = 3, size = 5168 }]\ninstead = "X86_TSC_INFO"', None),
        ('insert = [{ pages = "7-8, 9 XTAB", fill = "zero" }]\nbefore = "X86_TSC_INFO"', None),
        ('change = "X86_TSC_INFO"\nlength = 3', HVM.edit("libxc.X86_TSC_INFO", claim=3)),
        ('change = "X86_TSC_INFO"\ntype = "0x80000001"', HVM.edit("libxc.X86_TSC_INFO", code=0x80000001)),
        ('change = "libxc.END"\npadding = "12345678"', HVM.edit("libxc.END", padding=b"12345678")),
        ('change = "libxc.END"\noctets = "12345678"\nzeros = 8', HVM.edit("libxc.END", octets=b"12345678", fill=8)),
        ('resize = "X86_TSC_INFO"\nto = 16', HVM.resized("libxc.X86_TSC_INFO", 16)),
        ('cut = "X86_TSC_INFO"', HVM.upto("libxc.X86_TSC_INFO")),
        ('cut = "X86_TSC_INFO"\nat = 9', HVM.upto("libxc.X86_TSC_INFO", extra=9)),
        ("cut = 100", None),
        ('big_endian = ["libxc"]', HVM.big_endian("libxc")),
    ],
)
def test_faults(fault: str, edited: Stream | None) -> None:
    """Each verb does the edit of its name; one that has no expected stream here is looked at by itself below."""
    octets = faulty(fault).render()

    assert octets != HVM.render()
    if edited is not None:
        assert octets == edited.render()


def test_inserted_parts_are_where_they_were_put() -> None:
    """Copies, raw octets and pages stand before, behind, or in the place of others, or at the end."""
    names = [part.path for part in HVM.parts]
    at = names.index("libxc.PAGE_DATA")

    def paths(fault: str) -> list[str]:
        return [part.path for part in faulty(fault).parts]

    assert paths('insert = [{ copy = "X86_TSC_INFO" }]\nbefore = "PAGE_DATA"') == [
        *names[:at],
        "libxc.X86_TSC_INFO",
        *names[at:],
    ]
    assert paths('insert = [{ raw = "a", zeros = 3 }]') == [*names, ""]
    assert faulty('insert = [{ raw = "a", zeros = 3 }]').render() == HVM.render() + b"a\0\0\0"
    assert paths('insert = [{ pages = "9" }]\ninstead = "PAGE_DATA"') == names
    assert paths('move = "X86_TSC_INFO"\nafter = "libxc.END#-1"')[-4:].count("libxc.X86_TSC_INFO") == 1
    assert len(faulty("cut = 100").render()) == 100


def test_recipes_are_made_from_others() -> None:
    """A base is edited, and parts of others are taken; what makes itself is refused."""
    known = {name: Recipe(stream) for name, stream in GOOD.items()}
    text = 'recipe = 1\nbase = "hvm"\n[[fault]]\ninsert = [{ recipe = "back-channel" }]'
    made = recipes.load(text, fetch=known.__getitem__)

    assert made.stream.render() == GOOD["hvm"].render() + GOOD["back-channel"].render()
    with pytest.raises(RecipeError, match=r"^recipe:2: base: there is no recipe 'none'$"):
        recipes.load('recipe = 1\nbase = "none"', fetch=known.__getitem__)


def test_recipes_beside_one_another(tmp_path: Path) -> None:
    """Others lie beside a file; none is made from itself, by whatever way."""
    (tmp_path / "a.toml").write_text('recipe = 1\nbase = "b"\n[[fault]]\ndrop = "libxc.END"\n')
    (tmp_path / "b.toml").write_text('recipe = 1\nguest = "hvm"\n')
    assert recipes.load_file(tmp_path / "a.toml").stream.render() == HVM.without("libxc.END").render()

    (tmp_path / "b.toml").write_text('recipe = 1\nbase = "a"\n')
    with pytest.raises(RecipeError, match=r"b\.toml:2: base: 'a' is made from itself"):
        recipes.load_file(tmp_path / "a.toml")


# -- what is wrong --------------------------------------------------------------------------------------------

G, P, R = 'guest = "hvm"\n', 'guest = "pv"\n', "[[part]]\n"
F = f"{G}[[fault]]\n"
TSC = R + 'record = "libxc.X86_TSC_INFO"\n'
WRONG = [
    # keys that there are not
    (f"{G}vcpu = 2", "3: vcpu: there is no such key here (is vcpus meant?); known: about, base, "),
    (f"{G}[memory]\nsizes = 1", "4: memory.sizes: there is no such key here (is size meant?); known: again, "),
    (f"{G}[tsc]\n\nmhz = 1", "5: tsc.mhz: there is no such key here (is khz meant?); known: incarnation, khz, "),
    (f'{R}record = "libxc.END"\nfoo = 1', "4: part[0].foo: there is no such key here; known: fields, record"),
    (f"{G}[memory]\nseed = 1\n[emulator]\nid = 1", "6: emulator.id: there is no such key here (is kind meant?)"),
    (f"{R}raw = 'a'\n{R}raw = 'b'\nfoo = 1", "6: part[1].foo: there is no such key here; known: raw, zeros"),
    # combinations that cannot be
    ("about = 'nothing'", "1: it says nothing of a stream: give it a guest, parts, or a base"),
    (f"{G}{R}raw = 'a'", "3: part: it cannot have both guest and part: a recipe begins with one of them"),
    (f'{G}[memory]\nsize = "1 GiB"\npages = 4', "4: memory.size: it cannot have both pages and size"),
    (f"{G}bits = 64", "3: bits: only PV guests have a width: HVM guests choose it as they run"),
    (f"{P}mode = 'colo'", "3: mode: COLO is for HVM guests"),
    (f"{G}form = 'back-channel'", "3: form: a back channel has no guest: list its parts"),
    (f"{G}form = 'xapi'\ncheckpoints = 1", "4: checkpoints: XAPI images have no checkpoints"),
    (f"{G}mode = 'remus'\ncheckpoints = 0", "4: checkpoints: a remus stream has checkpoints"),
    (f"{G}mode = 'plain'\ncheckpoints = 1", "4: checkpoints: a plain stream has no checkpoints"),
    (f"{G}config = 'x'", "3: config: it is for xl, xl-migrate, and this is libxl"),
    (f"{G}form = 'libxc'\n[xenstore]", "4: xenstore: it is for libxl, xl, xl-migrate, libvirt, and this is libxc"),
    (f"{P}[params]\nSTORE_PFN = 1", "3: params: only HVM guests have it"),
    (f"{P}[[context]]\ninstance = 1", "3: context: only HVM guests have it"),
    (f"{G}version = 2\n[policy]\nmsr = []", "4: policy: images of version 2 have no policy"),
    (f'{G}[memory]\nframes = "1 L1TAB"', "4: memory.frames: L1TAB: an HVM guest's page tables are its own business"),
    (f"{P}[memory]\npages = 2", "3: memory: a PV guest's vcpus name frame 2, its page table: give it more pages"),
    (
        f'{P}[memory]\nsize = "512 TiB"',
        "3: memory: frame 0x1fffffffff is more than a PV guest's list of frames reaches",
    ),
    # values that are none
    ("guest = 'xen'", "2: guest: 'xen' is none of pv, hvm"),
    (f"{G}version = 4", "3: version: 4 is not within 2 to 3"),
    (f"{P}bits = 48", "3: bits: a guest has 32 or 64 bits, not 48"),
    (f"{G}xen = '4.x'", "3: xen: '4.x' is not a release such as 4.17"),
    (f"{G}mode = [1]", "3: mode: [1] is not a text"),
    (f"{G}converted = 1", "3: converted: 1 is not true or false"),
    (f"{G}broken = 1", "3: broken: 1 is not true or false"),
    (f"{G}vcpus = 0", "3: vcpus: 0 is not within 1 to 4096"),
    (f'{G}[memory]\nsize = "1 GB"', "4: memory.size: '1 GB' is not a size such as \"64 MiB\""),
    (f'{G}[memory]\nsize = "\u00b2 KiB"', "4: memory.size: '\u00b2 KiB' is not a size such as \"64 MiB\""),
    (f'{G}[memory]\nframes = "5-3"', "4: memory.frames: '5-3' ends before it begins"),
    (f'{G}[memory]\nframes = "1 FOO"', "4: memory.frames: 'FOO' is none of NOTAB, "),
    (f"{G}[memory]\nrecords = [1]", '4: memory.records: 1 is not a text such as "0-0x9f, 0xa0-0xbf XTAB"'),
    (
        f"{G}[memory]\nfill = 'zeros'",
        "4: memory.fill: 'zeros' is none of zero, pfn, octet, random, table (is zero meant?)",
    ),
    (f"{G}[memory]\nfill = {{ hex = '' }}", "4: memory.fill: no octets fill no page"),
    (f"{G}[memory]\nbatch = 0", "4: memory.batch: 0 is not within 1 to 65536"),
    (f"{G}[params]\nFOO = 1", "4: params.FOO: FOO = 1 is not a parameter and its value"),
    (f"{G}[[context]]\ntype = 'PIT'\n[[context]]\ntype = 'PITT'", "6: context[1].type: 'PITT' is none of "),
    (f"{G}[policy]\nmsr = [[1]]", "4: policy.msr: [1] is not index, value"),
    (f"{G}[xenstore]\na = 1", '3: xenstore: 1 is not octets: a text, or a table such as {hex = "00 ff"}'),
    (f"{G}[emulator]\nkind = 'old'", "4: emulator.kind: 'old' is none of traditional, upstream"),
    # parts
    ("part = [1]", "2: part: 1 is not a table"),
    (f"{R}length = 1", "2: part[0]: a part is a header, a record, pages, a vcpu, raw octets, a copy or a recipe"),
    (f"{R}record = 'PAGE_DATA'", "3: part[0].record: 'PAGE_DATA' is none of "),
    (f"{TSC}fields = {{ mode = 1 }}", "4: part[0].fields: khz: it needs a value"),
    (f"{TSC}fields = {{ mod = 1 }}", "4: part[0].fields: libxc.X86_TSC_INFO has no field 'mod', only mode, khz, "),
    (
        f"{TSC}[part.fields]\nmode = 'a'\nkhz = 1\nnsec = 1\nincarnation = 1",
        "4: part[0].fields: mode: 'a' is no number",
    ),
    (f"{TSC}fields = {{ mode = 4294967296, khz = 1 }}", "4: part[0].fields: mode: 4294967296 is not within 0 to "),
    (f"{R}raw = {{ hex = '0g' }}", "3: part[0].raw: hex = '0g' is not octets"),
    (
        f"{R}raw = {{ hex = '00', text = 'a' }}",
        "3: part[0].raw: octets are one of hex, text, zeros, random, and how many",
    ),
    (
        f"{R}raw = {{ random = 999999999 }}",
        "3: part[0].raw: random = 999999999 is not octets, or over 268,435,456 of them",
    ),
    (
        f"{R}raw = [{{ zeros = 200000000 }}, {{ zeros = 200000000 }}]",
        "3: part[0].raw: these are over 268,435,456 octets",
    ),
    (
        f"{R}raw = {{ text = 'ab', times = 200000000 }}",
        "3: part[0].raw: 400,000,000 octets; one value has 268,435,456 at",
    ),
    (f"{R}raw = ''\nzeros = '0x100000000000'", "4: part[0].zeros: 17592186044416 is not within 0 to 1099511627776"),
    (f"{R}vcpu = 'FOO'", "3: part[0].vcpu: 'FOO' is none of BASIC, EXTENDED, XSAVE"),
    (f"{R}pages = 'x'", "3: part[0].pages: 'x' is not frames, such as 7, 0-0x9f or 3 XTAB"),
    (f"{R}pages = '0-0xffffffff'", "3: part[0].pages: one record has 1,048,576 frames at most"),
    (f"{R}pages = '0'\ncontents = 'abc'", "4: part[0].contents: 3 octets are no whole pages"),
    # faults
    (f"{F}set = 'FOO'\nfield = 'x'\nto = 1", "4: fault[0].set: 'FOO': there is no such header or record"),
    (f"{F}drop = 'libxl.CHECKPOINT_END'", "4: fault[0].drop: 'libxl.CHECKPOINT_END': there is none in the stream"),
    (f"{F}drop = 'END'", "4: fault[0].drop: 'END': it is in libxl.END and libxc.END: say which"),
    (f"{F}drop = 'PAGE_DATA#1'", "4: fault[0].drop: 'PAGE_DATA#1': of libxc.PAGE_DATA there are 1, #0 to #0"),
    (f"{F}set = 'X86_TSC_INFO'\nfield = 'x'\nto = 1", "5: fault[0].field: x: libxc.X86_TSC_INFO has no such field"),
    (f"{F}set = 'X86_TSC_INFO'\nto = 1", "3: fault[0]: it has no field, a text"),
    (f"{F}set = 'X86_TSC_INFO'\nfield = 'mode'", "3: fault[0]: it has no to, a number or octets"),
    (
        f"{F}set = 'PAGE_DATA'\nfield = 'entries[9].type'\nto = 1",
        "5: fault[0].field: entries[9].type: there are fewer of",
    ),
    (f"{F}put = 'X86_TSC_INFO'", "3: fault[0]: it has no fields, a table"),
    (f"{F}put = 'X86_TSC_INFO'\nfields = {{ mode = 'x' }}", "5: fault[0].fields: mode: 'x' is no number"),
    (
        f"{F}drop = 'PAGE_DATA'\nmove = 'PAGE_DATA'",
        "3: fault[0]: a fault is one of set, put, drop, move, insert, change, ",
    ),
    (f"{F}move = 'PAGE_DATA'", "3: fault[0]: it has no before, a text"),
    (f"{F}insert = [{{ copy = 'FOO' }}]", "4: fault[0].insert[0].copy: 'FOO': there is no such header or record"),
    (f"{F}insert = [{{ recipe = 'x' }}]", "4: fault[0].insert[0].recipe: there are no other recipes to make this from"),
    (f"{F}change = 'PAGE_DATA'", "3: fault[0]: change one of length, type, padding, octets, zeros"),
    (f"{F}resize = 'PAGE_DATA'", "3: fault[0]: it has no to, a number"),
    (f"{F}cut = 'PAGE_DATA'\nat = -4000000", "5: fault[0].at: that is before the stream begins"),
    (f"{F}big_endian = ['foo']", "4: fault[0].big_endian: ['foo'] is not some of libxl, libxc, xl"),
    (
        f"{F}big_endian = ['xl']",
        "4: fault[0].big_endian: ['xl'] is not some of the layers in the stream that have a header",
    ),
    (
        f"{F}drop = 'PAGE_DATA'\n[[fault]]\ndrop = 'PAGE_DATA'",
        "6: fault[1].drop: 'PAGE_DATA': there is none in the stream",
    ),
    (
        f"{G}[memory]\nsize = '1 GiB'\n[[fault]]\nset = 'PAGE_DATA'\nfield = 'count'\nto = 1",
        "6: fault[0].set: 'PAGE_DATA': ",
    ),
    ("base = 'x'", "2: base: there are no other recipes to make this from"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    """One line: file, line, key, and what was expected."""
    with pytest.raises(RecipeError) as error:
        load(text)

    assert str(error.value).startswith(f"r.toml:{told}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1: it has no recipe, a number"),
        ("guest = 'hvm'", "1: it has no recipe, a number"),
        ("about = 'x'\nrecipe = 2", "2: recipe: 2 is not within 1 to 1"),
        ("recipe = 1\nguest = ", "2: this is not TOML: "),
        (f"recipe = {'[' * 5000}", "1: its lists and tables lie too deep in one another"),
        (f"recipe = {'9' * 5000}", "1: this is not TOML: "),
    ],
)
def test_what_is_no_recipe(text: str, told: str) -> None:
    """A text that is no recipe at all is refused by its line too."""
    with pytest.raises(RecipeError) as error:
        recipes.load(text, "r.toml")

    assert str(error.value).startswith(f"r.toml:{told}")


WORDS = sorted({word for text, _ in WRONG for word in text.replace("=", " ").split() if word.isidentifier()})
VALUES = ["hvm", "pv", "0-3", "64 KiB", "PAGE_DATA", "libxc.END", "zero", "random", "0-0x1f XTAB", "", "0x10", "-1"]
SCALARS = st.one_of(
    st.sampled_from([*VALUES, *FORMS]),
    st.integers(-2, 70),
    st.sampled_from([1 << 20, 1 << 62, -(1 << 63)]),
    st.booleans(),
)
KEYS = st.one_of(st.sampled_from(WORDS), st.text(max_size=2))
THINGS = st.recursive(
    SCALARS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TABLES = st.lists(st.dictionaries(KEYS, THINGS, max_size=3), max_size=3)


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"guest": ""}, "guest: '' is none of pv, hvm"),
        ({"guest": "hvm", "form": "xapi", "state": [{"body": "x"}]}, "state[0]: it has no type, one of XENOPS"),
    ],
)
def test_an_empty_word_is_no_default(tables: dict[str, Any], told: str) -> None:
    """A word that is empty, and one that is not there, are refused like others."""
    made, error = loaded(tables)

    assert made is None
    assert told in error


@given(
    st.dictionaries(KEYS, THINGS, max_size=3),
    st.fixed_dictionaries(
        {},
        optional={"guest": st.sampled_from(["hvm", "pv"]), "part": TABLES, "fault": TABLES, "context": TABLES}
        | {key: st.dictionaries(KEYS, THINGS, max_size=3) for key in ("memory", "emulator", "policy", "params", "tsc")},
    ),
)
def test_no_table_is_more_than_refused(some: dict[str, Any], more: dict[str, Any]) -> None:
    """Whatever TOML it is, loading it makes a stream that can be written, or raises RecipeError."""
    tables = {key: it for key, it in (some | more).items() if key != "recipe"}
    made, told = loaded(tables)
    if made is None:
        assert told.startswith("r.toml:")
        return
    written = 0
    for buffers in made.stream.batches():
        written += sum(map(len, buffers))
        if written > 1 << 22:
            break
