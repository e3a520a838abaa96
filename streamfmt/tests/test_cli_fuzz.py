"""`streamfmt fuzz` as people use it: what it prints and writes, how it ends, what it says of mistakes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import jsonschema
import pytest

from .. import data
from ..cli.main import main
from ..conformance.kin import children
from ..conformance.target import OURS
from .support import planted_bugs
from .support.planted_bugs import DYING, FUZZED, running

ROOT = Path(data.path("spec")).parent
T = TypeVar("T")


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
    words = ("--target", f"{FUZZED}.credulous", "--seed", "1", "--jobs", "1", "--failures", "2")
    status, out, err = fuzz(capsys, *words, "--count", "200", "--output", str(output))
    reports = out.split("\n\n")

    assert (status, err) == (1, "")
    last = r"enough: \d+ inputs in \d+ s \(\d+/s\), --seed 1 --jobs 1: 2 failures, in .*\n"
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
    """A command's own line dies as it did, of bytes on standard input or in a file."""
    named = """sh -c 'if grep -q LibxlFmt "$1"; then kill -SEGV $$; fi' sh {}"""
    for words in (DYING, named):
        options = ("--seed", "1", "--jobs", "1", "--count", "60", "--failures", "1", "--against", "none")
        status, out, _ = fuzz(capsys, "--target", words, *options, "--output", str(tmp_path))
        (line,) = re.findall(r"^  repeat   (.*)", out, re.MULTILINE)

        assert status == 1
        assert shell(line).returncode == -signal.SIGSEGV


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Machines get what its schema says."""
    words = ("--target", f"{FUZZED}.dying", "--seed", "1", "--jobs", "1", "--count", "200", "--failures", "1", "--json")
    status, out, _ = fuzz(capsys, *words, "--output", str(tmp_path))
    report = json.loads(out)
    jsonschema.validate(report, json.loads(Path(data.path("spec", "json", "fuzz.json")).read_text()))

    assert status == 1
    assert 0 < report["inputs"] <= 200
    assert Path(report["failures"][0]["stream"]["file"]).stat().st_size == report["failures"][0]["stream"]["bytes"]


def test_nothing_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then nothing is left behind."""
    output = tmp_path / "findings"
    words = ("--target", f"{FUZZED}.sound", "--against", "none", "--time", "1s", "--jobs", "1", "--output", str(output))
    status, out, err = fuzz(capsys, *words)

    assert (status, err) == (0, "")
    assert re.search(r"--seed \d+ --jobs 1: no failure\n$", out)
    assert not output.exists()


def test_no_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no input was tried, that is not the same as no failure."""
    words = ("--target", "true", "--time", "0.0001s", "--jobs", "1", "--output", str(tmp_path / "none"))
    status, out, err = fuzz(capsys, *words)

    assert (status, err) == (3, "streamfmt fuzz: error: no input was tried; give it more time\n")
    assert re.fullmatch(r"0 inputs in .*: nothing was tried\n", out)


def started(tmp_path: Path, *words: str, storage: bool = True) -> subprocess.Popen[bytes]:
    """The command in a session of its own, which has its findings and its temporary files in that directory.

    Without `storage` nothing says where Hypothesis may keep what it knows.
    """
    own = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "STREAMFMT_FUZZED_LOG": str(tmp_path / "log")}
    environment = {**os.environ, **own}
    if not storage:
        del environment["HYPOTHESIS_STORAGE_DIRECTORY"]
    command = [sys.executable, "-m", "streamfmt", "fuzz", "--time", "1h", "--seed", "1", "--jobs", "1", *words]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    _STARTED.append(process)
    return process


_STARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _none_outlives_its_test() -> Iterator[None]:
    """Nor do its processes, whatever the test comes to: they would run for an hour."""
    yield
    while _STARTED:
        if (process := _STARTED.pop()).poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def until(found: Callable[[], T]) -> T:
    """What that gives, once it is something."""
    end = time.monotonic() + 60
    while not (something := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return something


def awaited(directory: Path, pattern: str) -> Path:
    return until(lambda: list(directory.glob(pattern)))[0]


def logged(directory: Path, least: int) -> list[str]:
    """What targets have written there, once it is so many lines."""
    log = directory / "log"
    return until(lambda: log.exists() and len(lines := log.read_text().splitlines()) >= least and lines) or []


def left(directory: Path) -> list[int]:
    """Processes that have been started with that directory for temporary files: those of a run, and of its targets."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"TMPDIR={directory}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


