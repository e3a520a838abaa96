"""Conversions of version 2 images and repairs: what comes out, what is refused, and what is left of a failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import jsonschema
import pytest

from .. import data, tables
from ..checks.outcome import Outcome
from ..cli.main import main
from ..convert.part import Options
from ..convert.rules import MENDABLE, RULES
from ..convert.run import Result, convert
from ..io.outputs import FileOutput, output
from ..writer import Draft, record
from .support.corpus import ACCEPTED, BREAKING, PLACES
from .support.descriptors import giving, taking
from .support.good_streams import GOOD
from .support.vector import Vector, judge
from .test_cli import conforms_to

V2 = {name: stream for name, stream in GOOD.items() if b"XENF\0\0\0\2" in stream.render()}
SDE = Draft((record("libxc.STATIC_DATA_END"),)).render()


def _converted(data: bytes, form: str = "auto", repair: bool = False, way: str = "file") -> tuple[Result, bytes]:
    """What comes of a stream, and the bytes of the output."""
    with giving(way, data, 1) as fd, taking("pipe", 1) as (out, arrived):
        result = convert(fd, lambda: output(out), Options(form, repair), lambda size: nullcontext(None))
        os.set_blocking(fd, True)
        while os.read(fd, 1 << 20):
            pass  # so that the writer ends
    return result, arrived[0]


def _param(index: int) -> dict[str, int]:
    return {"index": index, "value": 0xFEFF0 + index}


def _errors(outcome: Outcome) -> set[str]:
    return {finding.clause for finding in outcome.findings if finding.severity == "error"}


@pytest.mark.parametrize("name", V2)
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_version_2_becomes_version_3(name: str, way: str) -> None:
    """One number is changed and one record inserted, before the first that is no static data; all else stays."""
    data = V2[name].render()
    result, found = _converted(data, way=way)
    place = data.index(b"XENF\0\0\0\2") + 7
    at = next(line.offset for line in result.report if line.rule == "LIBXC-SDE-PRESENT")
    pae = [line for line in result.report if line.rule == "LIBXC-HVMPARAMS-PAE"]
    expected = data[:place] + b"\3" + data[place + 1 : at] + SDE + data[at:]

    assert result.done
    assert not _errors(judge([found]))
    assert {layer.version for layer in judge([found]).verifier.layers if layer.row.image} == {3}
    assert pae or found == expected
    assert result.written == len(found)


def test_obsolete_parameter() -> None:
    """It is left out, the others stay in their order."""
    vector = ACCEPTED["LIBXC-HVMPARAMS-PAE"]["v2"]
    params = Draft((*GOOD["hvm-v2"].parts,)).swap(
        "libxc.HVM_PARAMS",
        record("libxc.HVM_PARAMS", count=3, params=[_param(1), _param(4), _param(5)]),
    )
    result, found = _converted(params.render())
    kept = Draft((record("libxc.HVM_PARAMS", count=2, params=[_param(1), _param(5)]),)).render()

    assert result.done
    assert kept in found
    assert not _errors(judge([found]))
    assert _converted(vector.data)[0].done


def _plain(table: dict[str, Vector]) -> Iterator[Vector]:
    return (vector for vector in table.values() if not vector.large)


@pytest.mark.parametrize("clause", ["good", "CKPT-CUT", "LIBXC-END-LAST", "XL-MIGRATE-AFTER", "XAPI-SLACK"])
def test_what_needs_nothing_is_copied(clause: str) -> None:
    """Streams that are of today come out as they went in, with all that is around and after them."""
    copied = 0
    for table in (ACCEPTED, BREAKING):
        for vector in _plain(table.get(clause, {})):
            data = vector.data
            outcome = judge([data], vector.form)
            if outcome.conforms and not any(layer.row.alias for layer in outcome.verifier.layers):
                result, found = _converted(data, vector.form)
                assert result.done
                assert found == data or "LIBXC-IHDR-VERSION" in {line.rule for line in result.report}
                copied += found == data

    assert copied


@pytest.mark.parametrize("clause", sorted(MENDABLE))
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_repair(clause: str, way: str) -> None:
    """What writers are known to get wrong is right afterwards, and refused or left without being asked."""
    mended = 0
    for vector in _plain(BREAKING[clause]):
        data = vector.data
        before = judge([data], vector.form)
        result, found = _converted(data, vector.form, repair=True, way=way)
        after = judge([found], vector.form)
        if not result.done:
            assert result.status == 1
            continue
        assert clause not in after.counts
        assert set(after.counts) <= set(before.counts) | {"LIBXC-HVMPARAMS-PRESENT", "LIBXC-POLICY-PRESENT"}
        mended += 1
        as_it_is, same = _converted(data, vector.form, way=way)
        assert as_it_is.done == (tables.SEVERITY[clause] != "error")
        assert not as_it_is.done or clause in judge([same], vector.form).counts

    assert mended


def test_static_data_comes_first() -> None:
    """A record that a version 2 image may have before its static data is moved behind it."""
    data = PLACES["places"]["pv-v2-tsc-info-before-pv-info"].stream.render()
    result, found = _converted(data)

    assert result.done
    assert not _errors(judge([found]))
    assert len(found) == len(data) + len(SDE)


@pytest.mark.parametrize("clause", ["LIBXC-PAGE-TYPE", "LIBXC-REC-TRUNC", "LIBXC-HVMCTX-TILE", "LIBXL-REC-TRUNC"])
def test_what_breaks_a_rule_is_refused(clause: str, tmp_path: Path) -> None:
    """No output is opened for it if it is a file, and there is none if it is a pipe."""
    for vector in _plain(BREAKING[clause]):
        for way in ("file", "pipe"):
            opened = 0

            def opening() -> FileOutput:
                nonlocal opened
                opened += 1
                return FileOutput(tmp_path / "result")

            with giving(way, vector.data, 1) as fd:
                result = convert(fd, opening, Options(vector.form), lambda size: nullcontext(None))
                while os.read(fd, 1 << 20):
                    pass
            assert not result.done
            assert result.status == 1
            assert clause in result.outcome.counts
            assert opened == (way == "pipe")
            assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_what_is_not_recognised(way: str) -> None:
    """None of it goes out, however much there is."""
    result, found = _converted(b"\x7fnothing" * 100_000, way=way)

    assert result.outcome.verdict == "not judged"
    assert (result.status, result.begun, found) == (1, False, b"")


# -- the command ----------------------------------------------------------------------------------------------


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what was done and why, for people and for programs, and where it is wanted."""
    source, target, report = tmp_path / "old", tmp_path / "new", tmp_path / "report"
    source.write_bytes(V2["hvm-v2"].render())

    assert main(["convert", str(source), str(target)]) == 0
    text = capsys.readouterr().out
    assert "LIBXC-SDE-PRESENT" in text
    assert max(map(len, text.replace(str(tmp_path), "").splitlines())) <= 80
    assert main(["convert", str(source), str(target), "--json", "--report", str(report)]) == 0
    assert capsys.readouterr().out == ""
    found = json.loads(report.read_text())
    with open(data.path("spec", "json", "convert.json"), encoding="utf-8") as schema:
        jsonschema.validate(found, json.load(schema), jsonschema.Draft202012Validator)
    assert [line["rule"] for line in found["lines"]] == ["LIBXC-IHDR-VERSION", "LIBXC-SDE-PRESENT"]
    assert all(RULES[line["rule"]].why == line["why"] for line in found["lines"])
    assert found["bytes"] == target.stat().st_size


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, inputs that are missing or none, and outputs that are not to be had, each with its status."""
    stream, broken = tmp_path / "stream", tmp_path / "broken"
    stream.write_bytes(V2["hvm-v2"].render())
    broken.write_bytes(BREAKING["XL-FLAG-STREAM"]["v2-without-flag"].data)
    output = tmp_path / "output"

    assert main(["convert", str(stream), str(stream)]) == 2
    assert "OUTPUT is the input itself" in capsys.readouterr().err
    for report in (stream, output):
        assert main(["convert", str(stream), str(output), "--report", str(report)]) == 2
        assert "--report is the " in capsys.readouterr().err
    assert not output.exists()
    assert stream.read_bytes() == V2["hvm-v2"].render()
    assert main(["convert", str(tmp_path / "absent"), str(output)]) == 3
    assert main(["convert", str(stream), str(tmp_path / "absent" / "output")]) == 3
    assert main(["convert", str(stream), "/dev/full"]) == 3
    assert "/dev/full: cannot write: No space left on device" in " ".join(capsys.readouterr().out.split())
    assert main(["convert", str(broken), str(output)]) == 1
    assert "--repair mends XL-FLAG-STREAM" in " ".join(capsys.readouterr().out.split())
    assert main(["convert", "/dev/null", str(output)]) == 1
    assert not output.exists()


@contextmanager
def _converting(data: bytes, target: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command on its way, with these bytes and no end of its input."""
    words = [sys.executable, "-m", "streamfmt", "convert", "-", str(target)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(data)
        process.stdin.flush()
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_signals_leave_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """An old file of the target's name stays, and there is no other."""
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with _converting(V2["hvm-v2"].render()[:-16], target) as process:
        while not _begun(process.pid, tmp_path):
            time.sleep(0.01)
        process.send_signal(number)
        process.wait()

    assert process.returncode in (128 + number, -number)
    assert target.read_bytes() == b"old"
    assert [name for name in os.listdir(tmp_path) if not name.endswith(".streamfmt-part")] == ["target"]


def _begun(pid: int, folder: Path) -> bool:
    """Whether the process has opened an output in the folder."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if os.readlink(path).startswith(str(folder)):
                return True
    return False


def test_reader_of_the_output_that_goes(tmp_path: Path) -> None:
    """A closed pipe is an error of writing, and says so."""
    source = tmp_path / "source"
    source.write_bytes(V2["hvm-v2"].render())
    words = [sys.executable, "-m", "streamfmt", "convert", str(source), "-"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)

    assert done.returncode == 3
    assert "Broken pipe" in done.stderr


LOOKS = {
    "another width": (["--as", "legacy-32"], "looks like: legacy-64, x86 HVM; try it without --as legacy-32"),
    "another width declared": (["--width", "32"], "looks like: legacy-64, x86 HVM; try it without --width 32"),
    "another guest": (["--guest", "pv"], "looks like: legacy-64, x86 HVM; try it without --guest pv"),
    "a new stream": (["--as", "legacy"], "looks like: libxc v3, x86 HVM, Xen 4.17; try it without --as legacy"),
}


@pytest.mark.parametrize("case", LOOKS)
def test_wrong_declarations(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the bytes look like instead is said, to programs too."""
    words, message = LOOKS[case]
    source = tmp_path / "source"
    source.write_bytes(GOOD["hvm" if case == "a new stream" else "legacy-hvm"].render())

    assert main(["convert", *words, str(source), str(tmp_path / "output")]) == 1
    assert message in " ".join(capsys.readouterr().out.split())
    assert main(["convert", *words, "--json", str(source), str(tmp_path / "output")]) == 1
    found = json.loads(capsys.readouterr().out)
    conforms_to("convert", found)
    assert f"looks like: {found['looks_like']}" == message
    assert os.listdir(tmp_path) == ["source"]


def test_page_has_the_rules() -> None:
    """The manual's table is that of the rules."""
    with open(data.path("docs", "convert.md"), encoding="utf-8") as page:
        lines = [line.strip() for line in page if line.startswith("| ")]

    assert lines[2:] == [f"| {name} | {rule.kind}: {rule.what} | {rule.why} |" for name, rule in RULES.items()]
