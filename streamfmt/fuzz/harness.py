"""What the harnesses for atheris (conformance/fuzz) share: fuzzing where it is installed, replaying files where not.

It is imported before what is fuzzed, which :func:`instrumented` lets atheris look into; so nothing is imported here.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _atheris() -> Any:
    """The fuzzer, if it is installed."""
    try:
        # Bundlers, which the build for ClusterFuzzLite uses, see no other import than this.
        import atheris  # type: ignore[import-untyped] # it ships no types
    except ImportError:
        return None
    return atheris


def instrumented() -> AbstractContextManager[Any]:
    """What is imported within is seen by the fuzzer."""
    fuzzer = _atheris()
    instrument: AbstractContextManager[Any] = nullcontext() if fuzzer is None else fuzzer.instrument_imports()
    return instrument


def main(one: Callable[[bytes], None]) -> None:
    """Fuzz `one` with what libFuzzer takes as arguments, or give it each file that they name."""
    fuzzer = _atheris()
    if fuzzer is not None:
        fuzzer.Setup(sys.argv, one)
        fuzzer.Fuzz()
        return
    paths = [path for word in sys.argv[1:] if not word.startswith("-") for path in _files(word)]
    if not paths:
        sys.exit(f"{sys.argv[0]}: atheris is not installed (pip install atheris), and no file to replay is named")
    for path in paths:
        with open(path, "rb") as file:
            one(file.read())
    print(f"{len(paths)} inputs replayed")


def _files(path: str) -> Iterator[str]:
    """A file, or those in a directory."""
    if not os.path.isdir(path):
        yield path
        return
    for name in sorted(os.listdir(path)):
        yield os.path.join(path, name)


class Pieces:
    """A file that gives a few bytes at a time: an odd number, so that they end everywhere."""

    _MOST = 61

    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, size: int = -1) -> bytes:
        """The next few."""
        most = self._MOST if size < 0 else min(size, self._MOST)
        piece, self._left = self._left[:most], self._left[most:]
        return piece
