"""Recipes that tests write down."""

from __future__ import annotations

from typing import Any

from ...errors import RecipeError
from ...recipes import dump
from ...recipes import load as recipes
from ...recipes.load import Recipe


def load(text: str) -> Recipe:
    return recipes.load(f"recipe = 1\n{text}", "r.toml")


def loaded(keys: dict[str, Any]) -> tuple[Recipe | None, str]:
    """What these keys make, or why they are refused."""
    try:
        return load("".join(f"{dump.key_of(key)} = {dump.value(it)}\n" for key, it in keys.items())), ""
    except RecipeError as error:
        return None, str(error)
