"""Recipes: what a guest's keys say is in the stream, and every fault is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamfmt

from ..errors import RecipeError
from ..recipes import dump, memory
from ..recipes import load as recipes
from ..recipes.from_stream import from_bytes
from ..recipes.load import Recipe
from ..schema import hvm, libxc
from ..writer import Draft, p2m
from .support.corpus import SMALL
from .support.good_streams import GOOD
from .support.recipe_texts import load, loaded
from .support.vector import judge

FORMS = ("libxl", "libxc", "xl", "libvirt", "xapi", "xl-migrate")


def records(stream: Draft, path: str) -> list[dict[str, Any]]:
    """The fields of all records of that path."""
    with streamfmt.open(stream.render()) as items:
        return [
            item.fields(1 << 30)
            for item in items
            if isinstance(item, streamfmt.Record) and f"{item.layer.rpartition('/')[2]}.{item.name}" == path
        ]


def frames(stream: Draft) -> list[list[tuple[int, str, bytes | None]]]:
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
    """The recipe of any stream, however broken, makes its bytes, and says how to read them."""
    for name, vector in SMALL[clause].items():
        text = dump.dump(Recipe(vector.stream, vector.form, vector.mode, vector.deep, faults=True))
        back = recipes.load(text, name)

        assert back.stream.render() == vector.stream.render(), name
        assert (back.form, back.mode, back.deep, back.faults) == (vector.form, vector.mode, vector.deep, True), name


def test_long_lists_have_all_numbers() -> None:
    """A list of more numbers than are written one by one comes back, up to the largest number a field holds."""
    numbers = [*range(2**64 - 40, 2**64), *range(2**52 - 40, 2**52 + 40)]
    data = Draft((*GOOD["pv"].parts[:2], p2m(0, 511, *numbers))).render()
    text, _ = from_bytes(data)

    assert f'frames = "{numbers[0]}-{numbers[39]}, {2**52 - 40}-{2**52 + 39}"' in text
    assert recipes.load(text).stream.render() == data


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
REFUSED = (": bits: only PV", ": mode: COLO is", "checkpoints: a ", "form xapi have no", ": converted: it is for")


@given(GUESTS)
def test_guests_conform_and_are_what_was_asked_for(asked: dict[str, Any]) -> None:
    """Any combination of keys is either refused, or makes a stream without a finding that has all of it."""
    made, message = loaded(asked)
    if made is None:
        assert any(word in message for word in REFUSED)
        return
    data = made.stream.render()
    outcome = judge([data], made.form, made.mode, deep=asked["guest"] == "hvm", strict=True)

    assert outcome.verdict == "conforms", outcome.findings
    assert not made.faults
    with streamfmt.open(data) as stream:
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
        ('"byte"', [bytes([pfn]) * 4096 for pfn in range(3)]),
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


def test_listed_records_take_no_more_memory_than_others() -> None:
    """The first have parts of their own, the rest are made as they are written; none listed are none."""
    runs = [f'"{first}-{first + 8191}"' for first in range(0, 5 * 8192, 8192)]
    made = load(f'guest = "hvm"\n[memory]\nfill = "zero"\nrecords = [{", ".join(runs)}]').stream
    parts = [part for part in made.parts if part.path == "libxc.PAGE_DATA"]

    assert [isinstance(part, memory.Many) for part in parts] == [False] * 16 + [True] * 3
    assert sum(1 for part in made if part.path == "libxc.PAGE_DATA") == 40
    assert frames(load('guest = "hvm"\n[memory]\nrecords = []').stream) == []


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
    ("said", "path", "data"),
    [
        ('form = "xl"\nconfig = "{}"', "xl.OPTIONAL_DATA", b"{}"),
        ('form = "libvirt"\nxml = { text = "<domain/>" }', "libvirt.XML", b"<domain/>"),
        ('form = "xapi"\nxenops = "((a b))"', "xapi.XENOPS", b"((a b))"),
    ],
)
def test_what_a_container_carries(said: str, path: str, data: bytes) -> None:
    """Each form carries what its own key gives."""
    assert data in load(f'guest = "hvm"\n{said}').stream.part(path).body("<")


# -- parts and faults -----------------------------------------------------------------------------------------

HVM = load('guest = "hvm"').stream


def faulty(fault: str) -> Draft:
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
        ('insert = [{ record = "libxc.END", type = 99, bytes = { zeros = 8 } }]\nafter = "PAGE_DATA"', None),
        ('insert = [{ raw = { hex = "ff" } }]', None),
        ('insert = [{ vcpu = "BASIC", number = 3, size = 5168 }]\ninstead = "X86_TSC_INFO"', None),
        ('insert = [{ pages = "7-8, 9 XTAB", fill = "zero" }]\nbefore = "X86_TSC_INFO"', None),
        ('change = "X86_TSC_INFO"\nlength = 3', HVM.edit("libxc.X86_TSC_INFO", declared_length=3)),
        ('change = "X86_TSC_INFO"\ntype = "0x80000001"', HVM.edit("libxc.X86_TSC_INFO", code=0x80000001)),
        ('change = "libxc.END"\npadding = "12345678"', HVM.edit("libxc.END", padding=b"12345678")),
        ('change = "libxc.END"\nbytes = "12345678"\nzeros = 8', HVM.edit("libxc.END", data=b"12345678", fill=8)),
        ('resize = "X86_TSC_INFO"\nto = 16', HVM.resized("libxc.X86_TSC_INFO", 16)),
        ('cut = "X86_TSC_INFO"', HVM.upto("libxc.X86_TSC_INFO")),
        ('cut = "X86_TSC_INFO"\nat = 9', HVM.upto("libxc.X86_TSC_INFO", extra=9)),
        ("cut = 100", None),
        ('big_endian = ["libxc"]', HVM.big_endian("libxc")),
    ],
)
def test_faults(fault: str, edited: Draft | None) -> None:
    """Each verb does the edit of its name; one that has no expected stream here is looked at by itself below."""
    data = faulty(fault).render()

    assert data != HVM.render()
    if edited is not None:
        assert data == edited.render()


def test_inserted_parts_are_where_they_were_put() -> None:
    """Copies, raw bytes and pages stand before, after, or in the place of others, or at the end."""
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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a", "'a' is made from itself"),
        ("sub/../a", "'sub/../a' is made from itself"),
        ("link", "'link' is made from itself"),
        ("sub", "'sub' cannot be read: Is a directory"),
        ("x" * 300, f"'{'x' * 56}... cannot be read: File name too long"),
        ("30", "over 32 recipes are made from one another (a > 30 > 31 > 32 > ... > 58 > 59 > 60 > 61)"),
        ("none", "there is no recipe 'none'"),
        ("long", "this is over 4,194,304 bytes, too long for a recipe"),
        ("zero", "'zero' cannot be read: it is no regular file"),
        ("pipe", "'pipe' cannot be read: it is no regular file"),
    ],
)
def test_what_no_recipe_is_made_from(name: str, message: str, tmp_path: Path) -> None:
    """Itself by whatever way, what cannot be read, what never ends, and one of a chain that is too long."""
    (tmp_path / "a.toml").write_text(f'recipe = 1\nbase = "{name}"\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub.toml").mkdir()
    (tmp_path / "link.toml").symlink_to("a.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "long.toml").write_text("#" * (5 << 20))
    os.mkfifo(tmp_path / "pipe.toml")
    for number in range(30, 70):
        (tmp_path / f"{number}.toml").write_text(f'recipe = 1\nbase = "{number + 1}"\n')
    with pytest.raises(RecipeError) as error:
        recipes.load_file(tmp_path / "a.toml")

    assert error.value.message == message
