"""Two consumers of one stream's events, each of which reads bodies as if it were alone."""

from __future__ import annotations

from .events import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from .events import Layer, Record, Run
    from .identify import Identity
    from .pump import Program, Window


class Both(Sink):
    """Has `first` and then `second` hear of each event.  Records that are alike come one by one."""

    def __init__(self, first: Sink, second: Sink) -> None:
        self._sinks = (first, second)
        self.every_page = first.every_page or second.every_page
        self.device_model = first.device_model
        self.answering = first.answering or second.answering

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name in {"window", "exact", "guest"}:  # the reader sets them
            for sink in self._sinks:
                setattr(sink, name, value)

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        for sink in self._sinks:
            sink.header(layer, path, at, raw, broken)

    def record(self, record: Record) -> Program | None:
        one, other = (sink.record(record) for sink in self._sinks)
        if one is None or other is None:
            return one or other
        return together(self.window, one, other)

    def pages(self, run: Run) -> None:
        for sink in self._sinks:
            sink.pages(run)

    def unread(self, layer: Layer) -> bool:
        return all(sink.unread(layer) for sink in self._sinks)

    def passed(self, last: Record, at: int, count: int) -> None:
        for sink in self._sinks:
            sink.passed(last, at, count)

    def padding(self, record: Record, at: int, raw: bytes) -> None:
        for sink in self._sinks:
            sink.padding(record, at, raw)

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        for sink in self._sinks:
            sink.misplaced(record, at, raw)

    def ended(self, layer: Layer, at: int) -> None:
        for sink in self._sinks:
            sink.ended(layer, at)

    def checkpoint(self, layer: Layer, at: int) -> None:
        for sink in self._sinks:
            sink.checkpoint(layer, at)

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        for sink in self._sinks:
            sink.truncated(layer, record, at, missing, what)

    def oversize(self, record: Record) -> None:
        for sink in self._sinks:
            sink.oversize(record)

    def doubted(self, record: Record) -> None:
        for sink in self._sinks:
            sink.doubted(record)

    def framing_lost(self, record: Record, sample: bytes) -> None:
        for sink in self._sinks:
            sink.framing_lost(record, sample)

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        for sink in self._sinks:
            sink.unsound(layer, at, what)

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        for sink in self._sinks:
            sink.inner(layer, at, identity, read)

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        for sink in self._sinks:
            sink.trailing(layer, at, count, head, zero)


class _Part:
    """A program on its way: it has come to stream offset `at`, and asks for what `want` says, as programs do."""

    __slots__ = ("at", "program", "want")

    def __init__(self, program: Program, want: int, at: int) -> None:
        self.program = program
        self.want = want
        self.at = at

    @property
    def goal(self) -> int:
        """As far as where it needs no byte of its own accord."""
        return self.at - min(self.want, 0)


def together(window: Window, *programs: Program) -> Generator[int, int, None]:
    """Program that runs others over the same bytes, none of which sees that another reads them.

    It ends where the one has come to that has come farthest.
    """
    start = far = window.position
    parts = []
    for program in programs:
        window.lo = start - window.base
        part = _Part(program, next(program, 0), window.position)
        far = max(far, part.at)
        if part.want:
            parts.append(part)
    while parts:
        part = min(parts, key=lambda one: (one.goal, one.want > 0))
        answer = yield from _gone(window, part.goal) if part.want < 0 else _there(window, part.at, part.want)
        if part.want < 0:
            answer = min(answer, part.goal) - part.at
        try:
            part.want = part.program.send(answer)
        except StopIteration:
            parts.remove(part)
        part.at = window.position
        far = max(far, part.at)
    window.lo = far - window.base


def _gone(window: Window, upto: int) -> Generator[int, int, int]:
    """Program that lets all go by as far as stream offset `upto`; where it comes to."""
    window.lo = min(upto - window.base, window.hi)
    left = upto - window.position
    if left > 0:
        yield -left
    return window.position


def _there(window: Window, at: int, want: int) -> Generator[int, int, bool]:
    """Program that makes `want` bytes be in the window from stream offset `at` on; whether they are."""
    window.lo = at - window.base
    return window.hi - window.lo >= want or bool((yield want))
