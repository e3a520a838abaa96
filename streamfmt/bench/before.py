"""A second environment: this project as it was at one commit, run by this interpreter with the packages it has."""

from __future__ import annotations

import compileall
import io
import os
import subprocess
import sys
import tarfile

COMMIT = "ee7895b"
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# By a command's name: the module that its console script calls.
_ENTRIES = {"streamfmt": "streamfmt.cli.main", "verify-stream-v2": "streamfmt.cli.verify_stream_v2"}
# What pip writes, with that commit's package before all others.
_SCRIPT = """#!{python}
import sys
sys.path.insert(0, {folder!r})
from {module} import entry
if __name__ == '__main__':
    sys.exit(entry())
"""


class MissingError(Exception):
    """There is no history to take it from."""


def command(folder: str, name: str) -> str:
    """The path of that commit's console script `name`, made in `folder` if it is not there.  Raises MissingError."""
    script = os.path.join(folder, name)
    if not os.path.exists(script):
        _unpack(folder)
        for other, module in _ENTRIES.items():
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
        raise MissingError(f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        raise MissingError(f"commit {COMMIT} is not here; it takes a clone with its whole history")
    tree = os.path.join(folder, "tree")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(tree, filter="data")
    compileall.compile_dir(tree, quiet=2)
