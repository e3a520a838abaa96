"""What is inside records for somebody else: every form decoded as construct decodes it, every byte of real streams."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from .. import payload_tables, tables
from ..checks.payloads import _viridian as viridian
from ..codec import encode
from ..codec.decode import whole
from ..codec.inside import put_at
from ..codec.payload import payloads, tree, within
from ..convert.edit import Edit
from ..errors import FieldError, RecipeError, SchemaError
from ..payload_tables import FORMS, PLACES
from ..reader.events import Body, Record, Sink
from ..reader.reader import Reader
from ..recipes.load import load
from ..render import payload_reference
from ..schema import compile as compiler
from ..schema import features, libxc, payload_pv, payload_words, payload_xsave
from ..schema import payloads as schema
from ..schema.hvm import CONTEXT_TYPES
from ..schema.hvm import PARAMS as PARAMS_BY_NAME
from ..schema.model import Field
from ..writer import Draft, pages, params
from .support.good_streams import HVM
from .support.show_output import Show

REAL = Path(__file__).parents[2] / "corpus" / "real"
NAMES = (
    *("hvm-64.bin.gz", "hvm-remus.bin.gz", "pv-24.bin.gz", "pv-list.bin.gz", "legacy-44-pv-32.bin.gz"),
    *("legacy-44-pv-64-live.bin.gz", "legacy-44-hvm-32-remus.bin.gz", "legacy-45-pv-32-on-64-remus.bin.gz"),
)
# All that come from Xen's own savers, but for what has been broken; QEMU's streams are another's.
FILES = sorted(each.name for each in REAL.glob("*.bin.gz") if re.match("(hvm|pv|legacy)-(?!.*broken)", each.name))
BY_PATH = {row.path: row for row in schema.PAYLOADS}


def contents(path: str, count: int) -> bytes:
    """Bytes for a form, the same each time; of those of any length with counts and components that fit."""
    chance = random.Random(path)
    raw = bytearray(chance.randbytes(BY_PATH[path].size or 24 + 16 * count))
    if path.endswith("CPU_MSR"):
        raw[:8] = (count + 1).to_bytes(8, "little")
    elif path.endswith("XSAVE_ANY"):
        raw = bytearray(chance.randbytes(24 + 576 + count))
    return bytes(raw)


def reached(value: Any) -> Any:
    """What construct made of bytes, as plain values by dotted names."""
    found: dict[str, Any] = {}
    for name, it in value.items():
        if name == "_io":
            continue
        if isinstance(it, dict):
            found.update({f"{name}.{inner}": each for inner, each in reached(it).items()})
        elif isinstance(it, list):
            found[name] = [reached(each) if isinstance(each, dict) else each for each in it]
        else:
            found[name] = it
    return found


def unchecked(con: Any) -> Any:
    """The declaration without what its constants demand."""
    from construct import Const, Struct
    from construct.core import Subconstruct

    if isinstance(con, Const):
        return con.subcon
    if isinstance(con, Struct):
        return Struct(*(unchecked(each) for each in con.subcons))
    if isinstance(con, Subconstruct) and type(con).__name__ in ("Renamed", "Array"):
        from copy import copy

        twin = copy(con)
        twin.subcon = unchecked(con.subcon)
        return twin
    return con


@pytest.mark.parametrize("path", [path for path in BY_PATH if path != "hvm.END"])
def test_forms_are_what_construct_reads(path: str) -> None:
    """Every field has the value that the library gives it, and what is decoded is encoded to the same bytes."""
    layout, raw = payloads()[path], contents(path, 3)
    values = whole(layout, raw, "<")
    expected = reached(unchecked(BY_PATH[path].declared).parse(raw))

    assert {name: value for name, value in values.items() if value not in ([], None)} == expected
    assert encode.whole(layout, values, "<") == raw


class Found(Sink):
    """Takes what lies in each record that may have a payload."""

    def __init__(self) -> None:
        self.found: list[tuple[str, dict[str, Any], bytes, int]] = []

    def record(self, record: Record) -> Generator[int, int, None] | None:
        path = record.path
        if not {path, f"{path}.context"} & PLACES.keys() and not path.endswith("X86_PV_INFO"):
            return None
        return self.take(record)

    def take(self, record: Record) -> Generator[int, int, None]:
        raw = yield from Body(self.window, record).take(record.length)
        layer, path = record.layer, record.path
        if path.endswith("X86_PV_INFO"):
            layer.width = raw[0]
            return
        width = layer.width or getattr(layer.facts, "width", 0)
        if path in PLACES:
            (item,) = PLACES[path]
            self.found.append((path, {}, raw[tables.PLACES.get(path, {}).get(item, (tables.SIZES[path],))[0] :], width))
            return
        at = tables.SIZES[path]
        while at < len(raw):
            kind, instance, length = (
                int.from_bytes(raw[at + a : at + b], "little") for a, b in ((0, 2), (2, 4), (4, 8))
            )
            values = {"typecode": kind, "instance": instance, "length": length}
            self.found.append((f"{path}.context", values, raw[at + 8 : at + 8 + length], width))
            at += 8 + length


def in_stream(data: bytes) -> Iterator[tuple[str, dict[str, Any], bytes, int]]:
    sink = Found()
    reader = Reader(sink)
    reader.pump.feed(data)
    reader.pump.end()
    return iter(sink.found)


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_of_real_streams_has_a_name(name: str) -> None:
    """Each payload there has a form, whose fields have all its bytes and make the same again."""
    found = list(in_stream(gzip.decompress((REAL / name).read_bytes())))
    for path, values, raw, width in found:
        item = next(iter(PLACES[path]))
        layout = within(path, item, values, len(raw), width)
        assert layout is not None, (path, values)
        more = bytes((layout.extent or 0) - len(raw) if len(raw) in BY_PATH[layout.path].ends else 0)
        assert encode.whole(layout, whole(layout, raw + more, "<"), "<") == raw + more
        assert "excess" not in tree(layout, raw, lambda _, value: value)

    assert len(found) >= 4


# Bytes of a dump by their place; what it only counts; and what belongs to nobody.
_BYTES = re.compile(r" +(0x[0-9a-f]+)  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?: |$)")
_COUNTED = re.compile(r" +\.\.\. [\d,]+ pages? of content, ([\d,]+) bytes$")
_UNKNOWN = re.compile(r"^ +(body|what .*fields do not cover|.*cut off.*):", re.MULTILINE)
# Fields of bytes that a release of Xen, or the processor, gives no more meaning than this; those of others are content.
_WHOLE = {
    *("reserved", "unused", "rest", "available", "value", "xmm", "ymm_high", "name", "signature", "data"),
    "state",  # the device model's, which is a layer of its own
}


@pytest.mark.parametrize("name", FILES)
def test_every_byte_of_real_files_is_named(name: str, show: Show) -> None:
    """A dump of a whole stream has each of its bytes once, in a field that has a name, or as the content of a page."""
    raw = gzip.decompress((REAL / name).read_bytes())
    _, text = show(raw, "--hexdump", "--full")
    at = pages_of = 0
    opaque: set[str] = set()
    for line in text.splitlines():
        if found := _BYTES.match(line):
            assert int(found[1], 16) == at + pages_of, line
            at += len(found[2].split())
        elif found := _COUNTED.match(line):
            pages_of += int(found[1].replace(",", ""))
        elif found := re.match(r" +([\w.\[\]]+): [\d,]+ bytes?$", line):
            opaque.add(re.sub(r"_[0-9a-f]+$", "", found[1].rpartition(".")[2]))

    assert at + pages_of == len(raw)
    assert not _UNKNOWN.search(text)
    assert opaque <= _WHOLE


def test_lengths_are_those_of_the_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a form for each length that a release writes, and no other; one of another size is refused."""
    for row in CONTEXT_TYPES:
        ends = {size for path in FORMS[f"hvm.{row.name}"].values() for size in BY_PATH[path].ends}
        assert {*FORMS[f"hvm.{row.name}"]} == ends | ({0} if row.unit else {*row.lengths})
    wrong = payload_words.Payload("hvm.X", "", "", BY_PATH["hvm.PIC"].declared, 9)
    monkeypatch.setattr(schema, "PAYLOADS", (wrong,))
    with pytest.raises(SchemaError, match="it has 8 bytes, not 9"):
        schema.catalogue()


