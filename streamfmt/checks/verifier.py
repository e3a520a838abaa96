"""The verifier: listens to the reader and hands what it hears to the checks of the layer it is about."""

from __future__ import annotations

from .. import tables
from ..reader.events import Layer, Record, Run, Sink
from .layer import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..reader.identify import Identity
    from ..reader.pump import Program
    from .repeats import Mark


# Of a stream that may be for anybody.
NO_TARGETS: dict[str, Any] = {}


class Verifier(Context, Sink):
    """A sink that judges.  Feed it through a Reader; then `findings`, `stopped` and the counts say what came out."""

    # Whether memory that no other rule depends on is out of the question: it was judged, or will be, by another.
    trusting = False

    def __init__(
        self,
        mode: str = "auto",
        deep: bool = False,
        severity: Mapping[str, str] = tables.SEVERITY,
        targets: Mapping[str, Any] = NO_TARGETS,
    ) -> None:
        super().__init__(mode, deep, severity, targets)
        self.every_page = deep
        self._mark: Mark | None = None

    def forget(self) -> None:
        """Let go of what only judging needs.  What came out stays, is small, and can be handed to other processes."""
        self._mark = self.standing = self.latest = self.before = None
        self._checks.clear()
        vars(self).pop("window", None)

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self.checks(layer.judge).header(layer, path, at, raw, broken)
        if broken:
            self.before = at + len(raw.rstrip(b"\0")), path.partition(".")[2].replace("_", " ")

    def record(self, record: Record) -> Program | None:
        program = self.checks(record.layer.judge).record(record)
        self.records += not record.begun
        self.latest = record
        if record.type or record.length:  # not zeros
            self.before = record.offset + 1, record.name
        return program

    def pages(self, run: Run) -> None:
        self.records += run.count
        self.page_entries += run.entries
        self.latest, self.before = run, None
        self.carries(run.pages, run.end)
        self.checks(run.layer).pages(run)

    def unread(self, layer: Layer) -> bool:
        # Of a PV guest's frames other records speak.
        return self.trusting and layer.guest == "hvm"

    def passed(self, last: Record, at: int, count: int) -> None:
        self.records += count
        self.latest = last
        self.checks(last.layer).passed(last, at)

    def steady(self, record: Record) -> bool:
        from . import repeats  # few streams break a rule often

        before, self._mark = self._mark, repeats.mark(self, record)
        return self._mark is not None and self._mark.follows(before, self, record)

    def repeated(self, record: Record, run: Run) -> int:
        from . import repeats

        assert self._mark is not None, "repeated records come once the last was steady"
        return repeats.count(self, self._mark, record, run)

    def padding(self, record: Record, at: int, raw: bytes) -> None:
        self.checks(record.layer.judge).padding(record, at, raw)

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        self.checks(record.layer.judge).misplaced(record, at, raw)

    def checkpoint(self, layer: Layer, at: int) -> None:
        self.checks(layer).checkpoint(at)

    def ended(self, layer: Layer, at: int) -> None:
        self.checks(layer).ended(at)
        self.complete = True

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self.ends(at)
        if self.lost:
            return
        what = self.checks(layer.judge).inside(what, at)
        if self.complete and self.checks(layer.judge).unfinished(at):
            return
        self.stopped = at, f"the input ends inside {what}"
        self.complete = False
        if self.checkpoints and self.mode != "plain":
            # A checkpointed stream may simply stop; only between two checkpoints is nothing lost.
            self.complete = True
            if layer.between_checkpoints(at):
                self.stopped = None
                return
            done = self.checkpoints
            message = (
                f"the input ends at {at}, inside checkpoint {done + 1}; the guest is usable as of checkpoint {done}"
            )
            self.report("CKPT-CUT", record or layer, message, offset=at, actual="end of input")
            return
        from .loss import progress
        from .messages import count

        more = count(missing, "more byte")
        message = f"the input ends at {at}, inside {what}; at least {more} belong{'s' * (missing == 1)} there"
        self.report(
            layer.row.truncated,
            record or layer,
            f"{message}. {progress(self, layer, at, record)}".rstrip(". "),
            offset=at,
            length=missing,
            expected=more,
            actual="end of input",
        )

    def oversize(self, record: Record) -> None:
        self.records += 1
        if not self.lost:
            self.checks(record.layer.judge).oversize(record)

    def doubted(self, record: Record) -> None:
        from .loss import Standing  # few streams are doubted

        self.standing = Standing(self, record, self.latest)

    def framing_lost(self, record: Record, sample: bytes) -> None:
        from . import loss

        assert self.standing is not None, "what is lost has been doubted"
        if not self.lost:  # once is enough
            loss.judge(self, self.standing, sample)

    def unsound(self, layer: Layer, at: int, what: str = "header") -> None:
        self.checks(layer)
        if not self.lost:
            self.stopped = at, f"not a valid {layer.name} {what}, cannot continue"

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        if not read:
            self.unjudged = at, identity
        self.checks(layer).inner(at, identity)

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        self.checks(layer).trailing(at, count, head, zero)
