"""Judges streams from a file and the corpus, under any Python that has what streamfmt itself needs.

test_pythons.py runs this file with other interpreters and compares what they print: a line of JSON for each stream,
then the complaints of `corpus check` and the patterns that should not be.  Nothing that only tests need is imported.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from streamfmt.api import Form, Mode

# Streams are fed whole, and in pieces of so many bytes: a run of records then begins and ends anywhere in one.
_PIECE = 777


# A stream to judge: its form, its mode, whether to look deep, and its bytes.
Asked: TypeAlias = "tuple[Form, Mode, bool, bytes]"


def write(path: Path, streams: Iterable[Asked]) -> None:
    """Write streams as :func:`read` gives them back."""
    with path.open("wb") as file:
        for form, mode, deep, content in streams:
            file.write(json.dumps([form, mode, deep, len(content)]).encode() + b"\n" + content)


def read(path: Path) -> Iterator[Asked]:
    """What :func:`write` was given."""
    with path.open("rb") as file:
        while line := file.readline():
            form, mode, deep, size = json.loads(line)
            yield form, mode, deep, file.read(size)


def verdict(form: Form, mode: Mode, deep: bool, pieces: Iterable[bytes]) -> str:
    """All that is found in a stream, as a line of JSON."""
    from streamfmt.api import judging
    from streamfmt.checks.outcome import Outcome

    reader, verifier = judging(form, mode, deep, exact=False, guest=None, target=(), channels=())
    for piece in pieces:
        reader.pump.feed(piece)
    reader.pump.end()
    return json.dumps(Outcome(reader, verifier).as_dict())


def main() -> None:
    """Print what is found in each stream of the file that is named, and what is wrong with corpus and patterns."""
    # A wheel has no tests, so what is beside this file is loaded from there; and before all that compiles patterns.
    spec = importlib.util.spec_from_file_location("patterns", Path(__file__).with_name("patterns.py"))
    assert spec is not None
    assert spec.loader is not None
    patterns = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(patterns)
    holding = patterns.watch("streamfmt")
    from streamfmt.corpus import store

    for form, mode, deep, content in read(Path(sys.argv[1])):
        print(verdict(form, mode, deep, [content]))
        print(verdict(form, mode, deep, (content[at : at + _PIECE] for at in range(0, len(content), _PIECE))))
    for complaint in store.check():
        print(f"corpus check: {complaint}")
    for pattern in holding:
        print(f"possessive or atomic, in {pattern}")


if __name__ == "__main__":
    main()
