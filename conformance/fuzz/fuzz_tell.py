"""Coverage-guided fuzzing of `streamfmt show --recipe`: what any octets are told as makes the same octets again."""

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.errors import DamagedError
    from streamfmt.io.sources import compressed
    from streamfmt.recipes.from_stream import told
    from streamfmt.recipes.load import load


def one(octets: bytes) -> None:
    """What is compressed is told as what lies in it."""
    try:
        text, teller = told(octets)
    except DamagedError:
        return
    assert load(text).stream.render() == octets or teller.lost or compressed(octets)


if __name__ == "__main__":
    main(one)
