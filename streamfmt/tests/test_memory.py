"""A guest's memory is found in all images as a restore would have it, and read where it lies."""

from __future__ import annotations

import io
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

import streamfmt

from ..api import Form, Guest
from ..io.memory import ObjectSource, from_object
from ..io.sources import drive
from ..memory.collector import Collector
from ..memory.image import Memory
from ..strategies import Sample, streams
from .support import plain_memory_legacy, plain_memory_v3, plain_wrappers
from .support.plain_drawn import setups
from .support.plain_guests import Setup, saved
from .support.plain_memory import Image

Sampled = Callable[[str], bytes]
PAGE = 4096
FORMS: tuple[Form, ...] = ("libxc", "libxl", "xl")
WIDE: dict[int, Form] = {8: "legacy-64", 4: "legacy-32"}


def once(data: bytes, form: str = "auto", guest: Guest | None = None) -> Memory:
    """The memory in what can be read only once: pages are put by."""
    collector = Collector(form, guest)
    source = from_object(ObjectSource(io.BytesIO(data)), collector.reader)
    collector.reading(source)
    drive(collector.reader.pump, source)
    collector.end()
    return Memory(collector.frames, collector.contents, collector.damage, lambda: None, None)


def expected(image: Image) -> dict[int, bytes]:
    """Pages of an image that a plain reader has read, without those that a receiver frees."""
    return {pfn: data for pfn, (_, data) in image.pages.items() if pfn not in image.gone}


@settings(max_examples=60)
@given(st.sampled_from(FORMS).flatmap(streams))
def test_it_is_what_a_plain_reader_finds(sample: Sample) -> None:
    """Of any conforming stream, checkpointed ones too: every page, in order, whether it is read later or put by."""
    data = sample.data
    pages = expected(plain_memory_v3.read(data))
    with streamfmt.open_memory(data) as memory:
        assert dict(memory) == pages
        assert list(memory) == sorted(pages)
        assert [pfn for first, count in memory.ranges() for pfn in range(first, first + count)] == sorted(pages)
        assert len(memory) == len(pages)
    assert dict(once(data)) == pages


@settings(max_examples=60)
@given(setups(), st.sampled_from([bytes, plain_wrappers.xend, plain_wrappers.xapi, plain_wrappers.xapi_records]))
def test_legacy_memory_is_what_a_plain_reader_finds(setup: Setup, wrap: Callable[[bytes], bytes]) -> None:
    """Of streams of all releases, in any wrapper, whose pages come compressed, to be compared, or are freed again."""
    inner = saved(setup)
    guest: Guest = "pv" if setup.guest == "pv" else "hvm"
    pages = expected(plain_memory_legacy.read(inner, setup.word, guest))
    data, form = wrap(inner), WIDE[setup.word] if wrap is bytes else "auto"
    with streamfmt.open_memory(data, form=form, guest=guest) as memory:
        assert dict(memory) == pages
    assert dict(once(data, form, guest)) == pages
