"""verify-stream-v2 by itself: what it says, where it leaves off reading, and what it does when others misbehave."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import syslog
from collections.abc import Callable
from getopt import GetoptError, gnu_getopt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfmt import tables

from ..checks.verifier import Verifier
from ..cli import verify_stream_v2
from ..cli.drop_in import UsageError
from ..cli.verify_stream_v2 import PROGRAM, main
from ..writer import Draft, unknown
from .support.corpus import BREAKING
from .support.good_streams import GOOD

COMMAND = [sys.executable, "-m", "streamfmt.cli.verify_stream_v2"]
HVM, PV, REMUS, XL = (GOOD[name] for name in ("hvm", "pv", "libxl-remus-hvm", "xl-hvm"))


@pytest.fixture
def verify(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command on a stream; exit status, standard output and standard error."""

    def verified(stream: Draft | bytes, *words: str) -> tuple[int, str, str]:
        path = tmp_path / "stream"
        path.write_bytes(stream.render() if isinstance(stream, Draft) else stream)
        status = main([*words, "-i", str(path)])
        out, err = capfd.readouterr()
        return status, out.replace(str(path), "STREAM"), err.replace(str(path), "STREAM")

    return verified


Verify = Callable[..., tuple[int, str, str]]


def test_summary(verify: Verify) -> None:
    """-v lists each record with the numbers of its fixed fields, and batches in a row once."""
    assert verify(PV, "-v") == (
        0,
        "libxc v3, x86 PV, Xen 4.17\n"
        "libxc X86_PV_INFO, 8 bytes: guest_width 8, pt_levels 4\n"
        "libxc X86_CPUID_POLICY, 48 bytes\n"
        "libxc X86_MSR_POLICY, 32 bytes\n"
        "libxc STATIC_DATA_END, 0 bytes\n"
        "libxc X86_PV_P2M_FRAMES, 16 bytes: start_pfn 0, end_pfn 3\n"
        "libxc PAGE_DATA, 1 in a row\n"
        "libxc X86_TSC_INFO, 24 bytes: mode 0, khz 2400000, nsec 1000000000, incarnation 1\n"
        "libxc SHARED_INFO, 4,096 bytes\n"
        "libxc X86_PV_VCPU_BASIC, 5,176 bytes: vcpu_id 0\n"
        "libxc X86_PV_VCPU_EXTENDED, 72 bytes: vcpu_id 0\n"
        "libxc X86_PV_VCPU_XSAVE, 600 bytes: vcpu_id 0\n"
        "libxc X86_PV_VCPU_MSRS, 24 bytes: vcpu_id 0\n"
        "libxc END, 0 bytes\n"
        "STREAM: conforms\n",
        "",
    )


def test_summary_of_layers(verify: Verify) -> None:
    """Layers are kept apart, runs of small records are counted, and what is no error follows at the end."""
    status, out, err = verify(XL.patch("libxl.EMULATOR_CONTEXT", "emulator_id", 1), "-v", "-f", "xl")
    lines = out.splitlines()

    assert (status, err) == (0, "")
    assert [line for line in lines if re.fullmatch(r"\w+ v\d.*|xl", line)] == [
        "xl",
        "libxl v2",
        "libxc v3, x86 HVM, Xen 4.17",
    ]
    assert "libxc PAGE_DATA, 5 in a row" in lines
    assert any(re.fullmatch(r"libxl EMULATOR_CONTEXT, \d+ bytes: emulator_id 1, index 0", line) for line in lines)
    assert any(line.startswith("  note     LIBXL-EMU-TRADITIONAL") for line in lines)
    assert lines[-1].startswith("STREAM: conforms: ")


def test_summary_of_broken_fields(verify: Verify) -> None:
    """A record too short for its fields is listed without them, and one of unknown type by number."""
    short = PV.resized("libxc.X86_TSC_INFO", 19).before("libxc.X86_TSC_INFO", unknown("libxc", 0x80000013, b"what"))
    status, out, err = verify(short, "-v")

    assert status == 1
    assert "libxc X86_TSC_INFO, 19 bytes\n" in out
    assert "libxc type 0x80000013, 4 bytes\n" in out
    assert err.startswith("Stream Error:\n  error    LIBXC-TSC-LEN  at ")
    assert "LIBXC-REC-UNKNOWN-OPT" in out  # a note, which is no error


def test_errors(verify: Verify) -> None:
    """All errors go to standard error, between a line to look for and the verdict; -q has none of it."""
    broken = HVM.patch("libxc.X86_TSC_INFO", "reserved", 1).patch("libxc.HVM_PARAMS", "params[0].index", 99)
    status, out, err = verify(broken)

    assert (status, out) == (1, "")
    lines = err.splitlines()
    assert lines[0] == "Stream Error:"
    assert [line.split()[1] for line in lines if line.startswith("  error")] == [
        "LIBXC-REC-RSVD",
        "LIBXC-HVMPARAMS-INDEX",
    ]
    assert lines[-1] == "STREAM: does not conform: 2 errors"
    assert verify(broken, "-q", "-v") == (1, "", "")


