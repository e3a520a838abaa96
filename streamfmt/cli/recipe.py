"""What `show --recipe` does: a stream told as a recipe, on standard output."""

from __future__ import annotations

import shutil
import sys
from tempfile import SpooledTemporaryFile

from ..recipes import dump
from ..recipes.from_stream import PAGES, Teller
from . import inputs

# What is told is kept in memory up to this.
_SPOOL = 16 << 20


def tell(name: str, form: str, pages: int | None) -> int:
    """Print a recipe of one input; the exit status is that of `show`.

    Whether the stream breaks a rule is known at its end and told at the recipe's beginning.
    """
    status = 0
    with SpooledTemporaryFile(_SPOOL, "w+", encoding="utf-8") as told:
        teller = Teller(told.write, form, PAGES if pages is None else pages)
        failure = inputs.run_reader(name, teller.reader, teller)
        if failure is not None:
            inputs.complain(name, failure)
            status = failure.status
            if teller.reader.identity is None:
                return status
            told.write(f"\n# {failure}\n")
        teller.end()
        if teller.failure is not None:
            status = max(status, 1)
            inputs.complain(name, f"stopped: {teller.failure}")
            told.write(f"\n# reading stopped: {teller.failure}\n")
        sys.stdout.write(dump.head(form, broken=teller.broken))
        told.seek(0)
        shutil.copyfileobj(told, sys.stdout)
    for message in teller.lost:
        inputs.complain(name, message)
    return status
