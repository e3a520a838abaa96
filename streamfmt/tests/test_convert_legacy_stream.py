"""convert-legacy-stream by itself: its options, what it leaves unread, what it says, and what is left of a failure."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import syslog
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ..cli.convert_legacy_stream import PROGRAM, main
from ..conformance.converters import options
from .support import plain_memory_legacy, plain_memory_v3, plain_wrappers
from .support.descriptors import giving, taking
from .support.good_streams import GOOD
from .support.plain_guests import Setup, saved
from .support.plain_memory import differences

COMMAND = [sys.executable, "-m", "streamfmt.cli.convert_legacy_stream"]
PV, HVM = Setup("4.4", "pv", p2m_size=24), Setup("4.4", "hvm", p2m_size=16)
AFTER = b"what another program reads\0" * 9
OF = {"pv": PV, "hvm": HVM}

Convert = Callable[..., tuple[int, str, str]]


@pytest.fixture
def convert(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Convert:
    """Convert a file into another, "result"; exit status, standard output and standard error on one line."""

    def converted(data: bytes, *words: str) -> tuple[int, str, str]:
        source, result = tmp_path / "source", tmp_path / "result"
        source.write_bytes(data)
        status = main(["-i", str(source), "-o", str(result), *words])
        assert source.read_bytes() == data
        assert (status == 0) == result.exists()
        assert sorted(os.listdir(tmp_path)) == sorted({"source"} | ({"result"} if status == 0 else set()))
        out, err = (text.replace(f"{tmp_path}/", "") for text in capfd.readouterr())
        return status, out, " ".join(err.split())

    return converted


def again(convert: Convert, folder: Path, *words: object) -> tuple[int, str, str]:
    """Convert once more, without what came of it before."""
    (folder / "result").unlink()
    return convert(*words)


# -- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("-g", "pv"), 1, "--width missing"),
        (("-w", "64"), 1, "--guest-type missing"),
        (("-w", "64", "-g", "pv", "--what"), 2, "option --what not recognized"),
        (("-w", "16", "-g", "pv"), 2, "option -w: invalid choice: '16' (choose from '32', '64')"),
        (("-w", "64", "--guest", "x"), 2, "option --guest-type: invalid choice: 'x'"),
        (("--width", "64", "--guest", "pv", "--form", "libxl"), 0, ""),
        (("-w64", "-gpv", "-flibxc", "--skip", "what"), 0, ""),
        (("-w", "64", "-g", "pv", "--s"), 2, "option --s not a unique prefix"),
    ],
    ids=str,
)
def test_options(convert: Convert, words: tuple[str, ...], status: int, says: str) -> None:
    """They are the script's, with its exit statuses and its ways to shorten and join them."""
    found, out, err = convert(saved(PV), *words)

    assert (found, out) == (status, "")
    assert says in err
    assert bool(err) == bool(status)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It is asked for or comes with an error; all of it fits 80 columns."""
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert main([]) == 1
    assert said in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(PROGRAM)


def test_syslog(convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words go there instead of to standard output; errors to both."""
    sent: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *_: None)
    monkeypatch.setattr(syslog, "syslog", lambda level, text: sent.append((level, text)))

    assert convert(saved(PV), "-w", "64", "-g", "pv", "-v", "--syslog") == (0, "", "")
    assert (syslog.LOG_INFO, "  mapped    batch to PAGE_DATA") in sent
    sent.clear()
    status, out, err = again(convert, tmp_path, b"", "-w", "64", "-g", "pv", "--syslog")
    assert (status, out) == (1, "")
    assert [text.strip() for _, text in sent][:1] == ["Stream Error:"]
    assert err == " ".join(" ".join(text for _, text in sent).split()).replace(f"{tmp_path}/", "")
    assert {level for level, _ in sent} == {syslog.LOG_ERR}


