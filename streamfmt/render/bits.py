"""Bits by their names: of registers in payloads, and of what policies say of leaves and MSRs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from ..schema import features, hvm_params

# How payloads' paths begin.
_PAYLOADS = ("hvm.", "pv.")
# Lists of MSRs, and of which lists the elements' values have bits with names, by what an element is about.
_MSRS = ".msrs"
_BITS = {"libxc.X86_MSR_POLICY.msrs": features.MSR_BITS}
_PARAMS = "libxc.HVM_PARAMS.params"


def named(path: str, field: str, value: int) -> str:
    """The names of the bits that are set in a register of a payload, in parentheses; empty if it has none."""
    names = features.FIELD_BITS.get(path, {}).get(field)
    if names is None and path.startswith(_PAYLOADS):
        names = features.REGISTER_BITS.get(field.rpartition(".")[2])
    return f" ({_words(value, names)})" if names and value else ""


def _words(value: int, names: Mapping[int, str]) -> str:
    """The bits that are set by their names, and what has none as one number."""
    words = [name for bit, name in names.items() if value >> bit & 1]
    rest = value & ~sum(1 << bit for bit in names)
    return " ".join([*words, *([f"+{rest:#x}"] if rest else [])])


@cache
def leaf(number: int, subleaf: int) -> dict[str, tuple[features.Feature, ...]]:
    """What a leaf's registers have names for, by register."""
    found: dict[str, list[features.Feature]] = {}
    for row in features.FEATURES:
        if (row.leaf, row.subleaf) == (number, subleaf):
            found.setdefault(row.register, []).append(row)
    return {register: tuple(found[register]) for register in sorted(found)}


def said(path: str, values: Mapping[str, int]) -> dict[str, int | str]:
    """What an element of a list says by name: bits that are set, and numbers that are not 0 or have names.

    :param path: of the list's layout.
    """
    if "leaf" in values:
        rows = [row for rows in leaf(values["leaf"], values["subleaf"]).values() for row in rows]
        found = {row.name: values[row.register] >> row.shift & (1 << row.bits) - 1 for row in rows}
        return {name: value for name, value in found.items() if value} | _text(values)
    if path == _PARAMS:
        return dict(_param(values["index"], values["value"]))
    names = _BITS.get(path, {}).get(values.get("index", -1), {})
    return {name: 1 for bit, name in names.items() if values["value"] >> bit & 1}


def words(path: str, values: Mapping[str, int]) -> Iterator[str]:
    """What the elements of lists of leaves, MSRs and parameters say, a line for each register that does so by name."""
    if "leaf" in values:
        for register, rows in leaf(values["leaf"], values["subleaf"]).items():
            if values[register]:
                yield f"{register}: {_leaf_words(values[register], rows)}"
        yield from (f"{name}: {text!a}" for name, text in _text(values).items())
        return
    if path == _PARAMS:
        text = " ".join(_param_words(values["index"], values["value"]))
        if text:
            yield text
        return
    index = values.get("index", -1)
    bits = _BITS.get(path, {}).get(index)
    name = features.MSR_NAMES.get(index, "") if path.endswith(_MSRS) else ""
    said = _words(values["value"], bits) if bits and values["value"] else ""
    if name or said:
        yield ": ".join(filter(None, (name, said)))


def _text(values: Mapping[str, int]) -> dict[str, str]:
    """The text that a leaf's registers are together, by what it is."""
    name, registers = features.TEXTS.get(values["leaf"], ("", ()))
    raw = b"".join(values[register].to_bytes(4, "little") for register in registers).rstrip(b"\0")
    return {name: raw.decode("latin-1")} if raw else {}


def _param(index: int, value: int) -> Iterator[tuple[str, int | str]]:
    """What the value of a parameter says: bits that are set, and numbers that are not 0 or have names."""
    for row in hvm_params.fields(index, value):
        part = value >> row.shift & (1 << row.bits) - 1
        if part or part in row.names:
            yield row.name, row.names.get(part, part)


def _param_words(index: int, value: int) -> Iterator[str]:
    rows = hvm_params.fields(index, value)
    bits = {row.name for row in rows if row.bits == 1}
    for name, part in _param(index, value):
        yield name if name in bits else f"{name}={part if isinstance(part, str) or part < 256 else hex(part)}"
    rest = value & ~sum((1 << row.bits) - 1 << row.shift for row in rows)
    if rows and rest:
        yield f"+{rest:#x}"


def _leaf_words(value: int, rows: Iterable[features.Feature]) -> str:
    """Bits that are set, numbers that are not 0, and as one number what has no name."""
    found, rest = [], value
    for row in rows:
        part = value >> row.shift & (1 << row.bits) - 1
        rest &= ~((1 << row.bits) - 1 << row.shift)
        if part:
            found.append(row.name if row.bits == 1 else f"{row.name}={part if part < 256 else hex(part)}")
    return " ".join([*found, *([f"+{rest:#x}"] if rest else [])])
