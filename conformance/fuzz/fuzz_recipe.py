"""Coverage-guided fuzzing of recipes: any text is one or is refused with a reason, and each recipe can be dumped."""

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.errors import FieldError, RecipeError
    from streamfmt.recipes.dump import dump
    from streamfmt.recipes.load import load

# A few bytes of recipe can describe a large guest; those are not for fuzzing.
_LIMIT = 1 << 20


def one(data: bytes) -> None:
    """Load it, and load what it is dumped as; text that is not UTF-8 is refused before a recipe is loaded."""
    try:
        recipe = load(data.decode(errors="replace"))
        if recipe.stream.offsets()[-1] > _LIMIT:
            return
        made = recipe.stream.render()
    except (RecipeError, FieldError):
        return
    assert load(dump(recipe)).stream.render() == made


if __name__ == "__main__":
    main(one)