# -- where it reads and writes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("guest", OF)
@pytest.mark.parametrize("source", ["file", "pipe", "socket"])
@pytest.mark.parametrize("target", ["file", "pipe"])
def test_descriptors(guest: str, source: str, target: str) -> None:
    """Whatever they are, the guest is the same, and what follows the stream is left to read, the QEMU record too."""
    whole = saved(OF[guest])
    for more in ((), ("--skip-qemu",)):
        qemu = guest == "hvm" and bool(more)
        with giving(source, whole + AFTER, 1) as fd, taking(target, 1) as (out, arrived):
            status = main(["-i", str(fd), "-o", str(out), *options(64, guest, "libxc", *more)])
            left = bytearray()
            while piece := os.read(fd, 1 << 16):
                left += piece
        record = whole[whole.index(b"DeviceModelRecord") :] if qemu else b""

        assert status == 0
        assert bytes(left) == record + AFTER
        before = plain_memory_legacy.read(whole, 8, guest, qemu=not more)
        assert differences(before, plain_memory_v3.read(arrived[0])) == []


def test_skip_qemu_is_for_libxc(convert: Convert, tmp_path: Path) -> None:
    """As the script has it: a libxl stream has the device model's state in any case."""
    assert convert(saved(HVM), *options(64, "hvm", "libxl", "--skip-qemu")) == (0, "", "")
    found = plain_memory_v3.read((tmp_path / "result").read_bytes())
    assert found.emulator == plain_memory_legacy.read(saved(HVM), 8, "hvm").emulator


def test_xl(convert: Convert, tmp_path: Path) -> None:
    """-x works: the header stays, but for the flag that says that a libxl stream follows."""
    file = plain_wrappers.xl(saved(HVM))
    size = len(file) - len(saved(HVM))
    assert convert(saved(HVM), *options(64, "hvm", "libxl"))[0] == 0
    stream = (tmp_path / "result").read_bytes()
    assert convert(file, "-x", *options(64, "hvm", "libxl"))[0] == 0
    found = (tmp_path / "result").read_bytes()
    assert found[size:] == stream
    assert [at for at in range(size) if found[at] != file[at]] == [36]

    status, _, err = again(convert, tmp_path, file, "-x", *options(64, "hvm"))
    assert (status, "-f libxl" in err) == (1, True)


def test_what_follows_in_a_file(convert: Convert) -> None:
    """It is left, as by the script, and named."""
    status, _, err = convert(saved(PV) + b"domain is yours, you are cleared to unpause\0", *options(64, "pv"))

    assert status == 0
    assert "44 bytes after the stream" in err
    assert "xl's go-ahead message" in err