# What Hypothesis finds out where it keeps nothing takes it seconds, as does a stream that has to be made small: once.
@pytest.mark.parametrize(
    ("number", "target", "storage"),
    [(signal.SIGINT, "crashing", False), (signal.SIGTERM, "dying", True), (signal.SIGHUP, "dying", True)],
    ids=str,
)
def test_interrupted(number: signal.Signals, target: str, storage: bool, tmp_path: Path) -> None:
    """Ctrl-C, which goes to all processes of a terminal, and its like end it at once; what was found is reported."""
    process = started(tmp_path, "--target", f"{FUZZED}.{target}", "--against", "none", storage=storage)
    awaited(tmp_path, "fuzz-findings/*.txt")
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=120)

    assert (process.returncode, err) == (1, b"")
    assert b"crash of" in out
    assert b"\ninterrupted; " in out
    assert [path.name for path in tmp_path.iterdir()] == ["fuzz-findings"]


@pytest.mark.parametrize(
    "target", ["sh -c 'echo $$ >pid; exec sleep 99'", f"{FUZZED}.stuck"], ids=("command", "function")
)
def test_interrupted_while_a_target_hangs(target: str, tmp_path: Path) -> None:
    """Even twice, it takes the target with it and leaves nothing."""
    process = started(tmp_path, "--target", target, "--timeout", "1h")
    pid = awaited(tmp_path, "pid")
    while not pid.read_text():
        time.sleep(0.01)
    for _ in range(2):
        os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)

    assert (process.returncode, err) == (130, b"")
    assert re.fullmatch(rb"interrupted; 0 inputs in .*: nothing was tried\n", out)
    assert not running(int(pid.read_text()))
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted_at_once(number: signal.Signals, tmp_path: Path) -> None:
    """While it starts its processes: nothing was tried, which is not the same as no failure."""
    process = started(tmp_path, "--target", "sleep 999", "--timeout", "1h", "--jobs", "64", "--json")
    until(lambda: len(left(tmp_path)) > 4)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=120)
    report = json.loads(out)
    jsonschema.validate(report, json.loads(Path(data.path("spec", "json", "fuzz.json")).read_text()))

    assert (process.returncode, err) == (128 + number, b"")
    assert (report["inputs"], report["result"], report["status"]) == (0, "nothing tried", 128 + number)
    assert not left(tmp_path)
    assert not list(tmp_path.iterdir())


def test_interrupted_without_a_failure(tmp_path: Path) -> None:
    """What was not tried may have failed."""
    process = started(tmp_path, "--target", "sh -c 'echo >>log'", "--against", "none")
    logged(tmp_path, 20)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=120)

    assert (process.returncode, err) == (128 + signal.SIGTERM, b"")
    assert re.fullmatch(rb"interrupted; [1-9]\d* inputs in .*: no failure so far\n", out)


def test_interrupted_while_a_failure_is_made_small(tmp_path: Path) -> None:
    """It is reported as it was found, even if nothing is waited for."""
    process = started(tmp_path, "--target", "sh -c 'echo >>log; sleep 0.2; kill -SEGV $$'")
    logged(tmp_path, 2)
    # Two of one kind may come as one.
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid, number)
    out, err = process.communicate(timeout=120)

    assert (process.returncode, err) == (1, b"")
    assert b": 1 failure, in fuzz-findings\n" in out
    assert not left(tmp_path)


