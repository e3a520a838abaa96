"""build as people use it, and the way back by show --recipe: what is written, what is said, and what is left behind."""

from __future__ import annotations

import gzip
import hashlib
import os
import pty
import resource
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .. import data
from ..cli.main import main
from ..recipes import dump
from ..recipes import load as recipes
from ..recipes.from_stream import FromStream
from ..recipes.load import Recipe
from ..writer import pages, raw
from ..writer.draft import Draft
from .support.corpus import SMALL
from .support.good_streams import GOOD, HVM
from .support.kill_points import WAYS, command, environment, is_writing, wait_until
from .support.show_output import real

BUILD = [sys.executable, "-m", "streamfmt", "build"]
GUEST = 'recipe = 1\nguest = "hvm"\n'
# 64 MiB: more than any limit below.
LARGE = f'{GUEST}[memory]\nsize = "64 MiB"\nfill = "random"\n'
Build = Callable[..., tuple[int, str, str]]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Build:
    """Build the recipe of a text into ./out, or as other words say; exit status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def built(text: str, *words: str) -> tuple[int, str, str]:
        Path("r.toml").write_text(text)
        status = main(["build", "r.toml", *(words or ("-o", "out"))])
        return status, *capsys.readouterr()

    return built


# -- what is built --------------------------------------------------------------------------------------------

PINNED = {
    "hvm": (
        f'{GUEST}form = "xl"\nvcpus = 2\n[memory]\nsize = "1 MiB"\nfill = "random"\n',
        "87cb78b85348aabe23dcc627f0581c510627016510193ef8c106ce6c0a923ac4",
    ),
    "pv": (
        'recipe = 1\nguest = "pv"\nmode = "remus"\ncheckpoints = 2\n[memory]\npages = 99\nagain = ["0-1"]\n',
        "109b0c85cd2eae877c4ef3db8aac207d77f43d525ab1e0d0bac07e979004655a",
    ),
}


@pytest.mark.parametrize("name", PINNED)
def test_the_same_recipe_is_the_same_stream(name: str, build: Build) -> None:
    """Bytes do not depend on the machine, the day, or what was built before."""
    text, expected = PINNED[name]

    assert build(text)[0] == 0
    assert hashlib.sha256(Path("out").read_bytes()).hexdigest() == expected


@pytest.mark.parametrize("name", ["r.toml", "./r.toml", "link"])
def test_a_recipe_is_not_written_over(name: str, build: Build) -> None:
    """By any of its names."""
    Path("link").symlink_to("r.toml")
    status, out, message = build(GUEST, "-o", name)

    assert (status, out, message.count("\n")) == (2, "", 1)
    assert "-o is the recipe itself" in message
    assert Path("r.toml").read_text() == GUEST


def test_it_says_what_it_wrote(build: Build) -> None:
    """A line with the name and the size; nothing beside the file stays behind."""
    size = recipes.load(GUEST).stream.size

    assert build(GUEST) == (0, f"out: {size:,} bytes\n", "")
    assert sorted(os.listdir()) == ["out", "r.toml"]


def test_standard_input_and_output() -> None:
    """- is either of them; the bytes are all that is on standard output."""
    done = subprocess.run([*BUILD, "-", "-o", "-"], input=GUEST.encode(), capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == recipes.load(GUEST).stream.render()


def test_standard_input_is_beside_us(tmp_path: Path) -> None:
    """A recipe that comes in is made from those of the current directory, and called by what it is."""
    (tmp_path / "b.toml").write_text(GUEST)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for text, status, message in (
        (b'recipe = 1\nbase = "b"', 0, b""),
        (b'recipe = 1\nbase = "c"', 2, b"streamfmt: standard input:2: base: there is no recipe 'c'\n"),
    ):
        done = subprocess.run(
            [*BUILD, "-", "-o", "-"], input=text, cwd=tmp_path, env=env, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (status, message)


def test_faults_are_written_as_they_are(build: Build) -> None:
    """What is broken on purpose, by faults or by saying so, is not judged."""
    for text in (
        f'{GUEST}[[fault]]\ndrop = "libxc.END"\n',
        'recipe = 1\nbroken = true\n[[part]]\nrecord = "libxl.END"\n',
    ):
        assert build(text)[0] == 0
        assert Path("out").read_bytes() == recipes.load(text).stream.render()


EXAMPLES = Path(data.path("corpus", "recipes", "examples"))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: str(path.stem))
def test_examples(path: Path, tmp_path: Path) -> None:
    """The examples are built, conform unless they are broken on purpose, and are in the documentation."""
    assert main(["build", str(path), "-o", str(tmp_path / "out")]) == 0
    assert main(["verify", "--strict", "-q", str(tmp_path / "out")]) == int(recipes.load_file(path).faults)
    page = Path(data.path("corpus")).parent / "docs" / "recipes.md"
    assert f"corpus/recipes/examples/{path.name}" in page.read_text()


# -- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{GUEST}colour = 1\n",
            "streamfmt: r.toml:3: colour: there is no such key here (is colo meant?); known: about, ",
        ),
        ("recipe = ", "streamfmt: r.toml:1: this is not TOML: "),
        (
            'recipe = 1\n[[part]]\nheader = "libxc.image_header"\nfields = { version = 3, id = 1 }\n',
            "streamfmt: r.toml: LIBXC-IHDR-",
        ),
        (f'{GUEST}[memory]\npages = 3\nrecords = ["0"]\n', "streamfmt: r.toml:4: memory.pages: it cannot have both "),
    ],
)
def test_nothing_is_written_of_what_is_wrong(text: str, message: str, build: Build) -> None:
    """Exit status 2, a line that says what and where, and what was there before is there still."""
    for before in ([], [b"kept"]):
        Path("out").unlink(missing_ok=True)
        for content in before:
            Path("out").write_bytes(content)
        status, output, errors = build(text)

        assert (status, output) == (2, "")
        assert errors.startswith(message), errors
        assert [Path(name).read_bytes() for name in sorted(os.listdir()) if name != "r.toml"] == before


def test_a_breach_names_its_rule(build: Build) -> None:
    """What breaks a rule without a word of it is refused by the rule, and how to do it on purpose is said."""
    text = dump.dump(Recipe(HVM.without("libxc.X86_TSC_INFO").without("libxc.END")))
    status, _, errors = build(text)

    assert status == 2
    assert errors.startswith("streamfmt: r.toml: LIBXC-")
    assert "streamfmt explain LIBXC-" in errors
    assert errors.endswith("to break it on purpose, use a [[fault]]\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing.toml", "-o", "out"), "streamfmt: missing.toml: cannot read: No such file or directory\n"),
        ((".", "-o", "out"), "streamfmt: .: cannot read: Is a directory\n"),
        (("r.toml", "-o", "."), "streamfmt: .: cannot write: Is a directory\n"),
        (("r.toml", "-o", "no/out"), "streamfmt: no/out: cannot write: No such file or directory\n"),
        (("r.toml", "-o", "/dev/full"), "streamfmt: /dev/full: cannot write: No space left on device\n"),
        (("r.toml", "-o", "r.toml/out"), "streamfmt: r.toml/out: cannot write: Not a directory\n"),
    ],
)
def test_what_the_system_refuses(
    words: tuple[str, ...], message: str, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 3 and the system's words; nothing stays behind."""
    build(GUEST, "-o", "/dev/null")

    assert main(["build", *words]) == 3
    assert capsys.readouterr().err == message
    assert os.listdir() == ["r.toml"]


