"""Commands and our own verifier as targets: each is given one stream after another and says what came of it.

Python functions are in :mod:`streamfmt.conformance.function`.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Protocol, cast

from ..api import Form, Mode, verify
from ..checks.duties import duty
from ..checks.outcome import Outcome
from ..errors import UnrunnableError
from .kin import Kin
from .result import HANG, Result, of_exception, of_exit
from .target import Input, Spec, Stop

# Of standard error, that many bytes are kept from its beginning and from its end, however much there is.
_KEPT = 32 << 10


class Target(Protocol):
    """Something that reads streams."""

    def run(self, given: Input) -> Result: ...

    def close(self) -> None: ...


def open_target(spec: Spec, timeout: float, kin: Kin, asked: Connection | None = None) -> Target:
    """The target, ready to run.  Raises UnrunnableError.

    What it leaves behind is ended by `kin` after each stream.  Where something has been sent through `asked`, what
    waits for a target raises Stop.
    """
    if spec.function:
        from .function import Function

        return Function(spec.function, timeout, kin, asked)
    return Ours() if spec.ours else Command(spec, timeout, kin, asked)


class Command:
    """A program, started for each stream in a process group of its own."""

    def __init__(self, spec: Spec, timeout: float, kin: Kin, asked: Connection | None) -> None:
        if shutil.which(spec.words[0]) is None:
            raise UnrunnableError(f"there is no command {spec.words[0]!r}, or it cannot be executed")
        self._spec = spec
        self._timeout = timeout
        self._kin = kin
        self._asked = asked
        self._directory = tempfile.TemporaryDirectory(prefix="streamfmt-fuzz-")
        self._path = os.path.join(self._directory.name, "stream.bin")

    def run(self, given: Input) -> Result:
        with open(self._path, "wb") as file:
            file.write(given.data)
        words = self._spec.filled(self._path, given, guest(given) if self._spec.takes_guest else "")
        with open(os.devnull if self._spec.takes_file else self._path, "rb") as stdin:
            try:
                process = subprocess.Popen(
                    words, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
                )
            except OSError as error:
                raise UnrunnableError(f"cannot run {words[0]!r}: {error.strerror}") from None
        try:
            stderr = _watched(process, self._timeout, self._asked)
        finally:
            # Whatever it left behind goes too: its group at one blow, then what has left that.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            status = process.wait()
            assert process.stderr is not None
            process.stderr.close()
            self._kin.end()
        if stderr is None:
            return Result(HANG, f"still running after {self._timeout:g} s")
        return of_exit(status, stderr)

    def close(self) -> None:
        self._directory.cleanup()


@dataclass(slots=True)
class _Ends:
    """The beginning and the end of what a program says."""

    head: bytes = b""
    tail: bytes = b""

    def add(self, data: bytes) -> None:
        room = _KEPT - len(self.head)
        self.head += data[:room]
        self.tail = (self.tail + data[room:])[-_KEPT:]

    def text(self) -> str:
        return (self.head + self.tail).decode(errors="replace")


def _watched(process: subprocess.Popen[bytes], timeout: float, asked: Connection | None) -> str | None:
    """Wait for a process to end; what it said on standard error, or None if it was still running.

    Children of its that outlive it and keep standard error open are not waited for.
    """
    assert process.stderr is not None
    said, end = _Ends(), time.monotonic() + timeout
    fd, life = process.stderr.fileno(), os.pidfd_open(process.pid)
    os.set_blocking(fd, False)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(life, select.POLLIN)
    if asked is not None:
        poll.register(asked, select.POLLIN)
    try:
        while True:
            ready = dict(poll.poll(max(0, end - time.monotonic()) * 1000))
            if fd in ready and not _drain(fd, said):
                poll.unregister(fd)
            if life in ready:
                _drain(fd, said)
                return said.text()
            if asked is not None and asked.fileno() in ready:
                raise Stop
            if time.monotonic() >= end:
                return None
    finally:
        os.close(life)


def _drain(fd: int, said: _Ends) -> bool:
    """Take what is there, once round a full pipe at most; False at its end."""
    try:
        data = os.read(fd, 1 << 20)
    except BlockingIOError:
        return True
    said.add(data)
    return bool(data)


class Ours:
    """Our own verdict: what a reader has to do with the stream."""

    def run(self, given: Input) -> Result:
        try:
            does, why = duty(verified(given))
        except Exception as error:  # that our reader raises anything is what is looked for
            return of_exception(error)
        return Result(does, why)

    def close(self) -> None:
        pass


@lru_cache(maxsize=1)
def verified(given: Input) -> Outcome:
    """What we say of a stream."""
    # Strategies know no other forms and modes than these; verify refuses others.
    return verify(given.data, form=cast(Form, given.form), mode=cast(Mode, given.mode), deep=given.deep)


def guest(given: Input) -> str:
    """What kind of guest the stream says it is of: "pv" or "hvm", or "unknown"."""
    outcome = _judged(given)
    layers = outcome.verifier.layers if outcome is not None else ()
    return next((layer.guest for layer in layers if layer.guest), "unknown")


def clauses(given: Input) -> frozenset[str]:
    """The clauses by which we reject a stream, or else those whose breach we warn of."""
    outcome = _judged(given)
    findings = outcome.findings if outcome is not None else []
    for severity in ("error", "warning"):
        found = frozenset(finding.clause for finding in findings if finding.severity == severity)
        if found:
            return found
    return frozenset()


def _judged(given: Input) -> Outcome | None:
    """What we say of a stream, unless it is one on which our reader fails: that is reported where it is the target."""
    try:
        return verified(given)
    except Exception:
        return None