LEAVE = f"import time; from {planted_bugs.__name__} import leave; leave('log')"
LEAVING = [
    pytest.param(shlex.join([sys.executable, "-c", f"{LEAVE}; time.sleep(999)"]), id="command"),
    pytest.param(f"{FUZZED}.leaving", id="function"),
]


@pytest.mark.parametrize("target", LEAVING)
def test_killed(target: str, tmp_path: Path) -> None:
    """Even then no process is left of it, and none of a target; its temporary files go too."""
    process = started(tmp_path, "--target", target, "--timeout", "1h")
    logged(tmp_path, 4)
    process.kill()
    process.communicate()

    until(lambda: not left(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} <= {"log", "fuzz-findings"}


@pytest.mark.parametrize("target", LEAVING)
def test_one_process_is_killed(target: str, tmp_path: Path) -> None:
    """As by a system without memory: it is reported, and what its target has started is ended."""
    process = started(tmp_path, "--target", target, "--timeout", "1h", "--against", "none")
    logged(tmp_path, 4)
    for pid in children(process.pid):
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=120)

    assert process.returncode == 3
    assert b"one of the searching processes ended with status -9\n" in err
    assert not left(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"log"}


def test_status_line(tmp_path: Path) -> None:
    """On a terminal one line shows how far it is; on standard error, and gone at the end."""
    ours, theirs = os.openpty()
    words = ["--target", f"{FUZZED}.sound", "--against", "none", "--time", "0.5s", "--jobs", "1"]
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
        with suppress(OSError):  # which is how a terminal says that it has no writer any more
            while raw := os.read(ours, 4096):
                shown += raw
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
        (("--target", "cat \udcff"), "'cat \\udcff' is not UTF-8"),
        (("--target", "cat", "--output", "\udcff"), "'\\udcff' is not UTF-8"),
        (("--target", "cat", "--time", "soon"), "'soon' is not a time of at most 500h; write 90s, 10m or 1h"),
        (("--target", "cat", "--time", "0"), "'0' is not a time"),
        (("--target", "cat", "--timeout", "-1"), "argument --timeout"),
        (("--target", "cat", "--timeout", "501h"), "'501h' is not a time of at most 500h"),
        (("--target", "cat", "--jobs", "0"), "it must be at least 1"),
        (("--target", "cat", "--jobs", "5000"), "5,000 processes are too many; the limit here is "),
        (("--target", "cat", "--seed", "x"), "'x' is not a whole number"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what is wrong, and nothing is done."""
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
    """It is reported in a line, as target or as the other."""
    output = tmp_path / "findings"
    status, out, err = fuzz(capsys, "--target", target, "--jobs", "1", "--output", str(output))

    assert (status, out, err.count("\n")) == (3, "", 1)
    assert complaint in err
    assert not output.exists()

    status, out, _ = fuzz(capsys, "--target", target, "--jobs", "1", "--output", str(output), "--json")
    report = json.loads(out)

    assert (status, report["status"], report["result"]) == (3, 3, "nothing tried")
    assert complaint in report["error"]


def test_unwritable_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reported at once, not when there is something to write."""
    (tmp_path / "file").touch()
    status, out, err = fuzz(capsys, "--target", "cat", "--output", str(tmp_path / "file"))

    assert (status, out) == (3, "")
    assert err == f"streamfmt: {tmp_path}/file: cannot write: File exists\n"

    status, out, _ = fuzz(capsys, "--target", "cat", "--output", str(tmp_path / "file"), "--json")
    report = json.loads(out)

    assert (status, report["status"], report["result"]) == (3, 3, "nothing tried")
    assert "File exists" in report["error"]


def test_without_the_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Hypothesis the message says how to get it."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)

    assert fuzz(capsys, "--target", "cat") == (2, "", "streamfmt fuzz needs the extra: pip install 'streamfmt[fuzz]'\n")
