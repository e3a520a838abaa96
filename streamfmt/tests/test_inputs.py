"""One result for each input, always: damaged, missing and interrupted ones too; and statuses that hold."""

from __future__ import annotations

import fcntl
import gzip
import json
import lzma
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import zstandard

import streamfmt
from streamfmt import data
from streamfmt.cli import inputs
from streamfmt.cli.main import main
from streamfmt.io import sources
from streamfmt.tests.test_cli import conforms_to, run

REAL = Path(data.path("corpus", "real"))
HVM = gzip.decompress((REAL / "hvm-64.bin.gz").read_bytes())
BROKEN = gzip.decompress((REAL / "hvm-64-broken.bin.gz").read_bytes())
REMUS = gzip.decompress((REAL / "hvm-remus.bin.gz").read_bytes())


def zstd(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(raw)


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstd}


def altered(raw: bytes, place: int) -> bytes:
    changed = bytearray(raw)
    changed[place] ^= 1
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda packed: packed[:-1],
    "half": lambda packed: packed[: len(packed) // 2],
    # The checksums: gzip's four bytes before the last four, zstd's last four, xz's before index and footer.
    "checksum": lambda packed: altered(packed, {b"\x1f": -6, b"\xfd": -40, b"\x28": -1}[packed[:1]]),
}


def as_json(*words: str) -> list[dict[str, Any]]:
    """What a command prints with --json, by its published schema."""
    done = run(words[0], "--json", *words[1:])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for value in found:
        conforms_to(words[0], value)
    return found


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("content", ["sound", "broken"])
def test_damaged_compression_is_a_result(content: str, packer: str, damage: str, tmp_path: Path) -> None:
    """The findings up to there, a verdict line that says it is unfinished, and an object, from verify, tee and API."""
    stream = {"sound": HVM, "broken": BROKEN}[content]
    packed = DAMAGES[damage](PACKERS[packer](stream))
    path = tmp_path / "image"
    path.write_bytes(packed)
    whole = streamfmt.verify(stream)

    done = run("verify", str(path))
    last = done.stdout.decode().splitlines()[-1]
    (found,) = as_json("verify", str(path))
    outcome = streamfmt.verify(path)
    teed = run("tee", stdin=packed)

    assert (done.returncode, done.stderr) == (1, b"")
    assert f"unfinished: the {packer} data " in last
    assert found["verdict"] == ("does not conform" if content == "broken" else "not judged")
    assert (found["status"], found["failure"]["kind"]) == (1, "damaged")
    assert found["failure"]["offset"] > len(stream) // 3
    assert outcome.as_dict(str(path)) == found
    assert not outcome.conforms
    assert teed.stdout == packed
    assert teed.stderr.decode() == done.stdout.decode().replace(str(path), "standard input")
    # Nothing is found that the whole stream has not, but an end that is none.
    expected = [finding for finding in whole.findings if finding.offset < found["failure"]["offset"]]
    assert [finding for finding in outcome.findings if finding.clause != "LIBXC-REC-TRUNC"] == [
        finding for finding in expected if finding.clause != "LIBXC-REC-TRUNC"
    ]
    if damage == "checksum" and packer != "xz":
        assert outcome.size == len(stream)
        assert (found["counts"] == whole.counts) == (content == "sound")
        assert ("after the stream's end" in last) == (content == "sound")


@pytest.mark.parametrize("place", range(0, 2400, 97))
def test_damage_loses_nothing_before_it(place: int) -> None:
    """gzip's content comes out up to the very byte that zlib makes of what comes before the damage."""
    raw = BROKEN[:9000] * 3
    packed = altered(gzip.compress(raw, mtime=0), 20 + place)
    worker = __import__("zlib").decompressobj(31)
    content = b""
    try:
        for byte in packed:
            content += worker.decompress(bytes([byte]))
    except Exception:
        pass
    from streamfmt.errors import DamagedError
    from streamfmt.io.compressed import CompressedSource

    pieces = [packed]
    source, room, found = CompressedSource("gzip", lambda _: pieces.pop() if pieces else b""), bytearray(1 << 16), b""
    try:
        while count := source.read_into(memoryview(room)):
            found += room[:count]
    except DamagedError:
        pass

    assert found == content


