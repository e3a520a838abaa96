"""What is whole in a damaged stream comes out of it unchanged, and nothing that was not in it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from struct import pack

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from .. import tables
from ..cli.main import main
from ..convert.salvage_frames import DOUBTFUL, OLDER, WHOLE, Frames
from ..convert.salvage_state import UnsalvageableError
from ..corpus import entries
from ..strategies import streams
from ..writer import Draft
from .support.good_streams import GOOD, HVM, LIBXL_HVM, LIBXL_REMUS, PV, REMUS_HVM, XL_HVM
from .support.salvaged import Item, items, salvaged
from .test_cli import conforms_to

END = bytes(8)
_PAGE = tables.PAGE_SIZE
FORMS = ("libxc", "libxl", "xl", "libvirt", "xapi")
# A damage: its kind, where it begins, as a part of the whole, and how many bytes it is about.
DAMAGES = st.tuples(
    st.sampled_from(("gap", "text", "zeros", "cut")),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from((1, 3, 8, 16, 25, 100, 512, 4096, 5000, 9000)),
)


def damaged(data: bytes, kind: str, at: int, count: int) -> tuple[bytes, int, int]:
    """The bytes with one stretch damaged, and from where to where of the original that is."""
    stop = min(at + count, len(data))
    if kind == "gap":
        return data[:at] + data[stop:], at, stop
    if kind == "text":
        text = b"xc: info: Saving memory: 4/16  25%\r\n"
        return data[:at] + (text * (count // len(text) + 1))[:count] + data[at:], at, at
    if kind == "zeros":
        return data[:at] + bytes(stop - at) + data[stop:], at, stop
    return data[:at], at, len(data)


def state_of(found: list[Item]) -> set[tuple[str, str, bytes]]:
    """Records but pages."""
    return {(item.layer, item.name, item.body) for item in found if not item.pages}


def held_against(before: list[Item], after: list[Item], lo: int, hi: int, checkpoint: int) -> None:
    """That all records of the original outside `lo` to `hi` are in the salvaged one, and nothing else.

    That before the damaged one may be missing, since it cannot be known that nothing was lost in it.
    """
    pages = {page for item in before for page in item.pages}
    known = state_of(before)
    for item in after:
        assert all(page in pages for page in item.pages), (item.start, item.name)
        if not item.pages and not item.name.endswith("header") and item.body:
            assert (item.layer, item.name, item.body) in known, (item.start, item.name)
    first = next((number for number, item in enumerate(before) if item.stop > lo), len(before))
    head = next((item.start for item in before if item.layer == "libxc" and not item.name.endswith("header")), 0)
    there, sent = state_of(after), {page for item in after for page in item.pages}
    for number, item in enumerate(before):
        outside = item.stop <= lo or item.start >= hi
        # What is in doubt; and of headers and containers that are damaged others may be made, or none.
        spared = number in (first - 1, first) or item.name.endswith("header") or (lo <= head and item.layer != "libxc")
        if not outside or spared or item.layer not in ("libxc", "libxl", "xapi") or 0 <= checkpoint <= item.start:
            continue
        assert set(item.pages) <= sent if item.pages else (item.layer, item.name, item.body) in there, item.start


@settings(max_examples=40, deadline=None)
@given(
    sample=st.sampled_from(FORMS).flatmap(streams),  # type: ignore[arg-type] # they are forms
    damage=DAMAGES,
)
def test_one_damage(sample: object, damage: tuple[str, float, int]) -> None:
    """Of a stream with one damaged stretch, wherever it is."""
    data = sample.data  # type: ignore[attr-defined] # it is a Sample
    kind, part, count = damage
    broken, lo, hi = damaged(data, kind, int(part * len(data)), count)
    assume(broken != data)
    try:
        found, outcome, out = salvaged(broken)
    except UnsalvageableError:
        before = items(data)
        assert not [item for item in before if item.layer == "libxc" and item.stop < lo and item.body][2:]
        return
    # What moves no record cannot be seen; nor can a few bytes that are missing just where the end is.
    if found.gaps and (kind == "cut" or not found.gaps[-1].why.startswith("the input ends here")):
        held_against(items(data), items(out), lo, hi, found.checkpoint)
    assert outcome.conforms or outcome.errors or not found.layers


@pytest.mark.parametrize("name", GOOD)
def test_sound_streams(name: str) -> None:
    """A stream without damage comes out as it was, byte for byte, whatever it is."""
    form = name if name == "back-channel" else "auto"
    data = GOOD[name].render()
    found, outcome, out = salvaged(data, form)

    assert out == data
    assert outcome.conforms
    assert not found.gaps
    assert found.made == found.left_out == []


def test_what_keeps_rules() -> None:
    """And each vector of the corpus that keeps a rule narrowly, but for those that a receiver could not use."""
    count = 0
    for entry in entries.entries():
        if entry.kind != "accepted" or entry.recipe.stream.size > 64 << 10:
            continue
        data = entry.recipe.stream.render()
        try:
            found, outcome, out = salvaged(data, entry.recipe.form)
        except UnsalvageableError:
            continue
        assert out == data or found.gaps or not outcome.conforms, entry.id
        count += 1
    assert count > 100


def test_large_batches() -> None:
    """Batches larger than any writer's are taken as they are."""
    for count in (5000, (1 << 17) + 1):
        bare = pack("<4I", 1, 8 + 8 * count, count, 0) + pack("<Q", 0xF << 60 | 7) * count
        data = image(HVM, bare)

        assert salvaged(data)[2] == data


