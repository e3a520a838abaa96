"""What an emulator's process is given when it starts, as one line of JSON among its arguments."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Setup:
    """Descriptors are those of the process; -1 or an empty path stands for none."""

    control: int  # a socket to its owner: lines of JSON both ways
    memory: int  # the guest's, a memfd
    pages: int
    form: str  # a key of FORMS
    domain: int
    store: str  # the path of xenstore's socket
    monitor: int  # a listening socket
    reported: int  # the file of frames that it reports
    first: int  # its ring of frames
    count: int
    writes: int
    rate: float  # pages that it writes in a second, while it runs

    def line(self) -> str:
        """As an argument."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, line: str) -> Self:
        """What an argument says."""
        return cls(**json.loads(line))
