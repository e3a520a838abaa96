"""Two streams compared: what is alike is alike in any form, and what differs is named, and nothing else."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import streamfmt

from ..api import Form
from ..cli.main import main
from ..compare import configurations, items, records, side
from ..compare.leaves import Leaf, _Walk
from ..corpus import store
from ..strategies import Sample, mutations, streams
from ..writer import Draft, Part, builders, record
from .support.good_streams import GOOD, HVM, LIBXL_HVM, PV, XL_HVM, wrapped
from .test_cli import conforms_to

Sampled = Callable[[str], bytes]
PAGE = 4096
ROOT = Path(streamfmt.__file__).parent.parent


class Pipe(io.BytesIO):
    """Bytes that come once."""

    def seekable(self) -> bool:
        return False


def of(sample: Sample) -> dict[str, object]:
    return {"form": sample.form, "guest": sample.guest}


# -- alike -------------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(streams().filter(lambda sample: sample.form != "back-channel"), st.booleans())
def test_a_stream_is_like_itself(sample: Sample, pipe: bool) -> None:
    """Any stream, be it read at any place or once: by what it means, and record by record."""
    data = sample.data
    found = streamfmt.diff(data, Pipe(data) if pipe else data, **of(sample))  # type: ignore[arg-type] # as they are

    assert (found.alike, found.differences, found.troubles, found.beside) == (True, [], {}, {})
    again = streamfmt.diff(Pipe(data), data, records=True, **of(sample))  # type: ignore[arg-type] # as they are
    assert (again.alike, again.differences) == (True, [])


@settings(max_examples=25)
@given(st.data())
def test_it_is_symmetric(data: st.DataObject) -> None:
    """The other way round, what was only in the first is only in the second."""
    form: Form = data.draw(st.sampled_from(("libxc", "libxl", "xl")))
    one, other = (data.draw(streams(form)).data for _ in range(2))
    for by_record in (False, True):
        there, back = (streamfmt.diff(*pair, records=by_record) for pair in ((one, other), (other, one)))
        assert there.alike == back.alike
        if not by_record:
            assert there.count == back.count
            turned = {
                (row.section, row.item, row.field, str(row.b), str(row.a), row.only_b) for row in back.differences
            }
            assert turned == {
                (row.section, row.item, row.field, str(row.a), str(row.b), row.only_a) for row in there.differences
            }
        if there.memory is not None and back.memory is not None:
            ranges = [{kind: list(rows) for kind, rows in found.memory.kinds.items()} for found in (there, back)]  # type: ignore[union-attr] # both have one
            ranges[1]["added"], ranges[1]["gone"] = ranges[1]["gone"], ranges[1]["added"]
            assert ranges[0] == ranges[1]


def test_containers_do_not_matter() -> None:
    """A file of xl and the image in it are alike, and what only the file has a place for is said."""
    image = HVM.render()
    for container, beside in ((wrapped(HVM), set()), (LIBXL_HVM, {"xenstore", "device model"}), (XL_HVM, None)):
        inside = streamfmt.diff(container.render(), container.render())
        assert inside.alike
        found = streamfmt.diff(container.render(), image)
        assert all(has == "a" for _, has in found.beside)
        if beside is not None:
            assert {name for name, _ in found.beside} == beside
    assert streamfmt.diff(wrapped(HVM).render(), image).alike


def reordered(stream: Draft) -> Draft:
    """With records that may come in any order in another."""
    context, params = stream.part("libxc.HVM_CONTEXT"), stream.part("libxc.HVM_PARAMS")
    parts = [
        {context: params, params: context}.get(part, part) if part in (context, params) else part
        for part in stream.parts
    ]
    return replace(stream, parts=tuple(parts))


def image(pages: dict[int, bytes], order: list[int], size: int) -> bytes:
    """The memory in an HVM image, in that order and in batches of so many."""
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    parts = [builders.page_data(batch, "NOTAB", [pages[pfn] for pfn in batch]) for batch in batches]
    return filled(*parts).render()


def filled(*parts: Part) -> Draft:
    """An HVM image with these parts in the place of its memory."""
    first = [part.path for part in HVM.parts].index("libxc.PAGE_DATA")
    after = [part for part in HVM.parts[first:] if part.path != "libxc.PAGE_DATA"]
    return replace(HVM, parts=(*HVM.parts[:first], *parts, *after))


memories = st.dictionaries(st.integers(0, 90) | st.integers(500, 530), st.sampled_from((0, 0, 1, 2, 3)), min_size=1)


@settings(max_examples=40)
@given(memories, memories, st.randoms(use_true_random=False), st.integers(1, 70), st.booleans())
def test_frames_are_reported_exactly(
    one: dict[int, int], other: dict[int, int], random: object, size: int, pipe: bool
) -> None:
    """In whatever order and batches they come: those that changed, those that are new, those that are gone."""
    a, b = ({pfn: bytes([fill]) * PAGE for pfn, fill in memory.items()} for memory in (one, other))
    order = list(b)
    random.shuffle(order)  # type: ignore[attr-defined] # it is a Random
    data = image(b, order, size)
    found = streamfmt.diff(image(a, sorted(a), 1024), Pipe(data) if pipe else data)
    assert found.memory is not None
    frames = {
        kind: {pfn for first, count in rows for pfn in range(first, first + count)}
        for kind, rows in found.memory.kinds.items()
    }

    assert frames["changed"] == {pfn for pfn in a.keys() & b.keys() if a[pfn] != b[pfn]}
    assert (frames["added"], frames["gone"]) == (b.keys() - a.keys(), a.keys() - b.keys())
    assert (frames["retyped"], found.count, found.memory.both) == (set(), 0, len(a.keys() & b.keys()))
    assert all(len(frames[kind]) == rows.count for kind, rows in found.memory.kinds.items())


def test_types_of_frames_and_holes() -> None:
    """A frame that is another kind of page table is one; one that is only allocated is zero."""
    tables = PV.part("libxc.PAGE_DATA")
    entries = [*tables.values["entries"]]
    shape = [(entry & (1 << 52) - 1, entry >> 60) for entry in entries]
    place = next(number for number, (_, kind) in enumerate(shape) if kind == 0)
    entries[place] |= 1 << 60
    found = streamfmt.diff(PV.render(), PV.swap("libxc.PAGE_DATA", replace_values(tables, entries=entries)).render())
    assert found.memory is not None
    assert list(found.memory.kinds["retyped"]) == [(shape[place][0], 1)]
    assert found.memory.kinds["changed"].count == 0
    zero = HVM.swap("libxc.PAGE_DATA", builders.page_data([5], "NOTAB", [bytes(PAGE)]))
    bare = HVM.swap("libxc.PAGE_DATA", builders.page_data([5], "XALLOC", []))
    assert streamfmt.diff(zero.render(), bare.render()).alike


def replace_values(part: Part, **values: object) -> Part:
    return record(part.path, **{**part.values, **values})


def test_order_matters_to_records_only() -> None:
    """Records in another order say the same; --records sees that they moved."""
    one, other = HVM.render(), reordered(HVM).render()
    assert one != other
    assert streamfmt.diff(one, other).alike
    found = streamfmt.diff(one, other, records=True)
    assert {row.section for row in found.differences} <= {"libxc.HVM_CONTEXT", "libxc.HVM_PARAMS"}
    assert found.count == 2


@pytest.mark.parametrize("name", ["legacy-44-hvm-64", "legacy-44-pv-64-live", "legacy-44-pv-64-on-32"])
def test_a_converted_stream_is_alike(name: str, tmp_path: Path) -> None:
    """What convert makes of a stream of Xen 4.4 says the same of the guest."""
    source, target = ROOT / "corpus" / "real" / f"{name}.bin.gz", tmp_path / "new"
    assert main(["convert", "-q", "--allow-loss", str(source), str(target)]) == 0
    found = streamfmt.diff(source, target)
    assert found.differences == []
    assert found.alike


# -- one thing differs -------------------------------------------------------------------------------------------------


ALTERED = [
    ("hvm", "X86_TSC_INFO.khz=5", "TSC", "", "khz"),
    ("hvm", "HVM_PARAMS.STORE_PFN=5", "HVM parameters", "", "STORE_PFN"),
    ("pv", "X86_PV_P2M_FRAMES.end_pfn=2", "P2M frames", "", "end_pfn"),
]


@pytest.mark.parametrize(("name", "change", "section", "item", "field"), ALTERED)
def test_one_altered_field_is_named(
    name: str, change: str, section: str, item: str, field: str, tmp_path: Path
) -> None:
    """And nothing else differs."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(GOOD[name].render())
    assert main(["edit", str(one), "--set", change, "--force", "-o", str(other)]) in (0, 1)
    (row,) = streamfmt.diff(one, other).differences
    assert (row.section, row.item, row.field) == (section, item, field)
    (again,) = streamfmt.diff(one, other, records=True).differences
    assert again.field == field