def test_each_input_has_its_object(tmp_path: Path) -> None:
    """Good, damaged, missing, and a directory: an object each, by the schema, with the error in it."""
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(gzip.compress(HVM)[:-20])
    words = [str(REAL / "hvm-64.bin.gz"), str(damaged), str(tmp_path / "missing"), str(tmp_path)]
    statuses = {"verify": [0, 1, 3, 3], "identify": [0, 0, 3, 3]}
    for verb, expected in statuses.items():
        found = as_json(verb, *words)

        assert [value["file"] for value in found] == words
        assert [value["status"] for value in found] == expected
        assert found[2]["failure"]["reason"] == "cannot read: No such file or directory"
        assert found[3]["failure"]["reason"] == "cannot read: it is a directory"
        assert run(verb, *words).returncode == 3
    ends = [value for value in as_json("show", *words) if "end" in value]
    assert [value["stopped"] is not None for value in ends] == [False, True, True, True]


def test_compressed_twice(tmp_path: Path) -> None:
    """A member within a member belongs to no migration until it is opened, and the line says so."""
    path = tmp_path / "twice.gz"
    path.write_bytes(gzip.compress(gzip.compress(HVM)))
    done = run("identify", str(path))

    assert done.returncode == run("verify", str(path)).returncode == 1
    assert b"is opened once, and this was compressed twice" in b" ".join(done.stdout.split())


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """JSON gives the bytes of a name that is not UTF-8, and nothing but the name where it is."""
    for name in (b"guest\xff\xfe.sav", "h\xf4te \\xff".encode()):
        path = os.fsencode(tmp_path) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(HVM)
        for verb in ("verify", "identify", "show"):
            for found in as_json(verb, os.fsdecode(path)):
                back = bytes.fromhex(found["file_bytes"]) if "file_bytes" in found else found["file"].encode()
                assert back == path
                assert ("file_bytes" in found) == (b"\xff" in name)


def test_json_has_hints() -> None:
    """What to do about a breach is with it."""
    (found,) = as_json("verify", str(REAL / "hvm-64-broken.bin.gz"))
    hints = {finding["clause"]: finding["hint"] for finding in found["findings"]}

    assert hints["LIBXC-REC-TRUNC"].startswith("The save or the transfer was cut short")
    assert hints["LIBXC-PAGE-TYPE"] == ""


# -- statuses -------------------------------------------------------------------------------------------------


FULL = [
    ("verify {real}/hvm-64.bin.gz", 0),
    ("verify {real}/hvm-64-broken.bin.gz", 1),
    ("verify /nowhere", 3),
    ("verify --no-such", 2),
    ("identify /nowhere", 3),
    ("show /nowhere", 3),
    ("show --full --recipe {real}/hvm-64.bin.gz", 2),
    ("explain NOTHING-SUCH-RULE", 2),
    ("build /nowhere -o -", 3),
    ("build", 2),
    ("corpus list nothing-such", 2),
    ("nothing-such", 2),
]


@pytest.mark.parametrize(("words", "status"), FULL)
def test_standard_error_changes_no_status(words: str, status: int) -> None:
    """A full device, or none, as standard error: the exit status is what it is otherwise."""
    line = f"{shlex.quote(sys.executable)} -m streamfmt {words.format(real=REAL)}"
    for errors in ("/dev/null", "/dev/full", "&-"):
        done = subprocess.run(f"{line} >/dev/null 2>{errors}", shell=True, check=False)
        assert done.returncode == status, errors


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("words", ["--help", "--version", "verify --help", "corpus list --help", "explain"])
def test_output_that_is_lost_is_an_error(words: str, buffered: str) -> None:
    """Help and version onto a full device exit with 3, like anything else that cannot be written."""
    line = f"{shlex.quote(sys.executable)} -m streamfmt {words} >/dev/full"
    environment = os.environ | {"PYTHONUNBUFFERED": buffered}
    done = subprocess.run(line, shell=True, stderr=subprocess.PIPE, env=environment, check=False)

    assert done.returncode == 3
    assert done.stderr == b"streamfmt: cannot write: No space left on device\n"


