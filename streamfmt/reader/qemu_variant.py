"""Which machine types of QEMU, and which releases, could have written a stream: its sections show it.

Lengths and order of sections differ.  What is known of them was seen of the releases that were run, and is in
spec/qemu-machines.toml.  Sets of versions and of releases are numbers, as `qemu_tables` has them.
"""

from __future__ import annotations

from .. import qemu_tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    # A part of a section: name, bytes, more for each vcpu, versions and releases that write it, whether others may,
    # releases and versions that take it.
    Part = tuple[bytes, int, int, int, int, bool, int, int]

RELEASES, VERSIONS = qemu_tables.RELEASES, qemu_tables.VERSIONS
_EVERY = (1 << len(VERSIONS)) - 1
_EVERY_RELEASE = (1 << len(RELEASES)) - 1
# Vcpus that a machine may have.
_VCPUS = 4096
_ORDERED = {name for first, then, _ in qemu_tables.ORDERS for name in (first, then)}
_SHOWN = {name: machine for machine, (*_, shown) in qemu_tables.MACHINES.items() for name in shown}


def bare(name: bytes) -> bytes:
    """A section's name without the place of the device on its bus."""
    return name.rpartition(b"/")[2]


def explained(key: tuple[bytes, int], length: int) -> Iterator[tuple[int, int, tuple[Part, ...], tuple[Part, ...]]]:
    """The ways in which such a section, by name and version, has that length, of those in which some release writes it.

    Bytes of the layout, its versions, the parts that come after it, and those that are not there.
    """
    row = qemu_tables.SECTIONS.get(key)
    if row is None:
        return
    _, layouts, parts = row
    for size, versions in layouts:
        for chosen in range(1 << len(parts)):
            there = tuple(part for number, part in enumerate(parts) if chosen >> number & 1)
            left = length - size - sum(part[1] for part in there)
            more = next((part[2] for part in there if part[2]), 0)
            if not left or (more and left > 0 and not left % more and left // more < _VCPUS):
                way = size, versions, there, tuple(part for part in parts if part not in there)
                if any(_writers(way, release) for release in range(len(RELEASES))):
                    yield way


def _writers(way: tuple[int, int, tuple[Part, ...], tuple[Part, ...]], release: int) -> int:
    """The versions of a release that write a section in that way."""
    _, mask, there, missing = way
    for part in there:
        mask &= _EVERY if part[5] else part[3] if part[4] >> release & 1 else 0
    for part in missing:
        mask &= ~part[3] if part[4] >> release & 1 else _EVERY
    return mask


def writers(key: tuple[bytes, int], length: int) -> list[int]:
    """The versions that write such a section with that length, by release; none if the length is not known."""
    found = [0] * len(RELEASES)
    for way in explained(key, length):
        for release in range(len(RELEASES)):
            found[release] |= _writers(way, release)
    return found


class Variant:
    """What could have written a stream: versions of a machine type, by release; `machine` is its name without version.

    `masks` are the sets of versions, one for each of RELEASES; of a machine type without versions 1 for a release.
    """

    __slots__ = ("machine", "masks", "others")

    def __init__(self, machine: str, masks: Sequence[int], others: bool) -> None:
        self.machine = machine
        self.masks = tuple(masks)
        self.others = others

    @property
    def versions(self) -> int:
        """The versions that could have, in any release; none of a machine type that has none."""
        if not qemu_tables.MACHINES[self.machine][2]:
            return 0
        found = 0
        for mask in self.masks:
            found |= mask
        return found

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases, of those that are known, that could have."""
        return tuple(release for release, mask in zip(RELEASES, self.masks, strict=True) if mask)

    def machines(self) -> list[str]:
        """Names of the machine types, with those of the same devices that Xen starts if such are not ruled out."""
        if not self.versions:
            return [self.machine]
        found = [f"{self.machine}-{version}" for version in _named(self.versions)]
        for name, (_, like, has, _, _) in qemu_tables.MACHINES.items():
            if self.others and like == self.machine:
                mask = 0
                for release, known in has.items():
                    mask |= known & self.masks[release]
                found += [f"{name}-{version}" for version in _named(mask)]
        return found

    def bounds(self) -> tuple[str, str, str]:
        """The first release, the last one before it that is ruled out, and the first after it that is; "" for none."""
        numbers = [number for number, mask in enumerate(self.masks) if mask]
        versions = self.versions
        first = VERSIONS[(versions & -versions).bit_length() - 1] if versions else ""
        after = RELEASES[numbers[0] - 1] if numbers[0] else ""
        if after and first and VERSIONS.index(after) < VERSIONS.index(first):
            after = ""
        before = RELEASES[numbers[-1] + 1] if numbers[-1] + 1 < len(RELEASES) else ""
        return ("" if after else first), after, before

    def words(self) -> str:
        """All of it in a line: "pc-i440fx-2.1 to 3.1 or xenfv-3.1, of QEMU after 7.2, before 11.1"."""
        spans = [_spans(self.machine, self.versions) if self.versions else f"{self.machine!r}"]
        spans += self.machines()[bin(self.versions).count("1") :] if self.versions else []
        first, after, before = self.bounds()
        when = [f"{first} or newer"] if first else [f"after {after}"] if after else []
        when += [f"before {before}"] if before else []
        return " or ".join(spans) + (f", of QEMU {', '.join(when)}" if when else "")

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        first, after, before = self.bounds()
        releases = {"from": first or None, "after": after or None, "before": before or None, "seen": [*self.releases]}
        return {"machines": self.machines(), "releases": releases}


def _named(mask: int) -> list[str]:
    return [version for number, version in enumerate(VERSIONS) if mask >> number & 1]


def _spans(machine: str, mask: int) -> str:
    """Versions of a machine type in words."""
    runs: list[list[int]] = []
    for number in range(len(VERSIONS)):
        if mask >> number & 1:
            if runs and runs[-1][1] == number - 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
    said = [VERSIONS[low] + (f" to {VERSIONS[high]}" if high > low else "") for low, high in runs]
    return f"{machine}-{' and '.join(said)}"


class Survey:
    """What the sections of a stream that were sent at once have shown so far."""

    __slots__ = ("_count", "_machines", "_masks", "_places", "_releases", "_told")

    def __init__(self) -> None:
        self._masks = [_EVERY] * len(RELEASES)
        self._releases = _EVERY_RELEASE
        self._machines: set[str] = set()
        self._places: dict[bytes, int] = {}
        self._count = 0
        self._told = False

    def see(self, name: bytes, version: int, length: int) -> None:
        """A section has come, of that name and version and with so many bytes of payload."""
        own = bare(name)
        self._count += 1
        if own in _ORDERED:
            self._places.setdefault(own, self._count)
        if own in _SHOWN:
            self._machines.add(_SHOWN[own])
        if (own, version) in qemu_tables.SECTIONS:
            masks = writers((own, version), length)
            if any(masks):
                self._masks = [one & other for one, other in zip(self._masks, masks, strict=True)]
                self._told = True

    def command(self, code: int) -> None:
        """A command has come."""
        if code in qemu_tables.WRITTEN:
            self._releases &= qemu_tables.WRITTEN[code]
            self._told = True

    def variant(self, named: bytes | None, footers: bool | None) -> Variant | None:
        """What could have written all that, the configuration naming that machine type; None if nothing shows it.

        Under Xen sections have no `footers`.
        """
        releases, told = self._releases, self._told
        for first, then, when in qemu_tables.ORDERS:
            if first in self._places and then in self._places:
                releases &= when if self._places[first] < self._places[then] else ~when
                told = True
        machine, own = split(named.decode("latin-1")) if named else ("", 0)
        if not machine and len(self._machines) == 1:
            (machine,) = self._machines
        if not told or not machine or self._machines - {machine, qemu_tables.MACHINES[machine][1]}:
            return None
        has = qemu_tables.MACHINES[machine][2]
        masks = [
            (mask & has.get(number, 0) & (own or _EVERY) if has else 1) if releases >> number & 1 else 0
            for number, mask in enumerate(self._masks)
        ]
        return Variant(machine, masks, named is None and footers is False) if any(masks) else None


def split(name: str) -> tuple[str, int]:
    """A machine type's name without its version, and the set of that, of all if it has none; "" if it is not known."""
    if name in qemu_tables.MACHINES:
        return name, 0
    machine, _, version = name.rpartition("-")
    if machine not in qemu_tables.MACHINES or version not in VERSIONS or not qemu_tables.MACHINES[machine][2]:
        return "", 0
    return machine, 1 << VERSIONS.index(version)