@cache
def _real(name: str) -> bytes:
    import gzip

    return gzip.decompress((ROOT / "corpus" / "real" / name).read_bytes())


def bodies(data: bytes) -> dict[str, tuple[int, int]]:
    """Where the bodies of a stream's records are, but for those of pages, and how long."""
    with streamfmt.open(data) as stream:
        return {
            f"{item.name}/{item.offset}": (item.body, item.length)
            for item in stream
            if isinstance(item, streamfmt.Record) and item.name != "PAGE_DATA" and item.length
        }


# Lists of what may be zero: bytes before them, of an element, and of its name.
UNSET = {"X86_CPUID_POLICY": (0, 24, 8), "HVM_PARAMS": (8, 16, 8)}


@settings(max_examples=60)
@given(st.sampled_from(("hvm-64.bin.gz", "pv-24.bin.gz")), st.data())
def test_any_altered_bit_is_seen(name: str, data: st.DataObject) -> None:
    """Whatever bit of a body that is no page it is: something differs in that record, and in no other."""
    whole = _real(name)
    places = bodies(whole)
    key = data.draw(st.sampled_from(sorted(places)))
    start, length = places[key]
    at = start + data.draw(st.integers(0, length - 1))
    head, size, values = UNSET.get(key.partition("/")[0], (0, 1, 0))
    element = start + head + (at - start - head) // size * size
    # What is zero is as if it were not there, whatever its name.
    assume(at - start < head or not values or any(whole[element + values : element + size]))
    changed = bytearray(whole)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    found = streamfmt.diff(whole, bytes(changed))

    assert not found.alike
    assert found.count >= 1
    assert len({row.section for row in found.differences}) == 1
    again = streamfmt.diff(whole, bytes(changed), records=True)
    assert {row.section.partition(".")[2] for row in again.differences} == {key.partition("/")[0]}


