"""What a conversion did, rule by rule."""

from __future__ import annotations

from .rules import KINDS, LOST, REFUSED, RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any


class Line:
    """How often a rule was followed, and where first, in the input: `detail` says more of that, if there is more."""

    __slots__ = ("count", "detail", "offset", "rule")

    def __init__(self, rule: str, offset: int, detail: str) -> None:
        self.rule = rule
        self.offset = offset
        self.detail = detail
        self.count = 0

    @property
    def kind(self) -> str:
        """What was done: one of :data:`rules.KINDS`."""
        return RULES[self.rule].kind

    @property
    def text(self) -> str:
        """What it was done to."""
        return RULES[self.rule].what + (f": {self.detail}" if self.detail else "")

    def as_dict(self) -> dict[str, Any]:
        """The line as plain values."""
        return {
            "rule": self.rule,
            "kind": self.kind,
            "what": self.text,
            "why": RULES[self.rule].why,
            "count": self.count,
            "offset": self.offset,
        }


class Report:
    """Lines of what was done, in order; things that a rule treats alike are one line."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}

    def add(self, rule: str, offset: int, detail: str = "", count: int = 1) -> None:
        """A rule was followed, at `offset` of the input."""
        line = self._lines.get((rule, detail))
        if line is None:
            line = self._lines[rule, detail] = Line(rule, offset, detail)
        line.count += count

    def __iter__(self) -> Iterator[Line]:
        return iter(sorted(self._lines.values(), key=lambda line: KINDS.index(line.kind)))

    def unfit(self, allow_loss: bool | Collection[str] = False) -> list[Line]:
        """What is in the way of any output: what is refused, and what would be lost unless that may be.

        That may be if `allow_loss`, or for the rules that it names.
        """
        allowed = RULES if allow_loss is True else allow_loss or ()
        return [line for line in self if line.kind == REFUSED or (line.kind == LOST and line.rule not in allowed)]

    @property
    def lost(self) -> list[Line]:
        """What the output cannot say."""
        return [line for line in self if line.kind == LOST]
