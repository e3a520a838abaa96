"""Framing that was lost: what has been found since, in what was no records, is taken back for one finding.

And, wherever a stream breaks off, how much of the guest had come before.
"""

from __future__ import annotations

from .. import tables
from ..reader.damage import resumes, stranger
from ..reader.events import Record, Run
from .messages import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.events import Layer
    from .layer import Context

CLAUSE = "STREAM-FRAMING-LOST"
# What a context counts.
_TOTALS = ("records", "page_entries", "content_pages", "checkpoints")
# How many bytes of what is nothing known are quoted.
_QUOTED = 16
# What a device model adds to the guest's state.
_EMULATED = {"hvm": (("EMULATOR_CONTEXT", "its device model"),), "pv": ()}


class Standing:
    """How a context stands before `doubted`, which may be no record, but come after the record or run `latest`."""

    __slots__ = ("_checks", "_findings", "_seen", "_totals", "before", "doubted", "pages")

    def __init__(self, context: Context, doubted: Record, latest: Record | Run | None) -> None:
        self.doubted = doubted
        self.before: Record | None = latest.record(latest.count - 1) if isinstance(latest, Run) else latest
        if self.before is not None and self.before.layer is not doubted.layer:
            self.before = None
        # Pages that came in it.
        self.pages = latest.pages // latest.count if isinstance(latest, Run) else context.carried(self.before)
        self._findings = context.findings.standing()
        self._checks = context.checks(doubted.layer.judge)
        self._seen = self._checks.seen
        self._totals = {name: getattr(context, name) for name in _TOTALS}

    def restore(self, context: Context) -> None:
        """Let the context stand so again."""
        context.findings.restore(self._findings)
        for name, total in self._totals.items():
            setattr(context, name, total)
        self._checks.seen = self._seen


def judge(context: Context, standing: Standing, sample: bytes) -> None:
    """One finding in the place of all since `standing`: records have ended, and what follows begins with `sample`."""
    standing.restore(context)
    before, layer, at = standing.before, standing.doubted.layer, standing.doubted.offset
    what, text = stranger(sample)
    size = resumes(layer.name, layer.order, sample) if text else 0
    if before is not None and before.length and (text or not what) and not size:
        begin = before.offset
        context.findings.forget(begin)  # what broke rules in it was what had got there
        context.content_pages -= standing.pages
        page = ", as in a page," if standing.pages else ""
        message = (
            f"{before.name} ends at {at} by its length, and no record begins there but{page} "
            f"{what or sample[:_QUOTED].hex(' ')}; bytes were lost or added between {begin} and {at}"
        )
    else:
        begin = at
        rest = f"; at {at + size} records go on, so these {size:,} bytes were added" if size else ""
        message = f"no record begins at {at}, but {what or sample[:_QUOTED].hex(' ')}{rest}"
    safe = progress(context, layer, begin)
    context.stopped = at, "the framing is lost"
    context.complete = False
    context.report(
        CLAUSE,
        before or layer,
        f"{message}. {safe}".rstrip(". "),
        offset=begin,
        expected="a record",
        actual=sample[:_QUOTED].hex(" "),
    )


def progress(context: Context, layer: Layer, at: int, cut: Record | None = None) -> str:
    """How much of the guest has come up to offset `at`, after which no more of `layer` will; empty if that is nothing.

    Pages that are not whole do not count, nor does the record that is `cut`.
    """
    image = next((known for known in reversed(context.layers) if known.row.image and known.guest), None)
    if image is None or image.guest is None:
        return ""
    if context.checkpoints:
        return f"The guest is usable as of checkpoint {context.checkpoints}"
    never = _missing(context, image, context.checks(image).state[image.guest], cut)
    if layer.row.opens and not never:
        never = _missing(context, layer, _EMULATED[image.guest], cut)
    pages = f"{count(context.content_pages, 'page')} of the guest"
    what = f"{' and '.join(never)} never came" if never else "its state came, too"
    return f"Up to {at}, {pages} came whole; {what}"


def _missing(context: Context, layer: Layer, records: tuple[tuple[str, str], ...], cut: Record | None) -> list[str]:
    checks, names = context.checks(layer), tables.RECORDS[layer.name]
    came = {names[code] for code, bit in tables.BITS[layer.name].items() if bit & checks.seen and code in names}
    came.difference_update(checks.partial, [cut.name] if cut is not None and cut.layer is layer else [])
    return [f"{name} ({what})" if name else what for name, what in records if name not in came]
