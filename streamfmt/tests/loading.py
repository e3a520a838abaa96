"""Recipes that tests write down."""

from __future__ import annotations

from typing import Any

from ..writer import dumping, recipes
from ..writer.recipes import Recipe
from ..writer.tables import RecipeError


def load(text: str) -> Recipe:
    return recipes.load(f"recipe = 1\n{text}", "r.toml")


def loaded(keys: dict[str, Any]) -> tuple[Recipe | None, str]:
    """What these keys make, or why they are refused."""
    try:
        return load("".join(f"{dumping.key_of(key)} = {dumping.value(it)}\n" for key, it in keys.items())), ""
    except RecipeError as error:
        return None, str(error)
