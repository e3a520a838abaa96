"""Words of the findings that tables make: what was expected, and what came before what."""

from __future__ import annotations

from .. import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def number(value: int | bytes) -> str:
    if isinstance(value, bytes):
        return value.hex(" ")
    return str(value) if value < 1 << 16 else f"{value:#x}"


def allowed_words(allowed: tuple[int, ...] | bytes) -> str:
    if isinstance(allowed, bytes):
        return allowed.hex(" ") if any(allowed) else "zero"
    return " or ".join(number(value) for value in allowed)


def count(number: int, noun: str) -> str:
    """So many of something: "1 byte", "2,048 bytes"."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def follow(count: int, after: str) -> str:
    """That so many bytes come after something."""
    return f"1 byte follows {after}" if count == 1 else f"{count:,} bytes follow {after}"


def ranges(codes: Iterable[int]) -> str:
    """Numbers in words, those that follow one another by the first and the last: "0 to 4 or 9 to 15"."""
    return " or ".join(" to ".join(map(str, run)) for run in _runs(codes))


def characters(allowed: bytes) -> str:
    """Bytes for people: by what they are called, then one by one; "letters, digits, -/@_"."""
    words = []
    for name, known in _CALLED.items():
        if known <= (left := set(allowed)):
            words.append(name)
            allowed = bytes(sorted(left - known))
    return ", ".join([*words, allowed.decode("latin-1")] if allowed else words)


# What bytes are called, the largest sets first.
_CALLED = {
    "printable ASCII": set(range(0x20, 0x7F)),
    "letters": {*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"},
    "digits": {*b"0123456789"},
}


def _runs(codes: Iterable[int]) -> list[list[int]]:
    """The first and the last of numbers that follow one another; of a number alone only that."""
    found: list[list[int]] = []
    for code in sorted(codes):
        if found and code == found[-1][-1] + 1:
            found[-1][1:] = [code]
        else:
            found.append([code])
    return found


def length_words(fixed: int, unit: int, least: int, most: int | None, lengths: Sequence[int]) -> str:
    if lengths:
        return " or ".join(str(fixed + length) for length in lengths)
    if not unit:
        return str(fixed)
    if most is not None:
        return f"{fixed + unit * least} to {fixed + unit * most}"
    if unit == 1:
        return f"at least {fixed + least}"
    words = f"{fixed} + {unit}n" if fixed else f"{unit}n"
    return words + (f", n at least {least}" if least else "")


def order_message(layer: str, name: str, has: int, lacks: int) -> str:
    names = tables.RECORDS[layer]
    for bits, words in ((lacks, "without {} before it"), (has, "after {}")):
        if bits:
            other = next((names[code] for code, bit in tables.BITS[layer].items() if bits & bit), "a checkpoint")
            return f"{name} comes " + (f"after another {name}" if other == name else words.format(other))
    return f"{name} does not belong in this image"


def shown(name: bytes) -> str:
    """A name for people."""
    return ascii(name.decode("latin-1"))[1:-1]
