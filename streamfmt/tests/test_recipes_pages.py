"""What pages of a guest hold is said by name, in recipes of guests and in faults, as `edit` says it."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..errors import RecipeError
from ..payload_tables import FIELDS
from ..recipes.load import load, read
from ..recipes.toml import LIMITS, Source
from .test_edit import edited

_PV = 'recipe = 1\nguest = "pv"\nform = "libxc"\n[memory]\nframes = "0-1, 2 L4TAB_PINNED, 3 L1TAB, 4-9"\n'
_START = {32: b"xen-3.0-x86_32p", 64: b"xen-3.0-x86_64"}
# Fields that are numbers, by what has them.
_NUMBERS = {
    path: {name: row[3] for name, row in FIELDS[path].items() if not row[5]}
    for path in ("pv.START_INFO_32", "pv.START_INFO_64", "pv.SHARED_INFO_32", "pv.SHARED_INFO_64")
}
_BITS = {name: row[3] for name, row in FIELDS["pv.PAGE_TABLE.entries"].items()}


def built(text: str) -> bytes:
    """The stream of a recipe."""
    return bytes(load(text).stream.render())


def row(frame: int, values: dict[str, int], more: str = "") -> str:
    """A [[page]] of a recipe."""
    inner = ", ".join(f'"{name}" = "{value:#x}"' for name, value in values.items())
    return f"[[page]]\nframe = {frame}\n{more}set = {{ {inner} }}\n"


@st.composite
def _values(draw: st.DrawFn, fields: dict[str, int]) -> dict[str, int]:
    names = draw(st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=5))
    return {name: draw(st.integers(0, (1 << fields[name]) - 1)) for name in names}


@given(entries=st.dictionaries(st.integers(0, 511), _values(_BITS), max_size=4), frame=st.sampled_from((2, 3)))
@settings(max_examples=20)
def test_page_tables_are_set_as_an_edit_sets_them(entries: dict[int, dict[str, int]], frame: int) -> None:
    """By a guest's recipe, by faults, and by an edit of the stream without them: the same bytes."""
    values = {f"entries[{at}].{name}": value for at, row in entries.items() for name, value in row.items()}
    plain = built(_PV + '[[page]]\nframe = 4\nbytes = ""\n')
    faults = "".join(
        f'[[fault]]\nset = "PAGE_DATA"\nfield = "page[{frame:#x}].{name}"\nto = "{value:#x}"\n'
        for name, value in values.items()
    )
    wanted = (
        edited(plain, *((f"page[{frame}].{name}", str(value)) for name, value in values.items())) if values else plain
    )

    assert built(_PV + '[[page]]\nframe = 4\nbytes = ""\n' + row(frame, values)) == wanted
    assert built(_PV + '[[page]]\nframe = 4\nbytes = ""\n' + faults) == wanted


@pytest.mark.parametrize("bits", [32, 64])
@given(data=st.data())
@settings(max_examples=15)
def test_start_info_and_shared_info(bits: int, data: st.DataObject) -> None:
    """Start info is known by its first bytes, shared info by the guest's width."""
    start, shared = (data.draw(_values(_NUMBERS[f"pv.{name}_{bits}"])) for name in ("START_INFO", "SHARED_INFO"))
    guest = 'recipe = 1\nguest = "pv"\nform = "libxc"\nbits = {}\n[memory]\nframes = "0-1, 2 {}, 3-9"\n'
    guest = guest.format(bits, "L3TAB_PINNED" if bits == 32 else "L4TAB_PINNED")
    magic = f'bytes = "{_START[bits].decode()}"\n'
    plain = built(guest + f"[[page]]\nframe = 5\n{magic}")
    said = [(f"page[5].{name}", str(value)) for name, value in start.items()]
    said += [(f"SHARED_INFO.page.{name}", str(value)) for name, value in shared.items()]
    info = "".join(f'"{name}" = "{value:#x}"\n' for name, value in shared.items())

    assert _START[bits].ljust(4096, b"\0") in plain
    wanted = edited(plain, *said) if said else plain
    assert built(guest + row(5, start, magic) + f"[shared_info]\n{info}") == wanted


