"""Plans: models of writers are what they say, and a plan is what the same loop does with a guest that writes."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..cli.main import main
from ..engine import frames as sets
from ..engine import plan_dirty, policies, too_fast
from ..engine.figure import drawn
from ..engine.framing_xen import Framer
from ..engine.guest import makes
from ..engine.guest.model import Model
from ..engine.guest.model_workload import Workload
from ..engine.guest.models import model
from ..engine.orders import Orders
from ..engine.pace import Pace
from ..engine.plan import TRIPS, Guest, Link, Plan, plan
from ..engine.plan_dirty import PAGE, Recorded, Uniform, writer
from ..engine.policies import policy
from ..engine.precopy import Precopy, Settings
from ..engine.statistics import Round, Statistics
from ..engine.too_fast import remedy
from ..writer import Draft, builders, record
from .support.guests import need
from .test_cli import conforms_to

CORPUS = Path(__file__).parents[2] / "corpus"
_REFUSE = ("--if-too-fast", "refuse")
_THOROUGH = os.environ.get("STREAMFMT_HYPOTHESIS") == "thorough"
_PAGES = 8192


def _planned(
    dirty: str = "none",
    name: str = "xen",
    *,
    link: Link = Link(50e6),  # noqa: B008 # it is frozen
    orders: Orders | None = None,
    too: str = "go-on",
    used: int = _PAGES,
) -> Plan:
    found = policy(name)
    guest = Guest(_PAGES, used, writer(dirty, _PAGES), state=5000)
    return plan(guest, link, Settings(found, remedy(too)), orders or found.orders)


# -- who writes ---------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(1, 500), st.integers(0, 5000), st.lists(st.floats(0.0, 0.2), min_size=1, max_size=8))
def test_a_loop_is_its_writes(pages: int, rate: int, steps: list[float]) -> None:
    """Frames in a row, round and round, as if each write were made; nothing is lost between two looks."""
    (loop,) = writer(f"loop:{pages * PAGE}@{rate}", 1000) if rate else [plan_dirty.Loop(0, pages, 0)]
    at = 0.0
    for step in steps:
        found = loop.written(at, at + step)
        due = {write % pages for write in range(int(at * rate), int((at + step) * rate))}
        assert found == sets.of(due, pages)
        at += step


@pytest.mark.parametrize(("pages", "writes"), [(50_000, 10), (50_000, 20_000), (50_000, 200_000), (3, 1), (1, 9)])
def test_uniform_writes_meet_as_many_frames_as_chance_has_it(pages: int, writes: int) -> None:
    """The mean of many looks is that of as many writes to any of the frames, and none is beyond the set."""
    found = Uniform(7, pages, writes, Random(1))
    counts = []
    for number in range(60):
        frames = found.written(number, number + 1.0)
        assert frames >> 7 << 7 == frames
        assert frames.bit_length() <= pages + 7
        counts.append(frames.bit_count())
    due = pages * (1 - (1 - 1 / pages) ** writes)

    assert sum(counts) / len(counts) == pytest.approx(due, rel=0.03, abs=0.25 if due < 5 else 1.5)


def test_hot_frames_are_written_more() -> None:
    """Nine writes of ten go to a tenth."""
    writers = writer("hot:40MiB@2000", 20_000)
    hot = sum(part.written(0.0, 0.1).bit_count() for part in writers[:1])
    cold = sum(part.written(0.0, 0.1).bit_count() for part in writers[1:])
    assert 120 < hot < 200
    assert 5 < cold < 45


def test_recorded_passes_are_played_back() -> None:
    """For as many frames as a pass had sent, as many are written as came then; the most frequent first."""
    first, second, third = sets.run(0, 1000), sets.run(100, 200), sets.run(200, 40)
    recorded = Recorded([first, second, third], 1000.0)
    assert recorded.written(0.0, 1.0).bit_count() == 200
    assert recorded.written(0.0, 0.2) == third
    assert recorded.written(5.0, 5.1).bit_count() == 20
    assert recorded.written(0.0, 0.6).bit_count() == 120
    assert recorded.written(0.0, 9.0) == second
    assert recorded.written(1.0, 1.0) == sets.NONE
    assert Recorded([first], 1.0).written(0.0, 1e6) == Recorded([], 1.0).written(0.0, 1.0) == sets.NONE


@pytest.mark.parametrize(
    "text",
    ["", "some", "none:1", "loop", "loop:", "loop:8MiB", "loop:8MiB@", "loop:8MiB@fast", "loop:1@1", "loop:64MiB@1",
     "loop:0@1", "hot:8MiB@", "uniform:8MiB@-1", "hot:none@1", "hot:8MiB/s@1", "hot:8MiB@1e99", "loop:9999999TiB@1",
     "loop:4k@99999TiB"],
)  # fmt: skip
def test_what_is_no_model(text: str) -> None:
    """It says what is wrong."""
    with pytest.raises(ValueError, match=r"is none of|is no |is not a|is more than|has a working set"):
        writer(text, _PAGES)


# -- plans --------------------------------------------------------------------------------------------------------


def test_an_idle_guest() -> None:
    """Its memory goes once, in the time that the link needs; the guest stands for its state and the last trips."""
    found = _planned(link=Link(50e6, 0.01))
    figures = found.statistics
    size = figures.rounds[0].sent

    assert _PAGES * (PAGE + 8) < size < _PAGES * (PAGE + 9)
    assert figures.sent == size + 5000
    assert figures.downtime == pytest.approx(1e-4)
    assert figures.pause == pytest.approx(1e-4 + TRIPS * 0.01)
    assert found.total == pytest.approx(size / 50e6 + 1e-4 + TRIPS * 0.01)
    assert found.met
    assert not found.error


def test_empty_memory_is_cheap() -> None:
    """Frames without contents are entries; once written they have contents."""
    found = _planned("loop:1MiB@1000000", "rounds=1", used=1)
    first, last = found.statistics.rounds
    assert first.sent < _PAGES * 8 + 3 * PAGE
    assert last.sent == pytest.approx(256 * (PAGE + 8), abs=100)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([row.name for row in plan_dirty.TABLE if row.rest]),
    st.integers(1, 30),
    st.integers(0, 20_000),
    st.sampled_from(("xen", "qemu-0.10", "qemu-2009", "qemu", "rounds=3", "deadline=2", "non-live")),
    st.sampled_from(("go-on", "throttle", "refuse", "time-out=3")),
)
def test_plans_end(model: str, mib: int, rate: int, name: str, too: str) -> None:
    """Each is moved or is not for a reason, its figures fit together, and it is the same each time."""
    orders = Orders(0.0, 0.05)
    found = _planned(f"{model}:{mib}MiB@{rate}", name, orders=orders, too=too, link=Link(100e6))
    figures = found.statistics

    assert bool(found.error) is (figures.pause is None)
    assert found.error or found.why
    assert figures.sent_frames == sum(row.frames for row in figures.rounds)
    assert all(row.seconds <= found.total for row in figures.rounds)
    assert found.total <= 24 * 3600 + 60
    if name.startswith("deadline"):
        assert found.total < 2 + 30 / 50 + 1
    if name == "xen":
        assert len(figures.rounds) <= 6
    assert _planned(f"{model}:{mib}MiB@{rate}", name, orders=orders, too=too, link=Link(100e6)) == found


def test_more_is_worse() -> None:
    """A guest that writes more takes longer and stands longer; a faster link makes up for it."""
    plans = [_planned(f"uniform:16MiB@{rate}") for rate in (0, 2000, 5000, 8000)]
    for less, more in pairwise(plans):
        assert less.total < more.total
        assert (less.statistics.downtime or 0) < (more.statistics.downtime or 0)
    assert _planned("uniform:16MiB@8000", link=Link(500e6)).total < plans[0].total
    assert _planned("uniform:16MiB@8000", "qemu", too="throttle", orders=Orders(0.0, 0.001)).met
    assert "too fast" in _planned("loop:16MiB@20000", "qemu", too="time-out=2", orders=Orders(0.0, 0.001)).error
    assert "still runs here" in _planned("loop:16MiB@20000", "qemu", orders=Orders(0.0, 0.001)).error


class _Simulated:
    """A model guest and the saver's framing on a link that is simulated: what a plan's numbers stand for."""

    def __init__(self, bandwidth: float) -> None:
        self.now, self._bandwidth = 0.0, bandwidth
        self.guest: Model = model(_PAGES, clock=self.clock)
        self.framer = Framer(self.guest)
        self.pages, self.dirty = _PAGES, self.guest.dirty
        self.pause, self.resume = self.guest.pause, self.guest.resume
        self.pace: Pace = Pace(0.0, self.clock)

    @property
    def running(self) -> bool:
        return self.guest.running

    def clock(self) -> float:
        return self.now

    def everything(self) -> int:
        return sets.run(0, _PAGES)

    def send(self, frames: int, last: bool) -> int:
        size = sum(len(piece) for _, buffers in self.framer.records(frames) for piece in buffers)
        self.now += size / min(self.pace.limit or self._bandwidth, self._bandwidth)
        return size

    def deferred(self) -> int:
        return self.framer.deferred

    def verify(self) -> None:
        raise NotImplementedError

    def wait(self, moment: float) -> None:
        self.now = max(self.now, moment)


@pytest.mark.parametrize("name", ["xen", "qemu", "qemu-2009", "rounds=2", "deadline=0.5", "non-live"])
@pytest.mark.parametrize("rate", [0, 900, 9000])
def test_plans_are_what_runs_do(name: str, rate: int) -> None:
    """A real guest's memory, framed as it is sent, through the same loop: within a tenth in all that counts."""
    source, found = _Simulated(50e6), policy(name)
    source.guest.boot(Workload.of(1024, rate), filled=5000)
    source.guest.resume()
    how = Settings(found, remedy("go-on"))
    try:
        ran = Precopy(source, how, found.orders, source.pace).run()
        broken = source.guest.broken()
    finally:
        source.guest.close()
    planned = plan(Guest(_PAGES, 5016, writer(f"loop:4MiB@{rate}", _PAGES), state=1), Link(50e6), how, found.orders)

    assert broken == []
    figures = planned.statistics
    assert len(figures.rounds) == len(ran.rounds)
    assert figures.seconds == pytest.approx(ran.seconds, rel=0.1)
    assert figures.sent == pytest.approx(ran.sent, rel=0.1)
    assert figures.downtime == pytest.approx(ran.downtime, rel=0.1, abs=0.005)