@settings(max_examples=15, deadline=None)
@given(streams(unknown=True))
def test_any_sound_stream(sample: object) -> None:
    """And so does any that the strategies make, with records that newer writers may put there."""
    data, form = sample.data, sample.form  # type: ignore[attr-defined] # it is a Sample
    found, _, out = salvaged(data, form)

    assert out == data
    assert not found.gaps
    assert not found.left_out


def batch(*frames: int, content: bytes = b"\x5a" * _PAGE) -> bytes:
    """A PAGE_DATA record of these frames."""
    count = len(frames)
    return pack(f"<4I{count}Q", 1, 8 + count * (8 + _PAGE), count, 0, *frames) + content * count


def image(stream: Draft, *batches: bytes) -> bytes:
    """The stream with more batches before its state."""
    data, at = stream.render(), stream.offset("libxc.X86_TSC_INFO")
    return data[:at] + b"".join(batches) + data[at:]


def frames_of(data: bytes) -> list[int]:
    """Frames of the pages of a stream, in order."""
    return [frame for item in items(data) for frame, _, _ in item.pages]


BATCHES = [batch(*range(at, at + 4)) for at in range(0x100, 0x140, 4)]


def test_a_stream_inside_the_guest() -> None:
    """A page that holds a saved stream is a page: what it holds is no part of the guest's own, damaged or not."""
    page = (pack("<4IQ", 1, 16, 1, 0, 0xF << 60 | 0x901) * 170).ljust(_PAGE, b"\0")
    inside = batch(0x200, 0x201, content=page)
    data = image(HVM, *BATCHES[:4], inside, *BATCHES[4:8])
    at = data.index(inside)
    for broken in (data, data[: at + 100] + data[at + 101 :], data[: at + 4] + b"\xff" + data[at + 5 :]):
        _, outcome, out = salvaged(broken)

        assert outcome.conforms
        assert 0x901 not in frames_of(out)


def test_whole_pages_of_a_cut_batch() -> None:
    """Pages that came whole before the end are kept, behind a new header; the rest is listed."""
    data = image(XL_HVM, *BATCHES[:2])
    cut = data.index(BATCHES[1]) + 16 + 4 * 8 + 2 * _PAGE + 100
    found, outcome, out = salvaged(data[:cut])

    assert frames_of(out)[-6:] == [0x100, 0x101, 0x102, 0x103, 0x104, 0x105]
    assert not outcome.conforms
    assert found.made == ["the header of a PAGE_DATA record of 2 entries", "libxc END", "libxl END"]
    assert list(found.frames.ranges(2)) == [(0x106, 0x107)]


@pytest.mark.parametrize("stream", [HVM, LIBXL_HVM, XL_HVM], ids=["libxc", "libxl", "xl"])
def test_without_its_beginning(stream: Draft) -> None:
    """The second part of a split file has headers made for it, and the layers that it shows to have been there."""
    data = image(stream, *BATCHES)
    found, outcome, out = salvaged(data[data.index(BATCHES[2]) - 50 :])

    assert outcome.conforms
    assert frames_of(out) == list(range(0x108, 0x140))
    assert [item.name for item in items(out)][-1] == "END"
    assert ("EMULATOR_CONTEXT" in {item.name for item in items(out)}) == (stream is not HVM)
    assert found.bare


@pytest.mark.parametrize("at", range(8))
def test_a_header_that_was_altered(at: int) -> None:
    """Type or length of a batch in the midst: its pages are whole, so it is made anew; nothing else is doubted."""
    data = bytearray(image(HVM, *BATCHES))
    data[data.index(BATCHES[5]) + at] ^= 0x40
    found, outcome, out = salvaged(bytes(data))

    assert outcome.conforms
    assert out == image(HVM, *BATCHES)
    assert found.made