@pytest.mark.parametrize("clause", sorted(tables.SCRIPT_REJECTS))
def test_strictness(clause: str, verify: Verify) -> None:
    """What the script rejects is an error here, though a warning elsewhere."""
    for vector in BREAKING[clause].values():
        layer, _, first = vector.stream.parts[0].path.partition(".")
        if first not in {"header", "image_header"}:
            continue  # a back channel, which no format means
        status, _, err = verify(vector.stream, "-f", layer)

        assert status == 1
        assert f"  error    {clause}  at " in err


def test_legacy_stream_is_refused(verify: Verify) -> None:
    """An xl file without a stream of version 2 is sound, and not what the command is for."""
    stream = GOOD["xl-legacy"]

    assert verify(stream, "-f", "xl") == (
        1,
        "",
        "Stream Error:\nSTREAM: legacy-64, x86 HVM: not of version 2; streamfmt verify reads that\n",
    )
    assert verify(stream, "-q", "-f", "xl") == (1, "", "")


def test_nothing_is_detected(verify: Verify) -> None:
    """A stream of another format than asked for is refused, compressed ones too."""
    for stream, advice in (
        (GOOD["libxl-pv"], "libxl stream; try -f libxl"),
        (XL, "xl save file; try -f xl"),
        (GOOD["libvirt-hvm"], "libvirt save file"),
        (gzip.compress(HVM.render()), "gzip data; streamfmt verify opens that"),
        (bytes(100), ""),
        (b"\xff", ""),
        (b"", ""),
    ):
        assert verify(stream, "-q")[0] == 1
        advised = [line for line in verify(stream)[2].splitlines() if "looks like" in line]
        assert advised == ([f"  looks like: {advice}"] if advice else [])
    assert "  looks like: libxc image; try -f libxc\n" in verify(HVM, "-f", "xl")[2]


@pytest.mark.parametrize("layers", [("libxc",), ("libxl",), ("libxl", "libxc")], ids="+".join)
def test_big_endian(layers: tuple[str, ...], verify: Verify) -> None:
    """A well-formed big-endian stream is good if asked for; a broken one is not."""
    name = "libxl-hvm" if "libxl" in layers else "hvm"
    stream = GOOD[name].big_endian(*layers)
    words = ["-f", name[:5]] if name != "hvm" else []

    assert verify(stream, *words)[0] == 1
    assert verify(stream, *words, "--big-endian") == (0, "", "")
    assert verify(stream, *words, "--big") == (0, "", "")
    assert verify(stream.patch("libxc.domain_header", "page_shift", 13), *words, "--big-endian")[0] == 1
    assert verify(GOOD[name], *words, "--big-endian") == (0, "", "")


def test_what_the_script_cannot(verify: Verify) -> None:
    """Xenstore data, optional records and checkpoints are taken."""
    optional = unknown("libxc", 0x80000000, b"anything")

    assert verify(GOOD["libxl-hvm"], "-f", "libxl") == (0, "", "")
    assert verify(HVM.before("libxc.END", optional)) == (0, "", "")
    assert verify(GOOD["remus-pv"]) == (0, "", "")
    assert verify(REMUS, "-f", "libxl") == (0, "", "")
    assert verify(GOOD["libxl-colo"], "-f", "libxl") == (0, "", "")


@pytest.mark.parametrize("name", ["hvm", "pv", "libxl-hvm", "xl-hvm"])
@pytest.mark.parametrize("piped", [True, False], ids=["pipe", "file"])
def test_a_descriptor_is_left_after_end(name: str, piped: bool, tmp_path: Path) -> None:
    """No byte after END is taken, and none is judged: another program can go on there."""
    form = {"libxl-hvm": "libxl", "xl-hvm": "xl"}.get(name, "libxc")
    path = tmp_path / "stream"
    path.write_bytes(b"before" + GOOD[name].render() + b"LibxlFmt, and more")
    words = f"head -c 6 >/dev/null; {' '.join(COMMAND)} -f {form} -i 7 7<&0; echo $?; cat"
    if piped:
        # head may take more than it prints, so it gets a pipe of its own.
        words = f"tail -c +7 {path} | ({words.partition('; ')[2]})"
    with path.open("rb") as file:
        file.seek(0)
        done = subprocess.run(["bash", "-c", words], stdin=file, capture_output=True, check=False)

    assert done.stdout == b"0\nLibxlFmt, and more"
    assert done.stderr == b""


def test_a_file_of_ones_own(verify: Verify) -> None:
    """What follows END is not ours, in a file that is named too."""
    assert verify(HVM.render() + b"more") == (0, "", "")