def test_not_utf_8(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes that are no text are reported with their line."""
    build(GUEST, "-o", "/dev/null")
    Path("r.toml").write_bytes(b"recipe = 1\nabout = '\xff'\n")

    assert main(["build", "r.toml", "-o", "out"]) == 2
    assert capsys.readouterr().err == "streamfmt: r.toml:2: this is not UTF-8, which TOML is written in\n"


def test_a_full_disk(tmp_path: Path) -> None:
    """What does not fit leaves no half file, and what was there stays."""
    (tmp_path / "r.toml").write_text(LARGE)
    (tmp_path / "out").write_text("kept")
    done = subprocess.run(
        [*BUILD, "r.toml", "-o", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "streamfmt: out: cannot write: File too large\n"
    assert sorted(os.listdir(tmp_path)) == ["out", "r.toml"]
    assert (tmp_path / "out").read_text() == "kept"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("way", WAYS)
def test_stopped(number: signal.Signals, way: str, tmp_path: Path) -> None:
    """Stopped by any signal, it leaves no half file, and what was there is there still."""
    (tmp_path / "r.toml").write_text(LARGE.replace("64 MiB", "64 GiB"))
    (tmp_path / "out").write_text("kept")
    # The process that runs the tests may ignore these signals, and children inherit that.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n" + WAYS[way]
    child = subprocess.Popen(
        command(program, "build", "r.toml", "-o", "out"), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE
    )
    wait_until(lambda: is_writing(child.pid, tmp_path))
    child.send_signal(number)
    child.communicate(timeout=60)

    assert child.returncode == 128 + number
    assert sorted(os.listdir(tmp_path)) == ["out", "r.toml"]
    assert (tmp_path / "out").read_text() == "kept"


def test_a_closed_pipe(tmp_path: Path) -> None:
    """A reader that has read enough is no reason for a traceback."""
    recipe = tmp_path / "r.toml"
    recipe.write_text(LARGE)
    done = subprocess.run(
        f"{{ {shlex.join(BUILD)} {recipe} -o -; echo $? >&2; }} | head -c 9",
        shell=True,
        capture_output=True,
        check=False,
    )

    assert done.stdout == recipes.load(LARGE).stream.render()[:9]
    assert done.stderr.decode().splitlines() == ["streamfmt: standard output: cannot write: Broken pipe", "3"]


def terminal(words: list[str], *, both: bool) -> str:
    """What a command says on a terminal, which standard output is too with `both`."""
    primary, secondary = pty.openpty()
    with open(os.devnull, "wb") as nowhere:
        child = subprocess.Popen(words, stdout=secondary if both else nowhere, stderr=secondary)
    os.close(secondary)
    said = b""
    end = time.monotonic() + 60
    while time.monotonic() < end and select.select([primary], [], [], 60)[0]:
        try:
            said += os.read(primary, 1 << 16)
        except OSError:
            break
    os.close(primary)
    child.wait(60)
    return said.decode()


def test_no_terminal_gets_bytes(tmp_path: Path) -> None:
    """A stream would only spoil it."""
    (tmp_path / "r.toml").write_text(GUEST)
    said = terminal([*BUILD, str(tmp_path / "r.toml"), "-o", "-"], both=True)

    assert said == "streamfmt build: error: standard output is a terminal; give -o a file, or a pipe\r\n"


def test_progress(tmp_path: Path) -> None:
    """Work that lasts has a bar on a terminal."""
    (tmp_path / "r.toml").write_text(f'{GUEST}[memory]\nsize = "16 MiB"\n')
    os.mkfifo(tmp_path / "pipe")

    def slowly() -> None:
        with (tmp_path / "pipe").open("rb") as pipe:
            time.sleep(1.3)
            while pipe.read(1 << 20):
                pass

    reader = threading.Thread(target=slowly)
    reader.start()
    shown = terminal([*BUILD, str(tmp_path / "r.toml"), "-o", str(tmp_path / "pipe")], both=False)
    reader.join()
    assert "/16.0 MiB" in shown


def test_large_streams_in_constant_memory(tmp_path: Path) -> None:
    """4 GiB are built in the memory that a small stream takes."""
    recipe = tmp_path / "r.toml"
    peaks = []
    program = "import resource, sys; from streamfmt.cli.main import main; main(sys.argv[1:]); "
    program += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    for size in ("16 MiB", "4 GiB"):
        recipe.write_text(f'{GUEST}[memory]\nsize = "{size}"\nfill = "random"\n')
        words = [sys.executable, "-c", program, "build", str(recipe), "-o", "/dev/null"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]))

    assert peaks[1] < peaks[0] + (4 << 10)


# -- and back -------------------------------------------------------------------------------------------------


def recipe_of(
    content: bytes | Draft, form: str = "auto", kept: int = 1 << 20, piece: int = 1 << 20
) -> tuple[str, FromStream]:
    """The recipe that is made from a stream, which comes in pieces."""
    lines: list[str] = []
    recipe = FromStream(lines.append, form, kept)
    view = memoryview(content.render() if isinstance(content, Draft) else content)
    window = recipe.window
    while want := recipe.run():
        if want > 0:
            room = window.room()[:piece]
            count = min(len(view), len(room))
            room[:count] = view[:count]
            window.hi += count
        else:
            count = min(len(view), -want)
            if count:
                recipe.skip(count)
        view = view[count:]
        window.eof = not count
    recipe.end()
    return dump.head(form, broken=recipe.broken) + "".join(lines), recipe


@pytest.mark.parametrize("clause", SMALL)
def test_described_and_built_is_the_same(clause: str, build: Build) -> None:
    """Streams of every kind, however broken, are described whole; build takes the recipe and makes the same bytes."""
    for name, vector in SMALL[clause].items():
        content = vector.data
        text, recipe = recipe_of(content, vector.form)

        assert not recipe.lost, name
        assert recipes.load(text, name).stream.render() == content, name
    assert build(text)[0] == 0
    assert Path("out").read_bytes() == content


@pytest.mark.parametrize("name", GOOD)
def test_what_is_described_does_not_depend_on_how_it_came(name: str) -> None:
    """Byte by byte or at once; and a good stream's recipe says nothing of faults."""
    content = GOOD[name].render()
    form = "back-channel" if name == "back-channel" else "auto"
    text, recipe = recipe_of(content, form)

    assert recipe_of(content, form, piece=1)[0] == text
    assert not recipe.broken
    assert "broken" not in text
    assert "bytes = " not in text


@pytest.mark.parametrize("name", sorted(os.listdir(real(""))))
def test_real_streams_and_back(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Real streams come back byte by byte if their contents are kept; the exit status is that of show."""
    content = Path(real(name)).read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    status = main(["show", "--recipe", "--contents", "9999", real(name)])
    text, _ = capsys.readouterr()

    assert recipes.load(text).stream.render() == content
    assert status == main(["show", real(name)])
    capsys.readouterr()
    (tmp_path / "r.toml").write_text(text)
    assert main(["build", str(tmp_path / "r.toml"), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_bytes() == content


def test_pages_are_described_by_what_they_follow() -> None:
    """By frames in a row, and by the rule; what repeats itself in a page is not kept as a page."""
    zero, word = bytes(4096), b"\1\2\3\4" * 1024
    content = {0: zero, 1: zero, 2: word, 3: word}
    cases = {
        'pages = "0-1"\nfill = "zero"\n': pages((0, "NOTAB"), (1, "NOTAB"), content=content),
        'pages = "2-3, 9 XTAB"\nfill = { hex = "01020304" }\n': pages(
            (2, "NOTAB"), (3, "NOTAB"), (9, "XTAB"), content=content
        ),
        'pages = "0-3"\ncontents = [{ zeros = 8192 }, { hex = "01020304", times = 2048 }]\n': pages(
            *((number, "NOTAB") for number in range(4)), content=content
        ),
        'pages = "5-6"\n': pages((5, "NOTAB"), (6, "NOTAB")),
    }
    for text, part in cases.items():
        assert text in recipe_of(HVM.swap("libxc.PAGE_DATA", part), kept=0)[0]


def test_contents_that_are_too_much_are_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit pages are random in the recipe, which says so, as does a line on standard error."""
    monkeypatch.chdir(tmp_path)
    content = {pfn: hashlib.sha256(b"%d" % pfn).digest() * 128 for pfn in range(70)}
    Path("in").write_bytes(
        HVM.swap("libxc.PAGE_DATA", pages(*((pfn, "NOTAB") for pfn in content), content=content)).render()
    )

    assert main(["show", "--recipe", "in"]) == 0
    text, errors = capsys.readouterr()
    assert '# contents were not kept\n[[part]]\npages = "0-69"\nfill = "random"\n' in text
    assert errors == "streamfmt: in: contents of 70 pages were not kept\n"
    assert recipes.load(text).stream.size == os.path.getsize("in")
    assert main(["show", "--recipe", "--contents", "70", "in"]) == 0
    assert recipes.load(capsys.readouterr().out).stream.render() == Path("in").read_bytes()


@pytest.mark.parametrize("broken", [False, True])
def test_large_bodies_are_described_by_their_length(broken: bool) -> None:
    """Over 1 MiB of another body, and over 64 KiB after the end, are not kept; what is round about is."""
    stream = HVM.edit("libxc.HVM_CONTEXT", data=b"a" * (2 << 20)).then(*([raw(b"x" * (65 << 10))] if broken else []))
    text, recipe = recipe_of(stream)

    assert (
        '# 2,097,152 bytes were not kept\n[[part]]\nrecord = "libxc.HVM_CONTEXT"\nbytes = ""\nzeros = 2097152\n' in text
    )
    assert [line.split()[0] for line in recipe.lost] == ["HVM_CONTEXT", *(["what"] if broken else [])]
    assert recipes.load(text).stream.size == stream.size - broken * (65 << 10)


@pytest.mark.parametrize(
    "words",
    [
        ("--contents", "3"),
        ("--recipe", "--json"),
        ("--recipe", "--hexdump"),
        ("--recipe", "--records", "1"),
        ("--recipe", "x"),
    ],
)
def test_misuse(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """--recipe is for itself, and for one file."""
    assert main(["show", *words, real("hvm-64.bin.gz")]) == 2
    assert capsys.readouterr().err.startswith("streamfmt show: --")
