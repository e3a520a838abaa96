"""Streams of the corpus for others: chosen, packed into archives or written as they are, and run through readers."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from .. import data
from ..cli.main import main
from ..corpus import archive, store
from ..corpus.store import Row
from .support.kill_points import WAYS, command, environment, killed_at
from .test_build import terminal

ROWS = store.read_index()
LARGE = "LIBXC-REC-LENGTH-MAX/accepted/exactly-128-mib"
ROOT = Path(data.path("corpus")).parent
# Few streams, of each duty.
SOME = ("--stream", "good/libxl-*", "--stream", "LIBXC-PAGE-COUNT/broken/*", "--stream", "LIBVIRT-VERSION/broken/zero")


def _chosen(capsys: pytest.CaptureFixture[str], *words: str) -> list[Row]:
    """What `list` lists with these options, by its rows."""
    assert main(["corpus", "list", "--json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _export(path: Path, *words: str) -> Path:
    """An archive's folder, unpacked."""
    assert main(["corpus", "export", *words, "-o", str(path / "corpus.tar.gz")]) == 0
    subprocess.run(["tar", "xzf", "corpus.tar.gz"], cwd=path, check=True)
    return path / archive.FOLDER


# -- archives -------------------------------------------------------------------------------------------------


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The archive has each stream, its row and its checksum, whether it is stored or made on demand."""
    path = tmp_path / "corpus.tar.gz"
    few = [row for row in ROWS if not row["id"].startswith("LIBXC-REC-LENGTH-MAX/")]  # they have 134 MB each
    names = {row["id"].partition("/")[0] for row in few}
    words = [word for name in names for word in ("--stream", f"{name}/*")]
    assert main(["corpus", "export", *words, "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: {store.counted(few)}\n"
    assert store.on_demand(few) > 1
    found: dict[str, tuple[int, str]] = {}
    small: dict[str, bytes] = {}
    with tarfile.open(path, "r|gz") as packed:
        for member in packed:
            name = member.name.removeprefix(f"{archive.FOLDER}/")
            file = packed.extractfile(member)
            assert file is not None
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
                if not name.endswith(".bin"):
                    small[name] = small.get(name, b"") + piece
            found[name] = (member.size, digest.hexdigest())
    listed = json.loads(small[store.INDEX])
    jsonschema.validate(listed, json.loads(small["index.schema.json"]))
    rows = listed["streams"]

    assert [row["id"] for row in rows] == [row["id"] for row in few]
    assert {row["file"] for row in rows} == {name for name in found if name.endswith(".bin")}
    for row in rows:
        assert found[row["file"]] == (row["size"], row["sha256"])
        assert json.loads(small[f"{row['id']}.json"]) == row
    sums = {line[66:]: line[:64] for line in small["SHA256SUMS"].decode().splitlines()}
    assert sums == {name: digest for name, (_, digest) in found.items() if name != "SHA256SUMS"}
    table = [line.split("\t") for line in small[archive.TABLE].decode().splitlines()]
    assert table == [[row["reader"]["does"], row["format"], row["file"]] for row in rows]
    assert small["LICENSE"].startswith(b"MIT License")
    # What the README names is there.
    for name in re.findall(r"^- `([^`]+)`", small["README.md"].decode(), re.MULTILINE):
        assert any(path == name or (name.startswith("ID.") and path.endswith(name[2:])) for path in found) or (
            name.split(".")[0] in {*ROWS[0], "reader", "findings"}
        ), name


def test_the_same_each_time(tmp_path: Path) -> None:
    """The same streams make the same archive."""
    first, second = tmp_path / "a.tar.gz", tmp_path / "b.tar.gz"
    for path in (first, second):
        assert main(["corpus", "export", *SOME, "-o", str(path)]) == 0
    assert first.read_bytes() == second.read_bytes()


def test_export_for_sha256sum(tmp_path: Path) -> None:
    """Through a pipe to tools that everybody has."""
    words = [sys.executable, "-m", "streamfmt", "corpus", "export", "--stored", "-o", "-"]
    made = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "xz"], input=made.stdout, cwd=tmp_path, check=True)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / archive.FOLDER, check=True
    )


def test_damaged_bytes_are_not_exported(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is a file that has the target's name replaced."""
    target = tmp_path / "corpus.tar.gz"
    target.write_bytes(b"before")
    path = copy / "streams" / "good" / "hvm.bin.gz"
    raw = bytearray(path.read_bytes())
    raw[20] ^= 0xFF
    path.write_bytes(raw)

    for words in ((), ("--stream", "good/hvm")):
        assert main(["corpus", "export", *words, "-o", str(target)]) == 1
        assert "streams/good/hvm.bin.gz does not hold what the index says" in capsys.readouterr().err
        assert target.read_bytes() == b"before"