def test_registers_and_features_have_names() -> None:
    """An entry of an HVM context by its name and instance, a bit of a register and of a policy by its own."""
    whole = bytearray(_real("hvm-64.bin.gz"))
    cpu = whole.index((2).to_bytes(2, "little") + bytes(2) + (1032).to_bytes(4, "little")) + 8
    cr4 = cpu + 0x200 + 16 * 8 + 8 + 8 + 3 * 8
    changed = bytearray(whole)
    changed[cr4] ^= 1 << 4  # pse
    leaf = whole.index(bytes((1, 0, 0, 0)) + b"\xff" * 4)
    changed[leaf + 16 + 3] ^= 1 << 4  # ecx, bit 28
    found = {
        (row.section, row.item, row.field): row for row in streamfmt.diff(bytes(whole), bytes(changed)).differences
    }

    assert found.keys() == {("HVM context", "CPU", "cr4"), ("CPUID policy", "", "leaf 0x1 ecx")}
    assert {row.only_a + row.only_b for row in found.values()} == {("pse",), ("avx",)}


CONFIGURATIONS = {
    "json": (
        b'{"c_info": {"name": "a"}, "b": [1, {"x": true}]}',
        b'{"b":[1,{"x":false}],"c_info":{"name":"a"}}',
        "b[1].x",
    ),
    "text": (b"name='a'\n# x\nvcpus = 2\ndisk = [ 'p',\n 'q' ]\n", b"vcpus=2\nname='a'\ndisk = [ 'p', 'r' ]", "disk"),
    "xml": (
        b"<domain type='xen'><name>a</name><devices><disk/><disk dev='b'/></devices></domain>",
        b"<domain type='xen'>\n <name>a</name><devices><disk/><disk dev='c'/></devices></domain>",
        "devices/disk[1]@dev",
    ),
    "sexpr": (
        b"(domain (name a) (image (hvm (pae 1))))",
        b"(domain  (name a) (image (hvm (pae 0))))",
        "domain.image.hvm.pae",
    ),
}


@pytest.mark.parametrize("form", CONFIGURATIONS)
def test_configurations_are_compared_by_value(form: str) -> None:
    """How a text is written does not matter, and the value that differs is named."""
    one, other, path = CONFIGURATIONS[form]
    a, b = configurations.leaves_of({"": Leaf(one)}, {"": Leaf(other)})
    assert a.keys() == b.keys()
    assert [name for name in a if a[name] != b[name]] == [path]


def test_configurations_of_two_forms() -> None:
    """Of two forms what both say is compared; a broken text is compared by lines."""
    a, b = configurations.leaves_of(
        {"": Leaf(b'{"c_info": {"name": "a", "type": "hvm"}}')}, {"": Leaf(b"<domain><name>b</name></domain>")}
    )
    assert (a["name"].value, b["name"].value) == ("a", "b")
    for text in (b'{"a": ', b"<a", b"(a", b"[" * 100_000, b"{" + b'"a":{' * 5000, b"(" * 5000, b"disk = ["):
        a, b = configurations.leaves_of({"": Leaf(text)}, {"": Leaf(text + b"\n")})
        assert a == b


