"""The benchmarks' samples are what they claim to be, for us and for Xen's own script, and the rows can be run."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from streamfmt import tables
from streamfmt.bench import __main__ as command_line
from streamfmt.bench import generate, process, rows, run
from streamfmt.checks.outcome import CONFORMS, Outcome
from streamfmt.checks.verifier import Verifier
from streamfmt.reader.reader import Reader
from streamfmt.tests.support import peers

GOOD = tuple(kind for kind in generate.SAMPLES if kind not in (*generate.BAD, "damaged"))
# Two batches and one of dirty pages; small records come in more than one piece.
SIZE = 8 << 20
SMALL_RECORDS = 256 << 10
BAD_SIZE = 24 << 10


def _row(key: str) -> rows.Row:
    (row,) = command_line.rows_of(key)
    assert isinstance(row, rows.Row)
    return row


def judge(kind: str, size: int) -> Outcome:
    """The outcome of verifying a sample, page tables included, fed piece by piece."""
    # A context that is as long as can be is of more vcpus than a guest has.
    verifier = Verifier(deep=kind != "context")
    reader = Reader(verifier)
    for piece in generate.SAMPLES[kind](size).pieces():
        reader.pump.feed(piece)
    reader.pump.end()
    return Outcome(reader, verifier)


@pytest.mark.parametrize("kind", GOOD)
def test_good_samples_conform(kind: str) -> None:
    """No finding above a note, even with page tables looked into; only what is in QEMU's state is not judged."""
    outcome = judge(kind, SMALL_RECORDS if kind in ("single", "bare") else SIZE)

    assert outcome.verdict == CONFORMS
    assert not outcome.warnings, outcome.verifier.findings.kept
    assert outcome.verifier.abstained.keys() <= {"LIBXL-EMU-QEMU", "LEGACY-QEMU-FORM", "LIBXC-PTE-PFN"}


