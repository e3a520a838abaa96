"""Numbers about streams are those that plain counting gives, and pictures show them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree
from zlib import compress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..cli.main import main
from ..io.memory import MemorySource, ObjectSource, from_object
from ..io.sources import drive
from ..memory import looks
from ..memory.looks import Looks
from ..memory.map import CELLS, ROWS_MAX, Map
from ..memory.passes import PASSES_MAX
from ..memory.picture import HEIGHT, WIDTH, Picture
from ..memory.statistics import Statistics, summary
from ..render.stats import text
from ..render.stats_svg import drawing
from ..strategies import Sample, streams
from ..writer import builders
from .support import plain_memory_legacy, plain_memory_v3
from .support.good_streams import GOOD, HVM
from .support.plain_drawn import setups
from .support.plain_guests import Setup, saved
from .support.plain_memory_v3 import listed
from .test_cli import conforms_to

Sampled = Callable[[str], bytes]
PAGE = 4096


def statistics(data: bytes, looking: bool = True, again: bool = True) -> Statistics:
    """Those of a stream, from memory or from what can be read only once."""
    found = Statistics(looking=looking)
    source = MemorySource(data) if again else from_object(ObjectSource(io.BytesIO(data)), found.reader)
    found.reading(source)
    drive(found.reader.pump, source)
    found.end()
    return found


def entries_of(data: bytes) -> list[list[tuple[int, int, bytes]]]:
    """Of each batch of a stream, type, frame and page of each entry, read plainly."""
    batches = []
    for layer, kind, body in listed(data):
        if (layer, kind) == ("libxc", 1):
            count = int.from_bytes(body[:4], "little")
            values = [int.from_bytes(body[at : at + 8], "little") for at in range(8, 8 + 8 * count, 8)]
            at, rows = 8 + 8 * count, []
            for value in values:
                paged = value >> 60 < 0xD
                rows.append((value >> 60, value & (1 << 52) - 1, body[at : at + PAGE] if paged else b""))
                at += PAGE * paged
            batches.append(rows)
    return batches


@settings(max_examples=50)
@given(streams("libxc") | streams("libxl"), st.booleans(), st.booleans())
def test_numbers_are_those_of_plain_counting(sample: Sample, looking: bool, again: bool) -> None:
    """Entries, pages, zero ones, those that are alike, those sent again, frames, bytes by type: of any stream."""
    data = sample.data
    found = statistics(data, looking, again)
    rows = [row for batch in entries_of(data) for row in batch]
    paged = [(pfn, page) for _, pfn, page in rows if page]
    before: set[int] = set()
    resent = 0
    for kind, pfn, page in rows:
        resent += bool(page) and pfn in before
        if page or kind == 0xE:
            before.add(pfn)

    assert (found.passes.pages, found.passes.again) == (len(paged), resent)
    assert found.as_dict()["pages"]["entries"] == len(rows)
    assert sum(kind.bytes for kind in found.kinds.values()) == len(data) == found.size
    facts = summary(found)
    image = plain_memory_v3.read(data)
    assert facts["frames"] == len(image.pages)
    assert facts["types"].get("BROKEN", 0) == len(image.broken) or image.pages.keys() & image.broken
    if looking:
        pages = [page for _, page in paged]
        filled = [page for page in pages if any(page)]
        assert (found.looks.pages, found.looks.zero) == (len(pages), len(pages) - len(filled))
        assert (found.looks.duplicates, found.looks.exact) == (len(filled) - len(set(filled)), True)
    cells = found.picture.cells()
    assert sum(first for *_, first, _ in cells) == len(paged) - resent
    assert sum(more for *_, more in cells) == resent


@settings(max_examples=30)
@given(setups(), st.booleans(), st.booleans())
def test_legacy_numbers(setup: Setup, looking: bool, again: bool) -> None:
    """Pages that come compressed are looked at as what they become, from a pipe too."""
    data = saved(setup)
    found = Statistics("legacy-64" if setup.word == 8 else "legacy-32", setup.guest, looking)
    source = MemorySource(data) if again else from_object(ObjectSource(io.BytesIO(data)), found.reader)
    found.reading(source)
    drive(found.reader.pump, source)
    found.end()
    image = plain_memory_legacy.read(data, setup.word, setup.guest)

    assert summary(found)["frames"] == len(image.pages.keys() - image.gone)
    assert found.damage is None
    if looking:
        assert found.looks.pages == found.passes.pages
    cells = found.picture.cells()
    assert sum(first + more for *_, first, more in cells) == found.passes.pages


def test_passes_begin_where_frames_start_again(sample: Sampled) -> None:
    """Of a live stream, and of a checkpointed one."""
    live = statistics(sample("pv-list.bin.gz"))
    assert [(row.pages, row.again) for row in live.passes.rows] == [(2007, 0), (121, 121), (123, 123)]
    remus = statistics(sample("hvm-remus.bin.gz"))
    assert [row.checkpoint for row in remus.passes.rows] == [0, 0, 1, 2, 3]


def test_many_passes_are_put_together() -> None:
    """A stream that begins again all the time is counted, and not kept."""
    parts = [builders.page_data([frame], "XALLOC", []) for frame in (7, 6) for _ in range(PASSES_MAX)]
    found = statistics(HVM.before("libxc.PAGE_DATA", *parts).render())

    assert found.passes.count >= 2 * PASSES_MAX
    assert len(found.passes.rows) == PASSES_MAX
    assert found.as_dict()["pages"]["entries"] >= 2 * PASSES_MAX


def test_duplicates_are_estimated_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more pages differ than are kept, a part of them stands for all."""
    monkeypatch.setattr(looks, "HASHES_MAX", 256)
    found = Looks()
    for number in range(2000):
        page = number.to_bytes(8, "little").ljust(PAGE, b"\1")
        found.add(page * (1 + number % 2))

    assert not found.exact
    assert len(found._counts) <= 256
    assert found.pages == 3000
    assert 600 < found.duplicates < 1500


