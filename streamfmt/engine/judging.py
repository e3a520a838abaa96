"""A verifier in the way of a stream: what breaks a rule ends the migration before it does harm.

There is no second set of rules: the bytes that pass are read by the reader that judges files, contents of pages
excepted.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..checks.verifier import Verifier
from ..codec.content import Buffer
from ..errors import PeerError
from ..reader.reader import Reader


class Judge:
    """Sees the bytes of one stream from its beginning to its END.

    :param form: which container the stream begins with, as for :func:`streamfmt.verify`.
    :param mode: likewise.
    """

    def __init__(self, form: str, mode: str = "plain") -> None:
        self.verifier = Verifier(mode)
        self._reader = Reader(self.verifier, form, exact=True)
        self._seen = 0

    @property
    def done(self) -> bool:
        """Whether the stream has ended, or is so broken that nothing more can be said of it."""
        return self._reader.pump.done

    def see(self, buffers: Sequence[Buffer]) -> None:
        """These bytes come next.

        :raises PeerError: they break a rule that a reader depends on.
        """
        pump = self._reader.pump
        for buffer in buffers:
            view = memoryview(buffer)
            while view:
                want = pump.run()
                if want < 0:
                    count = min(len(view), -want)
                    pump.skip(count)
                    view = view[count:]
                elif want:
                    pump.feed(view[: min(want, len(view))])
                    view = view[want:]
                else:
                    break
        pump.run()
        self._raise()

    def end(self) -> None:
        """Nothing more comes; raises as :meth:`see`, and if something is missing."""
        self._reader.pump.end()
        self._raise()

    def close(self) -> None:
        """Let go of what reading took."""
        self._reader.close()

    def _raise(self) -> None:
        kept = self.verifier.findings.kept
        seen, self._seen = self._seen, len(kept)
        for finding in kept[seen:]:
            if finding.severity == "error":
                raise PeerError(f"the stream breaks {finding.clause} at {finding.offset}: {finding.message}")
