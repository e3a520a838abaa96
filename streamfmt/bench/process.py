"""Whole processes, run and measured; and a second environment, with this project as it was at one commit."""

from __future__ import annotations

import compileall
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from ..conformance import peers
from ..schema.clauses import CONVERTER

COMMIT = "ee7895b"
# By a command's name: the module that its console script calls.
ENTRIES = {
    "streamfmt": "streamfmt.cli.main",
    "verify-stream-v2": "streamfmt.cli.verify_stream_v2",
    "convert-legacy-stream": "streamfmt.cli.convert_legacy_stream",
}
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class BenchError(Exception):
    """A command did not do what its row is about."""


class NotMeasuredError(Exception):
    """A row cannot be measured here; the text says why."""


# Linux counts what a process held before exec into its peak, so each command starts from a bare interpreter and not
# from this one.  It says: seconds, exit status, peak RSS in KiB, 512-byte blocks read from disk.
_LAUNCHER = """
import os, sys, time
begin = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
                      file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - begin, os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_inblock)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One process, or pipeline of them: wall seconds, bytes at its peak, bytes it had read from disk."""

    seconds: float
    peak: int
    disk: int


def run(command: Sequence[str], status: int = 0) -> Run:
    """Run `command` with its output thrown away.  Raises BenchError unless it exits with `status`."""
    outer = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(outer, capture_output=True, text=True, env=_environment(command), check=False)
    seconds, found, peak, blocks = done.stdout.split() or ("0", "none", "0", "0")
    if found != str(status):
        shown = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(f"{' '.join(command)}: exit status {found}, {status} expected: {shown[0]}")
    return Run(float(seconds), int(peak) << 10, int(blocks) * 512)


def _environment(command: Sequence[str]) -> dict[str, str]:
    # What is installed has its bytecode, so what is measured gets it too.
    found = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    scripts = peers.find_script(), peers.find_script(name=CONVERTER)
    script = next((word for word in command if word in scripts), None)
    modules = _ROOT if script is None else peers.script_modules(script)
    found["PYTHONPATH"] = os.pathsep.join(filter(None, (modules, os.environ.get("PYTHONPATH"))))
    return found


# What pip writes, with that commit's package before all others.
_SCRIPT = """#!{python}
import sys
sys.path.insert(0, {folder!r})
from {module} import entry
if __name__ == '__main__':
    sys.exit(entry())
"""


def before(folder: str, name: str) -> str:
    """The path of COMMIT's console script `name`, run by this interpreter, made in `folder` if it is not there.

    Raises NotMeasuredError."""
    script = os.path.join(folder, name)
    if not os.path.exists(script):
        _unpack(folder)
        for other, module in ENTRIES.items():
            with open(os.path.join(folder, other), "w", encoding="utf-8") as file:
                file.write(_SCRIPT.format(python=sys.executable, folder=os.path.join(folder, "tree"), module=module))
            os.chmod(file.name, 0o755)
    return script


def _unpack(folder: str) -> None:
    """Put the package as it was into `folder`, with its bytecode, as an installed one has it."""
    asked = ["git", "-C", _ROOT, "archive", "--format=tar", COMMIT, "streamfmt"]
    try:
        done = subprocess.run(asked, capture_output=True, check=False)
    except OSError as error:
        raise NotMeasuredError(f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        raise NotMeasuredError(f"commit {COMMIT} is not here; it takes a clone with its whole history")
    tree = os.path.join(folder, "tree")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(tree, filter="data")
    compileall.compile_dir(tree, quiet=2)
