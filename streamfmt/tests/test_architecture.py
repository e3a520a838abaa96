"""Dependencies point one way, construct stays in its room, and a clean verify loads little."""

from __future__ import annotations

import ast
import gzip
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import streamfmt

from ..reader.registry import FORMS
from .support.good_streams import HVM, XL_HVM
from .support.kill_points import environment

ROOT = Path(streamfmt.__file__).parent
CORPUS = ROOT.parent / "corpus"
# A package, or module at the top, may import from itself and from those in rows above its own, not from its neighbours.
ORDER = (
    ("data", "errors", "field_tables", "payload_tables", "qemu_tables", "tables"),
    ("schema",),
    ("codec",),
    ("reader",),
    ("io", "checks"),
    ("writer",),
    ("memory",),
    ("recipes",),
    ("api",),
    ("aio",),
    ("strategies",),
    ("render",),
    ("convert",),
    ("compare",),
    ("engine",),
    ("corpus",),
    ("conformance",),
    ("fuzz",),
    ("cli",),
    ("bench",),
    ("tests",),
)
LINES_PER_MODULE, LINES_PER_FUNCTION = 400, 60
GENERATED = ("tables.py", "field_tables.py", "payload_tables.py", "qemu_tables.py")
SOURCES = sorted(path for path in ROOT.rglob("*.py") if "_data" not in path.parts)


@cache
def parsed(path: Path) -> ast.Module:
    """A file's syntax; five tests look at it."""
    return ast.parse(path.read_text())


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Absolute names of all modules a file imports."""
    package = ("streamfmt", *path.relative_to(ROOT).parent.parts)
    tree = parsed(path)
    found = set()
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            found |= {module} | {f"{module}.{name.name}" for name in node.names}
    return found


def each_is_free_of(offence: Callable[[Path], object]) -> None:
    """No file has what an offence finds in it: one test of all files, since a test takes longer than a file."""
    assert {str(path.relative_to(ROOT)): found for path in SOURCES if (found := offence(path))} == {}


def test_dependencies_point_one_way() -> None:
    """No package imports from one that is beside or below it."""
    each_is_free_of(_wrong_rooms)


def _wrong_rooms(path: Path) -> set[str]:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return set()
    row = next(number for number, names in enumerate(ORDER) if own in names)
    above = {name for names in ORDER[:row] for name in names} | {own}
    if own == "errors":
        above |= {"checks", "reader"}  # for the types of what its exceptions carry; it loads neither
    rooms = {parts[1] for name in imports(path) if (parts := name.split("."))[0] == "streamfmt" and len(parts) > 1}
    return rooms & {name for names in ORDER for name in names} - above


def test_modules_and_functions_are_short() -> None:
    """A module has one subject, and a function fits a screen; generated tables and tests may be longer."""
    each_is_free_of(_too_long)


def _too_long(path: Path) -> list[tuple[str, int]]:
    if path.name in GENERATED or path.relative_to(ROOT).parts[0] == "tests":
        return []
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lines = [(row.name, (row.end_lineno or row.lineno) - row.lineno + 1) for row in functions]
    module = len(path.read_text().splitlines())
    found = [("the module", module)] if module > LINES_PER_MODULE else []
    return found + [(name, count) for name, count in lines if count > LINES_PER_FUNCTION]


def test_construct_stays_in_schema() -> None:
    """Only streamfmt.schema imports the untyped library; tests may use it as an oracle, benchmarks to build."""
    each_is_free_of(_construct)


def _construct(path: Path) -> set[str]:
    if path.relative_to(ROOT).parts[0] in ("schema", "tests", "bench"):
        return set()
    return {name for name in imports(path) if name.split(".")[0] == "construct"}


def test_hypothesis_stays_in_strategies() -> None:
    """Only strategies and fuzzing need the extra: all else works without it."""
    each_is_free_of(_hypothesis)


def _hypothesis(path: Path) -> set[str]:
    place = path.relative_to(ROOT)
    if place.parts[0] in ("strategies", "fuzz", "tests") or place == Path("cli", "fuzz.py"):
        return set()
    return {name for name in imports(path) if f"{name}.".startswith(("hypothesis.", "streamfmt.strategies."))}


@pytest.mark.parametrize("package", ["reader", "checks"])
def test_hot_modules_import_little(package: str) -> None:
    """Nothing beyond the standard library's cheap modules is imported on the way to a verdict."""
    heavy = {"dataclasses", "typing", "enum", "pathlib", "logging", "json", "tomllib", "rich", "construct"}
    for path in (ROOT / package).glob("*.py"):
        assert not {name.split(".")[0] for name in imports(path, top_level_only=True)} & heavy, path


