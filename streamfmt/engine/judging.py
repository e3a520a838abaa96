"""A verifier in the way of a stream: what breaks a rule ends the migration before it does harm.

There is no second set of rules: the bytes that pass are read by the reader that judges files, contents of pages
excepted.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import tables
from ..checks.verifier import Verifier
from ..codec.content import Buffer
from ..errors import PeerError
from ..reader import registry
from ..reader.reader import Reader

# What streams of guests are made of, and what reads and judges that: loaded when it is needed first, or ahead.
_LAYERS, _LOADED = ("xl", "libxl", "libxc"), ("program", "checks")


def warm() -> None:
    """Load what judges a stream: it takes longer than a guest should stand for."""
    for layer in _LAYERS:
        for name in _LOADED:
            registry.load(tables.LAYERS[layer][name])


# Bytes, and buffers, that are judged together at most: for each of a record's parts the reader would have to be woken.
_TOGETHER, _MANY = 1 << 20, 256


class Judge:
    """Sees the bytes of one stream from its beginning to its END, and judges some of them at a time.

    Before something is done by what has come, :meth:`settle` is to be called.

    :param form: which container the stream begins with, as for :func:`streamfmt.verify`.
    :param mode: likewise.
    """

    def __init__(self, form: str, mode: str = "plain") -> None:
        self.verifier = Verifier(mode)
        self._reader = Reader(self.verifier, form, exact=True)
        self._seen = 0
        self._held: list[Buffer] = []
        self._size = 0

    @property
    def done(self) -> bool:
        """Whether the stream has ended, or is so broken that nothing more can be said of it."""
        return self._reader.pump.done

    def see(self, buffers: Sequence[Buffer]) -> None:
        """These bytes come next.  Contents of pages may change until they are judged: nobody looks at them.

        :raises PeerError: they, or some before them, break a rule that a reader depends on.
        """
        for buffer in buffers:
            self._held.append(buffer)
            self._size += len(buffer)
        if self._size >= _TOGETHER or len(self._held) >= _MANY:
            self.settle()

    def settle(self) -> None:
        """Judge all that has come; raises as :meth:`see`."""
        held, self._held, self._size = self._held, [], 0
        pump = self._reader.pump
        for buffer in held:
            if not pump.feed(buffer):
                break
        self._raise()

    def end(self) -> None:
        """Nothing more comes; raises as :meth:`see`, and if something is missing."""
        self.settle()
        self._reader.pump.end()
        self._raise()

    def close(self) -> None:
        """Let go of what reading took."""
        self._held = []
        self._reader.close()

    def _raise(self) -> None:
        kept = self.verifier.findings.kept
        seen, self._seen = self._seen, len(kept)
        for finding in kept[seen:]:
            if finding.severity == "error":
                raise PeerError(f"the stream breaks {finding.clause} at {finding.offset}: {finding.message}")
