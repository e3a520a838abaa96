"""What is wrong with a recipe is said in one line, with file, line and key; and nothing else comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..errors import RecipeError
from ..recipes import dump
from ..recipes import load as recipes
from ..recipes.tokens import Place
from ..recipes.tokens import places as placed
from ..recipes.toml import Source
from .support.recipe_texts import load, loaded

G, P, R = 'guest = "hvm"\n', 'guest = "pv"\n', "[[part]]\n"
F = f"{G}[[fault]]\n"
TSC = R + 'record = "libxc.X86_TSC_INFO"\n'
P2M = R + 'record = "libxc.X86_PV_P2M_FRAMES"\nfields = '
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
    (f"{G}form = 'back-channel'", "3: form: a stream of form back-channel has no guest: list its parts"),
    (f"{G}form = 'xapi'\ncheckpoints = 1", "4: checkpoints: streams of form xapi have no checkpoints"),
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
    (f"{G}mode = [1]", "3: mode: a list is not a text"),
    (f"{G}converted = 1", "3: converted: 1 is not true or false"),
    (f"{G}broken = 1", "3: broken: 1 is not true or false"),
    (f"{G}vcpus = 0", "3: vcpus: 0 is not within 1 to 4096"),
    (f'{G}[memory]\nsize = "1 GB"', "4: memory.size: '1 GB' is not a size such as \"64 MiB\""),
    (f'{G}[memory]\nsize = "\u00b2 KiB"', "4: memory.size: '\u00b2 KiB' is not a size such as \"64 MiB\""),
    (f'{G}[memory]\nframes = "5-3"', "4: memory.frames: '5-3' ends before it begins"),
    (f'{G}[memory]\nframes = "1 FOO"', "4: memory.frames: 'FOO' is none of NOTAB, "),
    (f"{G}[memory]\nrecords = [1]", '4: memory.records[0]: 1 is not a text such as "0-0x9f, 0xa0-0xbf XTAB"'),
    (
        f"{G}[memory]\nfill = 'zeros'",
        "4: memory.fill: 'zeros' is none of zero, pfn, byte, random, table (is zero meant?)",
    ),
    (f"{G}[memory]\nfill = {{ hex = '' }}", "4: memory.fill: no bytes fill no page"),
    (f"{G}[memory]\nbatch = 0", "4: memory.batch: 0 is not within 1 to 65536"),
    (f"{G}[params]\nFOO = 1", "4: params.FOO: it is no parameter's name, nor its number"),
    (f"{G}[params]\nSTORE = 1", "4: params.STORE: it is no parameter's name (is STORE_PFN meant?), nor its number"),
    (f"{G}[[context]]\ntype = 'PIT'\n[[context]]\ntype = 'PITT'", "6: context[1].type: 'PITT' is none of "),
    (f"{G}[policy]\nmsr = [[1]]", "4: policy.msr[0]: a list is not numbers for index, value"),
    (f"{G}[policy]\nmsr = [0]", "4: policy.msr[0]: 0 is not numbers for index, value"),
    (f"{G}[xenstore]\na = 1", '4: xenstore.a: 1 is not bytes: a text, or a table such as {hex = "00 ff"}'),
    (f"{G}[emulator]\nkind = 'old'", "4: emulator.kind: 'old' is none of traditional, upstream"),
    # parts
    ("part = [1]", "2: part[0]: 1 is not a table"),
    (f"{R}length = 1", "2: part[0]: a part is a header, a record, pages, a vcpu, raw bytes, a copy or a recipe"),
    (f"{R}record = 'PAGE_DATA'", "3: part[0].record: 'PAGE_DATA' is none of "),
    (f"{TSC}fields = {{ mode = 1 }}", "4: part[0].fields.khz: it needs a value"),
    (f"{TSC}fields = {{ mod = 1 }}", "4: part[0].fields.mod: libxc.X86_TSC_INFO has no such field, only mode, khz, "),
    (
        f"{TSC}[part.fields]\nmode = 'a'\nkhz = 1\nnsec = 1\nincarnation = 1",
        "5: part[0].fields.mode: 'a' is no number",
    ),
    (f"{TSC}fields = {{ mode = 4294967296, khz = 1 }}", "4: part[0].fields.mode: 4294967296 is not within 0 to "),
    (f"{R}raw = {{ hex = '0g' }}", "3: part[0].raw: hex = '0g' is not bytes"),
    (
        f"{R}raw = {{ hex = '00', text = 'a' }}",
        "3: part[0].raw: bytes are one of hex, random, text, zeros, and how many",
    ),
    (
        f"{R}raw = {{ random = 999999999 }}",
        "3: part[0].raw: random = 999999999 is not bytes, or over 16,777,216 of them",
    ),
    (
        f"{R}raw = [{{ zeros = 200000000 }}, {{ zeros = 200000000 }}]",
        "3: part[0].raw: these are over 268,435,456 bytes",
    ),
    (
        f"{R}raw = {{ text = 'ab', times = 200000000 }}",
        "3: part[0].raw: 400,000,000 bytes; one value has 268,435,456 at",
    ),
    (f"{R}raw = ''\nzeros = '0x100000000000'", "4: part[0].zeros: 17592186044416 is not within 0 to 1099511627776"),
    (f"{R}vcpu = 'FOO'", "3: part[0].vcpu: 'FOO' is none of BASIC, EXTENDED, XSAVE"),
    (f"{R}pages = 'x'", "3: part[0].pages: 'x' is not frames, such as 7, 0-0x9f or 3 XTAB"),
    (f"{R}pages = '007'", "3: part[0].pages: '007' is not frames, such as 7, 0-0x9f or 3 XTAB"),
    (f"{R}pages = '0-0xffffffff'", "3: part[0].pages: one record has 65,536 frames at most"),
    (f"{R}pages = '0'\ncontents = 'abc'", "4: part[0].contents: 3 bytes are no whole pages"),
    # faults
    (
        f"{F}set = 'FOO'\nfield = 'x'\nto = 1",
        "4: fault[0].set: 'FOO': there is no such header or record; the stream has EMULATOR_CONTEXT, END, HVM_CON",
    ),
    (f"{F}drop = 'libxl.CHECKPOINT_END'", "4: fault[0].drop: 'libxl.CHECKPOINT_END': there is none in the stream"),
    (f"{F}drop = 'END'", "4: fault[0].drop: 'END': it is in libxl.END and libxc.END: say which"),
    (f"{F}drop = 'PAGE_DATA#1'", "4: fault[0].drop: 'PAGE_DATA#1': of libxc.PAGE_DATA there are 1, #0 to #0"),
    (
        f"{F}set = 'X86_TSC_INFO'\nfield = 'x'\nto = 1",
        "5: fault[0].field: x: libxc.X86_TSC_INFO has no such field, only mode, khz, nsec, incarnation, reserved",
    ),
    (f"{F}set = 'X86_TSC_INFO'\nto = 1", "3: fault[0]: it has no field, a text"),
    (f"{F}set = 'X86_TSC_INFO'\nfield = 'mode'", "3: fault[0]: it has no to, a number or bytes"),
    (
        f"{F}set = 'PAGE_DATA'\nfield = 'entries[9].type'\nto = 1",
        "5: fault[0].field: entries[9].type: there are fewer of",
    ),
    (f"{F}put = 'X86_TSC_INFO'", "3: fault[0]: it has no fields, a table"),
    (f"{F}put = 'X86_TSC_INFO'\nfields = {{ mode = 'x' }}", "5: fault[0].fields.mode: 'x' is no number"),
    (
        f"{F}drop = 'PAGE_DATA'\nmove = 'PAGE_DATA'",
        "3: fault[0]: a fault is one of set, put, drop, move, insert, change, ",
    ),
    (f"{F}move = 'PAGE_DATA'", "3: fault[0]: it has no before, a text"),
    (f"{F}insert = [{{ copy = 'FOO' }}]", "4: fault[0].insert[0].copy: 'FOO': there is no such header or record"),
    (f"{F}insert = [{{ recipe = 'x' }}]", "4: fault[0].insert[0].recipe: there are no other recipes to make this from"),
    (f"{F}change = 'PAGE_DATA'", "3: fault[0]: change one of length, type, padding, bytes, zeros"),
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
    # numbers that do not fit the field that they are for
    (f"{G}[tsc]\nmode = 4294967296", "4: tsc.mode: 4294967296 is not within 0 to 4294967295"),
    (f"{G}[params]\nSTORE_PFN = '0x10000000000000000'", "4: params.STORE_PFN: 18446744073709551616 is not within"),
    (f"{G}[policy]\nmsr = [[1, 2],\n[3, -4]]", "5: policy.msr[1][1]: -4 is not within 0 to 18446744073709551615"),
    (f"{R}pages = '0'\nlength = 4294967296", "4: part[0].length: 4294967296 is not within 0 to 4294967295"),
    (f"{R}vcpu = 'BASIC'\nset = {{ foo = 1 }}", "4: part[0].set.foo: libxc.X86_PV_VCPU_BASIC has no such field"),
    (f"{F}set = 'X86_TSC_INFO'\nfield = 'mode'\nto = 4294967296", "5: fault[0].field: mode: 4294967296 is not within"),
    (f"{F}cut = 99999999", "4: fault[0].cut: 99999999 is not within 0 to 17792"),
    (f"{F}cut = 'libxc.END'\nat = 99999999", "5: fault[0].at: that is after its end"),
    (f"{G}[memory]\nframes = '0x10000000000000'", "4: memory.frames: a page entry has no room for frames from "),
    (f"{G}vcpus = 0x{'f' * 4000}", "3: vcpus: 3402823"),
    (f"{P2M}{{ frames = '1-0x10000000000000000' }}", "4: part[0].fields.frames: a field has no room for numbers from "),
    (f"{P2M}{{ frames = '0-0xffffffffffffffff' }}", "4: part[0].fields.frames: these are 18,446,744,073,709,551,616"),
    # a key of another name now
    (f"{R}record = 'libxc.END'\noctets = 'a'", "4: part[0].octets: octets is called bytes now"),
    (f"{F}change = 'libxc.END'\noctets = 'a'", "5: fault[0].octets: octets is called bytes now"),
    (f"{F}insert = [{{ record = 'libxc.END', octets = 'a' }}]", "4: fault[0].insert[0].octets: octets is called bytes"),
    # what would go unheeded
    (f"{TSC}bytes = 'a'\nfields = {{ mode = 1 }}", "4: part[0].bytes: it cannot have both fields and bytes"),
    (
        f"{R}header = 'libxc.domain_header'\nlength = 1",
        "4: part[0].length: libxc.domain_header has no length around it",
    ),
    (f"vcpus = 1\n{R}raw = 'a'", "2: vcpus: it is for a recipe with a guest"),
    (f"{G}mode = 'plain'\ncolo = true", "4: colo: a plain stream has no checkpoints"),
    # whatever it is, it is described briefly, in one line of plain characters
    (f"{G}xen{'.a' * 60} = 1", "3: xen: a table is not a text"),
    (f"guest = '{'x' * 9000}'", f"2: guest: '{'x' * 56}... is none of pv, hvm"),
    (f'{G}"a\\nb\\u001b" = 1', "3: a\\nb\\x1b: there is no such key here"),
    (f"{G}vcpus = 2024-01-01", "3: vcpus: 2024-01-01 is not a whole number"),
    (f"{G}vcpus = true", "3: vcpus: true is not a whole number"),
    (f"{G}form = 'xapi'\n[[state]]\ntype = 'XENOPS'", "4: state[0]: it has no body, bytes"),
    ("base = 'x'", "2: base: there are no other recipes to make this from"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    """One line: file, line, key, and what was expected."""
    with pytest.raises(RecipeError) as error:
        load(text)

    assert str(error.value).startswith(f"r.toml:{message}")
    assert "\n" not in str(error.value)


WORDS = sorted({word for text, _ in WRONG for word in text.replace("=", " ").split() if word.isidentifier()})
VALUES = ["hvm", "pv", "0-3", "64 KiB", "PAGE_DATA", "libxc.END", "zero", "random", "0-0x1f XTAB", "", "0x10", "-1"]
SCALARS = st.one_of(
    st.sampled_from([*VALUES, *recipes.FORMS]),
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
    ("text", "line"),
    [
        ('about = """\nvcpus = 1\n[memory]\nfoo = 1\n"""\nvcpus = 0', 8),
        ("about = ''''\nvcpus = 1''''\nvcpus = 0", 5),
        ("about = '\u2028\x85' # \u2028\nvcpus = 0", 4),
        ("# vcpus = 1\r\nvcpus = 0", 4),
        ("fault = [ # ]\n  { drop = 'X86_TSC_INFO' },\n\n  { drp = 1 },\n]", 6),
        ("fault = [{ drop = 'X86_TSC_INFO' }, { cut = 1.5, at = 2 },\n{ drop = 'x' }]", 3),
        ("[[context]]\n[[context]]\ntype = 'CPU'\ninstance = 70000", 6),
        ("context = [{ type = 'CPU', instance = 1 },\n{ type = 'CPU',instance = 70000 }]", 4),
        ("memory.pages = 4\nmemory . 'batch' = 0", 4),
        ('tsc.mode = 1\n"t\\u0073c".khz = -1', 4),
        ("[memory]\nrecords = [\n'0',\n\n'x']", 7),
        ("[[fault]]\ninsert = [{ raw = 'a' }, { raw = [\n'a',\n1] }]", 4),
        (
            "[[fault]]\nput = 'HVM_PARAMS'\n[[fault.fields.params]]\nindex = 1\nvalue = 1\n"
            "[[fault.fields.params]]\nvalu = 1",
            9,
        ),
    ],
)
def test_lines(text: str, line: int) -> None:
    """The line is that of the key, however it is spelt and whatever is round about."""
    with pytest.raises(RecipeError) as error:
        load(f"guest = 'hvm'\n{text}")

    assert error.value.line == line, error.value


def places(value: object, place: Place = ()) -> Iterator[Place]:
    """Where everything in a TOML value is."""
    yield place
    if isinstance(value, (dict, list)):
        for step, it in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(it, (*place, step))


@given(st.dictionaries(st.text(), THINGS | st.text()))
def test_every_place_has_its_line(tables: dict[str, Any]) -> None:
    """Each key has the line where it is written, with whatever values and lines come before it."""
    lines = [f"{dump.key_of(key)} = {dump.value(it)}\n" for key, it in tables.items()]
    source = Source("".join(lines), "r.toml")
    for number, key in enumerate(tables):
        assert source.line((key,)) == 1 + "".join(lines[:number]).count("\n")
    known = {place for place, _ in placed(source.text)}
    assert known == set(places(source.top().values)) - {()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: it has no recipe, a whole number"),
        ("guest = 'hvm'", "1: it has no recipe, a whole number"),
        ("about = 'x'\nrecipe = 2", "2: recipe: 2 is not 1"),
        ("recipe = 1\nguest = ", "2: this is not TOML: "),
        (f"recipe = {'[' * 5000}", "1: its lists and tables lie too deep in one another"),
        (f"about = ''\n\nrecipe = {'9' * 5000}\nguest = 'hvm'", "3: this number has too many digits"),
        ("\ufeffrecipe = 1", "1: it begins with a byte order mark, U+FEFF: TOML has none"),
    ],
)
def test_what_is_no_recipe(text: str, message: str) -> None:
    """A text that is no recipe at all is refused by its line too."""
    with pytest.raises(RecipeError) as error:
        recipes.load(text, "r.toml")

    assert str(error.value).startswith(f"r.toml:{message}")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"guest": ""}, "guest: '' is none of pv, hvm"),
        ({"guest": "hvm", "form": "xapi", "state": [{"body": "x"}]}, "state[0]: it has no type, one of XENOPS"),
    ],
)
def test_an_empty_word_is_no_default(tables: dict[str, Any], message: str) -> None:
    """A word that is empty, and one that is not there, are refused like others."""
    made, error = loaded(tables)

    assert made is None
    assert message in error


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
    made, message = loaded(tables)
    if made is None:
        assert message.startswith("r.toml:")
        return
    written = 0
    for buffers in made.stream.batches():
        written += sum(map(len, buffers))
        if written > 1 << 22:
            break