@pytest.mark.parametrize("stream", [HVM, LIBXL_HVM, XL_HVM], ids=["libxc", "libxl", "xl"])
def test_zeros_to_the_end(stream: Draft) -> None:
    """Where data was never written there is no end, and the batch before may lack some: it is left out."""
    data = image(stream, *BATCHES)
    at = data.index(BATCHES[-1]) + 9000
    found, outcome, out = salvaged(data[:at] + bytes(len(data) - at))

    assert not outcome.conforms
    assert frames_of(out)[-4:] == list(range(0x138, 0x13C))
    assert found.gaps[-1].stop is None
    assert found.owed


def test_cut_inside_zeros() -> None:
    """Numbers in a batch's header look like a record, and zeros in its pages like ends; they are none."""
    zeros = batch(*range(0x200, 0x204), content=bytes(_PAGE))
    data = image(XL_HVM, *BATCHES[:2], zeros)
    found, _, out = salvaged(data[: data.index(zeros) + 16 + 32 + _PAGE + 9])

    assert frames_of(out)[-1] == 0x200
    assert "CHECKPOINT" not in {item.name for item in items(out)}
    assert len(found.gaps) == 1


def test_several_gaps() -> None:
    """What lies between two gaps is taken where it is more than a batch could hold."""
    batches = [batch(*range(at, at + 600)) for at in range(0, 4800, 600)]
    data = image(HVM, *batches)
    first, second = data.index(batches[1]) + 5000, data.index(batches[5]) + 5000
    broken = data[:first] + data[first + 77 : second] + data[second + 3000 :]
    found, outcome, out = salvaged(broken)

    assert outcome.conforms
    assert set(range(4800)) - set(frames_of(out)) == {*range(600, 1200), *range(3000, 3600)}
    assert list(found.frames.ranges(2)) == [(600, 1199), (3000, 3599)]


def test_checkpoints() -> None:
    """A checkpointed stream is good as of its last complete checkpoint; what follows means nothing without the rest."""
    for stream in (REMUS_HVM, LIBXL_REMUS):
        data = stream.render()
        closing = "CHECKPOINT_END" if stream is LIBXL_REMUS else "CHECKPOINT"
        first = next(item.stop for item in items(data) if item.name == closing)
        found, outcome, out = salvaged(data[: first + 30] + data[first + 60 :])

        assert outcome.conforms
        assert out == data[:first]
        assert found.checkpoint == first


def test_doubtful_records() -> None:
    """With `doubtful` there are as many pages of a damaged batch as there is room for."""
    data = image(HVM, *BATCHES)
    at = data.index(BATCHES[5]) + 16 + 32 + _PAGE + 10
    broken = data[:at] + data[at + 500 :]
    assert 0x114 not in frames_of(salvaged(broken)[2])
    found, outcome, out = salvaged(broken, doubtful=True)

    assert outcome.conforms
    assert [frame for frame in frames_of(out) if 0x114 <= frame < 0x118] == [0x114, 0x115, 0x116]
    assert list(found.frames.ranges(2)) == [(0x114, 0x117)]


@settings(max_examples=30, deadline=None)
@given(
    notes=st.lists(
        st.tuples(st.booleans(), st.lists(st.integers(0, 40) | st.integers(4000, 4200) | st.integers(20_000, 20_004)))
    )
)
def test_frames(notes: list[tuple[bool, list[int]]]) -> None:
    """What is known of each frame, in ranges: the same as frame by frame."""
    frames = Frames()
    known: dict[int, int] = {}
    for whole, numbers in notes:
        (frames.whole if whole else frames.doubtful)(numbers)
        for number in numbers:
            known[number] = WHOLE if whole else OLDER if known.get(number, 0) in (WHOLE, OLDER) else DOUBTFUL
    for state in (0, WHOLE, DOUBTFUL, OLDER):
        ranges = list(frames.ranges(state))
        listed = [number for first, last in ranges for number in range(first, last + 1)]
        assert listed == [number for number in range(max(known, default=-1) + 1) if known.get(number, 0) == state]
        assert all(last + 1 < first for (_, last), (first, _) in pairwise(ranges))


