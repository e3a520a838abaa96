"""A record of QEMU's devices inside another layer's records: judged as the stream it is, by its own checks."""

from __future__ import annotations

from .. import tables
from ..reader.events import Sink
from ..reader.qemu_inside import reading, within
from ..reader.registry import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from ..reader.events import Body, Layer, Record, Run
    from ..reader.pump import Program, Window
    from .layer import Checks, Context

# What a record of devices consists of, with or without footers.
_PLAIN = (tables.QEMU_SECTION_FULL, tables.QEMU_SECTION_DATA, tables.QEMU_EOF)
_ONLY, _FOOTERS = "QEMU-XDM-ONLYFULL", "QEMU-XDM-NOFOOTER"


class _Within:
    """The context of a stream inside a body: it has its own window, and all else of the one around it."""

    def __init__(self, context: Context, window: Window) -> None:
        self._context = context
        self.window = window
        self.stopped: tuple[int, str] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class Inner(Sink):
    """A record of devices that begins at stream offset `at`, inside what `parent` is about.

    Its bytes come by :meth:`feed`.  `whole` once it has ended, `cut` is what it breaks off inside of; `broken` if
    nothing after some place could be read.
    """

    def __init__(self, context: Context, parent: Layer, at: int) -> None:
        layer = within(parent)
        self.whole = self.broken = False
        self.cut = ""
        self._fired: set[str] = set()
        self._pump = reading(self, layer, at)
        self._within: Any = _Within(context, self.window)
        self._checks: Checks = load(layer.row.checks)(self._within, layer)

    def feed(self, raw: bytes) -> bool:
        """Go on with more of it.  Returns whether more can be used."""
        return self._pump.feed(raw)

    def end(self) -> int:
        """There is no more of it.  Returns where reading stopped, as an offset of the stream."""
        self._pump.end()
        return self.window.position

    # -- events -----------------------------------------------------------------------------------------------

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self._checks.header(layer, path, at, raw, broken)

    def record(self, record: Record) -> Program | None:
        self._fits(record)
        return self._checks.record(record)

    def _fits(self, record: Record) -> None:
        """Judge that it is a frame of a record of devices, as Xen's QEMU writes and takes them."""
        if record.type in _PLAIN or record.type not in tables.RECORDS[record.layer.name] or record.layer.facts.stray:
            return
        footer = record.type == tables.QEMU_SECTION_FOOTER
        clause = _FOOTERS if footer else _ONLY
        if clause in self._fired:
            return
        self._fired.add(clause)
        message = f"a {record.name} in a device model's state, where QEMU under Xen knows none"
        expected = "no footer" if footer else "SECTION_FULL or EOF"
        self._within.report(clause, record, message, length=1, expected=expected, actual=record.name)

    def pages(self, run: Run) -> None:
        self._checks.pages(run)

    def oversize(self, record: Record) -> None:
        self.broken = True
        self._checks.oversize(record)

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.broken = True

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        if not (self.whole and self._checks.unfinished(at)):
            self.cut = what

    def ended(self, layer: Layer, at: int) -> None:
        self.whole = True
        self._checks.ended(at)


def judge(checks: Checks, body: Body, head: bytes) -> Generator[int, int, tuple[Inner, int, bool] | None]:
    """Program that judges the record that `head` and the rest of a body are.

    Gives what it came to, where it ended, and whether anything but zeros follows there.  None if the stream ends
    first: then the length may be what is wrong, and nothing is known of the end.
    """
    inner = Inner(checks.context, body.record.layer, body.at - len(head))
    more, rest, raw = inner.feed(head), False, head
    while raw and (raw := (yield from body.piece())):
        if more:
            more = inner.feed(raw)
        if not more:
            rest = rest or any(raw[max(inner.window.position - (body.at - len(raw)), 0) :])
    return None if body.left else (inner, inner.end(), rest)
