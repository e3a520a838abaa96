"""Every constant of the schema, and how each is altered: one literal of a schema module's source at a time.

A constant is an integer or a sequence of bytes that stands in a statement of a module below streamfmt/schema/ (names
and prose are not).  No constants of a format are, and not altered:

- what stands in a function or a class, which say how facts are put together (defaults, such as "no bound", included);
- subscripts and slices: which of several facts is meant;
- the numbers 1 of ``(1 << n) - 1``, in which n is the fact; bits of a byte, ``8 * n``;
- the width of a flag, which is one bit by its nature; where that lies follows from the widths beside it.

Others that have no effect by their nature are in :data:`test_alteration.WITHOUT_EFFECT`, each with its reason.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.machinery
import os
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import streamfmt

FOLDER = Path(str(streamfmt.__file__)).parent / "schema"
# Modules without facts of a format: what they hold is machinery.
MACHINERY = frozenset(("__init__", "clauses", "catalogue", "compile", "machine"))
# What is inside records for somebody else: `test_alteration_payloads` alters it.
PAYLOADS = frozenset(
    {path.stem for pattern in ("hvm_*.py", "payload*.py") for path in FOLDER.glob(pattern)} | {"features"}
)
# What is between drivers and their users, or in messages of other links than a stream's; `test_engine_vfio` and others
# hold the engine to it, and `test_closure` the reader to the marks.
INTERFACES = frozenset(("checkpointing", "vfio", "vfio_user"))
_MOST = 1 << 62
# Numbers that are so round are where a guest has something, by pages.
_ADDRESS = 1 << 28
# Which value a constant takes where the rules below do not find one with which the schema is sound.
_CHOSEN: dict[str, tuple[int | bytes, ...]] = {
    "hvm.CONTEXT_TYPES-3-0x18": (32,),
    "hvm.CONTEXT_TYPES-54-0x18": (32,),
    "layers.LAYERS-1-0x8": (4,),
    "legacy_tmem.ALL_ONES-0-0xffffffff": (0xFFFFFFFE,),
    "libxc.PV_COMBINATIONS-0-0x4": (2,),
    "libxc.PV_COMBINATIONS-1-0x3": (4,),
    "libxc.PV_COMBINATIONS-2-0x8": (16,),
    "libxc.PV_COMBINATIONS-3-0x4": (3,),
    "magic.TEXT-1-0x20": (31,),
    "qemu.EOF-0-0x0": (96,),
    "qemu_multifd.OFFSETS-0-0x200": (1024,),
    "qemu_stream.LENGTHS-6-0x4": (5,),
    "qemu_stream.MEMORY-0-0x100": (0x200,),
    "qemu_stream.MEMORY-12-0x118": (0x128,),
    # Each of these is the first of two.
    **{f"qemu_stream.MEMORY-{place}-{code:#x}": (code + 16,) for place, code in enumerate(range(0x110, 0x118, 2), 8)},
    "magic.TEXT-4-0x100": (255,),
    "magic.NAMESAKES-0-_s_d_0": (rb"(?s:.{%d}(?![\0-\2]\0\0\0).{4}\0{%d}<)",),
    "magic.PREFACES-0-_s_migrate_mem": (rb"%s(?:nigrate/mem|memory)/[!-~]+ HTTP/1\.[01]\r\n",),
}
# Constants for which there is no other value, and why.
UNALTERABLE = {
    "libxc.IMAGE_HEADER-3-0x0": "it means little-endian, as every declaration is written",
    "libxl.HEADER-3-0x0": "it means little-endian, as every declaration is written",
    "legacy.CHUNKS-0-0x0": "what is greater counts the pages of a batch, and all other chunks are below",
    "legacy_numbers.WORDS-0-0x4": "there are no integers of other sizes",
    "legacy_numbers.WORDS-1-0x8": "there are no integers of other sizes",
    "qemu_multifd.METHODS-0-0x0": "no bit is set where pages are not compressed",
    "qemu_multifd.FLAGS-2-0x5": "METHODS has one of the highest of its bits, and beside them are flags",
    "libxc.PAGE_TYPES-14-0x3": "PV_COMBINATIONS names the top level, which has to be there",
    "libxc.PAGE_TYPES-16-0x4": "PV_COMBINATIONS names the top level, which has to be there",
}
# Rows that begin with a code of their own.
_ROWS = frozenset(("RecordType", "_record", "PageType", "_page_table", "ContextType", "_alone", "_block", "_pages"))


@dataclass(frozen=True, slots=True)
class Case:
    """One literal: node `number` of the module's syntax tree; `values` are what it may become, the best first.

    `beside` are other nodes that change with it, by how much: the bits of an integer stay as many.  With `spare`, a
    node's number, that call gets a reserved bit more instead.
    """

    module: str
    target: str
    place: int
    number: int
    value: int | bytes
    values: tuple[int | bytes, ...]
    beside: tuple[tuple[int, int], ...] = ()
    spare: int | None = None

    @property
    def id(self) -> str:
        """Such as "libxl.EMULATOR_IDS-2-0x2"; `place` counts the statement's literals."""
        shown = hex(self.value) if isinstance(self.value, int) else re.sub(r"\W+", "_", repr(self.value)[2:18])
        return f"{self.module}.{self.target}-{self.place}-{shown}"


