"""What the rules need to remember of a layer."""

from __future__ import annotations

from ..reader.events import Layer
from .pv_memory import PfnMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array


class LayerState:
    """What the rules of one layer need to remember.

    `seen` has a bit for each record type that has come, `fired` the order rules already broken in this checkpoint.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.seen = 0
        self.fired: set[str] = set()
        # libxc, PV only: what X86_PV_INFO and X86_PV_P2M_FRAMES said, and what the pages did.
        self.guest_width: int | None = None
        self.end_pfn: int | None = None
        self.frames: array[int] | None = None
        # Where each record's first frame lies in `frames` and in the stream.
        self.frames_from: list[tuple[int, int]] = []
        self.frames_known = True
        self.pfns = PfnMap()
        self.vcpus: set[tuple[int, int]] = set()
        # libxl
        self.legacy = False
        # Back channel: what comes next, empty if that is not known.
        self.expected = ""
        # Containers: where the header is, and the value of the field that says what stream is inside.
        self.header = 0
        self.promise = 0
