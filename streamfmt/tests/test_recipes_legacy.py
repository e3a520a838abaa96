"""Recipes of legacy streams: what a guest's keys say is in them, and any stream becomes a recipe and comes back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from ..errors import RecipeError
from ..reader.registry import ALIASES
from ..recipes import load as recipes
from ..recipes.from_stream import from_bytes
from ..writer.legacy import LAYERS, PARAMS
from .support import plain_drawn, plain_memory_legacy
from .support.plain_drawn import Drawn
from .support.plain_guests import Setup, saved
from .support.recipe_texts import load, loaded
from .support.vector import judge

RELEASES = ("3.0.2", "3.0.4", "3.1", "3.2", "3.3", "3.4", "4.0", "4.1", "4.1.3", "4.2", "4.3", "4.4", "4.5")
FORMS = (*LAYERS.values(), "xl", "libvirt", "xapi", "xapi-legacy", "xend")
# What combinations cannot be.
REFUSED = (": bits: ", ": toolstack: ", "that came with Xen", ": only HVM guests", "only checkpoints are compressed")
# Notes about what is history, which are no complaint.
HISTORY = {"LEGACY-VCPU-INFO", "XAPI-LIBXC-LEGACY"}

GUESTS = st.fixed_dictionaries(
    {
        "guest": st.sampled_from(["hvm", "pv"]),
        "release": st.sampled_from(RELEASES),
        "form": st.sampled_from(FORMS),
    },
    optional={
        "toolstack": st.sampled_from([32, 64]),
        "bits": st.sampled_from([32, 64]),
        "vcpus": st.integers(1, 3),
        "checkpoints": st.integers(0, 3),
        "compressed": st.booleans(),
        "tmem": st.booleans(),
        "verify": st.booleans(),
        "highest": st.integers(3, 130),
        "memory": st.fixed_dictionaries(
            {"pages": st.integers(4, 9)}, optional={"batch": st.integers(1, 4), "again": st.just(["1", "0-1, 3"])}
        ),
        "tsc": st.fixed_dictionaries({}, optional={"mode": st.integers(0, 3), "khz": st.integers(1, 1 << 31)}),
        "params": st.dictionaries(st.sampled_from(sorted(PARAMS)), st.integers(1, 0xFFFFF), max_size=2),
        "physmap": st.just([{"phys_offset": 1, "start_addr": "0xf0000000", "size": 4096, "name": "vga.vram"}]),
    },
)


@settings(max_examples=80)
@given(GUESTS)
def test_guests_are_what_was_asked_for(asked: dict[str, Any]) -> None:
    """Any combination of keys is either refused, or makes a stream without a finding, which comes back as a recipe."""
    if asked["guest"] == "pv":
        asked = {key: it for key, it in asked.items() if key not in ("params", "physmap")}
    made, message = loaded(asked)
    if made is None:
        assert any(word in message for word in REFUSED) or "shadow" in message, message
        return
    data = made.stream.render()
    outcome = judge([data], made.form, made.mode)

    assert set(outcome.verifier.findings.counts) <= HISTORY, outcome.findings
    with streamfmt.open(data) as stream:
        assert stream.identity.key == asked["form"]
        items = [item for item in stream if isinstance(item, streamfmt.Record)]
    ours = [item for item in items if item.layer.rpartition("/")[2] in LAYERS.values()]
    tails = max(asked.get("checkpoints", 0), 1)
    assert len([item for item in ours if item.name == "END_OF_BODY"]) == tails
    if asked["guest"] == "pv":
        mapped = any(item.name == "VCPU_INFO" for item in ours)
        assert len([item for item in ours if item.name == "VCPU"]) == (asked.get("vcpus", 1) if mapped else 1) * tails
    assert recipes.load(from_bytes(data)[0]).stream.render() == data


def _back(data: bytes, form: str, guest: str) -> str:
    """A stream becomes a recipe, and the same bytes again, unless that says that it has not all of them."""
    text, recipe = from_bytes(data, form, guest)

    assert (recipes.load(text).stream.render() == data) == (recipe.lost == [])
    return text


def _form(setup: Setup) -> str:
    return LAYERS[setup.word]


@settings(max_examples=12)
@given(plain_drawn.setups())
def test_what_releases_wrote_comes_back(setup: Setup) -> None:
    """And breaks no rule, which the recipe says."""
    text = _back(saved(setup), _form(setup), setup.guest)
    assert text.startswith("recipe = 1\n\n[[part]]\n")


@pytest.mark.parametrize("word", sorted(LAYERS))
def test_a_name_for_both_widths(word: int) -> None:
    """What is declared to be a legacy stream comes back, and its recipe says of which width it is."""
    setup = Setup(guest="pv", word=word)
    _, recipe = from_bytes(saved(setup), ALIASES[0], setup.guest)

    assert recipe.form == LAYERS[word]
    _back(saved(setup), ALIASES[0], setup.guest)


@settings(max_examples=12)
@given(plain_drawn.cut() | plain_drawn.mutated() | plain_drawn.unusual())
def test_what_is_wrong_comes_back(drawn: Drawn) -> None:
    """A stream that is cut, damaged, or unlike what releases wrote, as well.

    Of what comes after the place where reading stops no more than 64 KiB are kept.
    """
    _back(drawn.stream, _form(drawn.setup), drawn.setup.guest)


@pytest.mark.parametrize("word", sorted(LAYERS))
@pytest.mark.parametrize("compressed", [False, True])
def test_a_plain_reader_finds_what_was_described(word: int, compressed: bool) -> None:
    """Pages, of later checkpoints too, and what else there is, without the product's own reader."""
    more = f"compressed = {str(compressed).lower()}\ntmem = true\ncheckpoints = 3"
    memory = '[memory]\nframes = "0-9, 10-11 XTAB"\nbatch = 4\nagain = ["2-4"]\n[emulator]\ncontext = "QEVM"'
    made = load(f'guest = "hvm"\nrelease = "4.4"\nform = "{LAYERS[word]}"\n{more}\n{memory}')
    image = plain_memory_legacy.read(made.stream.render(), word, "hvm")

    assert image.complete == 3
    assert image.pages == {pfn: (0, pfn.to_bytes(8, "little") * 512) for pfn in range(10)}
    assert image.emulator is not None
    assert bool(image.tmem)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('guest = "pv"\nrelease = "4.6"', "release: '4.6' is none of the releases 3.0 to 4.5"),
        ('guest = "pv"\nrelease = "4.4"\nform = "libxl"', "form: no release from 3.0 to 4.5 saved guests in streams"),
        ('guest = "hvm"\nrelease = "4.4"\nconfig = "x"', "config: it is for xl, xend, and this is legacy-64"),
        ('guest = "hvm"\nform = "legacy-32"\ntoolstack = 64', "toolstack: the toolstack of form legacy-32 has 32 bits"),
        ('guest = "hvm"\nrelease = "3.4"\ntmem = true', "tmem: that came with Xen 4.0"),
        ('guest = "pv"\nrelease = "3.1"\nbits = 32', "bits: before Xen 3.2 a guest was as wide as its toolstack"),
        ('guest = "pv"\nrelease = "4.4"\nonline = "2, 1"', "online: vcpus have rising numbers below 4096"),
        (
            'guest = "pv"\nrelease = "4.4"\n[memory]\nframes = "0x10000000"',
            "memory: an entry has room for frames below",
        ),
        ('[[part]]\nrecord = "legacy-64.VCPU"\ntype = 1', "legacy-64.VCPU has no type around it"),
        ('[[part]]\nrecord = "legacy-64.END_OF_BODY"\nlength = 1', "legacy-64.END_OF_BODY has no length around it"),
        ('[[part]]\nrecord = "legacy-64.VCPU"\npages = "1"', "'legacy-64.VCPU' is none of libxc.PAGE_DATA, legacy-64"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    """It is said where and why."""
    with pytest.raises(RecipeError, match=re.escape(message)):
        load(text)
