"""Runs the command, or a program, with the toys of `toy_schema` among the layers.

`python -m streamfmt.tests.support.toy WORDS...` is `streamfmt WORDS...`; `-c PROGRAM` runs that.  The rows are added
before anything that is derived from them is imported, and the tables are made anew; nothing else knows of the toys.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType


def add() -> None:
    """Add the toys' rows and clauses, and make the tables from them."""
    from ...schema import clauses, layers
    from .toy_schema import LAYERS

    layers.LAYERS += LAYERS
    clauses.FILES += (str(Path(__file__).with_name("toy_clauses")),)
    from ...schema import compile as compiler

    made = ModuleType("streamfmt.tables")
    vars(made).update(compiler.tables())
    sys.modules["streamfmt.tables"] = sys.modules["streamfmt"].tables = made  # type: ignore[attr-defined] # it is


if __name__ == "__main__":
    add()
    if sys.argv[1] == "-c":
        exec(sys.argv[2], {"__name__": "toy"})
    else:
        from ...cli.main import main

        sys.exit(main(sys.argv[1:]))
