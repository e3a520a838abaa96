"""Our verify-stream-v2 and Xen's come to the same verdict, but where docs/compatibility.md lists a clause."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from .. import data, tables
from ..cli import verify_stream_v2
from ..conformance.peers import script_modules
from ..reader.registry import ROWS
from ..render import compatibility
from ..render.compatibility import STATUS
from ..schema.clauses import registry
from ..writer import Draft, record
from .support import peers
from .support.corpus import ACCEPTED, BREAKING
from .support.good_streams import CHECKPOINT, END, GOOD, SDE, VERIFY, XENSTORE
from .support.vector import judge

DIFFERENCES = compatibility.differences()
CLAUSES = sorted({*ACCEPTED, *BREAKING})
CORPUS = sorted(
    path for folder in ("real", "streams/made") for path in Path(data.path("corpus", folder)).glob("*.bin*")
)


def both(path: Path, *asked: tuple[str, bytes]) -> list[tuple[int, int]]:
    """Exit statuses of our command and of the script, for each stream taken for a format; `path` is written to."""
    ours = []
    for form, raw in asked:
        path.write_bytes(raw)
        ours.append(verify_stream_v2.main(["-q", "-f", form, "-i", str(path)]))
    peers.require("verify-stream-v2")
    return list(zip(ours, (STATUS[row.verdict] for row in peers.script(asked)), strict=True))


def _form(stream: Draft) -> str:
    """The format to ask for, of those that both commands have."""
    first = stream.parts[0].path.partition(".")[0] if stream.parts else ""
    return first if first in verify_stream_v2.FORMATS else "libxc"


# How a stream of each format begins.
_FIRST = {"libxc": "libxc.image_header", "libxl": "libxl.header", "xl": "xl.header"}


def _refused_unheard(stream: Draft) -> bool:
    """Whether the script refuses the stream even if it keeps all rules."""
    return any(stream.paths & set(row.clause.applies) for row in DIFFERENCES.values() if row.unheard)


def _versioned(stream: Draft) -> bool:
    """Whether no image in it is of a layer without versions, as legacy ones are."""
    rows = [ROWS[name] for name in {path.partition(".")[0] for path in stream.paths} & ROWS.keys()]
    return all(row.version for row in rows if row.image)


def _variants(stream: Draft) -> list[Draft]:
    """The stream, and without the xenstore data for which the script refuses whatever else there is."""
    rest = tuple(part for part in stream if part.path != XENSTORE.path)
    return [stream] if len(rest) == len(stream.parts) else [stream, Draft(rest)]


def _found(form: str, raw: bytes) -> set[str]:
    """The clauses that the stream breaks."""
    return set(judge([raw], form).verifier.findings.counts)


def _excused(ours: int, theirs: int, found: set[str], stream: Draft) -> bool:
    """Whether the page lists a difference like this."""
    listed = any(theirs in DIFFERENCES[clause].theirs for clause in found & DIFFERENCES.keys())
    # The script does not look into a device model's state.
    inside = bool(found) and all(registry()[clause].applies[0].startswith("qemu.") for clause in found)
    return listed or (not ours and _refused_unheard(stream)) or (inside and not theirs)


_STATE = record("libxl.CHECKPOINT_STATE", control_id="NEW")
_CONTEXT = "libxc.HVM_CONTEXT"
# Streams that show a difference which the vectors hide, since the script refuses them for something else.
EXTRA: dict[str, list[Draft]] = {
    # Little-endian all the same.
    "LIBXC-IHDR-ENDIAN": [GOOD["hvm"].patch("libxc.image_header", "options.endian", 1)],
    "LIBXL-HDR-ENDIAN": [GOOD["libxl-pv"].patch("libxl.header", "options.endian", 1)],
    # In a stream that is not of COLO.
    "COLO-HVM": [GOOD["libxl-pv"].before("libxl.END", _STATE)],
    "COLO-NEW-FWD": [GOOD["libxl-pv"].before("libxl.END", _STATE).patch("libxl.CHECKPOINT_STATE", "control_id", 1)],
    "LIBXL-CKPTSTATE-ID": [
        GOOD["libxl-pv"].before("libxl.END", _STATE).patch("libxl.CHECKPOINT_STATE", "control_id", 9)
    ],
    "LIBXL-CKPTSTATE-LEN": [
        GOOD["libxl-pv"].before("libxl.END", replace(_STATE, data=bytes(length))) for length in (0, 3, 8)
    ],
    # With all that it claims.
    "LIBXC-REC-LENGTH-MAX": [GOOD["hvm"].swap(_CONTEXT, GOOD["hvm"].part(_CONTEXT).filled(tables.RECORD_LENGTH_MAX))],
    # With an END.
    "CKPT-STATIC-ONCE": [GOOD["remus-hvm"].then(SDE, END)],
    "LIBXC-VERIFY-1": [GOOD["hvm"].before("libxc.END", VERIFY, CHECKPOINT)],
}


@pytest.mark.peer
@pytest.mark.parametrize("clause", CLAUSES)
def test_every_vector(clause: str, tmp_path: Path) -> None:
    """Exit statuses are equal, or the page lists a clause that the stream breaks; and it lists no other."""
    kinds = {"accepted": ACCEPTED, "broken": BREAKING}
    streams = [
        (f"{kind}:{name}", stream)
        for kind, table in kinds.items()
        for name, vector in table.get(clause, {}).items()
        if not vector.large
        for stream in _variants(vector.stream)
    ]
    streams += [("extra", stream) for stream in EXTRA.get(clause, ())]
    asked = [(_form(stream), stream.render()) for _, stream in streams]
    differ = False
    for (name, stream), (form, raw), (ours, theirs) in zip(
        streams, asked, both(tmp_path / "stream", *asked), strict=True
    ):
        if ours != theirs:
            found = _found(form, raw)
            differ = differ or clause in found
            assert _excused(ours, theirs, found, stream), (name, ours, theirs)

    assert differ or clause not in DIFFERENCES or not DIFFERENCES[clause].script


@pytest.mark.peer
@pytest.mark.parametrize("name", GOOD)
def test_good_streams(name: str, tmp_path: Path) -> None:
    """A good stream is good to both if it has the format asked for, and to neither if it has not."""
    for stream in _variants(GOOD[name]):
        raw = stream.render()
        statuses = both(tmp_path / "stream", *((form, raw) for form in _FIRST))
        for form, (ours, theirs) in zip(_FIRST, statuses, strict=True):
            assert ours == int(stream.parts[0].path != _FIRST[form] or not _versioned(stream))
            assert theirs == ours or _refused_unheard(stream)


@pytest.mark.peer
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_real_streams(path: Path, tmp_path: Path) -> None:
    """Streams of real programs, and those that stand in for them, under every format."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for ours, theirs in both(tmp_path / "stream", *((form, raw) for form in _FIRST)):
        # The script wants an END after the last checkpoint, and no xenstore data.
        refused = path.name in {"hvm-remus.bin.gz", "xl-hvm.bin.gz"} and not ours

        assert theirs == (1 if refused else ours)


