"""A picture of checkpoints: how long each took and the guest stood, what it had written, and what output waited."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...render.stats import size
from ..figure import STYLE, rect, seconds, text
from .epochs import Epoch, Epochs

_WIDTH, _LEFT, _RIGHT, _HEIGHT, _GAP = 960, 110, 30, 110, 46
_INNER = _WIDTH - _LEFT - _RIGHT
_BARS = 400  # in a panel, at most: of more checkpoints the highest of each few is drawn
# Title, colour, what of a checkpoint is drawn, and how its value is written.
_PANELS: tuple[tuple[str, str, Callable[[Epoch], float], Callable[[float], str]], ...] = (
    ("from the guest's stop until the checkpoint was complete", "#2166ac", lambda row: row.latency, seconds),
    ("for which the guest stood", "#b2182b", lambda row: row.stood, seconds),
    ("frames written since the one before", "#e08214", lambda row: row.frames, lambda value: f"{value:,.0f}"),
    ("output held back", "#4d9221", lambda row: row.held, lambda value: size(int(value))),
)


def drawn(epochs: Epochs, title: str = "Checkpoints") -> str:
    """The file, SVG that needs nothing else: a panel for each figure, over the last checkpoints."""
    rows = list(epochs)
    parts = [text(20, 30, title, "t")]
    about = f"{epochs.count:,} checkpoints, {size(epochs.sent)}"
    parts.append(
        text(20, 50, about if len(rows) == epochs.count else f"{about}; the last {len(rows):,} are drawn", "s")
    )
    top = 84
    for panel in _PANELS:
        parts += _panel(rows, top, *panel)
        top += _HEIGHT + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect width="{_WIDTH}" height="{top}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(
    rows: list[Epoch],
    top: float,
    what: str,
    colour: str,
    value: Callable[[Epoch], float],
    shown: Callable[[float], str],
) -> Iterator[str]:
    values = [value(row) for row in rows]
    middle = sorted(values)[len(values) // 2] if values else 0.0
    yield text(_LEFT, top - 6, f"{what}; the median is {shown(middle)}", "s")
    yield rect(_LEFT, top, _INNER, _HEIGHT, "#fafafa", "#eeeeee")
    most = max(values, default=0.0) or 1.0
    each = -(-len(values) // _BARS) or 1
    bars = [max(values[at : at + each]) for at in range(0, len(values), each)]
    wide = _INNER / max(len(bars), 1)
    for number, bar in enumerate(bars):
        high = _HEIGHT * bar / most
        if high:
            yield rect(_LEFT + number * wide, top + _HEIGHT - high, max(wide - 0.4, 0.4), high, colour)
    yield text(_LEFT - 6, top + 10, shown(max(values, default=0.0)), "s", "end")
    yield text(_LEFT - 6, top + _HEIGHT, "0", "s", "end")
