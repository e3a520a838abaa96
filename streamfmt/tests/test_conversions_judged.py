"""What is converted holds the same guest: judged by plain readers and Xen's own, none of which is the converter's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import api
from ..cli.main import main
from ..conformance.peers import XENPEER
from ..conformance.restored import taken
from .support import peers, plain_drawn, plain_memory_legacy, plain_memory_v3
from .support.plain_drawn import Drawn
from .support.plain_guests import Setup, saved
from .support.plain_memory import Image, PlainError, differences
from .support.plain_setups import named, setups
from .support.restored import unlike
from .test_plain_memory import LEGACY

# With each release's savers all kinds of guests come up in so many steps.
GUESTS = setups()[::5]
FORMS = ("libxl", "libxc")


class Converted(NamedTuple):
    """What the command did: its exit status, and the output, None if there is none."""

    status: int
    output: bytes | None


def converted(data: bytes, word: int, guest: str, form: str = "libxl", *more: str) -> Converted:
    """Convert a legacy stream by the command; what cannot be expressed may be lost."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "old"), Path(folder, "new")
        source.write_bytes(data)
        words = ["--quiet", "--allow-loss", "--to", form, "--width", str(8 * word), "--guest", guest, *more]
        status = main(["convert", *words, str(source), str(target)])
        return Converted(status, target.read_bytes() if target.exists() else None)


def image(setup: Setup, data: bytes) -> Image:
    """The guest in a legacy stream."""
    return plain_memory_legacy.read(data, setup.word, setup.guest)


def wrong(data: bytes, word: int, guest: str, form: str = "libxl", *more: str) -> list[str]:
    """In words, what is wrong with the conversion of a stream that conforms."""
    status, output = converted(data, word, guest, form, *more)
    if status or output is None:
        return [f"status {status}"]
    outcome = api.verify(output)
    found = differences(plain_memory_legacy.read(data, word, guest), plain_memory_v3.read(output))
    return found + [str(finding) for finding in outcome.findings if finding.severity == "error"]


@pytest.mark.parametrize("form", FORMS)
def test_guests_of_all_releases(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The memory, registers, parameters, records of every release are those of the input."""
    assert len(GUESTS) > 60
    bad = {named(setup): found for setup in GUESTS if (found := wrong(saved(setup), setup.word, setup.guest, form))}

    assert bad == {}


@pytest.mark.parametrize("name", LEGACY)
@pytest.mark.parametrize("more", [(), ("--checkpoints", "keep")], ids=["flat", "kept"])
def test_streams_of_the_real_saver(name: str, more: tuple[str, ...], sample: Callable[[str], bytes]) -> None:
    """The same with what Xen 4.4 and 4.5 wrote themselves."""
    word, guest, _, _ = LEGACY[name]

    assert wrong(sample(f"{name}.bin.gz"), word, guest, "libxl", *more) == []


@settings(max_examples=25, deadline=None)
@given(plain_drawn.setups(), st.sampled_from(FORMS))
def test_drawn_guests(setup: Setup, form: str) -> None:
    """The same with whatever a saver might have written."""
    assert wrong(saved(setup), setup.word, setup.guest, form) == []


@settings(max_examples=25, deadline=None)
@given(plain_drawn.unusual())
def test_drawn_changes(drawn: Drawn) -> None:
    """The same with what no release wrote, and all read."""
    assert wrong(drawn.stream, drawn.setup.word, drawn.setup.guest) == []


@settings(max_examples=25, deadline=None)
@given(plain_drawn.cut())
def test_drawn_cuts(drawn: Drawn) -> None:
    """What is cut is refused, and leaves nothing; but one that ends after a whole checkpoint is that."""
    status, output = converted(drawn.stream, drawn.setup.word, drawn.setup.guest)
    if status:
        assert (status, output) == (1, None)
        return

    assert output is not None
    assert differences(image(drawn.setup, drawn.stream), plain_memory_v3.read(output)) == []


@settings(max_examples=40, deadline=None)
@given(plain_drawn.mutated())
def test_drawn_damage(drawn: Drawn) -> None:
    """What is damaged is refused, and leaves nothing; or it is another guest, and that is what comes out."""
    status, output = converted(drawn.stream, drawn.setup.word, drawn.setup.guest)
    if status:
        assert (status, output) == (1, None)
        return

    assert output is not None
    try:
        wanted = image(drawn.setup, drawn.stream)
    except (PlainError, ValueError) as error:
        pytest.fail(f"{drawn.change}: converted, though {error}")
    assert differences(wanted, plain_memory_v3.read(output)) == []


@pytest.mark.peer
def test_libxenguest_takes_them() -> None:
    """Xen's library of today finds the same memory, of 64-bit guests: it has no others here."""
    peers.require(XENPEER)
    guests = [setup for setup in GUESTS if setup.guest_word == 8 and not setup.tmem]
    assert len(guests) > 20
    for setup in guests:
        stream = saved(setup)
        status, output = converted(stream, setup.word, setup.guest, "libxc")
        assert (status, output is None) == (0, False)
        found = taken(setup.guest, output or b"")

        assert found.accepted, (named(setup), found.log)
        assert unlike(image(setup, stream), found) == [], named(setup)
