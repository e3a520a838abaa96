"""Coverage-guided fuzzing of `streamfmt.identify`: whatever the octets are, they are something."""

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.api import identify


def one(octets: bytes) -> None:
    """It answers, and the same from a reader that gives an octet at a time."""
    whole = identify(octets)
    slow = identify(Slow(octets))
    assert (whole.key, whole.description, whole.evidence) == (slow.key, slow.description, slow.evidence)


class Slow:
    """A file that gives one octet at a time."""

    def __init__(self, octets: bytes) -> None:
        self._octets = iter(octets)

    def read(self, size: int = -1) -> bytes:
        """The next octet."""
        octet = next(self._octets, None)
        return b"" if octet is None or not size else bytes([octet])


if __name__ == "__main__":
    main(one)
