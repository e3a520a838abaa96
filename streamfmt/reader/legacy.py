"""The legacy stream."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from .events import Layer, Sink
    from .framing import Ending
    from .window import Window


def program(window: Window, sink: Sink, layer: Layer, exact: bool) -> Generator[int, int, Ending]:
    """Program of a whole stream."""
    raise NotImplementedError
    yield
