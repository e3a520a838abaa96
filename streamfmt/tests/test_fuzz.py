"""`streamfmt fuzz` finds planted bugs, makes them small, and says how to see them again."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import jsonschema
import pytest

from .. import data
from ..cli.main import main
from ..fuzz.results import ACCEPT, CRASH, HANG, REJECT, of_exit
from ..fuzz.running import Run, Summary
from ..fuzz.running import run as search
from ..fuzz.search import Failure
from ..fuzz.seeds import write
from ..fuzz.specs import OURS, Spec, SpecError, parse
from ..fuzz.targets import Input, open_target, verified
from ..schema import libxc
from ..schema.magic import MAGICS
from ..writer.recipes import load
from .good import GOOD

ROOT = Path(data.path("spec")).parent
HARNESSES = ROOT / "conformance" / "fuzz"
FUZZED = "python:streamfmt.tests.fuzzed"
# Dies of any libxl stream.
DYING = "sh -c 'if grep -q LibxlFmt; then kill -SEGV $$; fi'"


def python(program: str) -> str:
    """A command that runs a program."""
    return shlex.join([sys.executable, "-c", program])


def found(spec: str, count: int, against: str = "", seed: int = 1, jobs: int = 1, most: int = 100) -> Summary:
    """What a search of so many inputs finds."""
    asked = Run(parse(spec), parse(against) if against else None, None, count, seed, jobs, 10.0, most)
    return search(asked, lambda failure: None, None)


def only(summary: Summary) -> Failure:
    assert not summary.problems
    (failure,) = summary.failures.values()
    assert failure.steady
    return failure


# -- planted bugs ---------------------------------------------------------------------------------------------


def test_crash() -> None:
    """An exception is found by its type and place, and the stream made small: one record with a length that is odd."""
    failure = only(found(f"{FUZZED}.crashing", 400, most=1))

    assert failure.kind == CRASH
    assert re.fullmatch(r"KeyError: \d+ \(.*fuzzed.py:\d+\)", failure.what)
    assert len(failure.given.octets) < 5000
    assert load(failure.recipe).stream.render() == failure.given.octets


def test_hang() -> None:
    """An endless loop is killed, and the function goes on in another process."""
    asked = Run(parse(f"{FUZZED}.looping"), None, None, 400, seed=1, jobs=1, timeout=0.3, failures=1)
    failure = only(search(asked, lambda failure: None, None))

    assert failure.kind == HANG
    assert len(failure.given.octets) < 16


def test_memory() -> None:
    """Memory without bound is a crash, and not the machine's."""
    failure = only(found(f"{FUZZED}.greedy", 60))

    assert failure.what.startswith("MemoryError")


def test_signal() -> None:
    """A function that takes its process with it is told by the signal."""
    failure = only(found(f"{FUZZED}.dying", 60, most=1))

    assert failure.what == "killed by SIGSEGV"


def test_killed_command() -> None:
    """So is a command."""
    failure = only(found(DYING, 60, most=1))

    assert (failure.kind, failure.what) == (CRASH, "killed by SIGSEGV")


def test_disagreement() -> None:
    """A reader that accepts too much differs from us by single clauses where one is enough."""
    summary = found(f"{FUZZED}.credulous", 80, against=OURS, most=2)
    clauses = [key.clauses for key in summary.failures]

    assert {key.how[:2] for key in summary.failures} >= {(ACCEPT, REJECT)}
    assert any(len(some) == 1 for some in clauses)
    assert not any(one is not other and one.covers(other) for one in summary.failures for other in summary.failures)


def test_one_form() -> None:
    """A reader of one form is given no other."""
    asked = Run(parse("sh -c 'test {form} = xl || kill -9 $$'"), None, None, 20, seed=1, jobs=1, timeout=10, form="xl")
    summary = search(asked, lambda failure: None, None)

    assert (summary.failures, summary.problems, summary.inputs) == ({}, [], 20)


def test_no_failure() -> None:
    """A reader that never fails passes, and all inputs are tried."""
    summary = found(f"{FUZZED}.sound", 31, jobs=2)

    assert (summary.failures, summary.problems, summary.inputs) == ({}, [], 31)


def test_refusals() -> None:
    """Those exceptions by which readers refuse are no crash."""
    assert not found(f"{FUZZED}.refusing", 30).failures