@pytest.mark.peer
@pytest.mark.parametrize(("form", "path"), [("libxc", "libxc.HVM_CONTEXT"), ("libxl", "libxl.EMULATOR_CONTEXT")])
def test_large_records_through_a_pipe(form: str, path: str) -> None:
    """The script takes what a pipe hands over for all there is, against LIBXC-REC-TRUNC and LIBXL-REC-TRUNC."""
    script = peers.require("verify-stream-v2")
    stream = GOOD["hvm"] if form == "libxc" else _variants(GOOD["libxl-hvm"])[1]
    raw = stream.swap(path, stream.part(path).filled(4 << 20)).render()
    ours = [sys.executable, "-m", "streamfmt.cli.verify_stream_v2", "-f", form]
    theirs = [script, "-f", form]
    for command, status in ((ours, 0), (theirs, 1)):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((script_modules(script), *sys.path))}
        done = subprocess.run(command, input=raw, capture_output=True, env=environment, check=False)

        assert done.returncode == status, done.stderr


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A good stream in a file."""
    path = tmp_path / "good"
    path.write_bytes(GOOD["hvm"].render())
    return path


USES: dict[str, tuple[str, int, bool, bool]] = {
    # Arguments, exit status, whether anything is on standard output and on standard error.
    "good": ("-i SAMPLE", 0, False, False),
    "joined": ("-iSAMPLE", 0, False, False),
    "long": ("--in=SAMPLE", 0, False, False),
    "long-apart": ("--in SAMPLE", 0, False, False),
    "verbose": ("-v -i SAMPLE", 0, True, False),
    "shortened": ("--verb --form libxc --i SAMPLE", 0, True, False),
    "together": ("-vi SAMPLE", 0, True, False),
    "quiet": ("-q -v -i SAMPLE", 0, False, False),
    "words": ("nothing -i SAMPLE at all", 0, False, False),
    "descriptor": ("-i 5 5<SAMPLE", 0, False, False),
    "standard-input": ("<SAMPLE", 0, False, False),
    "last-counts": ("-f libxl -f libxc -i SAMPLE", 0, False, False),
    "other-format": ("-f libxl -i SAMPLE", 1, False, True),
    "other-format-quiet": ("-q -f libxl -i SAMPLE", 1, False, False),
    "summary-to-syslog": ("-v --syslog -i SAMPLE", 0, False, False),
    "errors-to-syslog": ("--syslog -f xl -i SAMPLE", 1, False, True),
    "empty": ("</dev/null", 1, False, True),
    "absent": ("-i SAMPLE.absent", 1, False, True),
    "no-name": ("-i ''", 1, False, True),
    "directory": ("-i .", 1, False, True),
    "closed": ("-i 77", 1, False, True),
    "closed-input": ("<&-", 1, False, True),
    "not-readable": ("-i 5 5>/dev/null", 1, False, True),
    "unknown-option": ("--no-such", 2, False, True),
    "unknown-letter": ("-x", 2, False, True),
    "unknown-format": ("-f raw", 2, False, True),
    "no-argument": ("-i", 2, False, True),
    "superfluous-argument": ("--quiet=yes", 2, False, True),
    "help": ("--help", 0, True, False),
    "help-shortened": ("--he", 0, True, False),
}


@pytest.mark.peer
@pytest.mark.parametrize("name", USES)
def test_uses(name: str, sample: Path) -> None:
    """Options, exit statuses, and which stream is written to, are the same."""
    words, status, out, err = USES[name]
    script = peers.require("verify-stream-v2")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((script_modules(script), *sys.path))}
    for command in (script, f"{sys.executable} -m streamfmt.cli.verify_stream_v2"):
        line = f"{command} {words.replace('SAMPLE', str(sample))}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, env=environment, check=False)

        assert (done.returncode, bool(done.stdout), bool(done.stderr)) == (status, out, err), command


def test_page_is_current() -> None:
    """The page has what `python -m streamfmt.render.compatibility` writes into it."""
    page = Path(compatibility.TARGET).read_text()

    assert compatibility.text(page) == page


def test_page_lists_each_difference() -> None:
    """Each clause that is not judged alike is in the page once, with what the script does."""
    lines = [line for line in Path(compatibility.TARGET).read_text().splitlines() if line.startswith("| `")]
    listed = {name: line for line in lines if (name := line.split("`")[1]) in registry()}

    assert len(listed) == len([line for line in lines if line.split("`")[1] in registry()])
    assert listed.keys() == DIFFERENCES.keys()
    for clause, row in DIFFERENCES.items():
        assert row.clause.title in listed[clause]
        for behaviour in row.script + row.unheard:
            assert behaviour.note in listed[clause]
            assert behaviour.when in listed[clause]
