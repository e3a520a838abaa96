"""Pictures of a stream and of the memory in it, as an SVG file that needs nothing else."""

from __future__ import annotations

from html import escape

from ..memory.frames import PAGE
from ..memory.map import CELLS, Map
from .stats import share, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..memory.map import Cell
    from ..memory.statistics import Statistics

_WIDTH, _LEFT, _RIGHT = 960, 110, 30
_INNER = _WIDTH - _LEFT - _RIGHT
_PICTURE, _ROW, _BAR = 320, 16, 20
# Colours that differ in lightness too, for eyes that do not tell all apart.
_FIRST, _AGAIN, _TABLES, _BROKEN, _EMPTY, _FAINT = (
    "#2166ac", "#e08214", "#7b3294", "#b2182b", "#eeeeee", "#767676",
)  # fmt: skip
_BARS = 10
# Passes whose beginnings are marked.
_MARKED = 40
_STYLE = "text{font:13px sans-serif;fill:#222}.t{font-weight:bold;font-size:15px}.s{fill:#595959;font-size:12px}"


def drawing(name: str, statistics: Statistics) -> str:
    """The file: the stream, the memory, and what the bytes are."""
    parts: list[str] = []
    at = _title(parts, name, statistics)
    for panel in (_stream, _memory, _bytes):
        at = panel(parts, statistics, at)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{at}" viewBox="0 0 {_WIDTH} {at}">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="{_WIDTH}" height="{at}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _title(parts: list[str], name: str, statistics: Statistics) -> int:
    shown = name if len(name) <= 100 else f"{name[:97]}..."
    parts.append(_text(20, 30, shown, "t"))
    parts.append(_text(20, 50, f"{statistics.description}; {size(statistics.size)}", "s"))
    return 70


def _stream(parts: list[str], statistics: Statistics, top: int) -> int:
    """Frames by offset."""
    picture = statistics.picture
    cells = picture.cells()
    if not cells:
        return top
    parts.append(_text(20, top + 20, "Frames by offset in the stream", "t"))
    _legend(parts, top + 20, (("for the first time", _FIRST), ("again", _AGAIN)))
    top += 36
    high = max(cell[1] for cell in cells) + 1
    wide = max(statistics.size / (1 << picture.across), max(cell[0] for cell in cells) + 1)
    across, up = _INNER / wide, _PICTURE / high
    parts.append(_rect(_LEFT, top, _INNER, _PICTURE, "#fafafa", _EMPTY))
    most = max(first + again for *_, first, again in cells)
    for column, row, first, again in cells:
        # Few pages in a cell are faint, but to be seen.
        strength = 0.35 + 0.65 * (first + again) / most
        x, y = _LEFT + column * across, top + _PICTURE - (row + 1) * up
        halves = [(first, _FIRST), (again, _AGAIN)]
        there = [colour for count, colour in halves if count]
        for number, colour in enumerate(there):
            part = max(across / len(there), 0.5)
            parts.append(_rect(x + number * part, y, part + 0.2, max(up, 1) + 0.2, colour, opacity=strength))
    passes = statistics.passes.rows[:_MARKED] if len(statistics.passes.rows) <= _MARKED else []
    labelled = 0.0
    for number, row_of in enumerate(passes):
        x = _LEFT + _INNER * row_of.offset / max(statistics.size, 1)
        ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + _PICTURE}"'
        parts.append(f'<line {ends} stroke="{_FAINT}" stroke-dasharray="2 3"/>')
        if x > labelled + 16:
            parts.append(_text(x + 2, top + 12, str(number + 1), "s"))
            labelled = x
    for number in range(5):
        frame = (high << picture.up) * number // 4
        y = top + _PICTURE - _PICTURE * number / 4
        parts.append(_text(_LEFT - 6, y + 4, f"{frame * PAGE:#x}", "s", "end"))
        x = _LEFT + _INNER * number / 4
        parts.append(_text(x, top + _PICTURE + 16, size(statistics.size * number // 4), "s", _anchor(number)))
    count = statistics.passes.count
    words = f"{count:,} pass{'es' * (count != 1)} over memory" + (", dashed where each begins" if passes else "")
    parts.append(_text(_LEFT, top + _PICTURE + 34, words, "s"))
    return top + _PICTURE + 50


def _anchor(number: int) -> str:
    return ("start", "middle", "middle", "middle", "end")[number]


def _memory(parts: list[str], statistics: Statistics, top: int) -> int:
    """The map of memory."""
    drawn = Map(statistics.frames, statistics.flags())
    if not drawn.rows:
        return top
    parts.append(_text(20, top + 20, f"Memory, {size(drawn.frames * PAGE)} a cell", "t"))
    _legend(parts, top + 20, (("there", _FIRST), ("page tables", _TABLES), ("broken", _BROKEN), ("hole", _EMPTY)))
    top += 34
    step, before = _INNER / CELLS, -1
    for number, row in sorted(drawn.rows.items()):
        if number > before + 1:
            hole = size((number - before - 1) * CELLS * drawn.frames * PAGE)
            parts.append(_text(_LEFT, top + 12, f"{hole} of hole", "s"))
            top += _ROW
        before = number
        parts.append(_text(_LEFT - 6, top + 12, f"{number * CELLS * drawn.frames * PAGE:#x}", "s", "end"))
        parts.append(_rect(_LEFT, top, _INNER, _ROW - 2, _EMPTY))
        for place, cell in enumerate(row):
            if cell is not None:
                parts += _cell(cell, drawn.frames, _LEFT + place * step, top, step)
        top += _ROW
    return top + 16


def _cell(cell: Cell, frames: int, x: float, y: float, width: float) -> Iterator[str]:
    """What is there fills the cell from below."""
    if cell.here:
        high = max((_ROW - 2) * cell.here / frames, 2)
        colour = _TABLES if 2 * cell.tables > cell.here else _FIRST
        yield _rect(x, y + _ROW - 2 - high, width - 0.8, high, colour)
    if cell.broken:
        yield _rect(x + 2, y + 3, width - 5, _ROW - 8, _BROKEN)


def _bytes(parts: list[str], statistics: Statistics, top: int) -> int:
    """What takes how many bytes."""
    rows = sorted(statistics.kinds.items(), key=lambda row: -row[1].bytes)[:_BARS]
    parts.append(_text(20, top + 20, "Bytes by type of record", "t"))
    top += 34
    left = 330
    for path, kind in rows:
        part = kind.bytes / max(statistics.size, 1)
        parts.append(_text(left - 6, top + 13, path, "", "end"))
        parts.append(_rect(left, top, max(part * (_WIDTH - left - 220), 1), _BAR - 5, _FIRST))
        words = f"{size(kind.bytes)} ({share(kind.bytes, statistics.size)}) in {kind.count:,}"
        parts.append(_text(left + part * (_WIDTH - left - 220) + 6, top + 13, words, "s"))
        top += _BAR
    return top + 20


def _legend(parts: list[str], y: float, rows: tuple[tuple[str, str], ...]) -> None:
    x = 400.0
    for words, colour in rows:
        parts.append(_rect(x, y - 11, 12, 12, colour))
        parts.append(_text(x + 18, y, words, "s"))
        x += 40 + 7.5 * len(words)


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{where}>{escape(words)}</text>'


def _rect(x: float, y: float, width: float, height: float, fill: str, stroke: str = "", opacity: float = 1) -> str:
    more = f' stroke="{stroke}"' if stroke else ""
    more += f' opacity="{opacity:.2f}"' if opacity < 1 else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{more}/>'
