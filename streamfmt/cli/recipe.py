"""What `show --recipe` does: turns a stream back into a recipe, on standard output."""

from __future__ import annotations

import shutil
import sys
from tempfile import SpooledTemporaryFile

from ..recipes import dump
from ..recipes.from_stream import PAGES, FromStream
from . import inputs

# Bytes of a recipe that are kept in memory; a longer one goes to a temporary file.
_SPOOL = 16 << 20


def write(name: str, form: str, pages: int | None) -> int:
    """Print a recipe of one input; the exit status is that of `show`.

    The recipe's head says whether the stream breaks a rule, which is only known at the stream's end.
    """
    status = 0
    with SpooledTemporaryFile(_SPOOL, "w+", encoding="utf-8") as parts:
        recipe = FromStream(parts.write, form, PAGES if pages is None else pages)
        failure = inputs.run_reader(name, recipe.reader, recipe)
        if failure is not None:
            inputs.complain(name, failure)
            status = failure.status
            if recipe.reader.identity is None:
                return status
            parts.write(f"\n# {failure}\n")
        recipe.end()
        if recipe.failure is not None:
            status = max(status, 1)
            inputs.complain(name, f"stopped: {recipe.failure}")
            parts.write(f"\n# reading stopped: {recipe.failure}\n")
        sys.stdout.write(dump.head(form, broken=recipe.broken))
        parts.seek(0)
        shutil.copyfileobj(parts, sys.stdout)
    for message in recipe.lost:
        inputs.complain(name, message)
    return status
