"""A small assembler for the programs that guests run: 32-bit protected mode, only the instructions they need.

Encodings are those of the Intel SDM, volume 2.  A program is a sequence of bytes, labels, and jumps to labels, which
are short ones all: a program that is longer than they reach does not assemble.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
# Opcodes of jumps by 8 bits, by the condition after a comparison of numbers without a sign.
_JUMPS = {"": 0xEB, "below": 0x72, "zero": 0x74, "not zero": 0x75, "not above": 0x76}


@dataclass(frozen=True, slots=True)
class Label:
    """A name of the place of what follows."""

    name: str


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump to a label; `condition` is a key of the table of jumps, "" for always."""

    condition: str
    label: str


Item: TypeAlias = bytes | Label | Jump


def assemble(items: Iterable[Item], origin: int) -> tuple[bytes, dict[str, int]]:
    """The bytes of a program that begins at address `origin`, and the addresses of its labels.

    :raises KeyError: a jump goes to no label.
    :raises OverflowError: a label is too far away for a short jump.
    """
    program = tuple(items)
    places: dict[str, int] = {}
    at = origin
    for item in program:
        if isinstance(item, Label):
            places[item.name] = at
        at += _size(item)
    code = bytearray()
    for item in program:
        if isinstance(item, bytes):
            code += item
        elif isinstance(item, Jump):
            away = places[item.label] - (origin + len(code) + _size(item))
            code += bytes([_JUMPS[item.condition]]) + away.to_bytes(1, "little", signed=True)
    return bytes(code), places


def _size(item: Item) -> int:
    return len(item) if isinstance(item, bytes) else 2 if isinstance(item, Jump) else 0


def _memory(opcode: int, register: int, base: int, offset: int) -> bytes:
    """An instruction on a register and a word in memory at a base register other than ESP."""
    if -128 <= offset < 128:
        return bytes([opcode, 0x40 | register << 3 | base]) + offset.to_bytes(1, "little", signed=True)
    return bytes([opcode, 0x80 | register << 3 | base]) + offset.to_bytes(4, "little", signed=True)


def load(register: int, base: int, offset: int = 0) -> bytes:
    """Register = word in memory."""
    return _memory(0x8B, register, base, offset)


def store(base: int, offset: int, register: int) -> bytes:
    """Word in memory = register."""
    return _memory(0x89, register, base, offset)


def load_byte(base: int, offset: int) -> bytes:
    """AL = byte in memory."""
    return _memory(0x8A, EAX, base, offset)


def increment_word(base: int, offset: int = 0) -> bytes:
    """Word in memory + 1."""
    return _memory(0xFF, 0, base, offset)


def compare(register: int, base: int, offset: int) -> bytes:
    """Compare a register with a word in memory."""
    return _memory(0x3B, register, base, offset)


def subtract(register: int, base: int, offset: int) -> bytes:
    """Register - word in memory."""
    return _memory(0x2B, register, base, offset)


def compare_zero(base: int, offset: int) -> bytes:
    """Compare a word in memory with 0."""
    return _memory(0x83, 7, base, offset) + b"\0"


def move(to: int, register: int) -> bytes:
    """A register = another."""
    return bytes([0x89, 0xC0 | register << 3 | to])


def add(to: int, register: int) -> bytes:
    """A register + another."""
    return bytes([0x01, 0xC0 | register << 3 | to])


def test(register: int) -> bytes:
    """Compare a register with 0."""
    return bytes([0x85, 0xC0 | register << 3 | register])


def increment(register: int) -> bytes:
    """Register + 1, without a change of the carry."""
    return bytes([0x40 | register])


def decrement(register: int) -> bytes:
    """Register - 1."""
    return bytes([0x48 | register])


def push(register: int) -> bytes:
    """Put a register on the stack."""
    return bytes([0x50 | register])


def pop(register: int) -> bytes:
    """Take a register from the stack."""
    return bytes([0x58 | register])


def set_byte(value: int) -> bytes:
    """AL = value."""
    return bytes([0xB0, value])


def read_port(port: int) -> bytes:
    """EAX = what a port gives."""
    return bytes([0xE5, port])


def write_port(port: int) -> bytes:
    """A port = EAX."""
    return bytes([0xE7, port])


def write_port_byte(port: int) -> bytes:
    """A port = AL."""
    return bytes([0xE6, port])


def push_from_stack(offset: int) -> bytes:
    """Put a word of the stack on it once more."""
    return bytes([0xFF, 0x74, 0x24, offset])


def far_return(over: int) -> bytes:
    """Return to an address and a code segment on the stack, and drop so many bytes that lie over them."""
    return b"\xca" + over.to_bytes(2, "little")


HALT, ENABLE_INTERRUPTS, POP_FLAGS, RETURN = b"\xf4", b"\xfb", b"\x9d", b"\xc3"
