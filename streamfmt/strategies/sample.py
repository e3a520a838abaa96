"""What strategies give: a stream, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..api import Form, Mode, judging
from ..checks.outcome import Outcome
from ..codec.content import Numbers
from ..errors import DamagedError
from ..recipes import load as recipes
from ..recipes.from_stream import from_bytes
from ..writer import Draft, Part, page_entries, raw
from ..writer.entries import SHAPES

# Longer values, bodies and lists are shown by their length.
_SHOWN, _BODY, _ITEMS = 12, 40, 8


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """A stream and how to read it: `form`, `mode` and `deep` are arguments of :func:`streamfmt.verify`.

    >>> from hypothesis import find
    >>> from streamfmt.strategies import streams
    >>> sample = find(streams("libxc", guest="hvm"), lambda _: True)
    >>> sample.form, sample.mode, len(sample.data)
    ('libxc', 'plain', 4344)
    """

    stream: Draft
    form: Form
    mode: Mode = "auto"
    deep: bool = False

    def __repr__(self) -> str:
        parts, cut = self.stream.parts, self.stream.cut
        if cut is not None:
            parts = tuple(part for part, at in zip(parts, self.stream.offsets(), strict=False) if at < cut)
        lines = "".join(f"\n  {line}" for line in map(_line, parts))
        big = f", big-endian in {', '.join(sorted(self.stream.big))}" if self.stream.big else ""
        short = "" if cut is None else f", cut at {cut}"
        return f"<Sample {self.form}, {self.mode}{', deep' if self.deep else ''}{big}{short}:{lines}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis shows examples; left alone it would print every byte."""
        printer.text(repr(self))

    @property
    def data(self) -> bytes:
        """The stream's bytes in one piece."""
        return self.stream.render()

    @property
    def guest(self) -> str | None:
        """The guest to declare: that of a legacy stream, which does not say it; None of other streams."""
        return self.stream.guest

    def verify(self) -> Outcome:
        """Verify the stream with these arguments; returns the outcome."""
        reader, verifier = judging(
            self.form, self.mode, self.deep, exact=False, guest=self.guest, target=(), channels=()
        )
        for piece in self.stream.pieces():
            reader.pump.feed(piece)
        reader.pump.end()
        return Outcome(reader, verifier)

    @property
    def clauses(self) -> frozenset[str]:
        """The clauses that the stream breaks."""
        return frozenset(finding.clause for finding in self.verify().findings)


def apart(data: bytes) -> Sample:
    """The bytes in parts, if they are a stream that a recipe can describe in full, else in one."""
    try:
        stream = recipes.load(from_bytes(data)[0]).stream
        if stream.render() == data:
            return Sample(stream, "auto")
    except DamagedError:
        pass  # compressed bytes are taken as they are, in whatever state
    return Sample(Draft((raw(data),) if data else ()), "auto")


def _line(part: Part) -> str:
    """A part in one line: pages and other bulk are shown by their number of bytes."""
    values = [f"{name}={_value(value)}" for name, value in part.values.items()]
    if part.path in SHAPES and isinstance(part.values.get("entries"), (list, Numbers)):
        values = _some([f"{pfn} {kind}" for pfn, kind in page_entries(part)])
    if part.data is not None:
        values = [_value(part.data, _BODY)]
    values += [f"{place}:={_value(value)}" for place, value in part.patches]
    values += [f"type={part.code:#x}"] if part.code is not None else []
    values += [f"length={part.declared_length}"] if part.declared_length is not None else []
    if part.padding is not None:
        values.append(f"padding={part.padding!r}")
    if part.fill:
        values.append(f"and {part.fill} zeros")
    return f"{part.path or 'data'}({', '.join(values)})"


def _some(items: list[str]) -> list[str]:
    return items if len(items) <= _ITEMS else [*items[:_ITEMS], f"and {len(items) - _ITEMS} more"]


def _value(value: object, most: int = _SHOWN) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        if len(value) > 8 and not any(value):
            return f"<{len(value)} zeros>"
        return repr(bytes(value)) if len(value) <= most else f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_some(list(map(_value, value)))) + "]"
    return repr(value)
