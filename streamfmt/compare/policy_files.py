"""Hosts' policies in files: JSON of our own, what `show --json` prints of a stream's policies, and `xen-cpuid -p`."""

from __future__ import annotations

import re

from ..schema import features
from .policy import REGISTERS, Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Bytes of a file that is looked at: hundreds of times what a policy has.
MOST = 16 << 20
_FORMAT = "streamfmt-policy-1"
_SHOWN = "streamfmt-show-"
# Lines of xen-cpuid: what a policy is called, a leaf with its registers, an MSR.
_NAME = re.compile(r"^(.*?)\s*policy: \d+ leaves, \d+ MSRs$")
_LEAF = re.compile(r"^\s*([0-9a-f]{8}):([0-9a-f]{8}) -> " + ":".join(["([0-9a-f]{8})"] * len(REGISTERS)) + r"\s*$")
_MSR = re.compile(r"^\s*([0-9a-f]{8}) -> ([0-9a-f]{16})\s*$")
# Of the policies that it prints, those that say most about what a guest can have, by their names in lower case.
_BEST = ("{} max", "{} default", "host", "raw")
_DIGITS = 18


class UnfitPolicyError(ValueError):
    """A file that has no host's policy; the message says where, and why not."""


def is_text(head: bytes) -> bool:
    """Whether a file that begins so is one of these, and no stream."""
    bare = head.lstrip()
    return bare.startswith(b"{") or any(_NAME.match(line) for line in head.decode("latin-1").splitlines())


def read(data: bytes, guest: str) -> Policy:
    """The host's policy in a file, for a guest that is "pv" or "hvm".  Raises UnfitPolicyError."""
    text = data.decode(errors="backslashreplace")
    found = _of_json(text) if text.lstrip().startswith("{") else _of_listing(text, guest)
    if not found:
        raise UnfitPolicyError("it has no leaf and no MSR")
    return found


# -- xen-cpuid -----------------------------------------------------------------------------------------------------


def _of_listing(text: str, guest: str) -> Policy:
    policies: dict[str, Policy] = {}
    current = Policy()
    for line in text.splitlines():
        if named := _NAME.match(line):
            current = policies[named[1].lower()] = Policy(named[1])
        elif leaf := _LEAF.match(line):
            number, subleaf, *registers = (int(word, 16) for word in leaf.groups())
            current.leaves[number, subleaf] = tuple(registers)
        elif msr := _MSR.match(line):
            current.msrs[int(msr[1], 16)] = int(msr[2], 16)
    policies = {name: policy for name, policy in policies.items() if policy}
    best = (policies.get(name.format(guest)) for name in _BEST)
    return next(filter(None, best), next(iter(policies.values()), Policy()))


# -- JSON ----------------------------------------------------------------------------------------------------------


def _of_json(text: str) -> Policy:
    from json import JSONDecodeError, JSONDecoder

    found = Policy()
    decoder, at = JSONDecoder(), 0
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except JSONDecodeError as error:
            raise UnfitPolicyError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
        except RecursionError:
            raise UnfitPolicyError("it nests too deep") from None
        line = text.count("\n", 0, at) + 1
        at = end + len(text[end:]) - len(text[end:].lstrip())
        if not isinstance(value, dict) or not isinstance(value.get("format"), str):
            raise UnfitPolicyError(f'line {line}: no object with "format"')
        _add(value, found, line)
    return found


def _add(value: dict[str, Any], found: Policy, line: int) -> None:
    """Take what one object has of a policy."""
    form = value["format"]
    if form.startswith(_SHOWN):
        value = value.get("fields", {})  # records other than policies have neither of the two
    elif form != _FORMAT:
        raise UnfitPolicyError(f"line {line}: its format is {form[:64]!r}, not {_FORMAT} or {_SHOWN}3")
    for key, names in (("leaves", ("leaf", "subleaf", *REGISTERS)), ("msrs", ("index", "value"))):
        rows = value.get(key, [])
        if not isinstance(rows, list):
            raise UnfitPolicyError(f"line {line}: {key} is no list")
        for place, row in enumerate(rows):
            where = f"line {line}: {key}[{place}]"
            if not isinstance(row, dict):
                raise UnfitPolicyError(f"{where} is no object")
            default = {"subleaf": features.NONE}
            numbers = [_number(row.get(name, default.get(name)), name, where) for name in names]
            if key == "msrs":
                found.msrs[numbers[0]] = numbers[1]
            else:
                found.leaves[numbers[0], numbers[1]] = tuple(numbers[2:])


def _number(value: Any, name: str, where: str) -> int:
    """A number, or one in hexadecimal in a string."""
    if isinstance(value, str) and len(value) <= _DIGITS and re.fullmatch("0x[0-9a-fA-F]+", value):
        value = int(value, 16)
    most = 1 << (64 if name == "value" else 32)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < most:
        raise UnfitPolicyError(f"{where}: {name} is no number from 0 to {most - 1:#x}")
    return value