def test_tables_are_current() -> None:
    """streamfmt/payload_tables.py and docs/payloads.md are what `make generate` writes."""
    assert Path(str(payload_tables.__file__)).read_text() == compiler.payload_source()
    assert Path(payload_reference.TARGET).read_text() == payload_reference.text()


def test_cut_short() -> None:
    """Of a payload that breaks off there is what lies whole; what is beyond its fields is given as it is."""
    layout = payloads()["hvm.PIT"]
    raw = contents("hvm.PIT", 0)

    assert tree(layout, raw[:30], lambda _, value: value)["channels"] == whole(layout, raw, "<")["channels"][:1]
    assert tree(layout, raw + b"\1\2", lambda _, value: value)["excess"] == "0102"


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """Every number in decoded fields, by the last part of its name."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from numbers(each, key.rpartition(".")[2])
    elif isinstance(value, int) or (isinstance(value, str) and value.startswith("0x")):
        yield name, int(str(value), 0)


def shown_numbers(text: str) -> set[tuple[str, int]]:
    pairs = re.findall(r"([\w.\[\]]+) = (0x[0-9a-f]+|-?[0-9]+)(?![0-9a-f])", " ".join(text.split()))
    return {(name.rpartition(".")[2], int(value, 0)) for name, value in pairs}


@pytest.mark.parametrize("name", ["hvm-64.bin.gz", "pv-24.bin.gz"])
def test_three_ways_of_showing(name: str, show: Show) -> None:
    """A dump, the lines of fields and JSON have the same values of each field by the same names."""
    raw = (REAL / name).read_bytes()
    ways = [shown_numbers(show(raw, *words, "--full")[1]) for words in (("--decode",), ("--hexdump",))]
    rows = [json.loads(line).get("fields", {}) for line in show(raw, "--json")[1].splitlines()]
    elements = [row.get("context") if isinstance(row.get("context"), list) else [row] for row in rows]
    found = [pair for each in elements for element in each for pair in numbers(element.get("decoded", {}))]

    assert len(found) > 80
    # Bits that are reserved and zero are left out of a dump.
    assert not [pair for pair in found if pair[1] and not all(pair in way for way in ways)]


def test_pages(show: Show) -> None:
    """A page is shown by what it holds, where it lies, each time it comes; one that never comes is said to."""
    pv = (REAL / "pv-24.bin.gz").read_bytes()
    raw = gzip.decompress(pv)
    _, table = show(pv, "--page", "5")
    _, info = show(pv, "--page", "0x1")
    _, plain = show(pv, "--page", "9")
    batch = pages((7, "XTAB"))
    _, twice = show(Draft((*HVM.parts[:3], batch, batch, *HVM.parts[4:])), "--page", "7")

    assert "frame 0x5, L4TAB_PINNED, at 0x53e0" in table
    assert "[0] frame 0x6 present rw user accessed dirty" in table
    assert int.from_bytes(raw[0x53E0:0x53E8], "little") == 0x6067
    assert table.count("[") == 2
    assert "magic = 'xen-3.0-x86_64'" in info
    assert "cmd_line = 'console=hvc0 fake=guest'" in info
    assert f"0x000  {raw[0x93E0:0x93F0].hex(' ')}" in plain
    assert "254 more lines like that" in plain
    assert twice.count("frame 0x7, XTAB, has no content") == 2
    assert "no PAGE_DATA has this page" in show(pv, "--page", "99")[1]
    assert "extract --memory" not in show(pv, "--page", "99")[1]
    assert "extract --memory" in show((REAL / "mig-none-1M.bin.gz").read_bytes(), "--page", "9")[1]
    cut = show(raw[:0x9400], "--page", "9")[1]
    assert "cut off after 32 bytes" in cut
    assert "stopped at" in cut


def test_names_of_bits(show: Show) -> None:
    """Leaves, MSRs and registers say what their bits are called, and what has no name is given as a number."""
    text = " ".join(show((REAL / "hvm-64.bin.gz").read_bytes(), "--decode")[1].split())

    for words in ("ebx: fsgsbase tsc_adjust bmi1", "physical_address_bits=48", "ARCH_CAPABILITIES: rdcl_no eibrs"):
        assert words in text
    assert "cr0 = 0x58cf9df78b35c983 (pe mp wp am pg +0x58cf9df70b30c980)" in text
    rows = [json.loads(line) for line in show((REAL / "hvm-64.bin.gz").read_bytes(), "--json")[1].splitlines()]
    leaves = next(row["fields"]["leaves"] for row in rows if row.get("name") == "X86_CPUID_POLICY")
    assert leaves[1]["named"]["family"] == 6
    assert "sse4_2" in leaves[1]["named"]
    assert len({row.name for row in features.FEATURES}) == len(features.FEATURES)
    viridian = Draft((*HVM.parts[:-2], params((9, 0x21)), HVM.parts[-1]))
    assert "base_freq apic_assist" in show(viridian, "--decode")[1]
    assert '"named": {"base_freq": 1, "apic_assist": 1}' in show(viridian, "--json")[1]


def test_no_field_is_without_meaning() -> None:
    """Every field of every form has a text of its own."""
    for layout in payloads().values():
        assert layout.doc
        for row in layout.rows:
            assert row.item.doc or (isinstance(row.item, Field) and not row.item.path), (layout.path, row.item.path)


# -- building and judging ---------------------------------------------------------------------------------------


def built(text: str) -> Draft:
    return load(text).stream


def test_recipes_set_fields_by_name() -> None:
    """In entries of a guest's context, and in parts: registers, their bits, and elements of lists."""
    sets = 'cr0 = 0x11, "cr4.pae" = 1, "fpu_regs.st[1].value" = { hex = "00112233445566778899" }'
    entry = f'{{ type = "CPU", set = {{ {sets} }} }}'
    hvm = built(f'recipe = 1\nguest = "hvm"\nform = "libxc"\ncontext = [{entry}]\n')
    (_, values, cpu, _), *_ = (row for row in in_stream(hvm.render()) if row[1].get("typecode") == 2)
    found = tree(payloads()["hvm.CPU"], cpu, lambda _, value: value)
    pv = 'recipe = 1\nguest = "pv"\nform = "libxc"\n[[fault]]\nset = "X86_PV_VCPU_BASIC"\nfield = "{}"\nto = 7\n'
    changed = built(pv.format("context.user_regs.rip")).render()

    assert values["length"] == len(cpu) == 1032
    assert (found["cr0"], found["cr4"], found["fpu_regs.st"][1]["value"].hex()) == (0x11, 0x20, "00112233445566778899")
    (context, *_) = (raw for path, _, raw, _ in in_stream(changed) if path.endswith("BASIC"))
    assert whole(payloads()["pv.VCPU_64"], context, "<")["user_regs.rip"] == 7


