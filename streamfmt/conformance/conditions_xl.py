"""What `xl restore` does where that depends on the breach, or on what no stream shows; the stream inside is libxl's."""

from __future__ import annotations

from .conditions import Peer
from .conditions_libxl import LIBXL

XL = Peer("xl", depends={}, places={}, context={}, inner=LIBXL)