def test_compression_is_sampled(sample: Sampled) -> None:
    """The share that is left is about what compressing everything leaves, of few samples."""
    data = sample("hvm-64.bin.gz")
    found = statistics(data).looks
    pages = b"".join(page for batch in entries_of(data) for _, _, page in batch if page)

    assert found.compressed == pytest.approx(len(compress(pages, 1)) / len(pages), abs=0.05)
    many = Looks()
    for _ in range(5000):
        many.add(bytes(PAGE))
    assert many.sampled < 2000


def test_a_picture_takes_up_anything() -> None:
    """Cells grow as frames and offsets do; no page is lost, and memory stays."""
    picture = Picture()
    for number, pfn in enumerate((0, 1, 5000, 1 << 30, 1 << 51)):
        picture.add([pfn, pfn + 1], 10 ** (3 * number), [False, True])
    picture.ends(10**13)

    cells = picture.cells()
    assert sum(first for *_, first, _ in cells) == sum(again for *_, again in cells) == 5
    assert all(across < WIDTH and up < HEIGHT for across, up, *_ in cells)
    assert len(picture.first) == len(picture.again) == WIDTH * HEIGHT
    assert (1 << 51) >> picture.up in {up for _, up, *_ in cells}


@settings(max_examples=25)
@given(streams("libxc"))
def test_the_map_has_every_frame(sample: Sample) -> None:
    """Cells have all frames of theirs, in few rows; what is printed fits a terminal."""
    found = statistics(sample.data, looking=False)
    drawn = Map(found.frames, found.flags())
    here = {pfn for first, count in found.frames.ranges() for pfn in range(first, first + count)}

    assert sum(cell.here for row in drawn.rows.values() for cell in row if cell) == len(here)
    assert {pfn // drawn.frames for pfn in here} <= {
        number * CELLS + place for number, row in drawn.rows.items() for place, cell in enumerate(row) if cell
    }
    assert len({pfn // drawn.frames // CELLS for pfn in here}) <= ROWS_MAX
    assert all(len(line) <= 80 for lines in text(found) for line in lines.splitlines())


@pytest.mark.parametrize("name", ["hvm-64", "hvm-remus", "pv-list"])
def test_drawings_are_svg(name: str, sample: Sampled) -> None:
    """A picture is well-formed, in bounds, of the same pages, and a name with marks in it stays text."""
    found = statistics(sample(f"{name}.bin.gz"))
    root = ElementTree.fromstring(drawing("<a & b>", found))
    space = "{http://www.w3.org/2000/svg}"
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))

    for rect in root.iter(f"{space}rect"):
        x, y, wide, high = (float(rect.get(key, "0")) for key in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + wide <= width + 1
        assert y + high <= height + 1
    texts = [element.text for element in root.iter(f"{space}text")]
    assert texts[0] == "<a & b>"
    assert "libxc.PAGE_DATA" in texts
    assert len(list(root.iter(f"{space}line"))) == found.passes.count


@pytest.mark.parametrize("name", GOOD)
def test_json(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of all forms, in the form that is published; a picture is written when it is complete."""
    path = tmp_path / "guest"
    path.write_bytes(GOOD[name].render())
    words = ["stats", "--json", "--svg", str(tmp_path / "guest.svg"), str(path)]
    guest = GOOD[name].guest
    words += ["--guest", guest] if guest else []
    status = main(words)
    found = json.loads(capsys.readouterr().out)

    conforms_to("stats", found)
    assert status == found["status"]
    assert found["bytes"] == len(path.read_bytes())


def test_what_breaks_off(tmp_path: Path, sample: Sampled, capsys: pytest.CaptureFixture[str]) -> None:
    """There are numbers of what came, and why there are no more; of something else there are none."""
    path = tmp_path / "guest"
    path.write_bytes(sample("hvm-64.bin.gz")[:100_000])
    assert main(["stats", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "memory: 24 frames" in out
    assert "sent         24, 96 KiB" in out
    assert main(["stats", "--quick", str(path)]) == 1
    assert "sent         24, 96 KiB" in capsys.readouterr().out
    assert "stopped: the input ends at 100000" in err
    path.write_bytes(b"MZ" * 100)
    assert main(["stats", str(path)]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "not a migration stream" in err
    assert main(["stats", "--svg", "-", str(path)]) == 2
    path.write_bytes(HVM.render())
    assert main(["stats", "--svg", str(tmp_path / "none" / "x.svg"), str(path)]) == 3
