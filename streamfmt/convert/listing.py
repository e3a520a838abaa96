"""What parts a stream has: where each lies and what it is."""

from __future__ import annotations

from ..reader import configuration
from ..reader.events import Body, describe
from ..reader.registry import FORMS
from .parts import BASE64, CONFIGURATION, NAMES, SECTIONS, SOURCE, Parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..reader.events import Layer, Record
    from ..reader.pump import Program
    from .parts import Part

FORMAT = "streamfmt-extract-1"
# Parts that are kept; more are only counted.
MOST = 4096
# Letters of a text that are shown.
_SHOWN = 40


class Listing(Parts):
    """Collects the parts of a stream: the first :data:`MOST`, and how many `more` there were."""

    def __init__(self, form: str = "auto", guest: str | None = None) -> None:
        super().__init__(frozenset((*NAMES, *FORMS, SECTIONS)), form, guest)
        self.parts: list[Part] = []
        self.more = 0
        self._layers: dict[Part, Layer] = {}

    def begun(self, part: Part, layer: Layer) -> bool:
        if len(self.parts) == MOST:
            self.more += 1
            return False
        self.parts.append(part)
        if part.index is None:
            self._layers[part] = layer
        return True

    def read(self, part: Part, record: Record, start: int, stop: int) -> Program | None:
        if part.name == CONFIGURATION:
            return self._configuration(part, record)
        if part.form == SOURCE:
            return self._beginning(part, record, start)
        if part.form == BASE64:
            part.note = "in base64; taken out decoded"
        return None

    def _configuration(self, part: Part, record: Record) -> Program:
        """What a configuration says of the guest."""
        found = yield from configuration.read(Body(self.window, record))
        if found is not None:
            part.note = ", ".join(filter(None, (configuration.WORDS[found.form], found.words())))

    def _beginning(self, part: Part, record: Record, start: int) -> Program:
        """How another text begins."""
        body = Body(self.window, record)
        yield from body.skip(start - body.at)
        text = (yield from body.take(_SHOWN + 1)).decode("latin-1")
        part.note = f"{ascii(text[:_SHOWN])[1:-1]}{' ...' if len(text) > _SHOWN else ''}"

    def end(self) -> None:
        super().end()
        for part, layer in self._layers.items():
            part.note = describe([layer])

    def label(self, part: Part) -> str:
        """The part's name, with its number where there are several."""
        return part.name if self._counts[part.name] == 1 else f"{part.name}[{part.number}]"

    def as_dict(self) -> dict[str, Any]:
        """The parts as plain values, as in spec/json/extract.json."""
        return {
            "description": self.description,
            "parts": [{"label": self.label(part)} | part.as_dict() for part in self.parts],
            "more": self.more,
            "stopped": str(self.failure) if self.failure else None,
        }
