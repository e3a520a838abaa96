"""The asyncio interface shows and finds what the other one does, however slowly bytes arrive."""

from __future__ import annotations

import asyncio
import gzip
from random import Random
from typing import Any

import pytest

import streamfmt
from streamfmt import aio

from .support.corpus import SMALL
from .support.good_streams import PV
from .support.listings import DATA, Row, plainly, pulled, row
from .support.vector import judged, reported

EACH_CLAUSE = pytest.mark.parametrize("clause", SMALL)


class Slow:
    """An asynchronous source that gives a few bytes at a time, and lets others run before each."""

    def __init__(self, data: bytes, seed: int = 0, most: int = 5000) -> None:
        self.data = memoryview(data)
        self.at = 0
        self.random = Random(seed)
        self.most = most
        self.asked = 0

    async def read(self, n: int) -> bytes:
        await asyncio.sleep(0)
        start = self.at
        self.asked = max(self.asked, start + n)
        self.at += min(n, self.random.randint(1, self.most), len(self.data) - start)
        return bytes(self.data[start : self.at])


async def awaited(source: Any, **options: Any) -> tuple[list[Row], list[bytes]]:
    rows: list[Row] = []
    bodies: list[bytes] = []
    try:
        async with aio.open(source, **options) as stream:
            async for item in stream:
                rows.append(row(item))
                if isinstance(item, aio.Record):
                    bodies.append(await item.read(1 << 22))
    except streamfmt.StreamError as error:
        rows.append((type(error).__name__, str(error)))
    return rows, bodies


@EACH_CLAUSE
def test_async_equals_sync(clause: str) -> None:
    """Items, bodies, verdicts and identities are the same however slowly bytes arrive."""

    async def compare() -> None:
        for name, vector in SMALL[clause].items():
            data = vector.data
            bodies: list[bytes] = []
            whole = pulled(data, lambda record, bodies=bodies: bodies.append(record.read(1 << 22)), form=vector.form)  # type: ignore[misc] # mypy cannot infer a lambda with a default
            assert await awaited(Slow(data), form=vector.form) == (whole, bodies), name
            options: dict[str, Any] = {"form": vector.form, "mode": vector.mode, "deep": vector.deep}
            outcome = await aio.verify(Slow(data, 1), **options)
            assert reported(outcome) == reported(judged(vector))
            found = await aio.identify(Slow(data, 2), form=options["form"])
            assert found.as_dict() == streamfmt.identify(data, form=options["form"]).as_dict()

    asyncio.run(compare())


@pytest.mark.parametrize("most", [1, 3, 700])
def test_async_compressed(most: int) -> None:
    """Compressed bytes are opened however they arrive, members and what follows them too."""
    data = DATA["pv"]
    packed = gzip.compress(data[:999]) + gzip.compress(data[999:])

    async def compare() -> None:
        rows, _ = await awaited(Slow(packed, most=most))
        assert rows == pulled(data)
        outcome = await aio.verify(Slow(packed + b"tail", most=most))
        assert reported(outcome) == reported(streamfmt.verify(packed + b"tail"))
        assert [row.offset for row in outcome.findings] == [len(data)]

    asyncio.run(compare())


def test_stream_reader_and_cancellation() -> None:
    """A wait that is cancelled has taken nothing: asked again, a stream goes on where it was."""
    data = DATA["libxl-hvm"]

    async def compare() -> None:
        reader = asyncio.StreamReader()
        rows: list[Row] = []
        at = 0
        stream = aio.open(reader)
        while True:
            try:
                async with asyncio.timeout(0.001 if at < len(data) else None):
                    await stream.__aenter__() if not rows else None
                    async for item in stream:
                        rows.append(row(item))
                        if isinstance(item, aio.Record) and item.name == "HVM_CONTEXT":
                            chunks = [bytes(chunk) async for chunk in item.chunks(16)]
                            assert b"".join(chunks) == data[item.body : item.body + item.length]
                    break
            except TimeoutError:
                reader.feed_data(data[at : at + 1500])
                at += 1500
                if at >= len(data):
                    reader.feed_eof()
        stream.close()
        assert rows == plainly(data, "auto")

    # HVM_CONTEXT is shorter than what arrives at once, so its chunks are not what is waited for.
    asyncio.run(compare())


def test_cancelled_chunks_can_be_asked_for_again() -> None:
    """An iteration over chunks goes on after a cancelled wait."""
    data = DATA["pv"]
    at = PV.offset("libxc.SHARED_INFO") + 8

    async def compare() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data[: at + 100])
        async with aio.open(reader) as stream:
            async for item in stream:
                if item.name == "SHARED_INFO":
                    break
            assert isinstance(item, aio.Record)
            chunks = item.chunks(64)
            found = bytes(await anext(chunks))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await anext(chunks)
            reader.feed_data(data[at + 100 :])
            reader.feed_eof()
            async for chunk in chunks:
                found += bytes(chunk)
            assert found == data[at : at + item.length]
            assert [row(rest)[2] async for rest in stream][-1] == "END"

    asyncio.run(compare())


def test_others_get_their_turn() -> None:
    """What few compressed bytes hold does not keep the loop from others for long."""
    packed = gzip.compress(DATA["hvm"] + bytes(8 << 20), 1)

    async def compare() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        reader = asyncio.StreamReader(limit=1 << 20)
        reader.feed_data(packed)
        reader.feed_eof()
        counting = asyncio.create_task(count())
        await aio.verify(reader)
        counting.cancel()
        return turns

    assert asyncio.run(compare()) >= (8 << 20) / (256 << 10)


def test_async_sources_that_misbehave() -> None:
    """An object without read, and one that gives more than was asked for, are refused."""

    class Generous:
        async def read(self, n: int) -> bytes:
            return bytes(n + 1)

    with pytest.raises(TypeError, match="async read"):
        aio.open(b"bytes")  # type: ignore[arg-type] # this is what is tested
    with pytest.raises(TypeError, match=r"docs/api\.md"):
        aio.open("file")  # type: ignore[arg-type] # this too
    with pytest.raises(OSError, match="asked for"):
        asyncio.run(aio.verify(Generous()))


@pytest.mark.parametrize("name", ["hvm", "libxl-pv", "xl-hvm"])
def test_exact(name: str) -> None:
    """With `exact` what follows END is there for further reading."""
    data, after = DATA[name], b"LibxlFmt and more"
    slow = Slow(data + after)
    rows, _ = asyncio.run(awaited(slow, exact=True))
    assert rows == plainly(data, "auto")
    assert bytes(slow.data[slow.at :]) == after