def test_same_seed_same_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed and jobs decide on the inputs, and nothing else does; another seed gives others."""
    seen = []
    for number, seed in enumerate((5, 5, 6)):
        log = tmp_path / str(number)
        monkeypatch.setenv("STREAMFMT_FUZZED_LOG", str(log))
        found(f"{FUZZED}.counting", 30, seed=seed)
        seen.append(log.read_bytes())

    assert len(seen[0]) == 30 * 16
    assert seen[0] == seen[1] != seen[2]


# -- targets --------------------------------------------------------------------------------------------------

GIVEN = Input(b"octets", "libxl", "remus")


def test_command_gets_octets_and_words() -> None:
    """On standard input, or in a file; and what the stream is."""
    check = "import sys; sys.exit(sys.argv[1:] != ['libxl', 'remus'] or sys.stdin.buffer.read() != b'octets')"
    named = "import sys; sys.exit(sys.argv[2] != 'x-libxl' or open(sys.argv[1], 'rb').read() != b'octets')"
    for words in (f"{python(check)} {{form}} {{mode}}", f"{python(named)} {{}} x-{{form}}"):
        target = open_target(parse(words), 10)
        assert target.run(GIVEN).kind == ACCEPT, words
        target.close()


def test_command_hangs_with_its_children(tmp_path: Path) -> None:
    """The whole process group is gone, and a child left behind by a command that has ended is not waited for."""
    pid = tmp_path / "pid"
    for words, kind in (
        (f"sh -c 'sleep 99 & echo $! >{pid}; wait'", HANG),
        (f"sh -c 'sleep 99 & echo $! >{pid}'", ACCEPT),
    ):
        target = open_target(parse(words), 0.5)
        begin = time.monotonic()
        assert target.run(GIVEN).kind == kind
        assert time.monotonic() - begin < 5
        target.close()
        end = time.monotonic() + 5
        while _runs(int(pid.read_text())):
            assert time.monotonic() < end
            time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_command_that_talks() -> None:
    """Standard error without end is no memory without end."""
    target = open_target(parse("sh -c 'yes >&2'"), 0.3)

    assert target.run(GIVEN).kind == HANG
    target.close()


@pytest.mark.parametrize(
    ("status", "stderr", "kind", "where"),
    [
        (0, "all is well", ACCEPT, ""),
        (1, "bad record\n", REJECT, "exit status N: bad record"),
        (-11, "at 0x7f00\n", CRASH, "SIGSEGV at N"),
        (-6, "r.c:12: f: Assertion `n' failed.\n", CRASH, "SIGABRT r.c:12: f: Assertion `n' failed."),
        (
            1,
            'Traceback (most recent call last):\n  File "r.py", line 3, in f\nKeyError: 4\n',
            CRASH,
            "KeyError r.py:3",
        ),
        (
            1,
            "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x60 at pc 0x4\n    #0 0x4 in f r.c:9:3\n",
            CRASH,
            "==N==ERROR: AddressSanitizer: heap-buffer-overflow on address N at pc N f r.c:9:3",
        ),
        (
            0,
            "r.c:9:3: runtime error: signed integer overflow: 4 + 5\n",
            CRASH,
            "r.c:9:3: runtime error: signed integer overflow: N + N",
        ),
    ],
)
def test_what_an_exit_means(status: int, stderr: str, kind: str, where: str) -> None:
    """Accept, reject or crash, and by what a crash is known."""
    result = of_exit(status, stderr)

    assert (result.kind, result.where) == (kind, where)


@pytest.mark.parametrize("text", ["", "  ", "'open", "python:", "python:one", "python:a.b()", "python:.b"])
def test_targets_that_are_none(text: str) -> None:
    """A target that is written wrongly is refused."""
    with pytest.raises(SpecError):
        parse(text)


def test_targets() -> None:
    """A command is split as a shell does it."""
    assert parse("reader -x 'a b'") == Spec(words=("reader", "-x", "a b"))
    assert parse("python:a.b.c") == Spec(function="a.b.c")
    assert parse(OURS) == Spec()


# -- the command ----------------------------------------------------------------------------------------------


def fuzz(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        status = main(["fuzz", *words])
    except SystemExit as error:
        status = int(error.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_report_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed is in the files too, and the commands in it repeat the failure."""
    output = tmp_path / "a directory"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = ("--target", f"{FUZZED}.credulous", "--against", OURS, "--seed", "1", "--jobs", "1", "--failures", "2")
    status, out, err = fuzz(capsys, *words, "--count", "200", "--output", str(output))
    reports = out.split("\n\n")

    assert (status, err) == (1, "")
    last = r"enough: \d+ inputs in \d+ s \(\d+ a second\), --seed 1 --jobs 1: 2 failures, in .*\n"
    assert re.fullmatch(last, reports.pop())
    for report in reports:
        path, _, _ = report.partition(": disagreement of ")
        assert report.splitlines()[1] in Path(path.removesuffix("bin") + "txt").read_text()
        theirs, ours = re.findall(r"^  repeat   (.*)", report, re.MULTILINE)
        said = shell(theirs.replace("python3", sys.executable, 1)).stdout
        status = shell(ours.replace(OURS, f"{sys.executable} -m {OURS}", 1)).returncode
        assert (said == b"True\n") != (status == 0)


