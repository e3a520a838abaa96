"""Who may go on when the link between both sides fails: the one that says so first, at a place that both can reach.

Neither side can know whether the other has gone or only the link.  xl lets both go on then; with a witness exactly one
does, and the other ends its guest without any of its output being seen.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from ...errors import LinkError

PRIMARY, STANDBY = "primary", "standby"


class Witness(Protocol):
    """What decides, once."""

    def claim(self, side: str) -> bool:
        """Whether this side has the guest from now on; the same answer whenever it asks again.

        :raises LinkError: the witness cannot be reached; then nobody may go on.
        """


class Nobody:
    """No witness: each side goes on, as with xl.  Two guests run if it was the link that failed."""

    def claim(self, side: str) -> bool:
        """It may."""
        return True


class File:
    """A file that whoever comes first makes, on a file system of both sides (NFS too: link(2) is atomic there).

    It must not be there when the protection begins, and says afterwards who has the guest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def fresh(self) -> None:
        """See that it has not decided yet.

        :raises LinkError: it has.
        """
        if self.path.exists():
            raise LinkError(f"the witness {self.path} has decided already, for an earlier guest: remove it first")

    def claim(self, side: str) -> bool:
        """Whether it is this side's."""
        own = self.path.with_name(f"{self.path.name}.{side}.{os.getpid()}")
        try:
            own.write_text(side, encoding="ascii")
            try:
                os.link(own, self.path)
            except FileExistsError:
                pass
            finally:
                own.unlink()
            return self.path.read_text(encoding="ascii") == side
        except OSError as error:
            raise LinkError(f"the witness {self.path} cannot be asked: {error.strerror}") from error
