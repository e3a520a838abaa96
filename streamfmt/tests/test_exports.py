"""What users can import is what docs/api.md documents, it is typed for them, and importing it costs nothing."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import streamfmt
from streamfmt import aio

ROOT = Path(streamfmt.__file__).parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text()

USER = """
import asyncio
import io
from pathlib import Path

import streamfmt
from streamfmt import Finding, Header, Identity, Layer, Outcome, PageBatch, Record, StreamError, aio
from streamfmt.checks.verifier import Verifier


def judge(path: Path) -> list[Finding]:
    outcome: Outcome = streamfmt.verify(path, mode="remus", strict=True, deep=True)
    counts: dict[str, int] = outcome.counts
    verdict: str = outcome.verdict
    print(verdict, counts, outcome.as_dict(), outcome.identity.evidence, Verifier)
    return outcome.findings


def memory(source: io.BytesIO | Path | str | int | bytes) -> int:
    total: int = 0
    with streamfmt.open(source, form="libxc", exact=True) as stream:
        identity: Identity = stream.identity
        layers: tuple[Layer, ...] = stream.layers
        for item in stream:
            where: tuple[str, str, int, int] = item.layer, item.name, item.offset, item.length
            print(identity.key, layers[0].guest, where, item.fields())
            if isinstance(item, Header):
                head: bytes = item.data
                print(head)
            elif item.name == "PAGE_DATA":
                batch: PageBatch
                for batch in item.pages():
                    for pfn, kind, page in batch:
                        total += len(page) if page is not None else 0
                        print(pfn + 1, kind.lower())
            else:
                body: bytes = item.read(limit=1 << 16) if item.length < 100 else b"".join(item.chunks())
                print(body)
    return total


async def wait(reader: asyncio.StreamReader) -> str:
    async with streamfmt.aio.open(reader) as stream:
        async for item in stream:
            if isinstance(item, aio.Record):
                print(await item.read(), await item.fields(), [chunk async for chunk in item.chunks()])
                async for batch in item.pages():
                    print(batch.pfns)
    outcome: Outcome = await aio.verify(reader)
    return (await aio.identify(reader, form="xl")).description + outcome.verdict


def first(path: str) -> Record | None:
    try:
        found = streamfmt.identify(path)
        print(found.key, found.xen)
        return next((item for item in streamfmt.open(path) if isinstance(item, Record)), None)
    except streamfmt.NotAStreamError as error:
        print(error.identity.name, error.offset + 1)
    except streamfmt.TruncatedError as error:
        print(error.offset + error.missing, error.what)
    except streamfmt.LimitError as error:
        print(error.size - error.limit)
    except StreamError:
        pass
    return None
"""
WRONG = """
import streamfmt

streamfmt.verify("guest.sav", mode="fast")
streamfmt.open(None)
streamfmt.identify("guest.sav").nothing
streamfmt.nothing
"""


def test_documented() -> None:
    """docs/api.md has a directive for each name that is exported, and for no other."""
    documented = re.findall(r"^\.\. auto\w+:: streamfmt\.(\w+)$", PAGE, re.MULTILINE)

    assert sorted(documented) == sorted(streamfmt.__all__)


@pytest.mark.parametrize("name", streamfmt.__all__)
def test_importable(name: str) -> None:
    """Each name is there, has a docstring of its own, and so has what a class offers."""
    found = getattr(streamfmt, name)

    assert name in dir(streamfmt)
    assert inspect.getdoc(found)
    if inspect.isclass(found):
        members = {key: value for key, value in vars(found).items() if not key.startswith("_")}
        bare = [key for key, value in members.items() if callable(value) or isinstance(value, property)]
        assert [key for key in bare if not getattr(members[key], "__doc__", None)] == []


def test_twins() -> None:
    """What asyncio users call takes the options of what others call, and their records and streams offer the same."""
    for name in ("identify", "verify", "open"):
        mine, other = inspect.signature(getattr(streamfmt, name)), inspect.signature(getattr(aio, name))
        assert list(mine.parameters) == list(other.parameters)
        assert [p.default for p in mine.parameters.values()] == [p.default for p in other.parameters.values()]
    for name in ("Record", "Stream"):
        offered = [{key for key in dir(getattr(room, name)) if not key.startswith("_")} for room in (streamfmt, aio)]
        # Memory is looked up in files, at random.
        assert offered[0] - {"memory"} == offered[1]


def test_unknown_name() -> None:
    """A name that is not exported is none."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = streamfmt.nothing  # type: ignore[attr-defined] # this is what is tested


def _modules(program: str) -> set[str]:
    """Modules of ours, and heavy ones, that a program loads."""
    ending = "; import sys; print(*(name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program + ending], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_is_cheap() -> None:
    """Importing loads nothing of ours, and no more than sys; using the interface loads neither construct nor rich."""
    before = _modules("pass")
    assert _modules("import streamfmt") - before == {"streamfmt"}
    heavy = {"construct", "rich", "json", "tomllib", "asyncio", "streamfmt.cli", "streamfmt.schema"}
    used = _modules("import streamfmt; streamfmt.verify(b'LibxlFmt'); streamfmt.identify(b''); streamfmt.open")
    assert not used & heavy


def _mypy(text: str, folder: Path) -> str:
    """What mypy --strict says of a user's program."""
    path = folder / "user.py"
    path.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={folder / 'cache'}", str(path)]
    words = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not words.stderr
    return words.stdout


def test_types(tmp_path: Path) -> None:
    """A user's program, and what docs/api.md shows, are typed; wrong use is reported by the type checker."""
    shown = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    for text in (USER, shown):
        assert _mypy(text, tmp_path).startswith("Success"), _mypy(text, tmp_path)
    wrong = _mypy(WRONG, tmp_path)
    assert [int(line) for line in re.findall(r"user\.py:(\d+): error", wrong)] == [4, 5, 6, 7], wrong