def test_xenstore_keys() -> None:
    """Keys are compared by their names, whatever their order."""

    def keys(*pairs: tuple[str, str]) -> bytes:
        path = "libxl.EMULATOR_XENSTORE_DATA"
        rows = [{"key": key.encode(), "value": value.encode()} for key, value in pairs]
        return LIBXL_HVM.swap(path, replace_values(LIBXL_HVM.part(path), pairs=rows)).render()

    one, other = keys(("a", "1"), ("b", "2")), keys(("b", "3"), ("a", "1"), ("c", ""))
    rows = streamfmt.diff(one, other).differences
    assert [(row.section, row.field, row.a, row.b) for row in rows] == [
        ("xenstore", "b", "2", "3"),
        ("xenstore", "c", None, ""),
    ]


@cache
def described() -> bytes:
    """A migration of QEMU with a device and its description."""
    return _real("mig-none-1M.bin.gz")


def test_devices_are_compared_by_their_fields() -> None:
    """A section of QEMU is known by its name, and its fields by the description after it."""
    whole = described()
    place = whole.index(b"globalstate")
    state = whole.index(b"prelaunch", place)
    changed = bytearray(whole)
    changed[state : state + 9] = b"postlaunc"
    found = streamfmt.diff(whole, bytes(changed))
    (row,) = found.differences
    assert (row.section, row.item, row.field) == ("devices", "globalstate 0", "runstate")
    again = streamfmt.diff(whole, whole)
    assert again.alike
    assert any("block" in note for note in again.notes)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files by what they are."""
    found = {
        "one": HVM.render(),
        "other": HVM.swap("libxc.PAGE_DATA", builders.page_data([1], "NOTAB", [b"x" * PAGE])).render(),
        "pv": PV.render(),
        "cut": HVM.render()[:-30],
        "text": b"hello\n" * 100,
        "empty": b"",
    }
    for name, data in found.items():
        (tmp_path / name).write_bytes(data)
    return {name: str(tmp_path / name) for name in found} | {"missing": str(tmp_path / "none"), "folder": str(tmp_path)}


STATUSES = [
    (["{one}", "{one}"], 0, "", "alike"),
    (["{one}", "{other}"], 1, "", "they differ"),
    (["--records", "{one}", "{other}"], 1, "", "libxc.PAGE_DATA"),
    (["{one}", "{pv}"], 1, "", "of two kinds, HVM and PV"),
    (["--no-contents", "{one}", "{one}"], 0, "", "not looked at"),
    (["{one}", "{cut}"], 1, "the input ends", "A  "),
    (["{cut}", "{cut}"], 1, "the input ends", "no difference as far as they go"),
    (["--records", "{cut}", "{cut}"], 1, "the input ends", "no difference as far as they go"),
    (["{one}", "{text}"], 1, "not a migration stream", ""),
    (["{empty}", "{one}"], 1, "empty", ""),
    (["--records", "{one}", "{text}"], 1, "not a migration stream", ""),
    (["--as-b", "legacy-64", "{one}", "{one}"], 1, "not a valid legacy-64 header", "they differ"),
    (["{one}"], 2, "two streams are wanted", ""),
    (["-", "-"], 2, "standard input", ""),
    (["--records", "--no-contents", "{one}", "{one}"], 2, "--no-contents", ""),
    (["--policy", "{one}", "{one}", "{one}"], 2, "one stream", ""),
    (["{one}", "{missing}"], 3, "No such file", ""),
    (["--records", "{missing}", "{one}"], 3, "No such file", ""),
    (["{folder}", "{one}"], 3, "directory", ""),
]


@pytest.mark.parametrize(
    ("words", "status", "error", "output"),
    STATUSES,
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_statuses(
    words: list[str],
    status: int,
    error: str,
    output: str,
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 alike, 1 different or damaged, 2 wrong usage, 3 what cannot be read; each says why, in 80 columns."""
    given = [word.format_map(files) for word in words]
    assert main(["diff", *given]) == status
    shown = capsys.readouterr()
    assert error in shown.err
    assert (error == "") == (shown.err == "")
    assert output.strip() in shown.out
    assert all(len(line) <= 80 or str(files["folder"]) in line for line in shown.out.splitlines())
    if status != 2:
        assert main(["diff", "--json", *given]) == status
        printed = json.loads(capsys.readouterr().out)
        assert printed["status"] == status
        conforms_to("diff", printed)