def _parse(module: str) -> ast.Module:
    return ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"), module)


def _facts(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> Iterator[ast.Constant]:
    """The literals of a statement that are constants, by the rules above."""
    for inner in ast.walk(node):
        parents.update((child, inner) for child in ast.iter_child_nodes(inner))
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and type(inner.value) in (int, bytes) and not _structural(inner, parents):
            yield inner


def _structural(node: ast.Constant, parents: dict[ast.AST, ast.AST]) -> bool:
    above = parents[node]
    if isinstance(above, ast.UnaryOp):
        node_of_interest: ast.AST = above
        above = parents[above]
    else:
        node_of_interest = node
    if isinstance(above, (ast.Subscript, ast.Slice)) or any(isinstance(it, ast.Slice) for it in _above(node, parents)):
        return True
    if isinstance(above, ast.BinOp) and above.left is node_of_interest:
        return (isinstance(above.op, ast.LShift) and node.value == 1) or (
            isinstance(above.op, ast.Mult) and node.value == 8
        )
    if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Sub) and isinstance(above.left, ast.BinOp):
        return node.value == 1
    return isinstance(node.value, bytes) and not node.value.strip(b"\0")


def _above(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while node in parents:
        node = parents[node]
        yield node


def _position(node: ast.Constant) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _name(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _unused(value: int, others: set[int], ordered: list[int]) -> tuple[int, ...]:
    """What an integer may become that none of the others is; in a rising row it keeps its place."""
    near = [value + 1, value - 1, *(value * 2 + step for step in range(2)), value // 2]
    if len(ordered) > 1 and ordered == sorted(set(ordered)) and value in ordered:
        at = ordered.index(value)
        low = ordered[at - 1] if at else -_MOST
        high = ordered[at + 1] if at + 1 < len(ordered) else _MOST
        kept = [it for it in near if low < it < high and it not in others]
        if kept:
            near = kept
    gaps = [it for it in range(1, 64) if it not in others][:8] if value < 64 else []
    return tuple(dict.fromkeys(it for it in (*gaps, *near) if it not in others | {value} and it >= 0))


def _texts(value: bytes) -> Iterator[bytes]:
    """Bytes with one that is another; what is a pattern stays one."""
    for at in range(len(value)):
        found = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        if b"(?" not in value or (
            at and chr(value[at]) in "<PU" and re.compile(found.replace(b"%d", b"1").replace(b"%s", b""))
        ):
            yield found


def _widths(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> tuple[ast.Call, list[ast.Constant]] | None:
    """The bit fields that a width stands among, and the widths of all of them."""
    if _name(parents[node]) not in ("BitsInteger", "reserved_bits"):
        return None
    outer = next(it for it in _above(node, parents) if _name(it) in ("little_bits", "BitStruct"))
    assert isinstance(outer, ast.Call)
    calls = [it for it in ast.walk(outer) if _name(it) in ("BitsInteger", "reserved_bits")]
    widths = [it.args[0] for it in calls if isinstance(it, ast.Call)]
    return outer, sorted((it for it in widths if isinstance(it, ast.Constant)), key=_position)


def _integer(
    node: ast.Constant, parents: dict[ast.AST, ast.AST], literals: list[ast.Constant]
) -> tuple[tuple[int | bytes, ...], tuple[tuple[ast.AST, int], ...], ast.AST | None]:
    value = node.value
    assert isinstance(value, int)
    bits = _widths(node, parents)
    if bits is not None:
        outer, widths = bits
        at = widths.index(node)
        for other in (*widths[at + 1 : at + 2], *widths[max(at - 1, 0) : at]):
            if value > 1 and isinstance(other.value, int) and other.value > 1:
                step = 1 if value < 8 else -1
                return (value + step,), ((other, -step),), None
        return ((value - 1,), (), outer) if value > 1 else ((), (), None)
    above = parents[node]
    if isinstance(above, ast.keyword) and above.arg == "align":
        return (2 * value, value // 2), (), None
    if value >= _ADDRESS and not value % _ADDRESS:
        return (2 * value, value // 2), (), None
    if isinstance(above, ast.UnaryOp):  # a negative number: its literal is its amount, and becomes that of no other
        return (value + 32, value + 64, value + 96), (), None
    place = _coded(node, parents)
    if place is not None:
        codes = {it.value for it in literals if isinstance(it.value, int) and _coded(it, parents) == place}
        return _unused(value, codes, []), (), None
    items: list[ast.expr] = []
    if isinstance(above, ast.Tuple):
        items = above.elts
    elif isinstance(above, ast.Dict):
        items = [it for it in above.keys if it] if node in above.keys else above.values
    numbers = [it.value for it in items if isinstance(it, ast.Constant) and isinstance(it.value, int)]
    if isinstance(above, ast.Dict):
        return _unused(value, set(numbers), []), (), None
    found = _unused(value, set(numbers), numbers)
    if isinstance(above, ast.Tuple) and len(numbers) > 1 and numbers == sorted(set(numbers)):
        found = tuple(it for it in found if _placed(it, value, numbers))
    elif not isinstance(above, ast.Tuple):
        found = (value + 1, value - 1, value * 2)
    return found, (), None


def _coded(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> tuple[bool, int] | None:
    """Where it stands in a row of a table, if it is a code of its own there: in one with a name, or of page tables."""
    above = parents[node]
    if not isinstance(above, ast.Call) or _name(above) not in _ROWS or node not in above.args:
        return None
    place = above.args.index(node)
    return None if place > (_name(above) == "_page_table") else (bool(place), place)


def _placed(new: int, value: int, numbers: list[int]) -> bool:
    at = numbers.index(value)
    return (not at or numbers[at - 1] < new) and (at + 1 == len(numbers) or new < numbers[at + 1])


def _cases(module: str) -> Iterator[Case]:
    tree = _parse(module)
    order = {node: number for number, node in enumerate(ast.walk(tree))}
    for statement in tree.body:
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
            continue
        target = ast.unparse(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)
        target = re.sub(r"\W+", "_", target).strip("_")
        parents: dict[ast.AST, ast.AST] = {statement.value: statement}
        literals = list(_facts(statement.value, parents))
        literals.sort(key=_position)
        for place, node in enumerate(literals):
            assert isinstance(node.value, (int, bytes))
            found = Case(module, target, place, order[node], node.value, ())
            if isinstance(node.value, bytes):
                values: tuple[int | bytes, ...] = tuple(_texts(node.value))
            else:
                values, beside, spare = _integer(node, parents, literals)
                found = replace(
                    found,
                    beside=tuple((order[it], step) for it, step in beside),
                    spare=None if spare is None else order[spare],
                )
            values = _CHOSEN.get(found.id, values)
            if values and found.id not in UNALTERABLE:  # the width of a flag has no other values
                yield replace(found, values=values)


@cache
def cases(modules: frozenset[str] | None = None) -> tuple[Case, ...]:
    """All constants of the schema but those inside payloads, or of the modules that are named."""
    every = modules or {path.stem for path in FOLDER.glob("*.py")} - MACHINERY - PAYLOADS - INTERFACES
    return tuple(case for module in sorted(every) for case in _cases(module))


def groups(count: int) -> list[dict[Case, int | bytes]]:
    """All constants in so many groups, of a statement as few together as can be, and those different afterwards."""
    found: list[dict[Case, int | bytes]] = [{} for _ in range(count)]
    for case in cases():
        for group in sorted(found, key=lambda group: (_alike(group, case), len(group))):
            taken = {group[it] for it in group if (it.module, it.target) == (case.module, case.target)}
            free = [it for it in case.values if it not in taken]
            if free and not (case.beside and any(it.beside for it in group)):
                group[case] = free[0]
                break
        else:
            raise AssertionError(f"{case.id} fits into no group")
    return found


def spread(count: int, every: Sequence[Case]) -> list[dict[Case, int | bytes]]:
    """Constants in so many groups, those of a bit field that change together apart from others that do."""
    found: list[dict[Case, int | bytes]] = [{} for _ in range(count)]
    touched: list[set[tuple[str, int]]] = [set() for _ in range(count)]
    for number, case in enumerate(every):
        nodes = {(case.module, it) for it in (case.number, *(node for node, _ in case.beside), case.spare) if it}
        place = next((it % count for it in range(number, number + count) if not nodes & touched[it % count]), None)
        if place is not None:
            # Of a list there are rather more than fewer: what is set in it may be its last.
            found[place][case] = next((it for it in case.values if it > case.value), case.values[0])  # type: ignore[operator] # both are of one type
            touched[place] |= nodes
    return found


def _alike(group: Mapping[Case, int | bytes], case: Case) -> int:
    return sum((it.module, it.target) == (case.module, case.target) for it in group)


# -- a process of its own with one constant altered -----------------------------------------------------------


def _altered(
    module: str, values: Mapping[Case, int | bytes], change: Callable[[ast.Module], None] | None = None
) -> Any:
    """The code of a module with other values, and whatever else is to be changed in it."""
    tree = _parse(module)
    nodes = list(ast.walk(tree))
    spared = False
    for case, value in values.items():
        node = nodes[case.number]
        assert isinstance(node, ast.Constant)
        assert node.value == case.value
        node.value = value
        for number, step in case.beside:
            other = nodes[number]
            assert isinstance(other, ast.Constant)
            other.value += step  # type: ignore[operator] # it is a width
        if case.spare is not None:
            outer = nodes[case.spare]
            assert isinstance(outer, ast.Call)
            outer.args.append(ast.parse("'reserved_spare' / reserved_bits(1) * 'Spare.'", mode="eval").body)
            spared = True
    if spared:
        future = next(at for at, it in enumerate(tree.body) if isinstance(it, ast.ImportFrom))
        tree.body[future + 1 : future + 1] = ast.parse("from streamfmt.schema.model import reserved_bits").body
    if change is not None:
        change(tree)
    return compile(ast.fix_missing_locations(tree), f"{module}.py", "exec")


class _Loader:
    """Imports modules of the package from code, and generated tables from the schema as it is now."""

    def __init__(self, codes: Mapping[str, Any]) -> None:
        self.codes = codes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name in self.codes or name in ("streamfmt.tables", "streamfmt.payload_tables"):
            return importlib.machinery.ModuleSpec(name, self)  # type: ignore[arg-type] # it has what a loader needs
        return None

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ in self.codes:
            module.__file__ = str(FOLDER / f"{module.__name__.rpartition('.')[2]}.py")
            exec(self.codes[module.__name__], module.__dict__)
        elif module.__name__ == "streamfmt.payload_tables":
            exec(importlib.import_module("streamfmt.schema.compile").payload_source(), module.__dict__)
        else:
            module.__dict__.update(importlib.import_module("streamfmt.schema.compile").tables())


# What takes long to import and knows nothing of the schema.
_KEPT = ("streamfmt", "streamfmt.data", "streamfmt.errors", "streamfmt.schema.clauses", "streamfmt.tests")


def _forget() -> None:
    """Have no module of the package imported but those that are kept."""
    gone = [name for name in sys.modules if name.startswith("streamfmt.") and not name.startswith(_KEPT[1:])]
    for name in gone:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            sys.modules[parent].__dict__.pop(child, None)


def in_process(work: Callable[[], Any]) -> Any:
    """What `work` returns in a process of its own, which has all that this one has imported.  Raises RuntimeError."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            try:
                found: Any = (True, work())
            except BaseException as error:  # whatever it is, the parent is to name it
                import traceback

                found = (False, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(found, pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(child, 0)
    fine, found = pickle.loads(raw) if raw else (False, "the process died")
    if not fine:
        raise RuntimeError(found)
    return found


def constants(module: ModuleType) -> dict[str, Any]:
    """The reader's tables by name, without what else a module has that they are written in."""
    return {name: it for name, it in vars(module).items() if name.isupper() and name != "TYPE_CHECKING"}


def install(values: Mapping[Case, int | bytes]) -> dict[str, Any]:
    """From here on this process has the altered schema; the reader's tables that follow from it."""
    _forget()
    modules = {case.module for case in values}
    codes = {
        f"streamfmt.schema.{name}": _altered(name, {case: it for case, it in values.items() if case.module == name})
        for name in modules
    }
    sys.meta_path.insert(0, _Loader(codes))
    return constants(importlib.import_module("streamfmt.tables"))


def _sized(tree: ast.Module) -> None:
    """Have forms be as long as what is declared: their lengths are stated once more, beside, to be compared."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) == "Payload" and len(node.args) > 4:
            declared = copy.deepcopy(node.args[3])
            node.args[4] = ast.Call(ast.Attribute(declared, "sizeof", ast.Load()), [], [])


def install_payloads(values: Mapping[Case, int | bytes]) -> dict[str, Any]:
    """The same with constants of payloads; tables of payloads.

    Lengths of entries and of contexts, which are stated beside for those who look into none, are made to follow.
    """
    lengths = {row.path: row.size for row in importlib.import_module("streamfmt.schema.payloads").PAYLOADS}
    _forget()
    codes = {
        f"streamfmt.schema.{name}": _altered(name, {it: to for it, to in values.items() if it.module == name}, _sized)
        for name in PAYLOADS
    }
    sys.meta_path.insert(0, _Loader(codes))
    contexts = importlib.import_module("streamfmt.schema.payload_pv").CONTEXTS
    sizes = {lengths[row.path]: row.size for row in contexts}
    stated = {case: sizes[case.value] for case in _cases("libxc") if case.target == "VCPU_CONTEXT_SIZES"}
    _forget()  # declarations stand on what libxc's module states
    codes["streamfmt.schema.libxc"] = _altered("libxc", stated)
    payloads = importlib.import_module("streamfmt.schema.payloads")
    now = {(payloads.entry_of(row.path), lengths[row.path]): row.size for row in payloads.HVM_ENTRIES}
    for row in importlib.import_module("streamfmt.schema.hvm").CONTEXT_TYPES:
        object.__setattr__(row, "lengths", tuple(now.get((row.name, length), length) for length in row.lengths))
    return constants(importlib.import_module("streamfmt.payload_tables"))