def _waiting(fd: int) -> None:
    """Until nothing is left to be read from the pipe."""
    import termios

    for _ in range(2000):
        if int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder) == 0:
            time.sleep(0.1)  # what was read is being judged
            return
        time.sleep(0.01)
    raise AssertionError("it is not read")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", ["verify -", "tee", "verify --json -", "tee --json", "identify -", "show -"])
def test_interrupted(words: str, number: signal.Signals) -> None:
    """Ctrl-C ends a command with 130, SIGTERM with 143; what was found so far is printed, marked as unfinished."""
    status, word = 128 + number, {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    command = [sys.executable, "-m", "streamfmt", *words.split()]
    given = BROKEN[:200_000] if "identify" not in words else BROKEN[:10]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.flush()
    _waiting(process.stdin.fileno())
    process.send_signal(number)
    out, errors = process.communicate()
    report = errors if words.startswith("tee") else out

    assert process.returncode == status
    assert b"Traceback" not in errors
    assert b"streamfmt: " in errors
    assert word.encode() in errors
    if words.startswith("tee"):
        assert out == given
    if "json" in words:
        found = json.loads(report.splitlines()[0])
        conforms_to("verify", found)
        assert (found["status"], found["failure"]["kind"]) == (status, word)
        assert found["counts"] == {"LIBXC-PAGE-TYPE": 1}
    elif words.startswith(("verify", "tee")):
        assert b"LIBXC-PAGE-TYPE" in report
        why = f"does not conform: 1 error; unfinished: {word} (after 200,000 bytes of content)"
        assert why.encode() in report


@pytest.mark.parametrize("verb", ["verify", "identify", "show"])
def test_lack_of_memory(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Not enough memory is a line with the file's name, and 3; what comes after it is judged."""
    real = sources.source_for

    def failing(fd: int, reader: Any) -> Any:
        monkeypatch.setattr(inputs, "source_for", real)
        raise MemoryError

    monkeypatch.setattr(inputs, "source_for", failing)
    path = str(REAL / "hvm-64.bin.gz")

    assert main([verb, path, path]) == 3
    shown = capsys.readouterr()
    assert shown.err == f"streamfmt: {path}: not enough memory\n"
    assert path in shown.out


def test_lack_of_memory_for_a_recipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is made from a recipe and takes too much is a line with the recipe's name, and 3."""

    def failing(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("streamfmt.cli.build.load_from", failing)

    assert main(["build", str(REAL / "hvm-64.bin.gz"), "-o", "/nowhere"]) == 3
    assert capsys.readouterr().err == f"streamfmt: {REAL / 'hvm-64.bin.gz'}: not enough memory\n"


def test_a_fault_of_our_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug is a line and no verdict; other files are judged."""
    real = inputs.Input.drive

    def failing(*_: Any) -> None:
        monkeypatch.setattr(inputs.Input, "drive", staticmethod(real))
        raise IndexError("of ours")

    monkeypatch.setattr(inputs.Input, "drive", staticmethod(failing))
    path = str(REAL / "hvm-64.bin.gz")

    assert main(["verify", "-q", path, path]) == 1
    shown = capsys.readouterr()
    assert "internal error, please report it: IndexError: of ours (test_inputs.py:" in shown.err
    assert shown.out.splitlines()[-1] == "2 inputs: 1 conforms, 1 not read"


def test_an_outcome_has_no_truth_value() -> None:
    """`if verify(...)` does not pass for a verdict, nor a stream that does not conform for no outcome."""
    assert streamfmt.verify(HVM).conforms
    for raw in (HVM, BROKEN, b"", b"text"):
        assert streamfmt.verify(raw).conforms == (raw == HVM)
        with pytest.raises(TypeError, match=r"ask for its \.conforms"):
            bool(streamfmt.verify(raw))


# -- how much is printed --------------------------------------------------------------------------------------


def test_a_rule_broken_again_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One entry with its count and its last place, however many; --all lists each, --summary has a line for it."""
    path = tmp_path / "stream"
    path.write_bytes(HVM[:40] + (b"\x99\x99\0\0\x08" + bytes(11)) * 5000 + HVM[40:])

    assert main(["verify", str(path)]) == 1
    grouped = capsys.readouterr().out
    assert grouped.count("LIBXC-REC-UNKNOWN-MAND") == 1
    assert "5,000 times; the last at 80024 (0x13898), libxc record 4999 type 0x9999" in " ".join(grouped.split())
    assert main(["verify", "--all", str(path)]) == 1
    every = capsys.readouterr().out
    assert every.count("LIBXC-REC-UNKNOWN-MAND") == 101
    assert "... and 4,900 more of LIBXC-REC-UNKNOWN-MAND; the last at 80024" in every
    assert main(["verify", "--summary", str(path)]) == 1
    assert "  error    LIBXC-REC-UNKNOWN-MAND  5,000 times, from 40 to 80024\n" in capsys.readouterr().out
    assert main(["verify", "--json", str(path)]) == 1
    assert json.loads(capsys.readouterr().out)["last"]["LIBXC-REC-UNKNOWN-MAND"] == 80024
    for text in (grouped, every):
        assert max(map(len, text.splitlines()[1:-1])) <= 80


def test_ignore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An ignored rule is counted, listed and weighs nothing; a stream that ends early does not conform all the same."""
    path = tmp_path / "stream"
    path.write_bytes(BROKEN[:296_000] + HVM[296_000:])

    assert main(["verify", str(path)]) == 1
    capsys.readouterr()
    assert main(["verify", "--ignore", "libxc-page-*", "--ignore", "LIBXC-HVMPARAMS-ORDER", str(path)]) == 0
    text = capsys.readouterr().out
    assert "  ignored  LIBXC-PAGE-TYPE: once" in text
    assert text.splitlines()[-1] == f"{path}: conforms"
    main(["verify", "--json", "--ignore", "LIBXC-PAGE-TYPE", str(path)])
    found = json.loads(capsys.readouterr().out)
    assert (found["ignored"], found["errors"]) == (["LIBXC-PAGE-TYPE"], 0)
    assert "LIBXC-PAGE-TYPE" not in [finding["clause"] for finding in found["findings"]]
    assert main(["verify", "--ignore", "*", str(REAL / "hvm-64-broken.bin.gz")]) == 1
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["verify", "--ignore", "LIBXC-PAGE-TIPE", str(path)])
    assert left.value.code == 2
    assert "did you mean LIBXC-PAGE-TYPE" in capsys.readouterr().err


def test_pages_that_were_read(tmp_path: Path) -> None:
    """Only pages whose content was there count, wherever in a batch the stream or its compression ends."""
    first = 744 + 8 + 8 + 72 * 8  # where the first page begins
    for cut, pages in ((first, 0), (first + 4095, 0), (first + 4096, 1), (first + 10 * 4096 + 5, 10), (len(HVM), 71)):
        outcome = streamfmt.verify(HVM[:cut])
        packed = gzip.compress(HVM[:cut])[:-8]

        assert outcome.as_dict()["pages_with_content"] == pages
        assert outcome.as_dict()["page_entries"] == 72
        assert streamfmt.verify(packed).as_dict()["pages_with_content"] == pages
    assert streamfmt.verify(BROKEN[: first + 3 * 4096]).as_dict()["pages_with_content"] <= 3


# -- reports for other programs -------------------------------------------------------------------------------


@pytest.fixture
def several(tmp_path: Path) -> list[str]:
    """Inputs that conform, do not, are none, end in damage, and are missing."""
    odd = tmp_path / "odd, 100%\n.sav"
    odd.write_bytes(gzip.compress(HVM)[:-9])
    text = tmp_path / "text\x01"
    text.write_bytes(b"no stream")
    real = [str(REAL / "hvm-64.bin.gz"), str(REAL / "hvm-64-broken.bin.gz")]
    return [*real, str(text), str(odd), str(tmp_path / "missing")]


def test_sarif(several: list[str]) -> None:
    """A result for each finding, at its bytes, by a rule that is in the driver's table; what is no finding a notice."""
    done = run("verify", "--format", "sarif", *several)
    found = json.loads(done.stdout)
    (only,) = found["runs"]
    rules = [rule["id"] for rule in only["tool"]["driver"]["rules"]]

    assert done.returncode == 3
    assert found["version"] == "2.1.0"
    assert len(rules) == len(set(rules))
    assert {result["ruleId"] for result in only["results"]} == set(rules) >= {"LIBXC-PAGE-TYPE", "LIBXC-REC-TRUNC"}
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in only["results"])
    assert {result["level"] for result in only["results"]} <= {"error", "warning", "note"}
    places = [result["locations"][0]["physicalLocation"] for result in only["results"]]
    assert any(place["region"]["byteOffset"] == 1240 for place in places)
    assert {place["artifactLocation"]["uri"] for place in places} >= set(several[:2])
    (invocation,) = only["invocations"]
    assert not invocation["executionSuccessful"]
    assert len(invocation["toolExecutionNotifications"]) == 3
    assert json.loads(run("verify", "--format", "sarif", several[2]).stdout)["runs"][0]["results"] == []


def test_junit(several: list[str]) -> None:
    """A case for each input, with what XML has no character for replaced."""
    done = run("verify", "--format", "junit", *several)
    suite = ElementTree.fromstring(done.stdout)

    assert done.returncode == 3
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "5",
        "failures": "2",
        "errors": "2",
    }
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["failure"], ["error"], ["error"]]
    assert "LIBXC-PAGE-TYPE" in (suite[1][0].text or "")
    assert str(suite[2].get("name")).endswith("text?")


