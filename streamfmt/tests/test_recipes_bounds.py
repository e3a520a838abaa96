"""Recipes that ask for much take little: they are built, piece by piece, or refused in a line that names the limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..codec import encode
from ..errors import RecipeError
from ..recipes import load as recipes
from ..recipes.faults import Edited
from ..recipes.toml import LIMITS
from ..writer.draft import Draft
from .support.peak_memory import ROOM, bare, command
from .support.recipe_texts import load

P, F = "[[part]]\n", "[[fault]]\n"
HVM, PV = 'guest = "hvm"\n', 'guest = "pv"\n'
BROKEN = "broken = true\n"
CUT = f"{F}cut = 100\n"
DIRTY = f'{P}record = "libxc.CHECKPOINT_DIRTY_PFN_LIST"\n'
PAGES = f'{P}pages = "0-0xffff"\n'
RUNS = "1," * 100_000
_PATTERNS = ",".join(f'{{ hex = "{number:04x}", times = 32768 }}' for number in range(4096))
SET = f'{F}set = "HVM_CONTEXT"\n'
# What is built, however much it says.
BUILT = {
    "random": f"{P}raw = {{ random = 16777216, times = 12 }}\n" * 5,
    "times": f'{P}raw = {{ hex = "00ff", times = 134217728 }}\n' * 3,
    "patterns": f"{P}raw = [{_PATTERNS}]\n",
    "zeros": f'{P}raw = ""\nzeros = 10000000000\n' * 2,
    "padding": f'{BROKEN}{P}record = "libxc.END"\npadding = {{ zeros = 200000000 }}\n',
    "header": f'{BROKEN}{P}header = "libxc.image_header"\nbytes = {{ zeros = 200000000 }}\nzeros = 1000000000\n',
    "pages": BROKEN + PAGES * 2 + f'{PAGES}fill = "random"\n' * 2,
    "many-pages": BROKEN + PAGES * 5000 + CUT,
    "fills": BROKEN + "".join(f'{P}pages = "0-9"\nfill = {{ hex = "{n:04x}" }}\n' for n in range(5000)) + CUT,
    "seeds": BROKEN + "".join(f'{P}pages = "0"\nfill = "random"\nseed = {n}\n' for n in range(100)),
    "vcpus": BROKEN + f'{P}vcpu = "XSAVE"\nsize = 1048576\n' * 5000 + CUT,
    "list": f'{BROKEN}{DIRTY}fields = {{ pfns = "0-0x3fffff" }}\n',
    "p2m": f'{PV}[memory]\nframes = "2 L4TAB_PINNED, 0x7fffffff"\n',
    "resizes": HVM + f'{F}resize = "HVM_CONTEXT"\nto = 200000000\n' * 2000,
    "texts": P + 'raw = { hex = "' + "00" * 1_900_000 + '" }\n',
    "wide": 'about = "' + "x" * 4_000_000 + f'\U0001f600"\n{HVM}',
}
# What is refused, and what is said of it.
REFUSED = {
    "random": (f"{P}raw = {{ random = 200000000 }}\n" * 5, "3: part[0].raw: random = 200000000 is not bytes, or over"),
    "parts": (f'{P}raw = "a"\n' * 100_000, "1: this makes over 393,216 words and marks"),
    "checkpoints": (f"{HVM}checkpoints = 1000000\n", "3: checkpoints: this makes over 32,768 parts and rows"),
    "runs": (f'{HVM}[memory]\nframes = "{RUNS * 10}"\n', "4: memory.frames: these are over 131,072 items"),
    "lists-of-runs": (
        f'{HVM}[memory]\nrecords = ["{RUNS}", "{RUNS}"]\n',
        "4: memory.records[1]: this makes over 131,072 runs of frames",
    ),
    "list": (
        f'{DIRTY}fields = {{ pfns = "0-0xffffffffff" }}\n',
        "4: part[0].fields.pfns: these are 1,099,511,627,776 frames; a list has 33,554,432 at most",
    ),
    "xenstore": (
        HVM + "[xenstore]\n" + "".join(f'k{n} = {{ text = "a", times = 1000000 }}\n' for n in range(9)),
        "8: xenstore.k4: this makes over 4,194,304 bytes of text",
    ),
    "lengths": (
        HVM + "vcpus = 4096\n" + "".join(f'{SET}field = "context[{n}].length"\nto = 1024\n' for n in range(900)),
        "this makes over 1,048,576 steps",
    ),
    "puts": (
        HVM + "vcpus = 4096\n" + f'{F}put = "HVM_CONTEXT"\nfields = {{}}\n' * 900,
        "this makes over 1,048,576 steps",
    ),
    "deep": ("x = " + "[" * 1_000_000, "1: its lists and tables lie too deep in one another"),
    "dots": ("a" + ".a" * 1_000_000 + " = 1", "1: its lists and tables lie too deep in one another"),
    "digits": ("x = 0x" + "1" * 4_000_000, "2: this number has too many digits"),
    "headings": ("".join(f"[a{n}.b.c.d.e.f]\n" for n in range(20_000)), "1: this makes over 393,216 words and marks"),
    "lines": ("\n" * 4_000_000, "1: this makes over 393,216 words and marks"),
    "escapes": ('x = """' + "\\" * 2_000_000, "2: this is not TOML"),
    "text": ("#" * 5_000_000, "1: this is over 4,194,304 bytes, too long for a recipe"),
}


