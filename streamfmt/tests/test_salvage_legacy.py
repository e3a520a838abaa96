"""Legacy streams that are damaged: what is whole comes out, in the same form, and nothing that was not in it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from struct import unpack_from

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import tables
from ..cli.main import main
from ..convert.salvage_frames import DOUBTFUL, OLDER
from ..convert.salvage_state import UnsalvageableError
from ..errors import StreamError
from ..recipes.load import load
from .support.salvaged import salvaged
from .test_salvage import damaged

_PAGE = tables.PAGE_SIZE
# Form, guest, release, and the rest: of every width, container and era.
GUESTS = {
    "hvm-64": ("legacy-64", "hvm", "4.4", ""),
    "hvm-32": ("legacy-32", "hvm", "4.1", ""),
    "pv-64": ("legacy-64", "pv", "4.4", "vcpus = 2\n"),
    "pv-32": ("legacy-32", "pv", "3.4", "bits = 32\n"),
    "early": ("legacy-32", "pv", "3.0", "bits = 32\n"),
    "xl": ("xl", "hvm", "4.4", ""),
    "xend": ("xend", "hvm", "3.4", ""),
    "xapi": ("xapi-legacy", "hvm", "4.4", ""),
    "libvirt": ("libvirt", "pv", "4.4", ""),
}
_COUNT = 20
# A batch: from where to where it lies, and its frames with their contents.
Batch = tuple[int, int, tuple[tuple[int, bytes], ...]]


@cache
def sample(name: str) -> tuple[bytes, tuple[Batch, ...]]:
    """A stream of twelve batches of random pages, and these."""
    form, guest, release, more = GUESTS[name]
    text = f'recipe = 1\nguest = "{guest}"\nform = "{form}"\nrelease = "{release}"\n{more}'
    top = "2 L4TAB_PINNED" if "32" not in more else "2 L3TAB_PINNED"
    frames = "0-239" if guest == "hvm" else f"0-1, {top}, 3-239"
    data = load(f'{text}[memory]\nframes = "{frames}"\nbatch = {_COUNT}\nfill = "random"\n').stream.render()
    found = tuple(batches(data, 4 if form == "legacy-32" else 8))
    assert len(found) == 12
    return data, found


def batches(data: bytes, word: int) -> list[Batch]:
    """The batches of a sample: they alone begin with such a number and entries."""
    found = []
    at = 0
    while at + 4 + word <= len(data):
        (count,) = unpack_from("<I", data, at)
        stop = at + 4 + (word + _PAGE) * count
        fits = 0 < count <= _COUNT and stop <= len(data)
        entries = unpack_from(f"<{count}{'I' if word == 4 else 'Q'}", data, at + 4) if fits else ()
        frames = [entry & 0xFFFFFFF for entry in entries]
        if frames and frames[-1] < 240 and len(set(frames)) == count > 9:
            contents = stop - count * _PAGE
            rows = [(pfn, data[contents + n * _PAGE : contents + (n + 1) * _PAGE]) for n, pfn in enumerate(frames)]
            found.append((at, stop, tuple(rows)))
            at = stop
        else:
            at += 1
    return found


def word_of(name: str) -> int:
    return 4 if GUESTS[name][0] == "legacy-32" else 8


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(GUESTS)),
    kind=st.sampled_from(("gap", "text", "zeros")),
    place=st.floats(0, 1, exclude_max=True),
    count=st.sampled_from((1, 3, 4, 8, 100, 4096, 5000, 9000)),
)
def test_one_damage(name: str, kind: str, place: float, count: int) -> None:
    """Damage between the first batches and the last costs what it is in, and at most the batch before it."""
    data, before = sample(name)
    # A PV guest cannot do without the first, which has its top page table.
    begin, end = before[2][0], before[-2][1]
    bad, lo, hi = damaged(data, kind, begin + int((end - begin) * place), count)
    found, outcome, out = salvaged(bad)
    after = batches(out, word_of(name))

    assert outcome.conforms, [(row.start, row.stop, row.why) for row in found.gaps]
    kept = {row for _, _, rows in after for row in rows}
    known = {row for _, _, rows in before for row in rows}
    changed = {pfn for start, stop, rows in before if start < hi and stop > lo for pfn, _ in rows}
    assert all(row in known or row[0] in changed for row in kept)
    hit = next(number for number, (_, stop, _) in enumerate(before) if stop > lo)
    for number, (start, stop, rows) in enumerate(before):
        if number != hit - 1 and (stop <= lo or start >= hi):
            assert set(rows) <= kept, number
    listed = {pfn for state in (DOUBTFUL, OLDER) for a, z in found.frames.ranges(state) for pfn in range(a, z + 1)}
    assert set(range(240)) - {pfn for pfn, _ in kept} <= listed | changed


@pytest.mark.parametrize("name", GUESTS)
def test_sound_streams(name: str) -> None:
    """What is whole comes out as it is."""
    data, _ = sample(name)
    found, outcome, out = salvaged(data)

    assert out == data
    assert outcome.conforms
    assert not found.gaps


def test_the_first_pages_of_a_damaged_batch() -> None:
    """They are taken if doubtful ones are wanted."""
    data, before = sample("hvm-64")
    start, stop, _ = before[5]
    _, outcome, out = salvaged(data[: stop - 9000] + data[stop - 5000 :], doubtful=True)
    (part,) = [row for row in batches(out, 8) if len(row[2]) < _COUNT]

    assert outcome.conforms
    assert part[2] == before[5][2][: len(part[2])] or part[2][:17] == before[5][2][:17]
    assert part[0] == start


def test_checkpoints() -> None:
    """Damage after a whole checkpoint: the stream ends with that."""
    text = 'recipe = 1\nguest = "hvm"\nform = "legacy-64"\ncheckpoints = 3\n[memory]\nframes = "0-7"\nagain = ["0-3"]\n'
    data = load(text).stream.render()
    found, outcome, out = salvaged(data[:-200])

    assert outcome.conforms
    assert data.startswith(out)
    assert 0 < found.checkpoint == len(out) < len(data) - 200


def test_a_head_that_is_damaged() -> None:
    """Nothing says then how many frames the guest has."""
    data, _ = sample("hvm-32")
    try:
        _, outcome, _ = salvaged(data[2:])
    except (UnsalvageableError, StreamError):
        return
    assert not outcome.conforms


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report says what is missing; without the state of the vcpus nothing is written."""
    data, before = sample("hvm-64")
    path, out = tmp_path / "guest.sav", tmp_path / "mended.sav"
    path.write_bytes(data[: before[4][0] + 1000] + data[before[4][0] + 1300 :])
    assert main(["salvage", str(path), str(out)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "20 frames, 0x50 to 0x63" in said
    assert "records go on at" in said
    assert main(["verify", "-q", str(out)]) == 0
    path.write_bytes(data[: before[-1][1]])
    out.unlink()
    assert main(["salvage", str(path), str(out)]) == 1
    assert "no conforming stream" in " ".join(capsys.readouterr().out.split())
    assert not out.exists()


@pytest.mark.parametrize(
    "filler", [b"\1\0\0\0", b"\xff", b"\0", b"\2\0\0\0\0\0\0\0"], ids=["ones", "all", "zeros", "words"]
)
def test_hostile_bytes(filler: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be a batch everywhere, and leads nowhere, costs no more than a number of steps."""
    data, before = sample("hvm-32")
    monkeypatch.setattr("streamfmt.convert.salvage_search.STEPS_MAX", 1 << 12)
    found, outcome, _ = salvaged(data[: before[3][1]] + filler * (40_000 // len(filler)))

    assert not outcome.conforms
    assert found.gaps
