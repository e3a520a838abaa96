"""What converts a layer: hears of its headers and records, and plans what becomes of their bytes.

Each layer's row names the class that converts it, if there is anything to convert or mend; all else is copied.
"""

from __future__ import annotations

from .. import tables
from ..errors import UnfitError
from ..reader.events import Sink
from ..reader.identify import following
from ..reader.registry import load
from .report import Report
from .rules import MENDED_ANYWAY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from ..io.copying import Plan
    from ..reader.events import Layer, Record, Run
    from ..reader.identify import Identity
    from ..reader.pump import Program
    from .wrappers import Wrapper


class Part:
    """Converts one layer; as it stands, copies it."""

    def __init__(self, conversion: Conversion, layer: Layer) -> None:
        self.conversion = conversion
        self.layer = layer

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        """A header of the layer."""

    def record(self, record: Record) -> Program | None:
        """A record; a program that reads its body, if that matters."""
        return None

    def pages(self, run: Run) -> None:
        """Clean page batches."""

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        """Bytes of a body that come after it."""

    def checkpoint(self, at: int) -> None:
        """The record that closes a checkpoint has come."""

    def ended(self, at: int) -> None:
        """The layer has ended."""

    def truncated(self, at: int) -> None:
        """The input ends inside the layer."""

    def trailing(self, at: int, what: str) -> None:
        """Bytes follow the layer, which is the outermost that has an end: how many, and what they are, in words."""

    def inner(self, at: int, identity: Identity) -> None:
        """What is inside begins at `at` and is `identity`."""


class Options:
    """What a conversion is to do.

    `form` and `guest` say how to read the input, `severity` what breaches weigh.  `repair` if breaches are to be mended
    that released writers are known for, `allow_loss` if things may be lost, or the rules by which some may.  `wrapped`
    says whether images of legacy streams come in libxl streams, None if that goes by what is around them; `keeping` if
    their checkpoints are kept; `width` is that of the toolstack that saved them, if nothing else will do.  With `exact`
    no byte is read after the stream.  With a `wrapper` the stream is put into that, and its contents stay.
    """

    def __init__(
        self,
        form: str = "auto",
        repair: bool = False,
        severity: Mapping[str, str] = tables.SEVERITY,
        *,
        guest: str | None = None,
        allow_loss: bool | Collection[str] = False,
        wrapped: bool | None = None,
        keeping: bool = False,
        device_model: bool = True,
        wrapper: Wrapper | None = None,
        width: int | None = None,
        exact: bool = False,
    ) -> None:
        self.form = form
        self.guest = guest
        self.repair = repair
        self.severity = severity
        self.allow_loss = allow_loss
        self.wrapped = wrapped
        self.keeping = keeping
        self.device_model = device_model
        self.wrapper = wrapper
        self.width = width
        self.exact = exact


class Conversion(Sink):
    """A conversion on its way.  `plan` says what becomes of the bytes, `report` what was done.

    With `surveying` nothing is made: `facts` are what such a pass finds out, under keys of the parts' own, for one
    that is given them.  `mended` counts by clause the breaches that it has found and that the other mends.
    """

    def __init__(
        self, options: Options, plan: Plan, facts: dict[Any, Any] | None = None, surveying: bool = False
    ) -> None:
        self.plan = plan
        self.options = options
        self.device_model = options.device_model
        self.surveying = surveying
        self.facts = {} if facts is None else facts
        self.report = Report()
        self.mended: dict[str, int] = {}
        self._parts: dict[str, Part] = {}

    def unfit(self, rule: str, at: int, detail: str = "", count: int = 1) -> None:
        """Something at `at` cannot be said in the output.  Raises UnfitError, unless that may be or shows first."""
        self.report.add(rule, at, detail, count)
        if not self.surveying and self.report.unfit(self.options.allow_loss):
            raise UnfitError(rule, at)

    def part(self, layer: Layer) -> Part:
        """What converts `layer`."""
        found = self._parts.get(layer.path)
        if found is None or found.layer is not layer:
            found = self._parts[layer.path] = load(layer.row.converts or "convert.part:Part")(self, layer)
        return found

    def mends(self, clause: str) -> None:
        """A breach has been found that is mended."""
        if self.options.repair or clause in MENDED_ANYWAY:
            self.mended[clause] = self.mended.get(clause, 0) + 1

    def header(self, layer: Layer, path: str, at: int, raw: bytes, broken: Sequence[Any]) -> None:
        self.part(layer.judge).header(layer, path, at, raw, broken)

    def record(self, record: Record) -> Program | None:
        return self.part(record.layer.judge).record(record)

    def pages(self, run: Run) -> None:
        self.part(run.layer).pages(run)

    def misplaced(self, record: Record, at: int, raw: bytes) -> None:
        self.part(record.layer.judge).misplaced(record, at, raw)

    def checkpoint(self, layer: Layer, at: int) -> None:
        self.part(layer).checkpoint(at)

    def ended(self, layer: Layer, at: int) -> None:
        self.part(layer).ended(at)

    def truncated(self, layer: Layer, record: Record | None, at: int, missing: int, what: str) -> None:
        self.part(layer.judge).truncated(at)

    def trailing(self, layer: Layer, at: int, count: int, head: bytes, zero: bool) -> None:
        self.part(layer).trailing(at, f"{count:,} bytes, {following(head, count, zero)[1]}")

    def inner(self, layer: Layer, at: int, identity: Identity, read: bool) -> None:
        if self.options.width and identity.key and not identity.width:
            self.unfit("REFUSE-NEW", at, identity.name)
        self.part(layer).inner(at, identity)
