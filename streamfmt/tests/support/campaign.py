"""A long run of damaged streams, by hand.

``python -m streamfmt.tests.support.campaign --count 1000000 --seed 1 --jobs 2``

Every input is made from the seed and its number alone, so `--only NUMBER` makes it again.  An input that breaks a
promise is written to a file and named; the status is then 1.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from random import Random
from time import perf_counter

from ... import data
from ...checks.findings import KEPT
from ...checks.layer import MODES
from ...checks.outcome import CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED
from ...render.text import finding_lines, summary
from ...schema.clauses import registry
from .corpus import EACH_SMALL
from .vector import judge, reported

# What a run may take over an interpreter that has loaded everything, and what one input may.
MEMORY = 64 << 20
SECONDS = 5.0
# Of a real sample so much of its beginning and its end is used.
_ENDS = 30_000
_SAMPLES = ("hvm-64.bin.gz", "hvm-remus.bin.gz", "pv-list.bin.gz", "mig-none-1M.bin.gz")
_FORMS = ("auto",) * 6 + ("libxc", "libxl")
_BATCH = 500

# Numbers that lengths, counts, types and frame numbers are worth being set to.
_EDGES = (
    *range(20),
    *(1 << bit for bit in range(4, 32)),
    *((1 << bit) - 1 for bit in range(4, 33)),
    *range(0xFFFFFFF0, 0x100000000),
    (128 << 20) + 1,
    4103,
    4104,
    4112,
    0x80000001,
)


@dataclass(frozen=True, slots=True)
class Seed:
    """A stream to damage, and where its headers and records begin."""

    data: bytes
    starts: tuple[int, ...]


def _framing(raw: bytes) -> tuple[int, ...]:
    """Where the records of a bare libxc image begin, as far as it can be walked."""
    starts, at = [0, 24], 40
    while at + 8 <= len(raw):
        starts.append(at)
        at += 8 + (int.from_bytes(raw[at + 4 : at + 8], "little") + 7 & ~7)
    return tuple(starts)


@cache
def seeds() -> tuple[Seed, ...]:
    """Every small vector, and the ends of the real samples with the middle of them left out."""
    found = [Seed(vector.stream.render(), tuple(vector.stream.offsets()[:-1])) for vector in EACH_SMALL]
    for name in _SAMPLES:
        with gzip.open(data.path("corpus", "real", name)) as file:
            raw = file.read()
        starts = _framing(raw)
        # Whole records only: what is left is framed as the original was.
        first = max((at for at in starts if at <= _ENDS), default=0)
        last = min((at for at in starts if at >= len(raw) - _ENDS), default=len(raw))
        short = raw[:first] + raw[last:] if first < last else raw
        found.append(Seed(short, _framing(short)))
        found.append(Seed(raw[:_ENDS], tuple(at for at in starts if at < _ENDS)))
    return tuple(seed for seed in found if seed.data)


# -- damage ---------------------------------------------------------------------------------------------------


def _place(rng: Random, seed: Seed, buffer: bytearray) -> int:
    """An offset, mostly in a header or near one: that is where bytes mean something."""
    if seed.starts and rng.random() < 0.8:
        at = rng.choice(seed.starts) + min(int(rng.expovariate(1 / 12)), 200)
    else:
        at = rng.randrange(len(buffer) + 1)
    return min(at, max(len(buffer) - 1, 0))


def _flip(rng: Random, seed: Seed, buffer: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 2, 5))):
        buffer[_place(rng, seed, buffer)] ^= 1 << rng.randrange(8)


def _set(rng: Random, seed: Seed, buffer: bytearray) -> None:
    at = _place(rng, seed, buffer)
    count = rng.choice((1, 1, 2, 4, 8, 16))
    value = rng.choice((b"\0", b"\xff", b"\x01", b"\x80", rng.randbytes(1)))
    buffer[at : at + count] = value * count


def _delete(rng: Random, seed: Seed, buffer: bytearray) -> None:
    at = _place(rng, seed, buffer)
    del buffer[at : at + rng.choice((1, 2, 4, 7, 8, 16, 24, 100, 4096))]


def _insert(rng: Random, seed: Seed, buffer: bytearray) -> None:
    at = _place(rng, seed, buffer)
    count = rng.choice((1, 2, 4, 8, 8, 16, 24, 100, 4096))
    buffer[at:at] = rng.choice((bytes(count), rng.randbytes(count), bytes(buffer[at : at + count])))


def _cut(rng: Random, seed: Seed, buffer: bytearray) -> None:
    del buffer[_place(rng, seed, buffer) :]


def _splice(rng: Random, seed: Seed, buffer: bytearray) -> None:
    """The beginning of one stream, the rest of another, at record boundaries more often than not."""
    other = rng.choice(seeds())
    here = rng.choice(seed.starts) if rng.random() < 0.8 else rng.randrange(len(buffer) + 1)
    there = rng.choice(other.starts) if rng.random() < 0.8 else rng.randrange(len(other.data) + 1)
    buffer[here:] = other.data[there:]


def _move(rng: Random, seed: Seed, buffer: bytearray) -> None:
    """A record taken out, doubled, or put elsewhere."""
    number = rng.randrange(len(seed.starts))
    start, stop = (*seed.starts, len(buffer))[number : number + 2]
    piece = bytes(buffer[start:stop])
    if rng.random() < 0.7:
        del buffer[start:stop]
    if rng.random() < 0.7:
        at = min(rng.choice(seed.starts), len(buffer))
        buffer[at:at] = piece


def _field(rng: Random, seed: Seed, buffer: bytearray) -> None:
    """A type, a length, a count or the like set to a number at some edge, or shifted by a little."""
    start = rng.choice(seed.starts)
    size = rng.choice((4, 4, 4, 8, 2))
    at = start + rng.choice((0, 4, 4, 4, 8, 8, 12, 16, 20, 24, 32))
    if rng.random() < 0.5:
        value = rng.choice(_EDGES)
    else:
        value = int.from_bytes(buffer[at : at + size], "little") + rng.choice((-8, -1, 1, 7, 8, 4096, 1 << 20))
    if rng.random() < 0.1:
        value <<= 32
    at = min(at, len(buffer))
    buffer[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, rng.choice(("little", "little", "big")))


DAMAGE: tuple[Callable[[Random, Seed, bytearray], None], ...] = (
    _flip,
    _set,
    _delete,
    _insert,
    _cut,
    _splice,
    _move,
    _field,
    _field,
    _field,
)


def damaged(rng: Random) -> bytes:
    """A seed with one to four things wrong with it, most often one."""
    seed = rng.choice(seeds())
    buffer = bytearray(seed.data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        if buffer and seed.starts:
            rng.choice(DAMAGE)(rng, seed, buffer)
    return bytes(buffer)


# -- promises -------------------------------------------------------------------------------------------------


def _pieces(rng: Random, raw: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(raw):
        size = rng.choice((1, 2, 5, 8, 40, 1000, 4096, 50_000))
        found.append(raw[at : at + size])
        at += size
    return found


def check(raw: bytes, rng: Random) -> None:
    """Judge one input; AssertionError, or whatever the verifier raised, if it breaks a promise."""
    form, mode = rng.choice(_FORMS), rng.choice(MODES)
    began = perf_counter()
    outcome = judge([raw], form, mode)
    assert perf_counter() - began < SECONDS, "it took too long"
    verifier = outcome.verifier
    assert outcome.verdict in {CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED}
    assert outcome.verdict != CONFORMS or (verifier.complete and not outcome.errors)
    # Every input that does not conform has a finding with an offset, or was not judged for a reason that is given.
    assert outcome.verdict != DOES_NOT_CONFORM or verifier.findings.kept, "refused without a finding"
    for finding in verifier.findings.kept:
        assert 0 <= finding.offset <= len(raw), finding
        assert finding.message, finding
    for clause, count in verifier.findings.counts.items():
        assert min(count, KEPT) == sum(finding.clause == clause for finding in verifier.findings.kept)
    assert summary(outcome)
    assert len(finding_lines(outcome, every=True)) >= len(verifier.findings.kept)
    assert outcome.size <= len(raw)
    assert reported(outcome) == reported(judge(_pieces(rng, raw), form, mode)), "it depends on how the bytes were cut"
    deep = judge([raw], form, mode, deep=True)
    counts = deep.verifier.findings.counts
    if "LIBXC-PTE-PFN" not in counts:
        shallow = {clause: count for clause, count in counts.items() if not registry()[clause].deep}
        if any(layer.row.alias for layer in verifier.layers):
            # Of a legacy stream this is judged with --deep alone, as the clause says.
            shallow.pop("LIBXC-VCPU-EFLAGS-VM", None)
        assert shallow == verifier.findings.counts, "fast and slow path disagree"


def one(seed: str, number: int) -> tuple[bytes, Random]:
    """Input `number` of the run from `seed`, and the random numbers to judge it with."""
    rng = Random(f"{seed}:{number}")
    return damaged(rng), rng


def _peak() -> int:
    """Bytes of memory this process has used at most."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def _some(seed: str, first: int, count: int) -> tuple[int, int, list[tuple[int, str]]]:
    """Inputs `first` and on: how many bytes they had, the memory used, what failed."""
    failed = []
    size = 0
    for number in range(first, first + count):
        raw, rng = one(seed, number)
        size += len(raw)
        try:
            check(raw, rng)
        except Exception as error:  # whatever it is, it must not happen
            name = f"campaign-{seed}-{number}.bin"
            with open(name, "wb") as file:
                file.write(raw)
            failed.append((number, f"{type(error).__name__}: {str(error)[:300]}; written to {name}"))
    return size, _peak(), failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify a great many damaged streams.")
    parser.add_argument("--count", type=int, default=10_000, help="how many inputs (default: 10000)")
    parser.add_argument("--seed", default="1", help="what the inputs follow from (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument("--only", type=int, help="this input alone, in this process, with its traceback")
    args = parser.parse_args(arguments)
    if args.only is not None:
        check(*one(args.seed, args.only))
        return 0
    began, start = perf_counter(), _peak()
    size = done = most = 0
    failures: list[tuple[int, str]] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        firsts = range(0, args.count, _BATCH)
        counts = [min(_BATCH, args.count - first) for first in firsts]
        for count, (raw, peak, failed) in zip(
            counts, pool.map(_some, [args.seed] * len(counts), firsts, counts), strict=True
        ):
            done, size, most = done + count, size + raw, max(most, peak)
            failures += failed
            for number, what in failed:
                print(f"seed {args.seed} input {number}: {what}", flush=True)
            if len(failures) > 20:
                pool.shutdown(cancel_futures=True)
                break
    seconds = perf_counter() - began
    print(f"{done:,} inputs, {size / 1e6:,.0f} MB, {done / seconds:,.0f} a second, {len(failures)} failed")
    print(f"memory at most {(most - start) >> 20} MiB over the start's {start >> 20} MiB")
    return int(bool(failures) or most - start > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
