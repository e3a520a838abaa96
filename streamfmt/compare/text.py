"""A comparison as lines for people, in 80 columns: a summary, then details, the first of each kind."""

from __future__ import annotations

from itertools import islice
from textwrap import wrap

from ..render.pages import number
from .memories import ADDED, CHANGED, GONE, RETYPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .comparison import Comparison
    from .found import Difference, Plain, Section
    from .memories import Ranges

# Differences of a section, and ranges of frames of a kind, that are shown unless all are.
LINES, RANGES = 20, 48
_WIDTH = 80
# Where values begin, and what is shown of one that does not fit.
_VALUES = 36
_TEXT_MAX = 2048
_WORDS = {CHANGED: "changed", ADDED: "only in B", GONE: "only in A", RETYPED: "of another type"}


def lines(found: Comparison, names: Mapping[str, str], every: bool) -> Iterator[str]:
    """All of a comparison.

    :param names: of the two, by side.
    :param every: leave nothing out.
    """
    for side, name in names.items():
        yield from _hung(f"{side.upper()}  ", f"{name}: {found.descriptions[side]}")
    yield from _hung("", summary(found))
    yield from _beside(found)
    for note in found.notes:
        yield from _hung("", note if note.isprintable() else ascii(note)[1:-1])
    for section in found.sections.values():
        if section.count:
            yield ""
            yield from _section(section, every)
    if found.memory is not None and not found.memory.alike:
        yield ""
        yield f"memory: {number(found.memory.both, 'frame', 'frames')} in both"
        for kind, ranges in found.memory.kinds.items():
            yield from _ranges(_WORDS[kind], ranges, every)


def summary(found: Comparison) -> str:
    """Whether they are alike, and if not, in what, in a line."""
    words = [f"{section.name} ({section.count:,})" for section in found.sections.values() if section.count]
    memory = found.memory
    if memory is not None and not memory.alike:
        parts = [f"{ranges.count:,} {_WORDS[kind]}" for kind, ranges in memory.kinds.items() if ranges.count]
        words.append(f"frames of memory ({', '.join(parts)})")
    if words:
        return f"they differ: {', '.join(words)}"
    if found.troubles:
        return "no difference as far as they go"
    if memory is None:
        return "alike"
    looked = "" if memory.looked else ", whose contents were not looked at"
    return f"alike; memory too, {number(memory.both, 'frame', 'frames')}{looked}"


def _beside(found: Comparison) -> Iterator[str]:
    """What was not compared since only one of them can have it."""
    for side, other in (("a", "b"), ("b", "a")):
        names = [name for name, has in found.beside if has == side]
        if names:
            yield from _hung("", f"not compared, as {other.upper()} has no place for it: {', '.join(names)}")


def _section(section: Section, every: bool) -> Iterator[str]:
    yield section.name
    shown = section.kept if every else section.kept[:LINES]
    for row in shown:
        yield from _difference(row)
    yield from _more(section.count - len(shown), every)


def _more(left: int, every: bool) -> Iterator[str]:
    if left:
        yield f"  and {left:,} more" + ("" if every else "; --all shows them")


def _difference(row: Difference) -> Iterator[str]:
    """One difference in a line, or in as many as its values take."""
    name = " ".join(filter(None, (row.item, row.field)))
    said = _said(row)
    head = f"  {name:<{_VALUES - 4}}  " if name else "  "
    if len(head) + len(said) <= _WIDTH:
        yield (head + said).rstrip()
        return
    if len(name) <= _WIDTH - 2:
        yield f"  {name}"
    else:
        yield from (f"  {line}" for line in wrap(name, _WIDTH - 2))
    if row.only_a or row.only_b or row.numbers or row.a is None or row.b is None:
        yield from _hung("    ", said)
        return
    for side, value in (("A", row.a), ("B", row.b)):
        yield from _hung(f"    {side} ", shown(value))


def _said(row: Difference) -> str:
    if row.a is None or row.b is None:
        side, value = ("B", row.b) if row.a is None else ("A", row.a)
        words = [f"only in {side}"]
        if row.only_a or row.only_b:
            return f"{words[0]}: {', '.join(row.only_a or row.only_b)}"
        return words[0] if not row.field else f"{words[0]}: {shown(value)}"
    words = [f"only in A: {', '.join(row.only_a)}"] if row.only_a else []
    words += [f"only in B: {', '.join(row.only_b)}"] if row.only_b else []
    words += [f"{name} {_integer(a)} | {_integer(b)}" for name, a, b in row.numbers]
    return "; ".join(words) or f"{shown(row.a)} | {shown(row.b)}"


def shown(value: Plain) -> str:
    """A value for a person."""
    if isinstance(value, dict):
        ellipsis = "..." if int(value["at"]) + len(str(value["hex"])) // 2 < int(value["bytes"]) else ""
        text = f"{value['hex']}{ellipsis}" if value["hex"] else "nothing more"
        return f"{number(int(value['bytes']), 'byte', 'bytes')}, at {int(value['at']):#x}: {text}"
    if isinstance(value, str):
        printable = value if value.isprintable() else ascii(value)[1:-1]
        return printable if len(printable) <= _TEXT_MAX else f"{printable[:_TEXT_MAX]}..."
    return _integer(value) if value is not None else "none"


def _integer(value: int) -> str:
    """Small numbers in decimal, large ones in hexadecimal."""
    return str(value) if value < 0x10000 else hex(value)


def _ranges(words: str, ranges: Ranges, every: bool) -> Iterator[str]:
    if not ranges.count:
        return
    rows = list(islice(ranges, None if every else RANGES))
    several = f", in {number(ranges.ranges, 'range', 'ranges')}" if ranges.ranges > 1 else ""
    yield f"  {words}: {number(ranges.count, 'frame', 'frames')}{several}"
    text = ", ".join(f"{first:#x}-{first + count - 1:#x}" if count > 1 else f"{first:#x}" for first, count in rows)
    yield from wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    yield from (f"  {line}" for line in _more(ranges.ranges - len(rows), every))


def _hung(head: str, text: str) -> Iterator[str]:
    """Text in lines that do not tear words which fit into one."""
    rest = " " * max(len(head), 2)
    yield from wrap(head + text, _WIDTH, subsequent_indent=rest, break_on_hyphens=False, drop_whitespace=True) or [head]