WRONG = {
    'context = [{ type = "PIT", set = { no_such = 1 } }]': "hvm.PIT has no such field",
    'context = [{ type = "PIT", set = { pad0 = "0x100000000" } }]': "is not within 0 to",
    'context = [{ type = "PIT", data = { zeros = 7 }, set = { pad0 = 1 } }]': "no release writes an entry of 7 bytes",
    '[[fault]]\nset = "HVM_CONTEXT"\nfield = "HPET.counter"\nto = 1': "the context has no entry HPET",
    '[[fault]]\nset = "HVM_CONTEXT"\nfield = "CPU.xyz"\nto = 1': "no such field",
}


@pytest.mark.parametrize("text", WRONG)
def test_recipes_that_name_no_field(text: str) -> None:
    """They are refused, with the reason."""
    with pytest.raises(RecipeError, match=re.escape(WRONG[text])):
        built(f'recipe = 1\nguest = "hvm"\nform = "libxc"\n{text}\n')


def test_what_no_stream_here_breaks() -> None:
    """Bounds of which no stream is stored, since readers of some releases may not survive it: by the tables alone."""
    rows = {row[8]: row for rows in payload_tables.BOUNDS.values() for row in rows}
    assert rows["cmos_index"][5:8] == (0xFF, 0x7F, "LIBXC-HVMCTX-TIMER")
    raw = bytearray(216)
    for name, value in (("enabled", 1), ("periodic", 1)):
        at, row = put_at(payloads()["hvm.VIRIDIAN_VCPU"], 216, lambda _: raw, f"stimer_config_msr[2].{name}")
        encode.put(raw, at, row, value, "<", name)
    walk: Any = None
    (found,) = viridian("hvm.VIRIDIAN_VCPU", bytes(raw), walk, {})

    assert found[:3] == ("LIBXC-HVMCTX-VIRIDIAN", 184 + 16, 8)
    assert not list(viridian("hvm.VIRIDIAN_VCPU", bytes(raw[:200]) + b"\1" + bytes(15), walk, {}))
    assert not list(viridian("hvm.VIRIDIAN_VCPU_16", bytes(16), walk, {}))


