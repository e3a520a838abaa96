"""Build a stream from a recipe, a TOML file that describes it.

The same recipe builds the same bytes everywhere.  A recipe without faults must not break a rule with severity error;
faults are written as they are.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from ..errors import FieldError, RecipeError
from ..io.outputs import output
from ..io.sources import reason
from ..recipes.load import Recipe, load_from
from ..writer import BreachError, Writer
from ..writer.part import size
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """streamfmt help recipes describes the keys of a recipe.

examples:
  streamfmt build guest.toml -o guest.sav
  streamfmt build guest.toml -o - | streamfmt verify -

exit status: 0 built; 2 wrong usage, or the recipe is wrong; 3 could not read
or write
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="the recipe; - is standard input")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write it; - is standard output")


def run(args: argparse.Namespace) -> int:
    if args.output == "-" and sys.stdout.isatty():
        inputs.say("streamfmt build: error: standard output is a terminal; give -o a file, or a pipe")
        return 2
    try:
        standard = args.recipe == "-"
        with open(0 if standard else args.recipe, "rb", closefd=not standard) as file:
            if _same(file.fileno(), args.output):
                inputs.say("streamfmt build: error: -o is the recipe itself; give it another name")
                return 2
            recipe = load_from(file, Path("standard input" if standard else args.recipe))
    except RecipeError as error:
        inputs.say(f"streamfmt: {error}")
        return 2
    except OSError as error:
        inputs.complain(args.recipe, f"cannot read: {reason(error)}")
        return 3
    try:
        with inputs.Writing():
            size = _build(recipe, args.output)
    except BreachError as error:
        found = error.finding
        inputs.complain(args.recipe, error)
        hint = f"streamfmt explain {found.clause} explains the rule; to break it on purpose, use a [[fault]]"
        done = "the output ends before that" if args.output == "-" else "nothing was built"
        inputs.say(f"streamfmt: {done}; {hint}")
        return 2
    except FieldError as error:
        inputs.complain(args.recipe, error)
        return 2
    except OSError as error:
        where = "standard output" if args.output == "-" else inputs.shown(args.output)
        inputs.say(f"streamfmt: {where}: cannot write: {reason(error)}")
        return 3
    if args.output != "-":
        print(f"{inputs.shown(args.output)}: {size:,} bytes")
    return 0


def _same(fd: int, path: str) -> bool:
    """Whether the open file is what lies at `path`."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and os.path.samestat(os.fstat(fd), found)


def _build(recipe: Recipe, target: str) -> int:
    """Write it; how many bytes that were.  Raises BreachError and OSError."""
    stream = recipe.stream
    whole = 1 if target == "-" else target
    if recipe.faults:
        return _as_it_is(recipe, whole)
    form = stream.form if recipe.form == "auto" else recipe.form
    writer = Writer(whole, form or "auto", mode=recipe.mode, strict=False, deep=recipe.deep, guest=recipe.guest)
    with writer, inputs.Progress(_expected(recipe)) as progress:
        for part in stream:
            writer.put(part)
            if progress is not None:
                progress(writer.offset)
    return writer.offset


def _expected(recipe: Recipe) -> int | None:
    """How many bytes there will be, for those who look on: counting them takes as long as making the parts."""
    return recipe.stream.size if sys.stderr.isatty() else None


def _as_it_is(recipe: Recipe, target: str | int) -> int:
    """Write a stream that need not keep any rule, and may be cut anywhere."""
    out = output(target)
    count = 0
    try:
        with inputs.Progress(_expected(recipe)) as progress:
            for buffers in recipe.stream.batches():
                out.write(buffers)
                count += size(buffers)
                if progress is not None:
                    progress(count)
    except BaseException:
        out.abort()
        raise
    out.finish()
    return count