def shell(line: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["sh", "-c", f"exec {line}"], capture_output=True, check=False)


def test_repeating_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command's own line dies as it did, of octets on standard input or in a file."""
    named = """sh -c 'if grep -q LibxlFmt "$1"; then kill -SEGV $$; fi' sh {}"""
    for words in (DYING, named):
        options = ("--seed", "1", "--jobs", "1", "--count", "60", "--failures", "1", "--output", str(tmp_path))
        status, out, _ = fuzz(capsys, "--target", words, *options)
        (line,) = re.findall(r"^  repeat   (.*)", out, re.MULTILINE)

        assert status == 1
        assert shell(line).returncode == -signal.SIGSEGV


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Machines get what its schema says."""
    words = ("--target", f"{FUZZED}.dying", "--seed", "1", "--jobs", "1", "--count", "200", "--failures", "1", "--json")
    status, out, _ = fuzz(capsys, *words, "--output", str(tmp_path))
    told = json.loads(out)
    jsonschema.validate(told, json.loads(Path(data.path("spec", "json", "fuzz.json")).read_text()))

    assert status == 1
    assert 0 < told["inputs"] <= 200
    assert Path(told["failures"][0]["stream"]["file"]).stat().st_size == told["failures"][0]["stream"]["octets"]


def test_nothing_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then nothing is left behind."""
    output = tmp_path / "findings"
    status, out, err = fuzz(
        capsys, "--target", f"{FUZZED}.sound", "--time", "1s", "--jobs", "1", "--output", str(output)
    )

    assert (status, err) == (0, "")
    assert re.search(r"--seed \d+ --jobs 1: no failure\n$", out)
    assert not output.exists()


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C, which goes to all processes of a terminal, ends it at once, and what was found is told."""
    words = [sys.executable, "-m", "streamfmt", "fuzz", "--target", f"{FUZZED}.crashing", "--time", "1h", "--seed", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*words, "--jobs", "1"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not list(tmp_path.glob("fuzz-findings/*.txt")):
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (1, b"")
    assert b"crash of" in out
    assert b"\ninterrupted; " in out


def test_status_line(tmp_path: Path) -> None:
    """On a terminal one line tells how far it is; on standard error, and gone at the end."""
    ours, theirs = os.openpty()
    words = ["--target", f"{FUZZED}.sound", "--time", "0.5s", "--jobs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(
        [sys.executable, "-m", "streamfmt", "fuzz", *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # which is how a terminal says that nobody writes to it any more
            while octets := os.read(ours, 4096):
                shown += octets
        out, _ = process.communicate()
    os.close(ours)

    assert re.search(rb"\d+ inputs  \d+/s  failures: 0  (0:00:0\d left|finishing)", shown)
    assert re.fullmatch(rb"\d+ inputs in .*: no failure\n", out)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "the following arguments are required: --target"),
        (("--target", "python:nothing"), "names no function; write python:module.function"),
        (("--target", ""), "the target is empty"),
        (("--target", "cat", "--time", "soon"), "'soon' is no time up to 500h; write 90s, 10m or 1h"),
        (("--target", "cat", "--time", "0"), "'0' is no time"),
        (("--target", "cat", "--timeout", "-1"), "argument --timeout"),
        (("--target", "cat", "--timeout", "501h"), "'501h' is no time up to 500h"),
        (("--target", "cat", "--jobs", "0"), "it must be 1 at least"),
        (("--target", "cat", "--seed", "x"), "'x' is no whole number"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told what is wrong, and nothing is done."""
    status, out, err = fuzz(capsys, *words)

    assert (status, out) == (2, "")
    assert complaint in err


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("/no/such/reader", "there is no command '/no/such/reader', or it cannot be executed"),
        ("python:no_such_module.f", "cannot run python:no_such_module.f: ModuleNotFoundError"),
        (f"{FUZZED}.no_function", "AttributeError"),
        (f"{FUZZED}.NO_FUNCTION", "int cannot be called"),
    ],
)
def test_target_that_cannot_run(
    target: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told in a line, as target or as the other."""
    output = tmp_path / "findings"
    status, out, err = fuzz(capsys, "--target", target, "--jobs", "1", "--output", str(output))

    assert (status, out, err.count("\n")) == (3, "", 1)
    assert complaint in err
    assert not output.exists()


def test_unwritable_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told at once, not when there is something to write."""
    (tmp_path / "file").touch()
    status, out, err = fuzz(capsys, "--target", "cat", "--output", str(tmp_path / "file"))

    assert (status, out) == (3, "")
    assert err == f"streamfmt: {tmp_path}/file: cannot write: File exists\n"


def test_without_the_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no Hypothesis is told how to get it."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)

    assert fuzz(capsys, "--target", "cat") == (2, "", "streamfmt fuzz needs the extra: pip install 'streamfmt[fuzz]'\n")


# -- coverage-guided fuzzing ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fuzzers begin with."""
    directory = tmp_path_factory.mktemp("seeds")
    write(directory)
    return directory


def test_seeds_conform(seeds: Path) -> None:
    """Each stream conforms as what it is given out for, and its recipe makes the same octets."""
    names = {path.stem for path in seeds.glob("streams/*.bin")}

    assert names == GOOD.keys()
    for name, stream in GOOD.items():
        octets = (seeds / "streams" / f"{name}.bin").read_bytes()
        outcome = verified(Input(octets, stream.form or "auto", "auto", deep=True))
        assert (outcome.verdict, outcome.counts) == ("conforms", {})
        assert load((seeds / "recipes" / f"{name}.toml").read_text()).stream.render() == octets


def test_dictionary(seeds: Path) -> None:
    """It has every magic and record type, each once, as AFL and libFuzzer read them."""
    lines = (seeds / "streamfmt.dict").read_text().splitlines()[1:]
    found = [re.fullmatch(r'\w+="((?:[ !#-\[\]-~]|\\x[0-9a-f]{2})+)"', line) for line in lines]
    tokens = [bytes.fromhex(re.sub(r"\\x(..)|(.)", lambda c: c[1] or f"{ord(c[2]):02x}", f[1])) for f in found if f]

    assert len(tokens) == len(set(tokens)) == len(lines)
    assert {magic.octets for magic in MAGICS} <= set(tokens)
    assert {row.code.to_bytes(4, "little") for row in libxc.RECORDS} <= set(tokens)


@pytest.mark.parametrize("harness", sorted(HARNESSES.glob("fuzz_*.py")), ids=lambda path: path.stem)
def test_harness_replays(harness: Path, seeds: Path) -> None:
    """Without atheris, harnesses are given the files that are named, and find nothing."""
    files = seeds / ("recipes" if harness.stem == "fuzz_recipe" else "streams")
    command = [sys.executable, str(harness), "-max_len=9", str(files), str(seeds / "streamfmt.dict")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(seeds / "none"), str(ROOT)])}
    # Where atheris is installed it stays out of this.
    (seeds / "none").mkdir(exist_ok=True)
    (seeds / "none" / "atheris.py").write_text("raise ImportError")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(GOOD) + 1} inputs replayed\n", "")


def test_harnesses_and_their_build() -> None:
    """There is one for each parser, and the build takes all."""
    assert {path.stem for path in HARNESSES.glob("fuzz_*.py")} == {
        "fuzz_identify",
        "fuzz_open",
        "fuzz_recipe",
        "fuzz_verify",
    }
    folder = ROOT / ".clusterfuzzlite"
    assert "conformance/fuzz/fuzz_*.py" in (folder / "build.sh").read_text()
    assert subprocess.run(["bash", "-n", str(folder / "build.sh")], check=False).returncode == 0
    assert os.access(folder / "build.sh", os.X_OK)
