"""Where inputs come from, and how they are written down for people: the only import of either."""

from __future__ import annotations

from importlib import import_module

from .standin import Sample, inputs

__all__ = ["Sample", "inputs", "recipe"]


def recipe(sample: Sample) -> str:
    """The stream as a recipe; nothing where there are none."""
    try:
        recipes = import_module("streamfmt.writer.recipes")
    except ImportError:
        return ""
    return str(recipes.dump(sample.stream, sample.form, sample.mode))