def test_what_is_made_otherwise_is_not_exported(copy: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """A stream that is made on demand is held against the index before its first byte is out."""
    path = copy / store.INDEX
    row = next(row for row in ROWS if row["id"] == LARGE)
    path.write_text(path.read_text(encoding="utf-8").replace(row["sha256"], "0" * 64), encoding="utf-8")

    assert main(["corpus", "export", "--stream", LARGE, "-o", "-"]) == 1
    out, error = capsysbinary.readouterr()
    assert out == b""
    assert b"is made otherwise than the index says" in error


def test_what_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and status 3; and an object that says the same."""
    assert main(["corpus", "export", *SOME, "-o", "/dev/full"]) == 3
    assert capsys.readouterr().err == "streamfmt corpus: /dev/full: cannot write: No space left on device\n"
    assert main(["corpus", "export", *SOME, "-o", "/nonexistent/corpus.tar.gz", "--json"]) == 3
    out, error = capsys.readouterr()
    assert "/nonexistent/corpus.tar.gz: cannot write: No such file or directory" in error
    assert _run(out)["error"] == error.removeprefix("streamfmt corpus: ").rstrip("\n")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_killed(way: str, moment: str, tmp_path: Path) -> None:
    """What was there stays whole, and the next export leaves its archive and nothing else."""
    path = tmp_path / "corpus.tar.gz"
    path.write_bytes(b"before")
    words = ("corpus", "export", *SOME, "-o", str(path))
    first = subprocess.run(command(WAYS[way] + killed_at(moment), *words), env=environment(), check=False)

    assert first.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
    assert main(list(words)) == 0
    assert list(tmp_path.iterdir()) == [path]


# -- one stream -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["good/libxl-hvm", "real/dm-pc-xenlike", "XAPI-QEMU-MAX/accepted/most", LARGE])
def test_one_stream(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written as it is, to a file or a pipe, whether it is stored or made on demand."""
    row = next(row for row in ROWS if row["id"] == name)
    path = tmp_path / "guest.sav"
    words = ["corpus", "export", "--stream", name, "-o"]
    assert main([*words, str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: 1 stream")
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == row["sha256"]
    assert path.stat().st_size == row["size"]
    with subprocess.Popen([sys.executable, "-m", "streamfmt", *words, "-"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert hashlib.file_digest(child.stdout, "sha256").hexdigest() == row["sha256"]  # type: ignore[arg-type] # it reads
    assert child.returncode == 0


def test_one_stream_of_a_pattern_is_an_archive(tmp_path: Path) -> None:
    """What comes out does not depend on how many there are."""
    folder = _export(tmp_path, "--stream", "good/libxl-hv?")
    assert (folder / "good" / "libxl-hvm.bin").exists()


# -- choosing -------------------------------------------------------------------------------------------------


def test_choosing(capsys: pytest.CaptureFixture[str]) -> None:
    """Options leave what each lets through; one that is given again adds to that."""
    for row in _chosen(capsys, "--clause", "XAPI-*"):
        assert any(clause.startswith("XAPI-") for clause in archive.clauses(row))
    both = _chosen(capsys, "--format", "xl", "--format", "libvirt")
    assert {row["format"] for row in both} == {"xl", "libvirt"}
    # Those that have to be declared to be that are among them.
    assert {row["as"] for row in both} == {"auto", "xl", "libvirt"}
    fewer = _chosen(capsys, "--format", "xl", "--clause", "XL-FLAGS-*")
    assert fewer
    assert len(fewer) < len(_chosen(capsys, "--format", "xl"))
    assert all(row["format"] == "xl" for row in fewer)
    assert _chosen(capsys) == ROWS
    stored = _chosen(capsys, "--stored")
    assert stored == [row for row in ROWS if row["file"]]
    assert _chosen(capsys, "good/*", "made/*") == _chosen(capsys, "--stream", "good/*", "--stream", "made/*")


def test_list_and_export_choose_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the same options."""
    words = ("--clause", "CKPT-*", "--clause", "LIBXL-CKPT*", "--format", "libx?", "--stored")
    rows = json.loads((_export(tmp_path, *words) / store.INDEX).read_text())["streams"]
    capsys.readouterr()

    assert [row["id"] for row in rows] == [row["id"] for row in _chosen(capsys, *words)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "lib"], "there is no stream of format 'lib'; there are back-channel, "),
        (["--clause", "LIBXC-PAGE-CONT"], "of clause 'LIBXC-PAGE-CONT'; did you mean LIBXC-PAGE-COUNT"),
        (["--stream", "good/hmv"], "there is no stream 'good/hmv'; did you mean good/hvm"),
        (["--stream", "qqqqqq"], "there is no stream 'qqqqqq'\n"),
        (["--format", "xl", "--clause", "XAPI-*"], "no stream matches all of --clause, --format; leave one out"),
        (["--stream", LARGE, "--stored"], "no stream matches all of --stream, --stored; leave one out"),
    ],
)
def test_nothing_to_choose(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says why, and nothing is written."""
    for verb in (["list"], ["export", "-o", "none"]):
        assert main(["corpus", *verb, *words]) == 2
        out, error = capsys.readouterr()
        assert (out, error.count("\n")) == ("", 1)
        assert message in error
    assert not Path("none").exists()


def test_lists_fit_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """No line is longer than 80 columns, and each stream's first has its id, its size and its duty."""
    assert main(["corpus", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    firsts = [line.split() for line in lines if not line.startswith(" ")]

    assert max(map(len, lines)) <= 80
    assert firsts == [[row["id"], f"{row['size']:,}", row["reader"]["does"]] for row in ROWS]
    # Those that follow have the other clauses.
    assert main(["corpus", "list", "LIBXC-SDE-PRESENT/several/end-alone"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "    LIBXC-PAGE-PRESENT, LIBXC-TSC-PRESENT, LIBXC-HVMCTX-PRESENT,",
        "    LIBXC-HVMPARAMS-PRESENT",
    ]


# -- what was done --------------------------------------------------------------------------------------------


def _run(text: str) -> dict[str, Any]:
    """An object that says what was done, as its schema wants it."""
    run: dict[str, Any] = json.loads(text)
    jsonschema.validate(run, json.loads(Path(data.path("spec", "json", "corpus-run.json")).read_text()))
    return run


def test_what_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each verb that does something says so to machines."""
    assert main(["corpus", "export", "--stream", LARGE, "--json", "-o", str(tmp_path / "a")]) == 0
    run = _run(capsys.readouterr().out)
    assert (run["verb"], run["streams"], run["on_demand"], run["output"]) == ("export", 1, 1, str(tmp_path / "a"))
    words = [sys.executable, "-m", "streamfmt", "corpus", "export", "--stream", "good/hvm", "--json", "-o", "-"]
    done = subprocess.run(words, capture_output=True, check=True)
    assert hashlib.sha256(done.stdout).hexdigest() == next(row["sha256"] for row in ROWS if row["id"] == "good/hvm")
    assert _run(done.stderr.decode())["output"] is None


def test_progress() -> None:
    """A terminal sees how far a check is; the object comes after it."""
    said = terminal([sys.executable, "-m", "streamfmt", "corpus", "check", "--json"], both=True)
    assert re.search(rf"\d+/{len(ROWS)}\b.* streams", said)
    run = _run(said[said.index('{"format"') :].splitlines()[0])
    assert (run["streams"], run["on_demand"], run["complaints"]) == (len(ROWS), store.on_demand(ROWS), [])


def test_complaints_for_machines(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are in the object; so is why there is none of them."""
    assert main(["corpus", "build", "--json"]) == 0
    run = _run(capsys.readouterr().out)
    assert (run["verb"], run["streams"]) == ("build", len(store.read_index()))
    (few / "streams" / "good" / "hvm.bin.gz").unlink()
    assert main(["corpus", "check", "--json"]) == 1
    run = _run(capsys.readouterr().out)
    assert (run["status"], run["complaints"]) == (1, ["good/hvm: streams/good/hvm.bin.gz is not there"])
    (few / store.INDEX).unlink()
    assert main(["corpus", "check", "--json"]) == 3
    run = _run(capsys.readouterr().out)
    assert (run["status"], run["error"]) == (3, f"{few / store.INDEX}: No such file or directory")


# -- a reader of one's own ------------------------------------------------------------------------------------

LOOP = re.compile(r"```(python|sh)\n((?:import json|wrong=0).*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some streams, with the loops of the README beside them."""
    folder = _export(tmp_path_factory.mktemp("corpus"), *SOME)
    loops = dict(LOOP.findall((folder / "README.md").read_text()))
    assert dict(LOOP.findall((ROOT / "docs" / "corpus.md").read_text())) == loops
    assert all(text.count("\n") <= 12 for text in loops.values())
    for kind, name in (("python", "run.py"), ("sh", "run.sh")):
        (folder / name).write_text(loops[kind])
    return folder


@pytest.mark.parametrize("loop", [[sys.executable, "run.py"], ["sh", "run.sh"]], ids=["python", "shell"])
@pytest.mark.parametrize(
    ("reader", "answer", "fails"),
    [
        ([sys.executable, "-m", "streamfmt", "verify", "-q", "-"], "", []),
        (["true"], "accept", ["reject"]),
        (["false"], "reject", ["accept"]),
        (["sh", "-c", "kill -SEGV $$"], "crash", ["accept", "reject", "either"]),
        (["sh", "-c", "exit 124"], "crash", ["accept", "reject", "either"]),
        (["sh", "-c", "exit 123"], "reject", ["accept"]),
    ],
    ids=["ours", "takes-all", "takes-none", "crashes", "hangs", "odd-status"],
)
def test_a_loop(loop: list[str], reader: list[str], answer: str, fails: list[str], unpacked: Path) -> None:
    """As the pages show them: a line for each stream that is not read as it has to be, and a status."""
    done = subprocess.run([*loop, *reader], cwd=unpacked, capture_output=True, text=True, check=False)
    rows = json.loads((unpacked / store.INDEX).read_text())["streams"]
    wrong = [row for row in rows if row["reader"]["does"] in fails]

    assert {row["reader"]["does"] for row in rows} == {"accept", "reject", "either"}
    assert done.stderr == ""
    assert done.returncode == int(bool(wrong))
    lines = done.stdout.splitlines()
    assert len(lines) == len(wrong)
    for line, row in zip(lines, wrong, strict=True):
        assert re.match(f"{row['id']}(.bin)?: {answer}, expected {row['reader']['does']}", line)


@pytest.mark.parametrize("loop", [[sys.executable, "run.py"], ["sh", "run.sh"]], ids=["python", "shell"])
def test_a_loop_without_streams_fails(loop: list[str], unpacked: Path, tmp_path: Path) -> None:
    """In a folder that is not the archive's a reader passes nothing."""
    (tmp_path / loop[1]).write_text((unpacked / loop[1]).read_text())

    assert subprocess.run([*loop, "true"], cwd=tmp_path, capture_output=True, check=False).returncode == 1


# -- how many there are ---------------------------------------------------------------------------------------

PAGES = ["README.md", "docs/corpus.md", "corpus/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_one_count(page: str) -> None:
    """Pages that say how many streams there are, or how many are made on demand, say the same as the commands."""
    text = (ROOT / page).read_text()
    counts = re.findall(r"(\S+) (?:migration )?\[?streams\b[^.]*(?:docs/corpus|index that says|good ones)", text)
    made = re.findall(r"(\d+) of them[^.]*made on demand", text)

    assert counts == [f"{len(ROWS):,}"]
    assert set(made) <= {f"{store.on_demand(ROWS):,}"}
    assert not re.search(r"[Tt]housand (migration )?\[?streams", text)