# -- what it says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words", "says"),
    [
        (saved(HVM._replace(word=4)), ("64", "hvm"), "another width than declared: 32 bits"),
        (saved(HVM), ("32", "hvm"), "another width than declared: 64 bits"),
        (saved(PV), ("64", "hvm"), "looks like: legacy-64, x86 PV; try --guest-type pv"),
        (saved(HVM), ("64", "pv"), "looks like: legacy-64, x86 HVM; try --guest-type hvm"),
        (plain_wrappers.xl(saved(HVM)), ("64", "hvm"), "looks like: xl > legacy-64, x86 HVM; try --xl"),
        (saved(HVM), ("64", "hvm", "libxl", "-x"), "looks like: legacy-64, x86 HVM; try no --xl"),
        (plain_wrappers.xend(saved(PV)), ("64", "pv"), "looks like: xend > legacy-64, x86 PV; try streamfmt convert"),
        (
            GOOD["hvm"].render(),
            ("64", "hvm"),
            "Xen 4.17, which is no legacy stream: there is nothing to convert",
        ),
        (GOOD["libxl-pv"].render(), ("64", "pv"), "which is no legacy stream"),
        (GOOD["xl-hvm"].render(), ("64", "hvm", "libxl", "-x"), "stream that is no legacy one: libxl stream"),
        (saved(HVM._replace(tmem=True)), ("64", "hvm"), "streamfmt convert --allow-loss leaves it out"),
        (saved(HVM)[:-1], ("64", "hvm"), "LEGACY-TRUNC"),
        (b"", ("64", "hvm"), "looks like: empty"),
    ],
)
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_refusals(
    data: bytes, words: tuple[str, ...], says: str, way: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the bytes look like instead of what the options say; and no output, of a pipe neither."""
    with giving(way, data, 1) as fd:
        status = main(["-i", str(fd), "-o", str(tmp_path / "result"), *options(int(words[0]), *words[1:])])
        with suppress(OSError):
            while os.read(fd, 1 << 16):
                pass
    out, err = capfd.readouterr()

    assert (status, out) == (1, "")
    assert err.startswith("Stream Error:\n")
    assert says in " ".join(err.split())
    assert max(map(len, err.replace(str(tmp_path), "").splitlines())) <= 80
    assert os.listdir(tmp_path) == []


def test_places_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Descriptors and files that cannot be read or written, each with its name; the input is no output."""
    source = tmp_path / "source"
    source.write_bytes(saved(PV))
    for given, target, says in (
        ("999", "x", "descriptor 999: cannot read: Bad file descriptor"),
        (str(1 << 70), "x", "there is no such descriptor"),
        (str(tmp_path / "absent"), "x", "absent: cannot read: No such file"),
        (str(tmp_path), "x", "it is a directory"),
        (str(source), "999", "descriptor 999: cannot write: Bad file descriptor"),
        (str(source), str(tmp_path / "no" / "x"), "cannot write: No such file"),
        (str(source), str(source), "cannot write: it is the input itself"),
        (str(source), "/dev/full", "No space left on device"),
    ):
        assert main(["-i", given, "-o", target, *options(64, "pv")]) == 1
        assert says in " ".join(capsys.readouterr().err.split())
    with source.open("r+b") as same:
        assert main(["-i", str(source), "-o", str(same.fileno()), *options(64, "pv")]) == 1
        assert "cannot write: it is the input itself" in capsys.readouterr().err
    assert source.read_bytes() == saved(PV)


def test_a_pipe_whose_beginning_has_gone_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not said to look like anything, and least of all to be empty."""
    with giving("pipe", saved(HVM._replace(p2m_size=100))[:300_000], 1) as fd:
        assert main(["-i", str(fd), "-o", str(tmp_path / "x"), *options(64, "hvm")]) == 1
    said = capsys.readouterr().err
    assert "LEGACY-TRUNC" in said
    assert "looks like" not in said


# -- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_leave_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """A file that had the target's name stays as it was, and there is no other."""
    target = tmp_path / "target"
    target.write_bytes(b"old")
    words = [*COMMAND, "-i", "0", "-o", str(target), *options(64, "hvm")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin
        process.stdin.write(saved(HVM)[:-1])
        process.stdin.flush()
        while not _opened(process.pid, tmp_path):
            time.sleep(0.01)
        process.send_signal(number)
        process.wait()

    # The script has exit status 1 for Ctrl-C.
    assert process.returncode == {signal.SIGINT: 1, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert target.read_bytes() == b"old"
    assert [name for name in os.listdir(tmp_path) if not name.endswith(".streamfmt-part")] == ["target"]


def _opened(pid: int, folder: Path) -> bool:
    """Whether the process has opened an output in the folder."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if os.readlink(path).startswith(str(folder)):
                return True
    return False


def test_full_disk(tmp_path: Path) -> None:
    """A file that may not grow is a full disk: nothing of it stays, and the input is as it was."""
    source = tmp_path / "source"
    source.write_bytes(saved(HVM))
    done = subprocess.run(
        [*COMMAND, "-i", str(source), "-o", str(tmp_path / "target"), *options(64, "hvm")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "target: cannot write: File too large" in " ".join(done.stderr.split())
    assert os.listdir(tmp_path) == ["source"]
    assert source.read_bytes() == saved(HVM)


def test_reader_that_goes(tmp_path: Path) -> None:
    """A closed pipe is an error of writing."""
    source = tmp_path / "source"
    source.write_bytes(saved(PV))
    reading, writing = os.pipe()
    os.close(reading)
    words = [*COMMAND, "-i", str(source), "-o", "1", *options(64, "pv")]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)

    assert done.returncode == 1
    assert "Broken pipe" in done.stderr


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_bad_byte_at_the_end(way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What shows only in the last record is refused all the same, and no file appears."""
    data = saved(HVM)
    at = data.index(b"DeviceModelRecord") + 21 + 4
    with giving(way, data[:at] + b"X" + data[at + 1 :], 1) as fd:
        status = main(["-i", str(fd), "-o", str(tmp_path / "target"), *options(64, "hvm")])

    assert status == 1
    assert "LEGACY-QEMU-FORM" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