# Modules of ours that a verify of any healthy image loads, and what else a note or a save file of xl takes.
CLEAN = {
    "checks",
    "checks.findings",
    "checks.hvm",
    "checks.layer",
    "checks.libxc",
    "checks.outcome",
    "checks.verifier",
    "cli",
    "cli.arguments",
    "cli.inputs",
    "cli.main",
    "cli.verify",
    "io",
    "io.sources",
    "reader",
    "reader.events",
    "reader.fields",
    "reader.framing",
    "reader.hvm_context",
    "reader.identify",
    "reader.libxc",
    "reader.pump",
    "reader.reader",
    "reader.registry",
    "render",
    "render.text",
    "tables",
}
NOTED = {"checks.messages"}
AROUND = {
    "checks.configured",
    "checks.device_model",
    "checks.libxl",
    "checks.xenstored",
    "checks.xl_libvirt",
    "reader.configuration",
    "reader.configuration_forms",
    "reader.containers",
    "reader.libxl",
    "reader.xenstore",
}


@pytest.mark.parametrize(
    ("stream", "more"),
    [
        pytest.param(HVM.render, set(), id="libxc"),
        pytest.param(XL_HVM.render, AROUND, id="xl"),
        pytest.param(lambda: gzip.decompress((CORPUS / "real" / "hvm-64.bin.gz").read_bytes()), NOTED, id="noted"),
    ],
)
def test_modules_of_a_clean_verify(stream: Callable[[], bytes], more: set[str], tmp_path: Path) -> None:
    """A healthy stream, notes and all, is judged with these modules of ours and nothing heavy."""
    sample = tmp_path / "guest.sav"
    sample.write_bytes(stream())
    program = (
        "import sys; before = set(sys.modules); from streamfmt.cli.main import main;"
        f"status = main(['verify', {str(sample)!r}]);"
        "print(status, *sorted(set(sys.modules) - before))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    status, *loaded = shown.splitlines()[-1].split()
    ours = {name.removeprefix("streamfmt.") for name in loaded if name.startswith("streamfmt.")}

    assert status == "0"
    assert ours == CLEAN | more
    heavy = {"construct", "rich", "json", "tomllib", "dataclasses", "typing", "pathlib", "shutil"}
    # Each of these takes longer to load than such a stream to judge; struct is a module more to find.
    heavy |= {"argparse", "re", "gettext", "locale", "enum", "functools", "importlib", "struct"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize(
    "words",
    [
        ["extract", "emulator", "-o", "out"],
        ["edit", "--set", "X86_TSC_INFO.khz=5", "--in-place"],
        ["edit", "--set", "HVM_PARAMS.STORE_PFN=5", "--dry-run"],
    ],
    ids=" ".join,
)
def test_modules_of_small_changes(words: list[str], tmp_path: Path) -> None:
    """A part and a field of a large file are had without what takes longer to load than to look for them."""
    (tmp_path / "guest.sav").write_bytes(XL_HVM.render())
    verb, *rest = words
    program = (
        "import sys; before = set(sys.modules); from streamfmt.cli.main import main;"
        f"status = main({[verb, 'guest.sav', *rest]!r});"
        "print(status, *sorted(set(sys.modules) - before))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, env=environment()
    ).stdout
    status, *loaded = shown.splitlines()[-1].split()

    assert status == "0"
    heavy = {"construct", "rich", "json", "tomllib", "dataclasses", "typing", "pathlib", "shutil", "argparse"}
    heavy |= {"re", "gettext", "locale", "enum", "functools", "importlib", "collections", "array", "bisect", "tempfile"}
    if verb == "extract":  # to a file; its errors are named by what contextlib has
        heavy -= {"functools", "collections"}
    assert not heavy & set(loaded)


# Packages in which layers are made by name, by `schema`, or measured by name.
BY_NAME = ("schema", "tables.py", "bench", "tests")
# Names of tables that choose what is made of a form or asked about it, and of lists of what others take.
CHOOSING = {
    "recipes/guest.py": {"_WRAPS"},
    "recipes/legacy.py": {"_WRAPS"},
    "convert/parts.py": {"ALIASES"},
    "writer/writer.py": {"_BEGUN"},
    "strategies/conforming.py": {"SHAPES"},
    "conformance/ask.py": {"READERS"},
    "conformance/cases.py": {"FORMS", "BACK"},
    "conformance/cases_qemu.py": {"FORM"},
    "conformance/cases_toolstack.py": {"ASKED"},
    "conformance/script_driver.py": {"_READERS"},
    "cli/verify_stream_v2.py": {"FORMATS"},
    "convert/asked.py": {"TARGETS"},
    "engine/emulator/monitor.py": {"_VERSION"},  # what a monitor calls its program
}
# What strings are asked by, beside comparison.
ASKING = ("startswith", "endswith", "removeprefix", "find", "index", "count")


def _constants(node: ast.AST | None, known: dict[str, ast.expr]) -> set[object]:
    """The constants that a value is, or that are in it, by way of a name at the top of the module too."""
    if isinstance(node, ast.Name):
        return _constants(known.get(node.id), {})
    inner = node.elts if isinstance(node, (ast.Tuple, ast.Set, ast.List)) else [node] if node else []
    return {one.value for one in inner if isinstance(one, ast.Constant)}


def named_layers(path: str, source: str) -> set[object]:
    """The layers by whose names a module branches: compared, matched, asked for, or keys of facts about them."""
    tree = ast.parse(source)
    top = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    choosing = [top.pop(name) for name in CHOOSING.get(path, ())]
    found: set[object] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            found |= set().union(*(_constants(side, top) for side in (node.left, *node.comparators)))
        elif isinstance(node, ast.MatchValue):
            found |= _constants(node.value, top)
        elif isinstance(node, ast.Dict) and node not in choosing:
            found |= set().union(*(_constants(key, top) for key in node.keys))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKING:
            found |= set().union(*(_constants(argument, top) for argument in node.args))
    return {value for value in found if isinstance(value, str) and value.removesuffix(".") in FORMS}


def test_no_layer_is_compared_by_name() -> None:
    """Nothing asks which layer it is: it looks up what the layer's row says."""
    each_is_free_of(_compared)


def _compared(path: Path) -> set[object]:
    name = path.relative_to(ROOT).as_posix()
    return set() if name.partition("/")[0] in BY_NAME else named_layers(name, path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "form == 'xl'",
        "'xl' != form",
        "form in ('text', 'xl')",
        "FORM = 'xl'\nform == FORM",
        "LIMITS = {'xl': 1}",
        "LIMITS: object = {'a': {'xl': 1}}",
        "match form:\n    case 'xl' | 'text':\n        pass",
        "path.startswith('xl.')",
        "path.startswith(('xl.', 'text'))",
    ],
)
def test_every_way_of_naming_a_layer_is_seen(source: str) -> None:
    """Each of these would be found, and a path of a record or a lookup would not."""
    assert {str(name).removesuffix(".") for name in named_layers("module.py", source)} == {"xl"}
    assert named_layers("module.py", "rows['xl'], path == 'xl.header', make('xl')") == set()


def test_no_module_imports_itself() -> None:
    """No circle of imports, of types or not, at the top of a module or inside: each module can be understood alone."""
    names = {".".join(("streamfmt", *path.relative_to(ROOT).with_suffix("").parts)): path for path in SOURCES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items() if "tests" not in path.parts}
    needs = {name: {found for found in imports(path) if found in names} - {name} for name, path in names.items()}
    # A package's own names are those of the modules in it: what it gives on is no use of them.
    needs |= {name: set() for name, path in names.items() if path.name in ("__init__.py", "__main__.py")}
    while free := {name for name, used in needs.items() if not used & needs.keys()}:
        needs = {name: used for name, used in needs.items() if name not in free}

    assert not needs