def test_frames_far_apart() -> None:
    """Frames of a stream that lies cost no more than a limit allows, and no time by their numbers."""
    frames = Frames()
    frames.whole([0, 1 << 51])

    assert list(frames.ranges(0)) == [(1, (1 << 51) - 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamfmt.convert.salvage_frames._BLOCKS_MAX", 3)
        frames.whole(range(1 << 20, 2 << 20, 1 << 16))
    assert frames.untracked == 15


# -- the command --------------------------------------------------------------------------------------------------


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    status = main(["salvage", *words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report in words and in JSON, to a file too; the input stays as it is."""
    source, target = tmp_path / "damaged.sav", tmp_path / "mended.sav"
    data = image(XL_HVM, *BATCHES)
    at = data.index(BATCHES[5]) + 100
    source.write_bytes(broken := data[:at] + data[at + 9 :])
    status, out, _ = told([str(source), str(target)], capsys)

    assert status == 1
    assert "PAGE_DATA is left out (4 frames, 0x114 to 0x117)" in " ".join(out.split())
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 80
    assert source.read_bytes() == broken
    assert main(["verify", "-q", str(target)]) == 0
    capsys.readouterr()
    report = tmp_path / "report"
    status, out, _ = told([str(source), str(target), "--json", "--report", str(report)], capsys)
    values = json.loads(report.read_text())
    conforms_to("salvage", values)
    assert (status, values["status"], values["written"]) == (1, 1, target.stat().st_size)
    assert values["frames"]["doubtful"] == {"count": 4, "ranges": [["0x114", "0x117"]], "more": 0}


def test_no_conforming_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the vcpus' state there is none: nothing is written, unless that is asked for."""
    source, target = tmp_path / "damaged.sav", tmp_path / "mended.sav"
    source.write_bytes(PV.render()[: PV.offset("libxc.X86_PV_VCPU_BASIC")])
    status, out, _ = told([str(source), str(target)], capsys)

    assert status == 1
    assert "X86_PV_VCPU_BASIC: the registers of its vcpus" in out
    assert not target.exists()
    status, out, _ = told([str(source), str(target), "--incomplete"], capsys)
    assert status == 1
    assert "does not conform" in out
    assert frames_of(target.read_bytes()) == frames_of(PV.render())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"\x37" * 100_000, "no record of a stream is found"),
        (bytes(70_000), "no record of a stream is found"),
        (image(XL_HVM, *[batch(0x300, content=b"\n\x81" * 2048)] * 2).replace(b"\n", b"\r\n"), "binary mode"),
        (b"QEVM" + bytes(5000), "QEMU"),
    ],
    ids=["empty", "noise", "zeros", "CR LF", "other"],
)
def test_nothing_to_salvage(data: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and why, and writes nothing."""
    source, target = tmp_path / "damaged.sav", tmp_path / "mended.sav"
    source.write_bytes(data)
    status, out, err = told([str(source), str(target)], capsys)

    assert (status, out) == (1, "")
    assert words in err
    assert not target.exists()
    status, out, _ = told([str(source), str(target), "--json"], capsys)
    conforms_to("salvage", json.loads(out))


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pipes, compressed files, and an output that is the input, are refused with what to do."""
    source = tmp_path / "guest.sav"
    source.write_bytes(HVM.render())
    packed = tmp_path / "guest.sav.gz"
    packed.write_bytes(b"\x1f\x8b\x08\0" + bytes(100))
    for words in (["-", "x"], [str(source), "-"], [str(source), str(source)], [str(packed), "x"]):
        assert told(words, capsys)[0] == 2
    assert told([str(tmp_path / "none"), "x"], capsys)[0] == 3
    assert told([str(tmp_path), "x"], capsys)[0] == 3


def test_hostile_bytes() -> None:
    """Headers everywhere that lead nowhere take bounded time: the search gives up after so many."""
    data = HVM.upto("libxc.X86_TSC_INFO").render() + b"\xff" * 8 + pack("<2I", 12, 0x7FFFFF) * 20_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamfmt.convert.salvage_search.STEPS_MAX", 5000)
        found, _, out = salvaged(data)

    assert found.trail.steps <= 0
    assert set(frames_of(out)) <= set(frames_of(HVM.render()))


def test_many_records_of_unknown_types() -> None:
    """A trail is followed to the end once, not again from each of its records: all of them stay, in few steps."""
    many = 200
    odd = pack("<3I4x", 0x80000077, 4, 0x1000) * many
    data = HVM.render()
    at = len(data) - len(END)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamfmt.convert.salvage_search.STEPS_MAX", 10 * many)
        found, _, out = salvaged(data[:at] + odd + data[at:])

    assert out == data[:at] + odd + data[at:]
    assert not found.gaps
