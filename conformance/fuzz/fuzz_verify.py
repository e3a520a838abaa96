"""Coverage-guided fuzzing of `streamfmt.verify`: any octets are judged, and how they are cut makes no difference."""

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.api import concluded, judging, verify
    from streamfmt.verify.verifier import MODES

# An odd number, so that pieces end everywhere.
_PIECE = 61


def one(octets: bytes) -> None:
    """The length says which mode is declared, so that any stream as it is can be among the inputs."""
    mode = MODES[len(octets) % len(MODES)]
    whole = verify(octets, mode=mode, deep=True)
    reader, verifier = judging("auto", mode, True, False)
    for at in range(0, len(octets), _PIECE):
        reader.engine.feed(octets[at : at + _PIECE])
    reader.engine.end()
    assert concluded(reader, verifier, False).as_dict() == whole.as_dict()


if __name__ == "__main__":
    main(one)
