"""The other Pythons on this machine, and what they need to run streamfmt.

`python -m streamfmt.tests.support.pythons` installs the packages that those of other versions than this one need below
.pythons/, which is all that the tests take from the network; `make test` does that.  `make pythons` fetches newer ones.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[3]
OWN = ROOT / ".pythons"
# Debian's, which on many machines is the only one.
SYSTEM = Path("/usr/bin/python3")
# The environment variable that names a Python whose test is not skipped, whatever is missing.
REQUIRED = "STREAMFMT_REQUIRE_PYTHON"
_CLASSIFIER = "Programming Language :: Python :: 3."
_ASKED = "import platform; print(platform.python_implementation(), platform.python_version())"
_HANG = 60


class Python(NamedTuple):
    """An interpreter: where it is, and its version in full."""

    path: Path
    version: str

    @property
    def minor(self) -> str:
        """The version without its last number: "3.11"."""
        return ".".join(self.version.split(".")[:2])


@cache
def project() -> dict[str, Any]:
    """What pyproject.toml says of the project."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def claimed() -> list[str]:
    """The versions that we say it runs on."""
    return ["3." + row.removeprefix(_CLASSIFIER) for row in project()["classifiers"] if row.startswith(_CLASSIFIER)]


def _folders() -> Iterator[Path]:
    yield SYSTEM.parent
    yield from sorted(OWN.glob("*/bin"))
    for name in os.environ.get("PATH", "").split(os.pathsep):
        folder = Path(name)
        # A shim starts only the version that is chosen at the time.
        yield from sorted(folder.parent.glob("versions/*/bin")) if folder.name == "shims" else [folder]
    yield from sorted(Path.home().glob(".local/share/uv/python/*/bin"))


def asked(path: Path) -> Python | None:
    """The CPython at this path; None if there is none, or it does not start."""
    if not os.access(path, os.X_OK):
        return None
    try:
        done = subprocess.run([path, "-I", "-c", _ASKED], capture_output=True, text=True, timeout=_HANG, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    kind, _, version = done.stdout.strip().partition(" ")
    return Python(path, version) if not done.returncode and kind == "CPython" else None


@cache
def others() -> tuple[Python, ...]:
    """One of each version that is not the one that runs this, of those that we claim; in the order of versions."""
    found: dict[str, Python] = {}
    places: set[Path] = set()
    names = ["python3", *(f"python{minor}" for minor in claimed())]
    for path in (folder / name for folder in dict.fromkeys(_folders()) for name in names):
        place = path.resolve()
        if place in places:
            continue
        places.add(place)
        python = asked(path)
        if python and python.minor in claimed() and python.version != platform.python_version():
            found.setdefault(python.version, python)
    return tuple(sorted(found.values(), key=lambda python: [*map(int, python.minor.split(".")), python.version]))


def packages(python: Python) -> Path:
    """Where the packages lie that streamfmt needs under this Python: our own, if only the last number differs."""
    if python.minor == "{}.{}".format(*sys.version_info):
        return Path(sysconfig.get_path("purelib"))
    return OWN / f"packages-{python.minor}"


def install(python: Python) -> None:
    """Put there what is not there, or from before pyproject.toml last changed.  Raises CalledProcessError."""
    folder = packages(python)
    new = folder.with_suffix(".new")
    if folder.parent != OWN:
        return  # those of the Python that runs this, which are not ours to change
    if folder.exists() and folder.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return
    for old in (folder, new):
        shutil.rmtree(old, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--python-version", python.minor]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(new), *project()["dependencies"]]
    subprocess.run(command, check=True)
    new.rename(folder)


def main() -> None:
    """Install for all that are here."""
    for python in others():
        try:
            install(python)
        except subprocess.CalledProcessError:
            # Its test is skipped with the reason, and fails where it must not be skipped.
            print(f"no packages for {python.path} (Python {python.version})", file=sys.stderr)


if __name__ == "__main__":
    main()
