"""Numbers about a stream, and its pictures, for a terminal of 80 columns."""

from __future__ import annotations

from textwrap import fill

from ..memory.frames import PAGE
from ..memory.map import CELLS, Map
from ..memory.picture import WIDTH
from ..memory.statistics import summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..memory.map import Cell
    from ..memory.passes import Pass
    from ..memory.statistics import Statistics

# Rows of a table that are shown, and characters of the picture.
_ROWS, _ACROSS, _UP = 12, 64, 16
_KINDS_SHOWN = 16
# What stands for a cell of the picture: nothing, pages that came for the first time, again, both.
_MARKS = ".#o*"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def text(statistics: Statistics) -> Iterator[str]:
    """All that there is to say, line by line."""
    facts = summary(statistics)
    yield from _records(statistics)
    if statistics.layer is None:
        return
    yield from _pages(statistics, facts)
    yield from _passes(statistics)
    yield from _memory(statistics, facts)
    yield from _picture(statistics)


def size(count: int) -> str:
    """So many bytes, in the largest unit that leaves a whole part."""
    unit = 0
    value = float(count)
    while value >= 1024 and unit + 1 < len(_UNITS):
        value /= 1024
        unit += 1
    return f"{count:,} bytes" if not unit else f"{value:.4g} {_UNITS[unit]}"


def share(part: float, whole: float) -> str:
    """A share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _records(statistics: Statistics) -> Iterator[str]:
    yield f"  {'records and headers':<40} {'count':>10} {'bytes':>15} {'share':>8}"
    rows = sorted(statistics.kinds.items(), key=lambda row: -row[1].bytes)
    for path, kind in rows[:_KINDS_SHOWN]:
        yield f"    {path:<38} {kind.count:>10,} {kind.bytes:>15,} {share(kind.bytes, statistics.size):>8}"
    if len(rows) > _KINDS_SHOWN:
        rest = sum(kind.bytes for _, kind in rows[_KINDS_SHOWN:])
        yield f"    {f'{len(rows) - _KINDS_SHOWN} more':<49} {rest:>15,} {share(rest, statistics.size):>8}"


def _pages(statistics: Statistics, facts: dict[str, Any]) -> Iterator[str]:
    passes, looks = statistics.passes, statistics.looks
    yield ""
    yield "  pages"
    again = f"; {passes.again:,} ({share(passes.again, passes.pages)}) had come before" if passes.again else ""
    yield f"    sent         {passes.pages:,}, {size(passes.pages * PAGE)}{again}"
    if statistics.looking and looks.compressed is not None:
        about = "" if looks.exact else "about "
        yield f"    zero         {looks.zero:,} ({share(looks.zero, looks.pages)})"
        yield f"    duplicates   {about}{looks.duplicates:,} ({share(looks.duplicates, looks.pages)})"
        left = f"{100 * looks.compressed:.0f} %"
        yield f"    compressed   to about {left} of their size (zlib's fastest; {looks.sampled:,} samples)"
    large = facts["large"]
    yield f"    large pages  {large['whole']:,} of {large['begun']:,} areas of 2 MiB are whole"


def _passes(statistics: Statistics) -> Iterator[str]:
    passes = statistics.passes
    yield ""
    yield f"  {'pass':<22} {'offset':>14} {'entries':>11} {'pages':>11} {'again':>11}"
    for number, row in enumerate(passes.rows[:_ROWS], 1):
        of = _of(row)
        words = f"{number}{of}"
        yield f"    {words:<20} {row.offset:>14} {row.entries:>11,} {row.pages:>11,} {row.again:>11,}"
    if passes.count > _ROWS:
        rest = passes.rows[_ROWS:]
        sums = [sum(getattr(row, name) for row in rest) for name in ("entries", "pages", "again")]
        yield f"    {f'{passes.count - _ROWS:,} more':<35} " + " ".join(f"{one:>11,}" for one in sums)


def _of(row: Pass) -> str:
    if row.verify:
        return ", to be compared"
    return f", checkpoint {row.checkpoint + 1:,}" if row.checkpoint else ""


def _memory(statistics: Statistics, facts: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"  memory: {facts['frames']:,} frames, {size(facts['frames'] * PAGE)}"
    if types := ", ".join(f"{count:,} {name}" for name, count in facts["types"].items()):
        yield fill(types, 78, initial_indent="    ", subsequent_indent="    ")
    at = 0
    for number, (first, count) in enumerate(statistics.frames.ranges()):
        if number == _ROWS:
            yield f"    {facts['ranges'] - _ROWS:,} more ranges"
            break
        hole = f"hole of {size((first - at) * PAGE)} before" if first > at else ""
        at = first + count
        words = f"{first * PAGE:#014x} to {at * PAGE - 1:#014x}"
        yield f"    {words}  {size(count * PAGE):>11}  {hole}".rstrip()
    drawn = Map(statistics.frames, statistics.flags())
    if drawn.rows:
        yield ""
        yield f"  map: # there  + in part  T page tables  X broken  . hole; {size(drawn.frames * PAGE)} each"
        yield from _rows(drawn)


def _rows(drawn: Map) -> Iterator[str]:
    before = -1
    for number, row in sorted(drawn.rows.items()):
        if number > before + 1:
            yield f"    {'':>12} ({size((number - before - 1) * CELLS * drawn.frames * PAGE)} of hole)"
        before = number
        cells = "".join(_character(cell, drawn.frames) for cell in row)
        yield f"  {_address(number * CELLS * drawn.frames * PAGE):>12} {cells}"


def _address(at: int) -> str:
    """An address, or how far it is from the beginning if that has too many digits."""
    return f"{at:x}" if at < 1 << 48 else size(at)


def _character(cell: Cell | None, frames: int) -> str:
    if cell is None:
        return "."
    if cell.broken:
        return "X"
    if 2 * cell.tables > cell.here:
        return "T"
    return "#" if cell.here == frames else "+"


def _picture(statistics: Statistics) -> Iterator[str]:
    picture = statistics.picture
    cells = picture.cells()
    if not cells:
        return
    wide = max(picture.size >> picture.across, *(cell[0] for cell in cells)) + 1
    high = max(cell[1] for cell in cells) + 1
    grid = [["."] * _ACROSS for _ in range(_UP)]
    for across, up, first, again in cells:
        row, column = grid[_UP - 1 - up * _UP // max(high, _UP)], across * _ACROSS // max(wide, _ACROSS)
        row[column] = _MARKS[(first > 0 or row[column] in "#*") + 2 * (again > 0 or row[column] in "o*")]
    yield ""
    yield "  frames (up) by offset in the stream (across): # first  o again  * both"
    top = max(high, _UP) << picture.up
    for number, row in enumerate(grid):
        label = _address((top * (_UP - number) // _UP - 1) * PAGE) if number % 4 == 0 else ""
        yield f"  {label:>12} {''.join(row)}"
    last = max(wide, _ACROSS) << picture.across
    yield f"  {'':>12} 0{f'{min(last, WIDTH << picture.across):,} bytes':>{_ACROSS - 1}}"
