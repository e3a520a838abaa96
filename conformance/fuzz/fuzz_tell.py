"""Coverage-guided fuzzing of `streamfmt show --recipe`: what any bytes are told as makes the same bytes again."""

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.errors import DamagedError
    from streamfmt.io.sources import compressed
    from streamfmt.recipes.from_stream import told
    from streamfmt.recipes.load import load


def one(data: bytes) -> None:
    """What is compressed is told as what lies in it."""
    try:
        text, teller = told(data)
    except DamagedError:
        return
    assert load(text).stream.render() == data or teller.lost or compressed(data)


if __name__ == "__main__":
    main(one)