# -- what lists say by name, areas, and pages ----------------------------------------------------------------------


def edited(data: bytes, tmp_path: Path, *assignments: str) -> dict[str, str]:
    """What changes by an edit, in words, by the fields' paths."""
    file = tmp_path / "edited"
    file.write_bytes(data)
    with file.open("rb") as opened:
        edit = Edit(opened.fileno())
        edit.make([(path, value) for path, _, value in (each.partition("=") for each in assignments)], None)
        return {made.what: made.words for made in edit.changes}


PARAMS = {
    "CALLBACK_IRQ": (0x0200000000000093, "type=vector vector=147"),
    "TIMER_MODE": (2, "mode=no_missed_ticks_pending"),
    "ALTP2M": (9, "mode=9"),
    "MCA_CAP": (3, "lmce +0x2"),
    "VM86_TSS_SIZED": (0x80000FC000, "address=0xfc000 size=128"),
    "TRIPLE_FAULT_REASON": (3, "reason=crash"),
    "VIRIDIAN": (0x121, "base_freq apic_assist stimer"),
}


@pytest.mark.parametrize("name", PARAMS)
def test_parameters_have_bits_and_modes(name: str, show: Show) -> None:
    """What the value of a parameter consists of is shown by name, and is in JSON."""
    value, words = PARAMS[name]
    stream = Draft((*HVM.parts[:-2], params((PARAMS_BY_NAME[name], value)), HVM.parts[-1]))
    *_, named = (json.loads(line) for line in show(stream, "--json")[1].splitlines() if "HVM_PARAMS" in line)

    assert f"\n          {words}\n" in show(stream, "--decode")[1]
    first = re.split("[= ]", words)[0]
    assert first in named["fields"]["params"][0]["named"]


