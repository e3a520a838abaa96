"""No pattern of ours has a possessive repeat or an atomic group: Pythons differ in what those match."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .support import patterns
from .test_architecture import ROOT, SOURCES

SECOND = ROOT.parent / "conformance" / "second.py"
JUDGING = [path for path in (*SOURCES, SECOND) if path.relative_to(ROOT.parent).parts[:2] != ("streamfmt", "tests")]
# Programs with such a pattern, however it comes about; and whether that is seen before they run.
PLANTED = {
    'import re\nre.compile("(?:ab)++")': True,
    'import re\nre.compile(rb"[ab]*+")': True,
    'import re\nre.compile(r"a{2,3}+b")': True,
    'import re\nre.search("a?+", "a")': True,
    'import re\nre.fullmatch(r"(?>a|b)c", "ac")': True,
    'import re\nre.sub(rb"(b(?:(?:a|b)++))", b"", b"")': True,
    'import re\nA = "a"\nre.compile(A + "++")': True,
    'import re\nA = "a"\nre.compile(f"(?:{A})*+")': True,
    'import re\nre.compile("""\n  "{3} (?: [^"]+ )*+ "  # words""", re.VERBOSE)': True,
    'import re\nA = "a+"\nre.compile(A + "+")': False,
}
INNOCENT = (r"a+\+", "[*+]", r"\*+", "a+b*c?", "(?:ab){1,256}", "(?=a)b", "1 + 1", "".join(map(chr, range(32, 127))))


@pytest.mark.parametrize("path", JUDGING, ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_none_is_written(path: Path) -> None:
    """No string of the module holds such a pattern, or the end of one."""
    found = [f"{path}:{line}: {text!r}" for line, text in patterns.written(path.read_text(encoding="utf-8"))]

    assert not found, f"possessive or atomic, which CPython 3.11.2 matches wrongly: {found}"


@pytest.mark.parametrize("source", PLANTED)
def test_planted_ones_are_found(source: str) -> None:
    """Both nets hold: the strings of a source, and what re compiles for it."""
    watching = (
        "import sys\n"
        "from streamfmt.tests.support import patterns\n"
        "found = patterns.watch('planted')\n"
        "exec(compile(sys.argv[1], 'planted', 'exec'), {'__name__': 'planted.inner'})\n"
        "print(len(found), *found)\n"
    )
    done = subprocess.run([sys.executable, "-c", watching, source], capture_output=True, text=True, check=True)

    assert bool(list(patterns.written(source))) == PLANTED[source]
    assert done.stdout.startswith("1 planted.inner: "), done.stdout


@pytest.mark.parametrize("text", INNOCENT)
def test_others_are_not(text: str) -> None:
    """Patterns, prose and tables that only look like it."""
    assert not list(patterns.written(f"X = {text!r}"))