@pytest.mark.skipif(not _THOROUGH, reason="it takes ten seconds: STREAMFMT_HYPOTHESIS=thorough runs it")
@pytest.mark.parametrize("kind", makes.KINDS)
@pytest.mark.parametrize("name", ["xen", "qemu"])
def test_plans_are_what_happens(name: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes and a socket, at a speed that is kept: within a fifth, round by round, and in all."""
    need(kind)
    words = ["--memory", "64MiB", "--speed", "20m", "--policy", name, "--downtime", "50ms", "--json"]
    guest = ["--guest", kind, "--fill", "40MiB", "--dirty-rate", "2000", "--working-set", "8MiB"]
    assert main(["migrate", "demo", *words, *guest]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ran = next(event["statistics"] for event in events if "statistics" in event)
    model = ["--used", "41MiB", "--dirty", "loop:8MiB@2000", "--link", "1GiB/s"]
    assert main(["migrate", "plan", *words, *model]) == 0
    planned = json.loads(capsys.readouterr().out)["statistics"]

    assert len(planned["rounds"]) == len(ran["rounds"])
    for due, row in zip(planned["rounds"][:-1], ran["rounds"][:-1], strict=True):
        # Of rounds that take some milliseconds it is the machine's turns that are measured.
        assert row["seconds"] == pytest.approx(due["seconds"], rel=0.2, abs=0.01)
        assert row["frames"] == pytest.approx(due["frames"], rel=0.2, abs=20)
        assert row["dirty"] == pytest.approx(due["dirty"], rel=0.2, abs=20)
    assert ran["seconds"] == pytest.approx(planned["seconds"], rel=0.2)
    assert ran["sent"] == pytest.approx(planned["sent"], rel=0.2)


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It prints rounds, times, and why it stops; the figure is an SVG file of all rounds."""
    out = tmp_path / "rounds.svg"
    words = ["migrate", "plan", "--memory", "32MiB", "--dirty", "loop:4MiB@900", "--link", "400Mbit/s,2ms"]
    assert main([*words, "--figure", str(out)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "32 MiB, written: loop:4MiB@900; link 47.68 MiB/s and 2.0 ms; policy xen"
    assert shown[2].split()[:2] == ["1", "8,192"]
    assert shown[-2].startswith("stopped: ")
    assert all(len(line) <= 80 for line in shown)
    root = ElementTree.parse(out).getroot()
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    assert texts[0] == "A planned migration"
    assert "8,192" in texts
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for box in root.iter(f"{space}rect"):
        x, y, wide, high = (float(box.attrib.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert x >= 0 <= y
        assert x + wide <= width + 1
        assert y + high <= height + 1


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--memory", "32MiB", "--dirty", "uniform:4MiB@900", "--dirty", "loop:1MiB@5", "--seed", "3"], 0),
        (["--memory", "32MiB", "--dirty", "loop:16MiB@90000", "--policy", "qemu", "--downtime", "9ms", *_REFUSE], 1),
        (["--memory", "1GiB", "--used", "1MiB", "--policy", "deadline=1.5", "--speed", "3m", "--verify"], 0),
        (["--from-stream", str(CORPUS / "real" / "pv-list.bin.gz"), "--recorded-at", "1Gbit/s"], 0),
        (["--from-stream", str(CORPUS / "real" / "legacy-44-hvm-32-live.bin.gz"), "--memory", "64MiB"], 0),
    ],
)
def test_json(words: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, in the form that is published, whether the guest would be moved or not."""
    assert main(["migrate", "plan", *words, "--json"]) == status
    found = json.loads(capsys.readouterr().out)
    conforms_to("plan", found)
    assert found["status"] == status
    assert (found["error"] is None) is not status


def test_recorded_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stream with several passes plans like the guest in it: the passes come again at the speed they had."""
    data = _recorded()
    path = tmp_path / "guest.sav"
    path.write_bytes(data)
    words = ["migrate", "plan", "--from-stream", str(path), "--link", "1MiB/s", "--policy", "rounds=2", "--json"]
    assert main(words) == 0
    rounds = json.loads(capsys.readouterr().out)["statistics"]["rounds"]
    assert [row["frames"] for row in rounds[:2]] == [600, 100]
    assert rounds[2]["frames"] == pytest.approx(20, abs=4)
    path.write_bytes(data[:40_000])
    assert main(words) == 1
    path.write_bytes(b"nothing")
    assert main(words) == 1
    assert main([*words[:3], str(tmp_path / "none"), *words[4:]]) == 3
    capsys.readouterr()


def _recorded() -> bytes:
    """An image with three passes, of 600, 100 and 20 frames."""
    static = [*builders.image_headers("hvm"), record("libxc.STATIC_DATA_END")]
    passes = [
        builders.page_data(range(count), "NOTAB", [bytes([count % 256]) * PAGE] * count) for count in (600, 100, 20)
    ]
    return Draft((*static, *passes, record("libxc.END"))).render()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what is to be moved"),
        (["--memory", "5"], "is no size of whole pages"),
        (["--memory", "8MiB", "--used", "16MiB"], "--used is more"),
        (["--memory", "8MiB", "--dirty", "loop:16MiB@1"], "has a working set"),
        (["--memory", "8MiB", "--link", "none"], "a link has a speed"),
        (["--memory", "8MiB", "--link", "1Gbit/s,soon"], "is not a time"),
        (["--memory", "8MiB", "--policy", "best"], "is none of xen"),
        (["--memory", "8MiB", "--if-too-fast", "panic"], "is none of go-on"),
        (["--memory", "8MiB", "--figure", "-"], "takes the name of a file"),
    ],
)
def test_wrong_usage(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what is wrong, and plans nothing."""
    try:
        status = main(["migrate", "plan", *words])
    except SystemExit as left:
        status = int(left.code or 0)
    assert status == 2
    out, err = capsys.readouterr()
    assert said in err
    assert not out


def test_a_figure_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is printed, and the status says that its picture is missing."""
    out = tmp_path / "none" / "x.svg"
    assert main(["migrate", "plan", "--memory", "8MiB", "--figure", str(out)]) == 3
    shown, err = capsys.readouterr()
    assert "total" in shown
    assert "cannot write" in err


def test_figures_of_anything() -> None:
    """A picture can be had of no rounds, of one, of very many, and of rounds in which nothing went."""
    rows = [Round(number, 10**number % 5000, 0, number % 3, 0.001 * (number % 2)) for number in range(1, 3000)]
    for rounds in ([], rows[:1], rows):
        found = Statistics(1, rounds=tuple(rounds), downtime=0.5 if rounds else None)
        ElementTree.fromstring(drawn(found, "<&>", "a" * 500))


def test_the_guest_stands_from_its_last_round_on() -> None:
    """Of a real run, whose seconds go on until the guest runs again, as of a plan's."""
    rows = (Round(1, 1000, 0, 10, 0.8), Round(2, 10, 0, 0, 0.1))
    found = drawn(Statistics(1000, seconds=1.0, rounds=rows, downtime=0.1, pause=0.2))
    stands = next(
        row for row in ElementTree.fromstring(found) if row.get("opacity") == "0.35" and row.get("fill") == "#b2182b"
    )
    inner = 960 - 110 - 30

    assert float(stands.get("x", 0)) == pytest.approx(110 + inner * 0.8, abs=1)
    assert float(stands.get("width", 0)) == pytest.approx(inner * 0.2, abs=1)


def test_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    """The page has each row of each table in the words of the code, and its example is what is printed."""
    page = (Path(__file__).parents[2] / "docs" / "migrate-plan.md").read_text()
    example = page.split("```console\n$ streamfmt ")[1].split("\n```")[0]
    command, _, shown = example.partition("\n")
    assert main(command.split()) == 0
    assert capsys.readouterr().out.rstrip() == shown
    for module in (policies, too_fast, plan_dirty):
        for row in module.TABLE:
            assert f"| `{module.shown(row)}` | {row.rule} |" in page
