"""The commands as people use them: outputs, JSON by its published schemas, exit statuses, broken inputs."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import zstandard

from streamfmt import data, tables
from streamfmt.cli.main import VERBS, main
from streamfmt.io.compressed import CompressedSource
from streamfmt.reader.registry import READ
from streamfmt.schema.clauses import registry

CORPUS = Path(data.path("corpus", "real"))
HVM = gzip.decompress((CORPUS / "hvm-64.bin.gz").read_bytes())


def conforms_to(schema: str, value: Any) -> None:
    """Raise if `value` is not what spec/json/`schema`.json describes."""
    rules = json.loads(Path(data.path("spec", "json", f"{schema}.json")).read_text())
    jsonschema.validate(value, rules, jsonschema.Draft202012Validator)


def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A whole process, with a pipe as standard input."""
    return subprocess.run([sys.executable, "-m", "streamfmt", *words], input=stdin, capture_output=True, check=False)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A real HVM stream, unpacked."""
    path = tmp_path / "hvm.bin"
    path.write_bytes(HVM)
    return path


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help of each verb fits 80 columns and shows a command to type."""
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    text = capsys.readouterr().out

    assert left.value.code == 0
    assert f"streamfmt {verb}" in text.split("examples:")[1]
    assert max(map(len, text.splitlines())) <= 80


def test_overall_help_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    """streamfmt --help names each verb with what it does."""
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    text = capsys.readouterr().out

    assert left.value.code == 0
    assert all(verb in text and words in text for verb, words in VERBS.items())