@pytest.mark.parametrize("kind", generate.BAD)
def test_bad_samples_break_their_clause_everywhere(kind: str) -> None:
    """Each of the records breaks the clause, and nothing else is broken."""
    clause, _, part = generate.BAD[kind]
    outcome = judge(kind, BAD_SIZE)
    counts = Counter({key: n for key, n in outcome.verifier.findings.counts.items() if tables.SEVERITY[key] != "note"})

    assert counts == {clause: BAD_SIZE // part.extent}
    assert (outcome.verdict == CONFORMS) == (tables.SEVERITY[clause] == "warning")


def test_damage_is_what_its_row_is_about() -> None:
    """Framing is lost once, and all the rest is whole."""
    outcome = judge("damaged", SIZE)

    assert [row.clause for row in outcome.verifier.findings.kept if row.severity == "error"] == ["STREAM-FRAMING-LOST"]


@pytest.mark.parametrize(("kind", "size"), [("single", tables.RUN_DATA_SIZE), ("bare", tables.RUN_BARE_SIZE)])
def test_small_records_have_the_size_their_rows_are_about(kind: str, size: int) -> None:
    """The rows count records by their size."""
    once, twice = (judge(kind, 100 * size * times) for times in (1, 2))
    sizes = [generate.SAMPLES[kind](100 * size * times).size for times in (1, 2)]

    assert twice.verifier.page_entries - once.verifier.page_entries == 100
    assert sizes[1] - sizes[0] == 100 * size


def test_pages_are_really_there(tmp_path: Path) -> None:
    """All of the file lies on the disk, and no byte of it is in a hole."""
    path = tmp_path / "hvm"

    assert generate.write("hvm", str(path), SIZE) == path.stat().st_size <= path.stat().st_blocks * 512


def test_samples_are_made_in_constant_memory() -> None:
    """A sample twice as large takes no more memory to make."""
    peaks = []
    for size in (16 * SIZE, 32 * SIZE):
        tracemalloc.start()
        for _ in generate.SAMPLES["hvm"](size).pieces():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + (1 << 20)


@pytest.fixture(scope="module")
def script() -> str:
    """Xen's verify-stream-v2."""
    return peers.require("verify-stream-v2")


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["hvm", "pv", "xl", "small", "single", "bare", "context"])
def test_the_script_accepts_good_samples(kind: str, script: str, tmp_path: Path) -> None:
    """A sample that the script refuses could not be timed against it."""
    path = str(tmp_path / kind)
    generate.write(kind, path, 1 << 20)

    process.run([script, "-f", "xl" if kind == "xl" else "libxc", "-i", path])


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    """A run of the benchmarks as a process of its own."""
    command = [sys.executable, "-m", "streamfmt.bench", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_rows_are_run_and_printed(tmp_path: Path) -> None:
    """A row gives a line for each figure, sizes below the full one are said to be, nothing stays behind."""
    done = bench("--quick", "--size", "8M", "--runs", "1", "--rows", "bare,context", "--dir", str(tmp_path))
    heading, *lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (0, "")
    assert heading == run.HEADING
    assert [line.split()[:2] for line in lines[:2]] == [["bare", "rate"], ["context", "memory"]]
    assert run.TOO_SMALL in lines[0]
    assert not list(tmp_path.iterdir())


def test_json_says_how_it_was_measured(tmp_path: Path) -> None:
    """--json has each run, not only the medians."""
    done = bench("--size", "8M", "--runs", "1", "--rows", "hvm-memory", "--dir", str(tmp_path), "--json")
    (row,) = json.loads(done.stdout)["rows"]

    assert (row["row"], row["figure"], row["bytes"]) == ("hvm-memory", "memory", 8 << 20)
    assert row["median"] == (row["a"][0]["peak"] - row["b"][0]["peak"]) / rows.MIB


@pytest.mark.peer
def test_conversions_do_the_same(tmp_path: Path) -> None:
    """Ours and Xen's converter get through each kind of pair, and write the same file."""
    for guest, kind in (("", "legacy"), ("-pv", "legacy-pv")):
        peers.require("convert-legacy-stream")
        path = tmp_path / kind
        generate.write(kind, str(path), 1 << 20)
        for name in (f"convert{guest}", f"converter{guest}"):
            process.run(rows.command(name, str(path)))
            Path(f"{path}.out").rename(tmp_path / name)
        assert (tmp_path / f"convert{guest}").stat().st_size >= 1 << 20
    assert (tmp_path / "convert-pv").read_bytes() == (tmp_path / "converter-pv").read_bytes()
    for name in ("convert | drain", "converter | drain", "feed | convert | drain", "feed | converter | drain"):
        process.run(rows.command(name, str(tmp_path / "legacy")))


def test_small_parts_of_a_file(tmp_path: Path) -> None:
    """Commands that take out, change or move a part get through."""
    path = tmp_path / "xl"
    generate.write("xl", str(path), 1 << 20)
    before = path.read_bytes()
    for name in ("extract", "rewrap | cat", "edit"):
        assert path.read_bytes() == before
        process.run(rows.command(name, str(path)))

    assert path.stat().st_size == len(before)
    assert path.read_bytes() != before


def test_build_and_cp_write_what_was_not_there(tmp_path: Path) -> None:
    """Both write the same file, which is gone when the row is done."""
    row = _row("build")
    samples = run.Samples(str(tmp_path), 8 << 20, [row], str(tmp_path))
    (result,) = run.measure(row, samples, 1)
    path = Path(samples.path("built"))

    assert len(result.pairs) == 1
    assert {file.name for file in tmp_path.iterdir()} == {"built", "built.toml"}
    process.run(rows.command("build", str(path)))
    assert Path(f"{path}.out").read_bytes() == path.read_bytes()
    samples.done(row)
    assert not path.exists()


def test_without_a_tmpfs_it_is_said(tmp_path: Path) -> None:
    """A row that needs one is not measured on a disk."""
    row = _row("build")
    (result,) = run.measure(row, run.Samples(str(tmp_path), 1 << 20, [row]), 1)

    assert run.line(result).endswith("not measured: there is no room in /dev/shm")


def test_a_missing_peer_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the script its rows say so, and no sample is written for them."""
    monkeypatch.setattr("streamfmt.conformance.peers.find_script", lambda **_: None)
    row = _row("single")
    (result,) = run.measure(row, run.Samples(str(tmp_path), 1 << 20, [row]), 1)

    assert run.line(result).endswith("not measured: verify-stream-v2 is not installed (make peers)")
    assert not list(tmp_path.iterdir())


def test_a_command_that_fails_ends_the_run(tmp_path: Path) -> None:
    """Times of commands that do not do their work mean nothing."""
    with pytest.raises(process.BenchError, match="exit status 3, 0 expected: streamfmt: "):
        process.run(rows.command("verify", str(tmp_path / "missing")))


def test_a_pipeline_that_fails_ends_the_run(tmp_path: Path) -> None:
    """So does a tee in the middle of one, whose exit status the pipeline does not have."""
    path = tmp_path / "text"
    path.write_text("no stream")

    with pytest.raises(process.BenchError, match="exit status -15, 0 expected: standard input: not judged"):
        process.run(rows.command("cat | tee | cat", str(path)))


@pytest.mark.parametrize("words", [("--rows", "nothing"), ("--size", "4X"), ("--dir", "/nonexistent")])
def test_wrong_usage(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong words are named, and the exit status is 2."""
    with pytest.raises(SystemExit) as left:
        command_line.main(words)

    assert left.value.code == 2
    assert words[1] in capsys.readouterr().err


def test_what_it_was_is_run_beside(tmp_path: Path) -> None:
    """The commit that rows are held against judges as it did, from a tree of its own, which goes with the samples."""
    row = _row("before-bad-type")
    samples = run.Samples(str(tmp_path), 1 << 20, [row])
    sample = samples.path("bad-type")
    try:
        command = rows.command(row.other, sample)
    except process.NotMeasuredError as reason:
        pytest.skip(str(reason))
    samples.make("bad-type")
    program = Path(command[0]).read_text().replace("sys.exit(entry())", "print(sys.modules['streamfmt'].__file__)")
    place = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert Path(place.strip()).is_relative_to(tmp_path)
    (result,) = run.measure(row, samples, 1)
    assert len(result.pairs) == 1
    assert result.budget == 0.10


def test_each_command_is_held_against_what_it_was() -> None:
    """Whatever of ours that was there is measured on a warm sample has a row, and no budget lets it get worse."""
    held = {(row.ours, row.sample): row for row in rows.ROWS if row.key.startswith("before-")}

    assert {
        (row.ours, row.sample)
        for row in rows.ROWS
        if not row.cold and row.ours in rows.OLD and row.sample not in rows.NEW
    } == held.keys()
    assert all((row.figures[0].budget or 9.0) <= 1.05 for row in held.values())


@pytest.mark.parametrize("reason", ["no git", "no commit"])
def test_without_history_it_is_said(reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A source archive has no history: rows that need it say why they are not measured."""
    if reason == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setattr(process, "_ROOT", str(tmp_path))
    row = _row("before-small")
    (result,) = run.measure(row, run.Samples(str(tmp_path), 1 << 20, [row]), 1)

    words = {"no git": "git cannot be run: No such file", "no commit": f"commit {process.COMMIT} is not here"}
    assert result.verdict.startswith(f"not measured: {words[reason]}")
