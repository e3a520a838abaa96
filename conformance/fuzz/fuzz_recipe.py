"""Coverage-guided fuzzing of recipes: any text is one or is told why not, and what is one can be written down."""

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.errors import FieldError, RecipeError
    from streamfmt.recipes.dump import dump
    from streamfmt.recipes.load import load

# Recipes of large guests are told by few bytes; those are not for fuzzing.
_LIMIT = 1 << 20


def one(data: bytes) -> None:
    """Text that is no UTF-8 is for whoever opens the file."""
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
