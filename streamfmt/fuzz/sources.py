"""Where inputs come from, and how they are written down for people: the only import of either."""

from __future__ import annotations

from ..recipes.dump import dump
from ..recipes.load import Recipe
from ..strategies import Sample, inputs

__all__ = ["Sample", "inputs", "recipe"]


def recipe(sample: Sample) -> str:
    """The stream as a recipe."""
    return dump(Recipe(sample.stream, sample.form, sample.mode, sample.deep))
