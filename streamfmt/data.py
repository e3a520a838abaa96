"""Where the language-neutral data lies: spec/ and corpus/, in a checkout or inside the installed wheel."""

from __future__ import annotations

import os

_HERE = os.path.dirname(os.path.abspath(__file__))


def path(*parts: str) -> str:
    """Path of a data file such as ``path("spec", "clauses")``.

    The wheel carries the data below streamfmt/_data; a checkout and an editable install have it at the top.
    Raises FileNotFoundError if it is in neither place.
    """
    for root in (os.path.join(_HERE, "_data"), os.path.dirname(_HERE)):
        found = os.path.join(root, *parts)
        if os.path.exists(found):
            return found
    raise FileNotFoundError(f"streamfmt's data file {'/'.join(parts)} is missing; reinstall streamfmt")


def checkout() -> bool:
    """Whether this is a checkout, which is worked in, and no installed package, which stays as it is."""
    top = os.path.dirname(_HERE)
    return not os.path.exists(os.path.join(_HERE, "_data")) and os.path.exists(os.path.join(top, "pyproject.toml"))