def test_edits_by_name(tmp_path: Path) -> None:
    """Bits and modes of parameters and policies, registers, components, entries of tables and start info."""
    hvm, pv = (gzip.decompress((REAL / name).read_bytes()) for name in ("hvm-64.bin.gz", "pv-24.bin.gz"))
    sets = {
        "HVM_PARAMS.VM86_TSS_SIZED.size": ("0x100", "128 (0x80) -> 256 (0x100)"),
        "HVM_PARAMS.ACPI_IOPORTS_LOCATION.ports": ("0x1f40", "0xb000 -> 0x1f40"),
        "X86_CPUID_POLICY.avx2": ("0", "1 -> 0"),
        "HVM_CONTEXT.CPU.cr0.pg": ("0", "1 -> 0"),
    }
    pages_of = {
        "page[5].entries[0].frame": ("7", "6 -> 7"),
        "page[0x5].entries[0].rw": ("0", "1 -> 0"),
        "page[0x1].nr_pages": ("25", "0 -> 25 (0x19)"),
        "X86_PV_VCPU_XSAVE.context.ymm_high[1]": ("11" * 16, ""),
    }
    for data, wanted in ((hvm, sets), (pv, pages_of)):
        found = edited(data, tmp_path, *(f"{path}={value}" for path, (value, _) in wanted.items()))
        assert found == {path: words for path, (_, words) in wanted.items()}


NO_PLACE = {
    "HVM_PARAMS.VIRIDIAN.stimer=1": "HVM_PARAMS has no index 0x9",
    "page[9].rw=1": "it is no page table and no start info",
    "page[0x999].rw=1": "no PAGE_DATA has content of page 0x999; pages are set in libxc images only",
    "page.rw=1": "which page?",
    "HVM_CONTEXT.CPU.zmm[1]=00": "has no list zmm",
}


