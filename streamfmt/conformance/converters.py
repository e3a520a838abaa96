"""Xen's own convert-legacy-stream, asked to convert many streams at once: what `peers` is for the readers.

It comes in all releases that `make peers` brings; libxl starts it for images that were saved before Xen 4.6.

  python -m streamfmt.conformance.converters --guest hvm [--width 32] STREAM...

prints what it does with legacy streams, a line of JSON for each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import MissingPeerError
from ..schema.clauses import CONVERTER
from .peers import RELEASE, RELEASES, require, script_modules

_HERE = os.path.dirname(os.path.abspath(__file__))
_RAISED = re.compile(r"(?:\w+\.)*\w+(?:Error|Exception|Exit)\b.*")
_PATIENCE = 60.0  # seconds for one process on a busy machine


class Conversion(NamedTuple):
    """What a converter did with a stream.

    `status` is its exit status, negative for the signal that ended it.  `output` is what it wrote, whole or not;
    `stdout` and `stderr` what it printed.  `consumed` is where its input, a file's descriptor, was left.
    """

    status: int
    output: bytes
    stdout: str
    stderr: str
    consumed: int

    @property
    def error(self) -> str:
        """The last exception that it printed, or else its last line; empty if it printed nothing on stderr."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        raised = [line for line in lines if _RAISED.fullmatch(line)]
        return next(reversed(raised or lines), "")


def options(width: int, guest: str, form: str = "libxc", *more: str) -> tuple[str, ...]:
    """The options for a stream of a toolstack of 32 or 64 bits and a guest of that type, "pv" or "hvm"."""
    return ("--width", str(width), "--guest-type", guest, "--format", form, *more)


def convert(requests: Iterable[tuple[Sequence[str], bytes]], release: str = RELEASE) -> list[Conversion]:
    """What that release's converter does with streams, each with the options for it.

    Input and output are descriptors of files, as libxl has it with pipes; the options say the rest.  All run in forks
    of one process that has the script loaded; that this changes nothing is tested.

    :raises MissingPeerError: it is not there.
    :raises RuntimeError: the process stopped.
    """
    script = require(CONVERTER, release)
    driver = os.path.join(_HERE, "converter_driver.py")
    with tempfile.TemporaryFile() as questions, tempfile.TemporaryFile() as answers:
        asked = 0
        for words, data in requests:
            questions.write(json.dumps([len(data), *words]).encode() + b"\n" + data)
            asked += 1
        questions.seek(0)
        done = subprocess.run(
            [sys.executable, "-P", driver, script],
            stdin=questions,
            stdout=answers,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(script),
            check=False,
        )
        answers.seek(0)
        found = list(_answers(answers))
    if done.returncode or len(found) != asked:
        said = done.stderr.strip()
        raise RuntimeError(f"{script} answered {len(found)} of {asked} requests, status {done.returncode}: {said}")
    return found


def environment(script: str) -> dict[str, str]:
    """What the converter needs around it: Debian's does not find its modules by itself."""
    return {**os.environ, "PYTHONPATH": script_modules(script)}


def run(
    command: Sequence[str], words: Sequence[str], data: bytes, variables: Mapping[str, str] | None = None
) -> Conversion:
    """What any converter does with a stream: a process of its own, called as `convert` has it."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as written:
        given.write(data)
        given.flush()
        given.seek(0)
        ends = ["--in", str(given.fileno()), "--out", str(written.fileno())]
        done = subprocess.run(
            [*command, *ends, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(given.fileno(), written.fileno()),
            env=variables,
            timeout=_PATIENCE,
            check=False,
        )
        consumed = os.lseek(given.fileno(), 0, os.SEEK_CUR)
        written.seek(0)
        return Conversion(done.returncode, written.read(), _text(done.stdout), _text(done.stderr), consumed)


def _answers(answers: IO[bytes]) -> Iterator[Conversion]:
    for line in answers:
        status, consumed, *sizes = json.loads(line)
        output, stdout, stderr = (answers.read(size) for size in sizes)
        yield Conversion(status, output, _text(stdout), _text(stderr), consumed)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def main(words: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m streamfmt.conformance.converters",
        description="What Xen's convert-legacy-stream does with streams, a line of JSON for each stream and release.",
    )
    parser.add_argument("--release", action="append", choices=RELEASES, help="of Xen; may be repeated; default: all")
    parser.add_argument("--width", type=int, choices=(32, 64), default=64, help="of the toolstack that saved")
    parser.add_argument("--guest", choices=("hvm", "pv"), required=True)
    parser.add_argument("--format", choices=("libxc", "libxl"), default="libxl", help="wanted (default: %(default)s)")
    parser.add_argument("--output", metavar="FOLDER", help="keep what it writes there, as NAME.RELEASE")
    parser.add_argument("stream", nargs="+")
    given = parser.parse_args(words)
    asked = [(options(given.width, given.guest, given.format), Path(name).read_bytes()) for name in given.stream]
    for release in given.release or RELEASES:
        try:
            found = convert(asked, release)
        except MissingPeerError as missing:
            print(missing, file=sys.stderr)
            return 3
        for name, said in zip(given.stream, found, strict=True):
            row = {"stream": name, "release": release, "status": said.status, "error": said.error}
            row |= {"consumed": said.consumed, "bytes": len(said.output)}
            print(json.dumps(row | {"sha256": hashlib.sha256(said.output).hexdigest()}))
            if given.output is not None:
                Path(given.output, f"{Path(name).name}.{release}").write_bytes(said.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
