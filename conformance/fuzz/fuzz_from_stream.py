"""Coverage-guided fuzzing of `streamfmt show --recipe`: the recipe of any bytes builds the same bytes again."""

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.errors import DamagedError
    from streamfmt.io.sources import compressed
    from streamfmt.recipes.from_stream import from_bytes
    from streamfmt.recipes.load import load


def one(data: bytes) -> None:
    """The recipe of compressed bytes is that of their contents."""
    try:
        text, recipe = from_bytes(data)
    except DamagedError:
        return
    assert load(text).stream.render() == data or recipe.lost or compressed(data)


if __name__ == "__main__":
    main(one)
