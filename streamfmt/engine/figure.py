"""A picture of a migration's rounds, of a run or a plan: what each sent, what it left dirty, and when the guest stood.

It is an SVG file that needs nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from .. import tables
from ..render.stats import size
from .statistics import Round, Statistics

_WIDTH, _LEFT, _RIGHT = 960, 110, 30
_INNER, _HEIGHT = _WIDTH - _LEFT - _RIGHT, 300
# Colours that differ in lightness too, for eyes that do not tell all apart; as in pictures of streams.
_SENT, _DIRTY, _STOOD, _EMPTY, _FAINT = "#2166ac", "#e08214", "#b2182b", "#eeeeee", "#767676"
STYLE = "text{font:13px sans-serif;fill:#222}.t{font-weight:bold;font-size:15px}.s{fill:#595959;font-size:12px}"
# Rounds that are listed: all if they are no more, else the first and the last ones.
_LISTED = 16
_ROW, _COLUMNS = 18, (160, 290, 420, 540, 650, 780)
_MARKS = 5


def drawn(statistics: Statistics, title: str = "A migration", about: str = "") -> str:
    """The file: rounds over time, and what they were in numbers; `about` is a line of text below the title."""
    parts = [
        text(20, 30, _short(title), "t"),
        text(20, 50, _short(about or f"a guest of {memory(statistics.frames)}"), "s"),
    ]
    parts += _rounds(statistics, 70)
    at = 70 + 20 + 16 + _HEIGHT + 64
    rows = list(_table(statistics, at))
    parts += rows
    height = at + _ROW * (min(len(statistics.rounds), _LISTED + 1) + 2) + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _rounds(statistics: Statistics, top: int) -> Iterator[str]:
    """Frames over time, by their logarithm, since a first round sends a thousand times what a last one does."""
    yield text(20, top + 20, "Frames of each round over time", "t")
    yield from _legend(top + 20, (("sent", _SENT), ("dirty after it", _DIRTY), ("the guest stands", _STOOD)))
    top += 36
    yield rect(_LEFT, top, _INNER, _HEIGHT, "#fafafa", _EMPTY)
    pause = statistics.pause if statistics.pause is not None else statistics.downtime
    # The last round is sent while the guest stands: it stopped where that began.
    stopped = sum(row.seconds for row in statistics.rounds[:-1])
    whole = max(stopped + (pause or 0.0), sum(row.seconds for row in statistics.rounds), 1e-9)
    most = max([statistics.frames, *(max(row.frames, row.dirty) for row in statistics.rounds)])
    top_power = max(math.log10(most), 1.0)
    across, up = _INNER / whole, _HEIGHT / top_power

    def high(count: int) -> float:
        return up * math.log10(count) if count > 1 else 2.0 * count

    begin = 0.0
    for row in statistics.rounds:
        x, wide = _LEFT + across * begin, across * row.seconds
        yield rect(x, top + _HEIGHT - high(row.frames), max(wide - 0.6, 0.6), high(row.frames), _SENT, opacity=0.8)
        begin += row.seconds
        if row.dirty:
            y, end = top + _HEIGHT - high(row.dirty), _LEFT + across * begin
            yield f'<circle cx="{end:.1f}" cy="{y:.1f}" r="3.5" fill="{_DIRTY}"/>'
    if statistics.downtime is not None:
        x, wide = _LEFT + across * stopped, max(across * (pause or 0.0), 1.5)
        yield rect(min(x, _LEFT + _INNER - wide), top, wide, _HEIGHT, _STOOD, opacity=0.35)
    for power in range(int(top_power) + 1):
        y = top + _HEIGHT - up * power
        yield f'<line x1="{_LEFT}" x2="{_LEFT + _INNER}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_FAINT}" opacity="0.3"/>'
        yield text(_LEFT - 6, y + 4, f"{10**power:,}", "s", "end")
    for number in range(_MARKS):
        x = _LEFT + _INNER * number / (_MARKS - 1)
        anchor = ("start", "end")[number == _MARKS - 1] if number in (0, _MARKS - 1) else "middle"
        yield text(x, top + _HEIGHT + 16, seconds(whole * number / (_MARKS - 1)), "s", anchor)
    yield text(_LEFT, top + _HEIGHT + 34, _stood(statistics), "s")


def _stood(statistics: Statistics) -> str:
    """For how long the guest stood, in all three ways in which that is measured."""
    rows = (("downtime", statistics.downtime), ("pause", statistics.pause), ("gap", statistics.gap))
    return "; ".join(f"{name} {seconds(value)}" for name, value in rows if value is not None) or "it was not stopped"


def _table(statistics: Statistics, top: int) -> Iterator[str]:
    heads = ("round", "frames sent", "bytes", "dirty after it", "time", "rate")
    yield from (text(x, top, words, "s", "end") for x, words in zip(_COLUMNS, heads, strict=True))
    rows: list[Round | None] = [*statistics.rounds]
    if len(rows) > _LISTED:
        rows = [*rows[: _LISTED // 2], None, *rows[-(_LISTED // 2) :]]
    for number, row in enumerate(rows, 1):
        cells = ["..."] * len(_COLUMNS) if row is None else cells_of(row)
        yield from (text(x, top + _ROW * number, words, "", "end") for x, words in zip(_COLUMNS, cells, strict=True))


def cells_of(row: Round) -> list[str]:
    """A round in words: its number, frames sent, bytes, frames dirty after it, time, and rate."""
    took = row.seconds if row.sending is None else row.sending
    rate = f"{size(int(row.sent / took))}/s" if took else "-"
    return [str(row.number), f"{row.frames:,}", size(row.sent), f"{row.dirty:,}", seconds(row.seconds), rate]


def seconds(value: float) -> str:
    """A time for people: in milliseconds below a second."""
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:,.2f} s"


def memory(frames: int) -> str:
    """So many frames, as a size."""
    return size(frames * tables.PAGE_SIZE)


def _short(words: str) -> str:
    return words if len(words) <= 120 else f"{words[:117]}..."


def _legend(y: float, rows: tuple[tuple[str, str], ...]) -> Iterator[str]:
    x = 400.0
    for words, colour in rows:
        yield rect(x, y - 11, 12, 12, colour)
        yield text(x + 18, y, words, "s")
        x += 40 + 7.5 * len(words)


def text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    """An element of words at a place."""
    kind = f' class="{style}"' if style else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{where}>{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, fill: str, stroke: str = "", opacity: float = 1) -> str:
    """A rectangle as an element."""
    more = f' stroke="{stroke}"' if stroke else ""
    more += f' opacity="{opacity:.2f}"' if opacity < 1 else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{more}/>'