def test_github(several: list[str]) -> None:
    """A command for each rule that an input breaks and for its verdict, one a line, whatever is in a name."""
    lines = run("verify", "--format", "github", *several).stdout.decode().splitlines()

    assert (
        f"::error file={several[1]},title=LIBXC-PAGE-TYPE::at 1240: entry 60 has page type 5, which is reserved"
        in lines
    )
    assert any(line.startswith(f"::notice file={several[0]},title=LIBXC-HVMPARAMS-ORDER::") for line in lines)
    assert all(line.startswith("::") for line in lines)
    assert any("odd%2C 100%25%0A.sav,title=not judged::not judged" in line for line in lines)


def test_junit_has_names_that_are_no_text(tmp_path: Path) -> None:
    """Two inputs whose names differ in a byte that is not UTF-8 are two cases."""
    paths = [os.fsencode(tmp_path) + name for name in (b"/\xfe", b"/\xff")]
    for path in paths:
        Path(os.fsdecode(path)).write_bytes(HVM)
    suite = ElementTree.fromstring(run("verify", "--format", "junit", *map(os.fsdecode, paths)).stdout)

    assert [case.get("name") for case in suite] == [f"{tmp_path}/\\xfe", f"{tmp_path}/\\xff"]


def test_an_empty_name_is_seen() -> None:
    """What a variable without a value leaves in a command is named."""
    assert run("verify", "").stderr.startswith(b"streamfmt: '': cannot read: ")


def test_how_much_was_read_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """However many counts there are, and a number stays with what it counts."""
    assert main(["verify", str(REAL / "hvm-remus.bin.gz")]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert "           4 checkpoints" in lines
    assert max(map(len, lines[1:-1])) <= 80


@pytest.mark.parametrize("form", ["sarif", "junit", "github"])
def test_no_report_of_a_cut_stream_is_clean(form: str) -> None:
    """A stream that ends early does not conform, whatever is ignored, and each report says so."""
    done = run("verify", "--ignore", "*", "--format", form, str(REAL / "hvm-64-broken.bin.gz"))

    assert done.returncode == 1
    assert b"does not conform; stopped at 296000" in done.stdout
    whole = run("verify", "--ignore", "*", "--format", form, str(REAL / "hvm-64.bin.gz"))
    assert b"does not conform" not in whole.stdout
