"""Xen's own convert-legacy-stream, asked to convert many streams at once: what `peers` is for the readers.

It comes in all releases that `make peers` brings; libxl starts it for images that were saved before Xen 4.6.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from .peers import CONVERTER, RELEASE, require, script_modules

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
