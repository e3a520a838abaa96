"""What the hint for a lying xl flag says mends the file, in a copy."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ..cli.main import main
from ..schema.clauses import registry
from ..writer import Draft, raw
from .support.good_streams import GOOD
from .support.vector import judge
from .test_cli import legacy_hvm

XL = GOOD["xl-hvm"]
_V2, _JSON = "mandatory_flags.stream_v2", "mandatory_flags.json"
# Each promises the other stream.
LIARS = {
    "libxl": XL.patch("xl.header", _V2, 0).render(),
    "libxl, text": XL.patch("xl.header", _V2, 0).patch("xl.header", _JSON, 0).render(),
    "libxl, big-endian": XL.patch("xl.header", _V2, 0).big_endian("xl").render(),
    "legacy": Draft((*XL.parts[:2], raw(legacy_hvm()))).render(),
    "libxl, after text": b"Last login: Monday\n" + XL.patch("xl.header", _V2, 0).render(),
}


def _message(data: bytes) -> str:
    found = [finding.message for finding in judge([data]).findings if finding.clause == "XL-FLAG-STREAM"]
    return found[0] if found else ""


def _mended(data: bytes, folder: Path) -> bytes:
    """What the commands of the hint make of a file, with the byte and place of the finding; the file stays."""
    match = re.search(r"byte at (\d+) would have to be (\\\d+)", _message(data))
    assert match is not None
    _, *commands = registry()["XL-FLAG-STREAM"].hint.strip().splitlines()
    script = "\n".join(commands).replace("seek=36", f"seek={match[1]}").replace(r"\003", match[2])
    original = folder / "guest.sav"
    original.write_bytes(data)
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True, capture_output=True)
    assert original.read_bytes() == data
    return (folder / "mended.sav").read_bytes()


@pytest.mark.parametrize("name", LIARS)
def test_hint_mends(name: str, tmp_path: Path) -> None:
    """The copy has the flag that it should have, and is else the same."""
    data = LIARS[name]
    mended = _mended(data, tmp_path)

    assert not _message(mended)
    assert sum(one != other for one, other in zip(data, mended, strict=True)) == 1


def test_usual_case_needs_no_thought(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What xl writes is mended by the hint as it stands, and its commands are printed whole."""
    assert "byte at 36 would have to be \\003" in _message(LIARS["libxl"])
    path = tmp_path / "guest.sav"
    path.write_bytes(LIARS["libxl"])
    for words in (["verify", str(path)], ["explain", "XL-FLAG-STREAM"]):
        main(words)
        lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
        assert r"printf '\003' | dd of=mended.sav bs=1 seek=36 conv=notrunc" in lines


def test_nothing_to_mend() -> None:
    """Where neither stream is there no byte would help, and where no stream is the flags are not to blame."""
    bare = Draft((*XL.parts[:2], *GOOD["hvm"].parts)).render()
    assert _message(bare)
    assert "would have to be" not in _message(bare)
    for noise in (b"something else, and enough of it", bytes(64), GOOD["hvm"].render()[:12].decode("latin-1").encode()):
        lost = Draft((*XL.parts[:2], raw(noise)))
        assert set(judge(lost.pieces()).counts) == {"STREAM-FRAMING-LOST"}