@pytest.mark.parametrize("words", [[], ["verfy"], ["verify"], ["verify", "--no-such"], ["explain", "LIBXC-NOTHING"]])
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage exits with 2 and says so on standard error."""
    try:
        status: Any = main(words)
    except SystemExit as left:
        status = left.code
    shown = capsys.readouterr()

    assert status == 2
    assert shown.err
    assert not shown.out


def test_real_stream_conforms(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A healthy stream exits with 0, and its last line is the verdict."""
    assert main(["verify", str(sample)]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[0] == f"{sample}: libxc v3, x86 HVM, Xen 4.17"
    assert lines[-2] == "  read     8 records, 72 page entries, 71 pages, 296,504 bytes"
    assert lines[-1] == f"{sample}: conforms: 1 note"
    assert "\x1b" not in "".join(lines)


def test_several_files_exit_with_the_worst(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file has its verdict line; the exit status is the worst of all."""
    broken = tmp_path / "broken"
    broken.write_bytes(HVM[:-1])

    assert main(["verify", "-q", str(sample), str(broken), str(tmp_path / "absent")]) == 3
    shown = capsys.readouterr()
    *verdicts, last = shown.out.splitlines()
    assert [line.split(": ")[1].split(";")[0] for line in verdicts] == ["conforms", "does not conform"]
    assert last == "3 inputs: 1 conforms, 1 does not conform, 1 not read"
    assert "absent: cannot read: No such file or directory" in shown.err


BAD_INPUTS: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 1, "not judged: empty"),
    "zeros": (bytes(4096), 1, "not judged: zeros, not a migration stream (all 4,096 bytes are zero); "),
    "text": (b"name = 'guest'\n" * 9, 1, "not judged: not a migration stream (it begins with text"),
    "garbage": (bytes(range(255, 0, -1)) * 9, 1, "not judged: not a migration stream (no known magic"),
    "image header cut": (HVM[:20], 1, "inside the image header"),
    "domain header cut": (HVM[:30], 1, "inside the domain header"),
    "record header cut": (HVM[:44], 1, "inside a record header"),
    "body cut": (HVM[:100], 1, "inside the body of a record"),
    "no END": (HVM[:-8], 1, "inside the image, before its END"),
    "a byte more": (HVM + b"x", 0, "1 byte follows END: "),
    "two streams": (HVM + HVM, 0, "296,504 bytes follow END: another libxc image"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every bad input gets a line with its name and the reason, and the exit status of the command line's rules."""
    raw, status, reason = BAD_INPUTS[case]
    path = tmp_path / "input"
    path.write_bytes(raw)

    assert main(["verify", str(path)]) == status
    shown = capsys.readouterr().out
    assert reason in shown
    assert shown.splitlines()[-1].startswith(f"{path}: ")
    assert run("verify", "-", stdin=raw).stdout.decode() == shown.replace(str(path), "standard input")


def test_unreadable_inputs(tmp_path: Path) -> None:
    """A directory, a missing file and a file without permission exit with 3, each with its reason."""
    locked = tmp_path / "locked"
    locked.write_bytes(HVM)
    locked.chmod(0)
    shown = run("verify", str(tmp_path), str(tmp_path / "absent"))

    assert shown.returncode == 3
    assert b"it is a directory" in shown.stderr
    assert b"No such file or directory" in shown.stderr
    if os.geteuid():  # root reads everything
        assert b"Permission denied" in run("verify", str(locked)).stderr


def compress_zstd(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(raw)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": compress_zstd,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_compressed_inputs(packer: str, tmp_path: Path) -> None:
    """gzip, xz and zstd are opened on the way, from files and pipes, members in a row too."""
    pack = PACKERS[packer]
    plain = run("verify", "--json", "-", stdin=HVM).stdout
    path = tmp_path / f"hvm.{packer}"
    path.write_bytes(pack(HVM[:1000]) + pack(HVM[1000:]))

    assert run("verify", "--json", str(path)).stdout == plain.replace(b'"-"', json.dumps(str(path)).encode())
    assert run("verify", "--json", "-", stdin=path.read_bytes()).stdout == plain


@pytest.mark.parametrize("packer", PACKERS)
def test_damaged_compression(packer: str, tmp_path: Path) -> None:
    """Compressed data that ends early or is damaged is a result with the reason, exit status 1."""
    packed = PACKERS[packer](HVM)
    cut, flipped = packed[:-20], bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF

    shown = run("verify", "-", stdin=cut)
    assert shown.returncode == 1
    assert b"data ends early" in shown.stdout.splitlines()[-1]
    shown = run("verify", "-", stdin=bytes(flipped))
    assert shown.returncode == 1
    assert b"damaged" in shown.stdout or b"does not conform" in shown.stdout
    assert b"Traceback" not in shown.stderr


@pytest.mark.parametrize("packer", PACKERS)
def test_members_and_trailers_however_cut(packer: str) -> None:
    """Members in a row are one stream, and what follows them is reported, wherever a read ends."""
    pack, size = PACKERS[packer], len(HVM) // 2
    packed = pack(HVM[:size]) + pack(HVM[size:]) + b"second stream"
    for step in (1, 7, 1 << 20):
        source = CompressedSource(packer_key(packer), Trickle(packed, step).read)
        room, got = memoryview(bytearray(50_000)), bytearray()
        while count := source.read_into(room):
            got += room[:count]

        assert bytes(got) == HVM + b"second stream"


class Trickle(io.BytesIO):
    """Bytes that come a few at a time, however many are asked for."""

    def __init__(self, raw: bytes, step: int) -> None:
        super().__init__(raw)
        self._step = step

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._step)


def packer_key(packer: str) -> str:
    """The reader's name for a form of compression."""
    return {"gz": "gzip", "xz": "xz", "zst": "zstd"}[packer]


def test_xz_that_needs_too_much_memory(tmp_path: Path) -> None:
    """xz data with a dictionary above the limit is refused, not opened."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20}]
    shown = run("verify", "-", stdin=lzma.compress(HVM[:5000], filters=filters))

    assert shown.returncode == 3
    assert b"needs 512 MiB to decompress" in shown.stderr


def test_exact_leaves_the_rest(tmp_path: Path) -> None:
    """--exact takes no byte past END, from a pipe and from a shared file offset."""
    program = (
        "import subprocess, sys, os;"
        "status = subprocess.call([sys.executable, '-m', 'streamfmt', 'verify', '-q', '--exact', '-']);"
        "print(status, os.read(0, 100).decode())"
    )
    path = tmp_path / "two"
    path.write_bytes(HVM + b"the rest")
    with path.open("rb") as file:
        from_file = subprocess.run([sys.executable, "-uc", program], stdin=file, capture_output=True, check=True)
    from_pipe = subprocess.run(
        [sys.executable, "-uc", program], input=path.read_bytes(), capture_output=True, check=True
    )

    assert from_file.stdout.splitlines()[-1] == b"0 the rest"
    assert from_pipe.stdout.splitlines()[-1] == b"0 the rest"


def test_strict_and_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--strict makes warnings count, --mode plain refuses checkpoints."""
    path = tmp_path / "trailing"
    path.write_bytes(HVM + b"junk")
    remus = str(CORPUS / "hvm-remus.bin.gz")

    assert main(["verify", "-q", str(path)]) == 0
    assert main(["verify", "-q", "--strict", str(path)]) == 1
    assert main(["verify", "-q", remus]) == 0
    assert main(["verify", "-q", "--mode", "plain", remus]) == 1


def test_verify_json(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """verify --json is one object a file, by the published schema, for good, broken and unknown input alike."""
    paths = [sample]
    for name, raw in {"broken": HVM[:-1], "trailing": HVM + b"x", "text": b"hello" * 9, "empty": b""}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(raw)
    main(["verify", "--json", *map(str, paths)])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [row["file"] for row in found] == list(map(str, paths))
    for row in found:
        conforms_to("verify", row)
    assert [row["verdict"] for row in found] == ["conforms", "does not conform", "conforms", "not judged", "not judged"]


def test_identify_json(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """identify --json follows its schema; the headers of a stream are listed."""
    main(["identify", "--json", str(sample), str(CORPUS / "dm-pc-xenlike.bin")])
    image, record = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    conforms_to("identify", image)
    conforms_to("identify", record)

    assert (image["key"], image["guest"], image["xen"], image["layers"][0]["version"]) == ("libxc", "hvm", [4, 17], 3)
    assert (record["key"], record["kind"]) == ("qemu", "stream")


def test_show_json(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """show --json follows its schema, whole or selected, for real streams and for one that breaks off."""
    broken = tmp_path / "broken"
    broken.write_bytes(HVM[:5000])
    names = [str(sample), str(CORPUS / "pv-list.bin.gz"), str(broken), str(CORPUS / "dm-pc-xenlike.bin")]
    for options in ([], ["--records", "2:5"], ["--type", "PAGE_DATA"]):
        main(["show", "--json", *options, *names])
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        for row in rows:
            conforms_to("show", row)

        assert [row["file"] for row in rows if "end" in row] == names


@pytest.mark.parametrize("row", tables.MAGICS, ids=lambda row: f"{row[0]}-{row[3][:8].hex()}")
def test_identify_knows_every_magic(row: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What begins with a magic of the table is named for what it is, from a file; only foreign things exit with 1."""
    key, kind, offset, raw, name = row
    if kind == "compressed":
        return  # opened, not named: see test_compressed_inputs
    path = tmp_path / "input"
    path.write_bytes(bytes(offset) + raw + bytes(200))
    status = main(["identify", "--json", str(path)])
    found = json.loads(capsys.readouterr().out)
    conforms_to("identify", found)

    assert (found["key"], found["kind"]) == (key, kind)
    assert status == (kind == "foreign")
    if key not in READ:
        assert found["description"] == name
        assert main(["verify", str(path)]) == 1
        assert f"not judged: {name} (" in capsys.readouterr().out


def legacy_hvm() -> bytes:
    """The beginning of a legacy HVM stream of a 64-bit toolstack: p2m size, then a batch of 64 pages."""
    entries = b"".join(number.to_bytes(8, "little") for number in range(64))
    return (0x10000).to_bytes(8, "little") + (64).to_bytes(4, "little") + entries + bytes(64 * 4096)


def test_legacy_streams_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A legacy stream is called one, with the width of its toolstack and the kind of guest; it is judged."""
    path = tmp_path / "legacy"
    path.write_bytes(legacy_hvm())

    assert main(["identify", "--json", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    conforms_to("identify", found)
    assert (found["kind"], found["toolstack_width"], found["guest"]) == ("legacy", 64, "hvm")
    assert main(["verify", str(path)]) == 1
    assert "legacy-64, x86 HVM\n  error    LEGACY-TRUNC" in capsys.readouterr().out


def test_explain_json(capsys: pytest.CaptureFixture[str]) -> None:
    """explain --json follows its schema for every clause there is."""
    assert main(["explain", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for row in rows:
        conforms_to("explain", row)

    assert [row["id"] for row in rows] == list(registry())


@pytest.mark.parametrize("clause", sorted(registry()))
def test_explain_reads_well(clause: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every clause is explained within 80 columns, with its text and source."""
    assert main(["explain", clause.lower()]) == 0
    shown = capsys.readouterr().out

    assert shown.startswith(f"{clause}: ")
    assert "source" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_explain_suggests(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt clause gets near misses, a beginning lists what begins so."""
    assert main(["explain", "LIBXC-PAGE-COUTN"]) == 2
    assert "LIBXC-PAGE-COUNT" in capsys.readouterr().err
    assert main(["explain", "LIBXL-EMUXS"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert listed == [name for name in registry() if name.startswith("LIBXL-EMUXS")]


def test_closed_pipe_is_no_traceback(sample: Path) -> None:
    """Output into a pipe without a reader ends quietly."""
    command = f"{sys.executable} -m streamfmt explain | true"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, check=False)

    assert b"Traceback" not in shown.stderr


def test_input_that_is_not_there_is_no_other(tmp_path: Path) -> None:
    """A closed standard input is not taken for the file that was read before it."""
    command = f"{sys.executable} -m streamfmt verify -q {CORPUS / 'hvm-64.bin.gz'} - <&-"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert shown.returncode == 3
    assert len(shown.stdout.splitlines()) == 2
    assert "standard input: cannot read" in shown.stderr


def test_colo_is_for_hvm(capsys: pytest.CaptureFixture[str]) -> None:
    """A PV image in a stream that is declared COLO is an error."""
    assert main(["verify", "--mode", "colo", str(CORPUS / "pv-list.bin.gz")]) == 1
    assert "COLO-HVM" in capsys.readouterr().out


def test_closed_descriptors() -> None:
    """Closed standard streams are reported or done without, never a traceback."""
    sample = CORPUS / "hvm-64.bin.gz"
    for redirection, status, words in (
        (">&-", 3, "standard output is closed"),
        ("<&-", 3, "standard input: cannot read: Bad file descriptor"),
        ("2>&-", 0, ""),
    ):
        name = "-" if redirection == "<&-" else sample
        command = f"{sys.executable} -m streamfmt verify -q {name} {redirection}"
        shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

        assert (shown.returncode, words in shown.stderr) == (status, True)
        assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("name", "coding", "printed"),
    [
        ("a\nb\udcff", "utf-8:strict", "a\\nb\\udcff"),
        ("h\xf4te", "utf-8:strict", "h\xf4te"),
        ("h\xf4te", "ascii", "h\\xf4te"),
    ],
)
def test_odd_file_names(name: str, coding: str, printed: str, tmp_path: Path) -> None:
    """A name with a newline or bytes that are no text stays on its line, and is printed in any locale."""
    path = tmp_path / name
    path.write_bytes(HVM)
    environment = {**os.environ, "PYTHONIOENCODING": coding}
    for verb, words in (("verify", "conforms: 1 note"), ("identify", "libxc v3, x86 HVM, Xen 4.17")):
        command = [sys.executable, "-m", "streamfmt", verb, str(path)]
        shown = subprocess.run(command, capture_output=True, env=environment, encoding="utf-8", check=False)

        assert f"{tmp_path}/{printed}: {words}\n" in shown.stdout
        assert not shown.stderr


def test_full_disk_is_an_error(sample: Path) -> None:
    """Output that cannot be written exits with 3 and says why."""
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "streamfmt", "explain"]
        shown = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)

    assert shown.returncode == 3
    assert b"cannot write: No space left on device" in shown.stderr


def on_terminal(*words: str, **environment: str) -> str:
    """All that a command prints where standard output and standard error are one terminal."""
    import pty

    leader, follower = pty.openpty()
    settings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    command = [sys.executable, "-m", "streamfmt", *words]
    environment = {**settings, "TERM": "xterm", **environment}
    subprocess.run(command, stdout=follower, stderr=follower, env=environment, check=False)
    os.close(follower)
    with io.FileIO(leader) as terminal:
        return terminal.read(65536).decode()


def test_colour_only_on_terminals(sample: Path) -> None:
    """A terminal gets colour unless NO_COLOR is set; a pipe never does."""
    assert "\x1b[" in on_terminal("verify", str(sample))
    assert "\x1b[" not in on_terminal("verify", str(sample), NO_COLOR="1")
    assert b"\x1b[" not in run("verify", str(sample)).stdout


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("verify", id="a verdict"),
        pytest.param("stats", id="a complaint"),
        pytest.param("extract --list", id="a line of a list"),
        pytest.param("edit --set page[0x5]=1", id="a refusal"),
        pytest.param("verify --target qemu-0.1", id="wrong usage"),
    ],
)
def test_lines_are_broken_on_terminals_only(words: str, tmp_path: Path) -> None:
    """Within 80 columns, and the same words as a pipe gets a line each of."""
    name = "state of a QEMU whose name is so long that no line has room for it"
    (tmp_path / name).write_bytes(b"QCPR" + bytes(3) + b"\1" + bytes(64))
    command = [*words.split(), str(tmp_path / name)]

    piped = run(*command)
    shown = on_terminal(*command, NO_COLOR="1").replace("\r\n", "\n")

    lines = (piped.stdout + piped.stderr).decode().splitlines()
    assert max(map(len, lines)) > 80
    assert all(len(line) <= 80 or " " not in line.strip() for line in shown.splitlines())
    assert shown.split() == " ".join(lines).split()