def test_syslog(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    """--syslog sends the summary there line by line, and errors to standard error as well."""
    sent: list[tuple[int, str]] = []
    opened: list[tuple[object, ...]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *words: opened.append(words))
    monkeypatch.setattr(syslog, "syslog", lambda level, line: sent.append((level, line)))
    status, out, err = verify(HVM.render()[:-1], "-v", "--syslog")

    assert (status, out) == (1, "")
    assert opened == [(PROGRAM, syslog.LOG_PID)]
    assert (syslog.LOG_INFO, "libxc v3, x86 HVM, Xen 4.17") in sent
    errors = [line for level, line in sent if level == syslog.LOG_ERR]
    assert errors[0] == "Stream Error:"
    assert [line.replace("STREAM", "") for line in err.splitlines()][:-1] == errors[:-1]
    assert not any("\n" in line for _, line in sent)

    sent.clear()
    assert verify(HVM, "-q", "-v", "--syslog") == (0, "", "")
    assert sent == []


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """--help fits 80 columns, shows an example, and names every option."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out

    assert max(map(len, text.splitlines())) <= 80
    assert "Examples:\n  verify-stream-v2 " in text
    for name in verify_stream_v2.LONG:
        assert f"--{name}" in text


@pytest.mark.parametrize("words", ["-v >/dev/full", "-v >&-", "--help >/dev/full"])
def test_output_that_is_not_taken(words: str, tmp_path: Path) -> None:
    """Output that cannot be written is a failure of its own, reported in a line."""
    path = tmp_path / "stream"
    path.write_bytes(HVM.render())
    command = f"{' '.join(COMMAND)} {words} <{path}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("Script Error:\ncannot write: ")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("words", ["2>&-", "2>/dev/full", ">&- 2>&-", "-q >&- 2>/dev/full"])
def test_without_listeners(words: str, tmp_path: Path) -> None:
    """Without standard streams the exit status still says the verdict."""
    for stream, status in ((HVM.render(), 0), (HVM.render()[:-1], 1)):
        path = tmp_path / "stream"
        path.write_bytes(stream)
        command = f"{' '.join(COMMAND)} {words} <{path}"

        assert subprocess.run(["bash", "-c", command], check=False).returncode == status
    wrong = f"{' '.join(COMMAND)} --wrong 2>/dev/full"
    assert subprocess.run(["bash", "-c", wrong], check=False).returncode == 2


def test_failures(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of our own, and an interrupt, exit with 2 and without a traceback."""
    raised: list[BaseException] = [IndexError("of ours"), KeyboardInterrupt()]

    def broken(*_: object) -> None:
        raise raised[0]

    monkeypatch.setattr(Verifier, "record", broken)
    status, out, err = verify(HVM)
    assert (status, out) == (2, "")
    assert err.startswith("Script Error:\ninternal error, please report it: IndexError: of ours (")
    assert "Traceback" not in err

    del raised[0]
    assert verify(HVM) == (2, "", "interrupted\n")
    assert verify(HVM, "-q") == (2, "", "")


def test_reading_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An input that cannot be opened or read is reported in a line, unless -q."""
    absent = str(tmp_path / "absent\nfile")

    assert main(["-i", absent]) == 1
    assert capsys.readouterr().err.endswith("absent\\nfile: cannot read: No such file or directory\n")
    assert main(["-q", "-i", absent]) == 1
    assert capsys.readouterr() == ("", "")
    for number, reason in (("78", "Bad file descriptor"), (str(1 << 70), "there is no such descriptor")):
        assert main(["-i", number]) == 1
        assert capsys.readouterr().err == f"Stream Error:\ndescriptor {number}: cannot read: {reason}\n"


def test_starts_fast(tmp_path: Path) -> None:
    """Nothing that takes long is loaded for a good stream, nor for a bad one with -q."""
    path = tmp_path / "stream"
    for stream, status in ((HVM.render(), "0"), (HVM.render()[:-1], "1")):
        path.write_bytes(stream)
        program = (
            "import sys; from streamfmt.cli.verify_stream_v2 import main;"
            f"print(main(['-q', '-i', {str(path)!r}]), *sys.modules)"
        )
        shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        found, *loaded = shown.split()
        heavy = {"construct", "rich", "json", "tomllib", "dataclasses", "typing", "pathlib", "argparse", "optparse"}

        assert found == status
        assert not {*heavy, "traceback", "syslog", "streamfmt.schema", "textwrap"} & set(loaded)


def test_descriptors_are_closed(verify: Verify) -> None:
    """A file that is opened is closed, in the end or on an error."""
    before = os.listdir("/proc/self/fd")
    verify(HVM)
    verify(b"")
    main(["-q", "-i", "/"])

    assert os.listdir("/proc/self/fd") == before


@given(st.lists(st.sampled_from(("-q", "-v", "-h", "-i", "-f", "libxl", "7", "-qv", "-i3", "--quiet", "--", "-", ""))))
def test_plain_words_are_read_as_getopt_reads_them(words: list[str]) -> None:
    """The options are the same, or wrong usage is, whether or not getopt was needed."""
    try:
        expected: object = gnu_getopt(words, "hi:vqf:", verify_stream_v2.LONG)[0]
    except GetoptError:
        expected = "wrong"
    try:
        found: object = verify_stream_v2.options(words)
    except UsageError:
        found = "wrong"

    assert found == expected