@pytest.mark.parametrize("name", BUILT)
def test_much_is_built_in_little_memory(name: str, tmp_path: Path) -> None:
    """However long the values are, they are never there whole."""
    recipe = tmp_path / "r.toml"
    recipe.write_text(f"recipe = 1\n{BUILT[name]}")
    found = command("build", recipe, "-o", "/dev/null")

    assert (found.status, found.errors) == (0, "")
    assert found.peak - bare() < ROOM


@pytest.mark.parametrize("name", REFUSED)
def test_too_much_is_refused(name: str, tmp_path: Path) -> None:
    """One line, with the place and the limit, in little memory."""
    text, message = REFUSED[name]
    recipe = tmp_path / "r.toml"
    recipe.write_text(f"recipe = 1\n{text}")
    found = command("build", recipe, "-o", "/dev/null")

    assert found.status == 2
    assert found.errors.startswith("streamfmt: ")
    assert f"r.toml:{message}" in found.errors or ("steps" in message and message in found.errors)
    assert found.errors.count("\n") == 1
    assert found.peak - bare() < ROOM


def test_two_lines_are_built_in_little_room(tmp_path: Path) -> None:
    """In 250,000 KiB of address space, and from a recipe without end, which is refused."""
    recipe = tmp_path / "r.toml"
    recipe.write_text(f"recipe = 1\n{HVM}")
    assert command("build", recipe, "-o", "/dev/null", room=250_000 << 10)[:2] == (0, "")

    found = command("build", "/dev/zero", "-o", "/dev/null", room=250_000 << 10)
    assert found[:2] == (2, "streamfmt: /dev/zero:1: this is over 4,194,304 bytes, too long for a recipe\n")


def test_an_input_without_end_is_described_to_its_limit() -> None:
    """Zeros without end are not counted for ever."""
    found = command("show", "--recipe", "/dev/zero")

    assert found.status == 1
    assert "over 1,073,741,824 zeros, is not kept" in found.errors
    assert found.peak - bare() < ROOM