@pytest.mark.parametrize("text", NO_PLACE)
def test_edits_that_name_nothing(text: str, tmp_path: Path) -> None:
    """They are refused, with the reason."""
    with pytest.raises(FieldError, match=re.escape(NO_PLACE[text])):
        edited(gzip.decompress((REAL / "hvm-64.bin.gz").read_bytes()), tmp_path, text)


def test_pages_that_come_twice(tmp_path: Path) -> None:
    """Which one is meant nobody says, so neither is changed."""
    batch = pages((7, "NOTAB"))
    with pytest.raises(FieldError, match="it comes several times"):
        edited(Draft((*HVM.parts[:3], batch, batch, *HVM.parts[4:])).render(), tmp_path, "page[7]@0=00")


def test_pages_in_json(show: Show) -> None:
    """A page table's entries that are not zero, and start info by its fields."""
    pv = (REAL / "pv-24.bin.gz").read_bytes()
    table, info, plain = (
        next(json.loads(line)["fields"] for line in show(pv, "--page", pfn, "--json")[1].splitlines() if "pfn" in line)
        for pfn in ("5", "1", "9")
    )
    bits = ["present", "rw", "user", "accessed", "dirty"]

    assert table["decoded"]["entries"][0] == {
        "slot": 0,
        "value": "0x6067",
        "frame": "0x6",
        "bits": bits,
        "other": "0x0",
    }
    assert (table["offset"], table["payload"], len(table["page"])) == (0x53E0, "pv.PAGE_TABLE", 8192)
    assert bytes.fromhex(info["decoded"]["magic"]).startswith(b"xen-3.0-x86_64")
    assert "decoded" not in plain


def test_areas_by_length() -> None:
    """An area's length says whose places its components have; each ends a form."""
    for amd in (False, True):
        for bit, (at, size) in payload_xsave.places(amd).items():
            path = payload_tables.FORMS["XSAVE"][16 + at + size]
            common = bit == features.XCR0_BITS["avx"]
            assert path == ("pv.XSAVE_AMD" if amd and not common else "pv.XSAVE")
    layout = payloads()["pv.XSAVE_AMD"]
    raw = bytes(16 + 2432) + (5).to_bytes(8, "little")
    assert tree(layout, raw, lambda _, value: value)["protection_keys.pkru"] == 5
    assert payload_tables.FORMS["XSAVE"].get(16 + 700) is None


def test_recipes_set_shared_info_and_parameters() -> None:
    """By the width of the guest, which the stream says; a bit of a parameter, and of a policy's leaf."""
    faults = (
        '[[fault]]\nset = "SHARED_INFO"\nfield = "page.arch.max_pfn"\nto = 7\n'
        '[[fault]]\nset = "X86_CPUID_POLICY"\nfield = "sse2"\nto = 1\n'
    )
    for bits, place in ((64, 0xC10), (32, 0x90C)):
        found = built(f'recipe = 1\nguest = "pv"\nform = "libxc"\nbits = {bits}\n{faults}')
        page = found.part("libxc.SHARED_INFO").body("<")
        assert page[place : place + 2] == b"\7\0"
    params_of = 'recipe = 1\nguest = "hvm"\nform = "libxc"\nparams = { VIRIDIAN = 1 }\n'
    mode = '[[fault]]\nset = "HVM_PARAMS"\nfield = "VIRIDIAN.stimer"\nto = 1\n'
    assert built(params_of + mode).part("libxc.HVM_PARAMS").body("<")[16:18] == b"\1\1"
    with pytest.raises(RecipeError, match="a guest of which width"):
        built(f'recipe = 1\nguest = "pv"\nform = "libxc"\n[[fault]]\ndrop = "X86_PV_INFO"\n{faults}')


def test_contexts_are_as_long_as_records_say() -> None:
    """What frames a vcpu's context and what is declared inside it have one length, by the width of the guest."""
    assert {row.path: row.size for row in payload_pv.CONTEXTS} == {
        f"pv.VCPU_{8 * width}": size for width, size in libxc.VCPU_CONTEXT_SIZES.items()
    }
