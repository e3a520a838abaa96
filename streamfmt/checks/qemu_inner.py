"""A record of QEMU's devices inside another layer's record: judged as the stream it is, by its own checks."""

from __future__ import annotations

from ..reader.events import Layer, Sink
from ..reader.pump import Pump, Window
from ..reader.registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from ..reader.events import Body, Record, Run
    from ..reader.pump import Program
    from .layer import Checks, Context

_LAYER = "qemu"


class _Within:
    """The context of a stream inside a body: it has its own window, and all else of the one around it."""

    def __init__(self, context: Context, window: Window) -> None:
        self._context = context
        self.window = window
        self.stopped: tuple[int, str] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class Inner(Sink):
    """What a stream inside a body comes to: `whole` once it has ended, `cut` is what it breaks off inside of.

    `broken` if nothing after some place could be read.
    """

    def __init__(self, context: Context, layer: Layer, window: Window) -> None:
        within: Any = _Within(context, window)
        self.window = window
        self.whole = self.broken = False
        self.cut = ""
        self._checks: Checks = load(layer.row.checks)(within, layer)

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._checks.header(layer, path, at, raw, broken)

    def record(self, record: Record) -> Program | None:
        return self._checks.record(record)

    def pages(self, run: Run) -> None:
        self._checks.pages(run)

    def oversize(self, record: Record) -> None:
        self.broken = True
        self._checks.oversize(record)

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.broken = True

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self.cut = what

    def ended(self, layer: Layer, at: int) -> None:
        self.whole = True
        self._checks.ended(at)


def judge(checks: Checks, body: Body, head: bytes) -> Generator[int, int, tuple[Inner, int]]:
    """Program that judges the stream that the rest of a body is, after `head`; what it came to, and where it ended."""
    layer = Layer(_LAYER, body.record.layer)
    window = Window()
    window.base = body.at - len(head)
    inner = Inner(checks.context, layer, window)
    pump = Pump(load(layer.row.program)(window, inner, layer, False), window)
    pump.feed(head)
    while raw := (yield from body.piece()):
        pump.feed(raw)
    pump.end()
    return inner, window.position
