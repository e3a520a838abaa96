"""``streamfmt extract --memory``: a guest's memory out of a stream, as a file that other tools read."""

from __future__ import annotations

import os
import sys

from ..errors import RefusedError, StreamError, UnwritableError
from ..io.outputs import FileOutput, output
from ..io.sources import drive, reason
from ..memory import ELF, channels, saved
from ..memory.collector import Collector
from ..memory.contents import Contents
from ..memory.frames import Frames
from ..memory.registers import Vcpus, notes
from ..memory.writing import Written, write
from ..reader.reader import Reader
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..io.outputs import Output
    from ..io.sources import Driven, Source
    from ..reader.failure import Failure


def run(args: argparse.Namespace) -> int:
    """Write the memory of one input.  Returns the exit status."""
    job = _Job(args)
    with inputs.Writing():
        failure = inputs.run_reader(args.file, job.collector.reader, by=job.run)
    if job.failure is not None:
        inputs.complain(job.failed, job.failure)
        return job.failure.status
    if failure is not None:
        inputs.complain(args.output if failure.kind == "unwritable" else args.file, failure)
        return failure.status
    if job.refused is not None:
        damaged = job.collector.damage is job.refused
        inputs.complain(args.file, (_finding(args) if damaged else "") or job.refused)
        if damaged and job.collector.layer is not None:
            inputs.complain(args.file, "nothing was written; --allow-damaged writes the memory that there is")
        return 1
    job.report()
    return int(_lacking(job.collector))


def _lacking(collector: Collector) -> bool:
    """Whether what was found may not be all of the memory."""
    return collector.damage is not None or collector.missing > 0


class _Job:
    """One input on its way; `refused` is why nothing is written."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.collector = Collector(args.form, args.guest)
        self.refused: StreamError | str | None = None
        # The channel that could not be read, and why.
        self.failed = ""
        self.failure: Failure | None = None
        self._args = args
        self._vcpus = Vcpus(self.collector)
        self._written: Written | None = None
        self._indexed = ""
        if args.channels:
            self.collector.frames = channels.Dated()
        if args.memory == ELF:
            self.collector.states = self._vcpus

    def run(self, pump: Driven, source: Source, progress: Callable[[int], None] | None) -> None:
        """Find the memory in the source, and write it.  Raises what :mod:`reader.failure` knows."""
        try:
            frames, contents = self._found(pump, source, progress)
            if self.refused is None and self.failure is None:
                self._write(frames, contents, progress)
        except StreamError as error:
            self.refused = error

    def _found(self, pump: Driven, source: Source, progress: Callable[[int], None] | None) -> tuple[Frames, Contents]:
        """The memory, by its index if that is wanted and there is one."""
        args, collector = self._args, self.collector
        index = args.file + saved.SUFFIX
        reread = source.reread()
        if args.index and (reread is None or not source.size):
            self.refused = "there is an index only of a file that is not compressed; leave out --index"
            return collector.frames, collector.contents
        if args.index and reread is not None and args.memory != ELF and os.path.exists(index):
            self._indexed = f"by the index {inputs.shown(index)}"
            try:
                return saved.load(index, source.size or 0, reread), Contents(reread)
            except StreamError as error:
                self.refused = f"{inputs.shown(index)} does not fit: {error}; remove it, and it is made anew"
                return collector.frames, collector.contents
        collector.reading(source)
        drive(pump, source, progress)
        collector.end()
        if args.channels:
            channels.add(collector, [(inputs.shown(name), name) for name in args.channels], self._channel)
        if collector.damage is not None and not args.allow_damaged:
            self.refused = collector.damage
        elif args.index and reread is not None and not _lacking(collector) and saved.storable(collector.frames):
            try:
                saved.save(index, collector.frames, source.size or 0, reread)
            except OSError as error:
                raise UnwritableError(f"{inputs.shown(index)}: {reason(error)}") from error
            self._indexed = f"the index is in {inputs.shown(index)}"
        return collector.frames, collector.contents

    def _channel(self, name: str, reader: Reader) -> None:
        """Read a channel."""
        failure = inputs.run_reader(name, reader)
        if failure is not None and self.failure is None:
            self.failed, self.failure = name, failure

    def _write(self, frames: Frames, contents: Contents, progress: Callable[[int], None] | None) -> None:
        if next(frames.ranges(), None) is None:
            self.refused = "the image has no frame of memory: there is nothing to write"
            if self.collector.about:
                self.refused += f" ({self.collector.about})"
            return
        args = self._args
        out = _opened(args.output)
        try:
            registers = notes(self._vcpus.registers)
            self._written = write(args.memory, frames, contents, out, registers, progress)
        except BaseException:
            out.abort()
            raise
        try:
            out.finish()
        except OSError as error:
            raise UnwritableError(reason(error)) from error

    def report(self) -> None:
        """Say what was written, and what is missing of it."""
        collector, done = self.collector, self._written
        assert done is not None, "what was not refused has been written"
        file = sys.stdout if self._args.output != "-" else sys.stderr
        if self._args.output != "-":
            print(f"{inputs.shown(self._args.output)}: {done.size:,} bytes", file=file)
            words = [f"{done.pages:,} pages in {done.ranges:,} range{'s' * (done.ranges != 1)}"]
            words += [f"{done.zero:,} of them zero"] if done.zero else []
            if self._args.memory == ELF:
                count = len(self._vcpus.registers)
                words.append(f"registers of {count:,} vcpu{'s' * (count != 1)}")
            print(f"  {'; '.join([*words, self._indexed] if self._indexed else words)}", file=file)
            if collector.about:
                print(inputs.fitted(f"  {inputs.shown(collector.about)}"), file=file)
        if collector.rest is not None:
            at = "whole" if collector.ended_at is not None else f"as of checkpoint {collector.checkpoints:,}"
            inputs.complain(self._args.file, f"the memory is {at}; after it, {collector.rest}")
        if collector.missing and self._args.output == "-":
            inputs.complain(self._args.file, f"memory is missing: {collector.about}")
        if collector.damage is not None:
            lost = f"; {collector.losses:,} batches are like that" if collector.losses > 1 else ""
            inputs.complain(self._args.file, f"memory is missing, or doubtful: {collector.damage}{lost}")


def _opened(name: str) -> Output:
    try:
        # As of cp, its bytes may not be on the disk yet when it has its name.
        return output(1) if name == "-" else FileOutput(name, sync=False)
    except OSError as error:
        raise UnwritableError(reason(error)) from error


def _finding(args: argparse.Namespace) -> str:
    """The rule by which an input is damaged, and how, if it can be read again."""
    if args.file == "-":
        return ""
    from ..checks.verifier import Verifier

    verifier = Verifier()
    failure = inputs.run_reader(args.file, Reader(verifier, args.form, False, args.guest))
    found = [finding for finding in verifier.findings.kept if finding.severity == "error"]
    return str(RefusedError(found[0])) if found and failure is None else ""