@pytest.mark.parametrize("inner", ['[[part]]\nraw = "a"\n', HVM, "part = []\n"])
def test_includes_that_multiply(inner: str, tmp_path: Path) -> None:
    """Files that include one another ten times each, of which each is read once, and the parts are counted."""
    deepest = 20
    for number in range(deepest):
        text = "".join(f'{P}recipe = "{number + 1}"\n' for _ in range(10))
        (tmp_path / f"{number}.toml").write_text(f"recipe = 1\n{text}")
    (tmp_path / f"{deepest}.toml").write_text(f"recipe = 1\n{inner}")
    if inner == "part = []\n":
        assert not recipes.load_file(tmp_path / "0.toml").stream.parts
        return
    with pytest.raises(RecipeError, match=r"parts and rows, the most .* \(0 > 1 > 2 > 3 > \.\.\. > 1") as error:
        recipes.load_file(tmp_path / "0.toml")

    assert error.value.key.endswith("recipe")


TSC = "fields = { mode = 0, khz = 0, nsec = 0, incarnation = 0 }"
FAULTS = {
    "set": 'set = "X86_TSC_INFO"\nfield = "mode"\nto = 1\n',
    "set an element": 'set = "HVM_CONTEXT"\nfield = "context[1].instance"\nto = 1\n',
    "put": 'put = "X86_TSC_INFO"\nfields = { mode = 1 }\n',
    "insert": f'insert = [{{ record = "libxc.X86_TSC_INFO", {TSC} }}]\nbefore = "X86_TSC_INFO"\n',
    "move": 'move = "X86_TSC_INFO"\nafter = "HVM_CONTEXT"\n',
    "change": 'change = "X86_TSC_INFO"\nlength = 7\n',
    "cut": 'cut = "HVM_CONTEXT"\n',
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_take_the_same_time_each(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many encode no more than twice as many fields."""
    counts: list[int] = []
    put: Callable[..., Any] = encode.put
    packed: Callable[..., Any] = encode._packed

    def counted(*args: Any) -> None:
        counts[-1] += 1
        put(*args)

    def counted_at_once(plan: Any, *args: Any) -> Any:
        counts[-1] += len(plan.rows)
        return packed(plan, *args)

    monkeypatch.setattr(encode, "put", counted)
    monkeypatch.setattr(encode, "_packed", counted_at_once)
    for many in (300, 600):
        counts.append(0)
        load(HVM + "".join(f"{F}{FAULTS[name]}" for _ in range(many)))

    assert counts[1] < 2.5 * counts[0]


def test_limits_are_documented() -> None:
    """What a recipe may have is documented where its keys are."""
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    for kind, most in LIMITS.items():
        assert f"| {kind} | {most:,} |" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [("round", "'round' cannot be read: Too many levels of symbolic links"), (r"a\u0000b", r"there is no recipe 'a")],
)
def test_names_that_lead_nowhere_are_refused(name: str, message: str, tmp_path: Path) -> None:
    """A line, too, for a link to itself and for what no file can be called."""
    (tmp_path / "round.toml").symlink_to("round.toml")
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'recipe = 1\nbase = "{name}"\n')
    with pytest.raises(RecipeError) as error:
        recipes.load_file(recipe)

    assert f"r.toml:2: base: {message}" in str(error.value)


def test_a_recipe_may_be_like_a_file_of_its_own(tmp_path: Path) -> None:
    """Both say that they are recipes, of which the second is not taken for a key of the first."""
    (tmp_path / "other.toml").write_text(f"recipe = 1\n{HVM}vcpus = 2\n")
    recipe = tmp_path / "r.toml"
    recipe.write_text('recipe = 1\nlike = "other"\nform = "libxc"\n')

    assert recipes.load_file(recipe).stream.render() == load(f'{HVM}vcpus = 2\nform = "libxc"\n').stream.render()


@pytest.mark.parametrize("begun", [True, False])
def test_what_is_put_at_the_end_is_new_once(begun: bool) -> None:
    """Each part is checked, and paid for, once."""
    parts = load(HVM).stream.parts
    draft = Edited(Draft(parts if begun else ()))
    draft.then(*parts[:2])

    assert draft.fresh == [*parts[:2]]