def test_many_differences_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first are shown, and how many more there are; --all shows them, -q one line."""
    frames = range(0, 400, 2)
    names = []
    for fill in b"ab":
        contents = [bytes([fill]) * PAGE for _ in frames]
        params = [{"index": number, "value": fill} for number in range(1, 37)]
        stream = filled(builders.page_data(list(frames), "NOTAB", contents))
        stream = stream.swap(
            "libxc.HVM_PARAMS", replace_values(stream.part("libxc.HVM_PARAMS"), count=len(params), params=params)
        )
        names.append(str(tmp_path / chr(fill)))
        Path(names[-1]).write_bytes(stream.render())
    assert main(["diff", *names]) == 1
    some = capsys.readouterr().out
    assert "and 16 more; --all shows them" in some
    assert "and 152 more; --all shows them" in some
    assert main(["diff", "--all", *names]) == 1
    every = capsys.readouterr().out
    assert "more" not in every
    assert len(every.splitlines()) > len(some.splitlines())
    assert main(["diff", "-q", *names]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_standard_input(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Either may come through a pipe."""
    for words in (["-", files["one"]], [files["one"], "-"], ["--records", "-", files["one"]]):
        reading, writing = os.pipe()
        os.write(writing, HVM.render())
        os.close(writing)
        before = os.dup(0)
        os.dup2(reading, 0)
        os.close(reading)
        try:
            assert main(["diff", *words]) == 0
        finally:
            os.dup2(before, 0)
            os.close(before)
        assert "alike" in capsys.readouterr().out


# -- bad input ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given((streams("libxl") | streams("libxc")).flatmap(mutations), streams("libxc"))
def test_damaged_streams_are_compared_as_far_as_they_go(damaged: bytes, other: Sample) -> None:
    """Whatever is wrong with one of them: a result, or a refusal."""
    for by_record in (False, True):
        try:
            found = streamfmt.diff(damaged, other.data, records=by_record)
        except streamfmt.StreamError:
            continue
        assert found.alike == (not (found.count or found.troubles) and (found.memory is None or found.memory.alike))
        json.dumps(found.as_dict())


def test_every_stream_of_the_corpus() -> None:
    """Each is like itself, whatever rules it breaks, or is refused."""
    for row in store.read_index()[::13]:
        data = b"".join(map(bytes, store.pieces(row)))
        if len(data) > 1 << 20:
            continue
        try:
            found = streamfmt.diff(data, data)
        except streamfmt.StreamError:
            continue
        assert (found.count, found.memory is None or found.memory.alike) == (0, True), row["id"]


def test_records_that_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that are not kept a digest is compared, and long bodies as bytes."""
    monkeypatch.setattr(side, "ITEMS_MAX", 2)
    whole = _real("hvm-64.bin.gz")
    assert streamfmt.diff(whole, whole).alike
    start, _ = next(place for name, place in bodies(whole).items() if name.startswith("HVM_PARAMS"))
    changed = bytearray(whole)
    changed[start + 20] ^= 1
    (row,) = streamfmt.diff(whole, bytes(changed)).differences
    assert row.section == "more records"
    monkeypatch.undo()
    monkeypatch.setattr(items, "DECODE_MAX", 64)
    (row,) = streamfmt.diff(whole, bytes(changed)).differences
    assert (row.section, row.field) == ("HVM parameters", "body")
    assert row.a["at"] == 20  # type: ignore[index] # of bytes


@settings(max_examples=40)
@given(st.lists(st.integers(0, 9), max_size=300), st.data())
def test_records_align_again(kinds: list[int], data: st.DataObject) -> None:
    """Records that are left out are those that are only in one, and all others belong together."""

    def seen(number: int, kind: int) -> records.Seen:
        return records.Seen(f"kind {kind}", number, number, 1, bytes((number % 256, number // 256)), b"x", "<")

    rows = [seen(number, kind) for number, kind in enumerate(kinds)]
    gone = data.draw(st.sets(st.integers(0, max(len(rows) - 1, 0)), max_size=5))
    some = [row for number, row in enumerate(rows) if number not in gone]
    found = list(records.pairs(iter(rows), iter(some)))

    assert [left for left, _ in found] == rows
    assert [right for _, right in found if right is not None] == some
    assert all(left == right for left, right in found if right is not None)


def test_many_of_a_name_take_no_longer_each() -> None:
    """Of a name that comes again and again each is looked for where it will be."""

    class Counted(dict[str, Leaf]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            self.asked += 1
            return super().__contains__(name)

    walk, many = _Walk(b"", 0), 500
    walk.found = found = Counted()
    for number in range(many):
        walk._put("name", Leaf(number))
    assert list(found)[:3] == ["name", "name (2)", "name (3)"]
    assert len(found) == many
    assert found.asked <= 2 * many