def test_what_is_sent_again_says_the_same() -> None:
    """A page that comes several times holds that each time."""
    text = _PV.replace('"libxc"', '"libxl"').replace("recipe = 1", "recipe = 1\ncheckpoints = 3")
    stream = built(text + 'again = ["4-5"]\n[[page]]\nframe = 4\nbytes = "something"\n')
    assert stream.count(b"something" + bytes(4087)) == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[[page]]\nframe = 4", "page[0]: say what the page holds: bytes, or set, or both"),
        ('[[page]]\nframe = 77\nbytes = ""', "page[0].frame: no record has page 0x4d"),
        ('[[page]]\nbytes = ""', "page[0].frame: -1 is not within 0"),
        ("[[page]]\nframe = 4\nbytes = { zeros = 4097 }", "page[0].bytes: 4,097 bytes; a page has 4,096"),
        ("[[page]]\nframe = 4\nset = { nr_pages = 1 }", "it is no page table and no start info; page[0x4] is all of"),
        ('[[page]]\nframe = 2\nset = { "entries[512].rw" = 1 }', "there are fewer of them"),
        ('[[page]]\nframe = 2\nset = { "entries[5].rw" = 2 }', "2 "),
        ('[shared_info]\n"arch.foo" = 1', "has no such field"),
        ('[[fault]]\nset = "PAGE_DATA"\nfield = "page[0x99].entries[0].rw"\nto = 1', "page 0x99 has no content in it"),
        ('[[fault]]\nset = "PAGE_DATA"\nfield = "page[4]"\nto = { hex = "00" }', "4096"),
    ],
)
def test_what_cannot_be_said(more: str, message: str) -> None:
    """Each refusal says where and why."""
    with pytest.raises(RecipeError) as seen:
        load(_PV + more)
    assert message in str(seen.value)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ('guest = "hvm"\n[shared_info]\n"arch.max_pfn" = 1', "shared_info: only PV guests have it"),
        ('guest = "hvm"\nrelease = "4.2"\n[shared_info]\n"arch.max_pfn" = 1', "shared_info: only PV guests have it"),
        ('guest = "pv"\nrelease = "4.2"\n[[page]]\nframe = 1\nbytes = ""', "page: it is for images"),
        (
            'guest = "hvm"\n[memory]\nsize = "128 MiB"\n[[page]]\nframe = 1\nbytes = ""',
            "page[0].frame: there are too many records of this to change one; list some as memory.records",
        ),
    ],
)
def test_what_has_no_such_page(head: str, message: str) -> None:
    """Guests of other kinds, and memory that is made as it is written."""
    with pytest.raises(RecipeError) as seen:
        load(f"recipe = 1\n{head}\n")
    assert message in str(seen.value)


@pytest.mark.parametrize("release", ["3.0.4", "4.4"])
def test_shared_info_of_legacy_guests(release: str) -> None:
    """Each of its releases' guests has the same names."""
    text = f'recipe = 1\nguest = "pv"\nrelease = "{release}"\n'
    with_it = built(text + '[shared_info]\n"arch.max_pfn" = "0x1234567"\n')
    assert with_it.count(pack("<Q", 0x1234567)) == 1
    assert with_it == edited(built(text), ("SHARED_INFO.page.arch.max_pfn", "0x1234567"))


def test_pages_have_a_price() -> None:
    """Hostile recipes come to an end."""
    text = _PV + "".join(row(2, {f"entries[{at}].rw": 1}) for at in range(40))
    read(Source(text, "recipe", LIMITS | {"steps": 4000}).top(), whole=True)
    with pytest.raises(RecipeError, match=r"this makes over .* steps"):
        read(Source(text, "recipe", LIMITS | {"steps": 60}).top(), whole=True)
